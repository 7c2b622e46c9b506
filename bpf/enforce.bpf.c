// SPDX-License-Identifier: GPL-2.0
/* Refuses connections that policy denied: connect(2), and the datagrams of sockets that are not
 * connected, to where user space says, of whom it says, until when it says.
 *
 * A verdict is about one address and port, or about anywhere, and about one agent with all that
 * it starts, or about anybody in one network namespace. Each carries its end: when user space
 * is slow or dead, the kernel goes on, and forgets by itself. Nothing is refused that no verdict
 * is about; loopback never is, nor what never leaves the host (AF_UNIX, AF_NETLINK), since it does
 * not come here at all.
 *
 * The programs hang at the root of the cgroups, beside those of others; where there is no such root
 * the LSM hook stands for them, which does not see datagrams of sockets that are not connected.
 *
 * A refused connect(2) is told as a flow that failed; that of UDP is not, for getaddrinfo(3) makes
 * one to each address that it sorts (RFC 6724), and nothing is sent by it.
 */
#include <bpf/bpf_endian.h>

#include "common.h"
#include "flows.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by user space before loading. */
const volatile struct enforce_settings settings = { .any_error = 1 };

/* Return values of programs at cgroups. */
enum { REFUSE = 0, ALLOW = 1 };
enum { EPERM = 1, MAX_ERRNO = 4095 };
enum { TCP = 6 };

/* A program that tries again and again is told so often; all that it tries is counted. */
#define TELL_NS 10000000ULL

/* A provider has a few dozen addresses, an operator a few agents that are denied something at once.
 * Never the least used one: a verdict ends by its time, and a full table is told to user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct connect_key);
	__type(value, struct connect_verdict);
} connect_verdicts SEC(".maps");

/* What a process asks for. */
struct attempt {
	struct connect_key to; /* `process`: who asks, or the agent that it belongs to */
	__u64 start_ns;        /* of that process; 0: not known, for it has ended */
	__u64 cookie;
	__u8 transport;
	__u8 told; /* worth a record when it is refused */
	__u8 agent;
	__u8 unused[5];
};

