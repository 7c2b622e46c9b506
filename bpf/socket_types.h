/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's types of sockets and files, cut down as in kernel_types.h. */
#ifndef BUSTED_SOCKET_TYPES_H
#define BUSTED_SOCKET_TYPES_H

#include "kernel_types.h"

/* Stable numbers: net/tcp_states.h, sys/socket.h, netinet/in.h. */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_FIN_WAIT2 = 5,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
};
enum { AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10 };
enum { IPPROTO_TCP = 6 };
enum { ECANCELED = 125 };
enum { BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB = 5 };

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"

/* What programs are given: linux/bpf.h, a stable ABI, hence not relocated. */
struct bpf_sock_ops {
	__u32 op;
};

struct bpf_raw_tracepoint_args {
	__u64 args[1];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__s64 counter;
} atomic64_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct net {
	__u64 net_cookie;
};

/* Before Linux 5.12 it was made when first asked for. */
struct net___before_5_12 {
	atomic64_t net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
};

enum sock_flags { SOCK_DONE = 1 };

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	int sk_err;
};

struct tcp_sock {
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 write_seq;
	__u32 total_retrans;
	__u32 data_segs_in;
	__u32 data_segs_out;
};

/* Linux 6.10: the last of inet_csk_accept()'s two parameters; it had four before. */
struct proto_accept_arg {
	int err;
};

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct cred {
	kuid_t uid;
	kgid_t gid;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

/* What kernel_types.h leaves out of a task. */
struct task_struct___owner {
	const struct cred *cred;
	struct css_set *cgroups;
};

struct file;

struct socket {
	struct sock *sk;
};

struct bpf_iter__tcp {
	struct sock_common *sk_common;
};

struct bpf_iter__bpf_map_elem {
	void *key;
	void *value;
};

struct bpf_iter__task_file {
	struct task_struct *task;
	struct file *file;
};

#pragma clang attribute pop
#pragma clang diagnostic pop

#endif
