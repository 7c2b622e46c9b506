/* SPDX-License-Identifier: GPL-2.0 */
/* System calls that touch files and sockets: their numbers, and the registers they were made with.
 *
 * Numbers: asm/unistd_64.h of x86-64, and asm-generic/unistd.h, which arm64 follows. A number
 * that an architecture does not have is one that no call has.
 */
#ifndef BUSTED_SYSCALLS_H
#define BUSTED_SYSCALLS_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* arch/x86/include/asm/thread_info.h: the current system call is a 32-bit one */
#define TS_COMPAT 2

enum system_call {
#if defined(__TARGET_ARCH_x86)
	CALL_READ = 0, CALL_WRITE = 1, CALL_OPEN = 2, CALL_CLOSE = 3, CALL_PREAD = 17,
	CALL_PWRITE = 18, CALL_READV = 19, CALL_WRITEV = 20, CALL_DUP2 = 33, CALL_SENDFILE = 40,
	CALL_SENDTO = 44, CALL_RECVFROM = 45, CALL_SENDMSG = 46, CALL_RECVMSG = 47,
	CALL_EXECVE = 59, CALL_RENAME = 82, CALL_CREAT = 85, CALL_UNLINK = 87, CALL_OPENAT = 257,
	CALL_UNLINKAT = 263, CALL_RENAMEAT = 264, CALL_SPLICE = 275, CALL_DUP3 = 292,
	CALL_PREADV = 295, CALL_PWRITEV = 296, CALL_RENAMEAT2 = 316, CALL_EXECVEAT = 322,
	CALL_COPY_FILE_RANGE = 326, CALL_PREADV2 = 327, CALL_PWRITEV2 = 328,
#elif defined(__TARGET_ARCH_arm64)
	CALL_DUP3 = 24, CALL_UNLINKAT = 35, CALL_RENAMEAT = 38, CALL_OPENAT = 56, CALL_CLOSE = 57,
	CALL_READ = 63, CALL_WRITE = 64, CALL_READV = 65, CALL_WRITEV = 66, CALL_PREAD = 67,
	CALL_PWRITE = 68, CALL_PREADV = 69, CALL_PWRITEV = 70, CALL_SENDFILE = 71,
	CALL_SPLICE = 76, CALL_SENDTO = 206, CALL_RECVFROM = 207, CALL_SENDMSG = 211,
	CALL_RECVMSG = 212, CALL_EXECVE = 221, CALL_RENAMEAT2 = 276, CALL_EXECVEAT = 281,
	CALL_COPY_FILE_RANGE = 285, CALL_PREADV2 = 286, CALL_PWRITEV2 = 287,
	CALL_OPEN = -2, CALL_RENAME = -3, CALL_CREAT = -4, CALL_UNLINK = -5, CALL_DUP2 = -6,
#endif
	CALL_CLOSE_RANGE = 436, CALL_OPENAT2 = 437,
};

static __always_inline enum system_call call_of(struct pt_regs *registers)
{
#if defined(__TARGET_ARCH_x86)
	return ((struct pt_regs___x86 *)registers)->orig_ax;
#elif defined(__TARGET_ARCH_arm64)
	return ((struct pt_regs___arm64_call *)registers)->syscallno;
#endif
}

/* Its arguments stand elsewhere, and its number means another call. */
static __always_inline bool is_compat(struct task_struct *task)
{
	return bpf_core_field_exists(task->thread_info.status) &&
	       BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

#define ARGUMENT(n) PT_REGS_PARM##n##_CORE_SYSCALL(registers)

/* struct iovec */
struct buffer {
	__u64 base;
	__u64 length;
};

#endif
