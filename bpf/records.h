/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel tells user space. The Python twin is src/busted/records.py; a test
 * compares the two through BTF, so change both together and raise RECORDS_VERSION.
 *
 * Every struct is naturally aligned and spells out its padding. Times are nanoseconds of
 * CLOCK_MONOTONIC; process start times are nanoseconds of CLOCK_BOOTTIME.
 */
#ifndef BUSTED_RECORDS_H
#define BUSTED_RECORDS_H

#define RECORDS_VERSION 1

/* The largest piece of plaintext in one record: the size of a TLS record (RFC 8446, 5.1). */
#define MAX_DATA 16384
/* A DNS name is at most 253 characters (RFC 1035, 2.3.4); one more for the NUL. */
#define MAX_NAME 256
#define MAX_COMM 16
/* What is told of the path that a process executes, and of its arguments: their heads say what
 * runs, while PATH_MAX is 4096 and ARG_MAX megabytes. */
#define MAX_PATH 256
#define MAX_ARGV 4096

/* The hash of a word is that of all its bytes but the last, times this, plus the last; it wraps. */
#define WORD_FACTOR 31

enum record_type {
	RECORD_TLS_OPEN = 1,  /* first sight of a connection, and of who uses it */
	RECORD_TLS_NAME = 2,  /* the host name the client asked for (SNI) */
	RECORD_TLS_DATA = 3,  /* a piece of plaintext */
	RECORD_TLS_CLOSE = 4, /* the TLS library let go of the connection */
	RECORD_PROCESS_EXIT = 5, /* the last thread of a process that was told of ended */
	RECORD_TLS_RANDOM = 6, /* what ties a connection to the ClientHello on the wire */
	RECORD_TLS_SOCKET = 7, /* what ties a connection to its socket, where the library says it */
	RECORD_TLS_PEER = 8,   /* the process at the other end of a connection of standard I/O */

	RECORD_FLOW = 10, /* what a socket did: connected, accepted, closed, moved so much */
	RECORD_TRAFFIC = 11, /* how much a socket moved when, and in how many segments */

	RECORD_DNS_MESSAGE = 20,  /* a piece of what a socket exchanged with a name server */
	RECORD_CLIENT_HELLO = 21, /* a piece of the first bytes that a TLS client sent */
	RECORD_QUIC_INITIAL = 22, /* one of the first datagrams that a QUIC client sent */

	RECORD_PROCESS_EXEC = 30, /* a process runs another program now */
	RECORD_PROCESS_FORK = 31, /* a process of an agent made another */
	RECORD_PROCESS_PROGRAM = 32, /* what a process runs of which a connection is told for the first time */

	RECORD_FILE_ACCESS = 40, /* a file was opened, renamed or unlinked, or that was refused */
	RECORD_FILE_DATA = 41,   /* a piece of what was read from or written to a file */
	RECORD_FILE_BYTES = 42,  /* how much was read and written so far: told when it is closed */
	RECORD_STDIO_BEGUN = 43, /* a process was started whose standard input and output are of interest */
	RECORD_TLS_HOLD = 50, /* what a connection writes is held from here on, until it is allowed */
};

enum direction { DIRECTION_WRITE = 0, DIRECTION_READ = 1 };

enum verdict { VERDICT_MUTED = 1, VERDICT_WANTED = 2 };

