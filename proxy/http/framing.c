/* SPDX-License-Identifier: Apache-2.0 */
/* The framing gate. It runs on every head, right after llhttp and before anybody else sees it. No
 * state; any thread. */
#include "http/framing.h"

#include "http/uri.h"

/* Lines. */

static bool has_line_break(struct lt_str s)
{
    return lt_str_chr(s, '\r', 0) != SIZE_MAX || lt_str_chr(s, '\n', 0) != SIZE_MAX;
}

/* "HTTP/1.1" at the start of text. Other versions of HTTP are told apart from what is no HTTP. */
static enum lt_cause read_version(struct lt_str text, unsigned *version)
{
    if (text.len != 8 || memcmp(text.p, "HTTP/", 5) != 0 || !lt_char_is_digit(text.p[5]) ||
        text.p[6] != '.' || !lt_char_is_digit(text.p[7])) {
        return LT_CAUSE_REQUEST_LINE_INVALID;
    }
    if (text.p[5] != '1' || text.p[7] > '1') {
        return LT_CAUSE_VERSION_UNSUPPORTED;
    }
    *version = text.p[7] == '1' ? 11 : 10;
    return LT_CAUSE_NONE;
}

/* Exactly two spaces, no other white space: method, target and version. */
enum lt_cause lt_framing_request_line(struct lt_str line, struct lt_request_line *out)
{
    if (has_line_break(line)) {
        return LT_CAUSE_LINE_END_INVALID;
    }
    size_t first = lt_str_chr(line, ' ', 0);
    size_t second = first != SIZE_MAX ? lt_str_chr(line, ' ', first + 1) : SIZE_MAX;
    if (second == SIZE_MAX || second == first + 1) {
        return LT_CAUSE_REQUEST_LINE_INVALID;
    }
    out->method = lt_str(line.p, first);
    out->target = lt_str(line.p + first + 1, second - first - 1);
    if (!lt_header_name_ok(out->method)) {
        return LT_CAUSE_REQUEST_LINE_INVALID;
    }
    return read_version(lt_str_sub(line, second + 1, line.len), &out->version);
}

/* "HTTP/1.1 200 OK"; the reason, and the space before it, may be missing. */
enum lt_cause lt_framing_status_line(struct lt_str line, unsigned *version, unsigned *status)
{
    if (has_line_break(line)) {
        return LT_CAUSE_LINE_END_INVALID;
    }
    enum lt_cause cause = read_version(lt_str_sub(line, 0, 8), version);
    if (cause != LT_CAUSE_NONE) {
        return cause;
    }
    uint64_t code;
    if (line.len < 12 || line.p[8] != ' ' || !lt_str_to_u64(lt_str(line.p + 9, 3), &code) ||
        code < 100 || code > 599 || (line.len > 12 && line.p[12] != ' ') ||
        !lt_header_value_ok(line)) {
        return LT_CAUSE_REQUEST_LINE_INVALID;
    }
    *status = (unsigned)code;
    return LT_CAUSE_NONE;
}

/* A known name needs no look at its bytes. */
enum lt_cause lt_framing_field(enum lt_header_id id, struct lt_str name, struct lt_str value)
{
    bool name_ok = id != LT_HEADER_OTHER || lt_header_name_ok(name);
    if (LT_LIKELY(name_ok && lt_header_value_ok(value))) {
        return LT_CAUSE_NONE;
    }
    return has_line_break(name) || has_line_break(value) ? LT_CAUSE_LINE_END_INVALID
                                                         : LT_CAUSE_HEADER_INVALID;
}

/* Fields that matter, gathered in one pass. */

struct facts {
    unsigned hosts, lengths, codings, expectations; /* how many fields of each */
    struct lt_header *host, *length, *coding, *expect;
    size_t connection_bytes; /* in all Connection fields */
    bool close, keep_alive, upgrade;
    bool upgrade_field;
    bool te;
    bool connection_specific; /* a field that HTTP/2 doesn't know */
};

static void note_connection(struct facts *f, struct lt_str value)
{
    struct lt_str option;
    f->connection_bytes += value.len;
    while (lt_str_next(&value, ',', &option)) {
        f->close |= lt_str_eq_nocase(option, LT_STR("close"));
        f->keep_alive |= lt_str_eq_nocase(option, LT_STR("keep-alive"));
        f->upgrade |= lt_str_eq_nocase(option, LT_STR("upgrade"));
    }
}

