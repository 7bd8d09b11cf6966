/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share: exchange.c (life), steps.c (the steps in order), relay.c
 * (bodies both ways and what backs tell), reply.c (answers of our own). */
#ifndef LT_EXCHANGE_INTERNAL_H
#define LT_EXCHANGE_INTERNAL_H

#include "exchange/exchange.h"
#include "exchange/hooks.h"

#define LT_EXCHANGE_MAGIC 0xe8c4a6e1u

/* exchange.c */

/* Runs steps until one waits; the exchange may be gone afterwards. */
void lt_exchange_run(struct lt_exchange *x);
/* Goes to a step from an event, and runs from there. */
void lt_exchange_goto(struct lt_exchange *x, enum lt_step step);
/* Ends the exchange's wish for an answer by a server: what the client gets is decided by cause.
 * Runs. */
void lt_exchange_fail(struct lt_exchange *x, enum lt_cause cause);

/* x has picked server, which is held: lets go of the one before. */
void lt_exchange_take_server(struct lt_exchange *x, struct lt_server *server);

/* deadline.c */

/* The route is known: its limit for the whole exchange holds from now on. */
void lt_deadline_begin(struct lt_exchange *x);
/* Of the ms that a step may wait (0: for ever), what the whole exchange has left; with a deadline.
 */
uint64_t lt_deadline_cut(const struct lt_exchange *x, uint64_t ms);
bool lt_deadline_over(const struct lt_exchange *x);
/* Puts what is left into the field that the upstream wants it in, or takes a client's away; with
 * the head that is about to be sent. LT_ERR_NOMEM, LT_ERR_LIMIT. */
enum lt_err lt_deadline_tell(struct lt_exchange *x) LT_MUST_CHECK;

/* Limits how long the current step waits; ms 0: as long as the exchange may take. Without a front
 * nothing waits. */
static inline void lt_exchange_set_timer(struct lt_exchange *x, uint64_t ms)
{
    if (x->front != NULL) {
        x->front->ops->set_timer(x->front, x->deadline_us == 0 ? ms : lt_deadline_cut(x, ms));
    }
}

/* grpc.c: calls; for all other exchanges these do nothing. */

/* Looks whether x is a call. */
void lt_grpc_begin(struct lt_exchange *x);
/* What the client allows for the whole call; 0: it says nothing. */
uint64_t lt_grpc_deadline_us(const struct lt_exchange *x);
/* Tells the server what is left; with the head that is about to be sent. LT_ERR_NOMEM,
 * LT_ERR_LIMIT. */
enum lt_err lt_grpc_tell_deadline(struct lt_exchange *x) LT_MUST_CHECK;
/* How long the server may pause in its response. */
uint64_t lt_grpc_silence_ms(const struct lt_exchange *x);
/* Limits how long both sides may be silent. False: x is no call, or not at the server. */
bool lt_grpc_watch(struct lt_exchange *x);
/* Body bytes are about to go to a server: keeps them for another try, or notes that there can be
 * none (x->body_started). */
void lt_grpc_keep(struct lt_exchange *x, const char *p, size_t n);
/* What was kept is sent again by the next try. */
void lt_grpc_put_back(struct lt_exchange *x);
/* Turns x->res, an answer of our own, into what clients of gRPC read. */
void lt_grpc_reply(struct lt_exchange *x);
/* Ends a response that was cut by telling its cause in the trailers. False: that can't be done. */
bool lt_grpc_end(struct lt_exchange *x);

/* steps.c */

/* The result of a step that failed for cause. */
enum lt_step_result lt_step_fail(struct lt_exchange *x, enum lt_cause cause);
enum lt_step_result lt_step_call(struct lt_exchange *x);
/* Decides what the client gets after a failure: a reply or a visible cut. Sets x->step. */
void lt_step_failed(struct lt_exchange *x);

/* pick.c */

/* Takes a server of x->upstream, with its in-flight slot. */
enum lt_step_result lt_pick_step(struct lt_exchange *x);

/* wait.c */

