// SPDX-License-Identifier: GPL-2.0
/* Plaintext on TCP: what clients of local models and of MCP over HTTP send and receive without TLS.
 *
 * The programs are at the root of the cgroups, where packets have a socket, not at system calls:
 * those would cost every call of the host, and miss io_uring. A socket is remembered when it
 * connects, for there the process is known, and what is remembered lives in the socket. The first
 * bytes that it sends decide: a request of HTTP, by an agent, to a port where models are served, or
 * for a path that has a word of theirs, is followed; a packet of any other socket costs one look-up.
 * Servers connect nowhere, so what is exchanged within this host is told once, by the client's side.
 *
 * Packets may come twice, and those that come in also in another order; TCP's sequence numbers say
 * where their bytes belong. What was sent again is left out; what came ahead of its turn is told as it
 * came, with its position, and user space puts it in order.
 *
 * Left out: connections that were open before, and servers that speak first.
 */
#include "common.h"
#include "packets.h"
#include "program.h"
#include "socket_types.h"
#include "verdicts.h"
#include "words.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by user space before loading. */
const volatile struct settings settings = { .undecided_bytes = 256 << 10 };

/* Return values of these programs: never anything else. */
#define ALLOW 1

/* Of a request, what is searched for words: longer than all paths of models up to their last name. */
#define MAX_START 128
/* PROPFIND and UNSUBSCRIBE are longer, and nobody asks a model with them (RFC 9110, 9.1). */
#define MAX_METHOD 7
/* How far ahead of what a socket has received a packet may be: more than windows are (tcp_rmem of
 * tcp(7) allows 6 MB). What is farther is none of this connection's, and TCP drops it, too. */
#define MAX_AHEAD (64 << 20)
/* A packet of 512 KiB, as the kernel makes them at most (IPv6, Linux 5.19). */
#define MAX_PIECES 32

enum plain_state { PLAIN_FRESH = 0, PLAIN_FOLLOWED = 1, PLAIN_LEFT = 2 };

struct plain_socket {
	struct tls_open open; /* as it is told, once it is followed */
	__u64 sent;    /* bytes */
	__u32 base[2]; /* sequence number of the first byte, by direction */
	__u32 state;
	__u32 is_wanted;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct plain_socket);
} plain_sockets SEC(".maps");

struct plain_followed {
	struct tls_header tls;
	__u64 held_back; /* bytes, while undecided */
};

/* Those followed, by cookie, to tell their end: as many as user space remembers. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct plain_followed);
} followed SEC(".maps");

/* Written by user space: where models are served on this host, and words in paths. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u8);
} plain_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u8);
} plain_words SEC(".maps");

struct plain_piece {
	__u64 position;
	__u32 offset; /* in the packet */
	__u32 length;
	__u32 call_bytes;
	__u32 call_offset;
	__u32 direction;
	__u32 pad;
};

/* A reservation must have a constant size, so `room` is a constant at each place of call. */
static __always_inline void send_in(struct __sk_buff *skb, const __u64 room,
				    const struct plain_socket *socket,
				    const struct plain_piece *piece, __u64 length)
{
	struct tls_data *record = reserve_record(sizeof(*record) + room);

	if (!record) {
		count_lost(LOST_RING_FULL, length);
		return;
	}
	record->tls = socket->open.tls;
	record->tls.record.type = RECORD_TLS_DATA;
	record->tls.record.time_ns = bpf_ktime_get_ns();
	record->position = piece->position;
	record->call_bytes = piece->call_bytes;
	record->call_offset = piece->call_offset;
	record->tid = socket->open.tid;
	record->direction = piece->direction;
	record->during_write = 0;
	__builtin_memset(record->unused, 0, sizeof(record->unused));
	/* As in names.bpf.c: at least one byte, by an addition. */
	length--;
	barrier_var(length);
	if (length >= room)
		length = room - 1;
	length++;
	record->length = length;
	if (bpf_skb_load_bytes(skb, piece->offset, record + 1, length)) {
		discard_record(record);
		count_lost(LOST_UNREADABLE, length);
		return;
	}
	trim_record(record, sizeof(*record) + length);
	submit_record(skb, record);
}

