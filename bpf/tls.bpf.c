// SPDX-License-Identifier: GPL-2.0
/* Plaintext at the TLS library: what SSL_write took and what SSL_read gave.
 *
 * A call is remembered at its entry and reported at its return, because only the return
 * says how much was moved: a write that answers WANT_WRITE is made again with the same
 * bytes, and a partial write is followed by one with the rest. By then the library has read
 * every byte of the buffer, so its pages are resident and a plain read finds them.
 *
 * Bytes go straight from the process into the reserved record. A per-CPU scratch buffer that
 * nobody claims would let two preempted processes mix their plaintext.
 *
 * Each connection counts its bytes in both directions; every record carries its position, so
 * a reader knows what it missed whatever the reason. A muted connection costs one look-up.
 *
 * Until user space says what a connection is, it may fill half of the ring and no more, but for
 * its first bytes, and past three quarters for the first few of those: they decide. So one
 * program that floods, before it is muted, costs no other its records.
 *
 * Where policy is enforced, what a connection of AI writes is told at the entry, before the library
 * has it, and its socket is held meanwhile (see hold.bpf.c). The return then says what was moved of
 * what is told already, so a call that is made again for the same bytes tells them once.
 */
#include "common.h"
#include "descriptors.h"
#include "hold.h"
#include "program.h"
#include "socket_types.h"
#include "syscalls.h"
#include "verdicts.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by user space before loading. */
const volatile struct settings settings = { .max_call_bytes = 1 << 20,
					    .undecided_bytes = 256 << 10 };

/* SSL_CTRL_SET_TLSEXT_HOSTNAME of openssl/tls1.h: how SSL_set_tlsext_host_name() calls SSL_ctrl(). */
#define SET_HOST_NAME 55

/* SSL_WRITE_FLAG_CONCLUDE of openssl/ssl.h, the one flag of a write. */
#define WRITE_FLAG_CONCLUDE 1

/* BIO_TYPE_SOCKET of openssl/bio.h, which BIO_METHOD begins with; where struct bio_st of OpenSSL 3
 * (crypto/bio/bio_local.h) has its method and its descriptor. */
#define SOCKET_BIO 0x505
#define BIO_METHOD_AT 8
#define BIO_DESCRIPTOR_AT 56

/* The type of records that carry data (RFC 8446, 5.1). */
#define APPLICATION_DATA 23

/* GNUTLS_NAME_DNS of gnutls/gnutls.h. */
#define SERVER_NAME_DNS 1

/* Pieces of 16 KiB that one call can report at most, whatever max_call_bytes says: 4 MiB where the
 * verifier walks through all of them, 64 MiB where it need not (Linux 5.17). */
#define MAX_PIECES 256
#define MAX_LOOPED_PIECES 4096

struct connection {
	__u64 since_ns;
	__u64 start_ns;
	__u64 exec_id; /* another program of the same process reuses its addresses */
	__u64 position[2];
	__u64 held_back; /* bytes, while undecided */
	__u64 writing;   /* the thread that is in a write call not told yet, or 0 */
	__u64 told;      /* of what is written, how far it was told at an entry */
	__u32 verdict;
	__u32 random_told;
	__u32 hold_told;
	__u32 is_named;  /* the host is one whose connections are held */
	struct held_socket socket; /* once it is found */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct connection_id);
	__type(value, struct connection);
} connections SEC(".maps");

/* Processes with TLS connections, by pid. */
struct tls_process {
	__u64 start_ns;
	__u64 held_back; /* bytes of its connections that are undecided */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct tls_process);
} tls_processes SEC(".maps");

/* Where a library keeps the client random of a connection, by attach cookie; written by user
 * space, which read it from the library's code. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct random_path);
} random_paths SEC(".maps");

/* Calls under way, by thread. Not an LRU: a thread may sit in SSL_read for hours. */
struct call {
	__u64 connection;
	__u64 buffer;
	__u64 done; /* where the library writes the count, or 0: it returns it */
	__u64 bytes; /* the count, where it is known ahead, or 0 */
	__u32 direction;
	__u32 has_type; /* the last byte is the record's type, see tls_seal */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline void fill_tls(struct tls_header *tls, enum record_type type,
				     const struct connection_id *id,
				     const struct connection *connection)
{
	fill_record(&tls->record, type, id->pid, connection->start_ns);
	tls->connection = id->connection;
	tls->since_ns = connection->since_ns;
}

static __always_inline __u64 library_cookie(void *ctx)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		return bpf_get_attach_cookie(ctx);
	return 0;
}

static __always_inline void report_open(void *ctx, const struct connection_id *id,
					const struct connection *connection)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct tls_open *open = reserve_record(sizeof(*open));
	__u64 ids;

	if (!open) {
		count_lost(LOST_RECORDS, 1);
		return;
	}
	fill_tls(&open->tls, RECORD_TLS_OPEN, id, connection);
	ids = bpf_get_current_uid_gid();
	open->uid = ids;
	open->gid = ids >> 32;
	open->tid = bpf_get_current_pid_tgid();
	open->ppid = BPF_CORE_READ(task, real_parent, tgid);
	open->cgroup_id = bpf_get_current_cgroup_id();
	open->library = library_cookie(ctx);
	/* The process's name; a thread may have one of its own (Node's workers do). */
	BPF_CORE_READ_INTO(&open->comm, task, group_leader, comm);
	submit_record(ctx, open);
}

static __always_inline long remember_process(void *ctx, __u32 pid, __u64 start_ns)
{
	struct tls_process *known = bpf_map_lookup_elem(&tls_processes, &pid);
	struct tls_process fresh = { .start_ns = start_ns };

	if (known && known->start_ns == start_ns)
		return 0;
	report_program(ctx, pid, start_ns);
	return bpf_map_update_elem(&tls_processes, &pid, &fresh, BPF_ANY) ||
	       bpf_map_update_elem(&told_processes, &pid, &start_ns, BPF_ANY);
}

