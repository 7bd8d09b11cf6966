/* SPDX-License-Identifier: Apache-2.0 */
/* Whole bodies, for filters: waiting until one is there, reading it, putting another in its place.
 * A request's body is read where it is collected anyway, a response's is held back from the client
 * meanwhile; both go on afterwards as if nobody had looked. Waiting holds no more than was asked
 * for, within what memory there is (room.c). The worker's thread.
 *
 *   lt_body_look -> TO_COME -> lt_body_ask ...(bytes, end)... done -> lt_body_len, lt_body_copy
 */
#ifndef LT_EXCHANGE_BODY_H
#define LT_EXCHANGE_BODY_H

#include "exchange/exchange.h"

enum lt_side { LT_SIDE_REQUEST, LT_SIDE_RESPONSE };

enum lt_body_is {
    LT_BODY_IS_WHOLE,     /* there, or there is none */
    LT_BODY_IS_TO_COME,   /* not all of it is there yet */
    LT_BODY_IS_TOO_LARGE, /* for who asked */
    LT_BODY_IS_NO_ROOM,   /* memory is short: no more of it can be held */
    LT_BODY_IS_STREAM     /* never waited for: gRPC, events, a tunnel */
};

/* Somebody waits for a body; one at a time in an exchange. */
struct lt_body_wait {
    struct lt_exchange *x;
    enum lt_side side;
    size_t max;         /* bytes that he takes */
    enum lt_body_is is; /* when done is called: anything but TO_COME */
    void (*done)(struct lt_body_wait *w);
    struct lt_deferred deferred;
};

/* What there is of a body for one who takes at most max bytes. The request's: until a server is
 * chosen; the response's: while its hooks run. */
enum lt_body_is lt_body_look(const struct lt_exchange *x, enum lt_side side, size_t max);

/* Whether that side is a gRPC call's or a tunnel's: nothing can take its place. */
bool lt_body_is_call(const struct lt_exchange *x, enum lt_side side);

/* Waits for a body that is TO_COME; x, side, max and done of w are set. done is called once, never
 * from within this, unless w is forgotten before. w is borrowed until then. */
void lt_body_ask(struct lt_body_wait *w);
void lt_body_forget(struct lt_body_wait *w);

/* Whether the response's head is followed by a body, if an empty one. */
bool lt_body_of_response(const struct lt_exchange *x);

/* Bytes of a body that is WHOLE. */
size_t lt_body_len(const struct lt_exchange *x, enum lt_side side);
/* Copies that many to out. LT_ERR_STORE: its file can't be read. LT_ERR_NOMEM. */
enum lt_err lt_body_copy(struct lt_exchange *x, enum lt_side side, char *out) LT_MUST_CHECK;

/* Puts text (copied) in the place of the body, whatever there is of that, and makes the head fit:
 * length, no encoding, no digests, an ETag that is weak. A response that can have no body gets the
 * head alone. LT_ERR_NOMEM, LT_ERR_LIMIT, LT_ERR_STORE. */
enum lt_err lt_body_replace(struct lt_exchange *x, enum lt_side side,
                            struct lt_str text) LT_MUST_CHECK;

/* What it costs to hold as much as w wants: what lt_room may grant at most. */
static inline size_t lt_body_ahead(const struct lt_exchange *x, enum lt_side side, size_t ahead)
{
    const struct lt_body_wait *w = x->body_wait;
    return LT_LIKELY(w == NULL) || w->side != side ? ahead
                                                   : lt_max(ahead, w->max + LT_BLOCK_MIDDLE_SIZE);
}

/* Bytes of a body came, or its end. */
void lt_body_moved(struct lt_exchange *x);
/* Nothing more of that side can be held now: who waits for it doesn't wait for ever. */
void lt_body_stuck(struct lt_exchange *x, enum lt_side side);

/* Makes the fields of the response's head those of other bytes than the server's: no length, no
 * ranges, no digests, a weak ETag (RFC 9110 §8.8.1). LT_ERR_NOMEM. */
enum lt_err lt_body_changed_fields(struct lt_exchange *x) LT_MUST_CHECK;
/* A 304 for a response that we had changed: the tag is weak there, and a cache takes the 304 for
 * what it holds only when it is the same (RFC 9111 §4.3.4). LT_ERR_NOMEM. */
enum lt_err lt_body_confirm(struct lt_exchange *x, bool *weakened) LT_MUST_CHECK;
/* A digest may come behind the body, too late to leave that as it is. LT_ERR_NOMEM. */
enum lt_err lt_body_strip_trailers(struct lt_exchange *x) LT_MUST_CHECK;
/* Of lt_body_changed_fields, the ETag alone. */
enum lt_err lt_body_weaken_etag(struct lt_exchange *x) LT_MUST_CHECK;
/* Digests of the body among h, which may be trailers. */
bool lt_body_is_digested(const struct lt_headers *h);
void lt_body_strip_digests(struct lt_headers *h);

#endif