static __always_inline bool stays_here(const __u8 address[16])
{
	const __be32 *words = (const __be32 *)address;

	if (words[0] || words[1])
		/* IPv6: addresses of the link (RFC 4291, 2.5.6) */
		return !settings.link_local &&
		       (words[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
	/* IPv6: loopback (RFC 4291, 2.5.3), and connect(2) takes no address for loopback. */
	if (!words[2])
		return !words[3] || words[3] == bpf_htonl(1);
	if (words[2] != bpf_htonl(0xffff))
		return false;
	/* IPv4: likewise (RFC 1122, 3.2.1.3), and addresses of the link (RFC 3927, 2.1). */
	if (!words[3] || (words[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000))
		return true;
	return !settings.link_local &&
	       (words[3] & bpf_htonl(0xffff0000)) == bpf_htonl(0xa9fe0000);
}

static __always_inline void who_asks(struct attempt *attempt)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct agent *agent = current_agent(), *root;

	attempt->to.process = pid;
	if (!agent) {
		attempt->start_ns = process_start_ns();
		return;
	}
	attempt->agent = 1;
	attempt->to.process = agent->root;
	root = bpf_map_lookup_elem(&agents, &attempt->to.process);
	attempt->start_ns = root ? root->start_ns : 0;
}

/* A verdict that is still good. */
static __always_inline struct connect_verdict *find(const struct connect_key *key, __u64 start_ns,
						    __u64 now_ns)
{
	struct connect_verdict *verdict = bpf_map_lookup_elem(&connect_verdicts, key);

	if (!verdict || now_ns >= verdict->until_ns)
		return 0;
	/* Another process may have the pid by now. */
	if (key->process && start_ns && start_ns != verdict->start_ns)
		return 0;
	return verdict;
}

static __always_inline struct connect_verdict *judge(const struct attempt *attempt, __u64 now_ns)
{
	struct connect_key key = attempt->to;
	struct connect_verdict *verdict = find(&key, attempt->start_ns, now_ns);

	if (verdict)
		return verdict;
	key.process = 0;
	verdict = find(&key, 0, now_ns);
	if (verdict)
		return verdict;
	__builtin_memset(&key, 0, sizeof(key));
	key.process = attempt->to.process;
	return find(&key, attempt->start_ns, now_ns);
}

static __always_inline void tell(void *ctx, const struct attempt *attempt,
				 struct connect_verdict *verdict, __u64 now_ns)
{
	struct flow *record;

	if (!attempt->told || now_ns - verdict->told_ns < TELL_NS)
		return;
	verdict->told_ns = now_ns;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return;
	}
	__builtin_memset(record, 0, sizeof(*record));
	fill_current(record, FLOW_OWNER_OPENER);
	record->record.type = RECORD_FLOW;
	record->record.version = RECORDS_VERSION;
	record->record.time_ns = record->opened_ns = now_ns;
	record->cookie = attempt->cookie;
	record->netns = attempt->to.netns;
	__builtin_memcpy(record->remote, attempt->to.address, sizeof(record->remote));
	record->remote_port = attempt->to.port;
	record->error = verdict->error;
	record->operation = FLOW_OPERATION_REFUSED;
	record->role = FLOW_OPERATION_CONNECT;
	record->agent = attempt->agent;
	record->transport = attempt->transport;
	submit_record(ctx, record);
}

/* The error that the process gets, or 0. */
static __always_inline __u32 refuse(void *ctx, struct attempt *attempt)
{
	struct connect_verdict *verdict;
	__u64 now_ns;

	if (stays_here(attempt->to.address) ||
	    bpf_get_current_pid_tgid() >> 32 == settings.monitor_pid)
		return 0;
	who_asks(attempt);
	now_ns = bpf_ktime_get_ns();
	verdict = judge(attempt, now_ns);
	if (!verdict)
		return 0;
	__sync_fetch_and_add(&verdict->refused, 1);
	tell(ctx, attempt, verdict, now_ns);
	return verdict->error;
}

static __always_inline int answer(__u32 error)
{
	if (!error)
		return ALLOW;
	if (settings.any_error)
		bpf_set_retval(-(int)error);
	return REFUSE;
}

static __always_inline int at_cgroup(struct bpf_sock_addr *ctx, struct attempt *attempt)
{
	attempt->to.netns = bpf_get_netns_cookie(ctx);
	attempt->to.port = bpf_ntohs(ctx->user_port);
	attempt->cookie = bpf_get_socket_cookie(ctx);
	attempt->transport = ctx->protocol;
	return answer(refuse(ctx, attempt));
}

static __always_inline int to_ipv4(struct bpf_sock_addr *ctx, bool sends)
{
	struct attempt attempt = { .told = sends || ctx->protocol == TCP };

	map_ipv4(attempt.to.address, ctx->user_ip4);
	return at_cgroup(ctx, &attempt);
}

static __always_inline int to_ipv6(struct bpf_sock_addr *ctx, bool sends)
{
	struct attempt attempt = { .told = sends || ctx->protocol == TCP };
	__be32 *words = (__be32 *)attempt.to.address;

	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
	return at_cgroup(ctx, &attempt);
}

SEC("?cgroup/connect4")
int enforce_connect4(struct bpf_sock_addr *ctx)
{
	return to_ipv4(ctx, false);
}

SEC("?cgroup/connect6")
int enforce_connect6(struct bpf_sock_addr *ctx)
{
	return to_ipv6(ctx, false);
}

SEC("?cgroup/sendmsg4")
int enforce_sendmsg4(struct bpf_sock_addr *ctx)
{
	return to_ipv4(ctx, true);
}

SEC("?cgroup/sendmsg6")
int enforce_sendmsg6(struct bpf_sock_addr *ctx)
{
	return to_ipv6(ctx, true);
}

/* What connect(2) was given; struct sockaddr_in and sockaddr_in6 begin alike. */
struct given_address {
	__u16 family;
	__be16 port;
	__be32 ipv4; /* of IPv6 the flow label, which is of no interest */
	__u8 ipv6[16];
};

/* 0 or what a system call may return as an error. From Linux 6.12 on the verifier wants to see that,
 * and it follows no negation: so the result is looked at, in two steps, each of which is a jump.
 */
static __always_inline int as_result(int error)
{
	barrier_var(error);
	if (error > 0)
		return -EPERM;
	barrier_var(error);
	if (error < -MAX_ERRNO)
		return -EPERM;
	barrier_var(error);
	return error;
}

SEC("?lsm/socket_connect")
int BPF_PROG(enforce_lsm, struct socket *socket, const void *given, int length, int before)
{
	const struct sock *sk = BPF_CORE_READ(socket, sk);
	struct attempt attempt = {};
	struct given_address to = {};
	__u64 size = length;

	if (before || !sk || length < 0)
		return as_result(before);
	if (size > sizeof(to))
		size = sizeof(to);
	barrier_var(size);
	if (size > sizeof(to) || bpf_probe_read_kernel(&to, size, given))
		return 0;
	if (to.family == AF_INET)
		map_ipv4(attempt.to.address, to.ipv4);
	else if (to.family == AF_INET6)
		__builtin_memcpy(attempt.to.address, to.ipv6, sizeof(to.ipv6));
	else
		return 0;
	attempt.to.netns = netns_of(sk);
	attempt.to.port = bpf_ntohs(to.port);
	attempt.cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	attempt.transport = BPF_CORE_READ(sk, sk_protocol);
	attempt.told = attempt.transport == TCP;
	return as_result(-(int)refuse(ctx, &attempt));
}