/* Where the kernel side can lose something; indexes of the `lost` map. */
enum lost_place {
	LOST_RING_FULL = 0,        /* no room in the ring buffer: bytes of plaintext */
	LOST_UNREADABLE = 1,       /* the memory of the process could not be read: bytes */
	LOST_OVER_CALL_LIMIT = 2,  /* past max_call_bytes of one call: bytes */
	LOST_CALL_TABLE = 3,       /* a call whose return could not be awaited: calls */
	LOST_CONNECTION_TABLE = 4, /* no room to remember a connection: calls */
	LOST_RECORDS = 5,          /* records without plaintext that found no room */
	LOST_SOCKET_TABLE = 6,     /* a socket that could not be remembered: sockets */
	LOST_HELD_BACK = 7,        /* not known to be AI in time, and the ring was half full: bytes */
	LOST_SPARED = 8,           /* calls of processes that spare_filtered is for */
	LOST_PROCESS_TABLE = 9,    /* a process of an agent that could not be remembered: processes */
	LOST_FILE_DATA = 10,       /* content of files that found no room, or was unreadable: bytes */
	LOST_FILE_RECORDS = 11,    /* other records of files that found no room */
	LOST_UNHELD = 12,          /* writes that were to be held, and no socket or no room was found */
	LOST_STDIO_TABLE = 13,     /* standard I/O that could not be remembered: processes */
	LOST_PLACES = 14,
};

/* Not a record: what user space tells the programs before it loads them (.rodata). */
struct settings {
	__u64 max_call_bytes; /* of one call, what is sent at most; the last piece always is */
	__u64 undecided_bytes; /* of each direction, sent though the ring is half full */
	__u64 hold_ns;        /* how long a write may be held; 0: none is */
	__u32 monitor_pid;    /* whose own TLS is left alone */
	__u32 spare_filtered; /* not 0: leave processes under seccomp alone, a return kills them */
};

/* Not a record either: from a connection object to its client random. What is followed, if not
 * NO_OFFSET: at `zero` a 32-bit zero must stand, at `pointer` the object that `offset` is in. At
 * `bio` is a pointer to what the connection reads from. */
#define NO_OFFSET 0x7fffffff
struct random_path {
	__u32 zero;
	__u32 pointer;
	__u32 offset;
	__u32 bio;
};

struct record_header {
	__u8 type;
	__u8 version;
	__u16 pad;
	__u32 pid;      /* thread group id, as in the initial pid namespace */
	__u64 time_ns;
	__u64 start_ns; /* of the process, so that a recycled pid is another process */
};

/* A connection is (pid, start_ns, connection, since_ns): the pointer alone is recycled. */
struct tls_header {
	struct record_header record;
	__u64 connection; /* address of the library's connection object */
	__u64 since_ns;   /* when the kernel side first saw it */
};

/* In place of a library: no TLS, the bytes are those of a socket, whose cookie the connection is. */
#define PLAIN_SOCKET 0xffffffffffffffff

/* Likewise: what a process that this one started reads from its standard input and writes to its
 * standard output. What it read this one wrote. */
#define STANDARD_IO 0xfffffffffffffffe

struct tls_open {
	struct tls_header tls;
	__u64 cgroup_id;
	__u64 library; /* the attach cookie: which hooked file; 0 where cookies do not exist */
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	char comm[MAX_COMM];
};

struct tls_name {
	struct tls_header tls;
	char name[MAX_NAME];
};

/* Followed by `length` bytes of plaintext. One call of the library gives one record, or
 * several in order; a call longer than max_call_bytes gives its head and its last piece. */
struct tls_data {
	struct tls_header tls;
	__u64 position;    /* of the first byte here in the stream of this direction */
	__u64 call_bytes;  /* what the call moved in all */
	__u64 call_offset; /* of the first byte here in the call */
	__u32 tid;
	__u32 length;
	__u8 direction;
	__u8 during_write; /* read while another thread was in a write call: told before its bytes */
	__u8 unused[6];
};

struct tls_close {
	struct tls_header tls;
};

/* The random of the ClientHello (RFC 8446, 4.1.2): the library's and the wire's are the same. */
struct tls_random {
	struct tls_header tls;
	__u64 random[4];
};

/* It follows the random, and the cookie is as in struct flow. */
struct tls_socket {
	struct tls_header tls;
	__u64 cookie;
};

/* Follows the opening of a connection of standard I/O; itself followed by the `length` bytes of
 * arguments that the process was started with. */