static void note_field(struct facts *f, struct lt_header *h)
{
    switch (h->id) {
    case LT_HEADER_HOST:
        f->hosts++;
        f->host = h;
        break;
    case LT_HEADER_CONTENT_LENGTH:
        f->lengths++;
        f->length = h;
        break;
    case LT_HEADER_TRANSFER_ENCODING:
        f->codings++;
        f->coding = h;
        f->connection_specific = true;
        break;
    case LT_HEADER_EXPECT:
        f->expectations++;
        f->expect = h;
        break;
    case LT_HEADER_CONNECTION:
        note_connection(f, h->value);
        f->connection_specific = true;
        break;
    case LT_HEADER_UPGRADE:
        f->upgrade_field = f->connection_specific = true;
        break;
    case LT_HEADER_KEEP_ALIVE:
    case LT_HEADER_PROXY_CONNECTION:
        f->connection_specific = true;
        break;
    case LT_HEADER_TE:
        f->te = true;
        f->connection_specific |= !lt_str_eq_nocase(h->value, LT_STR("trailers"));
        break;
    default:
        break; /* the many that say nothing about framing */
    }
}

static void gather(const struct lt_headers *headers, struct facts *f)
{
    *f = (struct facts){.hosts = 0};
    for (unsigned i = 0; i < headers->n; i++) {
        note_field(f, &headers->v[i]);
    }
}

/* Rules for requests and responses. */

/* One length only: two of them are what request smuggling is made of (RFC 9112 §6.3). */
static enum lt_cause coding_or_length(const struct facts *f)
{
    return f->codings > 0 && f->lengths > 0 ? LT_CAUSE_FRAMING_CONFLICT : LT_CAUSE_NONE;
}

/* One field that says "chunked" and nothing else, and not from HTTP/1.0 (RFC 9112 §6.1). */
static enum lt_cause coding_is_chunked(const struct facts *f, unsigned version)
{
    bool ok = f->codings == 0 || (f->codings == 1 && version >= 11 &&
                                  lt_str_eq_nocase(f->coding->value, LT_STR("chunked")));
    return ok ? LT_CAUSE_NONE : LT_CAUSE_TRANSFER_ENCODING_INVALID;
}

/* One field, one plain decimal number below the cap. Leading zeros go. */
static enum lt_cause length_is_decimal(const struct facts *f, uint64_t *length)
{
    *length = 0;
    if (f->lengths == 0) {
        return LT_CAUSE_NONE;
    }
    struct lt_str *v = &f->length->value;
    if (f->lengths > 1 || !lt_str_to_u64(*v, length) || *length > LT_FRAMING_LENGTH_MAX) {
        return LT_CAUSE_CONTENT_LENGTH_INVALID;
    }
    while (v->len > 1 && v->p[0] == '0') {
        v->p++;
        v->len--;
    }
    return LT_CAUSE_NONE;
}

/* Removing the fields that Connection names costs its length times their number. */
static enum lt_cause connection_is_short(const struct facts *f)
{
    return f->connection_bytes > LT_FRAMING_CONNECTION_MAX ? LT_CAUSE_HEADER_INVALID
                                                           : LT_CAUSE_NONE;
}

/* HTTP/2 frames messages itself: what is about the connection or the framing has no place in its
 * heads, but for TE: trailers (RFC 9113 §8.2.2). */
static enum lt_cause is_about_the_message(const struct facts *f, unsigned version)
{
    return version >= 20 && f->connection_specific ? LT_CAUSE_HEADER_INVALID : LT_CAUSE_NONE;
}

static enum lt_cause judge_framing(const struct facts *f, unsigned version, uint64_t *length)
{
    enum lt_cause cause = coding_or_length(f);
    if (cause == LT_CAUSE_NONE) {
        cause = is_about_the_message(f, version);
    }
    if (cause == LT_CAUSE_NONE) {
        cause = coding_is_chunked(f, version);
    }
    if (cause == LT_CAUSE_NONE) {
        cause = length_is_decimal(f, length);
    }
    return cause != LT_CAUSE_NONE ? cause : connection_is_short(f);
}

static bool persists(const struct facts *f, unsigned version)
{
    return !f->close && (version >= 11 || f->keep_alive);
}

/* Rules for requests. */

static enum lt_cause method_is_served(const struct lt_request *req)
{
    if (req->method == LT_METHOD_UNKNOWN) {
        return LT_CAUSE_METHOD_UNKNOWN;
    }
    return req->method == LT_METHOD_CONNECT ? LT_CAUSE_CONNECT_REFUSED : LT_CAUSE_NONE;
}

static enum lt_cause target_is_parsed(const struct lt_request *req, struct lt_target *target)
{
    bool ok = lt_target_parse(req->target, target) &&
              (req->method == LT_METHOD_OPTIONS || !lt_str_eq_c(target->path, "*"));
    return ok ? LT_CAUSE_NONE : LT_CAUSE_TARGET_INVALID;
}

