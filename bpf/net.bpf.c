// SPDX-License-Identifier: GPL-2.0
/* Flows: which process connected or accepted, where to, how that ended, how much was moved.
 *
 * No program runs when data is sent or received: the kernel counts the bytes of each TCP socket
 * itself, and we read the counts when the socket closes, or when user space asks. A connection
 * costs one program a change of its state, about seven in its life.
 *
 * A flow is remembered from the change that opens it. connect(2) makes that change in the process
 * that calls it, which is the one the flow belongs to, whoever inherits the socket. A connection
 * that comes in is established by an interrupt, in no process of its own: where the kernel lets
 * us see accept(2) return, that process has it; elsewhere it is the one that listens, until the
 * process that closes it is seen.
 *
 * UDP is left out: connect(2) there sends nothing. getaddrinfo(3) makes one to each address that it
 * sorts (RFC 6724), so each look-up of a provider's name would look like QUIC to it; quic.h looks at what
 * is sent.
 *
 * All flows are remembered, and few are told: those of AI agents, those to addresses that user
 * space wants to hear of, and those it asked for by cookie. What closed stays known for a moment,
 * for user space is always a little late.
 */
#include "common.h"
#include "flows.h"
#include "traffic.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by user space before loading. */
const volatile struct flow_settings settings = { .cookies = 1, .traffic = 1 };

struct open_flow {
	struct flow flow;
	__u64 sock;
	__u64 told;
};

