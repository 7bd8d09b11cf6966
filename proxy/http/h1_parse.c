/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 from bytes to heads and bodies. llhttp parses; it is stopped at the end of the head, and
 * http/framing.c judges before anything is given out. Bodies of known length and those that end
 * with the connection need no parser; chunked ones go through llhttp, stopped at each chunk header:
 *
 *    chunk line --on_chunk_header--> data, as one piece per call --> chunk line ...
 *                       | size 0
 *                       '-> trailers --on_message_complete--> end
 *
 * Whoever owns the connection, one thread. */
#include "http/h1.h"

#include "http/framing.h"

/* Version 8 has two parsers in one file; the other one is loose. */
#if LLHTTP_VERSION_MAJOR < 9 && LLHTTP_STRICT_MODE != 1
#error "llhttp 8 must be compiled with -DLLHTTP_STRICT_MODE=1"
#endif

#define CHUNK_LINE_MAX 256u        /* bytes between two chunks */
#define CHUNK_LINE_PLAIN 20u       /* of them without extensions: CRLF, 16 digits, CRLF */
#define EXTENSION_BYTES_MAX 16384u /* in all chunk lines of a message */
#define TRAILER_LINE_FIRST 256u

/* llhttp's callbacks. They only note what was found. ----------------------------------------------
 */

static struct lt_h1 *owner_of(llhttp_t *llhttp)
{
    return lt_container_of(llhttp, struct lt_h1, llhttp);
}

static int fail(struct lt_h1 *p, enum lt_cause rule)
{
    p->rule = rule;
    return HPE_USER;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
    owner_of(llhttp)->url = lt_str(at, len);
    return 0;
}

static int on_name(llhttp_t *llhttp, const char *at, size_t len)
{
    struct lt_h1 *p = owner_of(llhttp);
    p->name = lt_str(at, len);
    p->value = LT_STR_NONE;
    return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct lt_h1 *p = owner_of(llhttp);
    if (LT_UNLIKELY(p->value.len > 0)) {
        return fail(p, LT_CAUSE_HEADER_FOLDED); /* a head is one piece of memory */
    }
    p->value = lt_str(at, len);
    return 0;
}

static int on_field(llhttp_t *llhttp)
{
    struct lt_h1 *p = owner_of(llhttp);
    p->value = lt_str_trim(p->value);
    enum lt_header_id id = lt_header_find_id(p->name);
    enum lt_cause rule = lt_framing_field(id, p->name, p->value);
    if (LT_UNLIKELY(rule != LT_CAUSE_NONE)) {
        return fail(p, rule);
    }
    if (LT_UNLIKELY(++p->fields > p->limits.headers)) {
        return fail(p, LT_CAUSE_HEAD_TOO_LARGE);
    }
    enum lt_err err = lt_headers_add_as(p->headers, id, p->name, p->value);
    return LT_LIKELY(err == LT_OK) ? 0 : fail(p, LT_CAUSE_OUT_OF_MEMORY);
}

static int on_head(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED; /* nothing goes on before the gate has judged */
}

static const llhttp_settings_t head_settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_field,
    .on_headers_complete = on_head,
};

/* Makes room for n more bytes of the trailer field being parsed. */
static bool reserve_line(struct lt_h1 *p, size_t n)
{
    if (n <= p->line_cap - p->line_len) {
        return true;
    }
    size_t cap = lt_max(lt_max(p->line_cap * 2, p->line_len + n), TRAILER_LINE_FIRST);
    char *line = lt_arena_chars(p->headers->arena, cap);
    if (line == NULL) {
        return false;
    }
    if (p->line_len > 0) {
        memcpy(line, p->line, p->line_len);
    }
    p->line = line;
    p->line_cap = cap;
    return true;
}

static int keep_line(struct lt_h1 *p, const char *at, size_t len)
{
    if (p->headers == NULL || len == 0) {
        return 0;
    }
    if (!reserve_line(p, len)) {
        return fail(p, LT_CAUSE_OUT_OF_MEMORY);
    }
    memcpy(p->line + p->line_len, at, len);
    p->line_len += len;
    return 0;
}

