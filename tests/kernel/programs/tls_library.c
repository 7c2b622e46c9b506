/* A TLS library without TLS: the functions that are probed, with results as a test wants them. */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static int result;
static size_t count;

void next_result(int value, size_t amount)
{
	result = value;
	count = amount;
}

static int other_end = -1;

/* The next SSL_write says a byte to this socket, and returns when it was answered. */
void next_write_waits(int socket)
{
	other_end = socket;
}

static void wait_for_other_end(void)
{
	int socket = other_end;
	char word = 'w';

	other_end = -1;
	if (socket < 0 || write(socket, &word, 1) != 1)
		return;
	(void)!read(socket, &word, 1);
}

/* Real ones read the buffer, so its pages are resident when they return. */
static void touch(const char *buffer, size_t length)
{
	volatile char seen;

	for (size_t i = 0; i < length; i += 4096)
		seen = buffer[i];
	(void)seen;
}

int SSL_write(void *ssl, const void *buffer, int length)
{
	touch(buffer, length);
	wait_for_other_end();
	return result;
}

int SSL_write_ex(void *ssl, const void *buffer, size_t length, size_t *written)
{
	touch(buffer, length);
	if (result > 0)
		*written = count;
	return result;
}

int SSL_read(void *ssl, void *buffer, int length)
{
	if (result > 0)
		memset(buffer, 'r', result);
	return result;
}

int SSL_read_ex(void *ssl, void *buffer, size_t length, size_t *done)
{
	if (result > 0) {
		memset(buffer, 'R', count);
		*done = count;
	}
	return result;
}

long SSL_ctrl(void *ssl, int command, long number, void *argument)
{
	return 1;
}

int SSL_set_tlsext_host_name(void *ssl, const char *name)
{
	return 1;
}

void SSL_free(void *ssl)
{
}