/* By cookie. 32768 sockets take about 9 MB; where more are open, those idle longest are forgotten,
 * and counted when they close. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct open_flow);
} flows SEC(".maps");

/* Closed and not told. At 10,000 connections a second this is half a second. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct open_flow);
} closed SEC(".maps");

struct listener {
	__u64 netns;
	__u8 address[16];
	__u64 port;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct listener);
	__type(value, struct open_flow);
} listeners SEC(".maps");

/* Written by user space: what it wants to hear of. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct wanted_address);
	__type(value, __u8);
} wanted_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u8);
} wanted_flows SEC(".maps");

static __always_inline __u64 cookie_of(const struct sock *sk)
{
	if (settings.cookies)
		return bpf_get_socket_cookie((void *)sk);
	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

/* The local port of a socket that connects is chosen after its state changed: read it again. */
static __always_inline void fill_addresses(struct flow *flow, const struct sock *sk)
{
	flow->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	flow->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		map_ipv4(flow->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		map_ipv4(flow->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
		return;
	}
	BPF_CORE_READ_INTO(&flow->local, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
	BPF_CORE_READ_INTO(&flow->remote, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
}

static __always_inline void fill_socket(struct open_flow *open, const struct sock *sk, __u64 cookie)
{
	open->sock = (__u64)sk;
	open->flow.record.type = RECORD_FLOW;
	open->flow.record.version = RECORDS_VERSION;
	open->flow.cookie = cookie;
	open->flow.netns = netns_of(sk);
	open->flow.transport = IPPROTO_TCP;
	fill_addresses(&open->flow, sk);
}

/* States in which our own FIN is in the queue of what is sent; the last of it. */
static __always_inline bool sends_fin(__u8 state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_TIME_WAIT ||
	       state == TCP_CLOSING || state == TCP_LAST_ACK;
}

/* Payload, each byte once. SYN and FIN take a number of the sequence each (RFC 9293, 3.4), and no
 * byte. */
static __always_inline void fill_counts(struct flow *flow, const struct sock *sk)
{
	const struct tcp_sock *tcp = (const void *)sk;
	__u64 received = BPF_CORE_READ(tcp, bytes_received);
	__u64 sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	__u32 next = BPF_CORE_READ(tcp, snd_nxt);
	__u64 passed = BPF_CORE_READ(tcp, bytes_acked) + (__u32)(next - BPF_CORE_READ(tcp, snd_una));

	if (received && BPF_CORE_READ(sk, __sk_common.skc_flags) &
				1UL << bpf_core_enum_value(enum sock_flags, SOCK_DONE))
		received--; /* the peer's FIN */
	if (passed && flow->role == FLOW_OPERATION_CONNECT)
		passed--; /* our SYN; one that answers is not counted */
	if (passed && sends_fin(BPF_CORE_READ(sk, __sk_common.skc_state)) &&
	    next == BPF_CORE_READ(tcp, write_seq))
		passed--;
	/* A segment that a full queue of this host dropped was counted, and is not sent again as one
	 * that was lost: then what passed says how much it was. */
	flow->bytes_sent = sent < passed ? sent : passed;
	flow->bytes_received = received;
	flow->retransmits = BPF_CORE_READ(tcp, total_retrans);
	flow->record.time_ns = bpf_ktime_get_ns();
}

static __always_inline bool of_agent(struct flow *flow)
{
	struct agent *agent = bpf_map_lookup_elem(&agents, &flow->record.pid);

	flow->agent = agent && agent->start_ns == flow->record.start_ns;
	return flow->agent;
}

static __always_inline bool wanted(struct open_flow *open)
{
	struct wanted_address key = { .netns = open->flow.netns };

	if (open->flow.record.pid == settings.monitor_pid)
		return false;
	if (of_agent(&open->flow) || settings.all || open->told)
		return true;
	if (bpf_map_lookup_elem(&wanted_flows, &open->flow.cookie))
		return true;
	__builtin_memcpy(key.address, open->flow.remote, sizeof(key.address));
	return bpf_map_lookup_elem(&wanted_addresses, &key);
}

/* False when nobody heard of it. */
static __always_inline bool tell(void *ctx, struct open_flow *open, enum flow_operation operation)
{
	struct flow *record;

	open->flow.operation = operation;
	if (!wanted(open))
		return false;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return false;
	}
	*record = open->flow;
	submit_record(ctx, record);
	open->told = 1;
	return true;
}

static __always_inline void remember(const struct open_flow *open)
{
	/* Where cookies cannot be made here, another program did that, or the socket is lost. */
	if (!open->flow.cookie ||
	    bpf_map_update_elem(&flows, &open->flow.cookie, open, BPF_ANY))
		count_lost(LOST_SOCKET_TABLE, 1);
}

static __always_inline void connecting(const struct sock *sk, __u64 cookie)
{
	struct open_flow open = {};

	fill_socket(&open, sk, cookie);
	fill_current(&open.flow, FLOW_OWNER_OPENER);
	open.flow.role = FLOW_OPERATION_CONNECT;
	open.flow.opened_ns = bpf_ktime_get_ns();
	remember(&open);
}

static __always_inline void listener_of(struct listener *key, const struct open_flow *open)
{
	key->netns = open->flow.netns;
	key->port = open->flow.local_port;
	__builtin_memcpy(key->address, open->flow.local, sizeof(key->address));
}

static __always_inline void listening(const struct sock *sk, __u64 cookie)
{
	struct open_flow open = {};
	struct listener key = {};

	fill_socket(&open, sk, cookie);
	fill_current(&open.flow, FLOW_OWNER_OPENER);
	listener_of(&key, &open);
	if (bpf_map_update_elem(&listeners, &key, &open, BPF_ANY))
		count_lost(LOST_SOCKET_TABLE, 1);
}

static __always_inline void stopped_listening(const struct sock *sk, __u64 cookie)
{
	struct open_flow open = {}, *known;
	struct listener key = {};

	fill_socket(&open, sk, cookie);
	listener_of(&key, &open);
	known = bpf_map_lookup_elem(&listeners, &key);
	/* Several sockets may listen at one port (SO_REUSEPORT). */
	if (known && known->flow.cookie == cookie)
		bpf_map_delete_elem(&listeners, &key);
}

/* The one that listens at the flow's own address, else at any, IPv4's or IPv6's. */
static __always_inline struct open_flow *find_listener(const struct open_flow *open)
{
	struct listener key = {};
	struct open_flow *found;

	listener_of(&key, open);
	found = bpf_map_lookup_elem(&listeners, &key);
	if (found)
		return found;
	map_ipv4(key.address, 0);
	found = bpf_map_lookup_elem(&listeners, &key);
	if (found)
		return found;
	__builtin_memset(key.address, 0, sizeof(key.address));
	return bpf_map_lookup_elem(&listeners, &key);
}

static __always_inline void connected(void *ctx, const struct sock *sk, __u64 cookie)
{
	struct open_flow *open = bpf_map_lookup_elem(&flows, &cookie);

	if (!open) {
		count_lost(LOST_SOCKET_TABLE, 1);
		return;
	}
	fill_addresses(&open->flow, sk);
	open->flow.established_ns = open->flow.record.time_ns = bpf_ktime_get_ns();
	if (settings.traffic && open->flow.role == FLOW_OPERATION_CONNECT &&
	    open->flow.record.pid != settings.monitor_pid)
		follow_traffic(&open->flow, open->sock);
	tell(ctx, open, FLOW_OPERATION_CONNECT);
}

static __always_inline void accepting(void *ctx, const struct sock *sk, __u64 cookie)
{
	struct open_flow open = {}, *listener, *kept;

	/* Both ends connected to each other at once (RFC 9293, 3.5): nobody listens. */
	if (bpf_map_lookup_elem(&flows, &cookie)) {
		connected(ctx, sk, cookie);
		return;
	}
	fill_socket(&open, sk, cookie);
	listener = find_listener(&open);
	if (listener) {
		open.flow.record.pid = listener->flow.record.pid;
		open.flow.record.start_ns = listener->flow.record.start_ns;
		open.flow.cgroup_id = listener->flow.cgroup_id;
		open.flow.ppid = listener->flow.ppid;
		open.flow.uid = listener->flow.uid;
		open.flow.gid = listener->flow.gid;
		__builtin_memcpy(open.flow.comm, listener->flow.comm, sizeof(open.flow.comm));
		open.flow.owner = FLOW_OWNER_LISTENER;
	}
	open.flow.role = FLOW_OPERATION_ACCEPT;
	open.flow.opened_ns = bpf_ktime_get_ns();
	open.flow.established_ns = open.flow.record.time_ns = open.flow.opened_ns;
	remember(&open);
	if (settings.accepts)
		return;
	kept = bpf_map_lookup_elem(&flows, &cookie);
	if (kept)
		tell(ctx, kept, FLOW_OPERATION_ACCEPT);
}

static __always_inline void accepted(void *ctx, const struct sock *sk)
{
	__u64 cookie;
	struct open_flow *open;

	if (!sk)
		return;
	cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	open = bpf_map_lookup_elem(&flows, &cookie);
	if (!open)
		return;
	fill_current(&open->flow, FLOW_OWNER_OPENER);
	open->flow.record.time_ns = bpf_ktime_get_ns();
	tell(ctx, open, FLOW_OPERATION_ACCEPT);
}

static __always_inline void ended(void *ctx, const struct sock *sk, __u64 cookie, int oldstate)
{
	struct open_flow *open = bpf_map_lookup_elem(&flows, &cookie);
	enum flow_operation operation = FLOW_OPERATION_CLOSE;

	if (!open) {
		/* Elsewhere nobody told us of those that were open before. */
		if (settings.cookies)
			count_lost(LOST_SOCKET_TABLE, 1);
		return;
	}
	if (oldstate == TCP_SYN_SENT) {
		operation = FLOW_OPERATION_CONNECT;
		open->flow.error = BPF_CORE_READ(sk, sk_err);
		/* The process closed the socket, or the kernel ran out of local ports. */
		if (!open->flow.error)
			open->flow.error = ECANCELED;
	}
	fill_counts(&open->flow, sk);
	if (settings.traffic)
		end_traffic(ctx, cookie);
	if (!tell(ctx, open, operation)) {
		open->flow.operation = FLOW_OPERATION_LOOK_CLOSED;
		bpf_map_update_elem(&closed, &cookie, open, BPF_ANY);
	}
	bpf_map_delete_elem(&flows, &cookie);
	bpf_map_delete_elem(&wanted_flows, &cookie);
}

/* close(2), shutdown(2) or the end of the process: all in the process that does it. */
static __always_inline void closing(__u64 cookie)
{
	struct open_flow *open = bpf_map_lookup_elem(&flows, &cookie);

	if (open && (open->flow.owner == FLOW_OWNER_LISTENER ||
		     open->flow.owner == FLOW_OWNER_UNKNOWN))
		fill_current(&open->flow, FLOW_OWNER_HOLDER);
}

/* Called in the process that asks for the change: from CLOSE to SYN_SENT (connect), from CLOSE
 * to LISTEN, to FIN_WAIT1 and LAST_ACK (close). All others may come in an interrupt. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(flow_state, const struct sock *sk, int oldstate, int newstate)
{
	__u64 cookie;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	cookie = cookie_of(sk);
	if (newstate == TCP_SYN_SENT)
		connecting(sk, cookie);
	else if (newstate == TCP_LISTEN)
		listening(sk, cookie);
	else if (newstate == TCP_ESTABLISHED && oldstate == TCP_SYN_SENT)
		connected(ctx, sk, cookie);
	else if (newstate == TCP_ESTABLISHED && oldstate == TCP_SYN_RECV)
		accepting(ctx, sk, cookie);
	else if (newstate == TCP_FIN_WAIT1 || newstate == TCP_LAST_ACK)
		closing(cookie);
	else if (newstate == TCP_CLOSE && oldstate == TCP_LISTEN)
		stopped_listening(sk, cookie);
	else if (newstate == TCP_CLOSE && oldstate != TCP_CLOSE && oldstate != TCP_SYN_RECV)
		ended(ctx, sk, cookie, oldstate);
	return 0;
}

SEC("?fexit/inet_csk_accept")
int flow_accept_exit(__u64 *ctx)
{
	/* The result stands behind the parameters. */
	if (bpf_core_type_exists(struct proto_accept_arg))
		accepted(ctx, (const struct sock *)ctx[2]);
	else
		accepted(ctx, (const struct sock *)ctx[4]);
	return 0;
}

SEC("?kretprobe/inet_csk_accept")
int flow_accept_return(struct pt_regs *ctx)
{
	accepted(ctx, (const struct sock *)PT_REGS_RC(ctx));
	return 0;
}

/* Before Linux 5.12 tracing programs cannot make cookies: these do, before they are needed. */
SEC("?cgroup/sock_create")
int flow_create(struct bpf_sock *ctx)
{
	if (ctx->protocol == IPPROTO_TCP) {
		bpf_get_socket_cookie(ctx);
		bpf_get_netns_cookie(ctx);
	}
	return 1;
}

SEC("?sockops")
int flow_operation(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		bpf_get_socket_cookie(ctx);
	return 1;
}

/* Every file that is open: run once, for the sockets that were there before us. */
SEC("?iter/task_file")
int flow_present(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct open_flow open = {};
	struct listener key = {};
	struct socket *socket;
	struct sock *sk;
	__u8 state;

	if (!file || !task)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == TCP_CLOSE)
		return 0;
	fill_socket(&open, sk, bpf_get_socket_cookie(sk));
	fill_task(&open.flow, task);
	open.flow.tid = open.flow.record.pid;
	open.flow.owner = FLOW_OWNER_HOLDER;
	if (state == TCP_LISTEN) {
		listener_of(&key, &open);
		bpf_map_update_elem(&listeners, &key, &open, BPF_NOEXIST);
		return 0;
	}
	/* Those of a fork share it: the first one found is the oldest. */
	bpf_map_update_elem(&flows, &open.flow.cookie, &open, BPF_NOEXIST);
	return 0;
}

