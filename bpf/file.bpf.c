// SPDX-License-Identifier: GPL-2.0
/* Files: what AI agents open, read, write, rename and unlink, and who touches sensitive files.
 *
 * One program where system calls begin and one where they end: tracepoints that every kernel has,
 * while those of single calls, functions and LSM hooks are missing on many. Every system call of
 * the host pays for them, so they are attached only where the operator asks for files; a call that
 * is not in the table ends after comparisons, one of a process that is no agent's after one
 * look-up. Of processes that are no agents' only opening, renaming and unlinking is looked at, and
 * only by the words in the path that they give.
 *
 * A path is told as the kernel has it, from the file's own name up to the root, so that neither
 * links nor a working directory hide it. Bytes are counted in the kernel by open file, which is
 * the same however its descriptor was copied or inherited. They are told when the process that
 * opened it closes a descriptor of it, or anybody the last one.
 *
 * Left out: io_uring, mmap, 32-bit processes, descriptors beyond MAX_DESCRIPTORS where many close
 * at once, and content past the first buffer of readv and writev or moved by sendfile, splice and
 * copy_file_range, which is counted.
 */
#include "common.h"
#include "descriptors.h"
#include "syscalls.h"
#include "words.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by user space before loading. */
const volatile struct file_settings settings = { .max_file_bytes = 64 << 10 };

#define MAX_PARTS 32
/* What never changes a number of bytes of parts. */
#define PARTS_MASK 2047
_Static_assert(MAX_PARTS_BYTES + MAX_PART <= PARTS_MASK, "parts are masked");
/* Longer names of directories are told. */
#define MAX_QUIET_NAME 32
/* Descriptors that are looked at when a process ends, runs another program or closes a range. */
#define MAX_DESCRIPTORS 256
/* Of one call: 128 KiB; more would come near what the verifier takes, with perf buffers. */
#define MAX_PIECES 8
/* What never changes their bytes. */
#define PIECES_MASK (2 * MAX_PIECES * MAX_FILE_DATA - 1)

/* fcntl.h */
#define AT_FDCWD -100
#define O_ACCMODE 3
#define O_CREAT_WRONLY_TRUNC 01101
/* linux/magic.h: what looks like files and is the kernel's own state */
#define PROC_SUPER_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define CGROUP2_SUPER_MAGIC 0x63677270
#define DEBUGFS_MAGIC 0x64626720
#define TRACEFS_MAGIC 0x74726163

/* Hashes of parts of names that may be sensitive (hash_word() in records.py). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} file_words SEC(".maps");

struct directory {
	__u64 inode;
	__u32 device;
	__u32 unused;
};

/* Directories whose files are of no interest to read, as libraries are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct directory);
	__type(value, __u8);
} quiet_directories SEC(".maps");

/* Hashes of names of such directories, wherever they are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u8);
} quiet_names SEC(".maps");

struct open_file {
	__u64 since_ns;
	__u64 inode; /* with the pointer: whether it is still the same file */
	__u64 bytes[2];
	__u64 told[2];
	__u64 sent;
	__u32 pid; /* of the process that opened it, or was the first to use it */
	__u32 quiet;
};

/* By the address of struct file. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct open_file);
} open_files SEC(".maps");

/* Whether a name may be sensitive, in the memory of the process or in the kernel's. Functions
 * that are not static are verified once, and what they return is anything: so their many ways
 * are not multiplied with those of their callers. */
__noinline int is_sensitive(__u64 name, bool in_kernel)
{
	char text[MAX_PATH];
	long length;

	if (in_kernel)
		length = bpf_probe_read_kernel_str(text, sizeof(text), (void *)name);
	else
		length = bpf_probe_read_user_str(text, sizeof(text), (void *)name);
	return length > 0 && has_word(&file_words, text, length, true);
}

/* Whether a directory is quiet, by itself or by its name. */
__noinline int is_quiet(__u64 dentry)
{
	struct inode *inode = BPF_CORE_READ((struct dentry *)dentry, d_inode);
	struct directory directory = { .inode = BPF_CORE_READ(inode, i_ino),
				       .device = BPF_CORE_READ(inode, i_sb, s_dev) };
	char name[MAX_QUIET_NAME];
	long length;

	if (bpf_map_lookup_elem(&quiet_directories, &directory))
		return true;
	length = bpf_probe_read_kernel_str(name, sizeof(name),
					   BPF_CORE_READ((struct dentry *)dentry, d_name.name));
	return length > 0 && has_word(&quiet_names, name, length, false);
}

