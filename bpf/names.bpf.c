// SPDX-License-Identifier: GPL-2.0
/* Names on the wire: what sockets exchange with name servers, and how TLS and QUIC clients begin.
 *
 * A socket is remembered when it connects, or when it sends to a name server unconnected: there
 * the process is known, which no packet tells. What is remembered lives in the socket itself and
 * goes with it. Packets of other sockets (servers, those older than us) end after one look-up,
 * and so do those of a TCP connection once its first bytes are known; a packet that comes in
 * from anywhere but port 53 ends before that.
 *
 * At the root of the cgroups all network namespaces are seen at once. Only the client's side is
 * reported: what a name server on this host gets and answers is its clients' already. A socket
 * counts by the port that the application named, so addresses translated later do no harm.
 *
 * UDP to other ports than that of name servers may be QUIC: quic.h.
 */
#include "common.h"
#include "packets.h"
#include "quic.h"

char LICENSE[] SEC("license") = "GPL";

/* Return values of these programs: never anything else. */
#define ALLOW 1

#define NAME_SERVER_PORT bpf_htons(53)

/* Much more than any client sends, session tickets and post-quantum keys included; one piece. */
#define MAX_HELLO 8192
/* The longest message that DNS over TCP can carry, with its length (RFC 1035, 4.2.2). */
#define MAX_DNS_STREAM 65537

enum expected { EXPECTED_NOTHING = 0, EXPECTED_HELLO = 1, EXPECTED_DNS = 2 };

struct followed {
	__u64 start_ns;
	__u64 netns;
	__u32 pid;
	__u32 base[2]; /* sequence number of the first byte, by direction */
	__u32 seen;    /* bytes of the hello, in order */
	__u8 expected;
	__u8 start[HELLO_START];
	__u8 unused[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct followed);
} followed_sockets SEC(".maps");

struct piece {
	__u32 offset;   /* in the packet */
	__u32 position; /* in the stream */
	__u32 total;
	__u8 type;
	__u8 direction;
	__u8 over_tcp;
	__u8 unused;
};

/* A reservation must have a constant size, so `room` is a constant at each place of call. */
static __always_inline void send_in(struct __sk_buff *skb, const __u64 room,
				    const struct followed *followed, const struct piece *piece,
				    __u64 length)
{
	/* The two records have the same size, and differ in their last eight bytes. */
	struct dns_message *record = reserve_record(sizeof(*record) + room);

	_Static_assert(sizeof(struct dns_message) == sizeof(struct client_hello), "one room");
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return;
	}
	fill_record(&record->wire.record, piece->type, followed->pid, followed->start_ns);
	record->wire.cookie = bpf_get_socket_cookie(skb);
	record->wire.netns = followed->netns;
	record->wire.position = piece->position;
	record->total = piece->total;
	record->direction = piece->direction;
	record->over_tcp = piece->over_tcp;
	__builtin_memset(record->unused, 0, sizeof(record->unused));
	/* Keeps the compiler from proving the bounds away that the verifier wants to see: at least
	 * one byte, and by an addition, since old kernels learn nothing from a test for 0. */
	length--;
	barrier_var(length);
	if (length >= room)
		length = room - 1;
	length++;
	record->wire.length = length;
	if (bpf_skb_load_bytes(skb, piece->offset, record + 1, length)) {
		discard_record(record);
		count_lost(LOST_UNREADABLE, length);
		return;
	}
	trim_record(record, sizeof(*record) + length);
	submit_record(skb, record);
}

/* One function, not inlined: it stands once in the program. `length` is not 0. */
static __noinline int send_piece(struct __sk_buff *skb, const struct followed *followed,
				 const struct piece *piece, __u64 length)
{
	if (length <= 256)
		send_in(skb, 256, followed, piece, length);
	else if (length <= 1024)
		send_in(skb, 1024, followed, piece, length);
	else if (length <= 4096)
		send_in(skb, 4096, followed, piece, length);
	else
		send_in(skb, MAX_PIECE, followed, piece, length);
	return 0;
}

