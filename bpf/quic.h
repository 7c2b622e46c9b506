/* SPDX-License-Identifier: GPL-2.0 */
/* QUIC clients: which process began to speak QUIC to which address, with what, and how much moved.
 *
 * No packet tells its process, and connect(2) of UDP says nothing: getaddrinfo(3) makes one to each
 * address that it sorts (RFC 6724). So a socket is remembered with its process when it connects or
 * sends unconnected, and the first datagrams to an address decide: one that begins as a QUIC client
 * does is told as it is, since its key is made from itself, and the flow's bytes are counted from then
 * on. Whatever else a socket sends is left alone after a few datagrams, until it sends elsewhere.
 *
 * A server's first datagrams look like a client's. But a server hears one first, so a socket that does
 * is no client's.
 *
 * Left out: what looks like QUIC to a name server's port; sockets that were connected before us;
 * of several connections from one socket to one address all but the first.
 */
#ifndef BUSTED_QUIC_H
#define BUSTED_QUIC_H

#include "common.h"
#include "flows.h"
#include "packets.h"

/* RFC 9000, 14.1: a client fills its datagrams up so far as long as they hold an Initial packet. */
#define MIN_INITIAL 1200
/* Two datagrams that are handed over as one (UDP_SEGMENT of udp(7)): a ClientHello with post-quantum
 * keys takes them. */
#define MAX_INITIAL 4096
/* To one address: a ClientHello in two datagrams, sent again, after a Retry (RFC 9000, 8.1.2). */
#define MAX_INITIALS 8
/* Datagrams of something else, as of STUN (RFC 8489), after which no client begins. */
#define MAX_OTHERS 8

/* RFC 9000, 15; RFC 9369, 3.1 */
#define QUIC_VERSION_1 0x00000001
#define QUIC_VERSION_2 0x6b3343cf

struct quic_flow {
	struct flow flow; /* as a record of a flow has it */
	__u64 initials;   /* told */
};

enum quic_use { QUIC_MAYBE = 0, QUIC_NONE = 1, QUIC_SERVER = 2 };

struct quic_socket {
	struct quic_flow to; /* where it sends now, and the process that does */
	__u32 flows; /* of QUIC */
	__u16 others; /* datagrams that went there and were no Initial */
	__u8 use;
	__u8 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct quic_socket);
} quic_sockets SEC(".maps");

/* 4096 take 1.2 MB; where more are open, those idle longest are not counted any more. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct quic_key);
	__type(value, struct quic_flow);
} quic_flows SEC(".maps");

/* The first flow of each socket, by its cookie, to tell its end. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct quic_key);
} quic_firsts SEC(".maps");

/* RFC 9000, 17.2 and 17.2.2: a long header, the type Initial, a version; RFC 9369, 3.2. The fixed
 * bit may be any (RFC 9287, 3). */
static __always_inline bool is_initial(struct __sk_buff *skb, const struct payload *payload)
{
	__u8 start[5];
	__u32 version;

	if (payload->protocol != UDP || payload->length < MIN_INITIAL ||
	    !load(skb, payload->offset, start, sizeof(start)))
		return false;
	version = start[1] << 24 | start[2] << 16 | start[3] << 8 | start[4];
	return (version == QUIC_VERSION_1 && (start[0] & 0xb0) == 0x80) ||
	       (version == QUIC_VERSION_2 && (start[0] & 0xb0) == 0x90);
}

/* Where a packet is from. */
static __always_inline bool load_source(struct __sk_buff *skb, __u8 address[16])
{
	__be32 ipv4;
	__u8 version;

	if (!load(skb, 0, &version, sizeof(version)))
		return false;
	if (version >> 4 != 4)
		return load(skb, 8, address, 16); /* RFC 8200, 3 */
	if (!load(skb, 12, &ipv4, sizeof(ipv4))) /* RFC 791, 3.1 */
		return false;
	map_ipv4(address, ipv4);
	return true;
}

/* A reservation must have a constant size, so `room` is a constant at each place of call. */
static __always_inline void send_initial_in(struct __sk_buff *skb, const __u64 room,
					    const struct quic_flow *flow, __u64 offset, __u64 length)
{
	struct quic_initial *record = reserve_record(sizeof(*record) + room);

	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return;
	}
	record->flow = flow->flow;
	record->flow.record.type = RECORD_QUIC_INITIAL;
	record->total = length;
	/* As in names.bpf.c: at least one byte, by an addition. */
	length--;
	barrier_var(length);
	if (length >= room)
		length = room - 1;
	length++;
	record->length = length;
	if (bpf_skb_load_bytes(skb, offset, record + 1, length)) {
		discard_record(record);
		count_lost(LOST_UNREADABLE, length);
		return;
	}
	trim_record(record, sizeof(*record) + length);
	submit_record(skb, record);
}

static __noinline int send_initial(struct __sk_buff *skb, const struct quic_flow *flow,
				   __u64 offset, __u64 length)
{
	if (length <= 1500)
		send_initial_in(skb, 1500, flow, offset, length);
	else
		send_initial_in(skb, MAX_INITIAL, flow, offset, length);
	return 0;
}

static __always_inline struct quic_flow *begin_quic(struct __sk_buff *skb, struct bpf_sock *sk,
						    struct quic_socket *socket,
						    const struct quic_key *key)
{
	struct flow *flow = &socket->to.flow;
	struct agent *agent = bpf_map_lookup_elem(&agents, &flow->record.pid);

	load_source(skb, flow->local);
	flow->local_port = sk->src_port;
	flow->agent = agent && agent->start_ns == flow->record.start_ns;
	flow->opened_ns = bpf_ktime_get_ns();
	flow->cookie = key->cookie + ((__u64)socket->flows << 48);
	if (bpf_map_update_elem(&quic_flows, key, &socket->to, BPF_ANY) ||
	    (!socket->flows &&
	     bpf_map_update_elem(&quic_firsts, &key->cookie, key, BPF_ANY))) {
		count_lost(LOST_SOCKET_TABLE, 1);
		return 0;
	}
	socket->flows++;
	return bpf_map_lookup_elem(&quic_flows, key);
}

