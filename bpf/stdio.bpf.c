// SPDX-License-Identifier: GPL-2.0
/* Standard input and output: what an MCP client exchanges with a server that it started.
 *
 * The server's side is watched: it is one process, which reads one thing and writes another, and
 * reads a request before it answers, so no two processes have to be brought together or in order.
 * When a program is started whose standard input and output are both a pipe, a Unix socket or
 * a terminal that whoever started it made, the two are remembered as a channel, whichever
 * descriptors lead to them later. Of the host's processes only those matter that an AI agent started,
 * or a process that speaks to models, or whose arguments name MCP; or all, if the operator says so.
 *
 * System calls cost the whole host something while a program sees them end. So user space attaches
 * that one when the first such process begins, and takes it away when there is none. A channel is
 * followed from the first call that moves a JSON-RPC message: everything else on pipes ends after
 * one look at its first and last bytes.
 *
 * Left out: io_uring, splice, mmap, 32-bit processes, servers that fork and do not execute, and what
 * is beyond the first buffers of a vector.
 */
#include "common.h"
#include "descriptors.h"
#include "socket_types.h"
#include "syscalls.h"
#include "verdicts.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by user space before loading. */
const volatile struct stdio_settings settings = { .max_call_bytes = 1 << 20 };

/* Of a vector: those of libuv and Go have two. */
#define MAX_BUFFERS 8
/* Of a buffer, 16 KiB each. */
/* Of the first buffer, 16 KiB each, and of each other. */
#define MAX_PIECES 64
#define MAX_LATER_PIECES 8
/* What never changes how many bytes a call moved: MAX_RW_COUNT of linux/fs.h is less. */
#define BYTES_MASK 0x7fffffff
/* Where in a message its "jsonrpc" is looked for, from its beginning and before its end: some
 * libraries write it first, some last. */
#define MAX_LOOK 256
/* The last eight bytes of a word, as a number. */
#define JSONRPC 0x6a736f6e72706322 /* jsonrpc" */
/* The first eight, in the order of the machine: of long messages the end may come later. */
#define METHOD_FIRST 0x646f6874656d227b /* {"method */
#define RESULT_FIRST 0x746c75736572227b /* {"result */
#define CONTEXT_PROTOCOL 0x636f6e7465787470 /* contextp, of modelcontextprotocol */
#define MCP 0x6d6370
/* linux/major.h: UNIX98_PTY_SLAVE_MAJOR and how many follow it; linux/kdev_t.h: MINORBITS */
#define TERMINAL_MAJOR 136
#define TERMINAL_MAJORS 8
#define MINOR_BITS 20
/* sys/socket.h */
#define MSG_PEEK 2

enum channel_state { CHANNEL_FRESH = 0, CHANNEL_FOLLOWED = 1, CHANNEL_LEFT = 2 };

/* Known by the address of the inode that is the server's standard input. */
struct channel {
	struct tls_open open; /* as it is told, once it is followed */
	__u64 output;         /* address of the inode that is the standard output */
	__u64 position[2];
	__u32 state;
	__u32 is_wanted;
	__u32 server; /* pid of the process that moved the first message; until then the first one */
	__u32 unused;
	__u64 zero; /* always */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct channel);
} channels SEC(".maps");

/* An inode is the output of one process and may be the input of another, in a pipeline. */
struct channel_side {
	__u64 inode;
	__u64 is_output;
};

/* The channel that it is part of. */
struct channel_end {
	__u64 channel;
	__u64 inode; /* number: an address alone is used again */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct channel_side);
	__type(value, struct channel_end);
} channel_ends SEC(".maps");

/* The processes whose system calls are looked at, by pid, with their channel. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u64);
} stdio_processes SEC(".maps");

/* Written by user space: processes of interest, by pid, with their start. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} chosen_processes SEC(".maps");

/* Which processes */

static __always_inline bool is_of_interest(__u32 pid, __u64 start_ns)
{
	__u64 *chosen = bpf_map_lookup_elem(&chosen_processes, &pid);
	struct agent *agent = bpf_map_lookup_elem(&agents, &pid);

	return (chosen && *chosen == start_ns) || (agent && agent->start_ns == start_ns);
}

