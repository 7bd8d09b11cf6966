/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the line of the access log from an exchange that is over. */
#include "server/access_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "exchange/log_field.h"
#include "net/tls_info.h"
#include "server/log_writer.h"
#include "server/snapshot.h"

/* Bytes of one value; the rest is cut. */
#define VALUE_MAX 2048u

struct line {
    struct lt_buf *out;
    bool cut; /* something was left out */
};

/* Takes back what was added since start when it didn't fit. */
static void settle(struct line *l, size_t start)
{
    if (l->out->truncated) {
        l->out->truncated = false;
        l->out->len = start;
        l->cut = true;
    }
}

static void put_key(struct line *l, struct lt_str key)
{
    if (l->out->p[l->out->len - 1] != '{') {
        lt_buf_char(l->out, ',');
    }
    lt_buf_json_str(l->out, key);
    lt_buf_char(l->out, ':');
}

static void put_str(struct line *l, const char *key, struct lt_str value)
{
    size_t start = l->out->len;
    put_key(l, lt_str_c(key));
    l->cut |= value.len > VALUE_MAX;
    lt_buf_json_str(l->out, lt_str_sub(value, 0, VALUE_MAX));
    settle(l, start);
}

/* Left out when there is none. */
static void put_opt(struct line *l, const char *key, struct lt_str value)
{
    if (value.len > 0) {
        put_str(l, key, value);
    }
}

static void put_num(struct line *l, const char *key, uint64_t value)
{
    size_t start = l->out->len;
    put_key(l, lt_str_c(key));
    lt_buf_u64(l->out, value);
    settle(l, start);
}

static void put_ms(struct line *l, const char *key, uint64_t us)
{
    size_t start = l->out->len;
    put_key(l, lt_str_c(key));
    lt_buf_u64(l->out, us / 1000);
    if (us % 1000 > 0) {
        char fraction[4] = {'.', (char)('0' + us / 100 % 10), (char)('0' + us / 10 % 10),
                            (char)('0' + us % 10)};
        lt_buf_add(l->out, fraction, sizeof(fraction));
    }
    settle(l, start);
}

static void put_true(struct line *l, const char *key)
{
    size_t start = l->out->len;
    put_key(l, lt_str_c(key));
    lt_buf_add(l->out, "true", 4);
    settle(l, start);
}

/* Who connected to us, where that is somebody else than the client. */
static void put_peer(struct line *l, const struct lt_exchange *x)
{
    char text[LT_ADDR_TEXT_MAX];
    const struct lt_addr *peer = x->via.len > 0 ? &x->via : &x->client.peer;
    struct lt_str ip = lt_str(text, lt_addr_print_ip(peer, text));
    if (peer->len > 0 && !lt_str_eq(ip, x->client.ip)) {
        put_opt(l, "peer", ip);
    }
}

/* Who the client is, as an auth filter found. */
static void put_user(struct line *l, struct lt_exchange *x)
{
    struct lt_str id;
    if (lt_exchange_expr_get(x, LT_EXPR_USER, LT_STR("id"), &id)) {
        put_opt(l, "user", id);
    }
}

/* Empty where the head's first line wasn't understood. */
static struct lt_str protocol_of(const struct lt_request *req)
{
    switch (req->version) {
    case 20:
        return LT_STR("HTTP/2");
    case 11:
        return LT_STR("HTTP/1.1");
    case 10:
        return LT_STR("HTTP/1.0");
    default:
        return LT_STR_NONE; /* not known */
    }
}

static void put_request(struct line *l, struct lt_exchange *x)
{
    /* The query is left out: it is where secrets are. */
    struct lt_str target = x->req_target.len > 0 ? x->req_target : x->req.target;
    struct lt_str method =
        x->req.method != LT_METHOD_UNKNOWN ? lt_method_name(x->req.method) : LT_STR_NONE;
    put_str(l, "id", x->ids.request_id);
    put_opt(l, "trace_id", x->ids.trace_id);
    put_opt(l, "client", x->client.ip);
    put_peer(l, x);
    put_user(l, x);
    put_opt(l, "method", method);
    put_opt(l, "host", x->req.host);
    put_opt(l, "path", lt_str_sub(target, 0, lt_str_chr(target, '?', 0)));
    put_opt(l, "protocol", protocol_of(&x->req));
    put_num(l, "status", x->res.status);
    put_opt(l, "grpc_status", lt_exchange_grpc_status(x));
}

/* Where it happened: some of what servers do wrong they can do before, in or after a head. */
static enum lt_stage stage_of(const struct lt_exchange *x, const struct lt_cause_info *info)
{
    if (info->stage != LT_STAGE_RESPONSE_HEAD) {
        return info->stage;
    }
    return x->response_begun               ? LT_STAGE_RELAY
           : x->step_us[LT_STEP_SEND] == 0 ? LT_STAGE_CONNECT
                                           : LT_STAGE_RESPONSE_HEAD;
}