/* One function, not inlined: it stands once in the program. `length` is not 0. */
static __noinline int send_last(struct __sk_buff *skb, const struct plain_socket *socket,
				const struct plain_piece *piece, __u64 length)
{
	if (length <= 256)
		send_in(skb, 256, socket, piece, length);
	else if (length <= 1024)
		send_in(skb, 1024, socket, piece, length);
	else if (length <= 4096)
		send_in(skb, 4096, socket, piece, length);
	else
		send_in(skb, MAX_DATA, socket, piece, length);
	return 0;
}

/* Another one: in the loop there is one size alone. */
static __noinline int send_full(struct __sk_buff *skb, const struct plain_socket *socket,
				const struct plain_piece *piece)
{
	send_in(skb, MAX_DATA, socket, piece, MAX_DATA);
	return 0;
}

static __noinline int send_pieces(struct __sk_buff *skb, const struct plain_socket *socket,
				  const struct plain_piece *first)
{
	struct plain_piece piece = *first;

	for (__u64 i = 0; i < MAX_PIECES && piece.length > MAX_DATA; i++) {
		send_full(skb, socket, &piece);
		piece.offset += MAX_DATA;
		piece.position += MAX_DATA;
		piece.call_offset += MAX_DATA;
		piece.length -= MAX_DATA;
	}
	if (piece.length)
		send_last(skb, socket, &piece, piece.length);
	return 0;
}

/* Whether the target of a request has one of the words; it stands between the first two spaces. */
static __noinline bool asks_for_model(const char *text, __u32 length)
{
	__u64 word = 0, before, ends, spaces = 0;
	__u8 byte;

	for (__u32 i = 0; i < MAX_START && i < length; i++) {
		byte = text[i];
		before = word;
		ends = is_zero(byte ^ '/') | is_zero(byte ^ '?') | is_zero(byte ^ ':') |
		       is_zero(byte ^ ' ');
		word = (word * WORD_FACTOR + byte) & (ends - 1);
		barrier_var(word);
		spaces += is_zero(byte ^ ' ');
		if (ends && is_word(&plain_words, before))
			return true;
		if (spaces > 1)
			return false;
	}
	return false;
}

/* RFC 9112, 3: a method, a space, and a path, an asterisk or an address of HTTP. HTTP/2 begins
 * like one, too (RFC 9113, 3.4). */
static __noinline bool is_request(const char *text, __u32 length)
{
	__u8 byte;

	for (__u32 i = 0; i < MAX_METHOD + 1 && i + 1 < length; i++) {
		byte = text[i];
		if (byte == ' ') {
			byte = text[i + 1];
			return i && (byte == '/' || byte == '*' || byte == 'h');
		}
		if (byte < 'A' || byte > 'Z')
			return false;
	}
	return false;
}

static __always_inline bool is_of_agent(const struct record_header *record)
{
	struct agent *agent = bpf_map_lookup_elem(&agents, &record->pid);

	return agent && agent->start_ns == record->start_ns;
}

static __always_inline bool is_to_follow(struct __sk_buff *skb, const struct bpf_sock *sk,
					 const struct plain_socket *socket,
					 const struct payload *payload)
{
	__u32 port = bpf_ntohs(sk->dst_port);
	__u64 length = payload->length;
	char start[MAX_START] = {};

	if (length > MAX_START)
		length = MAX_START;
	/* As in send_in(). */
	length--;
	barrier_var(length);
	if (length >= MAX_START)
		return false;
	length++;
	if (bpf_skb_load_bytes(skb, payload->offset, start, length) || !is_request(start, length))
		return false;
	return bpf_map_lookup_elem(&plain_ports, &port) || is_of_agent(&socket->open.tls.record) ||
	       asks_for_model(start, length);
}

/* What is sent at once is sent by the process itself; what waits may be by an interrupt. */
static __always_inline long remember_process(void *ctx, const struct record_header *header)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 *known = bpf_map_lookup_elem(&told_processes, &header->pid);

	if (known && *known == header->start_ns)
		return 0;
	if (BPF_CORE_READ(task, tgid) == header->pid)
		report_program(ctx, header->pid, header->start_ns);
	return bpf_map_update_elem(&told_processes, &header->pid, &header->start_ns, BPF_ANY);
}

