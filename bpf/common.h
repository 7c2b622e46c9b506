/* SPDX-License-Identifier: GPL-2.0 */
/* What every program shares: the way of a record to user space, the counters of what was lost,
 * which processes are AI agents, and how a process is told from another that got the same pid.
 *
 * The maps here are made once, from shared.bpf.c, and lent to every other object. Each object is
 * built twice: records go through a ring buffer, or with PERF_BUFFER through perf buffers.
 */
#ifndef BUSTED_COMMON_H
#define BUSTED_COMMON_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "records.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOST_PLACES);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* User space sets `waiting` before it sleeps and finds it cleared by whoever woke it. While it
 * works it looks at the ring by itself, so a busy producer pays for no wake-up at all. */
struct reader {
	__u64 waiting;
	__u64 quarters; /* of a perf buffer that were full when user space last looked */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reader);
} reader SEC(".maps");

/* The processes of AI agents, by pid: those that user space named, and what they started since. */
struct agent {
	__u64 start_ns; /* of the process: an entry of a recycled pid means nothing */
	__u32 root;     /* pid of the agent whose process, child or grandchild this is */
	__u32 unused;
	__u64 executed_ns; /* when it last ran another program, 0: not since it is here */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct agent);
} agents SEC(".maps");

/* Processes that user space was told of, by pid: their exec and their end are worth a record.
 * The value is their start time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} told_processes SEC(".maps");

/* Of numbers below 2^63; without a branch, so that the verifier has one way to follow. */
static __always_inline __u64 smaller(__u64 one, __u64 other)
{
	__u64 is_less = -((one - other) >> 63);

	barrier_var(is_less);
	return (one & is_less) | (other & ~is_less);
}

static __always_inline void count_lost(enum lost_place place, __u64 amount)
{
	__u32 key = place;
	__u64 *count = bpf_map_lookup_elem(&lost, &key);

	if (count)
		*count += amount;
}

/* Whether the reader sleeps and is to be woken, which is then done once. */
static __always_inline bool reader_waits(void)
{
	__u32 key = 0;
	struct reader *state = bpf_map_lookup_elem(&reader, &key);

	if (!state || !state->waiting)
		return false;
	state->waiting = 0;
	return true;
}

#ifdef PERF_BUFFER
#include "perf_buffer.h"
#else
#include "ring_buffer.h"
#endif

static __always_inline __u64 process_start_ns(void)
{
	struct task_struct *task;

	/* Linux 5.11: plain loads, a tenth of the cost of a muted call. */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		task = bpf_get_current_task_btf();
		return task->group_leader->start_boottime;
	}
	task = (void *)bpf_get_current_task();
	return BPF_CORE_READ(task, group_leader, start_boottime);
}

/* Counts the programs that the process ran: exec keeps the pid and the start time. */
static __always_inline __u64 process_exec_id(void)
{
	struct task_struct *task;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		task = bpf_get_current_task_btf();
		return task->group_leader->self_exec_id;
	}
	task = (void *)bpf_get_current_task();
	return BPF_CORE_READ(task, group_leader, self_exec_id);
}

/* The agent that the current process belongs to, or nothing. */
static __always_inline struct agent *current_agent(void)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct agent *agent = bpf_map_lookup_elem(&agents, &pid);

	return agent && agent->start_ns == process_start_ns() ? agent : 0;
}

static __always_inline void fill_record(struct record_header *record, enum record_type type,
					__u32 pid, __u64 start_ns)
{
	record->type = type;
	record->version = RECORDS_VERSION;
	record->pad = 0;
	record->pid = pid;
	record->time_ns = bpf_ktime_get_ns();
	record->start_ns = start_ns;
}

#endif
