/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 header blocks as heads, and heads as header blocks (RFC 9113 §8). No sockets and no
 * session here: whoever owns one (nghttp2) hands over decoded fields one by one, and gets lists of
 * fields to encode. The framing gate (http/framing.h) judges every head by the rules of HTTP/1, so
 * that nothing comes in by HTTP/2 that would be refused there.
 *
 *   lt_h2_begin, lt_h2_field for each, then lt_h2_request | lt_h2_response | lt_h2_trailers
 *   lt_h2_write_request | lt_h2_write_response | lt_h2_write_trailers
 */
#ifndef LT_HTTP_H2_H
#define LT_HTTP_H2_H

#include "base/cause.h"
#include "base/rand.h"
#include "http/message.h"

#include <nghttp2/nghttp2.h>

struct lt_h2_limits {
    size_t head;      /* bytes of names and values of all fields, and 4 for each */
    unsigned headers; /* fields; all Cookie fields count as one */
    size_t target;    /* bytes of :path */
};

#define LT_H2_SPARE 64 /* fields that Lintel and its filters may add to a head */

enum lt_h2_pseudo {
    LT_H2_METHOD,
    LT_H2_SCHEME,
    LT_H2_AUTHORITY,
    LT_H2_PATH,
    LT_H2_PROTOCOL, /* RFC 8441 */
    LT_H2_STATUS,
    LT_H2_PSEUDO_COUNT
};

#define LT_H2_FIELD_SHOWN 64u /* bytes of a name that breaks a rule */

/* One header block being read. Private, but for `size`, `rule` and `broken`. */
struct lt_h2_block {
    size_t size;          /* bytes so far, as lt_h2_limits.head counts them, also past the limit */
    enum lt_cause rule;   /* the first that is broken, in the words of clients' causes */
    struct lt_str broken; /* the name of the field that breaks it, not judged, perhaps cut; empty:
                             it is no field, or there is no memory */
    size_t broken_size;   /* bytes of that field, as head counts them; 0: not known */

    struct lt_headers *headers;
    struct lt_h2_limits limits;
    struct lt_str pseudo[LT_H2_PSEUDO_COUNT]; /* p == NULL: not there */
    unsigned fields;
    bool regular; /* a field that is no pseudo-header has come */
    char *cookie; /* all Cookie fields joined */
    size_t cookie_len, cookie_cap;
    unsigned cookie_at; /* number of the field that gets them */
};

/* headers: initialised, empty, with room for limits->headers + LT_H2_SPARE fields; borrowed until
 * the block is judged. It gets the regular fields; texts are copied into its arena. */
void lt_h2_begin(struct lt_h2_block *b, struct lt_headers *headers,
                 const struct lt_h2_limits *limits);

/* The next field, as decoded. After a broken rule it only counts. */
void lt_h2_field(struct lt_h2_block *b, struct lt_str name, struct lt_str value);

/* The same for a field that whoever decodes it has found to be malformed. */
void lt_h2_field_invalid(struct lt_h2_block *b, struct lt_str name);

/* The block is complete: judges it and fills req, whose headers are those of b (the same object).
 * ended: no body follows. Host is set from :authority and agrees with it (§8.3.1). An extended
 * CONNECT (RFC 8441) becomes a GET that asks for an upgrade, req->must_switch is set; rand makes
 * the key that a WebSocket server of HTTP/1 wants. LT_CAUSE_NONE or the cause to refuse with. */
enum lt_cause lt_h2_request(struct lt_h2_block *b, bool ended, struct lt_rand *rand,
                            struct lt_request *req);

/* The same for a response to a request with that method, 1xx ones included; causes are those of
 * servers, b->rule says which rule. A body without a length is LT_BODY_CHUNKED: until its own end.
 * ended: there is none, whatever the head says. */
enum lt_cause lt_h2_response(struct lt_h2_block *b, bool ended, enum lt_method method,
                             struct lt_response *res);

/* The same for trailers: no pseudo-header, nothing about the connection; fields about framing,
 * routing and the like are taken out. LT_CAUSE_TRAILER_INVALID, or out of memory. */
enum lt_cause lt_h2_trailers(struct lt_h2_block *b);

/* Fields to encode; in an arena. */
struct lt_h2_fields {
    nghttp2_nv *v;
    size_t n;
};

/* A head or trailers as fields, lower case, without those that are about an HTTP/1 connection
 * (§8.2.2; TE: trailers may stay). Lists are taken as they are otherwise. Texts are borrowed where
 * they are lower case already, else in arena. LT_ERR_INVALID when a name or value isn't fit to be
 * sent; LT_ERR_NOMEM. trailers may be NULL. */
enum lt_err lt_h2_write_response(struct lt_arena *arena, unsigned status,
                                 const struct lt_headers *headers,
                                 struct lt_h2_fields *out) LT_MUST_CHECK;
enum lt_err lt_h2_write_trailers(struct lt_arena *arena, const struct lt_headers *trailers,
                                 struct lt_h2_fields *out) LT_MUST_CHECK;

/* Host becomes :authority. protocol: of an extended CONNECT, which then is the method, else empty.
 */
enum lt_err lt_h2_write_request(struct lt_arena *arena, struct lt_str method, struct lt_str scheme,
                                struct lt_str target, struct lt_str protocol,
                                const struct lt_headers *headers,
                                struct lt_h2_fields *out) LT_MUST_CHECK;

#endif
