/* SPDX-License-Identifier: Apache-2.0 */
/* One TLS connection on a stream. OpenSSL sees a BIO of ours:
 *
 *     wire_recv -> [bio_read] -> OpenSSL -> plain bytes to the reader
 *     slices -> gathered into records -> OpenSSL -> [bio_write] -> out -> wire_send (once per
 * flush)
 *
 * Output never blocks: what the socket doesn't take is copied by the stream. So OpenSSL only ever
 * wants to read. The loop's thread. */
#include "net/tls_impl.h"

#include <pthread.h>

#include <openssl/err.h>

#include "base/mem.h"
#include "base/obj.h"
#include "net/tls_client.h"

#define TLS_MAGIC 0x746c7363u /* "tlsc" */

#define RECORD_MAX 16384u
/* Four records with what TLS adds to them. */
#define OUT_SIZE (4u * (RECORD_MAX + 256u))
/* Answers (to key updates) that may join output that a peer doesn't take. */
#define REPLIES_MAX 100
/* Bytes that hold nothing for the reader, such as key updates, which cost far more to take than to
 * send: in one call, so that others have their turn, and in a row. The first is looked at between
 * reads only: a record that is there is taken whole. */
#define SILENT_TURN 4096u
#define SILENT_MAX (4 * RECORD_MAX)

/* Used during one call only, so one for all connections of a loop will do. */
struct io {
    size_t out_len;
    char plain[RECORD_MAX];
    char out[OUT_SIZE];
};

static struct io *io_of(const struct lt_tls *tls)
{
    return tls->stream->loop->tls_io;
}

/* ---- The BIO ---- */

/* Hands what OpenSSL wrote to the socket. */
static enum lt_err push(struct lt_tls *tls)
{
    struct io *io = io_of(tls);
    if (io->out_len == 0) {
        return LT_OK;
    }
    struct iovec iov = {.iov_base = io->out, .iov_len = io->out_len};
    io->out_len = 0;
    enum lt_err err = lt_stream_wire_send(tls->stream, &iov, 1);
    if (err != LT_OK) {
        tls->wire_err = err;
    }
    return err;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *written)
{
    struct lt_tls *tls = BIO_get_data(bio);
    struct io *io = io_of(tls);
    BIO_clear_retry_flags(bio);
    *written = 0;
    while (*written < len) {
        if (io->out_len == OUT_SIZE && push(tls) != LT_OK) {
            return 0;
        }
        size_t n = lt_min(len - *written, OUT_SIZE - io->out_len);
        memcpy(io->out + io->out_len, data + *written, n);
        io->out_len += n;
        *written += n;
    }
    return 1;
}

static int bio_read(BIO *bio, char *buf, size_t cap, size_t *n)
{
    struct lt_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *n = 0;
    if (tls->wire_eof) {
        return 0;
    }
    if (tls->silent_now >= SILENT_TURN) {
        BIO_set_retry_read(bio); /* the socket stays readable */
        return 0;
    }
    enum lt_err err = lt_stream_wire_recv(tls->stream, buf, cap, n);
    if (err == LT_OK) {
        tls->silent += *n;
        tls->silent_now += *n;
        return 1;
    }
    if (err == LT_AGAIN) {
        BIO_set_retry_read(bio);
    } else if (err == LT_EOF) {
        tls->wire_eof = true;
    } else {
        tls->wire_err = err;
    }
    return 0;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)num, (void)ptr;
    if (cmd == BIO_CTRL_EOF) {
        return ((struct lt_tls *)BIO_get_data(bio))->wire_eof;
    }
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (bio_method != NULL) {
        BIO_meth_set_write_ex(bio_method, bio_write);
        BIO_meth_set_read_ex(bio_method, bio_read);
        BIO_meth_set_ctrl(bio_method, bio_ctrl);
    }
}

/* ---- Errors ---- */

/* Before each OpenSSL call: SSL_get_error looks at the thread's queue. */
static void begin(struct lt_tls *tls)
{
    ERR_clear_error();
    tls->wire_err = LT_OK;
}

