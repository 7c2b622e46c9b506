/* ring without encryption, by the convention that rustc has for struct Algorithm's functions: where
 * the result goes is the first argument, which is also returned. */
#include <stddef.h>
#include <string.h>

void *ring_seal(char *result, const void *key, const char *nonce, const char *header,
		size_t header_bytes, char *in_out, size_t bytes)
{
	*result = 0;
	return result;
}

void *ring_open(char *result, const void *key, const char *nonce, const char *header,
		size_t header_bytes, char *in_out, size_t bytes, size_t from)
{
	memmove(in_out, in_out + from, bytes - from);
	*result = 0;
	return result;
}
