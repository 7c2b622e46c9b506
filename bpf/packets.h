/* SPDX-License-Identifier: GPL-2.0 */
/* Where the payload of a packet begins, for programs at sockets, and how a TLS client begins. */
#ifndef BUSTED_PACKETS_H
#define BUSTED_PACKETS_H

#include "kernel_types.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TCP 6
#define UDP 17

/* Real packets have none or one. */
#define MAX_EXTENSIONS 4

/* What follows is a TLS record (RFC 8446, 5.1) with a handshake message (4): type, version and
 * length of the one, type and length of the other. */
#define HELLO_START 9
#define RECORD_HEADER 5
#define HANDSHAKE_RECORD 22
#define MAJOR_VERSION 3
#define CLIENT_HELLO 1

/* What a packet carries, and where, in bytes. */
struct payload {
	__u32 offset;
	__u32 length;
	__u32 sequence; /* of TCP, of the first byte */
	__u8 protocol;
	__u8 syn;
	__u8 unused[2];
};

static __always_inline bool load(struct __sk_buff *skb, __u32 offset, void *to, __u32 size)
{
	return !bpf_skb_load_bytes(skb, offset, to, size);
}

/* RFC 8200, 4: the headers that may stand before TCP or UDP, each with its length. */
static __always_inline __u32 skip_extensions(struct __sk_buff *skb, __u32 offset, __u8 *protocol)
{
	__u8 header[2];

	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		switch (*protocol) {
		case 0:  /* hop by hop */
		case 43: /* routing */
		case 44: /* fragment: whole again when it comes here, its length byte is 0 */
		case 60: /* destination options */
			break;
		default:
			return offset;
		}
		if (!load(skb, offset, header, sizeof(header)))
			return 0;
		*protocol = header[0];
		offset += (header[1] + 1) * 8;
	}
	return 0;
}

/* Finds the payload of a packet, which begins with its network header here. Not static, and one
 * number the result: so the verifier reads it once, and not again for each way through it. */
__noinline __u64 find_payload(struct __sk_buff *skb)
{
	__u8 version, protocol, tcp[14] = {};
	__u32 offset, sequence, syn = 0;

	if (!load(skb, 0, &version, sizeof(version)))
		return 0;
	if (version >> 4 == 4) {
		offset = (version & 15) * 4;
		if (!load(skb, 9, &protocol, sizeof(protocol)))
			return 0;
	} else {
		if (!load(skb, 6, &protocol, sizeof(protocol)))
			return 0;
		offset = skip_extensions(skb, 40, &protocol);
	}
	if (!offset)
		return 0;
	if (protocol == UDP) {
		offset += 8;
	} else if (protocol == TCP && load(skb, offset, tcp, sizeof(tcp))) {
		syn = tcp[13] >> 1 & 1;
		offset += (tcp[12] >> 4) * 4;
	} else {
		return 0;
	}
	__builtin_memcpy(&sequence, tcp + 4, sizeof(sequence));
	/* A SYN takes a number of its own, before the data that it may carry (RFC 7413). */
	sequence = bpf_ntohl(sequence) + syn;
	return (__u64)sequence << 32 | syn << 24 | protocol << 16 | (offset & 0xffff);
}

static __always_inline bool read_payload(struct __sk_buff *skb, struct payload *payload)
{
	__u64 found = find_payload(skb);

	payload->offset = found & 0xffff;
	payload->protocol = found >> 16;
	payload->syn = found >> 24 & 1;
	payload->sequence = found >> 32;
	if (!found || payload->offset > skb->len)
		return false;
	payload->length = skb->len - payload->offset;
	return true;
}

#endif
