/* SPDX-License-Identifier: Apache-2.0 */
/* What a gateway changes in heads that pass. The list for a server is built in one pass over the
 * client's: each field is dropped, kept, or gathered to be joined with ours. One thread per list.
 */
#include "http/hop.h"

#include "base/buf.h"
#include "http/uri.h"

#define ADDED_MAX (12u + LT_HOP_TOLD_MAX) /* fields that lt_hop_request adds at most */
#define REQUEST_ID_MAX 128u               /* bytes of a peer's X-Request-Id */
#define REQUEST_ID_DIGITS 32u
#define TRACEPARENT_LEN 55u /* 00-<32 digits>-<16 digits>-<2 digits> */

/* Fields that Connection names. */
struct named {
    uint64_t ids[(LT_HEADER_COUNT + 63) / 64]; /* known ones, as bits */
    bool others;                               /* unknown ones too */
};

static bool is_known_named(const struct named *named, enum lt_header_id id)
{
    return (named->ids[id / 64] >> (id % 64)) & 1;
}

static void note_named(struct named *named, struct lt_str name)
{
    enum lt_header_id id = lt_header_find_id(name);
    if (id != LT_HEADER_OTHER) {
        if ((lt_header_flags(id) & LT_HEADER_F_KEEP) == 0) {
            named->ids[id / 64] |= UINT64_C(1) << (id % 64);
        }
    } else if (!lt_str_eq_nocase(name, LT_STR("close"))) {
        named->others = true;
    }
}

static void read_connection(const struct lt_headers *headers, struct named *named)
{
    *named = (struct named){.others = false};
    for (unsigned i = 0; i < headers->n; i++) {
        struct lt_str rest = headers->v[i].value, name;
        while (headers->v[i].id == LT_HEADER_CONNECTION && lt_str_next(&rest, ',', &name)) {
            note_named(named, name);
        }
    }
}

/* The gate bounds the Connection fields, so that looking through them for each unknown name is
 * cheap enough. */
static bool is_hop(const struct lt_headers *headers, const struct named *named,
                   const struct lt_header *h)
{
    if (h->id == LT_HEADER_OTHER) {
        return named->others && lt_headers_has_token(headers, LT_HEADER_CONNECTION, h->name);
    }
    return (lt_header_flags(h->id) & LT_HEADER_F_HOP) != 0 || is_known_named(named, h->id);
}

void lt_hop_strip(struct lt_headers *headers)
{
    struct named named;
    read_connection(headers, &named);
    /* Connection fields are looked at until the end: what is kept moves up only in a second pass.
     */
    unsigned kept = 0;
    if (named.others) {
        for (unsigned i = 0; i < headers->n; i++) {
            if (headers->v[i].id == LT_HEADER_OTHER && is_hop(headers, &named, &headers->v[i])) {
                headers->v[i].id = LT_HEADER_COUNT; /* marks it */
            }
        }
        named.others = false;
    }
    for (unsigned i = 0; i < headers->n; i++) {
        if (headers->v[i].id != LT_HEADER_COUNT && !is_hop(headers, &named, &headers->v[i])) {
            headers->v[kept++] = headers->v[i];
        }
    }
    headers->n = kept;
}

static bool is_claim(const struct lt_header *h)
{
    static const struct lt_str prefix = LT_STR_INIT("x-forwarded-");
    if (h->id != LT_HEADER_OTHER) {
        return (lt_header_flags(h->id) & (LT_HEADER_F_OURS | LT_HEADER_F_CLAIM)) != 0;
    }
    return h->name.len > prefix.len && lt_char_lower(h->name.p[0]) == 'x' &&
           lt_str_eq_nocase(lt_str(h->name.p, prefix.len), prefix);
}

static bool is_sealed(const struct lt_header *h)
{
    return h->id != LT_HEADER_OTHER && (lt_header_flags(h->id) & LT_HEADER_F_SEALED) != 0;
}

void lt_hop_distrust(struct lt_headers *headers, bool trusted)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < headers->n; i++) {
        if (!is_sealed(&headers->v[i]) && (trusted || !is_claim(&headers->v[i]))) {
            if (kept < i) {
                headers->v[kept] = headers->v[i];
            }
            kept++;
        }
    }
    headers->n = kept;
}