/* The connection behind an SSL object: a new one when the address, or the pid, was recycled. */
static __always_inline struct connection *find_connection(void *ctx, const struct connection_id *id)
{
	struct connection *known = bpf_map_lookup_elem(&connections, id);
	__u64 start_ns = process_start_ns(), exec_id = process_exec_id();
	struct connection fresh = {};

	if (known && known->start_ns == start_ns && known->exec_id == exec_id)
		return known;
	fresh.since_ns = bpf_ktime_get_ns();
	fresh.start_ns = start_ns;
	fresh.exec_id = exec_id;
	if (remember_process(ctx, id->pid, start_ns) ||
	    bpf_map_update_elem(&connections, id, &fresh, BPF_ANY)) {
		count_lost(LOST_CONNECTION_TABLE, 1);
		return 0;
	}
	report_open(ctx, id, &fresh);
	return bpf_map_lookup_elem(&connections, id);
}

/* Bytes were held back while nobody knew what the connection is; now it is known. */
static __always_inline void settle(const struct connection_id *id, struct connection *connection,
				   bool are_lost)
{
	struct tls_process *process;

	if (!connection->held_back)
		return;
	if (are_lost)
		count_lost(LOST_HELD_BACK, connection->held_back);
	process = bpf_map_lookup_elem(&tls_processes, &id->pid);
	if (process)
		__sync_fetch_and_add(&process->held_back, -connection->held_back);
	connection->held_back = 0;
}

/* Muted is final; what is wanted may still be muted, when it shows to be a server. */
static __always_inline bool muted(const struct connection_id *id, struct connection *connection)
{
	struct judgement *judgement;

	if (connection->verdict == VERDICT_MUTED)
		return true;
	judgement = bpf_map_lookup_elem(&verdicts, id);
	if (!judgement || judgement->since_ns != connection->since_ns)
		return false;
	connection->verdict = judgement->verdict;
	settle(id, connection, connection->verdict != VERDICT_MUTED);
	return connection->verdict == VERDICT_MUTED;
}

static __always_inline bool is_filtered(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return bpf_core_field_exists(task->seccomp) && BPF_CORE_READ(task, seccomp.mode);
}

struct piece {
	__u64 buffer;
	__u64 position;
	__u64 call_bytes;
	__u64 call_offset;
	__u32 direction;
	__u32 is_ahead; /* the call has not begun: what cannot be read yet is told at its return */
};

/* A reservation must have a constant size, so `room` is a constant at each place of call. Tells
 * whether the piece is done with. */
static __always_inline bool send_in(void *ctx, const __u64 room, const struct connection_id *id,
				    const struct connection *connection, const struct piece *piece,
				    __u64 length)
{
	struct tls_data *record = reserve_record(sizeof(*record) + room);

	if (!record) {
		count_lost(LOST_RING_FULL, length);
		return true;
	}
	fill_tls(&record->tls, RECORD_TLS_DATA, id, connection);
	record->position = piece->position;
	record->call_bytes = piece->call_bytes;
	record->call_offset = piece->call_offset;
	record->tid = bpf_get_current_pid_tgid();
	record->direction = piece->direction;
	record->during_write = piece->direction == DIRECTION_READ && connection->writing;
	__builtin_memset(record->unused, 0, sizeof(record->unused));
	/* Keeps the compiler from proving the bound away that the verifier wants to see. */
	barrier_var(length);
	if (length > room)
		length = room;
	record->length = length;
	if (bpf_probe_read_user(record + 1, length, (void *)piece->buffer)) {
		discard_record(record);
		if (!piece->is_ahead)
			count_lost(LOST_UNREADABLE, length);
		return !piece->is_ahead;
	}
	trim_record(record, sizeof(*record) + length);
	submit_record(ctx, record);
	return true;
}

/* One function, not inlined: it stands once in the program, and the smallest room is taken. */
static __noinline bool send_last(void *ctx, const struct connection_id *id,
				 const struct connection *connection, const struct piece *piece,
				 __u64 length)
{
	if (length <= 128)
		return send_in(ctx, 128, id, connection, piece, length);
	if (length <= 256)
		return send_in(ctx, 256, id, connection, piece, length);
	if (length <= 512)
		return send_in(ctx, 512, id, connection, piece, length);
	if (length <= 1024)
		return send_in(ctx, 1024, id, connection, piece, length);
	if (length <= 2048)
		return send_in(ctx, 2048, id, connection, piece, length);
	if (length <= 4096)
		return send_in(ctx, 4096, id, connection, piece, length);
	if (length <= 8192)
		return send_in(ctx, 8192, id, connection, piece, length);
	return send_in(ctx, MAX_DATA, id, connection, piece, length);
}

/* True when the bytes must wait for a verdict, and so are not sent at all. */
static __always_inline bool hold_back(const struct connection_id *id,
				      struct connection *connection, __u64 direction, __u64 bytes)
{
	struct tls_process *process;
	__u64 always;

	if (connection->verdict == VERDICT_WANTED || !records_wait(2))
		return false;
	/* A flood may be of ever new connections. */
	always = records_wait(3) ? MAX_DATA : settings.undecided_bytes;
	if (connection->position[direction] < always)
		return false;
	connection->position[direction] += bytes;
	connection->held_back += bytes;
	process = bpf_map_lookup_elem(&tls_processes, &id->pid);
	if (process)
		__sync_fetch_and_add(&process->held_back, bytes);
	return true;
}

/* Moves the piece on to where it could not be read, or to the end. */
static __always_inline void move_on(struct piece *piece, __u64 bytes)
{
	piece->buffer += bytes;
	piece->position += bytes;
	piece->call_offset += bytes;
}

struct pieces {
	void *ctx;
	const struct connection_id *id;
	const struct connection *connection;
	struct piece *piece;
	__u64 bytes; /* that are left */
};

/* Sends a piece that is not the last one; 1 when no other of the kind follows. */
static __always_inline long send_next(struct pieces *pieces)
{
	struct piece *piece = pieces->piece;
	__u64 limit = settings.max_call_bytes;

	if (pieces->bytes <= MAX_DATA)
		return 1;
	/* Past the limit only the last piece is sent: JSON bodies end in what matters. Not by
	 * call_offset: the verifier would follow its every value. */
	if (piece->call_bytes > limit && piece->call_bytes - pieces->bytes + 2 * MAX_DATA > limit)
		return 1;
	if (!send_in(pieces->ctx, MAX_DATA, pieces->id, pieces->connection, piece, MAX_DATA)) {
		pieces->bytes = 0;
		return 1;
	}
	move_on(piece, MAX_DATA);
	pieces->bytes -= MAX_DATA;
	return 0;
}

static long send_looped(__u32 i, void *pieces)
{
	return send_next(pieces);
}

