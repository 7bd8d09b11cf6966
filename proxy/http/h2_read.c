/* SPDX-License-Identifier: Apache-2.0 */
/* Decoded fields of HTTP/2 to heads. Whoever decodes may have judged them already (nghttp2 does);
 * nothing here relies on that. No state; any thread. */
#include "http/h2.h"

#include "http/framing.h"
#include "http/uri.h"

#define FIELD_OVERHEAD 4u /* ": " and CRLF: what a field takes in HTTP/1 */
#define COOKIE_CAP_FIRST 256u

static const struct lt_str pseudo_names[LT_H2_PSEUDO_COUNT] = {
    [LT_H2_METHOD] = LT_STR_INIT(":method"),       [LT_H2_SCHEME] = LT_STR_INIT(":scheme"),
    [LT_H2_AUTHORITY] = LT_STR_INIT(":authority"), [LT_H2_PATH] = LT_STR_INIT(":path"),
    [LT_H2_PROTOCOL] = LT_STR_INIT(":protocol"),   [LT_H2_STATUS] = LT_STR_INIT(":status"),
};

void lt_h2_begin(struct lt_h2_block *b, struct lt_headers *headers,
                 const struct lt_h2_limits *limits)
{
    *b = (struct lt_h2_block){.headers = headers, .limits = *limits};
}

/* ---- Fields. ---- */

static bool copy(struct lt_h2_block *b, struct lt_str s, struct lt_str *out)
{
    char *p = lt_arena_chars(b->headers->arena, s.len);
    if (p == NULL) {
        return false;
    }
    if (s.len > 0) {
        memcpy(p, s.p, s.len);
    }
    *out = lt_str(p, s.len);
    return true;
}

/* Known ones only, each once, before all other fields (RFC 9113 §8.3). */
static enum lt_cause add_pseudo(struct lt_h2_block *b, struct lt_str name, struct lt_str value)
{
    unsigned i = 0;
    while (i < LT_H2_PSEUDO_COUNT && !lt_str_eq(name, pseudo_names[i])) {
        i++;
    }
    if (i == LT_H2_PSEUDO_COUNT || b->regular || b->pseudo[i].p != NULL ||
        !lt_header_value_ok(value)) {
        return LT_CAUSE_HEADER_INVALID;
    }
    if (i == LT_H2_PATH && value.len > b->limits.target) {
        return LT_CAUSE_TARGET_TOO_LONG;
    }
    return copy(b, value, &b->pseudo[i]) ? LT_CAUSE_NONE : LT_CAUSE_OUT_OF_MEMORY;
}

static bool has_upper_case(struct lt_str s)
{
    bool upper = false;
    for (size_t i = 0; i < s.len; i++) {
        upper |= s.p[i] >= 'A' && s.p[i] <= 'Z';
    }
    return upper;
}

/* A client may send each cookie as a field of its own: servers of HTTP/1 want one (§8.2.3). */
static enum lt_cause join_cookie(struct lt_h2_block *b, struct lt_str value)
{
    size_t len = b->cookie_len + 2 + value.len;
    if (len > b->cookie_cap) {
        size_t cap = lt_max(lt_max(b->cookie_cap * 2, len), (size_t)COOKIE_CAP_FIRST);
        char *p = lt_arena_chars(b->headers->arena, cap);
        if (p == NULL) {
            return LT_CAUSE_OUT_OF_MEMORY;
        }
        memcpy(p, b->headers->v[b->cookie_at].value.p, b->cookie_len);
        b->cookie = p;
        b->cookie_cap = cap;
    }
    memcpy(b->cookie + b->cookie_len, "; ", 2);
    memcpy(b->cookie + b->cookie_len + 2, value.p, value.len);
    b->cookie_len = len;
    b->headers->v[b->cookie_at].value = lt_str(b->cookie, len);
    return LT_CAUSE_NONE;
}