/* The first bytes that a socket sends: false when they are of no interest, then or later. */
static __always_inline bool begin(struct __sk_buff *skb, struct bpf_sock *sk,
				  struct plain_socket *socket, const struct payload *payload)
{
	struct record_header *header = &socket->open.tls.record;
	struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
	struct plain_followed fresh = {};
	struct tls_open *open;
	__u64 cookie;

	socket->state = PLAIN_LEFT;
	if (!tcp || tcp->bytes_received || !is_to_follow(skb, sk, socket, payload))
		return false;
	if (remember_process(skb, header)) {
		count_lost(LOST_CONNECTION_TABLE, 1);
		return false;
	}
	cookie = bpf_get_socket_cookie(skb);
	socket->open.tls.connection = cookie;
	socket->open.tls.since_ns = header->time_ns = bpf_ktime_get_ns();
	socket->base[DIRECTION_WRITE] = payload->sequence;
	socket->base[DIRECTION_READ] = tcp->rcv_nxt;
	fresh.tls = socket->open.tls;
	if (bpf_map_update_elem(&followed, &cookie, &fresh, BPF_ANY)) {
		count_lost(LOST_CONNECTION_TABLE, 1);
		return false;
	}
	socket->state = PLAIN_FOLLOWED;
	open = reserve_record(sizeof(*open));
	if (!open) {
		count_lost(LOST_RECORDS, 1);
		return true;
	}
	*open = socket->open;
	submit_record(skb, open);
	return true;
}

/* Bytes were held back while nobody knew what the connection is; now it is known. */
static __always_inline void settle(struct plain_followed *known, bool are_lost)
{
	if (known && are_lost && known->held_back)
		count_lost(LOST_HELD_BACK, known->held_back);
	if (known)
		known->held_back = 0;
}

/* Muted is final; what is wanted may still be muted. */
static __always_inline bool is_muted(struct plain_socket *socket)
{
	struct connection_id id = { .connection = socket->open.tls.connection,
				    .pid = socket->open.tls.record.pid };
	struct judgement *judgement = bpf_map_lookup_elem(&verdicts, &id);

	if (!judgement || judgement->since_ns != socket->open.tls.since_ns)
		return false;
	if (judgement->verdict == VERDICT_WANTED && socket->is_wanted)
		return false;
	settle(bpf_map_lookup_elem(&followed, &id.connection),
	       judgement->verdict == VERDICT_WANTED);
	socket->is_wanted = judgement->verdict == VERDICT_WANTED;
	if (!socket->is_wanted)
		socket->state = PLAIN_LEFT;
	return !socket->is_wanted;
}

/* As in tls.bpf.c: what nobody knows yet leaves room to others. */
static __always_inline bool hold_back(struct plain_socket *socket, const struct plain_piece *piece)
{
	struct plain_followed *known;
	__u64 always;

	if (socket->is_wanted || !records_wait(2))
		return false;
	always = records_wait(3) ? MAX_DATA : settings.undecided_bytes;
	if (piece->position < always)
		return false;
	known = bpf_map_lookup_elem(&followed, &socket->open.tls.connection);
	if (known)
		__sync_fetch_and_add(&known->held_back, piece->length);
	else
		count_lost(LOST_HELD_BACK, piece->length);
	return true;
}

/* Where in its stream a byte is. The count of all bytes may be a little behind, or ahead; the
 * sequence number is exact, and wraps (RFC 9293, 3.4). */
static __always_inline __u64 position_of(__u32 relative, __u64 about)
{
	return about + (__s32)(relative - (__u32)about);
}

static __always_inline void send_payload(struct __sk_buff *skb, struct plain_socket *socket,
					 const struct payload *payload, __u64 known, __u64 about,
					 enum direction direction)
{
	__u32 relative = payload->sequence - socket->base[direction];
	struct plain_piece piece = { .position = position_of(relative, about),
				     .offset = payload->offset,
				     .length = payload->length,
				     .call_bytes = payload->length,
				     .direction = direction };
	__u64 repeated;

