// SPDX-License-Identifier: GPL-2.0
/* A producer that is never the limit: puts records shaped like those of tls.bpf.c into the ring,
 * as fast as the reader makes room. What finds no room is tried again by the next run, so nothing
 * is lost. BPF_PROG_RUN runs it once.
 */
#include "../bpf/common.h"

char LICENSE[] SEC("license") = "GPL";

/* Set by user space before loading, and so constants to the verifier. */
struct workload {
	__u32 room;   /* reserved for the plaintext of a record */
	__u32 length; /* of the plaintext */
};
const volatile struct workload workload = { .room = 256, .length = 200 };

/* What one run tries: enough to make the system call that starts it negligible. */
#define MAX_RECORDS 256

char plaintext[MAX_DATA];
__u64 position;

SEC("syscall")
int produce(void *ctx)
{
	struct tls_data *record;

	for (int i = 0; i < MAX_RECORDS; i++) {
		record = reserve_record(sizeof(*record) + workload.room);
		if (!record)
			break;
		fill_record(&record->tls.record, RECORD_TLS_DATA, 1, 1);
		record->tls.connection = 1;
		record->tls.since_ns = 1;
		record->position = position;
		record->call_bytes = workload.length;
		record->call_offset = 0;
		record->tid = 1;
		record->length = workload.length;
		record->direction = DIRECTION_WRITE;
		__builtin_memset(record->unused, 0, sizeof(record->unused));
		bpf_probe_read_kernel(record + 1, workload.length, plaintext);
		submit_record(ctx, record);
		position += workload.length;
	}
	return 0;
}
