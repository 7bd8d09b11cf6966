/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that Lintel makes itself: problem bodies (RFC 9457) or a plain page by Accept, with
 * Proxy-Status (RFC 9209) and the cause. Nothing internal is in them. The worker's thread. */
#include "exchange/internal.h"

#include <stdio.h>

#include "http/accept.h"
#include "route/error_pages.h"
#include "upstream/breaker.h"

#define REPLY_HEADERS_MAX 64
#define BODY_MAX 4096u
/* Of a filter's error: written as JSON or HTML it fits into a body. */
#define SHOWN_MAX ((size_t)2000)
#define SHOWN_BODY_MAX 16384u

bool lt_exchange_shows_errors(const struct lt_exchange *x)
{
    return LT_UNLIKELY(x->view->shows_errors) &&
           (x->client.trusted || lt_addr_is_loopback(&x->client.peer));
}

struct lt_reply *lt_exchange_reply(struct lt_exchange *x, unsigned status, struct lt_str reason)
{
    struct lt_reply *r = &x->reply;
    *r = (struct lt_reply){.ready = true, .status = status};
    lt_headers_init(&r->headers, &x->arena, REPLY_HEADERS_MAX);
    if (reason.len > 0 && !lt_arena_dup(&x->arena, reason, &r->reason)) {
        return NULL;
    }
    return r;
}

const char *lt_reply_proxy_error(enum lt_cause cause)
{
    switch (cause) {
    case LT_CAUSE_HOST_UNKNOWN:
    case LT_CAUSE_ROUTE_UNKNOWN:
        return "destination_not_found";
    case LT_CAUSE_DNS_FAILED:
        return "dns_error";
    case LT_CAUSE_CONNECT_TIMEOUT:
    case LT_CAUSE_SERVER_TLS_TIMEOUT:
        return "connection_timeout";
    case LT_CAUSE_CONNECT_REFUSED_BY_SERVER:
        return "connection_refused";
    case LT_CAUSE_SOCKET_MISSING:
    case LT_CAUSE_SOCKET_PERMISSION:
    case LT_CAUSE_SOCKET_BACKLOG:
    case LT_CAUSE_CONNECT_FAILED:
    case LT_CAUSE_NO_SERVER:
    case LT_CAUSE_BREAKER_OPEN:
    case LT_CAUSE_RETRY_BUDGET_SPENT:
        return "destination_unavailable";
    case LT_CAUSE_SERVER_TLS_FAILED:
    case LT_CAUSE_SERVER_TLS_MISSING:
        return "tls_protocol_error";
    case LT_CAUSE_SERVER_TLS_REFUSED:
    case LT_CAUSE_SERVER_REFUSED_CERTIFICATE:
        return "tls_alert_received";
    case LT_CAUSE_SERVER_CERTIFICATE_EXPIRED:
    case LT_CAUSE_SERVER_CERTIFICATE_NAME:
    case LT_CAUSE_SERVER_CERTIFICATE_UNTRUSTED:
    case LT_CAUSE_SERVER_CERTIFICATE_PIN:
    case LT_CAUSE_SERVER_CERTIFICATE_INVALID:
        return "tls_certificate_error";
    case LT_CAUSE_SERVERS_BUSY:
    case LT_CAUSE_UPSTREAM_PAUSED:
    case LT_CAUSE_QUEUE_FULL:
    case LT_CAUSE_QUEUE_TIMEOUT:
    case LT_CAUSE_QUEUE_OVERLOAD:
    case LT_CAUSE_STREAMS_EXHAUSTED:
        return "connection_limit_reached";
    case LT_CAUSE_FIRST_BYTE_TIMEOUT:
    case LT_CAUSE_RESPONSE_IDLE_TIMEOUT:
    case LT_CAUSE_CALL_SILENT:
    case LT_CAUSE_SERVER_SILENT:
        return "connection_read_timeout";
    case LT_CAUSE_CLOSED_BEFORE_RESPONSE:
    case LT_CAUSE_RESET_BEFORE_RESPONSE:
    case LT_CAUSE_STREAM_REFUSED:
    case LT_CAUSE_STREAM_RESET:
        return "connection_terminated";
    case LT_CAUSE_DEADLINE:
        return "http_response_timeout";
    case LT_CAUSE_RESPONSE_CUT:
        return "http_response_incomplete";
    case LT_CAUSE_RESPONSE_HEAD_TOO_LARGE:
        return "http_response_header_section_size";
    case LT_CAUSE_UPGRADE_UNEXPECTED:
    case LT_CAUSE_UPGRADE_UNSUPPORTED:
    case LT_CAUSE_UPGRADE_REFUSED:
        return "http_upgrade_failed";
    case LT_CAUSE_FILTER_DENIED:
    case LT_CAUSE_UPGRADE_NOT_SERVED:
    case LT_CAUSE_CONNECT_REFUSED:
        return "http_request_denied";
    case LT_CAUSE_REWRITE_INVALID:
    case LT_CAUSE_SERVER_HEAD_LIMIT:
        return "http_request_error";
    case LT_CAUSE_OUT_OF_MEMORY:
    case LT_CAUSE_PATTERN_LIMIT:
    case LT_CAUSE_BODY_BUFFER_FULL:
    case LT_CAUSE_BODY_BUFFER_IO:
    case LT_CAUSE_INTERNAL:
    case LT_CAUSE_NO_DESCRIPTORS:
    case LT_CAUSE_DRAINING:
        return "proxy_internal_error";
    default:
        break; /* a default on purpose: the rest is told apart by its stage */
    }
    switch (lt_cause_info(cause)->stage) {
    case LT_STAGE_HEAD:
    case LT_STAGE_BODY:
    case LT_STAGE_ROUTE:
        return "http_request_error";
    case LT_STAGE_REQUEST_HOOKS:
        return "proxy_internal_error";
    case LT_STAGE_RESPONSE_HEAD:
    case LT_STAGE_RELAY:
        return "http_protocol_error";
    case LT_STAGE_ACCEPT:
    case LT_STAGE_PICK:
    case LT_STAGE_CONNECT:
    case LT_STAGE_SEND:
    case LT_STAGE_DONE:
        break;
    }
    return NULL;
}