static __noinline int quic_sent(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct quic_socket *socket = bpf_sk_storage_get(&quic_sockets, sk, 0, 0);
	struct payload payload = {};
	struct quic_key key = {};
	struct quic_flow *flow = 0;
	bool initial;

	if (!socket || socket->use != QUIC_MAYBE || !read_payload(skb, &payload))
		return 0;
	initial = is_initial(skb, &payload);
	if (!initial && !socket->flows) {
		if (++socket->others >= MAX_OTHERS)
			socket->use = QUIC_NONE;
		return 0;
	}
	key.cookie = bpf_get_socket_cookie(skb);
	key.remote_port = socket->to.flow.remote_port;
	__builtin_memcpy(key.remote, socket->to.flow.remote, sizeof(key.remote));
	flow = bpf_map_lookup_elem(&quic_flows, &key);
	if (!flow && initial)
		flow = begin_quic(skb, sk, socket, &key);
	if (!flow)
		return 0;
	__sync_fetch_and_add(&flow->flow.bytes_sent, payload.length);
	flow->flow.record.time_ns = bpf_ktime_get_ns();
	if (initial && flow->initials < MAX_INITIALS) {
		flow->initials++;
		send_initial(skb, flow, payload.offset, payload.length);
	}
	return 0;
}

/* Only of a socket that is not connected: it hears a client before it says anything. */
static __always_inline void may_serve(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct payload payload = {};
	struct quic_socket *socket;

	if (sk->dst_port || skb->len < MIN_INITIAL || !read_payload(skb, &payload) ||
	    !is_initial(skb, &payload))
		return;
	socket = bpf_sk_storage_get(&quic_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (socket)
		socket->use = QUIC_SERVER;
	else
		count_lost(LOST_SOCKET_TABLE, 1);
}

static __noinline int quic_received(struct __sk_buff *skb, struct bpf_sock *sk)
{
	struct quic_socket *socket = bpf_sk_storage_get(&quic_sockets, sk, 0, 0);
	struct payload payload = {};
	struct quic_key key = {};
	struct quic_flow *flow;
	__be16 port;

	if (!socket || !socket->flows) {
		if (!socket || socket->use != QUIC_SERVER)
			may_serve(skb, sk);
		return 0;
	}
	if (!read_payload(skb, &payload) || payload.offset < 8 ||
	    !load(skb, payload.offset - 8, &port, sizeof(port)) ||
	    !load_source(skb, key.remote))
		return 0;
	key.cookie = bpf_get_socket_cookie(skb);
	key.remote_port = bpf_ntohs(port);
	flow = bpf_map_lookup_elem(&quic_flows, &key);
	if (flow) {
		__sync_fetch_and_add(&flow->flow.bytes_received, payload.length);
		flow->flow.record.time_ns = bpf_ktime_get_ns();
	}
	return 0;
}

static __always_inline bool is_same_address(const __u8 one[16], const __u8 other[16])
{
	const __be32 *a = (const __be32 *)one, *b = (const __be32 *)other;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* Before a socket sends: whose it is, and where to. */
static __always_inline void remember_quic(struct bpf_sock_addr *address, const __u8 remote[16])
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct bpf_sock *sk = address->sk;
	struct quic_socket *socket;
	struct flow *flow;
	__u16 port = bpf_ntohs(address->user_port);

	if (!sk)
		return;
	socket = bpf_sk_storage_get(&quic_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket) {
		count_lost(LOST_SOCKET_TABLE, 1);
		return;
	}
	flow = &socket->to.flow;
	if (socket->use == QUIC_SERVER ||
	    (flow->record.pid == pid && flow->remote_port == port &&
	     is_same_address(flow->remote, remote)))
		return;
	if (flow->record.pid != pid) {
		fill_current(flow, FLOW_OWNER_OPENER);
		flow->record.type = RECORD_FLOW;
		flow->record.version = RECORDS_VERSION;
		flow->netns = bpf_get_netns_cookie(address);
		flow->operation = flow->role = FLOW_OPERATION_CONNECT;
		flow->transport = UDP;
	}
	flow->remote_port = port;
	__builtin_memcpy(flow->remote, remote, sizeof(flow->remote));
	socket->others = 0;
	socket->use = QUIC_MAYBE;
}

static __always_inline void remember_quic4(struct bpf_sock_addr *address)
{
	__u8 remote[16];

	map_ipv4(remote, address->user_ip4);
	remember_quic(address, remote);
}

static __always_inline void remember_quic6(struct bpf_sock_addr *address)
{
	__be32 remote[4];

	remote[0] = address->user_ip6[0];
	remote[1] = address->user_ip6[1];
	remote[2] = address->user_ip6[2];
	remote[3] = address->user_ip6[3];
	remember_quic(address, (const __u8 *)remote);
}

/* The socket is closed for good; its other flows user space knows. */
static __always_inline void end_quic(struct bpf_sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct quic_key *key = bpf_map_lookup_elem(&quic_firsts, &cookie);
	struct quic_flow *flow = key ? bpf_map_lookup_elem(&quic_flows, key) : 0;
	struct flow *record;

	if (!flow)
		return;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return;
	}
	*record = flow->flow;
	record->operation = FLOW_OPERATION_CLOSE;
	record->record.time_ns = bpf_ktime_get_ns();
	submit_record(sk, record);
	bpf_map_delete_elem(&quic_firsts, &cookie);
}

#endif
