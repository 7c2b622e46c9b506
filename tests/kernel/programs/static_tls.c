/* A program that carries its TLS library in itself, as node does: tls_library.c is linked in. */
#include <stdio.h>

void next_result(int value, size_t amount);
int SSL_write(void *ssl, const void *buffer, int length);

int main(void)
{
	next_result(6, 0);
	if (getchar() == EOF)
		return 1;
	return SSL_write((void *)0x10000, "static", 6) != 6;
}
