/* SPDX-License-Identifier: GPL-2.0 */
/* The way of a record through the ring buffer (Linux 5.8): it is filled where it will be read. */
#ifndef BUSTED_RING_BUFFER_H
#define BUSTED_RING_BUFFER_H

/* Sized by user space before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} records SEC(".maps");

/* A record is reserved (its size must be a constant), filled in place, and submitted with the
 * context of the program, or discarded. */
static __always_inline void *reserve_record(const __u64 size)
{
	return bpf_ringbuf_reserve(&records, size, 0);
}

/* Tells how much of a reserved record is used; the ring buffer keeps all of it. */
static __always_inline void trim_record(void *record, __u64 size)
{
}

static __always_inline void submit_record(void *ctx, void *record)
{
	bpf_ringbuf_submit(record, reader_waits() ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

static __always_inline void discard_record(void *record)
{
	bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
}

/* True while user space has more than so many quarters of the buffer still to read. */
static __always_inline bool records_wait(__u64 quarters)
{
	return bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) >
	       bpf_ringbuf_query(&records, BPF_RB_RING_SIZE) / 4 * quarters;
}

#endif