static __always_inline bool is_task_of_interest(struct task_struct *task)
{
	struct task_struct *parent = BPF_CORE_READ(task, real_parent);

	return is_of_interest(BPF_CORE_READ(task, tgid),
			      BPF_CORE_READ(task, group_leader, start_boottime)) ||
	       is_of_interest(BPF_CORE_READ(parent, tgid),
			      BPF_CORE_READ(parent, group_leader, start_boottime));
}

/* Whether arguments name MCP: mcp-server-git, server_mcp.py, @modelcontextprotocol/server-memory.
 * Functions that are not static are verified once, apart from their callers. */
__noinline int names_mcp(__u64 start, __u64 bytes)
{
	/* Old verifiers take no unset memory where a length is not a constant. */
	char text[MAX_PATH] = {};
	__u64 word = 0;

	if (bytes > sizeof(text))
		bytes = sizeof(text);
	if (bpf_probe_read_user(text, bytes, (void *)start))
		return false;
	for (__u32 i = 0; i < sizeof(text); i++) {
		/* Small letters; what else it changes is no letter before and none behind. */
		word = word << 8 | (__u8)(text[i] | 0x20);
		if (word == CONTEXT_PROTOCOL || (word & 0xffffff) == MCP)
			return true;
	}
	return false;
}

/* Channels */

/* The address of the inode behind a descriptor, if it is a pipe, a Unix socket or a terminal. */
__noinline __u64 channel_inode(__u64 task, __u32 descriptor)
{
	struct file *file = file_of((struct task_struct *)task, descriptor);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct socket *socket = BPF_CORE_READ(file, private_data);
	__u32 major;

	if (!file)
		return 0;
	switch (BPF_CORE_READ(inode, i_mode) & S_IFMT) {
	case S_IFIFO:
		return (__u64)inode;
	case S_IFSOCK:
		return BPF_CORE_READ(socket, sk, __sk_common.skc_family) == AF_UNIX ? (__u64)inode
										    : 0;
	case S_IFCHR:
		major = BPF_CORE_READ(inode, i_rdev) >> MINOR_BITS;
		return major - TERMINAL_MAJOR < TERMINAL_MAJORS ? (__u64)inode : 0;
	default:
		return 0;
	}
}

/* The channel whose input or output an inode is, or 0. */
__noinline __u64 channel_of(__u64 inode, bool is_output)
{
	struct channel_side side = { .inode = inode, .is_output = is_output };
	struct channel_end *known = bpf_map_lookup_elem(&channel_ends, &side);

	if (!known || known->inode != BPF_CORE_READ((struct inode *)inode, i_ino))
		return 0;
	return known->channel;
}

static __always_inline bool remember_end(__u64 inode, bool is_output, __u64 channel)
{
	struct channel_side side = { .inode = inode, .is_output = is_output };
	struct channel_end end = { .channel = channel };

	end.inode = BPF_CORE_READ((struct inode *)inode, i_ino);
	return !bpf_map_update_elem(&channel_ends, &side, &end, BPF_ANY);
}

static __always_inline void forget_end(__u64 inode, bool is_output, __u64 channel)
{
	struct channel_side side = { .inode = inode, .is_output = is_output };

	if (channel_of(inode, is_output) == channel)
		bpf_map_delete_elem(&channel_ends, &side);
}

static __always_inline void fill_client(struct tls_open *open, struct task_struct *client)
{
	struct task_struct___owner *owner = (void *)client;

	fill_record(&open->tls.record, RECORD_TLS_OPEN, BPF_CORE_READ(client, tgid),
		    BPF_CORE_READ(client, group_leader, start_boottime));
	open->library = STANDARD_IO;
	open->tid = open->tls.record.pid;
	open->ppid = BPF_CORE_READ(client, real_parent, tgid);
	open->uid = BPF_CORE_READ(owner, cred, uid.val);
	open->gid = BPF_CORE_READ(owner, cred, gid.val);
	open->cgroup_id = BPF_CORE_READ(owner, cgroups, dfl_cgrp, kn, id);
	BPF_CORE_READ_INTO(&open->comm, client, group_leader, comm);
}