/* Whether the client would rather read a page than JSON, as browsers do. */
static bool wants_page(const struct lt_exchange *x)
{
    const struct lt_headers *h = &x->req.headers;
    unsigned problem = lt_accept_type(h, LT_STR("application/problem+json"));
    unsigned json = lt_accept_type(h, LT_STR("application/json"));
    return lt_accept_type(h, LT_STR("text/html")) > lt_max(problem, json);
}

/* The operator's own body, where there is one for the status and the client accepts its type. A
 * file without anything to fill in is sent as it lies in the snapshot. */
static bool use_own_page(struct lt_exchange *x, struct lt_str cause)
{
    struct lt_reply *r = &x->reply;
    char status[16];
    const struct lt_error_pages *pages =
        x->route != NULL ? x->route->errors
                         : lt_router_errors(x->view->router, x->listener, x->req.host);
    const struct lt_error_file *file = lt_error_page_find(pages, r->status);
    if (file == NULL || lt_accept_type(&x->req.headers, file->media_type) == 0) {
        return false;
    }
    const struct lt_str values[LT_ERROR_PAGE_NAMES] = {
        [LT_ERROR_PAGE_STATUS] =
            lt_str(status, (size_t)snprintf(status, sizeof(status), "%u", r->status)),
        [LT_ERROR_PAGE_REASON] = lt_str_c(lt_status_reason(r->status)),
        [LT_ERROR_PAGE_CAUSE] = cause,
        [LT_ERROR_PAGE_REQUEST_ID] = x->ids.request_id,
    };
    struct lt_str body = lt_error_page_fill(file, values, &x->arena);
    if (body.p == NULL) {
        return false;
    }
    r->body = body;
    r->content_type = file->content_type;
    return true;
}

/* What a filter's code did wrong, for who may see it; else empty. */
static struct lt_str shown_error(const struct lt_exchange *x)
{
    enum lt_cause c = x->cause;
    bool of_filter = c == LT_CAUSE_FILTER_ERROR || c == LT_CAUSE_FILTER_CPU ||
                     c == LT_CAUSE_FILTER_MEMORY || c == LT_CAUSE_FILTER_WALL;
    return of_filter && lt_exchange_shows_errors(x) ? lt_str_sub(x->detail, 0, SHOWN_MAX)
                                                    : LT_STR_NONE;
}