/* What is left: past the limit its end alone. */
static __always_inline void send_rest(const struct pieces *pieces)
{
	struct piece *piece = pieces->piece;
	__u64 bytes = pieces->bytes;

	if (bytes > MAX_DATA) {
		count_lost(LOST_OVER_CALL_LIMIT, bytes - MAX_DATA);
		move_on(piece, bytes - MAX_DATA);
		bytes = MAX_DATA;
	}
	if (bytes && send_last(pieces->ctx, pieces->id, pieces->connection, piece, bytes))
		move_on(piece, bytes);
}

/* A kernel without bpf_loop() loads no program that could come to it: so there are two of these. */
static __noinline void send_few(void *ctx, const struct connection_id *id,
				const struct connection *connection, const struct piece *piece,
				__u64 bytes)
{
	/* Of its own: what stands in a caller's memory costs the verifier twice as much. */
	struct piece next = *piece;
	struct pieces pieces = { ctx, id, connection, &next, bytes };

	/* 64 bits: old verifiers lose sight of one that shares its place on the stack. */
	for (__u64 i = 0; i < MAX_PIECES - 1; i++)
		if (send_next(&pieces))
			break;
	send_rest(&pieces);
}

static __noinline void send_many(void *ctx, const struct connection_id *id,
				 const struct connection *connection, struct piece *piece,
				 __u64 bytes)
{
	struct pieces pieces = { ctx, id, connection, piece, bytes };

	bpf_loop(MAX_LOOPED_PIECES - 1, send_looped, &pieces, 0);
	send_rest(&pieces);
}

static __always_inline void send_call(void *ctx, const struct connection_id *id,
				      struct connection *connection, const struct call *call,
				      __u64 bytes, const bool holds)
{
	__u64 direction = call->direction & 1, begin = connection->position[direction], skip = 0;
	struct piece piece = { .call_bytes = bytes, .direction = direction };

	if (direction == DIRECTION_WRITE && settings.hold_ns && connection->told > begin)
		skip = connection->told - begin;
	if (skip < bytes && hold_back(id, connection, direction, bytes))
		return;
	/* The library allows one call at a time on a connection, so nobody else counts here. */
	connection->position[direction] += bytes;
	if (skip >= bytes)
		return;
	piece.buffer = call->buffer + skip;
	piece.position = begin + skip;
	piece.call_offset = skip;
	if (holds)
		send_many(ctx, id, connection, &piece, bytes - skip);
	else
		send_few(ctx, id, connection, &piece, bytes - skip);
}

/* A handshake that has begun is needed for it. */
static __always_inline bool read_random(void *ctx, __u64 at, void *random)
{
	struct random_path *path;
	__u64 cookie = library_cookie(ctx), *words = random;
	__u32 word = 0;

	path = bpf_map_lookup_elem(&random_paths, &cookie);
	if (!path)
		return false;
	if (path->zero != NO_OFFSET &&
	    (bpf_probe_read_user(&word, sizeof(word), (void *)(at + path->zero)) || word))
		return false;
	if (path->pointer != NO_OFFSET &&
	    bpf_probe_read_user(&at, sizeof(at), (void *)(at + path->pointer)))
		return false;
	return !bpf_probe_read_user(random, sizeof(struct client_random),
				    (void *)(at + path->offset)) &&
	       words[0] | words[1] | words[2] | words[3];
}

static __always_inline bool is_socket(struct file *file)
{
	return file && (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK;
}

static __always_inline __u64 cookie_of(struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(socket, sk);

	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

/* The cookie of the socket that a connection reads from by itself, or 0: where the program moves
 * the bytes, the library knows of no socket. Others have other structures: what is not OpenSSL's
 * BIO, its kind does not say so. */
__noinline __u64 socket_of(__u64 at)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 bio = 0, method = 0;
	__u32 kind = 0, descriptor = 0;
	struct file *file;

	if (bpf_probe_read_user(&bio, sizeof(bio), (void *)at) ||
	    bpf_probe_read_user(&method, sizeof(method), (void *)(bio + BIO_METHOD_AT)) ||
	    bpf_probe_read_user(&kind, sizeof(kind), (void *)method) || kind != SOCKET_BIO ||
	    bpf_probe_read_user(&descriptor, sizeof(descriptor), (void *)(bio + BIO_DESCRIPTOR_AT)))
		return 0;
	file = file_of(task, descriptor);
	return is_socket(file) ? cookie_of(file) : 0;
}

static __always_inline void report_socket(void *ctx, const struct connection_id *id,
					  const struct connection *connection, __u64 cookie)
{
	struct tls_socket *record;

	if (!cookie)
		return;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return;
	}
	fill_tls(&record->tls, RECORD_TLS_SOCKET, id, connection);
	record->cookie = cookie;
	submit_record(ctx, record);
}

/* A ClientHello that nobody saw on the wire, as that of a connection that was there before us, ties
 * no connection to its socket. */
static __always_inline void send_socket(void *ctx, const struct connection_id *id,
					const struct connection *connection)
{
	__u64 library = library_cookie(ctx);
	struct random_path *path = bpf_map_lookup_elem(&random_paths, &library);

	if (path && path->bio != NO_OFFSET)
		report_socket(ctx, id, connection, socket_of(id->connection + path->bio));
}

/* By now the handshake is over, as plaintext moved, and both hellos are known to the library. */
static __always_inline void send_random(void *ctx, const struct connection_id *id,
					struct connection *connection)
{
	struct client_random random = {};
	struct tls_random *record;

	if (connection->random_told)
		return;
	connection->random_told = 1;
	if (!read_random(ctx, id->connection, &random))
		return;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return;
	}
	fill_tls(&record->tls, RECORD_TLS_RANDOM, id, connection);
	__builtin_memcpy(record->random, &random, sizeof(random));
	submit_record(ctx, record);
	send_socket(ctx, id, connection);
}

/* Only connections of AI agents, and to hosts of AI, wait for a decision. */
static __always_inline bool is_to_be_held(const struct connection *connection)
{
	return connection->is_named || connection->verdict == VERDICT_WANTED || current_agent();
}

static __always_inline bool find_socket(void *ctx, const struct connection_id *id,
					struct connection *connection)
{
	struct client_random random = {};
	struct held_socket *found;