/* Where a path goes on from a directory entry: to its parent, or, at the root of a mount, to what
 * it is mounted on. Each answer is a function of its own; see is_sensitive(). */
enum { ABOVE_ENTRY, ABOVE_MOUNT, IS_MOUNT_ROOT, IS_END };

__noinline __u64 above(__u64 entry, __u64 mounted, __u32 what)
{
	struct mount *mount = (void *)mounted, *parent;
	struct dentry *dentry = (void *)entry;
	bool root = dentry == BPF_CORE_READ(mount, mnt.mnt_root);

	parent = BPF_CORE_READ(mount, mnt_parent);
	switch (what) {
	case ABOVE_ENTRY:
		return (__u64)(root ? BPF_CORE_READ(mount, mnt_mountpoint)
				    : BPF_CORE_READ(dentry, d_parent));
	case ABOVE_MOUNT:
		return (__u64)(root ? parent : mount);
	case IS_MOUNT_ROOT:
		return root;
	default:
		return root ? parent == mount : dentry == BPF_CORE_READ(dentry, d_parent);
	}
}

/* Writes the parts of a path, the last one first; returns whether one of them is quiet. */
static __always_inline bool put_parts(struct file_access *record, struct path *path)
{
	__u64 mount = (__u64)BPF_CORE_READ(path, mnt) - bpf_core_field_offset(struct mount, mnt);
	__u64 entry = (__u64)BPF_CORE_READ(path, dentry), next;
	__u32 quiet = 0, used = 0;
	long length;

	for (int i = 0; i < MAX_PARTS; i++) {
		/* One range for all that the parts before may have used: else an old verifier
		 * follows the rest of the loop for each of them. */
		used &= PARTS_MASK;
		barrier_var(used);
		if (above(entry, mount, IS_END)) {
			record->complete = above(entry, mount, IS_MOUNT_ROOT);
			break;
		}
		if (used > MAX_PARTS_BYTES)
			break;
		length = bpf_probe_read_kernel_str(
			record->parts + used, MAX_PART,
			BPF_CORE_READ((struct dentry *)entry, d_name.name));
		if (length <= 0)
			break;
		/* The root of a mount has a name that is part of no path. */
		used += length & (above(entry, mount, IS_MOUNT_ROOT) - 1);
		next = above(entry, mount, ABOVE_ENTRY);
		mount = above(entry, mount, ABOVE_MOUNT);
		entry = next;
		quiet |= is_quiet(entry);
	}
	record->parts_length = used;
	return quiet;
}

static __always_inline void fill_file(struct file_header *header, enum record_type type,
				      __u64 file, __u64 since_ns)
{
	fill_record(&header->record, type, bpf_get_current_pid_tgid() >> 32, process_start_ns());
	header->file = file;
	header->since_ns = since_ns;
}

static __always_inline bool is_followed(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFREG)
		return false;
	switch (BPF_CORE_READ(inode, i_sb, s_magic)) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
		return false;
	}
	return true;
}

/* A file that was opened, or else a name, which names nothing or something else by now. */
struct access {
	struct file *file;
	__u64 name; /* its address */
	__s32 directory; /* descriptor of what the name is relative to, or AT_FDCWD */
	__u32 flags;
	__s32 result;
	__u8 operation;
	bool sensitive;
	bool agent;
	bool inherited;
};

static __always_inline struct path *path_of(struct task_struct *task, const struct access *access)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);

	if (access->file)
		return &access->file->f_path;
	if (access->directory == AT_FDCWD)
		return &fs->pwd;
	return &file_of(task, access->directory)->f_path;
}

/* An agent's file is remembered, to count its bytes. */
static __always_inline void remember(struct file *file, __u64 since_ns, bool quiet)
{
	struct open_file opened = { .since_ns = since_ns, .quiet = quiet };
	__u64 key = (__u64)file;

	opened.pid = bpf_get_current_pid_tgid() >> 32;
	opened.inode = BPF_CORE_READ(file, f_inode, i_ino);
	if (bpf_map_update_elem(&open_files, &key, &opened, BPF_ANY))
		count_lost(LOST_FILE_RECORDS, 1);
}