static int on_trailer_name(llhttp_t *llhttp, const char *at, size_t len)
{
    struct lt_h1 *p = owner_of(llhttp);
    if (len > 0 && !lt_header_name_ok(lt_str(at, len))) {
        return fail(p, LT_CAUSE_TRAILER_INVALID);
    }
    p->name_len += len;
    return keep_line(p, at, len);
}

static int on_trailer_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct lt_h1 *p = owner_of(llhttp);
    if (!lt_header_value_ok(lt_str(at, len))) {
        return fail(p, LT_CAUSE_TRAILER_INVALID);
    }
    return keep_line(p, at, len);
}

/* Whether a trailer may be passed on: nothing about framing, routing, credentials or forwarding
 * (RFC 9110 §6.5.1), no name that an application reads as another one. */
static bool trailer_passes(struct lt_str name)
{
    return lt_header_flags(lt_header_find_id(name)) == 0 && lt_str_chr(name, '_', 0) == SIZE_MAX;
}

static int on_trailer(llhttp_t *llhttp)
{
    struct lt_h1 *p = owner_of(llhttp);
    struct lt_str name = lt_str(p->line, p->name_len);
    if (p->name_len == 0) {
        return fail(p, LT_CAUSE_TRAILER_INVALID);
    }
    if (++p->fields > p->limits.headers) {
        return fail(p, LT_CAUSE_TRAILER_INVALID);
    }
    p->name_len = 0;
    if (p->headers != NULL && lt_header_find_id(name) == LT_HEADER_TRANSFER_ENCODING) {
        return fail(p, LT_CAUSE_TRAILER_INVALID); /* framing can't change here */
    }
    if (p->headers == NULL || !trailer_passes(name)) {
        p->line_len = 0;
        return 0;
    }
    struct lt_str value = lt_str(name.p + name.len, p->line_len - name.len);
    p->line += p->line_len;
    p->line_cap -= p->line_len;
    p->line_len = 0;
    enum lt_err err = lt_headers_add(p->headers, name, lt_str_trim(value));
    if (err == LT_OK) {
        return 0;
    }
    return fail(p, err == LT_ERR_LIMIT ? LT_CAUSE_TRAILER_INVALID : LT_CAUSE_OUT_OF_MEMORY);
}

static int on_chunk_header(llhttp_t *llhttp)
{
    struct lt_h1 *p = owner_of(llhttp);
    p->left = llhttp->content_length;
    p->trailers = p->left == 0;
    return HPE_PAUSED;
}

