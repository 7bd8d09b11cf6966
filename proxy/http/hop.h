/* SPDX-License-Identifier: Apache-2.0 */
/* What a gateway changes in heads that pass: hop-by-hop fields, forwarding fields, Via, request and
 * trace ids (RFC 9110 §7.6, RFC 7239, W3C Trace Context). In one place, for all protocol versions.
 */
#ifndef LT_HTTP_HOP_H
#define LT_HTTP_HOP_H

#include "base/addr.h"
#include "base/rand.h"
#include "http/message.h"

/* Who the client is, decided once per exchange. */
struct lt_client_info {
    struct lt_addr peer;          /* of the socket */
    struct lt_str ip;             /* text of the client's address by trust, in the arena */
    struct lt_str scheme;         /* "http" or "https", as the client used it */
    unsigned port;                /* of our listener, as the client used it */
    bool trusted;                 /* peer is in `trust` */
    const struct lt_header *told; /* fields about its certificate for servers; NULL: none */
    unsigned n_told;              /* at most LT_HOP_TOLD_MAX */
};

#define LT_HOP_TOLD_MAX 4u

/* Removes hop-by-hop fields and those that Connection names (not those marked KEEP), in place. */
void lt_hop_strip(struct lt_headers *headers);

/* Whether addr lies in one of the n blocks of `trust`. */
bool lt_hop_trusts(const struct lt_cidr *trust, size_t n, const struct lt_addr *addr);

/* Removes what only a trusted peer may say, in place: fields that Lintel sets itself, those by
 * which other gateways name the client or the path, `Proxy`, and every X-Forwarded-* (-User,
 * -Scheme, -Client-Cert, ...). Routes and filters don't see them then, and servers get none. Of a
 * trusted peer, what is said of clients' certificates alone. */
void lt_hop_distrust(struct lt_headers *headers, bool trusted);

/* Decides client.ip from X-Forwarded-For (right to left through trusted addresses), scheme and port
 * from X-Forwarded-Proto and -Port, all only when the peer is trusted and the values are single and
 * valid. trust: n blocks. Text goes to arena. LT_ERR_NOMEM. */
enum lt_err lt_hop_client(struct lt_arena *arena, const struct lt_headers *headers,
                          const struct lt_addr *peer, bool tls, unsigned local_port,
                          const struct lt_cidr *trust, size_t n_trust,
                          struct lt_client_info *out) LT_MUST_CHECK;

struct lt_hop_ids {
    struct lt_str request_id;  /* 32 hex digits, or the trusted peer's X-Request-Id */
    struct lt_str traceparent; /* passed on with a new parent id, or made */
    struct lt_str trace_id;    /* 32 hex digits inside traceparent */
    bool continued;            /* the client's traceparent was valid: tracestate goes on too */
};

/* Whether it does as a request id: 1 to 128 visible ASCII characters that need no quoting. */
bool lt_hop_request_id_ok(struct lt_str s);

/* Request id and traceparent for this exchange; an invalid traceparent is replaced. */
enum lt_err lt_hop_ids(struct lt_arena *arena, struct lt_rand *rand,
                       const struct lt_headers *headers, bool trusted,
                       struct lt_hop_ids *out) LT_MUST_CHECK;

/* Whether a request that says how often it may be passed on (Max-Forwards of TRACE and OPTIONS, RFC
 * 9110 §7.6.2) may be passed on once more: *may is false when it has come to its end; else the
 * number is lowered in place. A value that is no number, or several, say nothing. LT_ERR_NOMEM. */
enum lt_err lt_hop_count(struct lt_request *req, bool *may) LT_MUST_CHECK;

/* Turns a client's request headers into what a server gets, in place: strips hop-by-hop, Expect
 * (unless req->expect_continue still holds: then the server is asked), fields with '_' in their
 * name and OURS fields of untrusted peers, sets Host first, X-Forwarded-For
 * /-Proto/-Host/-Port, Forwarded, those of client->told, Via, X-Request-Id, traceparent, framing
 * fields from req->body, and Connection with Upgrade when req->offer has protocols. host: the Host
 * to send. To be applied once: another try sends the same list. The X-Forwarded-For of a trusted
 * peer is continued, that of others replaced; of its X-Forwarded-Host the last host counts;
 * Forwarded is always made from these. LT_ERR_NOMEM; LT_ERR_LIMIT when the list is full. */
enum lt_err lt_hop_request(struct lt_request *req, struct lt_str host,
                           const struct lt_client_info *client,
                           const struct lt_hop_ids *ids) LT_MUST_CHECK;

/* Leaves only those trailer fields that may pass: no framing, routing, credentials or content
 * fields, no underscore names, none of OURS (RFC 9110 §6.5.1), in place. */
void lt_hop_trailers(struct lt_headers *trailers);

/* Turns a server's response headers into what the client gets, in place: strips hop-by-hop, adds
 * Via, sets res->wants. Framing fields and what is hop-by-hop are the front's. */
enum lt_err lt_hop_response(struct lt_response *res) LT_MUST_CHECK;

#endif