	if (connection->socket.cookie)
		return true;
	if (!read_random(ctx, id->connection, &random))
		return false;
	found = bpf_map_lookup_elem(&hello_sockets, &random);
	if (!found)
		return false;
	connection->socket = *found;
	return true;
}

/* From now on nothing that the connection sends passes, until all up to `position` is allowed. */
static __always_inline bool hold_socket(const struct held_socket *socket, __u32 pid, __u64 position)
{
	__u64 now = bpf_ktime_get_ns(), cookie = socket->cookie;
	struct hold *known = bpf_map_lookup_elem(&holds, &cookie);
	struct hold fresh = { .position = position,
			      .deadline_ns = now + settings.hold_ns,
			      .pid = pid,
			      .socket = *socket };
	struct permission *permission;

	if (!known)
		return !bpf_map_update_elem(&holds, &cookie, &fresh, BPF_ANY);
	/* A server on this host holds the same random, but writes to a socket of its own: what it
	 * is allowed must not let the client's pass. */
	if (known->pid != pid)
		return false;
	permission = bpf_map_lookup_elem(&permissions, &cookie);
	/* One deadline for all that belongs together; what is new gets one of its own. */
	if (known->deadline_ns < now || (permission && permission->position >= known->position))
		known->deadline_ns = now + settings.hold_ns;
	known->position = position;
	return true;
}

static __always_inline void report_hold(void *ctx, const struct connection_id *id,
					struct connection *connection)
{
	struct tls_hold *record;

	if (connection->hold_told)
		return;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return;
	}
	fill_tls(&record->tls, RECORD_TLS_HOLD, id, connection);
	record->socket = connection->socket;
	submit_record(ctx, record);
	connection->hold_told = 1;
}

/* Holds what is about to be written, and tells it, but for what an earlier call told already. */
static __always_inline void hold_write(void *ctx, const struct connection_id *id,
				       struct connection *connection, __u64 buffer, __u64 bytes)
{
	__u64 begin = connection->position[DIRECTION_WRITE], end = begin + bytes, skip = 0;
	struct piece piece = { .call_bytes = bytes,
			       .direction = DIRECTION_WRITE,
			       .is_ahead = true };

	if (!bytes || end <= connection->told || !is_to_be_held(connection))
		return;
	if (!find_socket(ctx, id, connection) || !hold_socket(&connection->socket, id->pid, end)) {
		count_lost(LOST_UNHELD, 1);
		return;
	}
	report_hold(ctx, id, connection);
	if (connection->told > begin)
		skip = connection->told - begin;
	piece.buffer = buffer + skip;
	piece.position = begin + skip;
	piece.call_offset = skip;
	send_many(ctx, id, connection, &piece, bytes - skip);
	connection->told = piece.position;
}

/* Reports 0 when the call is worth waiting for, 1 when its return need not be seen: the
 * values that a session probe returns to the kernel. */
static __always_inline int enter(struct pt_regs *ctx, enum direction direction, __u64 bytes,
				 __u64 done, const bool holds)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct connection_id id = { .connection = PT_REGS_PARM1(ctx), .pid = thread >> 32 };
	struct call call = { .connection = id.connection, .buffer = PT_REGS_PARM2(ctx),
			     .done = done, .direction = direction };
	bool is_write = direction == DIRECTION_WRITE;
	struct connection *connection;

	if (id.pid == settings.monitor_pid)
		return 1;
	connection = find_connection(ctx, &id);
	if (!connection || muted(&id, connection))
		return 1;
	if (settings.spare_filtered && is_filtered()) {
		count_lost(LOST_SPARED, 1);
		return 1;
	}
	if (holds && is_write && settings.hold_ns)
		hold_write(ctx, &id, connection, call.buffer, bytes);
	if (bpf_map_update_elem(&calls, &thread, &call, BPF_ANY)) {
		count_lost(LOST_CALL_TABLE, 1);
		/* Nobody will say what was moved; else the next call were taken for this one. */
		if (is_write && connection->told > connection->position[DIRECTION_WRITE])
			connection->position[DIRECTION_WRITE] = connection->told;
		return 1;
	}
	if (is_write && connection->told < connection->position[DIRECTION_WRITE] + bytes)
		connection->writing = thread;
	return 0;
}

/* A call that moved so many bytes is over. */
static __always_inline int finish(struct pt_regs *ctx, const struct call *call, __u64 bytes,
				  const bool holds)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct connection_id id = { .connection = call->connection, .pid = thread >> 32 };
	struct connection *connection;

	connection = bpf_map_lookup_elem(&connections, &id);
	if (!connection) {
		if (bytes)
			count_lost(LOST_CONNECTION_TABLE, 1);
		return 0;
	}
	if (bytes) {
		send_random(ctx, &id, connection);
		send_call(ctx, &id, connection, call, bytes, holds);
	}
	/* Not before its bytes are told: reads that are told from now on come behind them. */
	if (connection->writing == thread)
		connection->writing = 0;
	return 0;
}

/* How much of a record's plaintext is data: where it ends in its type, all but that, if it is data's.
 * Not static: then the verifier goes through it once, and not through all that follows once for each
 * of its ways. */
__noinline __u64 data_bytes(__u64 buffer, __u64 bytes, __u64 has_type)
{
	__u8 type = 0;

	if (!bytes || !has_type)
		return bytes;
	if (bpf_probe_read_user(&type, sizeof(type), (void *)(buffer + bytes - 1)))
		count_lost(LOST_UNREADABLE, bytes);
	return type == APPLICATION_DATA ? bytes - 1 : 0;
}

/* How many bytes a call moved that returned so. Not static either. */
__noinline __u64 moved_bytes(__s32 result, __u64 done, __u64 known, __u64 buffer, __u64 has_type)
{
	__u64 bytes = known ? known : result;

	if (!known && result <= 0)
		return 0;
	if (done && bpf_probe_read_user(&bytes, sizeof(bytes), (void *)done)) {
		count_lost(LOST_UNREADABLE, 1);
		return 0;
	}
	return data_bytes(buffer, bytes, has_type);
}

static __always_inline int leave(struct pt_regs *ctx, const bool holds)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct call *known = bpf_map_lookup_elem(&calls, &thread), call;

	if (!known)
		return 0;
	call = *known;
	bpf_map_delete_elem(&calls, &thread);
	return finish(ctx, &call,
		      moved_bytes(PT_REGS_RC(ctx), call.done, call.bytes, call.buffer,
				  call.has_type),
		      holds);
}

