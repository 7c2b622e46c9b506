/* Times system calls: one that touches no file, a read of a byte, and opening a file to close it.
 *
 * usage: file_calls CALLS FILE [WORD]: makes so many of each and prints the nanoseconds of
 * processor time that one took, in that order. The word is what makes it an agent's.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int count, char **arguments)
{
	long calls = count > 2 ? atol(arguments[1]) : 0;
	int file = count > 2 ? open(arguments[2], O_RDONLY) : -1;
	double start;
	char byte;

	if (calls <= 0 || file < 0)
		return 2;
	start = now_ns();
	for (long i = 0; i < calls; i++)
		syscall(SYS_getppid);
	printf("%f ", (now_ns() - start) / calls);
	start = now_ns();
	for (long i = 0; i < calls; i++)
		if (pread(file, &byte, 1, 0) != 1)
			return 1;
	printf("%f ", (now_ns() - start) / calls);
	start = now_ns();
	for (long i = 0; i < calls; i++)
		close(open(arguments[2], O_RDONLY));
	printf("%f\n", (now_ns() - start) / calls);
	return 0;
}