static void put_outcome(struct line *l, const struct lt_exchange *x)
{
    if (x->cause != LT_CAUSE_NONE) {
        const struct lt_cause_info *info = lt_cause_info(x->cause);
        put_str(l, "cause", lt_str_c(info->name));
        put_str(l, "stage", lt_str_c(lt_stage_name(stage_of(x, info))));
    }
    if (x->cause_errno != 0) {
        put_opt(l, "error", lt_str_c(strerrordesc_np(x->cause_errno)));
    }
    put_opt(l, "denied_by", x->denied_by);
    if (x->denied_by.len > 0) {
        put_opt(l, "reason", x->reply.reason);
    }
    put_opt(l, "detail", x->detail);
}

/* What the first try met: the client saw nothing of it, or it says more than what the last one met.
 */
static void put_first_failure(struct line *l, const struct lt_exchange *x)
{
    const char *key = x->recovered ? "recovered" : "first_cause";
    if (x->tries_met != LT_CAUSE_NONE && (x->recovered || x->tries_met != x->cause)) {
        put_str(l, key, lt_str_c(lt_cause_info(x->tries_met)->name));
    } else if (x->tries_met == LT_CAUSE_NONE && x->tries_status > 0) {
        put_num(l, key, x->tries_status);
    }
}

static void put_server(struct line *l, const struct lt_exchange *x)
{
    if (x->route != NULL) {
        put_str(l, "site", x->route->site);
        put_str(l, "route", x->route->name);
    }
    if (x->upstream != NULL) {
        put_str(l, "upstream", x->upstream->name);
    }
    if (x->server != NULL) {
        put_str(l, "server", x->server->name);
        put_num(l, "tries", x->tries);
        put_first_failure(l, x);
    }
    if (x->upstream_status > 0) {
        put_num(l, "upstream_status", x->upstream_status);
    }
}

/* The time from each step that was entered to the next one that was. */
static void put_steps(struct line *l, const struct lt_exchange *x, uint64_t end_us)
{
    size_t start = l->out->len;
    put_key(l, LT_STR("steps"));
    lt_buf_char(l->out, '{');
    for (unsigned i = 0; i < LT_STEP_LOG; i++) {
        if (x->step_us[i] == 0) {
            continue;
        }
        uint64_t next = end_us;
        for (unsigned j = 0; j <= LT_STEP_LOG; j++) {
            if (j != i && x->step_us[j] >= x->step_us[i] && x->step_us[j] < next &&
                (j > i || x->step_us[j] > x->step_us[i])) {
                next = x->step_us[j];
            }
        }
        put_ms(l, lt_step_name((enum lt_step)i), next - x->step_us[i]);
    }
    lt_buf_char(l->out, '}');
    settle(l, start);
}

static void put_tls(struct line *l, const struct lt_exchange *x)
{
    if (x->tls != NULL) {
        put_str(l, "tls", lt_str_c(x->tls->version));
        put_opt(l, "client_cert", x->tls->subject);
    }
}

static void put_times(struct line *l, const struct lt_exchange *x)
{
    uint64_t end_us = x->step_us[LT_STEP_LOG] > x->began_us ? x->step_us[LT_STEP_LOG] : x->began_us;
    uint64_t duration_us = end_us - x->began_us;
    put_num(l, "bytes_in", x->bytes_in);
    put_num(l, "bytes_out", x->bytes_out);
    put_ms(l, "duration_ms", duration_us);
    if (x->upstream_us > 0 && x->upstream_end_us >= x->upstream_us) {
        put_ms(l, "upstream_ms", x->upstream_end_us - x->upstream_us);
    }
    put_steps(l, x, end_us);
    put_tls(l, x);
    put_opt(l, "upgrade", x->res.upgrade);
    uint64_t slow_ms = x->tunnel == NULL ? x->view->log.slow_ms : 0;
    if (slow_ms > 0 && duration_us >= slow_ms * 1000) {
        put_true(l, "slow");
    }
}

/* Values of names for further members: as the exchange gives them, but for headers that are to be
 * hidden. */
struct field_source {
    struct lt_exchange *x;
    const struct lt_str *redact;
    size_t n_redact;
};

static bool get_field(void *source, enum lt_expr_name name, struct lt_str key, struct lt_str *out)
{
    const struct field_source *s = source;
    if (!lt_exchange_expr_get(s->x, name, key, out)) {
        return false;
    }
    struct lt_str header = name == LT_EXPR_HEADER   ? key
                           : name == LT_EXPR_COOKIE ? LT_STR("cookie")
                                                    : LT_STR_NONE;
    for (size_t i = 0; header.len > 0 && i < s->n_redact; i++) {
        if (lt_str_eq_nocase(s->redact[i], header)) {
            *out = LT_STR("[redacted]");
        }
    }
    return true;
}

static void put_expr(struct line *l, struct lt_str name, const struct lt_expr *expr,
                     struct field_source *source)
{
    char scratch[32];
    struct lt_str value;
    if (lt_expr_text(expr, get_field, source, scratch, &value)) {
        size_t start = l->out->len;
        put_key(l, name);
        l->cut |= value.len > VALUE_MAX;
        lt_buf_json_str(l->out, lt_str_sub(value, 0, VALUE_MAX));
        settle(l, start);
    }
}

