/* SPDX-License-Identifier: GPL-2.0 */
/* The way of a record through perf buffers, one a CPU, for kernels without a ring buffer.
 *
 * Nothing can be reserved there: a record is filled in scratch memory and copied. A program
 * may be preempted half-way, or interrupted, by another that runs on the same CPU, so there are
 * several pieces of scratch memory a CPU, and each is claimed: adding a key that must not
 * exist yet is atomic on every kernel, which atomic instructions with an answer are not (5.12).
 */
#ifndef BUSTED_PERF_BUFFER_H
#define BUSTED_PERF_BUFFER_H

/* The largest record: the plaintext of one TLS record, and what stands before it. */
#define MAX_RECORD (MAX_DATA + 512)
/* Programs that may be half-way on one CPU. They take microseconds and seldom meet. */
#define SCRATCH_EACH 4

/* What two maps share is the buffer of each CPU; they differ in whether the reader is woken. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} records SEC(".maps"), waking_records SEC(".maps");

struct scratch {
	__u64 slot;
	__u64 size;
	__u64 record[MAX_RECORD / 8];
};

/* Both are sized by user space: SCRATCH_EACH for each CPU that there may be. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} claims SEC(".maps");

static __always_inline void *reserve_record(const __u64 size)
{
	__u32 first = bpf_get_smp_processor_id() * SCRATCH_EACH, slot, claim = 1;
	struct scratch *scratch;

	if (size > MAX_RECORD)
		return 0;
	for (int i = 0; i < SCRATCH_EACH; i++) {
		slot = first + i;
		if (bpf_map_update_elem(&claims, &slot, &claim, BPF_NOEXIST))
			continue;
		scratch = bpf_map_lookup_elem(&scratches, &slot);
		if (!scratch)
			return 0;
		scratch->slot = slot;
		scratch->size = size;
		return scratch->record;
	}
	return 0;
}

static __always_inline struct scratch *scratch_of(void *record)
{
	return record - __builtin_offsetof(struct scratch, record);
}

/* Tells how much of a reserved record is used: no more is copied. */
static __always_inline void trim_record(void *record, __u64 size)
{
	scratch_of(record)->size = size;
}

static __always_inline void discard_record(void *record)
{
	__u32 slot = scratch_of(record)->slot;

	bpf_map_delete_elem(&claims, &slot);
}

static __always_inline void submit_record(void *ctx, void *record)
{
	__u64 size = scratch_of(record)->size;
	struct tls_data *data = record;
	long failed;

	if (size > MAX_RECORD)
		size = MAX_RECORD;
	if (reader_waits())
		failed = bpf_perf_event_output(ctx, &waking_records, BPF_F_CURRENT_CPU, record, size);
	else
		failed = bpf_perf_event_output(ctx, &records, BPF_F_CURRENT_CPU, record, size);
	if (failed && data->tls.record.type == RECORD_TLS_DATA)
		count_lost(LOST_RING_FULL, data->length);
	else if (failed)
		count_lost(LOST_RECORDS, 1);
	discard_record(record);
}

/* True when user space had more than so many quarters of a CPU's buffer to read, the last time that
 * it looked: programs cannot ask. */
static __always_inline bool records_wait(__u64 quarters)
{
	__u32 key = 0;
	struct reader *state = bpf_map_lookup_elem(&reader, &key);

	return state && state->quarters >= quarters;
}

#endif