/* Exactly one valid Host; HTTP/1.0 knew none (RFC 9112 §3.2). */
static enum lt_cause host_is_single(const struct facts *f, unsigned version, struct lt_str *host,
                                    unsigned *port)
{
    if (f->hosts == 0 && version < 11) {
        *host = LT_STR_NONE;
        *port = 0;
        return LT_CAUSE_NONE;
    }
    return f->hosts == 1 && lt_authority_parse(f->host->value, host, port) ? LT_CAUSE_NONE
                                                                           : LT_CAUSE_HOST_INVALID;
}

static unsigned port_or_default(unsigned port, struct lt_str scheme)
{
    if (port != 0) {
        return port;
    }
    return scheme.len == 5 ? 443 : 80; /* "https" or "http" */
}

bool lt_framing_same_authority(struct lt_str a, struct lt_str b, struct lt_str scheme)
{
    struct lt_str a_host, b_host;
    unsigned a_port, b_port;
    return lt_authority_parse(a, &a_host, &a_port) && lt_authority_parse(b, &b_host, &b_port) &&
           lt_str_eq_nocase(a_host, b_host) &&
           port_or_default(a_port, scheme) == port_or_default(b_port, scheme);
}

/* The authority of an absolute-form target takes the place of Host and must agree with it. */
static enum lt_cause authority_agrees(const struct lt_target *target, bool host_given,
                                      struct lt_str *host, unsigned port)
{
    struct lt_str target_host;
    unsigned target_port;
    if (target->scheme.len == 0) {
        return LT_CAUSE_NONE;
    }
    if (!lt_authority_parse(target->authority, &target_host, &target_port)) {
        return LT_CAUSE_TARGET_INVALID;
    }
    if (host_given &&
        (!lt_str_eq_nocase(*host, target_host) ||
         port_or_default(port, target->scheme) != port_or_default(target_port, target->scheme))) {
        return LT_CAUSE_HOST_INVALID;
    }
    *host = target_host;
    return LT_CAUSE_NONE;
}

/* The one expectation there is (RFC 9110 §10.1.1); HTTP/1.0 can't wait for an answer to it. */
static enum lt_cause expectation_is_known(const struct facts *f, struct lt_request *req)
{
    if (f->expectations == 0) {
        return LT_CAUSE_NONE;
    }
    if (f->expectations > 1 || !lt_str_eq_nocase(f->expect->value, LT_STR("100-continue"))) {
        return LT_CAUSE_EXPECT_UNSUPPORTED;
    }
    req->expect_continue = req->version >= 11 && req->body != LT_BODY_NONE;
    return LT_CAUSE_NONE;
}

/* host in lower case, without the dot that a full name may end with. */
static enum lt_cause set_host(struct lt_request *req, struct lt_str host)
{
    if (host.len > 1 && host.p[host.len - 1] == '.') {
        host.len--;
    }
    req->host = host;
    size_t i = 0;
    while (i < host.len && host.p[i] == lt_char_lower(host.p[i])) {
        i++;
    }
    if (i == host.len) {
        return LT_CAUSE_NONE;
    }
    char *lower = lt_arena_chars(req->headers.arena, host.len);
    if (lower == NULL) {
        return LT_CAUSE_OUT_OF_MEMORY;
    }
    for (i = 0; i < host.len; i++) {
        lower[i] = lt_char_lower(host.p[i]);
    }
    req->host.p = lower;
    return LT_CAUSE_NONE;
}

/* The origin-form of an absolute-form target; an empty path is "/", or "*" for OPTIONS (RFC 9112
 * §3.2.1, §3.2.4). */
static enum lt_cause set_origin_form(struct lt_request *req, struct lt_target *target)
{
    if (target->path.len > 0) {
        size_t end = target->path.len + (target->query.p != NULL ? target->query.len + 1 : 0);
        req->target = lt_str(target->path.p, end);
        return LT_CAUSE_NONE;
    }
    target->path = LT_STR("/");
    if (target->query.p == NULL) {
        target->path = req->method == LT_METHOD_OPTIONS ? LT_STR("*") : LT_STR("/");
        req->target = target->path;
        return LT_CAUSE_NONE;
    }
    bool ok =
        lt_arena_printf(req->headers.arena, &req->target, "/?%.*s", LT_STR_ARG(target->query));
    return ok ? LT_CAUSE_NONE : LT_CAUSE_OUT_OF_MEMORY;
}

static enum lt_cause set_path(struct lt_request *req, struct lt_target *target)
{
    if (target->scheme.len > 0) {
        enum lt_cause cause = set_origin_form(req, target);
        if (cause != LT_CAUSE_NONE) {
            return cause;
        }
    }
    req->query = target->query;
    if (lt_str_eq_c(target->path, "*")) {
        req->path = target->path;
        return LT_CAUSE_NONE;
    }
    switch (lt_path_normalise(req->headers.arena, target->path, LT_PATH_SLASHES, &req->path)) {
    case LT_OK:
        return LT_CAUSE_NONE;
    case LT_ERR_NOMEM:
        return LT_CAUSE_OUT_OF_MEMORY;
    default:
        return LT_CAUSE_PATH_INVALID;
    }
}