static int on_data(llhttp_t *llhttp, const char *at, size_t len)
{
    owner_of(llhttp)->piece = lt_str(at, len);
    return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
    owner_of(llhttp)->end = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t body_settings = {
    .on_header_field = on_trailer_name,
    .on_header_value = on_trailer_value,
    .on_header_value_complete = on_trailer,
    .on_chunk_header = on_chunk_header,
    .on_body = on_data,
    .on_message_complete = on_message_complete,
};

/* Heads. ------------------------------------------------------------------------------------------
 */

/* Cuts the first line off *head, without its CRLF. */
static struct lt_str cut_line(struct lt_str *head)
{
    size_t lf = lt_str_chr(*head, '\n', 0);
    struct lt_str line = lt_str_sub(*head, 0, lf);
    *head = lt_str_sub(*head, lf == SIZE_MAX ? head->len : lf + 1, head->len);
    if (line.len > 0 && line.p[line.len - 1] == '\r') {
        line.len--;
    }
    return line;
}

/* llhttp refused the head: fills headers by splitting lines alone, up to the first one that breaks
 * a rule, so that the gate can name the cause whatever version of llhttp is linked. */
static enum lt_cause split_fields(struct lt_str head, struct lt_headers *headers)
{
    enum lt_cause rule = LT_CAUSE_NONE;
    headers->n = 0;
    cut_line(&head);
    while (rule == LT_CAUSE_NONE && head.len > 0) {
        struct lt_str line = cut_line(&head);
        if (line.len == 0) {
            break;
        }
        size_t colon = lt_str_chr(line, ':', 0);
        if (lt_char_is_space(line.p[0])) {
            rule = LT_CAUSE_HEADER_FOLDED;
        } else if (colon == SIZE_MAX) {
            rule = lt_str_chr(line, '\r', 0) != SIZE_MAX ? LT_CAUSE_LINE_END_INVALID
                                                         : LT_CAUSE_HEADER_INVALID;
        } else {
            struct lt_str name = lt_str(line.p, colon);
            struct lt_str value = lt_str_trim(lt_str_sub(line, colon + 1, line.len));
            rule = lt_framing_field(LT_HEADER_OTHER, name, value);
            if (rule == LT_CAUSE_NONE && lt_headers_add(headers, name, value) != LT_OK) {
                rule = LT_CAUSE_HEAD_TOO_LARGE;
            }
        }
    }
    return rule;
}

static enum lt_err refuse(struct lt_h1 *p, enum lt_cause rule, enum lt_cause *cause)
{
    p->rule = rule;
    *cause = p->response ? lt_framing_server_cause(rule) : rule;
    return rule == LT_CAUSE_OUT_OF_MEMORY ? LT_ERR_NOMEM : LT_ERR_INVALID;
}

/* Feeds the head to llhttp; true when it stopped exactly at its end. */
static bool parse_head(struct lt_h1 *p, struct lt_str head, struct lt_headers *headers)
{
    p->headers = headers;
    llhttp_errno_t err = llhttp_execute(&p->llhttp, head.p, head.len);
    p->headers = NULL;
    return err == HPE_PAUSED && llhttp_get_error_pos(&p->llhttp) == head.p + head.len;
}

/* llhttp and the gate have to read the same framing out of the head. */
static enum lt_cause compare(const struct lt_h1 *p, bool parsed, enum lt_body_kind body,
                             uint64_t length)
{
    if (!parsed) {
        return LT_CAUSE_HEADER_INVALID; /* what exactly, only llhttp knows */
    }
    if (((p->llhttp.flags & F_CHUNKED) != 0) != (body == LT_BODY_CHUNKED)) {
        return LT_CAUSE_TRANSFER_ENCODING_INVALID;
    }
    return body == LT_BODY_LENGTH && p->llhttp.content_length != length
               ? LT_CAUSE_CONTENT_LENGTH_INVALID
               : LT_CAUSE_NONE;
}

static void start_body(struct lt_h1 *p, enum lt_body_kind body, uint64_t length)
{
    p->body = body;
    p->left = body == LT_BODY_LENGTH ? length : 0;
    p->fields = 0;
    p->last = '\n';
    if (body == LT_BODY_CHUNKED) {
        p->llhttp.settings = (void *)(uintptr_t)&body_settings;
        llhttp_resume(&p->llhttp);
    }
}

static void start_head(struct lt_h1 *p, llhttp_type_t type, const struct lt_h1_limits *limits)
{
    memset(p, 0, sizeof(*p));
    p->limits = *limits;
    p->response = type == HTTP_RESPONSE;
    llhttp_init(&p->llhttp, type, &head_settings);
}

/* The rule that the head breaks which llhttp refused. */
static enum lt_cause explain(const struct lt_h1 *p, struct lt_str head, struct lt_headers *headers)
{
    return p->rule != LT_CAUSE_NONE ? p->rule : split_fields(head, headers);
}

enum lt_err lt_h1_request(struct lt_h1 *p, struct lt_arena *arena, char *head, size_t len,
                          const struct lt_h1_limits *limits, struct lt_request *req,
                          enum lt_cause *cause)
{
    struct lt_str text = lt_str(head, len);
    if (lt_str_starts(text, LT_STR("\r\n"))) {
        text = lt_str_sub(text, 2, len);
    }
    start_head(p, HTTP_REQUEST, limits);
    memset(req, 0, sizeof(*req));
    lt_headers_init(&req->headers, arena, limits->headers + LT_H1_SPARE);

    struct lt_str rest = text;
    struct lt_request_line line;
    enum lt_cause rule = lt_framing_request_line(cut_line(&rest), &line);
    if (rule != LT_CAUSE_NONE) {
        return refuse(p, rule, cause);
    }
    req->method = lt_method_find(line.method);
    req->target = line.target;
    req->version = line.version;
    if (req->method == LT_METHOD_UNKNOWN) {
        return refuse(p, LT_CAUSE_METHOD_UNKNOWN, cause);
    }
    if (req->method == LT_METHOD_CONNECT) {
        return refuse(p, LT_CAUSE_CONNECT_REFUSED, cause);
    }
    if (line.target.len > limits->target) {
        return refuse(p, LT_CAUSE_TARGET_TOO_LONG, cause);
    }
    bool parsed = parse_head(p, text, &req->headers);
    if (!parsed) {
        rule = explain(p, text, &req->headers);
    }
    if (rule == LT_CAUSE_NONE) {
        rule = lt_framing_request(req);
    }
    if (rule == LT_CAUSE_NONE) {
        rule = compare(p, parsed, req->body, req->content_length);
    }
    if (rule == LT_CAUSE_NONE && !(p->url.p == line.target.p && p->url.len == line.target.len)) {
        rule = LT_CAUSE_REQUEST_LINE_INVALID;
    }
    if (rule != LT_CAUSE_NONE) {
        return refuse(p, rule, cause);
    }
    start_body(p, req->body, req->content_length);
    return LT_OK;
}

enum lt_err lt_h1_response(struct lt_h1 *p, struct lt_arena *arena, char *head, size_t len,
                           const struct lt_h1_limits *limits, enum lt_method method,
                           struct lt_response *res, enum lt_cause *cause)
{
    struct lt_str text = lt_str(head, len), rest = text;
    start_head(p, HTTP_RESPONSE, limits);
    memset(res, 0, sizeof(*res));
    lt_headers_init(&res->headers, arena, limits->headers + LT_H1_SPARE);

    enum lt_cause rule = lt_framing_status_line(cut_line(&rest), &res->version, &res->status);
    if (rule != LT_CAUSE_NONE) {
        return refuse(p, rule, cause);
    }
    bool parsed = parse_head(p, text, &res->headers);
    if (!parsed) {
        rule = explain(p, text, &res->headers);
    }
    if (rule == LT_CAUSE_NONE) {
        rule = lt_framing_response(res, method);
    }
    if (rule == LT_CAUSE_NONE && !(parsed && res->body == LT_BODY_NONE)) {
        rule = compare(p, parsed, res->body, res->content_length);
    }
    if (rule != LT_CAUSE_NONE) {
        return refuse(p, rule, cause);
    }
    start_body(p, res->body, res->content_length);
    return LT_OK;
}

/* Bodies. -----------------------------------------------------------------------------------------
 */

static enum lt_h1_event fault(struct lt_h1 *p, enum lt_cause *cause)
{
    if (p->rule == LT_CAUSE_NONE) {
        p->rule = p->trailers ? LT_CAUSE_TRAILER_INVALID : LT_CAUSE_CHUNK_INVALID;
    }
    *cause = p->response ? lt_framing_server_cause(p->rule) : p->rule;
    return LT_H1_FAULT;
}

/* Lines end with CRLF, none is a fold, no control bytes; names and values are looked at elsewhere.
 */
static bool line_bytes_ok(struct lt_h1 *p, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)data[i];
        bool line_end = c == '\r' || c == '\n';
        if ((p->last == '\r') != (c == '\n') || (p->last == '\n' && lt_char_is_space((char)c)) ||
            (c < 0x20 && !line_end && c != '\t') || c == 0x7f || (c > 0x7f && !p->trailers)) {
            return false;
        }
        p->last = (char)c;
    }
    return true;
}

