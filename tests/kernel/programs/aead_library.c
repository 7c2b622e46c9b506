/* AWS-LC without encryption: what is to be encrypted stays as it is, and so does what was. */
#include <stddef.h>
#include <string.h>

int EVP_AEAD_CTX_seal(const void *context, char *out, size_t *done, size_t room, const char *nonce,
		      size_t nonce_bytes, const char *in, size_t bytes, const char *header,
		      size_t header_bytes)
{
	memmove(out, in, bytes);
	*done = bytes;
	return 1;
}

int EVP_AEAD_CTX_open(const void *context, char *out, size_t *done, size_t room, const char *nonce,
		      size_t nonce_bytes, const char *in, size_t bytes, const char *header,
		      size_t header_bytes)
{
	memmove(out, in, bytes);
	*done = bytes;
	return *in != '!';
}
