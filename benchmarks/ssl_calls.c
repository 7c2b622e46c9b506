/* Times SSL_write of the system's OpenSSL over memory BIOs, where no socket gets in the way.
 *
 * usage: ssl_calls SIZE CALLS ROUNDS: makes one TLS 1.3 connection with itself, waits for a line
 * on stdin, then prints for each round the nanoseconds that one SSL_write of SIZE bytes took.
 * A line "w" starts a round of writes; end of input ends the program.
 */
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static SSL_CTX *server_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
	X509_set_pubkey(certificate, key);
	X509_sign(certificate, key, EVP_sha256());
	SSL_CTX_use_certificate(context, certificate);
	SSL_CTX_use_PrivateKey(context, key);
	return context;
}

int main(int count, char **words)
{
	int size = atoi(words[1]), calls = atoi(words[2]);
	SSL *client = SSL_new(SSL_CTX_new(TLS_client_method())), *server = SSL_new(server_context());
	BIO *to_server = BIO_new(BIO_s_mem()), *to_client = BIO_new(BIO_s_mem());
	char *payload = malloc(size), line[16];

	(void)count;
	memset(payload, 'x', size);
	BIO_up_ref(to_server);
	BIO_up_ref(to_client);
	SSL_set_bio(client, to_client, to_server);
	SSL_set_bio(server, to_server, to_client);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 10 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server)); i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	if (!SSL_is_init_finished(client))
		return 1;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		double start = now_ns();

		for (int i = 0; i < calls; i++) {
			if (SSL_write(client, payload, size) != size)
				return 1;
			BIO_reset(to_server);
		}
		printf("%.1f\n", (now_ns() - start) / calls);
		fflush(stdout);
	}
	return 0;
}