/* The length that SSL_write() was given, an int. */
static __always_inline __u64 written(struct pt_regs *ctx)
{
	__s32 bytes = PT_REGS_PARM3(ctx);

	return bytes > 0 ? bytes : 0;
}

/* Where SSL_write_ex() puts what it wrote: its fourth argument. Since OpenSSL 3.3
 * ssl_write_internal() has flags there, of which there is but one, and the place behind them. */
static __always_inline __u64 written_at(struct pt_regs *ctx)
{
	__u64 fourth = PT_REGS_PARM4(ctx);

	return fourth > WRITE_FLAG_CONCLUDE ? fourth : PT_REGS_PARM5(ctx);
}

/* int SSL_write(SSL *, const void *, int), int SSL_write_ex(SSL *, const void *, size_t, size_t *)
 * and their twins for reading. ssl_write_internal() and ssl_read_internal() of OpenSSL, to
 * which all four lead, are called like the _ex ones. */
SEC("?uprobe")
int tls_write(struct pt_regs *ctx)
{
	enter(ctx, DIRECTION_WRITE, written(ctx), 0, false);
	return 0;
}

SEC("?uprobe")
int tls_write_ex(struct pt_regs *ctx)
{
	enter(ctx, DIRECTION_WRITE, PT_REGS_PARM3(ctx), written_at(ctx), false);
	return 0;
}

SEC("?uprobe")
int tls_read(struct pt_regs *ctx)
{
	enter(ctx, DIRECTION_READ, 0, 0, false);
	return 0;
}

SEC("?uprobe")
int tls_read_ex(struct pt_regs *ctx)
{
	enter(ctx, DIRECTION_READ, 0, PT_REGS_PARM4(ctx), false);
	return 0;
}

SEC("?uretprobe")
int tls_return(struct pt_regs *ctx)
{
	return leave(ctx, false);
}

/* In their place where writes are held (Linux 5.17, for bpf_loop). */
SEC("?uprobe")
int tls_write_held(struct pt_regs *ctx)
{
	enter(ctx, DIRECTION_WRITE, written(ctx), 0, true);
	return 0;
}

SEC("?uprobe")
int tls_write_ex_held(struct pt_regs *ctx)
{
	enter(ctx, DIRECTION_WRITE, PT_REGS_PARM3(ctx), written_at(ctx), true);
	return 0;
}

SEC("?uretprobe")
int tls_return_held(struct pt_regs *ctx)
{
	return leave(ctx, true);
}

/* The same as session probes (Linux 6.13): one probe for entry and return, and no return at
 * all for a call that was not worth waiting for. */
extern bool bpf_session_is_return(void) __ksym __weak;

SEC("?uprobe")
int tls_write_session(struct pt_regs *ctx)
{
	return bpf_session_is_return() ? leave(ctx, true)
				       : enter(ctx, DIRECTION_WRITE, written(ctx), 0, true);
}

SEC("?uprobe")
int tls_write_ex_session(struct pt_regs *ctx)
{
	return bpf_session_is_return() ? leave(ctx, true)
				       : enter(ctx, DIRECTION_WRITE, PT_REGS_PARM3(ctx),
					       written_at(ctx), true);
}

SEC("?uprobe")
int tls_read_session(struct pt_regs *ctx)
{
	return bpf_session_is_return() ? leave(ctx, true) : enter(ctx, DIRECTION_READ, 0, 0, true);
}

SEC("?uprobe")
int tls_read_ex_session(struct pt_regs *ctx)
{
	return bpf_session_is_return() ? leave(ctx, true)
				       : enter(ctx, DIRECTION_READ, 0, PT_REGS_PARM4(ctx), true);
}

