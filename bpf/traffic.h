/* SPDX-License-Identifier: GPL-2.0 */
/* How connections move what they move: bytes and segments in slices of time.
 *
 * No program runs when data is sent or received. User space has all followed connections looked at
 * in one go, ten times a second; what the kernel counted since the last look is a slice, and a slice
 * in which nothing moved is none. Slices are kept here until there are enough of them to say
 * something, so user space gets one record for many.
 *
 * A connection that goes on and on is not told of without end: after its first windows it rests.
 */
#ifndef BUSTED_TRAFFIC_H
#define BUSTED_TRAFFIC_H

#include "common.h"
#include "socket_types.h"

/* A window ends with its last slice, or after this long if something moved in it. */
#define MAX_WINDOW_NS (15ULL * 1000 * 1000 * 1000)
/* The windows of a connection that follow each other; those after them begin so much later. */
#define EAGER_WINDOWS 4
#define REST_NS (60ULL * 1000 * 1000 * 1000)

/* A connection that moved nothing for so long is looked at less often: most are idle. */
#define QUIET_NS (10ULL * 1000 * 1000 * 1000)
#define QUIET_LOOK_NS (450ULL * 1000 * 1000)

struct followed_traffic {
	/* First what every look reads: one line of the cache. */
	__u64 rests_until_ns; /* 0: it does not rest */
	__u64 looked_ns;
	__u64 moved_ns; /* when a look last found that something moved */
	__u64 sock;
	__u64 sent; /* all these: at the last look */
	__u64 received;
	__u32 segments_sent;
	__u32 segments_received;
	struct traffic traffic;
};

/* By cookie. 8192 connections take 5 MB; where more are open, those that were opened longest ago
 * are left out. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct followed_traffic);
} traffic SEC(".maps");

/* Zeros: an entry is larger than the stack of a program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct followed_traffic);
} no_traffic SEC(".maps");

static __always_inline void follow_traffic(const struct flow *flow, __u64 sock)
{
	__u64 cookie = flow->cookie;
	struct followed_traffic *followed;
	__u32 key = 0;

	followed = bpf_map_lookup_elem(&no_traffic, &key);
	if (!followed || bpf_map_update_elem(&traffic, &cookie, followed, BPF_ANY))
		return;
	followed = bpf_map_lookup_elem(&traffic, &cookie);
	if (!followed)
		return;
	followed->traffic.record = flow->record;
	followed->traffic.record.type = RECORD_TRAFFIC;
	followed->traffic.cookie = cookie;
	followed->traffic.began_ns = flow->opened_ns;
	followed->traffic.remote_port = flow->remote_port;
	__builtin_memcpy(followed->traffic.remote, flow->remote, sizeof(flow->remote));
	followed->sock = sock;
	followed->moved_ns = flow->opened_ns;
}

/* Whether a look at a connection would be for nothing. */
static __always_inline bool spare_look(const struct followed_traffic *followed, __u64 now)
{
	if (followed->rests_until_ns > now)
		return true;
	return now - followed->moved_ns > QUIET_NS && now - followed->looked_ns < QUIET_LOOK_NS;
}

static __always_inline void tell_traffic(void *ctx, struct followed_traffic *followed)
{
	struct traffic *record = reserve_record(sizeof(*record));

	followed->traffic.record.time_ns = bpf_ktime_get_ns();
	if (record) {
		*record = followed->traffic;
		submit_record(ctx, record);
	} else {
		count_lost(LOST_RECORDS, 1);
	}
	followed->traffic.count = 0;
	followed->traffic.window++;
	if (followed->traffic.window >= EAGER_WINDOWS)
		followed->rests_until_ns = followed->traffic.record.time_ns + REST_NS;
}

static __always_inline __u16 at_most_16_bits(__u32 number)
{
	return number > 0xffff ? 0xffff : number;
}

static __always_inline __u32 at_most_32_bits(__u64 number)
{
	return number > 0xffffffff ? 0xffffffff : number;
}

/* Takes what moved since the last look; true when the window is over. */
static __always_inline bool take_slice(struct followed_traffic *followed, __u64 now)
{
	const struct sock *sk = (const struct sock *)followed->sock;
	const struct tcp_sock *tcp = (const void *)sk;
	__u64 received = BPF_CORE_READ(tcp, bytes_received);
	__u64 sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	__u32 segments_sent, segments_received, count = followed->traffic.count;
	bool rested = followed->rests_until_ns;
	struct traffic_slice *slice;

	followed->looked_ns = now;
	if (sent == followed->sent && received == followed->received)
		return count && now - followed->traffic.began_ns > MAX_WINDOW_NS;
	segments_sent = BPF_CORE_READ(tcp, data_segs_out);
	segments_received = BPF_CORE_READ(tcp, data_segs_in);
	/* Freed in between, and perhaps another's by now? */
	if (BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) !=
	    (__s64)followed->traffic.cookie)
		return false;
	if (!count && followed->traffic.window)
		followed->traffic.began_ns = now;
	/* What moved while it rested is of no slice. */
	if (!rested) {
		slice = &followed->traffic.slices[count & (MAX_SLICES - 1)];
		slice->at_ms = (now - followed->traffic.began_ns) / 1000000;
		slice->sent = at_most_32_bits(sent - followed->sent);
		slice->received = at_most_32_bits(received - followed->received);
		slice->segments_sent = at_most_16_bits(segments_sent - followed->segments_sent);
		slice->segments_received =
			at_most_16_bits(segments_received - followed->segments_received);
		followed->traffic.count = ++count;
	}
	followed->rests_until_ns = 0;
	followed->moved_ns = now;
	followed->sent = sent;
	followed->received = received;
	followed->segments_sent = segments_sent;
	followed->segments_received = segments_received;
	return followed->traffic.count == MAX_SLICES;
}

/* The connection is over: what moved since the last look is told, too. */
static __always_inline void end_traffic(void *ctx, __u64 cookie)
{
	struct followed_traffic *followed = bpf_map_lookup_elem(&traffic, &cookie);

	if (!followed)
		return;
	take_slice(followed, bpf_ktime_get_ns());
	if (followed->traffic.count)
		tell_traffic(ctx, followed);
	bpf_map_delete_elem(&traffic, &cookie);
}

#endif