static enum lt_cause add_field(struct lt_h2_block *b, struct lt_str name, struct lt_str value)
{
    enum lt_header_id id = lt_header_find_id(name);
    enum lt_cause rule = lt_framing_field(id, name, value);
    if (rule != LT_CAUSE_NONE) {
        return rule;
    }
    bool padded =
        value.len > 0 && (lt_char_is_space(value.p[0]) || lt_char_is_space(value.p[value.len - 1]));
    if (has_upper_case(name) || padded) {
        return LT_CAUSE_HEADER_INVALID; /* §8.2.1 */
    }
    if (id == LT_HEADER_COOKIE && b->cookie_len > 0 && value.len > 0) {
        return join_cookie(b, value);
    }
    if (++b->fields > b->limits.headers) {
        return LT_CAUSE_HEAD_TOO_LARGE;
    }
    if (id != LT_HEADER_OTHER) {
        name = lt_header_name(id);
    } else if (!copy(b, name, &name)) {
        return LT_CAUSE_OUT_OF_MEMORY;
    }
    if (!copy(b, value, &value)) {
        return LT_CAUSE_OUT_OF_MEMORY;
    }
    if (id == LT_HEADER_COOKIE && value.len > 0) {
        b->cookie_at = b->headers->n;
        b->cookie_len = value.len;
    }
    return lt_headers_add_as(b->headers, id, name, value) == LT_OK ? LT_CAUSE_NONE
                                                                   : LT_CAUSE_OUT_OF_MEMORY;
}

static void note_broken(struct lt_h2_block *b, struct lt_str name)
{
    if (!copy(b, lt_str_sub(name, 0, lt_min(name.len, (size_t)LT_H2_FIELD_SHOWN)), &b->broken)) {
        b->broken = LT_STR_NONE;
    }
}

void lt_h2_field_invalid(struct lt_h2_block *b, struct lt_str name)
{
    if (b->rule == LT_CAUSE_NONE) {
        b->rule = LT_CAUSE_HEADER_INVALID;
        note_broken(b, name);
    }
}

void lt_h2_field(struct lt_h2_block *b, struct lt_str name, struct lt_str value)
{
    size_t size = name.len + value.len + FIELD_OVERHEAD;
    b->size += size;
    if (b->rule != LT_CAUSE_NONE) {
        return;
    }
    if (b->size > b->limits.head) {
        b->rule = LT_CAUSE_HEAD_TOO_LARGE;
    } else if (name.len > 0 && name.p[0] == ':') {
        b->rule = add_pseudo(b, name, value);
    } else {
        b->regular = true;
        b->rule = add_field(b, name, value);
    }
    if (b->rule != LT_CAUSE_NONE) {
        b->broken_size = size;
        note_broken(b, name);
    }
}

/* ---- Requests. ---- */

static bool has(const struct lt_h2_block *b, enum lt_h2_pseudo which)
{
    return b->pseudo[which].p != NULL;
}

/* What has to be there for the method, and nothing else (RFC 9113 §8.3.1, §8.5, RFC 8441 §4). */
static enum lt_cause judge_pseudo(const struct lt_h2_block *b, bool connect)
{
    bool extended = connect && has(b, LT_H2_PROTOCOL);
    if (!has(b, LT_H2_METHOD) || has(b, LT_H2_STATUS) || (has(b, LT_H2_PROTOCOL) && !connect)) {
        return LT_CAUSE_HEADER_INVALID;
    }
    if (connect && !extended) {
        bool plain = has(b, LT_H2_AUTHORITY) && !has(b, LT_H2_SCHEME) && !has(b, LT_H2_PATH);
        return plain ? LT_CAUSE_CONNECT_REFUSED : LT_CAUSE_HEADER_INVALID;
    }
    if (!has(b, LT_H2_SCHEME) || !has(b, LT_H2_PATH) || (extended && !has(b, LT_H2_AUTHORITY))) {
        return LT_CAUSE_HEADER_INVALID;
    }
    struct lt_str scheme = b->pseudo[LT_H2_SCHEME];
    if (!lt_str_eq_nocase(scheme, LT_STR("http")) && !lt_str_eq_nocase(scheme, LT_STR("https"))) {
        return LT_CAUSE_TARGET_INVALID;
    }
    return LT_CAUSE_NONE;
}