/* Alerts about a certificate of the side that gets them (RFC 8446 section 6.2). */
static bool is_about_certificate(int alert)
{
    static const unsigned char about[] = {
        SSL_AD_BAD_CERTIFICATE,     SSL_AD_UNSUPPORTED_CERTIFICATE, SSL_AD_CERTIFICATE_REVOKED,
        SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_UNKNOWN,     SSL_AD_UNKNOWN_CA,
        SSL_AD_ACCESS_DENIED,       TLS13_AD_CERTIFICATE_REQUIRED};
    return memchr(about, alert, sizeof(about)) != NULL;
}

static enum lt_tls_fault fault_of(unsigned long code)
{
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST) {
        return LT_TLS_FAULT_NO_TLS;
    }
    if (reason < SSL_AD_REASON_OFFSET || reason > SSL_AD_REASON_OFFSET + 255) {
        return LT_TLS_FAULT_PROTOCOL;
    }
    return is_about_certificate(reason - SSL_AD_REASON_OFFSET) ? LT_TLS_FAULT_OUR_CERT
                                                               : LT_TLS_FAULT_ALERT;
}

/* What a failed call means; LT_AGAIN: it wants bytes. */
static enum lt_err judge(struct lt_tls *tls, int result)
{
    int error = SSL_get_error(tls->ssl, result);
    if (error == SSL_ERROR_WANT_READ) {
        return LT_AGAIN;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        tls->error = "the peer closed the connection";
        tls->fault = LT_TLS_FAULT_GONE;
        tls->cut = tls->wire_eof;
        return LT_EOF;
    }
    tls->broken = true;
    if (tls->wire_err != LT_OK) {
        tls->error = lt_err_text(tls->wire_err);
        tls->fault = LT_TLS_FAULT_GONE;
        return tls->wire_err;
    }
    unsigned long code = ERR_peek_last_error();
    tls->code = code;
    const char *reason = ERR_reason_error_string(code);
    if (tls->error == NULL) { /* else a callback knew better */
        tls->error = reason != NULL  ? reason
                     : tls->wire_eof ? "the peer closed the connection"
                                     : "unknown TLS error";
    }
    ERR_clear_error();
    bool ended = code == 0 && tls->wire_eof;
    if (tls->fault == LT_TLS_FAULT_NONE) {
        tls->fault = ended ? LT_TLS_FAULT_GONE : fault_of(code);
    }
    tls->cut |= ended;
    return ended ? LT_EOF : LT_ERR_TLS;
}

/* ---- Life ---- */

struct lt_tls *lt_tls_of(const SSL *ssl)
{
    struct lt_tls *tls = SSL_get_app_data(ssl);
    LT_OBJ_CHECK(tls, TLS_MAGIC);
    return tls;
}

bool lt_tls_set_sni(struct lt_tls *tls, struct lt_str name)
{
    char *copy = lt_malloc(name.len);
    if (copy == NULL) {
        return false;
    }
    if (name.len > 1 && name.p[name.len - 1] == '.') {
        name.len--;
    }
    for (size_t i = 0; i < name.len; i++) {
        copy[i] = lt_char_lower(name.p[i]);
    }
    lt_free(tls->sni); /* there is a second hello after a retry request */
    tls->sni = copy;
    tls->sni_len = name.len;
    return true;
}

struct lt_tls *lt_tls_new(SSL_CTX *ctx)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    struct lt_tls *tls = lt_calloc(1, sizeof(*tls));
    if (tls == NULL) {
        return NULL;
    }
    LT_OBJ_INIT(tls, TLS_MAGIC);
    BIO *bio = bio_method != NULL ? BIO_new(bio_method) : NULL;
    tls->ssl = bio != NULL ? SSL_new(ctx) : NULL;
    if (tls->ssl == NULL) {
        BIO_free(bio);
        ERR_clear_error();
        lt_tls_free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    return tls;
}

