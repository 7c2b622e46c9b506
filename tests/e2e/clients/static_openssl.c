/* Asks OpenAI with an OpenSSL that is linked in: to be built statically and stripped. Prints the
 * answer's body. Usage: static_openssl BODY, with the key in OPENAI_API_KEY. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST "api.openai.com"

static void check(int ok)
{
	if (ok > 0)
		return;
	ERR_print_errors_fp(stderr);
	exit(1);
}

int main(int argc, char **argv)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	BIO *connection;
	SSL *ssl = NULL;
	char request[16384], answer[65536], *body;
	int bytes, total = 0;

	if (argc != 2 || !getenv("OPENAI_API_KEY"))
		return 2;
	check(SSL_CTX_load_verify_locations(context, getenv("SSL_CERT_FILE"), NULL));
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	connection = BIO_new_ssl_connect(context);
	check(BIO_get_ssl(connection, &ssl));
	check(SSL_set_tlsext_host_name(ssl, HOST));
	check(SSL_set1_host(ssl, HOST));
	BIO_set_conn_hostname(connection, HOST ":443");
	check(BIO_do_connect(connection));
	bytes = snprintf(request, sizeof(request),
			 "POST /v1/chat/completions HTTP/1.1\r\nHost: " HOST "\r\n"
			 "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
			 getenv("OPENAI_API_KEY"), strlen(argv[1]), argv[1]);
	if (bytes >= (int)sizeof(request))
		return 2;
	check(SSL_write(ssl, request, bytes));
	while (total < (int)sizeof(answer) - 1 &&
	       (bytes = SSL_read(ssl, answer + total, sizeof(answer) - 1 - total)) > 0)
		total += bytes;
	answer[total] = '\0';
	body = strstr(answer, "\r\n\r\n");
	if (!body)
		return 1;
	puts(body + 4);
	SSL_free(ssl);
	return 0;
}
