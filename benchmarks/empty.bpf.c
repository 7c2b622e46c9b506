// SPDX-License-Identifier: GPL-2.0
/* Probes that do nothing: what the kernel takes for a uprobe, whatever the program does. */
#include "../bpf/kernel_types.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("?uprobe")
int empty_entry(void *ctx)
{
	return 0;
}

SEC("?uretprobe")
int empty_return(void *ctx)
{
	return 0;
}

/* 1: the return of the call need not be seen, as tls.bpf.c answers for a muted connection. */
SEC("?uprobe")
int empty_session(void *ctx)
{
	return 1;
}