/* Who the client is. ------------------------------------------------------------------------------
 */

bool lt_hop_trusts(const struct lt_cidr *trust, size_t n, const struct lt_addr *addr)
{
    for (size_t i = 0; i < n; i++) {
        if (lt_cidr_has(&trust[i], addr)) {
            return true;
        }
    }
    return false;
}

/* One element of X-Forwarded-For: an address, some write a port after it. */
static bool parse_hop(struct lt_str s, struct lt_addr *addr)
{
    if (lt_addr_parse_ip(s, addr) == LT_OK) {
        return true;
    }
    struct lt_str host;
    unsigned port;
    if (!lt_authority_parse(s, &host, &port)) {
        return false;
    }
    if (host.p[0] == '[') {
        host = lt_str_sub(host, 1, host.len - 1);
    }
    return lt_addr_parse_ip(host, addr) == LT_OK;
}

/* Cuts the last element off the comma-separated list. False when it is used up. */
static bool cut_last(struct lt_str *list, struct lt_str *element)
{
    if (list->p == NULL) {
        return false;
    }
    size_t comma = lt_str_rchr(*list, ',');
    if (comma == SIZE_MAX) {
        *element = lt_str_trim(*list);
        *list = LT_STR_NONE;
    } else {
        *element = lt_str_trim(lt_str_sub(*list, comma + 1, list->len));
        list->len = comma;
    }
    return true;
}

/* From the nearest hop to the farthest: *addr is a trusted one and becomes the one before it, until
 * one isn't trusted or isn't an address. */
static void walk_back(const struct lt_headers *headers, const struct lt_cidr *trust, size_t n,
                      struct lt_addr *addr)
{
    for (unsigned i = headers->n; i > 0; i--) {
        struct lt_str list = headers->v[i - 1].value, element;
        while (headers->v[i - 1].id == LT_HEADER_X_FORWARDED_FOR && cut_last(&list, &element)) {
            struct lt_addr before;
            if (!parse_hop(element, &before)) {
                return;
            }
            *addr = before;
            if (!lt_hop_trusts(trust, n, addr)) {
                return;
            }
        }
    }
}

/* The value of the field if there is exactly one. */
static struct lt_str single_value(const struct lt_headers *headers, enum lt_header_id id)
{
    struct lt_str value = LT_STR_NONE;
    unsigned count = 0;
    for (unsigned i = 0; i < headers->n; i++) {
        if (headers->v[i].id == id) {
            value = headers->v[i].value;
            count++;
        }
    }
    return count == 1 ? value : LT_STR_NONE;
}

/* What a trusted peer says about the scheme and the port that the client used. */
static void believe(const struct lt_headers *headers, struct lt_client_info *out)
{
    struct lt_str proto = single_value(headers, LT_HEADER_X_FORWARDED_PROTO);
    uint64_t port;
    if (lt_str_eq_nocase(proto, LT_STR("https"))) {
        out->scheme = LT_STR("https");
        out->port = 443;
    } else if (lt_str_eq_nocase(proto, LT_STR("http"))) {
        out->scheme = LT_STR("http");
        out->port = 80;
    }
    if (lt_str_to_u64(single_value(headers, LT_HEADER_X_FORWARDED_PORT), &port) && port > 0 &&
        port <= 65535) {
        out->port = (unsigned)port;
    }
}

enum lt_err lt_hop_client(struct lt_arena *arena, const struct lt_headers *headers,
                          const struct lt_addr *peer, bool tls, unsigned local_port,
                          const struct lt_cidr *trust, size_t n_trust, struct lt_client_info *out)
{
    struct lt_addr client = *peer;
    *out = (struct lt_client_info){
        .peer = *peer,
        .scheme = tls ? LT_STR("https") : LT_STR("http"),
        .port = local_port,
        .trusted = lt_hop_trusts(trust, n_trust, peer),
    };
    if (out->trusted) {
        walk_back(headers, trust, n_trust, &client);
        believe(headers, out);
    }
    char text[LT_ADDR_TEXT_MAX];
    size_t len = lt_addr_print_ip(&client, text);
    return lt_arena_dup(arena, lt_str(text, len), &out->ip) ? LT_OK : LT_ERR_NOMEM;
}

