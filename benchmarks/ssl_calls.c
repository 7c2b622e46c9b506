/* Times SSL_write of the system's OpenSSL over memory BIOs, where no socket gets in the way.
 *
 * usage: ssl_calls SIZE: makes two TLS 1.3 connections with itself and prints "ready". A line
 * "CONNECTION CALLS" on stdin writes SIZE bytes CALLS times on connection 0 or 1, and is
 * answered with the nanoseconds of processor time that one call took. End of input ends it.
 */
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECTIONS 2

struct connection {
	SSL *client;
	BIO *to_server;
};

/* Of this process, in the kernel too: probes count, what else runs on the machine does not. */
static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
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

static int connect_to_itself(struct connection *connection, SSL_CTX *from, SSL_CTX *to)
{
	SSL *client = SSL_new(from), *server = SSL_new(to);
	BIO *to_server = BIO_new(BIO_s_mem()), *to_client = BIO_new(BIO_s_mem());

	BIO_up_ref(to_server);
	BIO_up_ref(to_client);
	SSL_set_bio(client, to_client, to_server);
	SSL_set_bio(server, to_server, to_client);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	/* Each turn takes what the other side said; TLS 1.3 needs three. */
	for (int turn = 0; turn < 10 && !SSL_is_init_finished(server); turn++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	connection->client = client;
	connection->to_server = to_server;
	return SSL_is_init_finished(client);
}

int main(int count, char **words)
{
	SSL_CTX *from = SSL_CTX_new(TLS_client_method()), *to = server_context();
	struct connection connections[CONNECTIONS], *used;
	int size = count == 2 ? atoi(words[1]) : 0, connection, calls;
	char *payload = calloc(1, size);

	if (size <= 0)
		return 2;
	for (int i = 0; i < CONNECTIONS; i++)
		if (!connect_to_itself(&connections[i], from, to))
			return 1;
	puts("ready");
	fflush(stdout);
	while (scanf("%d %d", &connection, &calls) == 2) {
		double start = now_ns();

		used = &connections[connection & (CONNECTIONS - 1)];
		for (int i = 0; i < calls; i++) {
			if (SSL_write(used->client, payload, size) != size)
				return 1;
			BIO_reset(used->to_server);
		}
		printf("%.1f\n", (now_ns() - start) / calls);
		fflush(stdout);
	}
	return 0;
}
