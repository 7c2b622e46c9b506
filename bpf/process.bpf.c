// SPDX-License-Identifier: GPL-2.0
/* Processes: who started whom, and what they run.
 *
 * A host starts thousands of processes a second when it compiles, and nearly all of them matter
 * to nobody. So user space is told of three kinds only: processes of AI agents and all that they
 * start, processes that it knows for another reason (they use TLS), and an exec whose file or
 * arguments hold a word that may mean an agent. Words are compared by hash, whole parts of paths;
 * user space has the full table and the last word. Until it has spoken, such a process counts as
 * an agent's, for what it starts in the meantime would be missed otherwise.
 *
 * A process is named by its pid and the start of its first thread; threads are no processes.
 * Left out: names beyond the first 256 bytes of a path, and of the arguments.
 */
#include "common.h"
#include "words.h"

char LICENSE[] SEC("license") = "GPL";

/* Hashes of words that may mean an agent (hash_word() in records.py); filled by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} agent_words SEC(".maps");

static __always_inline struct agent *agent_of(__u32 pid, __u64 start_ns)
{
	struct agent *agent = bpf_map_lookup_elem(&agents, &pid);

	return agent && agent->start_ns == start_ns ? agent : 0;
}

static __always_inline bool is_told(__u32 pid, __u64 start_ns)
{
	__u64 *known = bpf_map_lookup_elem(&told_processes, &pid);

	return known && *known == start_ns;
}

/* Whether a path in the kernel's memory, or `bytes` of arguments in the process's, have a word.
 * Functions that are not static are verified once, apart from their callers. */
__noinline int path_has_agent_word(__u64 path)
{
	char text[MAX_PATH];
	long length = bpf_probe_read_kernel_str(text, sizeof(text), (void *)path);

	return length > 0 && has_word(&agent_words, text, length, false);
}

__noinline int arguments_have_agent_word(__u64 start, __u64 bytes)
{
	/* Old verifiers take no unset memory where a length is not a constant. */
	char text[MAX_PATH] = {};

	if (bytes > sizeof(text))
		bytes = sizeof(text);
	if (bpf_probe_read_user(text, bytes, (void *)start))
		return false;
	return has_word(&agent_words, text, bytes, false);
}

static __always_inline bool may_be_agent(struct task_struct *task, struct linux_binprm *bprm)
{
	__u64 start = task->mm->arg_start;

	/* Read, not loaded: a plain number is what such a function takes. */
	return path_has_agent_word((__u64)BPF_CORE_READ(bprm, filename)) ||
	       arguments_have_agent_word(start, task->mm->arg_end - start);
}

/* A reservation must have a constant size, so `room` is a constant at each place of call. */
static __always_inline void report_exec(void *ctx, const __u64 room, struct task_struct *task,
					struct linux_binprm *bprm, const struct agent *agent,
					__u64 now)
{
	__u64 start = task->mm->arg_start, bytes = task->mm->arg_end - start, ids;
	struct process_exec *record = reserve_record(sizeof(*record) + room);

	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return;
	}
	fill_record(&record->record, RECORD_PROCESS_EXEC, task->tgid,
		    task->group_leader->start_boottime);
	record->record.time_ns = now;
	record->parent_start_ns = task->real_parent->group_leader->start_boottime;
	record->cgroup_id = bpf_get_current_cgroup_id();
	record->inode = task->mm->exe_file->f_inode->i_ino;
	record->ppid = task->real_parent->tgid;
	record->agent = agent ? agent->root : 0;
	ids = bpf_get_current_uid_gid();
	record->uid = ids;
	record->gid = ids >> 32;
	record->argv_bytes = bytes;
	bpf_probe_read_kernel(record->comm, sizeof(record->comm), task->comm);
	__builtin_memset(record->path, 0, sizeof(record->path));
	if (bpf_probe_read_kernel_str(record->path, sizeof(record->path), bprm->filename) < 0)
		count_lost(LOST_UNREADABLE, 1);
	barrier_var(bytes);
	if (bytes > room)
		bytes = room;
	record->length = bytes;
	if (bpf_probe_read_user(record + 1, bytes, (void *)start)) {
		record->length = 0;
		count_lost(LOST_UNREADABLE, bytes);
	}
	trim_record(record, sizeof(*record) + bytes);
	submit_record(ctx, record);
}

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, __s32 old_pid, struct linux_binprm *bprm)
{
	__u64 start_ns = task->group_leader->start_boottime, bytes, now = bpf_ktime_get_ns();
	__u32 pid = task->tgid;
	struct agent *agent = agent_of(pid, start_ns), fresh = {};

	if (agent) {
		agent->executed_ns = now;
	} else if (may_be_agent(task, bprm)) {
		fresh.start_ns = start_ns;
		fresh.root = pid;
		fresh.executed_ns = now;
		if (bpf_map_update_elem(&agents, &pid, &fresh, BPF_ANY))
			count_lost(LOST_PROCESS_TABLE, 1);
		agent = &fresh;
	}
	if (!agent && !is_told(pid, start_ns))
		return 0;
	bytes = task->mm->arg_end - task->mm->arg_start;
	if (bytes <= 256)
		report_exec(ctx, 256, task, bprm, agent, now);
	else if (bytes <= 1024)
		report_exec(ctx, 1024, task, bprm, agent, now);
	else
		report_exec(ctx, MAX_ARGV, task, bprm, agent, now);
	return 0;
}

SEC("?tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 pid = child->tgid, parent_pid = parent->tgid;
	struct process_fork *record;
	struct agent *agent, own = {};
	__u64 parent_start_ns;

	if (pid == parent_pid)
		return 0; /* a thread */
	parent_start_ns = parent->group_leader->start_boottime;
	agent = agent_of(parent_pid, parent_start_ns);
	if (!agent)
		return 0;
	own.start_ns = child->start_boottime;
	own.root = agent->root;
	if (bpf_map_update_elem(&agents, &pid, &own, BPF_ANY))
		count_lost(LOST_PROCESS_TABLE, 1);
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return 0;
	}
	fill_record(&record->record, RECORD_PROCESS_FORK, pid, own.start_ns);
	record->parent_start_ns = parent_start_ns;
	record->ppid = parent_pid;
	record->agent = own.root;
	submit_record(ctx, record);
	return 0;
}

SEC("?tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	__u64 start_ns;
	struct process_exit *record;
	__u32 pid = task->tgid;
	bool removed;

	/* The kernel counts the live threads of a process down before this point. */
	if (task->signal->live.counter > 0)
		return 0;
	start_ns = task->group_leader->start_boottime;
	if (!is_told(pid, start_ns) && !agent_of(pid, start_ns))
		return 0;
	/* Of two threads that end at once both may come here; one of them removes the entries. */
	removed = !bpf_map_delete_elem(&agents, &pid);
	removed |= !bpf_map_delete_elem(&told_processes, &pid);
	if (!removed)
		return 0;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return 0;
	}
	fill_record(&record->record, RECORD_PROCESS_EXIT, pid, start_ns);
	submit_record(ctx, record);
	return 0;
}

/* All processes that run when the iterator is read, as an array of struct running_process. */
SEC("?iter/task")
int running_processes(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct running_process process = {};

	if (!task || task->pid != task->tgid)
		return 0;
	process.start_ns = task->start_boottime;
	process.parent_start_ns = task->real_parent->group_leader->start_boottime;
	process.pid = task->tgid;
	process.ppid = task->real_parent->tgid;
	bpf_probe_read_kernel(process.comm, sizeof(process.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &process, sizeof(process));
	return 0;
}