/* A new channel, for a process that was given an input that is not its parent's. */
static __noinline bool make_channel(struct task_struct *task, __u64 input, __u64 output)
{
	struct task_struct *client = BPF_CORE_READ(task, real_parent);
	struct channel fresh = { .output = output };

	if (channel_inode((__u64)client, 0) == input)
		return false;
	fill_client(&fresh.open, client);
	if (fresh.open.tls.record.pid == settings.monitor_pid)
		return false;
	fresh.open.tls.connection = input;
	fresh.server = BPF_CORE_READ(task, tgid);
	if (bpf_map_update_elem(&channels, &input, &fresh, BPF_ANY) ||
	    !remember_end(input, false, input) || !remember_end(output, true, input)) {
		count_lost(LOST_STDIO_TABLE, 1);
		return false;
	}
	return true;
}

/* Returns whether the process is one whose calls are to be looked at from now on: it is of interest,
 * or was given what one has that is. */
static __always_inline bool remember_process(struct task_struct *task, bool is_wanted)
{
	__u64 input = channel_inode((__u64)task, 0), output = channel_inode((__u64)task, 1);
	__u32 pid = BPF_CORE_READ(task, tgid);
	__u64 channel;

	if (!input || !output)
		return false;
	channel = channel_of(input, false);
	if (!channel) {
		if (!is_wanted || !make_channel(task, input, output))
			return false;
		channel = input;
	}
	if (bpf_map_update_elem(&stdio_processes, &pid, &channel, BPF_ANY)) {
		count_lost(LOST_STDIO_TABLE, 1);
		return false;
	}
	return true;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(stdio_exec, struct task_struct *task, __s32 old_pid, struct linux_binprm *bprm)
{
	__u64 start = task->mm->arg_start, bytes = task->mm->arg_end - start;
	struct stdio_begun *record;
	/* A plain number is what functions that are not static take. */
	struct task_struct *current = (void *)bpf_get_current_task();

	if (!remember_process(current, settings.all || is_task_of_interest(current) ||
					       names_mcp(start, bytes)))
		return 0;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return 0;
	}
	fill_record(&record->record, RECORD_STDIO_BEGUN, BPF_CORE_READ(current, tgid),
		    process_start_ns());
	submit_record(ctx, record);
	return 0;
}

/* Every process: run when user space learned of one of interest that may have started others. A
 * byte for each that is looked at from now on. */
SEC("iter/task")
int stdio_running(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *leader;
	__u8 found = 1;

	if (!task || task->pid != task->tgid)
		return 0;
	/* Read, as a plain number: see above. */
	leader = BPF_CORE_READ(task, group_leader);
	if (remember_process(leader, settings.all || is_task_of_interest(leader)))
		bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
	return 0;
}

/* What is moved */

/* Whether a message begins here: an object, or a batch (JSON-RPC 2.0, 6). */
__noinline int begins_message(__u64 at)
{
	char first = 0;

	bpf_probe_read_user(&first, sizeof(first), (void *)at);
	return first == '{' || first == '[';
}

/* Whether a part of a message says that it is JSON-RPC. */
__noinline int says_json_rpc(__u64 at, __u64 bytes)
{
	char text[MAX_LOOK] = {};
	__u64 word = 0;

	if (bytes > sizeof(text))
		bytes = sizeof(text);
	if (bpf_probe_read_user(text, bytes, (void *)at))
		return false;
	for (__u32 i = 0; i < sizeof(text); i++) {
		word = word << 8 | (__u8)text[i];
		if (word == JSONRPC)
			return true;
	}
	return false;
}

__noinline int is_json_rpc(__u64 at, __u64 bytes)
{
	__u64 first = 0;

	bpf_probe_read_user(&first, sizeof(first), (void *)at);
	return first == METHOD_FIRST || first == RESULT_FIRST || says_json_rpc(at, bytes) ||
	       (bytes > MAX_LOOK && says_json_rpc(at + bytes - MAX_LOOK, MAX_LOOK));
}