/* Ids. --------------------------------------------------------------------------------------------
 */

static bool is_hex_lower(struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!lt_char_is_digit(s.p[i]) && !(s.p[i] >= 'a' && s.p[i] <= 'f')) {
            return false;
        }
    }
    return true;
}

static bool is_zeros(struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] != '0') {
            return false;
        }
    }
    return true;
}

/* A traceparent of version 00, or of a later one, which starts the same way (W3C Trace Context
 * §3.2, §4.3). */
static bool traceparent_ok(struct lt_str s)
{
    if (s.len < TRACEPARENT_LEN || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-') {
        return false;
    }
    struct lt_str version = lt_str(s.p, 2), trace = lt_str(s.p + 3, 32);
    struct lt_str parent = lt_str(s.p + 36, 16), flags = lt_str(s.p + 53, 2);
    if (s.len > TRACEPARENT_LEN && (is_zeros(version) || s.p[TRACEPARENT_LEN] != '-')) {
        return false;
    }
    return is_hex_lower(version) && !lt_str_eq_c(version, "ff") && is_hex_lower(trace) &&
           !is_zeros(trace) && is_hex_lower(parent) && !is_zeros(parent) && is_hex_lower(flags);
}

bool lt_hop_request_id_ok(struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == ',') {
            return false;
        }
    }
    return s.len > 0 && s.len <= REQUEST_ID_MAX;
}

/* n random digits, not all zero. */
static void put_id(struct lt_rand *rand, char *out, size_t n)
{
    do {
        lt_rand_hex(rand, out, n);
    } while (is_zeros(lt_str(out, n)));
}

enum lt_err lt_hop_ids(struct lt_arena *arena, struct lt_rand *rand,
                       const struct lt_headers *headers, bool trusted, struct lt_hop_ids *out)
{
    char *p = lt_arena_chars(arena, TRACEPARENT_LEN + REQUEST_ID_DIGITS);
    if (p == NULL) {
        return LT_ERR_NOMEM;
    }
    struct lt_str parent = single_value(headers, LT_HEADER_TRACEPARENT);
    out->continued = traceparent_ok(parent);
    memcpy(p, "00-", 3);
    if (out->continued) {
        memcpy(p + 3, parent.p + 3, 32);
        /* Of a later version only the sampled bit is known. */
        bool sampled = (lt_char_hex(parent.p[54]) & 1) != 0;
        bool same = is_zeros(lt_str(parent.p, 2));
        memcpy(p + 53, same ? parent.p + 53 : sampled ? "01" : "00", 2);
    } else {
        put_id(rand, p + 3, 32);
        memcpy(p + 53, "01", 2); /* "not sampled" would switch tracing off in the application */
    }
    p[35] = '-';
    put_id(rand, p + 36, 16);
    p[52] = '-';
    out->traceparent = lt_str(p, TRACEPARENT_LEN);
    out->trace_id = lt_str(p + 3, 32);

    struct lt_str id = trusted ? single_value(headers, LT_HEADER_X_REQUEST_ID) : LT_STR_NONE;
    if (!lt_hop_request_id_ok(id)) {
        id = lt_str(p + TRACEPARENT_LEN, REQUEST_ID_DIGITS);
        lt_rand_hex(rand, p + TRACEPARENT_LEN, REQUEST_ID_DIGITS);
    }
    out->request_id = id;
    return LT_OK;
}

/* Requests. ---------------------------------------------------------------------------------------
 */

static struct lt_str via_value(unsigned version)
{
    if (version >= 20) {
        return LT_STR("2.0 lintel");
    }
    return version == 10 ? LT_STR("1.0 lintel") : LT_STR("1.1 lintel");
}

/* A field whose values from trusted peers are continued by one element of ours. */
struct joined {
    enum lt_header_id id;
    size_t bytes;        /* of the values that came, ", " after each included */
    struct lt_str value; /* of the last one */
    unsigned count;
};

static void note_joined(struct joined *j, struct lt_str value)
{
    j->bytes += value.len + 2;
    j->value = value;
    j->count++;
}