/* Target, Host, and the names that follow from them. */
static enum lt_cause judge_names(struct lt_request *req, const struct facts *f)
{
    struct lt_target target;
    struct lt_str host;
    unsigned port;
    enum lt_cause cause = target_is_parsed(req, &target);
    if (cause == LT_CAUSE_NONE) {
        cause = host_is_single(f, req->version, &host, &port);
    }
    if (cause == LT_CAUSE_NONE) {
        cause = authority_agrees(&target, f->hosts > 0, &host, port);
    }
    if (cause != LT_CAUSE_NONE) {
        return cause;
    }
    req->authority = f->hosts > 0 ? f->host->value : target.authority;
    cause = set_host(req, host);
    return cause != LT_CAUSE_NONE ? cause : set_path(req, &target);
}

static void set_request_body(struct lt_request *req, const struct facts *f, uint64_t length)
{
    req->content_length = length;
    if (f->lengths > 0) {
        req->body = LT_BODY_LENGTH;
    } else if (req->version < 20) { /* else the frame said whether more follows */
        req->body = f->codings > 0 ? LT_BODY_CHUNKED : LT_BODY_NONE;
    }
}

enum lt_cause lt_framing_request(struct lt_request *req)
{
    struct facts f;
    uint64_t length;
    gather(&req->headers, &f);
    enum lt_cause cause = judge_framing(&f, req->version, &length);
    if (cause == LT_CAUSE_NONE) {
        cause = method_is_served(req);
    }
    if (cause == LT_CAUSE_NONE) {
        cause = judge_names(req, &f);
    }
    if (cause != LT_CAUSE_NONE) {
        return cause;
    }
    set_request_body(req, &f, length);
    req->keep_alive = persists(&f, req->version);
    req->upgrade = f.upgrade && f.upgrade_field;
    req->te_trailers =
        f.te && lt_headers_has_token(&req->headers, LT_HEADER_TE, LT_STR("trailers"));
    req->expect_continue = false;
    return expectation_is_known(&f, req);
}

/* Rules for responses. */

static void set_response_body(struct lt_response *res, const struct facts *f, enum lt_method method,
                              uint64_t length)
{
    res->content_length = length;
    res->keep_alive = persists(f, res->version);
    if (method == LT_METHOD_HEAD || lt_status_bodiless(res->status)) {
        res->body = LT_BODY_NONE;
    } else if (f->codings > 0) {
        res->body = LT_BODY_CHUNKED;
    } else if (f->lengths > 0) {
        res->body = LT_BODY_LENGTH;
    } else if (res->version >= 20) {
        res->body = LT_BODY_CHUNKED; /* it has its own end */
    } else {
        res->body = LT_BODY_CLOSE;
        res->keep_alive = false;
    }
}

/* A 204 that announces a body, and a 205 that has one, are wrong about one of the two (RFC 9110
 * §8.6, §15.3.6, RFC 9112 §6.1). An empty chunked body of a 205 is one that servers do send. */
static enum lt_cause body_fits_status(const struct facts *f, unsigned status, uint64_t length)
{
    if (status == 204 && f->codings > 0) {
        return LT_CAUSE_TRANSFER_ENCODING_INVALID;
    }
    return (status == 204 || status == 205) && length > 0 ? LT_CAUSE_CONTENT_LENGTH_INVALID
                                                          : LT_CAUSE_NONE;
}

enum lt_cause lt_framing_response(struct lt_response *res, enum lt_method method)
{
    struct facts f;
    uint64_t length;
    gather(&res->headers, &f);
    enum lt_cause cause = judge_framing(&f, res->version, &length);
    if (cause == LT_CAUSE_NONE) {
        cause = body_fits_status(&f, res->status, length);
    }
    if (cause == LT_CAUSE_NONE) {
        set_response_body(res, &f, method, length);
    }
    return cause;
}

enum lt_cause lt_framing_server_cause(enum lt_cause cause)
{
    switch (cause) {
    case LT_CAUSE_NONE:
    case LT_CAUSE_OUT_OF_MEMORY:
        return cause;
    case LT_CAUSE_HEAD_TOO_LARGE:
        return LT_CAUSE_RESPONSE_HEAD_TOO_LARGE;
    case LT_CAUSE_TRANSFER_ENCODING_INVALID:
    case LT_CAUSE_CONTENT_LENGTH_INVALID:
    case LT_CAUSE_FRAMING_CONFLICT:
    case LT_CAUSE_CHUNK_INVALID:
        return LT_CAUSE_RESPONSE_FRAMING_INVALID;
    default:
        return LT_CAUSE_RESPONSE_INVALID;
    }
}