#define MAX_PEER_ARGV 1024
struct tls_peer {
	struct tls_header tls;
	__u64 peer_start_ns;
	__u32 peer;
	__u32 length;
	char comm[MAX_COMM];
};

struct process_exit {
	struct record_header record;
};

/* Its process is the one that was started. */
struct stdio_begun {
	struct record_header record;
};

/* Not a record: the settings of stdio.bpf.c. */
struct stdio_settings {
	__u64 max_call_bytes;
	__u32 monitor_pid;
	__u32 all; /* not 0: of all processes, not of those of agents and of MCP alone */
};

/* Holds */

/* A socket by its cookie, unique until the host restarts, and its ends as in struct flow. */
struct held_socket {
	__u64 cookie;
	__u16 local_port;
	__u16 remote_port;
	__u32 unused;
	__u8 local[16];
	__u8 remote[16];
};

/* What is written is told before the library has it, from this record on. */
struct tls_hold {
	struct tls_header tls;
	struct held_socket socket;
};

/* The rest are no records. Of a socket: how far what was written goes, and until when it waits. */
struct hold {
	__u64 position;
	__u64 deadline_ns;
	__u64 dropped; /* packets */
	__u64 passed;  /* packets that left undecided, since their time was over */
	struct held_socket socket;
	__u32 pid; /* of a process that writes to it */
	__u32 pad;
};

/* Of a socket: how far what was written is allowed. */
struct permission {
	__u64 position;
	__u64 denied; /* not 0: for good */
};

/* Hashes of a host's first label, or 0 for any, and of its name's end, read backwards. */
struct held_name {
	__u64 first;
	__u64 end;
};

/* The settings of hold.bpf.c. */
struct hold_settings {
	__u64 fails_open; /* what is undecided after its time passes; else it never does */
};

/* Flows */

enum flow_operation {
	FLOW_OPERATION_CONNECT = 1, /* done, or failed with `error` */
	FLOW_OPERATION_ACCEPT = 2,
	FLOW_OPERATION_CLOSE = 3,
	FLOW_OPERATION_LOOK = 4,        /* user space asked how it stands */
	FLOW_OPERATION_LOOK_CLOSED = 5, /* the same, of one that has closed */
	FLOW_OPERATION_REFUSED = 6, /* the process asked for it, and a verdict refused with `error` */
};

/* How the process of a flow is known. */
enum flow_owner {
	FLOW_OWNER_UNKNOWN = 0,
	FLOW_OWNER_OPENER = 1,   /* it connected or accepted */
	FLOW_OWNER_LISTENER = 2, /* it listens where the flow came in; a child may have accepted */
	FLOW_OWNER_HOLDER = 3,   /* it had the socket open when we looked, or closed it */
};

/* The process of the header is the one that opened the flow, whoever uses it since. Addresses
 * are in network order, IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2); ports are in host order. */
struct flow {
	struct record_header record;
	__u64 cookie; /* of the socket, unique until the host restarts */
	__u64 netns;  /* cookie of its network namespace, likewise */
	__u64 cgroup_id;
	__u64 opened_ns; /* when the process asked for it; 0: before we watched */
	__u64 established_ns; /* when the two ends agreed; 0: not yet, or before we watched */
	__u64 bytes_sent; /* payload, without what was sent again */
	__u64 bytes_received;
	__u32 retransmits; /* segments sent again */
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	__u16 local_port;
	__u16 remote_port;
	__u8 local[16];
	__u8 remote[16];
	char comm[MAX_COMM];
	__u16 error; /* errno of a connect that failed, else 0 */
	__u8 operation;
	__u8 role; /* FLOW_OPERATION_CONNECT, FLOW_OPERATION_ACCEPT, or 0: not known */
	__u8 owner;
	__u8 agent;     /* the process is one of an AI agent's */
	__u8 transport; /* the protocol's number: 6 for TCP (iana.org/assignments/protocol-numbers) */
	__u8 unused;
};

