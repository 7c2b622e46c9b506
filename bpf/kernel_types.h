/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's own types, cut down to the fields we read. CO-RE relocates them at load
 * time against the running kernel's BTF, so no kernel headers are needed to compile.
 */
#ifndef BUSTED_KERNEL_TYPES_H
#define BUSTED_KERNEL_TYPES_H

/* Tells libbpf's headers that kernel types, not user-space ones, are in scope. */
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;

enum { false = 0, true = 1 };

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1024 };
#define BPF_F_CURRENT_CPU 0xffffffffULL
enum { BPF_SK_STORAGE_GET_F_CREATE = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0, BPF_RB_RING_SIZE = 1 };

enum bpf_func_id {
	BPF_FUNC_get_current_task_btf = 158,
	BPF_FUNC_get_attach_cookie = 174,
	BPF_FUNC_loop = 181,
};

/* Registers at a probe: a stable ABI, hence not relocated. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
};
struct pt_regs;
#endif

/* What programs at sockets get, from linux/bpf.h: a stable layout, hence not relocated; what we
 * do not read is left nameless. */
struct bpf_sock {
	__u32 bound_dev_if, family, type, protocol, mark, priority;
	__u32 src_ip4, src_ip6[4], src_port;
	__u32 dst_port; /* network byte order, in the lower half */
	__u32 dst_ip4, dst_ip6[4];
	__u32 state;
	__s32 rx_queue_mapping;
};

struct __sk_buff {
	__u32 len; /* from the network header on */
	__u32 before_sk[41];
	struct bpf_sock *sk;
};

struct bpf_tcp_sock {
	__u32 before_next[4];
	__u32 rcv_nxt;
	__u32 before_bytes[15];
	__u64 bytes_received;
	__u64 bytes_acked;
};

struct bpf_sock_addr {
	__u32 user_family, user_ip4, user_ip6[4];
	__u32 user_port; /* network byte order, in the lower half */
	__u32 family, type, protocol;
	__u32 msg_src_ip4, msg_src_ip6[4];
	__u32 before_sk;
	struct bpf_sock *sk;
};

/* Their layout here means nothing: every access is relocated. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct seccomp {
	int mode;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct inode {
	__u16 i_mode;
	__u32 i_rdev;
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	__s64 f_pos;
	void *private_data;
};

/* How many hold an open file: since Linux 6.13 in a field that begins at 0, before at 1. */
struct file___6_13 {
	struct {
		struct {
			__s64 counter;
		} refcnt;
	} f_ref;
};

struct file___5_8 {
	struct {
		__s64 counter;
	} f_count;
};

struct fdtable {
	__u32 max_fds;
	struct file **fd;
	unsigned long *close_on_exec;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path pwd;
};

struct thread_info {
	__u32 status;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	unsigned long env_end;
	struct file *exe_file;
};

struct linux_binprm {
	const char *filename;
};

struct task_struct {
	__s32 pid;
	__s32 tgid;
	char comm[16];
	__u64 start_boottime;
	__u64 self_exec_id;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct seccomp seccomp;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct thread_info thread_info;
};

/* The system call that registers belong to, on x86-64 and on arm64. */
struct pt_regs___x86 {
	unsigned long orig_ax;
};

struct pt_regs___arm64_call {
	__s32 syscallno;
};

/* What a program of an iterator is given. */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop
#pragma clang diagnostic pop

#endif
