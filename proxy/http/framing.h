/* SPDX-License-Identifier: Apache-2.0 */
/* The framing gate: the rules that a head must meet before anything of it is used or forwarded, and
 * what follows from it about body, host and connection (RFC 9112). Each rule is a small named
 * function in framing.c. The parser beneath is not trusted: what it lets through is judged here
 * again, and anything that two servers could read differently is refused.
 *
 * Functions answer with LT_CAUSE_NONE or the cause of the refusal, in the words of clients' causes;
 * lt_framing_server_cause turns one into the cause for a server that did the same. */
#ifndef LT_HTTP_FRAMING_H
#define LT_HTTP_FRAMING_H

#include "base/cause.h"
#include "http/message.h"

/* No body or chunk may be declared longer than this, in bytes. */
#define LT_FRAMING_LENGTH_MAX (UINT64_C(1) << 60)

/* Bytes in all Connection fields together. */
#define LT_FRAMING_CONNECTION_MAX 1024u

struct lt_request_line {
    struct lt_str method, target; /* point into the line */
    unsigned version;             /* 10 or 11 */
};

/* Takes a request line apart, without its CRLF. */
enum lt_cause lt_framing_request_line(struct lt_str line, struct lt_request_line *out);

/* The same for a status line. */
enum lt_cause lt_framing_status_line(struct lt_str line, unsigned *version, unsigned *status);

/* One field of a head; id is that of name, value is trimmed already. */
enum lt_cause lt_framing_field(enum lt_header_id id, struct lt_str name, struct lt_str value);

/* Whether two authorities name the same host and port, by the scheme's port where one has none. */
bool lt_framing_same_authority(struct lt_str a, struct lt_str b, struct lt_str scheme);

/* Judges a request whose method, target, version and headers are set and sets all other members.
 * Of HTTP/2 body is set too: LT_BODY_CHUNKED where one may follow the head, else LT_BODY_NONE.
 * Content-Length loses leading zeros. LT_CAUSE_OUT_OF_MEMORY when the arena is full. */
enum lt_cause lt_framing_request(struct lt_request *req);

/* The same for a response to a request with that method; status, version and headers are set. */
enum lt_cause lt_framing_response(struct lt_response *res, enum lt_method method);

enum lt_cause lt_framing_server_cause(enum lt_cause cause);

#endif