static __noinline int report(void *ctx, struct task_struct *task, const struct access *access)
{
	struct file_access *record = reserve_record(sizeof(*record));
	__u64 since_ns = access->file ? bpf_ktime_get_ns() : 0, ids = bpf_get_current_uid_gid();
	bool quiet;

	if (!record) {
		count_lost(LOST_FILE_RECORDS, 1);
		return 0;
	}
	fill_file(&record->header, RECORD_FILE_ACCESS, (__u64)access->file, since_ns);
	record->cgroup_id = bpf_get_current_cgroup_id();
	record->tid = bpf_get_current_pid_tgid();
	record->ppid = BPF_CORE_READ(task, real_parent, tgid);
	record->uid = ids;
	record->gid = ids >> 32;
	record->result = access->result;
	record->flags = access->flags;
	record->operation = access->operation;
	record->inherited = access->inherited;
	record->complete = 0;
	record->unused[0] = 0;
	BPF_CORE_READ_INTO(&record->comm, task, group_leader, comm);
	__builtin_memset(record->name, 0, sizeof(record->name));
	if (!access->file &&
	    bpf_probe_read_user_str(record->name, sizeof(record->name), (void *)access->name) < 0)
		count_lost(LOST_UNREADABLE, 1);
	quiet = put_parts(record, path_of(task, access)) && !access->sensitive &&
		!(access->flags & O_ACCMODE);
	if (access->file && access->agent)
		remember(access->file, since_ns, quiet);
	if (quiet)
		discard_record(record);
	else
		submit_record(ctx, record);
	return 0;
}

static __always_inline bool is_own(void)
{
	return bpf_get_current_pid_tgid() >> 32 == settings.monitor_pid;
}

/* A call that took one name, or two; the second is that of a rename. */
static __always_inline int name_call_done(void *ctx, struct task_struct *task,
					  struct access *access, __u64 second,
					  __s32 second_directory)
{
	access->agent = current_agent();
	access->sensitive = is_sensitive(access->name, false) ||
			    (second && is_sensitive(second, false));
	/* What failed is told of sensitive files only: programs look for files in many places. */
	if (!access->sensitive && (access->result < 0 || !access->agent || !settings.all))
		return 0;
	if (is_own())
		return 0;
	if (access->operation == FILE_OPEN && access->result >= 0) {
		access->file = file_of(task, access->result);
		if (!access->file || !is_followed(access->file))
			return 0;
	}
	for (int i = 0; i < 2; i++) {
		report(ctx, task, access);
		if (!second)
			break;
		access->operation = FILE_RENAMED_TO;
		access->name = second;
		access->directory = second_directory;
		second = 0;
	}
	return 0;
}

/* An agent's file that nothing is told of. */
__noinline int remember_quiet(__u64 file)
{
	remember((struct file *)file, 0, true);
	return 0;
}

#define UNKNOWN_FILE 1

/* Counts what a call moved. Returns the open file if its bytes are told, UNKNOWN_FILE where nobody
 * said yet whether they are, or 0. */
__noinline __u64 count_known(__u64 task, __u32 descriptor, __u32 direction, __u64 bytes)
{
	struct file *file = file_of((struct task_struct *)task, descriptor);
	__u64 key = (__u64)file;
	struct open_file *known;

	if (!file)
		return 0;
	known = bpf_map_lookup_elem(&open_files, &key);
	if (!known || known->inode != BPF_CORE_READ(file, f_inode, i_ino))
		return is_followed(file) ? UNKNOWN_FILE : 0;
	if (known->quiet)
		return 0;
	__sync_fetch_and_add(&known->bytes[direction & 1], bytes);
	return key;
}

/* Counts what a call moved; returns the open file if its bytes are told. What is large on the stack
 * stands in functions that this one calls, one after the other: together 512 bytes are all. */
static __always_inline __u64 count_moved(void *ctx, struct task_struct *task, __u32 descriptor,
					 __u32 direction, __u64 bytes)
{
	__u64 file = count_known((__u64)task, descriptor, direction, bytes);
	struct access access = { .agent = true, .inherited = true };
	struct file *opened;

	if (file != UNKNOWN_FILE)
		return file;
	/* Opened before the agent was one, or by whoever started it. */
	opened = file_of(task, descriptor);
	access.file = opened;
	access.sensitive =
		is_sensitive((__u64)BPF_CORE_READ(opened, f_path.dentry, d_name.name), true);
	if (!access.sensitive && !settings.all) {
		remember_quiet((__u64)opened);
		return 0;
	}
	report(ctx, task, &access);
	file = count_known((__u64)task, descriptor, direction, bytes);
	return file == UNKNOWN_FILE ? 0 : file;
}

