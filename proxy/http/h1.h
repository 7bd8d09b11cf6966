/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 as bytes: heads in and out, bodies in and out (RFC 9112). No sockets here. The framing
 * gate (http/framing.h) judges every head before it is given out; nothing ambiguous passes.
 *
 * Reading, by whoever owns the connection:
 *   lt_h1_scan      until a whole head is in one piece of memory
 *   lt_h1_request   or lt_h1_response: parses and judges that head
 *   lt_h1_body      again and again with what follows, until LT_H1_END
 */
#ifndef LT_HTTP_H1_H
#define LT_HTTP_H1_H

#include "base/cause.h"
#include "http/message.h"

#include <llhttp.h>

struct lt_h1_limits {
    size_t head;      /* bytes of a head, request or status line and final blank line included */
    unsigned headers; /* fields */
    size_t target;    /* bytes of the request target */
};

/* Looks for the end of a head while bytes arrive. Zeroed before each head, but for `response`. */
struct lt_h1_scan {
    size_t seen;        /* bytes looked at already */
    size_t line;        /* where the line begins that is not complete yet */
    size_t begin;       /* where the first line begins: 2 after an empty one */
    bool response;      /* a server's head: causes are those of servers, no empty line before it */
    enum lt_cause rule; /* as in struct lt_h1 */
};

/* buf[0, len) is all there is of a head so far (what follows it may be in there too). One empty
 * line before a request line is passed over and counted as part of the head (RFC 9112 §2.2). LT_OK:
 * *head_len bytes are the whole head. LT_AGAIN: more is needed. LT_ERR_INVALID: *cause says why
 * (bare LF, fold, too large, a first line that no head starts with). A bare CR is found here in the
 * line that is not complete, in complete ones by the functions below. */
enum lt_err lt_h1_scan(struct lt_h1_scan *scan, const char *buf, size_t len,
                       const struct lt_h1_limits *limits, size_t *head_len,
                       enum lt_cause *cause) LT_MUST_CHECK;

/* The parser of one side of a connection; one message at a time. All but `rule` is private. */
struct lt_h1 {
    /* After a refusal: the rule that was broken, in the words of clients' causes, also when the
     * message is a server's. For the error log. */
    enum lt_cause rule;

    llhttp_t llhttp;            /* reads heads and chunked bodies; never forwards anything itself */
    struct lt_headers *headers; /* of the head, later the trailers, while a call lasts */
    struct lt_str url;
    struct lt_str name, value;  /* field of a head being parsed */
    unsigned fields;            /* fields or trailer fields so far */
    struct lt_h1_limits limits; /* for trailers too */
    enum lt_body_kind body;
    uint64_t left;       /* bytes to come of the body, of the chunk when chunked */
    struct lt_str piece; /* body data that llhttp found in this call */
    char *line;          /* trailer field being parsed, name and value, in the arena */
    size_t line_len, line_cap, name_len;
    size_t framing_bytes;   /* of the chunk line or the trailers being read */
    size_t extension_bytes; /* in chunk lines so far, about */
    char last;              /* byte of framing seen last */
    bool response;
    bool trailers; /* the last chunk has come */
    bool end;      /* the message is complete */
};

#define LT_H1_SPARE 64 /* fields that Lintel and its filters may add to a head */

/* Parses and judges head[0, len), which lies in arena and stays there: names and values point into
 * it. Then p is ready for the body. LT_ERR_INVALID: *cause says which rule it breaks. LT_ERR_NOMEM:
 * the arena is full. req->headers may grow to LT_H1_SPARE fields more than limits allow. */
enum lt_err lt_h1_request(struct lt_h1 *p, struct lt_arena *arena, char *head, size_t len,
                          const struct lt_h1_limits *limits, struct lt_request *req,
                          enum lt_cause *cause) LT_MUST_CHECK;

/* The same for a response to a request with that method; causes are those of servers. */
enum lt_err lt_h1_response(struct lt_h1 *p, struct lt_arena *arena, char *head, size_t len,
                           const struct lt_h1_limits *limits, enum lt_method method,
                           struct lt_response *res, enum lt_cause *cause) LT_MUST_CHECK;

enum lt_h1_event {
    LT_H1_MORE, /* all of data was taken; more is needed */
    LT_H1_DATA, /* *piece is body data inside data; call again with the rest */
    LT_H1_END,  /* the message is complete; the rest of data belongs to the next one */
    LT_H1_FAULT /* *cause says why; the connection is of no more use */
};

/* Reads on in the body. *used bytes of data were taken. trailers, the same in all calls for a
 * message (may be NULL: checked and dropped), gets the trailer fields, copied into its arena;
 * fields about framing, routing and the like (those with a flag in header.def) are left out. A
 * message without a body gives END at once with *used = 0, data may be empty. */
enum lt_h1_event lt_h1_body(struct lt_h1 *p, const char *data, size_t len, size_t *used,
                            struct lt_str *piece, struct lt_headers *trailers,
                            enum lt_cause *cause);

/* The server closed: whether that is the proper end of the message being read (LT_BODY_CLOSE). */
bool lt_h1_eof_ends(const struct lt_h1 *p);

/* Serialised heads, in arena: *out is complete with its final empty line. Header lists are written
 * as they are, in order: whoever calls has removed hop-by-hop fields and added framing fields
 * (http/hop.h). LT_ERR_INVALID when a name, a value or the target could break out of its place,
 * LT_ERR_NOMEM. */
enum lt_err lt_h1_write_request(struct lt_arena *arena, struct lt_str method, struct lt_str target,
                                const struct lt_headers *headers, struct lt_str *out) LT_MUST_CHECK;
enum lt_err lt_h1_write_response(struct lt_arena *arena, unsigned version, unsigned status,
                                 const struct lt_headers *headers,
                                 struct lt_str *out) LT_MUST_CHECK;

/* The end of a chunked body: the last chunk, trailers (may be NULL) and the empty line (RFC 9112
 * §7.1). Without trailers *out is static. LT_ERR_NOMEM. */
enum lt_err lt_h1_write_end(struct lt_arena *arena, const struct lt_headers *trailers,
                            struct lt_str *out) LT_MUST_CHECK;

/* Writes the line before n bytes of chunk data; gives its length. */
#define LT_H1_CHUNK_LINE_MAX 20
size_t lt_h1_chunk_line(char out[LT_H1_CHUNK_LINE_MAX], size_t n);

#endif