/* All values that came, then ours, as one. Without any nothing is copied. */
static bool join(struct lt_arena *arena, const struct lt_headers *headers, const struct joined *j,
                 struct lt_str ours, struct lt_str *out)
{
    *out = ours;
    if (j->count == 0) {
        return true;
    }
    char *p = lt_arena_chars(arena, j->bytes + ours.len), *at = p;
    if (p == NULL) {
        return false;
    }
    for (unsigned i = 0; i < headers->n; i++) {
        struct lt_str value = headers->v[i].value;
        if (headers->v[i].id == j->id && value.len > 0) {
            memcpy(at, value.p, value.len);
            memcpy(at + value.len, ", ", 2);
            at += value.len + 2;
        }
    }
    memcpy(at, ours.p, ours.len);
    *out = lt_str(p, (size_t)(at - p) + ours.len);
    return true;
}

/* An address of a chain as a node of Forwarded (RFC 7239 §4, §6): what isn't a token is quoted. */
static void put_node(struct lt_buf *buf, struct lt_str text)
{
    struct lt_addr addr;
    bool ip = lt_addr_parse_ip(text, &addr) == LT_OK;
    lt_buf_str(buf, LT_STR("for="));
    if (ip && lt_str_chr(text, ':', 0) == SIZE_MAX) {
        lt_buf_str(buf, text);
    } else if (ip) {
        lt_buf_printf(buf, "\"[%.*s]\"", LT_STR_ARG(text));
    } else if (parse_hop(text, &addr)) {
        lt_buf_printf(buf, "\"%.*s\"", LT_STR_ARG(text)); /* with a port */
    } else {
        lt_buf_str(buf, LT_STR("unknown"));
    }
}

static void put_claims(struct lt_buf *buf, struct lt_str scheme, struct lt_str host)
{
    lt_buf_printf(buf, ";proto=%.*s", LT_STR_ARG(scheme));
    if (host.len > 0) {
        const char *quote = lt_header_name_ok(host) ? "" : "\"";
        lt_buf_printf(buf, ";host=%s%.*s%s", quote, LT_STR_ARG(host), quote);
    }
}

#define NODE_EXTRA 20u   /* of an element beside its text, "unknown" included */
#define CLAIMS_EXTRA 20u /* beside scheme and host */

/* Forwarded (RFC 7239) says what X-Forwarded-For, -Proto and -Host do. Applications go by its first
 * or by its last element: both tell scheme and host. */
static bool forwarded_value(struct lt_arena *arena, struct lt_str chain, struct lt_str scheme,
                            struct lt_str host, struct lt_str *out)
{
    size_t n = 1;
    for (size_t i = 0; i < chain.len; i++) {
        n += chain.p[i] == ',';
    }
    size_t size = chain.len + n * NODE_EXTRA + 2 * (scheme.len + host.len + CLAIMS_EXTRA);
    char *p = lt_arena_chars(arena, size);
    if (p == NULL) {
        return false;
    }
    struct lt_buf buf;
    struct lt_str rest = chain, element;
    bool more = lt_str_next(&rest, ',', &element), first = true;
    lt_buf_init_fixed(&buf, p, size);
    do {
        struct lt_str node = more ? lt_str_trim(element) : LT_STR_NONE;
        more = more && lt_str_next(&rest, ',', &element);
        lt_buf_str(&buf, first ? LT_STR_NONE : LT_STR(", "));
        put_node(&buf, node);
        if (first || !more) {
            put_claims(&buf, scheme, host);
        }
        first = false;
    } while (more);
    *out = lt_buf_view(&buf);
    return !buf.truncated;
}

static bool decimal(struct lt_arena *arena, uint64_t v, struct lt_str *out)
{
    char digits[20], *p = digits + sizeof(digits);
    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    size_t len = (size_t)(digits + sizeof(digits) - p);
    char *copy = lt_arena_chars(arena, len);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, p, len);
    *out = lt_str(copy, len);
    return true;
}

enum lt_err lt_hop_count(struct lt_request *req, bool *may)
{
    uint64_t left;
    struct lt_str text = single_value(&req->headers, LT_HEADER_MAX_FORWARDS);
    *may = true;
    if ((req->method != LT_METHOD_TRACE && req->method != LT_METHOD_OPTIONS) ||
        !lt_str_to_u64(text, &left)) {
        return LT_OK;
    }
    *may = left > 0;
    return left == 0 || (decimal(req->headers.arena, left - 1, &text) &&
                         lt_headers_set_id(&req->headers, LT_HEADER_MAX_FORWARDS, text) == LT_OK)
               ? LT_OK
               : LT_ERR_NOMEM;
}

