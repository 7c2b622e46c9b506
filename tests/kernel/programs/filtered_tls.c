/* A program that may do next to nothing: after main() began, every system call but a few ends it.
 * Its TLS library is tls_library.c. It writes, and says so by ending with 0. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALLOW(number)                                               \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),          \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

void next_result(int value, size_t amount);
int SSL_write(void *ssl, const void *buffer, int length);

int main(void)
{
	struct sock_filter allowed[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof(allowed) / sizeof(*allowed), allowed };

	next_result(8, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 1;
	for (int i = 0; i < 100; i++)
		if (SSL_write((void *)0x10000, "filtered", 8) != 8)
			return 2;
	_exit(0);
}
