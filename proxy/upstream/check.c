/* SPDX-License-Identifier: Apache-2.0 */
/* Checks are requests without an exchange: the back tells them what comes. The thread of the
 * pools. */
#include "upstream/check.h"

#include <stdio.h>

#include "base/obj.h"
#include "config/regex.h"
#include "upstream/pool.h"

#define MAGIC 0x63686563u /* "chec" */
#define ARENA_MAX ((size_t)2 << 20)
#define OWN_HEADERS 8u
#define GRPC_PATH "/grpc.health.v1.Health/Check"
#define GRPC_PREFIX 5u /* flags and length of a message */
#define SHOWN 60u      /* bytes of a text in messages */

static struct lt_check *from_owner(void *owner)
{
    struct lt_check *c = owner;
    LT_OBJ_CHECK(c, MAGIC);
    return c;
}

/* ---- The end. ---- */

static void release(struct lt_check *c)
{
    lt_timer_fini(&c->timer);
    lt_buf_fini(&c->body);
    lt_arena_fini(&c->arena);
    LT_OBJ_FINI(c);
}

/* Outside of the back's callbacks: what it borrowed isn't used any more. */
static void tell(void *arg)
{
    struct lt_check *c = from_owner(arg);
    char text[LT_CHECK_TEXT_MAX];
    memcpy(text, c->text, sizeof(text));
    bool ok = !c->failed;
    lt_check_fn fn = c->fn;
    void *owner = c->owner;
    release(c);
    fn(owner, ok, lt_str_c(text));
}

static void end(struct lt_check *c)
{
    struct lt_back *back = c->back;
    c->over = true;
    c->back = NULL;
    lt_timer_clear(&c->timer);
    if (back != NULL) {
        back->ops->cancel(back);
    }
    lt_dial_cancel(&c->dial);
    if (c->stream.fd >= 0) {
        lt_stream_close(&c->stream);
    }
    lt_loop_defer(c->pools->loop, &c->deferred, tell, c);
}

LT_PRINTF(2, 3)
static void fail(struct lt_check *c, const char *fmt, ...)
{
    va_list args;
    if (c->over) {
        return;
    }
    va_start(args, fmt);
    char text[LT_CHECK_TEXT_MAX + 4]; /* more, so that what follows the last character is seen */
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    struct lt_str told = lt_str_cut(lt_str_c(text), sizeof(c->text) - 1);
    memcpy(c->text, told.p, told.len);
    c->text[told.len] = '\0';
    c->failed = true;
    end(c);
}

static void fail_by_cause(struct lt_check *c, enum lt_cause cause, int sys_errno,
                          struct lt_str detail)
{
    const struct lt_cause_info *info = lt_cause_info(cause);
    if (detail.len > 0) {
        fail(c, "%s: %.*s", info->name, LT_STR_ARG(lt_str_cut(detail, SHOWN)));
    } else if (sys_errno != 0) {
        fail(c, "%s: %s", info->name, strerrordesc_np(sys_errno));
    } else {
        fail(c, "%s", info->name);
    }
}

/* ---- Judging. ---- */