	/* Before the first byte: TCP's own, to keep a connection alive (RFC 9293, 3.8.4). */
	if ((__s64)piece.position < 0 || piece.position > known + MAX_AHEAD)
		return;
	if (piece.position < known) {
		repeated = known - piece.position;
		if (repeated >= piece.length)
			return;
		piece.position += repeated;
		piece.offset += repeated;
		piece.length -= repeated;
		piece.call_bytes -= repeated;
	}
	if (direction == DIRECTION_WRITE)
		socket->sent = piece.position + piece.length;
	if (!hold_back(socket, &piece))
		send_pieces(skb, socket, &piece);
}

static __always_inline struct plain_socket *find(struct bpf_sock *sk)
{
	struct plain_socket *socket = bpf_sk_storage_get(&plain_sockets, sk, 0, 0);

	return socket && socket->state != PLAIN_LEFT ? socket : 0;
}

SEC("cgroup_skb/egress")
int plain_sent(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct payload payload = {};
	struct plain_socket *socket;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	socket = sk ? find(sk) : 0;
	if (!socket || !read_payload(skb, &payload) || !payload.length)
		return ALLOW;
	if (socket->state == PLAIN_FRESH && !begin(skb, sk, socket, &payload))
		return ALLOW;
	if (is_muted(socket))
		return ALLOW;
	send_payload(skb, socket, &payload, socket->sent, socket->sent, DIRECTION_WRITE);
	return ALLOW;
}

SEC("cgroup_skb/ingress")
int plain_received(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct payload payload = {};
	struct plain_socket *socket;
	struct bpf_tcp_sock *tcp;
	__u64 about, known;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	socket = sk ? find(sk) : 0;
	if (!socket || socket->state != PLAIN_FOLLOWED || !read_payload(skb, &payload) ||
	    !payload.length || is_muted(socket))
		return ALLOW;
	tcp = bpf_tcp_sock(sk);
	if (!tcp)
		return ALLOW;
	about = tcp->bytes_received;
	known = position_of(tcp->rcv_nxt - socket->base[DIRECTION_READ], about);
	send_payload(skb, socket, &payload, known, about, DIRECTION_READ);
	return ALLOW;
}

static __always_inline int connecting(struct bpf_sock_addr *address)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct plain_socket *socket;
	struct tls_open *open;
	__u64 ids, thread = bpf_get_current_pid_tgid();

	if (address->protocol != TCP || !address->sk || thread >> 32 == settings.monitor_pid)
		return ALLOW;
	socket = bpf_sk_storage_get(&plain_sockets, address->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket) {
		count_lost(LOST_SOCKET_TABLE, 1);
		return ALLOW;
	}
	/* One that failed to connect may do it again. */
	__builtin_memset(socket, 0, sizeof(*socket));
	open = &socket->open;
	fill_record(&open->tls.record, RECORD_TLS_OPEN, thread >> 32, process_start_ns());
	ids = bpf_get_current_uid_gid();
	open->uid = ids;
	open->gid = ids >> 32;
	open->tid = thread;
	open->ppid = BPF_CORE_READ(task, real_parent, tgid);
	open->cgroup_id = bpf_get_current_cgroup_id();
	open->library = PLAIN_SOCKET;
	BPF_CORE_READ_INTO(&open->comm, task, group_leader, comm);
	return ALLOW;
}

SEC("cgroup/connect4")
int plain_connect4(struct bpf_sock_addr *address)
{
	return connecting(address);
}

SEC("cgroup/connect6")
int plain_connect6(struct bpf_sock_addr *address)
{
	return connecting(address);
}

/* All connections come here in the end, those that time out, too. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(plain_state, const struct sock *sk, int oldstate, int newstate)
{
	struct plain_followed *known;
	struct tls_close *record;
	__u64 cookie;

	if (newstate != TCP_CLOSE)
		return 0;
	/* Whoever is followed has one; that of others need not be made. */
	cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	known = bpf_map_lookup_elem(&followed, &cookie);
	if (!known)
		return 0;
	settle(known, true);
	record = reserve_record(sizeof(*record));
	if (record) {
		record->tls = known->tls;
		record->tls.record.type = RECORD_TLS_CLOSE;
		record->tls.record.time_ns = bpf_ktime_get_ns();
		submit_record(ctx, record);
	} else {
		count_lost(LOST_RECORDS, 1);
	}
	bpf_map_delete_elem(&followed, &cookie);
	return 0;
}