/* A member by a filter. */
static void put_member(struct line *l, const struct lt_log_field *f, struct field_source *source)
{
    if (f->kind == LT_LOG_FIELD_EXPR) {
        put_expr(l, f->name, f->expr, source);
        return;
    }
    size_t start = l->out->len;
    put_key(l, f->name);
    if (f->kind == LT_LOG_FIELD_PLAIN) {
        lt_buf_str(l->out, f->text);
    } else {
        l->cut |= f->text.len > VALUE_MAX;
        lt_buf_json_str(l->out, lt_str_sub(f->text, 0, VALUE_MAX));
    }
    settle(l, start);
}

static bool is_field(struct lt_str name, const struct lt_snapshot_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (lt_str_eq(fields[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* Those of the configuration, then those of filters; a name of the configuration is its own. */
static void put_fields(struct line *l, struct lt_exchange *x,
                       const struct lt_snapshot_field *fields, size_t n,
                       const struct lt_str *redact, size_t n_redact)
{
    struct field_source source = {.x = x, .redact = redact, .n_redact = n_redact};
    for (size_t i = 0; i < n; i++) {
        put_expr(l, fields[i].name, fields[i].expr, &source);
    }
    for (const struct lt_log_field *f = x->log_fields; f != NULL; f = f->next) {
        if (!is_field(f->name, fields, n)) {
            put_member(l, f, &source);
        }
    }
}

void lt_access_line(struct lt_buf *out, struct lt_exchange *x,
                    const struct lt_snapshot_field *fields, size_t n, const struct lt_str *redact,
                    size_t n_redact)
{
    struct line l = {.out = out};
    size_t cap = out->cap;
    out->cap -= sizeof(",\"truncated\":true}\n");
    char time[LT_LOG_TIME_LEN];
    lt_clock_log_time(x->began_wall_us, time);
    lt_buf_char(out, '{');
    put_str(&l, "time", lt_str(time, sizeof(time)));
    put_request(&l, x);
    put_outcome(&l, x);
    put_server(&l, x);
    put_times(&l, x);
    put_fields(&l, x, fields, n, redact, n_redact);
    size_t start = out->len;
    lt_buf_str(out, x->log_members);
    settle(&l, start);
    out->cap = cap;
    if (l.cut) {
        put_true(&l, "truncated");
    }
    lt_buf_add(out, "}\n", 2);
}

bool lt_access_keep(struct lt_exchange *x)
{
    static _Thread_local char memory[LT_ACCESS_LINE_MAX / 4];
    const struct lt_snapshot *snapshot = x->view->snapshot;
    const struct lt_conf_list *redact = &snapshot->root->conf->log.redact;
    struct lt_buf out;
    struct line l = {.out = &out};
    lt_buf_init_fixed(&out, memory, sizeof(memory));
    lt_buf_char(&out, '}'); /* any but the beginning of an object: each member has its comma */
    put_fields(&l, x, snapshot->fields, snapshot->n_fields, redact->items, redact->n);
    if (!lt_arena_dup(&x->arena, lt_str_sub(lt_buf_view(&out), 1, out.len), &x->log_members)) {
        return false;
    }
    x->log_fields = NULL; /* written; their expressions go with the snapshot */
    return true;
}

/* 14:03:22 GET /path 200 1.2 ms, and what went wrong; for a terminal. */
static void put_human(struct lt_buf *out, const struct lt_exchange *x)
{
    uint64_t us = x->step_us[LT_STEP_LOG] > x->began_us ? x->step_us[LT_STEP_LOG] - x->began_us : 0;
    struct lt_str target = lt_str_sub(x->req_target, 0, VALUE_MAX);
    lt_log_human_time(out, x->began_wall_us);
    lt_buf_str(out, lt_method_name(x->req.method));
    lt_buf_char(out, ' ');
    for (size_t i = 0; i < target.len; i++) {
        char c = target.p[i];
        lt_buf_char(out, c > ' ' && c < 127 ? c : '?');
    }
    lt_buf_printf(out, " %u %.1f ms", x->res.status, (double)us / 1000);
    if (x->cause != LT_CAUSE_NONE) {
        lt_buf_printf(out, " %s", lt_cause_info(x->cause)->name);
    }
    lt_buf_char(out, '\n');
}

void lt_access_log(struct lt_exchange *x)
{
    static _Thread_local char memory[LT_ACCESS_LINE_MAX];
    const struct lt_snapshot *snapshot = x->view->snapshot;
    struct lt_buf out;
    lt_buf_init_fixed(&out, memory, sizeof(memory));
    if (lt_log_is_human()) {
        put_human(&out, x);
    } else if (snapshot != NULL) {
        const struct lt_conf_list *redact = &snapshot->root->conf->log.redact;
        lt_access_line(&out, x, snapshot->fields, snapshot->n_fields, redact->items, redact->n);
    } else {
        lt_access_line(&out, x, NULL, 0, NULL, 0);
    }
    lt_log_writer_access(lt_buf_view(&out));
}