static void write_problem(struct lt_buf *out, const struct lt_exchange *x, struct lt_str cause,
                          struct lt_str detail, struct lt_str error)
{
    lt_buf_printf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"cause\":",
                  lt_status_reason(x->reply.status), x->reply.status);
    lt_buf_json_str(out, cause);
    if (detail.len > 0) {
        lt_buf_add(out, ",\"detail\":", 10);
        lt_buf_json_str(out, detail);
    }
    if (error.len > 0) {
        lt_buf_add(out, ",\"error\":", 9);
        lt_buf_json_str(out, error);
    }
    lt_buf_add(out, ",\"request_id\":", 14);
    lt_buf_json_str(out, x->ids.request_id);
    lt_buf_add(out, "}\n", 2);
}

static void write_page(struct lt_buf *out, const struct lt_exchange *x, struct lt_str cause,
                       struct lt_str detail, struct lt_str error)
{
    const char *title = lt_status_reason(x->reply.status);
    lt_buf_printf(out,
                  "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
                  "<title>%u %s</title></head>\n<body>\n<h1>%u %s</h1>\n<p>",
                  x->reply.status, title, x->reply.status, title);
    lt_html_escape(out, detail);
    lt_buf_printf(out, "</p>\n%s", error.len > 0 ? "<pre>" : "");
    lt_html_escape(out, error);
    lt_buf_printf(out, "%s<p><small>", error.len > 0 ? "</pre>\n" : "");
    lt_html_escape(out, cause);
    lt_buf_add(out, " &middot; ", 10);
    lt_html_escape(out, x->ids.request_id);
    lt_buf_add(out, "</small></p>\n</body>\n</html>\n", 29);
}

/* For a terminal: curl takes anything. */
static bool wants_text(const struct lt_exchange *x)
{
    const struct lt_headers *h = &x->req.headers;
    return lt_accept_type(h, LT_STR("text/plain")) >=
           lt_max(lt_accept_type(h, LT_STR("application/problem+json")),
                  lt_accept_type(h, LT_STR("application/json")));
}

static void write_text(struct lt_buf *out, const struct lt_exchange *x, struct lt_str cause,
                       struct lt_str detail, struct lt_str error)
{
    lt_buf_printf(out, "%u %.*s: %.*s\n\n%.*s\n\nrequest_id %.*s\n", x->reply.status,
                  LT_STR_ARG(cause), LT_STR_ARG(detail), LT_STR_ARG(error),
                  LT_STR_ARG(x->ids.request_id));
}

/* A body that says what happened, unless the reply brings its own. */
static void make_body(struct lt_exchange *x)
{
    struct lt_reply *r = &x->reply;
    if (r->body.p != NULL || lt_status_bodiless(r->status)) {
        return;
    }
    const struct lt_cause_info *info = lt_cause_info(x->cause);
    struct lt_str cause = r->reason.len > 0 ? r->reason : lt_str_c(info->name);
    struct lt_str detail = x->cause != LT_CAUSE_NONE && x->cause != LT_CAUSE_FILTER_DENIED
                               ? lt_str_c(info->text)
                               : LT_STR_NONE;
    /* What it is was chosen by Accept; short of memory, a cache is not told. */
    enum lt_err err = lt_headers_add_id(&r->headers, LT_HEADER_VARY, LT_STR("Accept"));
    (void)err;
    struct lt_str error = shown_error(x);
    if (error.len == 0 && use_own_page(x, cause)) {
        return;
    }
    size_t max = error.len > 0 ? SHOWN_BODY_MAX : BODY_MAX;
    char *mem = lt_arena_chars(&x->arena, max);
    struct lt_buf out;
    r->body = LT_STR("");
    if (mem == NULL) {
        return;
    }
    lt_buf_init_fixed(&out, mem, max);
    bool page = wants_page(x);
    if (page) {
        write_page(&out, x, cause, detail, error);
        r->content_type = LT_STR("text/html; charset=utf-8");
    } else if (error.len > 0 && wants_text(x)) {
        write_text(&out, x, cause, detail, error);
        r->content_type = LT_STR("text/plain; charset=utf-8");
    } else {
        write_problem(&out, x, cause, detail, error);
        r->content_type = LT_STR("application/problem+json");
    }
    r->body = lt_buf_view(&out);
}