static __noinline int report_peer(void *ctx, const struct channel *channel)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct tls_peer *record = reserve_record(sizeof(*record) + MAX_PEER_ARGV);
	__u64 start = BPF_CORE_READ(task, mm, arg_start), bytes;

	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return 0;
	}
	record->tls = channel->open.tls;
	record->tls.record.type = RECORD_TLS_PEER;
	record->peer = channel->server;
	record->peer_start_ns = process_start_ns();
	BPF_CORE_READ_INTO(&record->comm, task, group_leader, comm);
	bytes = BPF_CORE_READ(task, mm, arg_end) - start;
	barrier_var(bytes);
	if (bytes > MAX_PEER_ARGV)
		bytes = MAX_PEER_ARGV;
	if (bpf_probe_read_user(record + 1, bytes, (void *)start))
		bytes = 0;
	record->length = bytes;
	trim_record(record, sizeof(*record) + bytes);
	submit_record(ctx, record);
	return 0;
}

/* The first message: from now on all is told. */
static __noinline int begin(void *ctx, struct channel *channel)
{
	struct record_header *header = &channel->open.tls.record;
	struct tls_open *open;

	if (bpf_map_update_elem(&told_processes, &header->pid, &header->start_ns, BPF_ANY)) {
		count_lost(LOST_STDIO_TABLE, 1);
		return false;
	}
	channel->server = bpf_get_current_pid_tgid() >> 32;
	channel->open.tls.since_ns = header->time_ns = bpf_ktime_get_ns();
	channel->state = CHANNEL_FOLLOWED;
	open = reserve_record(sizeof(*open));
	if (open) {
		*open = channel->open;
		submit_record(ctx, open);
	} else {
		count_lost(LOST_RECORDS, 1);
	}
	return !report_peer(ctx, channel);
}

/* Muted is final; what is wanted may still be muted. */
static __always_inline bool is_muted(struct channel *channel)
{
	struct connection_id id = { .connection = channel->open.tls.connection,
				    .pid = channel->open.tls.record.pid };
	struct judgement *judgement = bpf_map_lookup_elem(&verdicts, &id);

	if (!judgement || judgement->since_ns != channel->open.tls.since_ns)
		return false;
	if (judgement->verdict == VERDICT_MUTED)
		channel->state = CHANNEL_LEFT;
	return channel->state == CHANNEL_LEFT;
}

struct stdio_piece {
	__u64 buffer;
	__u64 position;
	__u64 call_bytes;
	__u64 call_offset;
	__u64 direction;
};

/* A reservation must have a constant size, so `room` is a constant at each place of call. */
static __always_inline void send_in(void *ctx, const __u64 room, const struct channel *channel,
				    const struct stdio_piece *piece, __u64 length)
{
	struct tls_data *record = reserve_record(sizeof(*record) + room);

	if (!record) {
		count_lost(LOST_RING_FULL, length);
		return;
	}
	record->tls = channel->open.tls;
	record->tls.record.type = RECORD_TLS_DATA;
	record->tls.record.time_ns = bpf_ktime_get_ns();
	record->position = piece->position;
	record->call_bytes = piece->call_bytes;
	record->call_offset = piece->call_offset;
	record->tid = channel->open.tid;
	record->direction = piece->direction;
	record->during_write = 0;
	__builtin_memset(record->unused, 0, sizeof(record->unused));
	/* Keeps the compiler from proving the bound away that the verifier wants to see. */
	barrier_var(length);
	if (length > room)
		length = room;
	record->length = length;
	if (bpf_probe_read_user(record + 1, length, (void *)piece->buffer)) {
		discard_record(record);
		count_lost(LOST_UNREADABLE, length);
		return;
	}
	trim_record(record, sizeof(*record) + length);
	submit_record(ctx, record);
}

/* One function, not inlined: it stands once in the program. */
static __noinline int send_last(void *ctx, const struct channel *channel,
				const struct stdio_piece *piece, __u64 length)
{
	if (length <= 256)
		send_in(ctx, 256, channel, piece, length);
	else if (length <= 1024)
		send_in(ctx, 1024, channel, piece, length);
	else if (length <= 4096)
		send_in(ctx, 4096, channel, piece, length);
	else
		send_in(ctx, MAX_DATA, channel, piece, length);
	return 0;
}

