/* SPDX-License-Identifier: GPL-2.0 */
/* Which connections are held: what the TLS programs tell the program at the sockets.
 *
 * A connection is found by the random of its ClientHello, which the TLS library holds and the wire
 * shows. The maps are made once, by hold.bpf.c, and lent to tls.bpf.c where something is enforced;
 * elsewhere nothing is held, and the TLS programs' own are not used.
 */
#ifndef BUSTED_HOLD_H
#define BUSTED_HOLD_H

#include "records.h"

/* Sockets with a connection that is, or was, held, by cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct hold);
} holds SEC(".maps");

/* What user space decided, by the same cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct permission);
} permissions SEC(".maps");

struct client_random {
	__u64 words[4];
};

/* Which socket a ClientHello went over. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct client_random);
	__type(value, struct held_socket);
} hello_sockets SEC(".maps");

/* The hosts whose connections are held from their first byte on. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct held_name);
	__type(value, __u32);
} held_names SEC(".maps");

#endif