/* :path is origin-form, or "*" for OPTIONS: the gate, which knows a third form, must not see it. */
static enum lt_cause judge_path(struct lt_str path, enum lt_method method)
{
    bool ok = path.len > 0 &&
              (path.p[0] == '/' || (method == LT_METHOD_OPTIONS && lt_str_eq_c(path, "*")));
    return ok ? LT_CAUSE_NONE : LT_CAUSE_TARGET_INVALID;
}

/* :authority takes the place of Host, which has to say the same if it is there (§8.3.1). */
static enum lt_cause set_host(struct lt_h2_block *b)
{
    struct lt_headers *headers = b->headers;
    struct lt_str authority = b->pseudo[LT_H2_AUTHORITY];
    if (authority.p == NULL) {
        return LT_CAUSE_NONE; /* the gate wants a Host then */
    }
    unsigned hosts = 0;
    for (unsigned i = 0; i < headers->n; i++) {
        if (headers->v[i].id == LT_HEADER_HOST) {
            hosts++;
            if (!lt_framing_same_authority(headers->v[i].value, authority,
                                           b->pseudo[LT_H2_SCHEME])) {
                return LT_CAUSE_HOST_INVALID;
            }
        }
    }
    if (hosts > 1) {
        return LT_CAUSE_HOST_INVALID;
    }
    return lt_headers_set_id(headers, LT_HEADER_HOST, authority) == LT_OK ? LT_CAUSE_NONE
                                                                          : LT_CAUSE_OUT_OF_MEMORY;
}

#define KEY_BYTES 16u /* of a WebSocket key, before base64 */

/* What a server of HTTP/1 wants of a request for a WebSocket and HTTP/2 knows no more (RFC 6455
 * §4.1, RFC 8441 §5). */
static bool add_websocket_key(struct lt_headers *headers, struct lt_rand *rand)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *p = lt_arena_chars(headers->arena, 24), *at = p;
    if (p == NULL) {
        return false;
    }
    for (unsigned i = 0; i < KEY_BYTES; i += 3) {
        uint64_t bits = lt_rand_u64(rand);
        for (unsigned j = 0; j < 4; j++) {
            *at++ = digits[bits >> (6 * j) & 63];
        }
    }
    /* 16 bytes are 21 digits, of the 22nd two bits, and padding. */
    p[21] = digits[((unsigned char)p[21] & 3u) << 4];
    memcpy(p + 22, "==", 2);
    lt_headers_remove_name(headers, LT_STR("sec-websocket-key"));
    return lt_headers_add(headers, LT_STR("sec-websocket-key"), lt_str(p, 24)) == LT_OK;
}

/* An extended CONNECT as what it means in HTTP/1 (RFC 8441 §4). */
static enum lt_cause set_upgrade(struct lt_h2_block *b, struct lt_rand *rand,
                                 struct lt_request *req)
{
    struct lt_str protocol = b->pseudo[LT_H2_PROTOCOL];
    if (!lt_header_name_ok(protocol)) {
        return LT_CAUSE_HEADER_INVALID;
    }
    req->upgrade = req->must_switch = true;
    if (lt_headers_add_id(b->headers, LT_HEADER_UPGRADE, protocol) != LT_OK) {
        return LT_CAUSE_OUT_OF_MEMORY;
    }
    bool websocket = lt_str_eq_nocase(protocol, LT_STR("websocket"));
    return !websocket || add_websocket_key(b->headers, rand) ? LT_CAUSE_NONE
                                                             : LT_CAUSE_OUT_OF_MEMORY;
}

static enum lt_cause judge_request(struct lt_h2_block *b, bool ended, struct lt_rand *rand,
                                   struct lt_request *req)
{
    enum lt_method method = lt_method_find(b->pseudo[LT_H2_METHOD]);
    bool connect = method == LT_METHOD_CONNECT;
    enum lt_cause cause = judge_pseudo(b, connect);
    if (cause != LT_CAUSE_NONE) {
        return cause;
    }
    if (method == LT_METHOD_UNKNOWN) {
        return lt_header_name_ok(b->pseudo[LT_H2_METHOD]) ? LT_CAUSE_METHOD_UNKNOWN
                                                          : LT_CAUSE_HEADER_INVALID;
    }
    req->method = connect ? LT_METHOD_GET : method;
    req->target = b->pseudo[LT_H2_PATH];
    req->version = 20;
    req->body = ended || connect ? LT_BODY_NONE : LT_BODY_CHUNKED;
    cause = judge_path(req->target, method);
    if (cause == LT_CAUSE_NONE) {
        cause = set_host(b);
    }
    if (cause == LT_CAUSE_NONE) {
        cause = lt_framing_request(req);
    }
    if (cause == LT_CAUSE_NONE && ended && req->content_length > 0) {
        cause = LT_CAUSE_CONTENT_LENGTH_INVALID; /* §8.1.1 */
    }
    if (cause != LT_CAUSE_NONE || !connect) {
        return cause;
    }
    return req->body == LT_BODY_NONE ? set_upgrade(b, rand, req) : LT_CAUSE_UPGRADE_BODY;
}

