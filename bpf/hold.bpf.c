// SPDX-License-Identifier: GPL-2.0
/* Holds what a connection sends until it is decided: packets with a payload are dropped, and TCP
 * keeps their bytes and sends them again.
 *
 * The TLS programs say how far the plaintext goes that was handed to the library, before any of it
 * can become ciphertext, and user space says how far it allowed that. As long as the one is ahead
 * of the other nothing with a payload passes, and nothing of a connection that was denied, ever.
 * Packets without a payload pass: they keep the connection alive, and can end it.
 *
 * What is undecided after its time passes or stays, as the operator chose. That is decided here,
 * so that it holds when user space hangs. When user space is gone its links are, and this program.
 */
#include "common.h"
#include "hold.h"
#include "packets.h"
#include "socket_types.h"

char LICENSE[] SEC("license") = "GPL";

/* Return values of the program. */
#define DROP 0
#define PASS 1

/* A ClientHello comes within the first bytes of a connection, behind an HTTP proxy's CONNECT and
 * its answer at most. */
#define MAX_BEFORE_HELLO 16384
/* RFC 8446, 4.1.2: the random stands behind the headers and two bytes of version. */
#define RANDOM_OFFSET (HELLO_START + 2)

/* Set by user space before loading. */
const volatile struct hold_settings settings = {};

/* IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2). */
static __always_inline void put_address(__u8 *to, const struct bpf_sock *sk, __u32 ip4,
					const __u32 *ip6)
{
	__u32 words[4] = { 0, 0, bpf_htonl(0xffff), ip4 };

	if (sk->family != AF_INET) {
		/* Each by itself: the verifier takes no longer access to a socket. */
		words[0] = ((volatile const __u32 *)ip6)[0];
		words[1] = ((volatile const __u32 *)ip6)[1];
		words[2] = ((volatile const __u32 *)ip6)[2];
		words[3] = ((volatile const __u32 *)ip6)[3];
	}
	__builtin_memcpy(to, words, sizeof(words));
}

/* The client's random is told before the library can have anything to write. */
static __always_inline void note_hello(struct __sk_buff *skb, struct bpf_sock *sk, __u64 cookie)
{
	struct payload payload = {};
	struct held_socket found = { .cookie = cookie };
	struct client_random random;
	struct bpf_tcp_sock *tcp;
	__u8 start[HELLO_START];

	tcp = bpf_tcp_sock(sk);
	if (!tcp || tcp->bytes_acked > MAX_BEFORE_HELLO || !read_payload(skb, &payload) ||
	    payload.length < RANDOM_OFFSET + sizeof(random) ||
	    !load(skb, payload.offset, start, sizeof(start)))
		return;
	if (start[0] != HANDSHAKE_RECORD || start[1] != MAJOR_VERSION ||
	    start[RECORD_HEADER] != CLIENT_HELLO ||
	    !load(skb, payload.offset + RANDOM_OFFSET, &random, sizeof(random)))
		return;
	found.local_port = sk->src_port;
	found.remote_port = bpf_ntohs(sk->dst_port);
	put_address(found.local, sk, sk->src_ip4, sk->src_ip6);
	put_address(found.remote, sk, sk->dst_ip4, sk->dst_ip6);
	bpf_map_update_elem(&hello_sockets, &random, &found, BPF_ANY);
}

static __always_inline bool is_denied(__u64 cookie)
{
	struct permission *permission = bpf_map_lookup_elem(&permissions, &cookie);

	return permission && permission->denied;
}

static __always_inline bool is_allowed(__u64 cookie, const struct hold *hold)
{
	struct permission *permission = bpf_map_lookup_elem(&permissions, &cookie);

	return permission && !permission->denied && permission->position >= hold->position;
}

static __always_inline int drop(struct hold *hold)
{
	__sync_fetch_and_add(&hold->dropped, 1);
	return DROP;
}

SEC("cgroup_skb/egress")
int hold_sent(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct payload payload = {};
	struct hold *hold;
	__u64 cookie;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	if (!sk)
		return PASS;
	cookie = bpf_get_socket_cookie(skb);
	hold = bpf_map_lookup_elem(&holds, &cookie);
	if (!hold) {
		note_hello(skb, sk, cookie);
		return PASS;
	}
	if (is_allowed(cookie, hold) || !read_payload(skb, &payload) || !payload.length)
		return PASS;
	if (is_denied(cookie) || !settings.fails_open || bpf_ktime_get_ns() < hold->deadline_ns)
		return drop(hold);
	/* Counted first: who denies and finds none counted knows that nothing has passed. */
	__sync_fetch_and_add(&hold->passed, 1);
	return is_denied(cookie) ? drop(hold) : PASS;
}