/* Another one: in the loop there is one size alone. */
static __noinline int send_full(void *ctx, const struct channel *channel,
				const struct stdio_piece *piece)
{
	send_in(ctx, MAX_DATA, channel, piece, MAX_DATA);
	return 0;
}

static __always_inline void move_on(struct stdio_piece *piece, __u64 bytes)
{
	piece->buffer += bytes;
	piece->position += bytes;
	piece->call_offset += bytes;
}

static __noinline int send_buffer(void *ctx, const struct channel *channel,
				  struct stdio_piece *piece, __u64 bytes, __u64 max_pieces)
{
	for (__u64 i = 0; i < max_pieces && bytes > MAX_DATA; i++) {
		if (piece->call_offset > settings.max_call_bytes)
			break;
		send_full(ctx, channel, piece);
		move_on(piece, MAX_DATA);
		/* Always the same range, so that the verifier has one way to follow from here. */
		bytes = (bytes - MAX_DATA) & BYTES_MASK;
		barrier_var(bytes);
	}
	barrier_var(bytes);
	/* Past the limit the end alone, for the next message begins behind it. */
	if (bytes > MAX_DATA) {
		count_lost(LOST_OVER_CALL_LIMIT, bytes - MAX_DATA);
		move_on(piece, bytes - MAX_DATA);
		bytes = MAX_DATA;
	}
	if (bytes)
		send_last(ctx, channel, piece, bytes);
	move_on(piece, bytes);
	return 0;
}

/* What a call means; not static, so that the verifier does not follow each call apart. */
enum {
	MOVES = 1,
	READS = 1 << 1,
	VECTOR = 1 << 2,       /* the second argument points to struct iovec */
	MESSAGE = 1 << 3,      /* ... to struct msghdr, which points to them */
	FLAGS_THIRD = 1 << 4,
	FLAGS_FOURTH = 1 << 5,
};

__noinline __u32 meaning_of(__u32 call)
{
	switch (call) {
	case CALL_READ:
		return MOVES | READS;
	case CALL_WRITE:
	case CALL_SENDTO:
		return MOVES;
	case CALL_READV:
		return MOVES | READS | VECTOR;
	case CALL_WRITEV:
		return MOVES | VECTOR;
	case CALL_RECVFROM:
		return MOVES | READS | FLAGS_FOURTH;
	case CALL_SENDMSG:
		return MOVES | VECTOR | MESSAGE;
	case CALL_RECVMSG:
		return MOVES | READS | VECTOR | MESSAGE | FLAGS_THIRD;
	default:
		return 0;
	}
}

/* struct user_msghdr of linux/socket.h, from its third field on */
#define BUFFERS_AT 16

/* The buffers of a call, each of `bytes` at most together. */
static __always_inline __u64 first_buffers(__u64 at, __u32 meaning, __u64 bytes,
					   struct buffer buffers[MAX_BUFFERS])
{
	struct buffer vector = { .base = at, .length = MAX_BUFFERS };
	__u64 count;

	if (!(meaning & VECTOR)) {
		buffers[0].base = at;
		buffers[0].length = bytes;
		return 1;
	}
	if (meaning & MESSAGE)
		bpf_probe_read_user(&vector, sizeof(vector), (void *)(at + BUFFERS_AT));
	count = vector.length;
	if (count > MAX_BUFFERS)
		count = MAX_BUFFERS;
	/* One by one: what is behind the last may not be readable. */
	for (__u32 i = 0; i < MAX_BUFFERS; i++)
		if (i < count)
			bpf_probe_read_user(&buffers[i], sizeof(buffers[i]),
					    (void *)(vector.base + i * sizeof(buffers[i])));
	return count;
}