struct piece {
	__u64 file;
	__u64 since_ns;
	__u64 buffer;
	__u64 offset;
	__u64 bytes;
	__u64 direction;
};

/* A reservation must have a constant size, so `room` is a constant at each place of call. */
static __always_inline void send_data(void *ctx, const __u64 room, struct task_struct *task,
				      const struct piece *piece, __u64 length)
{
	struct file_data *record = reserve_record(sizeof(*record) + room);

	if (!record) {
		count_lost(LOST_FILE_DATA, length);
		return;
	}
	fill_file(&record->header, RECORD_FILE_DATA, piece->file, piece->since_ns);
	record->offset = piece->offset;
	record->call_bytes = piece->bytes;
	record->direction = piece->direction;
	__builtin_memset(record->unused, 0, sizeof(record->unused));
	BPF_CORE_READ_INTO(&record->comm, task, group_leader, comm);
	/* Keeps the compiler from proving the bound away that the verifier wants to see. */
	barrier_var(length);
	if (length > room)
		length = room;
	record->length = length;
	if (bpf_probe_read_user(record + 1, length, (void *)piece->buffer)) {
		discard_record(record);
		count_lost(LOST_FILE_DATA, length);
		return;
	}
	trim_record(record, sizeof(*record) + length);
	submit_record(ctx, record);
}

static __noinline int send_piece(void *ctx, struct task_struct *task, const struct piece *piece,
				 __u64 length)
{
	if (length <= 256)
		send_data(ctx, 256, task, piece, length);
	else if (length <= 2048)
		send_data(ctx, 2048, task, piece, length);
	else
		send_data(ctx, MAX_FILE_DATA, task, piece, length);
	return 0;
}

/* What a call moved through the memory of its process. */
struct move {
	__u64 file;
	__u64 buffer;
	__u64 room;   /* of the buffer */
	__s64 offset; /* negative where it is the file's own */
	__u64 bytes;
	__u64 direction;
};

static __noinline int send_content(void *ctx, struct task_struct *task, const struct move *move)
{
	struct open_file *known = bpf_map_lookup_elem(&open_files, &move->file);
	struct piece piece = { .file = move->file,
			       .buffer = move->buffer,
			       .offset = move->offset,
			       .direction = move->direction };
	__u64 length, here, last, rest = move->bytes;
	struct file *file = (void *)move->file;

	if (!known || known->sent >= settings.max_file_bytes)
		return 0;
	length = settings.max_file_bytes - known->sent;
	length = smaller(smaller(length, rest), smaller(move->room, MAX_PIECES * MAX_FILE_DATA));
	length &= PIECES_MASK;
	known->sent += length;
	piece.since_ns = known->since_ns;
	if (move->offset < 0)
		piece.offset = BPF_CORE_READ(file, f_pos) - rest;
	for (int i = 0; i < MAX_PIECES && length; i++) {
		/* Without branches, and always the same range: the verifier has one way to follow. */
		here = smaller(length, MAX_FILE_DATA);
		length -= here;
		length &= PIECES_MASK;
		/* The last one stands for all that is not told, too. */
		last = -((length - 1) >> 63);
		piece.bytes = (rest & last) | (here & ~last);
		rest -= here;
		send_piece(ctx, task, &piece, here);
		piece.buffer += here;
		piece.offset += here;
	}
	return 0;
}

/* Whether nothing but one descriptor leads to an open file. */
static __always_inline bool is_last(__u64 file)
{
	struct file___6_13 *newer = (void *)file;
	struct file___5_8 *older = (void *)file;

	if (bpf_core_field_exists(newer->f_ref))
		return BPF_CORE_READ(newer, f_ref.refcnt.counter) == 0;
	return BPF_CORE_READ(older, f_count.counter) == 1;
}

static __always_inline bool closes_on_exec(struct task_struct *task, __u32 descriptor)
{
	unsigned long *words = BPF_CORE_READ(task, files, fdt, close_on_exec), word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), words + descriptor / 64);
	return word >> descriptor % 64 & 1;
}

/* The open file behind a descriptor that is closed now, if there is something to tell of it: more
 * was moved than was told, and whoever has it open, too, is not to tell it later. */
