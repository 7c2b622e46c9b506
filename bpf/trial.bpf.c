// SPDX-License-Identifier: GPL-2.0
/* One empty program of each kind that some kernels refuse, to be loaded and attached for a
 * moment: what a kernel was built with does not tell what its lockdown or policy allows.
 */
#include "socket_types.h"
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

/* Ends a connection from within the kernel (Linux 6.5). Weak: the others load without it. */
extern int bpf_sock_destroy(struct sock_common *sk) __ksym __weak;

SEC("?iter/tcp")
int trial_sock_destroy(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;

	/* Reading a field tells the compiler to describe the whole type, as the kernel asks for. */
	if (sk && sk->skc_family == 0xffff)
		bpf_sock_destroy(sk);
	return 0;
}
