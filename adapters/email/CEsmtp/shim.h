/* libesmtp.h needs these before it, and declares smtp_starttls_set_ctx only after <openssl/ssl.h>. */
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdarg.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <auth-client.h>
#include <libesmtp.h>
#include <signal.h>
#include <errno.h>
#include <stdlib.h>

/* A header whose value is NULL or text; smtp_set_header is variadic, so Swift cannot call it. */
static inline int cesmtp_set_no_header(smtp_message_t message, const char *header) {
  return smtp_set_header_option(message, header, Hdr_PROHIBIT, 1);
}
/* TLS 1.2 and no higher: a TLS 1.3 server sends session tickets after the handshake; when they are there before
   libesmtp 1.1 has written its EHLO, it reads first, finds no reply in them and waits for one until it times out.
   A TLS client context that trusts `ca_file` (or, when NULL, the system's authorities). NULL on failure. */
static inline SSL_CTX *cesmtp_tls_context(const char *ca_file) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  if (ctx == NULL) return NULL;
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
  int ok = ca_file ? SSL_CTX_load_verify_locations(ctx, ca_file, NULL) : SSL_CTX_set_default_verify_paths(ctx);
  if (!ok) { SSL_CTX_free(ctx); return NULL; }
  return ctx;
}