/* One protobuf varint; false: there is none. */
static bool varint(struct lt_str *rest, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && rest->len > 0; shift += 7) {
        unsigned char byte = (unsigned char)rest->p[0];
        *rest = lt_str_sub(*rest, 1, rest->len);
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

int lt_check_grpc_status(struct lt_str body)
{
    uint64_t status = 0, key, value;
    if (body.len < GRPC_PREFIX || body.p[0] != 0) {
        return -1;
    }
    struct lt_str rest = lt_str_sub(body, GRPC_PREFIX, body.len);
    while (rest.len > 0) {
        if (!varint(&rest, &key) || !varint(&rest, &value)) {
            return -1;
        }
        if (key == 1 << 3) {
            status = value; /* field 1, a number */
        } else if ((key & 7) == 2 && value <= rest.len) {
            rest = lt_str_sub(rest, value, rest.len);
        } else if ((key & 7) != 0) {
            return -1;
        }
    }
    return status <= INT32_MAX ? (int)status : -1;
}

static void judge_grpc(struct lt_check *c)
{
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    if (c->status != 200 || c->grpc != 0) {
        fail(c, "status %u, grpc-status %lld", c->status, (long long)c->grpc);
        return;
    }
    int status = lt_check_grpc_status(lt_buf_view(&c->body));
    if (status == 1) {
        end(c);
    } else if (status >= 0 && (size_t)status < lt_countof(names)) {
        fail(c, "it says %s", names[status]);
    } else {
        fail(c, "the answer is not of the health protocol");
    }
}

static void judge_http(struct lt_check *c)
{
    const struct lt_check_options *o = c->options;
    struct lt_str body = lt_buf_view(&c->body);
    if (!lt_status_set_has(&o->expect, c->status)) {
        fail(c, "status %u", c->status);
    } else if (o->body.len > 0 && lt_str_find(body, o->body) == SIZE_MAX) {
        fail(c, "the body lacks \"%.*s\"", LT_STR_ARG(lt_str_cut(o->body, SHOWN)));
    } else if (o->pattern != NULL && lt_regex_match(o->pattern, body, NULL, 0) != LT_REGEX_YES) {
        fail(c, "the body does not match body_regex");
    } else {
        end(c);
    }
}

static void judge(struct lt_check *c)
{
    if (c->over) {
        return;
    }
    if (c->options->kind == LT_CHECK_GRPC) {
        judge_grpc(c);
    } else {
        judge_http(c);
    }
}

/* ---- The request. ---- */

static enum lt_err add_own_fields(const struct lt_check *c, struct lt_headers *headers)
{
    enum lt_err err = LT_OK;
    for (unsigned i = 0; i < c->options->n_headers && err == LT_OK; i++) {
        const struct lt_check_field *field = &c->options->headers[i];
        err = lt_headers_set(headers, field->name, field->value);
    }
    return err;
}

/* Who is asked: as configured for the check, else as for requests, else the server's address. */
static struct lt_str host_of(const struct lt_check *c)
{
    if (c->options->host.len > 0) {
        return c->options->host;
    }
    if (c->server.host.len > 0) {
        return c->server.host;
    }
    return lt_addr_is_unix(&c->server.addr) ? c->server.upstream->name : c->server.name;
}

static enum lt_err send_http(struct lt_check *c)
{
    struct lt_request req = {.method = c->options->method, .version = 11};
    lt_headers_init(&req.headers, &c->arena, OWN_HEADERS + c->options->n_headers);
    enum lt_err err = lt_headers_add_id(&req.headers, LT_HEADER_HOST, host_of(c));
    if (err == LT_OK) {
        err = lt_headers_add(&req.headers, LT_STR("User-Agent"), LT_STR("lintel-health"));
    }
    if (err == LT_OK && req.method == LT_METHOD_POST) {
        req.body = LT_BODY_LENGTH;
        err = lt_headers_add_id(&req.headers, LT_HEADER_CONTENT_LENGTH, LT_STR("0"));
    }
    if (err == LT_OK) {
        err = lt_headers_add_id(&req.headers, LT_HEADER_CONNECTION, LT_STR("close"));
    }
    err = err == LT_OK ? add_own_fields(c, &req.headers) : err;
    err = err == LT_OK ? c->back->ops->send_head(c->back, &req, c->options->target) : err;
    err = err == LT_OK ? c->back->ops->send_end(c->back, NULL) : err;
    return err == LT_OK ? c->back->ops->flush(c->back) : err;
}

/* HealthCheckRequest { string service = 1; } with the prefix of a message. The schema's limit keeps
 * the name's length within two bytes. */
static size_t write_grpc(struct lt_str service, char out[GRPC_PREFIX + 4 + 255])
{
    size_t n = GRPC_PREFIX;
    if (service.len > 0) {
        out[n++] = 1 << 3 | 2;
        if (service.len >= 0x80) {
            out[n++] = (char)((service.len & 0x7f) | 0x80);
            out[n++] = (char)(service.len >> 7);
        } else {
            out[n++] = (char)service.len;
        }
        memcpy(out + n, service.p, service.len);
        n += service.len;
    }
    size_t len = n - GRPC_PREFIX;
    const char prefix[GRPC_PREFIX] = {0, 0, 0, (char)(len >> 8), (char)len};
    memcpy(out, prefix, sizeof(prefix));
    return n;
}

static enum lt_err send_grpc(struct lt_check *c)
{
    struct lt_request req = {
        .method = LT_METHOD_POST, .version = 20, .body = LT_BODY_CHUNKED, .te_trailers = true};
    char *message = lt_arena_chars(&c->arena, GRPC_PREFIX + 4 + 255);
    if (message == NULL) {
        return LT_ERR_NOMEM;
    }
    size_t n = write_grpc(c->options->service, message);
    lt_headers_init(&req.headers, &c->arena, OWN_HEADERS + c->options->n_headers);
    enum lt_err err = lt_headers_add_id(&req.headers, LT_HEADER_HOST, host_of(c));
    if (err == LT_OK) {
        err = lt_headers_add_id(&req.headers, LT_HEADER_CONTENT_TYPE, LT_STR("application/grpc"));
    }
    err = err == LT_OK ? add_own_fields(c, &req.headers) : err;
    err = err == LT_OK ? c->back->ops->send_head(c->back, &req, LT_STR(GRPC_PATH)) : err;
    err = err == LT_OK ? c->back->ops->send_body(c->back, message, n) : err;
    err = err == LT_OK ? c->back->ops->send_end(c->back, NULL) : err;
    return err == LT_OK ? c->back->ops->flush(c->back) : err;
}

/* ---- What the back tells. ---- */

static bool on_preface(void *owner, struct lt_str *out)
{
    struct lt_check *c = from_owner(owner);
    char header[LT_PROXY_WRITE_MAX];
    const struct lt_addr nobody = {.len = 0};
    *out = LT_STR_NONE;
    if (c->upstream.proxy_protocol == LT_PROXY_NONE) {
        return true;
    }
    size_t n = lt_proxy_write(c->upstream.proxy_protocol, &nobody, &c->server.addr, header);
    return lt_arena_dup(&c->arena, lt_str(header, n), out);
}

static void on_connected(void *owner, bool reused LT_UNUSED)
{
    struct lt_check *c = from_owner(owner);
    c->connected = true;
    enum lt_err err = c->options->kind == LT_CHECK_GRPC ? send_grpc(c) : send_http(c);
    if (err == LT_ERR_NOMEM || err == LT_ERR_LIMIT || err == LT_ERR_INVALID) {
        fail(c, "the request can't be sent: %s", lt_err_text(err));
    } /* else the server's end comes by reading */
}

static void on_informational(void *owner LT_UNUSED, const struct lt_response *res LT_UNUSED)
{
}

static void note_grpc(struct lt_check *c, const struct lt_headers *headers)
{
    const struct lt_header *h = lt_headers_get_name(headers, LT_STR("grpc-status"));
    uint64_t status;
    if (h != NULL && lt_str_to_u64(h->value, &status)) {
        c->grpc = (int64_t)lt_min(status, (uint64_t)INT32_MAX);
    }
}

static void on_head(void *owner, struct lt_response *res)
{
    struct lt_check *c = from_owner(owner);
    c->status = res->status;
    note_grpc(c, &res->headers);
}

static void on_body(void *owner, const char *p, size_t n)
{
    struct lt_check *c = from_owner(owner);
    lt_buf_add(&c->body, p, n);
    if (c->body.truncated) {
        judge(c); /* enough was seen */
    }
}

static size_t on_room(void *owner)
{
    (void)owner;
    return LT_SCRATCH_SIZE; /* on_body ends what becomes too much */
}

static void on_end(void *owner, const struct lt_headers *trailers)
{
    struct lt_check *c = from_owner(owner);
    c->back = NULL;
    if (trailers != NULL) {
        note_grpc(c, trailers);
    }
    judge(c);
}

static void on_nothing(void *owner LT_UNUSED)
{
}

static void on_fail(void *owner, const struct lt_back_failure *f)
{
    struct lt_check *c = from_owner(owner);
    c->back = NULL;
    fail_by_cause(c, f->cause, f->sys_errno, f->detail);
}

static const struct lt_back_events events = {
    .on_preface = on_preface,
    .on_connected = on_connected,
    .on_informational = on_informational,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_end = on_end,
    .on_eof = on_nothing, /* tunnels only */
    .on_turn = on_nothing,
    .on_drained = on_nothing,
    .on_fail = on_fail,
};

/* ---- TCP ---- */

static void on_dialled(void *owner, const struct lt_dial_failure *failure)
{
    struct lt_check *c = from_owner(owner);
    if (failure != NULL) {
        fail_by_cause(c, failure->cause, failure->sys_errno, failure->detail);
    } else {
        end(c);
    }
}

/* ---- Starting. ---- */

static void on_timeout(void *arg)
{
    struct lt_check *c = from_owner(arg);
    const char *what = c->status > 0  ? "the response was not over"
                       : c->connected ? "no answer"
                                      : "no connection";
    fail(c, "%s after %llu ms", what, (unsigned long long)c->options->timeout_ms);
}

/* As for requests, but each on a connection of its own, and no patience. */
static bool copy(struct lt_check *c, const struct lt_server *server)
{
    memcpy(&c->upstream, server->upstream, sizeof(c->upstream));
    c->server = *server;
    c->server.upstream = &c->upstream;
    c->server.set = NULL; /* which may go while we check */
    c->options = &server->upstream->health.check;
    c->upstream.connect_ms = c->options->timeout_ms + 1000; /* our own time is over before */
    c->upstream.keepalive_max = 0;
    c->upstream.h2.idle_ms = 1;
    c->upstream.h2.ping_ms = 0;
    return lt_arena_dup(&c->arena, server->name, &c->server.name) &&
           lt_arena_dup(&c->arena, server->host, &c->server.host) &&
           lt_arena_dup(&c->arena, server->ip, &c->server.ip);
}

static bool start(struct lt_check *c)
{
    struct lt_str preface;
    if (c->options->kind != LT_CHECK_TCP) {
        return lt_back_open(c->pools, &c->server, c->options->method, false, true, &c->arena,
                            &events, c, &c->back) == LT_OK;
    }
    if (!on_preface(c, &preface)) {
        return false;
    }
    lt_dial_start(&c->dial, c->pools, &c->server, preface, &c->stream, on_dialled, c);
    return true;
}

void lt_check_start(struct lt_check *c, struct lt_pools *pools, const struct lt_server *server,
                    lt_check_fn fn, void *owner)
{
    memset(c, 0, sizeof(*c));
    LT_OBJ_INIT(c, MAGIC);
    c->pools = pools;
    c->fn = fn;
    c->owner = owner;
    c->grpc = -1;
    c->stream.fd = -1;
    lt_arena_init(&c->arena, NULL, 0, ARENA_MAX);
    bool copied = copy(c, server);
    lt_buf_init(&c->body, c->options->body_max);
    lt_timer_init(&c->timer, pools->loop, on_timeout, c);
    lt_timer_set(&c->timer, c->options->timeout_ms);
    if (!copied || !start(c)) {
        fail(c, "out of memory");
    }
}

void lt_check_cancel(struct lt_check *c)
{
    (void)from_owner(c);
    fail(c, "given up");
}
