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

/* The client's random is told before the library can have anything to write. */
static __always_inline void note_hello(struct __sk_buff *skb, struct bpf_sock *sk, __u64 cookie)
{
	struct payload payload = {};
	struct client_random random;
	struct bpf_tcp_sock *tcp;
	__u8 start[HELLO_START];

	tcp = bpf_tcp_sock(sk);
	if (!tcp || tcp->bytes_acked > MAX_BEFORE_HELLO || !read_payload(skb, &payload) ||
	    payload.length < RANDOM_OFFSET + sizeof(random) ||
	    !load(skb, payload.offset, start, sizeof(start)))
		return;
	if (start[0] == HANDSHAKE_RECORD && start[1] == MAJOR_VERSION &&
	    start[RECORD_HEADER] == CLIENT_HELLO &&
	    load(skb, payload.offset + RANDOM_OFFSET, &random, sizeof(random)))
		bpf_map_update_elem(&hello_sockets, &random, &cookie, BPF_ANY);
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
		return DROP;
	/* Counted first: who denies and finds none counted knows that nothing has passed. */
	__sync_fetch_and_add(&hold->passed, 1);
	return is_denied(cookie) ? DROP : PASS;
}