/* What a server's failure or a rule of ours adds to the head. Short of memory, the answer goes out
 * without the field. */
static void add_fields(struct lt_exchange *x)
{
    struct lt_headers *h = &x->res.headers;
    struct lt_str text;
    const char *error = x->cause != LT_CAUSE_NONE ? lt_reply_proxy_error(x->cause) : NULL;
    enum lt_err err = LT_OK;
    if (error != NULL && lt_arena_printf(&x->arena, &text, "lintel;error=%s;details=\"%s\"", error,
                                         lt_cause_info(x->cause)->name)) {
        err = lt_headers_add_id(h, LT_HEADER_PROXY_STATUS, text);
    }
    if (err == LT_OK && x->cause == LT_CAUSE_METHOD_NOT_ALLOWED) {
        err = lt_headers_add_id(h, LT_HEADER_ALLOW, x->allow);
    }
    if (err == LT_OK &&
        (x->cause == LT_CAUSE_SERVERS_BUSY || x->cause == LT_CAUSE_NO_SERVER ||
         x->cause == LT_CAUSE_UPSTREAM_PAUSED || x->cause == LT_CAUSE_STREAMS_EXHAUSTED ||
         x->cause == LT_CAUSE_STREAM_REFUSED || x->cause == LT_CAUSE_BODY_BUFFER_FULL ||
         x->cause == LT_CAUSE_OUT_OF_MEMORY)) {
        err = lt_headers_add_id(h, LT_HEADER_RETRY_AFTER, LT_STR("1"));
    }
    if (err == LT_OK && x->cause == LT_CAUSE_BREAKER_OPEN &&
        lt_arena_printf(&x->arena, &text, "%u",
                        lt_breaker_wait_s(x->upstream->state, x->env->loop->now_us))) {
        err = lt_headers_add_id(h, LT_HEADER_RETRY_AFTER, text);
    }
    if (err == LT_OK &&
        (x->cause == LT_CAUSE_QUEUE_FULL || x->cause == LT_CAUSE_QUEUE_TIMEOUT ||
         x->cause == LT_CAUSE_QUEUE_OVERLOAD) &&
        lt_arena_printf(&x->arena, &text, "%u", lt_queue_retry_after(x->env->pools, x->upstream))) {
        err = lt_headers_add_id(h, LT_HEADER_RETRY_AFTER, text);
    }
    if (err == LT_OK && x->ids.request_id.len > 0) {
        err = lt_headers_set_id(h, LT_HEADER_X_REQUEST_ID, x->ids.request_id);
    }
    (void)err;
}

void lt_reply_prepare(struct lt_exchange *x)
{
    struct lt_reply *r = &x->reply;
    x->replied_here = true;
    if (!r->ready) {
        unsigned status = lt_cause_info(x->cause)->status;
        *r = (struct lt_reply){.ready = true, .status = status > 0 ? status : 500};
        lt_headers_init(&r->headers, &x->arena, REPLY_HEADERS_MAX);
    }
    if (!x->grpc) {
        make_body(x);
    }
    x->res = (struct lt_response){
        .status = r->status,
        .version = 11,
        .headers = r->headers,
        .body = LT_BODY_LENGTH,
        .content_length = r->body.len,
    };
    struct lt_headers *h = &x->res.headers;
    enum lt_err err = LT_OK;
    struct lt_str date;
    if (r->content_type.len > 0) {
        err = lt_headers_set_id(h, LT_HEADER_CONTENT_TYPE, r->content_type);
    }
    if (err == LT_OK && lt_arena_dup(&x->arena, lt_loop_http_date(x->env->loop), &date)) {
        err = lt_headers_set_id(h, LT_HEADER_DATE, date);
    }
    (void)err; /* a reply without these fields is still a reply */
    add_fields(x);
    if (x->grpc) {
        lt_grpc_reply(x);
    }
}
