/* SPDX-License-Identifier: GPL-2.0 */
/* What all programs need that tell of flows: whose one is, and its addresses. */
#ifndef BUSTED_FLOWS_H
#define BUSTED_FLOWS_H

#include "common.h"
#include "socket_types.h"

static __always_inline __u64 netns_of(const struct sock *sk)
{
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	struct net___before_5_12 *old = (void *)net;

	if (bpf_core_field_exists(old->net_cookie.counter))
		return BPF_CORE_READ(old, net_cookie.counter);
	return BPF_CORE_READ(net, net_cookie);
}

static __always_inline void map_ipv4(__u8 address[16], __be32 ipv4)
{
	__be32 *words = (__be32 *)address;

	words[0] = words[1] = 0;
	words[2] = __builtin_bswap32(0xffff);
	words[3] = ipv4;
}

static __always_inline void fill_task(struct flow *flow, struct task_struct *task)
{
	struct task_struct___owner *owner = (void *)task;

	flow->record.pid = BPF_CORE_READ(task, tgid);
	flow->record.start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	flow->ppid = BPF_CORE_READ(task, real_parent, tgid);
	flow->uid = BPF_CORE_READ(owner, cred, uid.val);
	flow->gid = BPF_CORE_READ(owner, cred, gid.val);
	flow->cgroup_id = BPF_CORE_READ(owner, cgroups, dfl_cgrp, kn, id);
	BPF_CORE_READ_INTO(&flow->comm, task, group_leader, comm);
}

/* Only where the kernel does what the current process asked for. */
static __always_inline void fill_current(struct flow *flow, enum flow_owner owner)
{
	fill_task(flow, (void *)bpf_get_current_task());
	flow->tid = bpf_get_current_pid_tgid();
	flow->owner = owner;
}

#endif