/* Behind an HTTP proxy TLS begins after a CONNECT and its answer (RFC 9110, 9.3.6). */
static __always_inline bool asks_proxy(struct __sk_buff *skb, const struct payload *payload)
{
	__u64 method;

	return load(skb, payload->offset, &method, sizeof(method)) &&
	       method == bpf_be64_to_cpu(0x434f4e4e45435420); /* "CONNECT " */
}

/* Keeps the first bytes of what may be a ClientHello; false when it is none. */
static __always_inline bool keep_start(struct __sk_buff *skb, struct followed *followed,
				       const struct payload *payload)
{
	__u8 byte;

#pragma unroll
	for (__u32 i = 0; i < HELLO_START; i++) {
		if (i < followed->seen)
			continue;
		if (i - followed->seen >= payload->length)
			break;
		if (!load(skb, payload->offset + i - followed->seen, &byte, 1))
			return false;
		if ((i == 0 && byte != HANDSHAKE_RECORD) || (i == 1 && byte != MAJOR_VERSION) ||
		    (i == RECORD_HEADER && byte != CLIENT_HELLO))
			return false;
		followed->start[i] = byte;
	}
	return true;
}

/* How much of the stream the hello takes, as far as that is known by its first `seen` bytes. */
static __always_inline __u32 hello_end(const struct followed *followed, __u32 seen)
{
	const __u8 *start = followed->start;
	__u32 record, message;

	if (seen < HELLO_START)
		return MAX_HELLO;
	record = start[3] << 8 | start[4];
	message = start[6] << 16 | start[7] << 8 | start[8];
	/* In several records: how many is not known here. */
	if (record < message + 4 || message > MAX_HELLO - HELLO_START)
		return MAX_HELLO;
	return HELLO_START + message;
}

static __always_inline void follow_hello(struct __sk_buff *skb, struct followed *followed,
					 struct payload *payload)
{
	__s32 position = payload->sequence - followed->base[DIRECTION_WRITE];
	struct piece piece = { .type = RECORD_CLIENT_HELLO };
	__s32 repeated = followed->seen - position;
	__u32 end;

	/* Sent again; or ahead of what was never seen, and will be sent again. */
	if (repeated >= (__s32)payload->length || (repeated < 0 && repeated > -MAX_HELLO))
		return;
	if (repeated < 0) {
		followed->expected = EXPECTED_NOTHING;
		return;
	}
	payload->offset += repeated;
	payload->length -= repeated;
	if (!keep_start(skb, followed, payload)) {
		if (!followed->seen && asks_proxy(skb, payload))
			followed->base[DIRECTION_WRITE] = payload->sequence + payload->length;
		else
			followed->expected = EXPECTED_NOTHING;
		return;
	}
	end = hello_end(followed, followed->seen + payload->length);
	if (payload->length >= end - followed->seen) {
		payload->length = end - followed->seen;
		followed->expected = EXPECTED_NOTHING;
	}
	piece.offset = payload->offset;
	piece.position = followed->seen;
	piece.total = end;
	followed->seen += payload->length;
	send_piece(skb, followed, &piece, payload->length);
}

/* RFC 1035, 4.1.1: a query (operation 0) with one question. Tunnels use the port, too. */
static __always_inline bool looks_like_dns(struct __sk_buff *skb, const struct payload *payload)
{
	__u8 header[6];

	return load(skb, payload->offset, header, sizeof(header)) && !(header[2] & 0x78) &&
	       !header[4] && header[5] == 1;
}

static __always_inline void follow_dns(struct __sk_buff *skb, struct followed *followed,
				       struct payload *payload, enum direction direction)
{
	struct piece piece = { .type = RECORD_DNS_MESSAGE,
			       .direction = direction,
			       .offset = payload->offset,
			       .total = payload->length };