static __always_inline __u8 lower(__u8 byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static __always_inline bool is_held_end(__u64 first, __u64 end)
{
	struct held_name exact = { .first = first, .end = end }, any = { .end = end };

	return bpf_map_lookup_elem(&held_names, &exact) || bpf_map_lookup_elem(&held_names, &any);
}

/* Looks all ends of a name up, from behind: whole labels, and parts of one behind a hyphen. */
static __noinline bool is_held_name(const char *name, __u32 length)
{
	__u64 first = 0, end = 0;
	__u8 byte;

	for (__u32 i = 0; i < MAX_NAME && i < length && name[i] != '.'; i++)
		first = first * WORD_FACTOR + lower(name[i]);
	for (__u32 i = 1; i < MAX_NAME && i <= length; i++) {
		byte = name[(length - i) & (MAX_NAME - 1)];
		if ((byte == '.' || byte == '-') && is_held_end(first, end))
			return true;
		end = end * WORD_FACTOR + lower(byte);
	}
	return is_held_end(0, end);
}

static __always_inline void end_connection(void *ctx, const struct connection_id *id,
					   struct connection *connection)
{
	struct tls_close *record;

	if (!muted(id, connection))
		settle(id, connection, true);
	record = reserve_record(sizeof(*record));
	if (record) {
		fill_tls(&record->tls, RECORD_TLS_CLOSE, id, connection);
		submit_record(ctx, record);
	} else {
		count_lost(LOST_RECORDS, 1);
	}
	bpf_map_delete_elem(&connections, id);
	bpf_map_delete_elem(&verdicts, id);
}

static __always_inline int send_name(struct pt_regs *ctx, __u64 name)
{
	struct connection_id id = { .connection = PT_REGS_PARM1(ctx),
				    .pid = bpf_get_current_pid_tgid() >> 32 };
	struct connection *connection;
	struct tls_name *record;
	long length;

	if (id.pid == settings.monitor_pid || !name)
		return 0;
	connection = find_connection(ctx, &id);
	/* A host is named before the handshake. If bytes were moved, another connection was here, whose
	 * end nobody saw: not every stack has a function for it that can be found. */
	if (connection && connection->position[DIRECTION_WRITE]) {
		end_connection(ctx, &id, connection);
		connection = find_connection(ctx, &id);
	}
	if (!connection)
		return 0;
	record = reserve_record(sizeof(*record));
	if (!record) {
		count_lost(LOST_RECORDS, 1);
		return 0;
	}
	fill_tls(&record->tls, RECORD_TLS_NAME, &id, connection);
	__builtin_memset(record->name, 0, sizeof(record->name));
	length = bpf_probe_read_user_str(record->name, sizeof(record->name), (void *)name);
	if (length < 0) {
		discard_record(record);
		count_lost(LOST_UNREADABLE, 1);
		return 0;
	}
	/* Its length counts the NUL. */
	if (settings.hold_ns && length > 1 && is_held_name(record->name, length - 1))
		connection->is_named = 1;
	submit_record(ctx, record);
	return 0;
}

/* long SSL_ctrl(SSL *, int command, long, void *): OpenSSL's way to set the host name */
SEC("?uprobe")
int tls_control(struct pt_regs *ctx)
{
	if ((__s32)PT_REGS_PARM2(ctx) != SET_HOST_NAME)
		return 0;
	return send_name(ctx, PT_REGS_PARM4(ctx));
}

/* int SSL_set_tlsext_host_name(SSL *, const char *): BoringSSL's, a function of its own;
 * SECStatus SSL_SetURL(PRFileDesc *, const char *): NSS's */
SEC("?uprobe")
int tls_host_name(struct pt_regs *ctx)
{
	return send_name(ctx, PT_REGS_PARM2(ctx));
}

/* int gnutls_server_name_set(gnutls_session_t, type, const void *name, size_t): it gives no NUL, but
 * what programs have there are strings. */
SEC("?uprobe")
int tls_server_name(struct pt_regs *ctx)
{
	if ((__s32)PT_REGS_PARM2(ctx) != SERVER_NAME_DNS)
		return 0;
	return send_name(ctx, PT_REGS_PARM3(ctx));
}

static __always_inline int close_connection(void *ctx, __u64 address)
{
	struct connection_id id = { .connection = address, .pid = bpf_get_current_pid_tgid() >> 32 };
	struct connection *connection = bpf_map_lookup_elem(&connections, &id);

	if (connection)
		end_connection(ctx, &id, connection);
	return 0;
}

/* void SSL_free(SSL *), void gnutls_deinit(gnutls_session_t), PRStatus PR_Close(PRFileDesc *) */
SEC("?uprobe")
int tls_free(struct pt_regs *ctx)
{
	return close_connection(ctx, PT_REGS_PARM1(ctx));
}

/* Go passes arguments in registers of its own choice, and g, its goroutine
 * (src/cmd/compile/abi-internal.md). */
#if defined(__TARGET_ARCH_x86)
#define GO_PARM1(ctx) ((ctx)->ax)
#define GO_PARM2(ctx) ((ctx)->bx)
#define GO_GOROUTINE(ctx) ((ctx)->r14)
#else
#define GO_PARM1(ctx) (((struct user_pt_regs *)(ctx))->regs[0])
#define GO_PARM2(ctx) (((struct user_pt_regs *)(ctx))->regs[1])
#define GO_GOROUTINE(ctx) (((struct user_pt_regs *)(ctx))->regs[28])
#endif

/* Calls of Go under way, by goroutine. Nothing tells the end of one that is killed in a call, so the
 * least recent make room. */
struct goroutine {
	__u64 g;
	__u32 pid;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct goroutine);
	__type(value, struct call);
} go_calls SEC(".maps");

static __always_inline int go_enter(struct pt_regs *ctx, enum direction direction)
{
	struct goroutine goroutine = { .g = GO_GOROUTINE(ctx),
				       .pid = bpf_get_current_pid_tgid() >> 32 };
	struct connection_id id = { .connection = GO_PARM1(ctx), .pid = goroutine.pid };
	struct call call = { .connection = id.connection, .buffer = GO_PARM2(ctx),
			     .direction = direction };
	struct connection *connection;

	if (id.pid == settings.monitor_pid)
		return 0;
	connection = find_connection(ctx, &id);
	if (!connection || muted(&id, connection))
		return 0;
	if (bpf_map_update_elem(&go_calls, &goroutine, &call, BPF_ANY))
		count_lost(LOST_CALL_TABLE, 1);
	return 0;
}

/* func (c *Conn) Write(b []byte) (int, error), of crypto/tls */
SEC("?uprobe")
int tls_go_write(struct pt_regs *ctx)
{
	return go_enter(ctx, DIRECTION_WRITE);
}

/* func (c *Conn) Read(b []byte) (int, error) */
SEC("?uprobe")
int tls_go_read(struct pt_regs *ctx)
{
	return go_enter(ctx, DIRECTION_READ);
}

/* Each return of both */
SEC("?uprobe")
int tls_go_return(struct pt_regs *ctx)
{
	struct goroutine goroutine = { .g = GO_GOROUTINE(ctx),
				       .pid = bpf_get_current_pid_tgid() >> 32 };
	struct call *known = bpf_map_lookup_elem(&go_calls, &goroutine), call;
	__s64 result = GO_PARM1(ctx);

	if (!known)
		return 0;
	call = *known;
	bpf_map_delete_elem(&go_calls, &goroutine);
	return finish(ctx, &call, result > 0 ? result : 0, false);
}

/* func (c *Conn) Close() error */
SEC("?uprobe")
int tls_go_close(struct pt_regs *ctx)
{
	return close_connection(ctx, GO_PARM1(ctx));
}

/* rustls has AWS-LC or ring encrypt and decrypt record by record, each direction with a context of its own,
 * which knows no connection and no socket. But a thread that has encrypted sends next, and one that
 * decrypts has just received: by the socket the two directions become one connection, which goes by
 * the context that encrypts. What is decrypted before anything was encrypted stands for itself.
 *
 * Only what has the type of data is told. In TLS 1.3 it is the plaintext's last byte (RFC 8446,
 * 5.2; nobody pads), and what is authenticated with it is the record's header; in TLS 1.2 a number
 * of eight bytes, then the header (RFC 5246, 6.2.3.3). */
#define TLS13_HEADER 5
#define TLS12_HEADER 13
#define TLS12_TYPE_AT 8

/* Processes whose calls are looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} aead_processes SEC(".maps");

struct aead_thread {
	__u64 sealed;   /* what it encrypted with and did not send yet, or 0 */
	__u64 received; /* the file of the socket that it received from last, or 0 */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct aead_thread);
} aead_threads SEC(".maps");

struct aead_socket {
	__u64 file;
	__u32 pid;
	__u32 pad;
};