/* Never attached: user space runs it to have a flow's counts brought up to date. */
SEC("?raw_tp/inet_sock_set_state")
int flow_look(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 cookie = ctx->args[0];
	struct open_flow *open = bpf_map_lookup_elem(&flows, &cookie);
	const struct sock *sk;
	struct flow counted;

	if (!open)
		return 0;
	sk = (const struct sock *)open->sock;
	counted = open->flow;
	fill_counts(&counted, sk);
	/* Freed in between, and perhaps another's by now? */
	if (BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) != cookie)
		return 0;
	of_agent(&open->flow);
	open->flow.bytes_sent = counted.bytes_sent;
	open->flow.bytes_received = counted.bytes_received;
	open->flow.retransmits = counted.retransmits;
	open->flow.record.time_ns = counted.record.time_ns;
	open->flow.operation = FLOW_OPERATION_LOOK;
	return 1;
}

/* Every connection whose traffic is followed: user space reads it ten times a second. */
SEC("?iter/bpf_map_elem")
int flow_traffic(struct bpf_iter__bpf_map_elem *ctx)
{
	__u64 *key = ctx->key, cookie, now = bpf_ktime_get_ns();
	struct followed_traffic *followed = ctx->value;

	if (!key || !followed || spare_look(followed, now))
		return 0;
	/* Again, for of what the iterator gives only fixed places may be read. */
	cookie = *key;
	followed = bpf_map_lookup_elem(&traffic, &cookie);
	if (followed && take_slice(followed, now))
		tell_traffic(ctx, followed);
	return 0;
}