enum lt_cause lt_h2_request(struct lt_h2_block *b, bool ended, struct lt_rand *rand,
                            struct lt_request *req)
{
    if (b->rule == LT_CAUSE_NONE) {
        b->rule = judge_request(b, ended, rand, req);
    }
    return b->rule;
}

/* ---- Responses and trailers. ---- */

static enum lt_cause judge_response(struct lt_h2_block *b, bool ended, enum lt_method method,
                                    struct lt_response *res)
{
    uint64_t status;
    for (unsigned i = 0; i < LT_H2_PSEUDO_COUNT; i++) {
        if (has(b, (enum lt_h2_pseudo)i) != (i == LT_H2_STATUS)) {
            return LT_CAUSE_HEADER_INVALID;
        }
    }
    /* 101 is not known here (§8.6). */
    if (b->pseudo[LT_H2_STATUS].len != 3 || !lt_str_to_u64(b->pseudo[LT_H2_STATUS], &status) ||
        status < 100 || status > 599 || status == 101) {
        return LT_CAUSE_REQUEST_LINE_INVALID;
    }
    res->status = (unsigned)status;
    res->version = 20;
    enum lt_cause cause = lt_framing_response(res, method);
    if (cause != LT_CAUSE_NONE) {
        return cause;
    }
    if (ended && res->status < 200) {
        return LT_CAUSE_HEADER_INVALID; /* no final head can follow (§8.1) */
    }
    if (ended && res->body == LT_BODY_LENGTH && res->content_length > 0) {
        return LT_CAUSE_CONTENT_LENGTH_INVALID; /* §8.1.1 */
    }
    if (ended) {
        res->body = LT_BODY_NONE;
    }
    return LT_CAUSE_NONE;
}

enum lt_cause lt_h2_response(struct lt_h2_block *b, bool ended, enum lt_method method,
                             struct lt_response *res)
{
    if (b->rule == LT_CAUSE_NONE) {
        b->rule = judge_response(b, ended, method, res);
    }
    return lt_framing_server_cause(b->rule);
}

/* Framing can't change here. */
static bool is_connection_field(enum lt_header_id id)
{
    return id == LT_HEADER_CONNECTION || id == LT_HEADER_KEEP_ALIVE ||
           id == LT_HEADER_PROXY_CONNECTION || id == LT_HEADER_TRANSFER_ENCODING ||
           id == LT_HEADER_UPGRADE;
}

enum lt_cause lt_h2_trailers(struct lt_h2_block *b)
{
    for (unsigned i = 0; i < LT_H2_PSEUDO_COUNT; i++) {
        if (has(b, (enum lt_h2_pseudo)i)) {
            b->rule = LT_CAUSE_TRAILER_INVALID;
        }
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < b->headers->n; i++) {
        const struct lt_header *h = &b->headers->v[i];
        if (is_connection_field(h->id)) {
            b->rule = LT_CAUSE_TRAILER_INVALID;
        }
        /* As with HTTP/1: nothing known by a flag, no name that is read as another one. */
        if (lt_header_flags(h->id) == 0 && lt_str_chr(h->name, '_', 0) == SIZE_MAX) {
            b->headers->v[kept++] = *h;
        }
    }
    b->headers->n = kept;
    if (b->rule != LT_CAUSE_NONE && b->rule != LT_CAUSE_OUT_OF_MEMORY) {
        b->rule = LT_CAUSE_TRAILER_INVALID;
    }
    return b->rule;
}