/* Which connection a socket is. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct aead_socket);
	__type(value, __u64);
} aead_sockets SEC(".maps");

/* The last four of the ten arguments of EVP_AEAD_CTX_seal() and EVP_AEAD_CTX_open(). */
struct aead_arguments {
	__u64 in;
	__u64 bytes;
	__u64 header;
	__u64 header_bytes;
};

static __always_inline long read_arguments(struct pt_regs *ctx, struct aead_arguments *arguments)
{
#if defined(__TARGET_ARCH_x86)
	/* Behind the address to return to. */
	return bpf_probe_read_user(arguments, sizeof(*arguments), (void *)(PT_REGS_SP(ctx) + 8));
#else
	struct user_pt_regs *registers = (struct user_pt_regs *)ctx;

	arguments->in = registers->regs[6];
	arguments->bytes = registers->regs[7];
	return bpf_probe_read_user(&arguments->header, 2 * sizeof(__u64), (void *)registers->sp);
#endif
}

/* Whether a record may carry data. */
static __always_inline bool is_data(const struct aead_arguments *arguments)
{
	__u64 at = arguments->header;
	__u8 type = 0;

	if (arguments->header_bytes == TLS12_HEADER)
		at += TLS12_TYPE_AT;
	else if (arguments->header_bytes != TLS13_HEADER)
		return false;
	return !bpf_probe_read_user(&type, sizeof(type), (void *)at) && type == APPLICATION_DATA;
}

static __always_inline struct aead_thread *find_thread(__u64 thread)
{
	struct aead_thread *known = bpf_map_lookup_elem(&aead_threads, &thread), fresh = {};

	if (known)
		return known;
	bpf_map_update_elem(&aead_threads, &thread, &fresh, BPF_ANY);
	return bpf_map_lookup_elem(&aead_threads, &thread);
}

static __always_inline void remember_aead(__u32 pid)
{
	__u64 now = bpf_ktime_get_ns();

	if (!bpf_map_lookup_elem(&aead_processes, &pid))
		bpf_map_update_elem(&aead_processes, &pid, &now, BPF_ANY);
}

static __always_inline void seal(struct pt_regs *ctx, __u64 context,
				 const struct aead_arguments *arguments)
{
	__u64 now = bpf_get_current_pid_tgid();
	struct connection_id id = { .connection = context, .pid = now >> 32 };
	struct call call = { .connection = context, .buffer = arguments->in,
			     .direction = DIRECTION_WRITE };
	struct connection *connection;
	struct aead_thread *thread;
	__u64 bytes;

	if (id.pid == settings.monitor_pid)
		return;
	/* From the handshake on, so that what is received first is known. */
	remember_aead(id.pid);
	if (!is_data(arguments))
		return;
	bytes = data_bytes(arguments->in, arguments->bytes,
			   arguments->header_bytes == TLS13_HEADER);
	if (!bytes)
		return;
	thread = find_thread(now);
	if (thread)
		thread->sealed = context;
	connection = find_connection(ctx, &id);
	if (connection && !muted(&id, connection))
		finish(ctx, &call, bytes, false);
}

/* Remembers a call that decrypts, as enter() does; its connection is another when the socket says so. */
static __always_inline int open_record(struct pt_regs *ctx, struct call *call,
				       const struct aead_arguments *arguments)
{
	__u64 now = bpf_get_current_pid_tgid(), *known;
	struct connection_id id = { .connection = call->connection, .pid = now >> 32 };
	struct aead_socket socket = { .pid = id.pid };
	struct connection *connection;
	struct aead_thread *thread;

	if (id.pid == settings.monitor_pid)
		return 1;
	remember_aead(id.pid);
	if (!is_data(arguments))
		return 1;
	thread = bpf_map_lookup_elem(&aead_threads, &now);
	if (thread && thread->received) {
		socket.file = thread->received;
		known = bpf_map_lookup_elem(&aead_sockets, &socket);
		if (known)
			id.connection = *known;
	}
	connection = find_connection(ctx, &id);
	if (!connection || muted(&id, connection))
		return 1;
	call->connection = id.connection;
	call->has_type = arguments->header_bytes == TLS13_HEADER;
	if (bpf_map_update_elem(&calls, &now, call, BPF_ANY)) {
		count_lost(LOST_CALL_TABLE, 1);
		return 1;
	}
	return 0;
}

/* int EVP_AEAD_CTX_seal(const EVP_AEAD_CTX *, uint8_t *out, size_t *out_len, size_t max_out_len,
 * const uint8_t *nonce, size_t, const uint8_t *in, size_t, const uint8_t *ad, size_t): told at
 * the entry, since in and out are the same bytes mostly. */
SEC("?uprobe")
int tls_seal(struct pt_regs *ctx)
{
	struct aead_arguments arguments = {};

	if (!read_arguments(ctx, &arguments))
		seal(ctx, PT_REGS_PARM1(ctx), &arguments);
	return 0;
}

static __always_inline int unseal(struct pt_regs *ctx)
{
	struct call call = { .connection = PT_REGS_PARM1(ctx), .buffer = PT_REGS_PARM2(ctx),
			     .done = PT_REGS_PARM3(ctx), .direction = DIRECTION_READ };
	struct aead_arguments arguments = {};

	return read_arguments(ctx, &arguments) || open_record(ctx, &call, &arguments);
}

/* int EVP_AEAD_CTX_open(), with the same arguments */
SEC("?uprobe")
int tls_unseal(struct pt_regs *ctx)
{
	unseal(ctx);
	return 0;
}

SEC("?uprobe")
int tls_unseal_session(struct pt_regs *ctx)
{
	return bpf_session_is_return() ? leave(ctx, true) : unseal(ctx);
}

/* fn(&KeyInner, Nonce, Aad<&[u8]>, in_out: &mut [u8]) -> Result<Tag, Unspecified> of ring's struct
 * Algorithm, and the same with where in in_out a record begins that is decrypted. Rust's own
 * convention, which no document has: as rustc 1.95 has it, the result is written where the caller
 * says, a Nonce is passed by its address, and a slice is two arguments. So what is there is believed
 * only when the header says the length that it has. */