/* Whether these are a message; of some the first buffer has little. */
static __always_inline bool is_first(const struct buffer buffers[MAX_BUFFERS], __u64 bytes)
{
	__u64 length = smaller(buffers[0].length & BYTES_MASK, bytes);

	if (!begins_message(buffers[0].base))
		return false;
	return is_json_rpc(buffers[0].base, length) ||
	       is_json_rpc(buffers[1].base, smaller(buffers[1].length & BYTES_MASK, bytes - length));
}

static __always_inline int send_call(void *ctx, struct channel *channel, __u64 at, __u32 meaning,
				     __u64 bytes)
{
	/* What the server reads the client wrote. */
	__u64 direction = meaning & READS ? DIRECTION_WRITE : DIRECTION_READ, length;
	struct buffer buffers[MAX_BUFFERS] = {};
	struct stdio_piece piece = { .call_bytes = bytes, .direction = direction };

	first_buffers(at, meaning, bytes, buffers);
	if (channel->state == CHANNEL_FRESH && !(is_first(buffers, bytes) && begin(ctx, channel)))
		return 0;
	if (is_muted(channel))
		return 0;
	piece.position = channel->position[direction];
	/* 0, which the verifier does not know: else it followed each value that this takes. */
	piece.call_offset = channel->zero;
	channel->position[direction] += bytes;
	for (__u32 i = 0; i < MAX_BUFFERS && bytes; i++) {
		length = smaller(buffers[i].length & BYTES_MASK, bytes);
		piece.buffer = buffers[i].base;
		bytes = (bytes - length) & BYTES_MASK;
		barrier_var(bytes);
		if (length)
			send_buffer(ctx, channel, &piece, length, i ? MAX_LATER_PIECES : MAX_PIECES);
	}
	if (bytes)
		count_lost(LOST_OVER_CALL_LIMIT, bytes);
	return 0;
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(stdio_call_done, struct pt_regs *registers, long result)
{
	__u32 meaning = meaning_of(call_of(registers)), pid = bpf_get_current_pid_tgid() >> 32;
	struct task_struct *task;
	struct channel *channel;
	__u64 inode, key, flags = 0;

	if (!meaning || result <= 0 || !bpf_map_lookup_elem(&stdio_processes, &pid))
		return 0;
	task = (void *)bpf_get_current_task();
	inode = channel_inode((__u64)task, ARGUMENT(1));
	key = inode ? channel_of(inode, !(meaning & READS)) : 0;
	channel = bpf_map_lookup_elem(&channels, &key);
	if (!channel || channel->state == CHANNEL_LEFT || is_compat(task))
		return 0;
	if (meaning & FLAGS_THIRD)
		flags = ARGUMENT(3);
	if (meaning & FLAGS_FOURTH)
		flags = ARGUMENT(4);
	if (flags & MSG_PEEK)
		return 0;
	return send_call(ctx, channel, ARGUMENT(2), meaning, result);
}

static __always_inline void end_channel(void *ctx, __u64 key, struct channel *channel)
{
	struct tls_close *record;

	if (channel->state == CHANNEL_FOLLOWED) {
		record = reserve_record(sizeof(*record));
		if (record) {
			record->tls = channel->open.tls;
			record->tls.record.type = RECORD_TLS_CLOSE;
			record->tls.record.time_ns = bpf_ktime_get_ns();
			submit_record(ctx, record);
		} else {
			count_lost(LOST_RECORDS, 1);
		}
	}
	forget_end(channel->output, true, key);
	forget_end(key, false, key);
	bpf_map_delete_elem(&channels, &key);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(stdio_exit, struct task_struct *ending)
{
	struct channel *channel;
	__u32 pid = ending->tgid;
	__u64 *known, key;

	/* The kernel counts the live threads of a process down before this point. */
	if (ending->signal->live.counter > 0)
		return 0;
	bpf_map_delete_elem(&chosen_processes, &pid);
	known = bpf_map_lookup_elem(&stdio_processes, &pid);
	if (!known)
		return 0;
	key = *known;
	bpf_map_delete_elem(&stdio_processes, &pid);
	channel = bpf_map_lookup_elem(&channels, &key);
	if (channel && channel->server == pid)
		end_channel(ctx, key, channel);
	return 0;
}