/* Slices in which something moved that one record has: three seconds of a steady stream. */
#define MAX_SLICES 32

/* What moved since the slice before it: payload, and the segments that carried it. */
struct traffic_slice {
	__u32 at_ms; /* since the record's `began_ns` */
	__u32 sent;
	__u32 received;
	__u16 segments_sent; /* at most 65535, as below */
	__u16 segments_received;
};

/* Of a connection that its process opened. `slices` are those that something moved in, in their
 * order; the record ends with the last of `count`. */
struct traffic {
	struct record_header record;
	__u64 cookie; /* as in struct flow */
	__u64 began_ns; /* of the window: when it was opened, or the first slice's time */
	__u32 window;   /* how many windows of this connection were told before */
	__u8 count;
	__u8 unused;
	__u16 remote_port;
	__u8 remote[16]; /* as in struct flow */
	struct traffic_slice slices[MAX_SLICES];
};

/* Not a record: an address that user space wants to hear of, with a network namespace. */
struct wanted_address {
	__u64 netns;
	__u8 address[16];
};

/* Not a record: the settings of net.bpf.c. */
struct flow_settings {
	__u32 monitor_pid; /* whose own flows are left alone */
	__u8 all;          /* tell all flows, not only the wanted ones */
	__u8 cookies;      /* tracing programs may make cookies (Linux 5.12) */
	__u8 accepts;      /* the return of accept(2) is seen */
	__u8 traffic;      /* tell how connections move what they move */
};

/* Verdicts */

/* Not a record: whom a verdict is for, and where to. An address of zeros and port 0: anywhere. */
struct connect_key {
	__u64 netns; /* cookie of the network namespace, for the same address is another in another */
	__u8 address[16];
	__u32 process; /* pid of the agent, or of a process that belongs to none; 0: anybody */
	__u16 port;
	__u16 unused;
};

struct connect_verdict {
	__u64 until_ns; /* on the clock of the records; then it means nothing any more */
	__u64 start_ns; /* of `process` */
	__u64 refused;  /* how often it was obeyed */
	__u64 told_ns;  /* when a record last said so */
	__u32 error;    /* what the process gets */
	__u32 unused;
};

/* Not a record: the settings of enforce.bpf.c. */
struct enforce_settings {
	__u32 monitor_pid; /* which is never refused anything */
	__u8 link_local;   /* verdicts may be about addresses of the link, too */
	__u8 any_error;    /* the kernel takes any error (Linux 6.1); else it is EPERM */
	__u8 unused[2];
};

/* Names on the wire */

/* The most of one packet in one record. DNS over UDP has at most 4096 bytes in practice (RFC
 * 6891, 6.2.5), a ClientHello 500 to 2000; but TCP hands over up to 64 KB at once. */
#define MAX_PIECE 8192

/* Followed by `length` bytes of what a socket sent or received. The process is the one that
 * connected the socket or, unconnected, sent the question. */
struct wire_header {
	struct record_header record;
	__u64 cookie; /* of the socket, unique until the host restarts */
	__u64 netns;  /* cookie of its network namespace, likewise */
	__u32 position; /* of the first byte here in the stream of this direction */
	__u32 length;
};

struct dns_message {
	struct wire_header wire;
	__u32 total; /* bytes of the datagram: more than `length` when it was cut */
	__u8 direction;
	__u8 over_tcp;
	__u8 unused[2];
};

struct client_hello {
	struct wire_header wire;
	__u32 total; /* bytes that are sent of this connection, as far as known by now */
	__u32 unused;
};

/* Followed by `length` bytes of the datagram. What a socket sends to one address is one flow. The
 * cookie of the first is the socket's, and each other adds one to the upper 16 bits. */