/* Chunk lines and trailers are bounded: neither a line nor all of them together can go on for ever.
 */
static bool framing_is_bounded(struct lt_h1 *p, size_t n)
{
    p->framing_bytes += n;
    if (p->trailers) {
        return p->framing_bytes <= p->limits.head;
    }
    return p->framing_bytes <= CHUNK_LINE_MAX && p->extension_bytes <= EXTENSION_BYTES_MAX;
}

static void end_chunk_line(struct lt_h1 *p)
{
    if (p->framing_bytes > CHUNK_LINE_PLAIN) {
        p->extension_bytes += p->framing_bytes - CHUNK_LINE_PLAIN;
    }
    p->framing_bytes = 0;
}

/* Reads what is not data: chunk lines and trailers. False: it breaks a rule. */
static bool read_framing(struct lt_h1 *p, const char *data, size_t len, size_t *taken)
{
    bool in_trailers = p->trailers;
    llhttp_errno_t err = llhttp_execute(&p->llhttp, data, len);
    if (err != HPE_OK && err != HPE_PAUSED) {
        return false;
    }
    *taken = err == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&p->llhttp) - data);
    /* on_chunk_header may have moved p to the trailers; these bytes came before. */
    bool now_in_trailers = p->trailers;
    p->trailers = in_trailers;
    bool ok = line_bytes_ok(p, data, *taken) && framing_is_bounded(p, *taken);
    p->trailers = now_in_trailers || in_trailers;
    if (err == HPE_PAUSED) {
        llhttp_resume(&p->llhttp);
        end_chunk_line(p);
    }
    return ok && p->left <= LT_FRAMING_LENGTH_MAX && (p->end || err == HPE_OK || *taken > 0);
}