	if (payload->protocol == UDP) {
		if (looks_like_dns(skb, payload))
			send_piece(skb, followed, &piece, payload->length);
		return;
	}
	piece.over_tcp = 1;
	piece.position = payload->sequence - followed->base[direction];
	if ((__s32)piece.position < 0)
		return;
	if (piece.position >= MAX_DNS_STREAM || payload->length > MAX_DNS_STREAM)
		followed->expected = EXPECTED_NOTHING;
	else
		send_piece(skb, followed, &piece, payload->length);
}

static __always_inline int follow(struct __sk_buff *skb, struct bpf_sock *sk,
				  enum direction direction)
{
	struct payload payload = {};
	struct followed *followed;

	followed = bpf_sk_storage_get(&followed_sockets, sk, 0, 0);
	if (!followed || followed->expected == EXPECTED_NOTHING || !read_payload(skb, &payload))
		return ALLOW;
	if (payload.syn)
		followed->base[direction] = payload.sequence;
	if (!payload.length)
		return ALLOW;
	if (followed->expected == EXPECTED_DNS)
		follow_dns(skb, followed, &payload, direction);
	else
		follow_hello(skb, followed, &payload);
	return ALLOW;
}

SEC("cgroup_skb/egress")
int names_sent(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return ALLOW;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return ALLOW;
	if (sk->protocol == UDP)
		quic_sent(skb, sk);
	return follow(skb, sk, DIRECTION_WRITE);
}

SEC("cgroup_skb/ingress")
int names_received(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return ALLOW;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return ALLOW;
	if (sk->protocol == UDP)
		quic_received(skb, sk);
	/* 0: not connected. Before Linux 5.18 only a load of four bytes is right for the port. */
	if (sk->dst_port && sk->dst_port != NAME_SERVER_PORT)
		return ALLOW;
	return follow(skb, sk, DIRECTION_READ);
}

static __always_inline void remember(struct bpf_sock_addr *address, enum expected expected)
{
	struct followed fresh = { .expected = expected }, *followed;
	struct bpf_sock *sk = address->sk;

	if (!sk)
		return;
	followed = bpf_sk_storage_get(&followed_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!followed) {
		count_lost(LOST_SOCKET_TABLE, 1);
		return;
	}
	fresh.start_ns = process_start_ns();
	fresh.netns = bpf_get_netns_cookie(address);
	fresh.pid = bpf_get_current_pid_tgid() >> 32;
	*followed = fresh;
}

/* Whether what a socket sends there is looked at for QUIC. */
static __always_inline bool may_be_quic(const struct bpf_sock_addr *address)
{
	return address->protocol == UDP && address->user_port != NAME_SERVER_PORT;
}

static __always_inline int connecting(struct bpf_sock_addr *address)
{
	bool to_name_server = address->user_port == NAME_SERVER_PORT;

	if (address->protocol == TCP)
		remember(address, to_name_server ? EXPECTED_DNS : EXPECTED_HELLO);
	else if (address->protocol == UDP && to_name_server)
		remember(address, EXPECTED_DNS);
	return ALLOW;
}

static __always_inline int sending(struct bpf_sock_addr *address)
{
	if (address->user_port == NAME_SERVER_PORT)
		remember(address, EXPECTED_DNS);
	return ALLOW;
}

SEC("cgroup/connect4")
int names_connect4(struct bpf_sock_addr *address)
{
	if (may_be_quic(address))
		remember_quic4(address);
	return connecting(address);
}

SEC("cgroup/connect6")
int names_connect6(struct bpf_sock_addr *address)
{
	if (may_be_quic(address))
		remember_quic6(address);
	return connecting(address);
}

SEC("cgroup/sendmsg4")
int names_sendmsg4(struct bpf_sock_addr *address)
{
	if (may_be_quic(address))
		remember_quic4(address);
	return sending(address);
}

SEC("cgroup/sendmsg6")
int names_sendmsg6(struct bpf_sock_addr *address)
{
	if (may_be_quic(address))
		remember_quic6(address);
	return sending(address);
}

/* Linux 5.9 */
SEC("?cgroup/sock_release")
int names_released(struct bpf_sock *sk)
{
	if (sk->protocol == UDP)
		end_quic(sk);
	return ALLOW;
}