/* As lt_pick_step, once it is known where x goes: waits if there is no server to be had now. */
enum lt_step_result lt_wait_pick(struct lt_exchange *x);
/* Whether what couldn't be connected to may be soon, so that x asks again, and waits. */
bool lt_wait_may(struct lt_exchange *x, const struct lt_back_failure *f);

/* follow.c: an upstream over a reload. */

/* x is about to ask for a server: goes by what the worker's present view makes of its upstream. */
void lt_follow(struct lt_exchange *x);
/* x goes by no later view any more than its own. */
void lt_follow_end(struct lt_exchange *x);

/* verdict.c: what a try says about the health of its server. */

/* Whether the upstream's circuit breaker lets x through; asked once for all tries. */
bool lt_verdict_enter(struct lt_exchange *x);
/* The try at x->server is over, or a tunnel: cause says why (NONE: nothing went wrong). Told once
 * for each try. */
void lt_verdict_tell(struct lt_exchange *x, enum lt_cause cause);
/* x gives up without a word about any server. */
void lt_verdict_leave(struct lt_exchange *x);

/* choose.c */

/* Looks up in the request what balancing goes by: x->pick is ready for a pick at x->upstream. */
void lt_choose_ask(struct lt_exchange *x);
/* The server's first byte came, or the try ended without one; ok: it did what it should. */
void lt_choose_tell(struct lt_exchange *x, bool ok);
/* Adds the cookie that keeps the client at x->server, if it has none. LT_ERR_NOMEM, LT_ERR_LIMIT.
 */
enum lt_err lt_choose_answer(struct lt_exchange *x) LT_MUST_CHECK;

/* retry.c */

/* A server was picked for a try. */
void lt_retry_begun(struct lt_exchange *x);
/* Whether another try is to be made after f: it can't act twice, it can be sent again whole (RFC
 * 9110 §9.2.2, RFC 9112 §9.3.1), and the upstream's rules want it. Takes its part of the budget; if
 * that is spent, x->budget_spent says so. */
bool lt_retry_may(struct lt_exchange *x, const struct lt_back_failure *f);
/* The cause that stands for `cause` when the budget was why no other try was made; x->detail keeps
 * both. */
enum lt_cause lt_retry_spent(struct lt_exchange *x, enum lt_cause cause);
/* The next try is told what the last one met: it goes to a server that wasn't tried, if one is up.
 */
void lt_retry_note(struct lt_exchange *x, const struct lt_back_failure *f);
/* A final head came. True: its status calls for another server, and x is on its way there. */
bool lt_retry_status(struct lt_exchange *x, const struct lt_response *res);
/* How long this try waits for the head, of ms (0: for ever). */
uint64_t lt_retry_first_byte_ms(struct lt_exchange *x, uint64_t ms);
/* That time is over. True: x is on its way to another server, or goes on waiting. */
bool lt_retry_timeout(struct lt_exchange *x);
/* A response is taken for the client: what was met before it is recovered. */
void lt_retry_answered(struct lt_exchange *x);

/* hold.c */

/* Whether a response with this head is to be held until it is whole. */
bool lt_hold_wanted(const struct lt_exchange *x, const struct lt_response *res);
/* Holds the response whose head is in x->res. */
void lt_hold_begin(struct lt_exchange *x);
/* It is whole, or waited for long enough: goes on with it. */
void lt_hold_end(struct lt_exchange *x);

/* explain.c: x->detail gets the numbers behind a cause. */

/* Whether x->server takes the head as it is now; if not, x->detail says what is too large. */
bool lt_explain_takes(struct lt_exchange *x);
/* The server let a timer run out. */
void lt_explain_timeout(struct lt_exchange *x, enum lt_cause cause);
/* The whole took too long; x->deadline_us is still set. */
void lt_explain_deadline(struct lt_exchange *x);
void lt_explain_client_gone(struct lt_exchange *x);
/* Of NO_SERVER and BREAKER_OPEN. */
void lt_explain_no_server(struct lt_exchange *x);
void lt_explain_breaker(struct lt_exchange *x);
void lt_explain_failure(struct lt_exchange *x, const struct lt_back_failure *f);

/* relay.c */

extern const struct lt_back_events lt_exchange_back_events;