/* The list being built. */
struct build {
    struct lt_header *v;
    unsigned n;
    bool trusted, continued;
    bool expects; /* the server is asked whether the body may come */
    struct joined xff;
    struct lt_str forwarded_host; /* as a trusted peer gave it */
};

static void push(struct build *b, enum lt_header_id id, struct lt_str value)
{
    b->v[b->n++] = (struct lt_header){.name = lt_header_name(id), .value = value, .id = id};
}

/* The one host of a list that a peer itself has added; empty: that is none. */
static struct lt_str last_host(struct lt_str list)
{
    struct lt_str element, host;
    unsigned port;
    return cut_last(&list, &element) && lt_authority_parse(element, &host, &port) ? element
                                                                                  : LT_STR_NONE;
}

/* Whether a field of a known name that is not hop-by-hop goes on as it is. */
static bool known_passes(struct build *b, const struct lt_header *h)
{
    switch (h->id) {
    case LT_HEADER_HOST:
    case LT_HEADER_CONTENT_LENGTH:
    case LT_HEADER_TRACEPARENT:
    case LT_HEADER_FORWARDED: /* a client's own may come through a balancer that knows it not */
    case LT_HEADER_X_REQUEST_ID:
    case LT_HEADER_X_FORWARDED_PROTO:
    case LT_HEADER_X_FORWARDED_PORT:
        return false;
    case LT_HEADER_TRACESTATE:
        return b->continued;
    case LT_HEADER_EXPECT:
        return b->expects;
    case LT_HEADER_X_FORWARDED_FOR:
        if (b->trusted && h->value.len > 0) {
            note_joined(&b->xff, h->value);
        }
        return false;
    case LT_HEADER_X_FORWARDED_HOST:
        b->forwarded_host = b->trusted ? last_host(h->value) : LT_STR_NONE;
        return false;
    default:
        return b->trusted || (lt_header_flags(h->id) & LT_HEADER_F_OURS) == 0;
    }
}

static bool passes(struct build *b, const struct lt_header *h)
{
    if (h->id != LT_HEADER_OTHER && !known_passes(b, h)) {
        return false;
    }
    /* An application may read X_Y as X-Y: WSGI does. */
    return memchr(h->name.p, '_', h->name.len) == NULL;
}

/* X-Forwarded-* and Forwarded. */
static bool push_forwarding(struct build *b, const struct lt_request *req,
                            const struct lt_client_info *client)
{
    struct lt_arena *arena = req->headers.arena;
    char text[LT_ADDR_TEXT_MAX];
    struct lt_str ip = LT_STR_NONE, chain = LT_STR_NONE, value;
    if (!client->trusted && !lt_addr_is_unix(&client->peer)) {
        ip = client->ip; /* the same text */
    } else if (!lt_addr_is_unix(&client->peer)) {
        ip = lt_str(text, lt_addr_print_ip(&client->peer, text));
        if (!lt_arena_dup(arena, ip, &ip)) {
            return false;
        }
    }
    struct lt_str host = b->forwarded_host.len > 0 ? b->forwarded_host : req->authority;
    if (ip.len > 0) {
        if (!join(arena, &req->headers, &b->xff, ip, &chain)) {
            return false;
        }
        push(b, LT_HEADER_X_FORWARDED_FOR, chain);
    }
    push(b, LT_HEADER_X_FORWARDED_PROTO, client->scheme);
    if (host.len > 0) {
        push(b, LT_HEADER_X_FORWARDED_HOST, host);
    }
    if (client->port != 0) {
        if (!decimal(arena, client->port, &value)) {
            return false;
        }
        push(b, LT_HEADER_X_FORWARDED_PORT, value);
    }
    if (!forwarded_value(arena, chain, client->scheme, host, &value)) {
        return false;
    }
    push(b, LT_HEADER_FORWARDED, value);
    return true;
}

