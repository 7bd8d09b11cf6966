/* SPDX-License-Identifier: Apache-2.0 */
/* A request and a response as parsed and judged, of any protocol version. Texts live in the arena
 * of the exchange. */
#ifndef LT_HTTP_MESSAGE_H
#define LT_HTTP_MESSAGE_H

#include "http/headers.h"

enum lt_method {
    LT_METHOD_UNKNOWN,
#define X(id, name, safe, idempotent) LT_METHOD_##id,
#include "http/method.def"
#undef X
    LT_METHOD_COUNT
};

struct lt_str lt_method_name(enum lt_method method);
enum lt_method lt_method_find(struct lt_str name); /* exact case */
bool lt_method_idempotent(enum lt_method method);

/* How a message's body is delimited (RFC 9112 §6). */
enum lt_body_kind {
    LT_BODY_NONE,
    LT_BODY_LENGTH,  /* content_length bytes, may be 0 */
    LT_BODY_CHUNKED, /* until its own end */
    LT_BODY_CLOSE    /* responses of HTTP/1.x only: until the connection ends */
};

struct lt_request {
    enum lt_method method;
    struct lt_str target;    /* as sent: origin-form, or "*" for OPTIONS */
    struct lt_str path;      /* normalised path: starts with '/', no query; "*" for OPTIONS * */
    struct lt_str query;     /* after '?', raw; p == NULL when there was none */
    struct lt_str authority; /* host[:port] as the client asked, from Host or the target */
    struct lt_str host;      /* lower case, without port, IPv6 in brackets; empty for 1.0 without */
    unsigned version;        /* 10, 11, 20 */
    struct lt_headers headers;
    enum lt_body_kind body;
    uint64_t content_length; /* for LT_BODY_LENGTH */
    bool keep_alive;         /* what the client asked for the connection */
    bool expect_continue;    /* Expect: 100-continue */
    bool upgrade;            /* Connection: upgrade with an Upgrade header */
    bool must_switch;        /* ... and nothing else will do: an extended CONNECT (RFC 8441) */
    bool te_trailers;        /* TE: trailers: the client wants them */
    struct lt_str offer;     /* protocols that the server may switch to; empty: none */
};

struct lt_response {
    unsigned status; /* 100 to 599 */
    unsigned version;
    struct lt_headers headers;
    enum lt_body_kind body;
    uint64_t content_length; /* for LT_BODY_LENGTH */
    bool keep_alive;         /* whether the server's connection may be used again */
    size_t with_head;        /* bytes of the body, or more, that came together with the head */
    struct lt_str upgrade;   /* 101: what both sides speak from here on; else empty */
    struct lt_str wants;     /* 426: the protocols that its client has to ask for; else empty */
};

/* The registered reason phrase of a status (RFC 9110 §15), or "". */
const char *lt_status_reason(unsigned status);

/* Whether responses with this status never have a body (1xx, 204, 304). */
bool lt_status_bodiless(unsigned status);

#endif
