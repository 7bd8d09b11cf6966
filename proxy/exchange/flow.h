/* SPDX-License-Identifier: Apache-2.0 */
/* A body on its way through filters that change it while it passes. What comes lies in `in` until
 * the first filter takes it; what the last one gives goes where the bytes would have gone without
 * filters: a request's to the spool or the server, a response's through compression to the client.
 * Neither queue grows beyond what lt_room grants, so each side is as fast as the other.
 *
 *   client -> flow.in -> filters (hooks.flow_moved) -> flow.out -> spool | x->body, server
 *   client <- encoder <- x->held <- filters         <- flow.in  <- server
 *
 * An exchange without such filters has no flow, which costs it a branch here and there. The
 * worker's thread. */
#ifndef LT_EXCHANGE_FLOW_H
#define LT_EXCHANGE_FLOW_H

#include "exchange/body.h"

struct lt_flow {
    struct lt_chain in;
    size_t in_taken;     /* bytes of `in` that the first filter has, and may still give back */
    bool in_ended;       /* nothing more comes */
    struct lt_chain out; /* of a request: what the filters gave; a response's goes to x->held */
    bool begun;
    bool over;    /* the filters gave all that they will give */
    void *stages; /* of filters/ */
};

/* ---- For the exchange. ---- */

/* The route is known: if filters of it may change the request's body, that is kept for them.
 * LT_ERR_NOMEM. */
enum lt_err lt_flow_open_request(struct lt_exchange *x) LT_MUST_CHECK;
/* The request hooks have run: if filters will see the response's body, the server is asked for all
 * of it, as it is. LT_ERR_NOMEM, LT_ERR_LIMIT. */
enum lt_err lt_flow_ask_plain(struct lt_exchange *x) LT_MUST_CHECK;
/* Starts the filters, once; LT_STEP_NEXT, or LT_STEP_FAIL by the policy of one. */
enum lt_step_result lt_flow_begin_request(struct lt_exchange *x);
/* As above, before the response's head is sent, which is changed accordingly. */
enum lt_step_result lt_flow_begin_response(struct lt_exchange *x);
/* Bytes came; false: there is no memory to hold them. */
bool lt_flow_add(struct lt_flow *flow, const char *p, size_t n) LT_MUST_CHECK;
/* Bytes came, or their end; or the other side has taken some. */
void lt_flow_moved(struct lt_exchange *x, enum lt_side side);
/* Ends both, whatever their filters do. */
void lt_flow_release(struct lt_exchange *x);

/* Bytes that nobody has taken. */
static inline size_t lt_flow_waiting(const struct lt_flow *flow)
{
    return flow->in.len - flow->in_taken;
}

/* ---- For filters. ---- */

/* Where the last filter's bytes go. */
struct lt_chain *lt_flow_out(struct lt_exchange *x, enum lt_side side);
/* How many more may be put there; 0: lt_flow_moved comes when there is room. */
size_t lt_flow_room(const struct lt_exchange *x, enum lt_side side);
/* The same between two filters, where so many wait. */
size_t lt_flow_room_between(const struct lt_exchange *x, size_t waiting);
/* A filter has failed, by whose policy x ends now. */
void lt_flow_fail(struct lt_exchange *x, enum lt_cause cause);
/* Bytes were put there or taken from `in`, or flow->over was set. x may fail, and end its flows. */
void lt_flow_push(struct lt_exchange *x, enum lt_side side);

#endif