static bool push_framing(struct build *b, const struct lt_request *req)
{
    struct lt_str value;
    switch (req->body) {
    case LT_BODY_CHUNKED:
        push(b, LT_HEADER_TRANSFER_ENCODING, LT_STR("chunked"));
        return true;
    case LT_BODY_LENGTH:
        if (!decimal(req->headers.arena, req->content_length, &value)) {
            return false;
        }
        push(b, LT_HEADER_CONTENT_LENGTH, value);
        return true;
    case LT_BODY_NONE:
    case LT_BODY_CLOSE:
        return true;
    }
    return true;
}

enum lt_err lt_hop_request(struct lt_request *req, struct lt_str host,
                           const struct lt_client_info *client, const struct lt_hop_ids *ids)
{
    struct lt_headers *headers = &req->headers;
    unsigned cap = headers->n + ADDED_MAX;
    struct named named;
    struct build b = {
        .v = lt_arena_alloc(headers->arena, cap * sizeof(*b.v)),
        .trusted = client->trusted,
        .continued = ids->continued,
        .expects = req->expect_continue,
        .xff = {.id = LT_HEADER_X_FORWARDED_FOR},
    };
    if (b.v == NULL) {
        return LT_ERR_NOMEM;
    }
    read_connection(headers, &named);
    push(&b, LT_HEADER_HOST, host);
    for (unsigned i = 0; i < headers->n; i++) {
        const struct lt_header *h = &headers->v[i];
        if (!is_hop(headers, &named, h) && passes(&b, h)) {
            b.v[b.n++] = *h;
        }
    }
    if (!push_forwarding(&b, req, client) || !push_framing(&b, req)) {
        return LT_ERR_NOMEM;
    }
    if (req->offer.len > 0) {
        push(&b, LT_HEADER_CONNECTION, LT_STR("upgrade"));
        push(&b, LT_HEADER_UPGRADE, req->offer);
    }
    for (unsigned i = 0; i < client->n_told; i++) {
        b.v[b.n++] = client->told[i];
    }
    push(&b, LT_HEADER_VIA, via_value(req->version));
    push(&b, LT_HEADER_X_REQUEST_ID, ids->request_id);
    push(&b, LT_HEADER_TRACEPARENT, ids->traceparent);
    if (b.n > headers->max) {
        return LT_ERR_LIMIT;
    }
    headers->v = b.v;
    headers->n = b.n;
    headers->cap = lt_min(cap, headers->max);
    return LT_OK;
}

enum lt_err lt_hop_response(struct lt_response *res)
{
    if (res->status == 426 && lt_headers_joined(&res->headers, lt_header_name(LT_HEADER_UPGRADE),
                                                LT_STR(", "), &res->wants) == LT_ERR_NOMEM) {
        return LT_ERR_NOMEM;
    }
    lt_hop_strip(&res->headers);
    return lt_headers_add_id(&res->headers, LT_HEADER_VIA, via_value(res->version));
}

/* Fields that would change what was decided from the head already (RFC 9110 §6.5.1). */
static bool trailer_ok(const struct lt_header *h)
{
    switch (h->id) {
    case LT_HEADER_HOST:
    case LT_HEADER_CONTENT_LENGTH:
    case LT_HEADER_CONTENT_TYPE:
    case LT_HEADER_CONTENT_ENCODING:
    case LT_HEADER_AUTHORIZATION:
    case LT_HEADER_CACHE_CONTROL:
    case LT_HEADER_COOKIE:
    case LT_HEADER_SET_COOKIE:
    case LT_HEADER_EXPECT:
    case LT_HEADER_LOCATION:
    case LT_HEADER_VARY:
        return false;
    default:
        break; /* a default on purpose: the list above is of exceptions */
    }
    return (lt_header_flags(h->id) & (LT_HEADER_F_HOP | LT_HEADER_F_OURS | LT_HEADER_F_CLAIM)) ==
               0 &&
           lt_str_chr(h->name, '_', 0) == SIZE_MAX;
}

void lt_hop_trailers(struct lt_headers *trailers)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < trailers->n; i++) {
        if (trailer_ok(&trailers->v[i])) {
            trailers->v[kept++] = trailers->v[i];
        }
    }
    trailers->n = kept;
}