#if defined(__TARGET_ARCH_x86)
#define RUST_PARM1(ctx) ((ctx)->si)
#define RUST_PARM3(ctx) ((ctx)->cx)
#define RUST_PARM4(ctx) ((ctx)->r8)
#define RUST_PARM5(ctx) ((ctx)->r9)
#define RUST_STACK(ctx) ((ctx)->sp + 8) /* behind the address to return to: the others */
#else
#define RUST_PARM1(ctx) (((struct user_pt_regs *)(ctx))->regs[0])
#define RUST_PARM3(ctx) (((struct user_pt_regs *)(ctx))->regs[2])
#define RUST_PARM4(ctx) (((struct user_pt_regs *)(ctx))->regs[3])
#define RUST_PARM5(ctx) (((struct user_pt_regs *)(ctx))->regs[4])
#endif

#define AEAD_TAG_BYTES 16
#define NONCE_BYTES 8 /* before a record of TLS 1.2 by AES-GCM (RFC 5288, 3) */

struct ring_rest {
	__u64 bytes;
	__u64 from;
};

static __always_inline long read_rest(struct pt_regs *ctx, struct ring_rest *rest)
{
#if defined(__TARGET_ARCH_x86)
	return bpf_probe_read_user(rest, sizeof(*rest), (void *)RUST_STACK(ctx));
#else
	rest->bytes = ((struct user_pt_regs *)ctx)->regs[5];
	rest->from = ((struct user_pt_regs *)ctx)->regs[6];
	return 0;
#endif
}

/* A record's header ends in its length: with the tag in TLS 1.3, that of the plaintext in 1.2. */
static __always_inline bool has_length(const struct aead_arguments *arguments)
{
	__u64 length = arguments->bytes;
	__u8 bytes[2] = {};

	if (arguments->header_bytes == TLS13_HEADER)
		length += AEAD_TAG_BYTES;
	else if (arguments->header_bytes != TLS12_HEADER)
		return false;
	return !bpf_probe_read_user(bytes, sizeof(bytes),
				    (void *)(arguments->header + arguments->header_bytes -
					     sizeof(bytes))) &&
	       length == (bytes[0] << 8 | bytes[1]);
}

static __always_inline bool ring_arguments(struct pt_regs *ctx, struct aead_arguments *arguments,
					   const bool opens)
{
	struct ring_rest rest = {};

	if (read_rest(ctx, &rest) || (opens && rest.from && rest.from != NONCE_BYTES))
		return false;
	arguments->in = RUST_PARM5(ctx);
	arguments->bytes = rest.bytes - (opens ? rest.from : 0);
	arguments->header = RUST_PARM3(ctx);
	arguments->header_bytes = RUST_PARM4(ctx);
	return has_length(arguments);
}

SEC("?uprobe")
int tls_ring_seal(struct pt_regs *ctx)
{
	struct aead_arguments arguments = {};

	if (ring_arguments(ctx, &arguments, false))
		seal(ctx, RUST_PARM1(ctx), &arguments);
	return 0;
}

/* What is decrypted stands where in_out begins. Whether it is authentic its caller looks at; what is
 * not ends the connection. */
static __always_inline int ring_open(struct pt_regs *ctx)
{
	struct call call = { .connection = RUST_PARM1(ctx), .buffer = RUST_PARM5(ctx),
			     .direction = DIRECTION_READ };
	struct aead_arguments arguments = {};

	if (!ring_arguments(ctx, &arguments, true))
		return 1;
	call.bytes = arguments.bytes;
	return open_record(ctx, &call, &arguments);
}

SEC("?uprobe")
int tls_ring_open(struct pt_regs *ctx)
{
	ring_open(ctx);
	return 0;
}

SEC("?uprobe")
int tls_ring_open_session(struct pt_regs *ctx)
{
	return bpf_session_is_return() ? leave(ctx, true) : ring_open(ctx);
}

/* A thread sends what it encrypted: now its connection has a socket. */
static __always_inline void bind_socket(void *ctx, const struct aead_socket *socket,
					struct file *file, __u64 sealed)
{
	struct connection_id id = { .connection = sealed, .pid = socket->pid };
	__u64 *known = bpf_map_lookup_elem(&aead_sockets, socket);
	struct connection *connection;

	if (known && *known == sealed)
		return;
	bpf_map_update_elem(&aead_sockets, socket, &sealed, BPF_ANY);
	connection = bpf_map_lookup_elem(&connections, &id);
	if (connection)
		report_socket(ctx, &id, connection, cookie_of(file));
}

/* Attached once there is a library of this kind: it costs every call on the host a little. A raw
 * tracepoint, as below. */
SEC("raw_tp/sys_enter")
int BPF_PROG(aead_call, struct pt_regs *registers, long number)
{
	__u64 now = bpf_get_current_pid_tgid(), *known;
	struct aead_socket socket = { .pid = now >> 32 };
	struct aead_thread *thread;
	struct file *file;
	bool sends = false;

	switch (number) {
	case CALL_WRITE:
	case CALL_WRITEV:
	case CALL_SENDTO:
	case CALL_SENDMSG:
		sends = true;
	case CALL_READ:
	case CALL_READV:
	case CALL_RECVFROM:
	case CALL_RECVMSG:
	case CALL_CLOSE:
		break;
	default:
		return 0;
	}
	if (!bpf_map_lookup_elem(&aead_processes, &socket.pid))
		return 0;
	file = file_of((void *)bpf_get_current_task(), PT_REGS_PARM1_CORE_SYSCALL(registers));
	if (!is_socket(file))
		return 0;
	socket.file = (__u64)file;
	if (number == CALL_CLOSE) {
		known = bpf_map_lookup_elem(&aead_sockets, &socket);
		if (known)
			close_connection(ctx, *known);
		bpf_map_delete_elem(&aead_sockets, &socket);
		return 0;
	}
	thread = find_thread(now);
	if (!thread)
		return 0;
	if (!sends) {
		thread->received = socket.file;
	} else if (thread->sealed) {
		bind_socket(ctx, &socket, file, thread->sealed);
		thread->sealed = 0;
	}
	return 0;
}

/* A thread that was killed in a call does not return from it. A raw tracepoint: the other kind
 * needs tracefs mounted. */
SEC("raw_tp/sched_process_exit")
int thread_exit(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 pid = thread >> 32;
	struct tls_process *process;

	bpf_map_delete_elem(&calls, &thread);
	process = bpf_map_lookup_elem(&tls_processes, &pid);
	/* The kernel counts the live threads of a process down before this point. */
	if (!process || BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0;
	if (process->held_back)
		count_lost(LOST_HELD_BACK, process->held_back);
	bpf_map_delete_elem(&tls_processes, &pid);
	return 0;
}