/* Lets go of the current back and server; closes it if the response isn't complete. */
void lt_relay_drop_back(struct lt_exchange *x);
/* Makes the request's head what x->server gets. LT_ERR_NOMEM, LT_ERR_LIMIT. */
enum lt_err lt_relay_make_head(struct lt_exchange *x) LT_MUST_CHECK;
/* Puts the head that was made and what is there of its body, flushes. */
enum lt_err lt_relay_send_request(struct lt_exchange *x) LT_MUST_CHECK;
/* Sends what was held of the response body, and its end. */
enum lt_err lt_relay_send_held(struct lt_exchange *x) LT_MUST_CHECK;
/* The parts of lt_exchange_request_body, _turn and _end behind filters: bytes for the server, all
 * that there are for now, the end. Each may fail x. */
void lt_relay_request_bytes(struct lt_exchange *x, const char *p, size_t n);
void lt_relay_request_flush(struct lt_exchange *x);
void lt_relay_request_whole(struct lt_exchange *x);
/* Reads on from the server if it was paused and there is room again. */
void lt_relay_response_relax(struct lt_exchange *x);
/* The client can't be served any more; err: what its side said. */
void lt_relay_client_lost(struct lt_exchange *x, enum lt_err err);
/* The response in x->res goes to the client from here on, and no other. Runs. */
void lt_relay_accept(struct lt_exchange *x);
/* Sets how long the server may take: with the request until all has left, then with its answer. */
void lt_relay_watch_response(struct lt_exchange *x);

/* address.c */

/* The upstream of x->route that x goes to. */
struct lt_upstream *lt_address_split(struct lt_exchange *x);
/* Turns the request's head into what x->server gets; again for each try. LT_ERR_NOMEM,
 * LT_ERR_LIMIT.
 */
enum lt_err lt_address_request(struct lt_exchange *x) LT_MUST_CHECK;
/* The PROXY header of x->upstream's version, which names the client; false without memory. */
bool lt_address_proxy_header(struct lt_exchange *x, struct lt_str *out) LT_MUST_CHECK;
/* Puts the addresses in the response's head into the client's terms. LT_ERR_NOMEM, LT_ERR_LIMIT. */
enum lt_err lt_address_response(struct lt_exchange *x) LT_MUST_CHECK;

/* room.c */

/* How many more bytes of a body may be read while `waiting` are held for the other side already, of
 * at most `most`: enough to be worth it, or 0. Never 0 when nothing waits. */
size_t lt_room(const struct lt_exchange *x, size_t waiting, size_t most);

/* body.c */

/* Tells a client that waits with its body to send it, once. */
void lt_body_invite(struct lt_exchange *x);

/* collect.c */

/* Whether a body of the length that the head names may be kept while others leave room for it. When
 * not, x->detail says what is too small. */
bool lt_collect_fits(struct lt_exchange *x);
/* Keeps body bytes; fails x when they can't be kept. */
void lt_collect_add(struct lt_exchange *x, const char *p, size_t n);
/* The body is there whole. */
void lt_collect_ready(struct lt_exchange *x);
/* The next try sends the body from its beginning. */
void lt_collect_rewind(struct lt_exchange *x);
/* Sends what the server takes, and the end; nothing when that is done. LT_ERR_STORE: the body can't
 * be read any more. LT_ERR_NOMEM, LT_ERR_LIMIT: no memory. Else the connection's failure. */
enum lt_err lt_collect_send(struct lt_exchange *x) LT_MUST_CHECK;
/* As lt_collect_send from an event; fails x where needed. */
void lt_collect_go_on(struct lt_exchange *x);
/* Frees the body if it can't be needed again. */
void lt_collect_release(struct lt_exchange *x);

/* reply.c */

/* The registered error type (RFC 9209 section 2.3) that tells most about a cause; NULL: none fits.
 */
const char *lt_reply_proxy_error(enum lt_cause cause);
/* Turns x->reply (made from x->cause if there is none) into x->res and its body. */
void lt_reply_prepare(struct lt_exchange *x);

/* Whether by this view the request's site must not be asked on x's connection. (misdirected.c) */
bool lt_exchange_misdirected(const struct lt_exchange *x, const struct lt_view *view);

#endif