struct quic_initial {
	struct flow flow; /* as it stands; `opened_ns` is when its first datagram was sent */
	__u32 length;
	__u32 total; /* more than `length` when it was cut */
};

/* Not a record: a flow of a UDP socket, by the socket's cookie and the far end as in struct flow. */
struct quic_key {
	__u64 cookie;
	__u8 remote[16];
	__u16 remote_port;
	__u8 unused[6];
};

/* Processes */

/* Followed by `length` bytes of arguments, each ended by NUL; the last one may be cut. */
struct process_exec {
	struct record_header record;
	__u64 parent_start_ns;
	__u64 cgroup_id;
	__u64 inode; /* of the executable: of the interpreter where `path` is a script */
	__u32 ppid;
	__u32 agent; /* pid of the agent it belongs to, or may be; 0: none */
	__u32 uid;
	__u32 gid;
	__u32 argv_bytes; /* of all arguments */
	__u32 length;
	char comm[MAX_COMM];
	char path[MAX_PATH]; /* as it was asked for */
};

/* Of a process that may be gone when user space asks for it. */
#define MAX_PROGRAM_ARGV 1024

/* Followed by `length` bytes of arguments, as above. */
struct process_program {
	struct record_header record;
	__u64 inode; /* of the executable */
	__u32 length;
	__u32 unused;
	char path[MAX_PATH]; /* as it was asked for */
};

/* The header names the child. */
struct process_fork {
	struct record_header record;
	__u64 parent_start_ns;
	__u32 ppid;
	__u32 agent; /* pid of the agent that both belong to, or may */
};

/* Not a record: what the iterator over all processes gives. */
struct running_process {
	__u64 start_ns;
	__u64 parent_start_ns;
	__u32 pid;
	__u32 ppid;
	char comm[MAX_COMM];
};

/* Files */

/* Of the parts of a path together, and of one part (NAME_MAX of linux/limits.h, and a NUL). */
#define MAX_PARTS_BYTES 1024
#define MAX_PART 256
/* Of one piece: what is longer comes in several. */
#define MAX_FILE_DATA 16384

enum file_operation {
	FILE_OPEN = 0,
	FILE_UNLINK = 1,
	FILE_RENAME = 2,     /* the old name; the new one follows, from the same thread */
	FILE_RENAMED_TO = 3,
};

/* Not a record: what user space tells the programs before it loads them (.rodata). */
struct file_settings {
	__u64 max_file_bytes; /* of the content of one open file, in all */
	__u32 all;            /* all files of agents, not only what may be sensitive */
	__u32 monitor_pid;    /* whose own files are left alone */
};

/* An open file is (file, since_ns): the pointer alone is recycled. Both are 0 where none is. */
struct file_header {
	struct record_header record;
	__u64 file;
	__u64 since_ns;
};

/* The path is `parts`, from the last to the first, each ended by NUL, and then `name`, which is
 * what the process gave, relative to it; an absolute name stands without parts. */
struct file_access {
	struct file_header header;
	__u64 cgroup_id;
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	__s32 result;
	__u32 flags;        /* of open(2) */
	__u32 parts_length;
	__u8 operation;
	__u8 complete;      /* the parts reach up to the root */
	__u8 inherited;     /* it was open already */
	__u8 unused[1];
	char comm[MAX_COMM];
	char name[MAX_PATH];
	char parts[MAX_PARTS_BYTES + MAX_PART];
};

/* Followed by `length` bytes. */
struct file_data {
	struct file_header header;
	__u64 offset;     /* in the file */
	__u64 call_bytes; /* what the call moved from here to where the next piece begins, or to its end */
	__u32 length;
	__u8 direction;
	__u8 unused[3];
	char comm[MAX_COMM];
};

struct file_bytes {
	struct file_header header;
	__u64 bytes[2]; /* by direction */
	__u32 last;     /* no other descriptor leads to the file */
	__u32 unused;
	char comm[MAX_COMM];
};

#endif
