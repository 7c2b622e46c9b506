/* SPDX-License-Identifier: GPL-2.0 */
/* What the current process runs, told once: user space may come too late to look. */
#ifndef BUSTED_PROGRAM_H
#define BUSTED_PROGRAM_H

#include "common.h"

/* A process may live for milliseconds only. What it was started as stands in its own memory: the
 * arguments, and behind the environment the path that execve() was given (fs/exec.c, bprm->exec).
 * What cannot be read there /proc says as well. */
static __noinline int report_program(void *ctx, __u32 pid, __u64 start_ns)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct process_program *record = reserve_record(sizeof(*record) + MAX_PROGRAM_ARGV);
	__u64 start, bytes;

	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return 0;
	}
	fill_record(&record->record, RECORD_PROCESS_PROGRAM, pid, start_ns);
	record->inode = BPF_CORE_READ(task, mm, exe_file, f_inode, i_ino);
	record->unused = 0;
	__builtin_memset(record->path, 0, sizeof(record->path));
	bpf_probe_read_user_str(record->path, sizeof(record->path),
				(void *)BPF_CORE_READ(task, mm, env_end));
	start = BPF_CORE_READ(task, mm, arg_start);
	bytes = BPF_CORE_READ(task, mm, arg_end) - start;
	barrier_var(bytes);
	if (bytes > MAX_PROGRAM_ARGV)
		bytes = MAX_PROGRAM_ARGV;
	if (bpf_probe_read_user(record + 1, bytes, (void *)start))
		bytes = 0;
	record->length = bytes;
	trim_record(record, sizeof(*record) + bytes);
	submit_record(ctx, record);
	return 0;
}

#endif
