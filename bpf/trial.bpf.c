// SPDX-License-Identifier: GPL-2.0
/* One empty program of each kind that some kernels refuse, to be loaded and attached for a
 * moment: what a kernel was built with does not tell what its lockdown or policy allows.
 */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("?fentry/tcp_connect")
int trial_fentry(void *ctx)
{
	return 0;
}

SEC("?kprobe/tcp_connect")
int trial_kprobe(void *ctx)
{
	return 0;
}

SEC("?tp_btf/inet_sock_set_state")
int trial_tp_btf(void *ctx)
{
	return 0;
}

SEC("?lsm/socket_connect")
int trial_lsm(void *ctx)
{
	return 0;
}

SEC("?uretprobe")
int trial_return(void *ctx)
{
	return 0;
}
