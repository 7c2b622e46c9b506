/* SPDX-License-Identifier: GPL-2.0 */
/* What user space judged connections to be, whatever their bytes are read from.
 *
 * The map is made once, by tls.bpf.c, and lent to the others: who judges need not know where a
 * connection was read.
 */
#ifndef BUSTED_VERDICTS_H
#define BUSTED_VERDICTS_H

#include "records.h"

struct connection_id {
	__u64 connection;
	__u32 pid;
	__u32 pad;
};

/* Written by user space; `since_ns` keeps a verdict from hitting a later connection that got
 * the same address. */
struct judgement {
	__u64 since_ns;
	__u64 verdict;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct connection_id);
	__type(value, struct judgement);
} verdicts SEC(".maps");

#endif