struct lt_tls *lt_tls_accept(struct lt_tls_server *server)
{
    struct lt_tls *tls = lt_tls_new(server->contexts[0]);
    if (tls != NULL) {
        tls->server = server;
        server->refs++;
        SSL_set_accept_state(tls->ssl);
    }
    return tls;
}

/* What only the handshake needs. */
static void end_handshake(struct lt_tls *tls)
{
    lt_tls_server_free(tls->server);
    lt_tls_store_free(tls->store);
    lt_free(tls->sni);
    tls->server = NULL;
    tls->store = NULL;
    tls->entry = NULL;
    tls->sni = NULL;
    tls->sni_len = 0;
}

void lt_tls_free(struct lt_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    LT_OBJ_CHECK(tls, TLS_MAGIC);
    if (tls->client != NULL && tls->ssl != NULL) {
        /* Else a connection that was cut would spoil its session. */
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(tls->ssl);
    end_handshake(tls);
    lt_tls_info_free(tls->info);
    lt_tls_client_free(tls->client);
    LT_OBJ_FINI(tls);
    lt_free(tls);
}

void lt_tls_attach(struct lt_tls *tls, struct lt_stream *s)
{
    tls->stream = s;
    if (s->loop->tls_io == NULL) {
        s->loop->tls_io = lt_malloc(sizeof(struct io));
        if (s->loop->tls_io != NULL) {
            io_of(tls)->out_len = 0;
        }
    }
}

/* ---- Handshake, reading, writing ---- */

/* The server side's last word: the client may be none that we serve though TLS is content. */
static enum lt_err note_info(struct lt_tls *tls)
{
    tls->info =
        lt_tls_info_new(tls->ssl, tls->entry->policy, lt_str(tls->sni, tls->sni_len), &tls->error);
    if (tls->info == NULL && tls->error == NULL) {
        tls->error = "out of memory";
        return LT_ERR_NOMEM;
    }
    if (tls->info == NULL) {
        tls->refusal = LT_REFUSAL_CERTIFICATE_INVALID;
        return LT_ERR_TLS;
    }
    end_handshake(tls);
    return LT_OK;
}

enum lt_err lt_tls_handshake(struct lt_tls *tls)
{
    if (io_of(tls) == NULL) {
        tls->error = "out of memory";
        return LT_ERR_NOMEM;
    }
    begin(tls);
    tls->silent_now = 0;
    int result = SSL_do_handshake(tls->ssl);
    enum lt_err err = result == 1 ? LT_OK : judge(tls, result);
    enum lt_err sent = push(tls); /* an alert too */
    if (err != LT_OK) {
        return err;
    }
    if (sent != LT_OK) {
        tls->error = lt_err_text(sent);
        return sent;
    }
    tls->silent = 0;
    SSL_free_buffers(tls->ssl); /* keeps them if the first request is in already */
    return tls->server != NULL ? note_info(tls) : LT_OK;
}

/* A peer that asks for answers and doesn't read them may not fill our memory. */
static enum lt_err push_replies(struct lt_tls *tls)
{
    if (io_of(tls)->out_len > 0) {
        tls->replies = tls->stream->unsent.len > 0 ? tls->replies + 1 : 0;
        if (tls->replies > REPLIES_MAX) {
            io_of(tls)->out_len = 0;
            tls->broken = true;
            tls->error = "too many key updates";
            return LT_ERR_LIMIT;
        }
    }
    return push(tls);
}

enum lt_err lt_tls_read(struct lt_tls *tls, void *buf, size_t cap, size_t *n)
{
    enum lt_err err = tls->read_end;
    *n = 0;
    tls->silent_now = 0;
    while (err == LT_OK && *n < cap && (*n == 0 || SSL_has_pending(tls->ssl))) {
        size_t got = 0;
        begin(tls);
        int result = SSL_read_ex(tls->ssl, (char *)buf + *n, cap - *n, &got);
        *n += got;
        if (got > 0) {
            tls->silent = tls->silent_now = 0;
        }
        err = result == 1 ? LT_OK : judge(tls, result);
        if (err == LT_AGAIN && tls->silent > SILENT_MAX) {
            tls->broken = true;
            tls->error = "too many records that hold nothing";
            err = LT_ERR_LIMIT;
        }
        enum lt_err replied = push_replies(tls);
        if (replied == LT_ERR_LIMIT) {
            err = replied;
        }
    }
    if (err == LT_OK || (err == LT_AGAIN && *n > 0)) {
        return LT_OK;
    }
    if (err != LT_AGAIN) {
        tls->read_end = err;
    }
    return *n > 0 ? LT_OK : err;
}

/* Where the next byte to encrypt is. */
struct cursor {
    const struct iovec *iov;
    unsigned n;  /* slices left, the one at iov included */
    size_t skip; /* bytes of it that are done */
};

/* The next piece of at most RECORD_MAX bytes. What one slice has is taken in place, else small
 * slices are gathered in `plain`, so that a head and its body share a record. */
static const char *next_piece(struct cursor *c, char *plain, size_t *len)
{
    const char *p = (const char *)c->iov->iov_base + c->skip;
    size_t here = c->iov->iov_len - c->skip;
    if (here >= RECORD_MAX || c->n == 1) {
        *len = lt_min(here, (size_t)RECORD_MAX);
        c->skip += *len;
    } else {
        p = plain;
        *len = 0;
        while (c->n > 0 && *len < RECORD_MAX) {
            here = lt_min(c->iov->iov_len - c->skip, RECORD_MAX - *len);
            memcpy(plain + *len, (const char *)c->iov->iov_base + c->skip, here);
            *len += here;
            c->skip += here;
            if (c->skip < c->iov->iov_len) {
                break;
            }
            c->iov++;
            c->n--;
            c->skip = 0;
        }
    }
    if (c->n > 0 && c->skip == c->iov->iov_len) {
        c->iov++;
        c->n--;
        c->skip = 0;
    }
    return p;
}

enum lt_err lt_tls_write(struct lt_tls *tls, const struct iovec *iov, unsigned n)
{
    struct cursor at = {.iov = iov, .n = n};
    enum lt_err err = tls->broken ? LT_ERR_TLS : LT_OK;
    while (err == LT_OK && at.n > 0) {
        size_t len, written;
        const char *p = next_piece(&at, io_of(tls)->plain, &len);
        begin(tls);
        int result = SSL_write_ex(tls->ssl, p, len, &written);
        if (result != 1) {
            err = judge(tls, result);
        }
    }
    enum lt_err sent = push(tls);
    if (err != LT_OK) {
        return err == LT_AGAIN || err == LT_EOF ? LT_ERR_TLS : err;
    }
    return sent;
}

bool lt_tls_has_pending(const struct lt_tls *tls)
{
    return SSL_has_pending(tls->ssl) || tls->read_end != LT_OK;
}

void lt_tls_close_notify(struct lt_tls *tls)
{
    if (!tls->broken && (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) == 0) {
        begin(tls);
        SSL_shutdown(tls->ssl);
        ERR_clear_error();
        (void)push(tls); /* a stream that failed shows at its next use */
    }
}

/* ---- What was agreed ---- */

struct lt_tls_info *lt_tls_info(const struct lt_tls *tls)
{
    return tls->info;
}

struct lt_str lt_tls_alpn(const struct lt_tls *tls)
{
    const unsigned char *p;
    unsigned len;
    SSL_get0_alpn_selected(tls->ssl, &p, &len);
    return lt_str((const char *)p, len);
}

const char *lt_tls_error(const struct lt_tls *tls)
{
    return tls->error != NULL ? tls->error : "";
}

bool lt_tls_resumed(const struct lt_tls *tls)
{
    return SSL_session_reused(tls->ssl);
}

enum lt_tls_fault lt_tls_fault(const struct lt_tls *tls)
{
    return tls->fault;
}

bool lt_tls_was_cut(const struct lt_tls *tls)
{
    return tls->cut;
}