__noinline __u64 untold_file(__u64 task, __u32 descriptor)
{
	__u64 file = (__u64)file_of((struct task_struct *)task, descriptor);
	struct open_file *known = bpf_map_lookup_elem(&open_files, &file);

	if (!known || (known->bytes[0] == known->told[0] && known->bytes[1] == known->told[1]))
		return 0;
	return known->pid == bpf_get_current_pid_tgid() >> 32 || is_last(file) ? file : 0;
}

static __noinline int report_bytes(void *ctx, struct task_struct *task, __u64 file)
{
	struct open_file *known = bpf_map_lookup_elem(&open_files, &file);
	struct file_bytes *record;

	if (!known)
		return 0;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_FILE_RECORDS, 1);
		return 0;
	}
	known->told[0] = known->bytes[0];
	known->told[1] = known->bytes[1];
	fill_file(&record->header, RECORD_FILE_BYTES, file, known->since_ns);
	record->bytes[0] = known->told[0];
	record->bytes[1] = known->told[1];
	record->last = is_last(file);
	record->unused = 0;
	BPF_CORE_READ_INTO(&record->comm, task, group_leader, comm);
	submit_record(ctx, record);
	return 0;
}

/* Tells how much was moved, of so many descriptors from the first on. */
static __always_inline int report_descriptors(void *ctx, struct task_struct *task, __u32 first,
					      const __u32 count, const bool on_exec)
{
	__u32 end = BPF_CORE_READ(task, files, fdt, max_fds);
	__u64 file;

	for (__u32 i = 0; i < count && first + i < end; i++) {
		if (on_exec && !closes_on_exec(task, first + i))
			continue;
		file = untold_file((__u64)task, first + i);
		if (file)
			report_bytes(ctx, task, file);
	}
	return 0;
}

/* What is gone when the call is done: the file behind a descriptor. dup2() closes its target. */
SEC("?tp_btf/sys_enter")
int BPF_PROG(file_call_begun, struct pt_regs *registers, long number)
{
	struct task_struct *task;

	switch (number) {
	case CALL_CLOSE:
	case CALL_DUP2:
	case CALL_DUP3:
	case CALL_CLOSE_RANGE:
	case CALL_EXECVE:
	case CALL_EXECVEAT:
		break;
	default:
		return 0;
	}
	task = (void *)bpf_get_current_task();
	if (!current_agent() || is_compat(task))
		return 0;
	switch (number) {
	case CALL_CLOSE:
		return report_descriptors(ctx, task, ARGUMENT(1), 1, false);
	case CALL_CLOSE_RANGE:
		return report_descriptors(ctx, task, ARGUMENT(1), MAX_DESCRIPTORS, false);
	case CALL_EXECVE:
	case CALL_EXECVEAT:
		return report_descriptors(ctx, task, 0, MAX_DESCRIPTORS, true);
	default:
		return report_descriptors(ctx, task, ARGUMENT(2), 1, false);
	}
}

/* What the arguments of a call mean. */
enum {
	NAMES = 1,            /* it takes a name */
	OPERATION = 3 << 1,   /* enum file_operation */
	AT = 1 << 3,          /* the name is the second argument, its directory the first */
	FLAGS_THIRD = 1 << 4, /* the flags are the third argument */
	FLAGS_BEHIND = 1 << 5, /* the third argument points to them */
	FLAGS_SECOND = 1 << 6,
	CREATES = 1 << 7,
	SECOND = 1 << 8,      /* a second name follows */
	MOVES = 1 << 9,       /* it takes a descriptor and moves bytes */
	READS = 1 << 10,
	OFFSET = 1 << 11,     /* the fourth argument says where in the file */
	VECTOR = 1 << 12,     /* the second argument points to struct iovec */
	TWO_FILES = 1 << 13,  /* from one file to another */
	THIRD_FILE = 1 << 14, /* the other one is the third argument, not the second */
};