static enum lt_h1_event read_chunked(struct lt_h1 *p, const char *data, size_t len, size_t *used,
                                     struct lt_str *piece, enum lt_cause *cause)
{
    while (!p->end) {
        if (*used == len) {
            return LT_H1_MORE;
        }
        if (p->left == 0) {
            size_t taken;
            if (!read_framing(p, data + *used, len - *used, &taken)) {
                return fault(p, cause);
            }
            *used += taken;
            continue;
        }
        size_t n = (size_t)lt_min((uint64_t)(len - *used), p->left);
        p->piece = LT_STR_NONE;
        if (llhttp_execute(&p->llhttp, data + *used, n) != HPE_OK || p->piece.len != n) {
            return fault(p, cause);
        }
        p->left -= n;
        p->last = 0;
        *used += n;
        *piece = p->piece;
        return LT_H1_DATA;
    }
    return LT_H1_END;
}

static enum lt_h1_event read_plain(struct lt_h1 *p, const char *data, size_t len, size_t *used,
                                   struct lt_str *piece)
{
    size_t n = len;
    if (p->body != LT_BODY_CLOSE) {
        if (p->left == 0) {
            return LT_H1_END;
        }
        n = (size_t)lt_min((uint64_t)len, p->left);
        p->left -= n;
    }
    *used = n;
    *piece = lt_str(data, n);
    return n > 0 ? LT_H1_DATA : LT_H1_MORE;
}

enum lt_h1_event lt_h1_body(struct lt_h1 *p, const char *data, size_t len, size_t *used,
                            struct lt_str *piece, struct lt_headers *trailers, enum lt_cause *cause)
{
    *used = 0;
    if (p->body != LT_BODY_CHUNKED) {
        return read_plain(p, data, len, used, piece);
    }
    if (p->rule != LT_CAUSE_NONE) {
        return fault(p, cause);
    }
    p->headers = trailers;
    enum lt_h1_event event = read_chunked(p, data, len, used, piece, cause);
    p->headers = NULL;
    return event;
}

bool lt_h1_eof_ends(const struct lt_h1 *p)
{
    return p->body == LT_BODY_CLOSE;
}