__noinline __u32 meaning_of(__u32 call)
{
	switch (call) {
	case CALL_CREAT:
		return NAMES | CREATES;
	case CALL_OPEN:
		return NAMES | FLAGS_SECOND;
	case CALL_OPENAT:
		return NAMES | AT | FLAGS_THIRD;
	case CALL_OPENAT2:
		return NAMES | AT | FLAGS_BEHIND;
	case CALL_UNLINK:
		return NAMES | FILE_UNLINK << 1;
	case CALL_UNLINKAT:
		return NAMES | FILE_UNLINK << 1 | AT;
	case CALL_RENAME:
		return NAMES | FILE_RENAME << 1 | SECOND;
	case CALL_RENAMEAT:
	case CALL_RENAMEAT2:
		return NAMES | FILE_RENAME << 1 | SECOND | AT;
	case CALL_READ:
		return MOVES | READS;
	case CALL_WRITE:
		return MOVES;
	case CALL_PREAD:
		return MOVES | READS | OFFSET;
	case CALL_PWRITE:
		return MOVES | OFFSET;
	case CALL_READV:
		return MOVES | READS | VECTOR;
	case CALL_WRITEV:
		return MOVES | VECTOR;
	case CALL_PREADV:
	case CALL_PREADV2:
		return MOVES | READS | VECTOR | OFFSET;
	case CALL_PWRITEV:
	case CALL_PWRITEV2:
		return MOVES | VECTOR | OFFSET;
	case CALL_SENDFILE:
		return MOVES | TWO_FILES;
	case CALL_SPLICE:
	case CALL_COPY_FILE_RANGE:
		return MOVES | READS | TWO_FILES | THIRD_FILE;
	default:
		return 0;
	}
}

/* One or the other without a branch, so that the verifier has one way to follow. */
static __always_inline __u64 choose(__u32 meaning, __u32 flag, __u64 yes, __u64 no)
{
	__u64 mask = -(__u64)!!(meaning & flag);

	return (yes & mask) | (no & ~mask);
}

static __always_inline int names(void *ctx, struct task_struct *task, struct pt_regs *registers,
				 __u32 meaning, __s64 result)
{
	struct access access = { .result = result, .operation = (meaning & OPERATION) >> 1 };
	__u64 flags = choose(meaning, FLAGS_THIRD, ARGUMENT(3), ARGUMENT(2));

	access.name = choose(meaning, AT, ARGUMENT(2), ARGUMENT(1));
	access.directory = choose(meaning, AT, ARGUMENT(1), AT_FDCWD);
	if (meaning & CREATES)
		flags = O_CREAT_WRONLY_TRUNC;
	if (meaning & FLAGS_BEHIND) /* the first field of struct open_how */
		bpf_probe_read_user(&flags, sizeof(flags), (void *)ARGUMENT(3));
	access.flags = access.operation == FILE_OPEN ? flags : 0;
	return name_call_done(ctx, task, &access,
			      choose(meaning, SECOND,
				     choose(meaning, AT, ARGUMENT(4), ARGUMENT(2)), 0),
			      choose(meaning, AT, ARGUMENT(3), AT_FDCWD));
}

static __always_inline int moves(void *ctx, struct task_struct *task, struct pt_regs *registers,
				 __u32 meaning, __u64 bytes)
{
	struct move move = { .buffer = ARGUMENT(2), .room = bytes, .bytes = bytes };
	struct buffer first = {};

	move.direction = !!(meaning & READS);
	move.offset = choose(meaning, OFFSET, ARGUMENT(4), -1);
	move.file = count_moved(ctx, task, ARGUMENT(1), move.direction, bytes);
	if (meaning & TWO_FILES) {
		count_moved(ctx, task, choose(meaning, THIRD_FILE, ARGUMENT(3), ARGUMENT(2)),
			    !move.direction, bytes);
		return 0;
	}
	if (meaning & VECTOR) {
		bpf_probe_read_user(&first, sizeof(first), (void *)move.buffer);
		move.buffer = first.base;
		move.room = first.length;
	}
	return move.file ? send_content(ctx, task, &move) : 0;
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(file_call_done, struct pt_regs *registers, long result)
{
	__u32 meaning = meaning_of(call_of(registers));
	struct task_struct *task;

	if (!meaning || (meaning & MOVES && (result <= 0 || !current_agent())))
		return 0;
	task = (void *)bpf_get_current_task();
	if (is_compat(task))
		return 0;
	if (meaning & NAMES)
		return names(ctx, task, registers, meaning, result);
	return moves(ctx, task, registers, meaning, result);
}

SEC("?tp_btf/sched_process_exit")
int BPF_PROG(files_ended, struct task_struct *ending)
{
	/* A plain number is what functions that are not static take. */
	struct task_struct *task = (void *)bpf_get_current_task();

	if (ending->signal->live.counter == 0 && current_agent())
		report_descriptors(ctx, task, 0, MAX_DESCRIPTORS, false);
	return 0;
}
