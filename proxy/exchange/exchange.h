/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange: one request and its response, the object in the middle. It knows no protocol
 * version: the client's side is a struct lt_front, the server's a struct lt_back (http/sides.h).
 *
 *   begin -> route -> request_hooks -> body -> upstream_hooks -> pick -> connect -> send
 *         -> response_head -> response_hooks -> relay [-> tunnel] -> log -> done
 *                                                         (steps.c, one function each)
 *
 * One worker's thread. Lives in the worker's slab; what hangs on it lives in its arena. */
#ifndef LT_EXCHANGE_EXCHANGE_H
#define LT_EXCHANGE_EXCHANGE_H

#include "base/arena.h"
#include "exchange/env.h"
#include "http/hop.h"

#include "http/sides.h"
#include "net/loop.h"
#include "route/router.h"
#include "upstream/queue.h"

enum lt_step {
#define X(id, name) LT_STEP_##id,
#include "exchange/step.def"
#undef X
    LT_STEP_COUNT
};

enum lt_step_result {
    LT_STEP_NEXT, /* go on with the next step */
    LT_STEP_WAIT, /* an event will call lt_exchange_wake */
    LT_STEP_FAIL, /* x->cause or a prepared reply says what the client gets */
    LT_STEP_OVER  /* the exchange is in its last step or gone */
};

/* Why a filter or a rule of ours answers instead of a server. */
struct lt_reply {
    bool ready;
    unsigned status;
    struct lt_str reason;       /* stable id for logs and problem bodies, "missing_api_key" */
    struct lt_str body;         /* p == NULL: a problem body is made (RFC 9457) */
    struct lt_str content_type; /* of body */
    struct lt_headers headers;  /* more fields */
};

/* Who did what, by filters, for the log and for later filters. */
struct lt_user_field {
    struct lt_str name, value;
    bool list; /* value: a list as by base/members.h */
    struct lt_user_field *next;
};

struct lt_body_wait; /* exchange/body.h */
struct lt_flow;      /* exchange/flow.h */
struct lt_tls_info;  /* net/tls_info.h */
struct lt_tunnel;
struct lt_log_field; /* exchange/log_field.h */

#define LT_EXCHANGE_ARENA_FIRST 4096
/* What one exchange may allocate for heads, replies and filters, beyond the first block. */
#define LT_EXCHANGE_ARENA_MAX ((size_t)1 << 20)

/* How a response is compressed. */
struct lt_compress {
    struct lt_encoder *encoder; /* lent by env->encoders; NULL: not at all */
    bool stream;                /* each turn of the server leaves at once */
    bool put;                   /* bytes in the encoder's buffer may wait in the front */
};

/* Short pieces of bodies that one exchange may always hold, whatever the others do: one for each
 * direction. Bytes. */
#define LT_EXCHANGE_PIECES (2 * (size_t)LT_BLOCK_MIDDLE_SIZE)

struct lt_exchange {
    uint32_t magic;
    struct lt_exchange_env *env; /* the worker's part, borrowed */
    struct lt_view *view;        /* pinned until done; of a tunnel: a copy of its own */
    struct lt_front *front;      /* NULL once finished */
    struct lt_back *back;        /* NULL while there is none */
    struct lt_list link;         /* in env->exchanges */
    unsigned listener;           /* number of the listener */

    struct lt_client_info client;
    struct lt_addr via; /* who sent the PROXY header that names client.peer; len 0: none */
    struct lt_hop_ids ids;
    struct lt_tls_info *tls; /* of its connection, a reference that the front gives; NULL: plain */
    struct lt_request req;
    struct lt_headers req_trailers; /* complete with the request */
    struct lt_str req_target;       /* as the client sent it, for the log */
    struct lt_response res;         /* what goes to the client */
    unsigned upstream_status;       /* what the server said; 0 = no answer */
    struct lt_reply reply;

    const struct lt_route *route; /* NULL before the route step */
    struct lt_route_params params;
    struct lt_upstream *upstream; /* chosen at pick, may be set by a filter */
    struct lt_view
        *upstream_view;        /* the later view that it is of now, pinned; NULL: it is view's */
    struct lt_pick pick;       /* what is asked of the balancer, over all tries */
    struct lt_waiter waiter;   /* for a server, while there is none to be had */
    enum lt_wait wait;         /* how the wait ended; NONE: it is still to be asked */
    struct lt_server *server;  /* last one tried; held */
    struct lt_str target_sent; /* what servers get: path by the route's strip or rewrite, query */
    struct lt_str host_sent;   /* the Host that the server got; empty: the client's */
    struct lt_str prefix_told; /* X-Forwarded-Prefix by the route's strip; may be empty */
    const struct lt_route_target *split_drawn; /* by lot, to be kept in a cookie; or NULL */
    struct lt_str split_choices;               /* of the client's cookie */
    struct lt_user_field *user;                /* user.id and friends */
    struct lt_log_field *log_fields;           /* of filters (log_field.h), in order; or NULL */

    enum lt_step step;
    bool running;       /* inside the run loop */
    bool woken;         /* wake came while running: the step is called again */
    bool hooks_waiting; /* a hook answered WAIT */
    enum lt_cause cause;
    int cause_errno;
    struct lt_str denied_by;        /* name of the filter that answered, or empty */
    struct lt_str detail;           /* more about the cause for the log; may be empty */
    struct lt_challenge *challenge; /* a question that waits for its answer, or NULL */
    bool challenged;                /* it was looked whether there is one */
    unsigned tries;
    uint64_t head_us;     /* when the head of a server's response came */
    uint64_t try_us;      /* when the last one picked its server */
    bool breaker_passed;  /* the upstream's breaker let it through, for all tries */
    bool verdict_told;    /* what the last try says about its server */
    bool breaker_trial;   /* to try, and it wasn't told yet how that went */
    bool replied_here;    /* the answer was made by Lintel */
    bool head_sent;       /* the final head went to the front */
    bool response_done;   /* the response went to the front whole */
    bool response_begun;  /* a server's final head came */
    bool response_hooked; /* the response hooks were run */
    bool request_hooked;  /* the request hooks were entered */
    bool request_done;    /* the request was received whole */
    bool holding;         /* the head is in res, what came of the body in held: see hold.c */
    bool request_paused;  /* the front waits for a server to take more */
    bool response_paused; /* the back waits for the client to take more */
    bool streaming;       /* the head went to the current back: body bytes follow */
    bool connected;       /* the current back is ready */
    bool server_held;     /* x->server has our in-flight slot */
    bool raced;           /* an idle connection died as it was used: no other one is taken */
    bool hop_done;        /* req.headers are what servers get */
    struct lt_str allow;  /* for 405 */

    /* Other tries (retry.c). */
    enum lt_cause tries_met; /* what the first one met that was followed by another */
    unsigned tries_status;   /* or the status that was not good enough */
    bool recovered;          /* and a later one was answered */
    bool ended_new;          /* a new connection ended without a byte once */
    bool tried_alive;        /* one that was tried took the connection at least */
    bool budget_spent;       /* no other try for lack of budget */
    bool try_limited;        /* the timer is that of retry.per_try */
    bool try_over;           /* that time is over: the rest is this try's */

    bool grpc;               /* a call: see grpc.c */
    bool streams;            /* the request body goes on as it comes; else it is collected first */
    struct lt_spool spool;   /* the collected body */
    bool body_sent;          /* the current back got the collected body whole */
    bool body_replaced;      /* by a filter: what the client still sends is dropped */
    struct lt_flow *flow[2]; /* by enum lt_side: bodies that filters change (flow.h), or NULL */
    struct lt_headers *accepts;     /* Accept-Encoding of a client whose server got none, or NULL */
    struct lt_body_wait *body_wait; /* a filter waits for a body to be whole, or NULL (body.h) */
    struct lt_chain body;           /* streams: bytes received and not yet sent upstream */
    bool body_started;    /* streams: bytes of it went to a server and are gone: no other try */
    struct lt_chain kept; /* streams: bytes of it that went to a server, for another try */
    const struct lt_headers *res_trailers; /* NULL: none; in the arena */
    struct lt_chain held;                  /* response body bytes that came before relay */
    bool response_ended;                   /* and the server's end of it */
    struct lt_compress compress;
    uint64_t bytes_in, bytes_out; /* body bytes from and to the client */

    struct lt_tunnel *tunnel;  /* after a 101, else NULL; in the arena */
    struct lt_str log_members; /* further members of the access line, once the snapshot is gone */

    uint64_t began_us;      /* monotonic */
    uint64_t deadline_us;   /* the whole ends then; 0: no limit */
    bool deadline_filtered; /* and a filter has said so */
    uint64_t began_wall_us;
    uint64_t step_us[LT_STEP_COUNT]; /* when each step was entered; 0 = never */
    uint64_t upstream_us;            /* when the first server was taken; 0 = none */
    uint64_t upstream_end_us;        /* when the last one ended */

    void *filter_state; /* of filters/ */
    struct lt_deferred deferred;
    struct lt_arena arena;
    _Alignas(16) char arena_first[LT_EXCHANGE_ARENA_FIRST];
};

/* ---- For fronts. ---- */

/* A new exchange for a front that is about to read a head; NULL without memory. The front parses
 * into x->req with x->arena. */
struct lt_exchange *lt_exchange_new(struct lt_exchange_env *env, struct lt_front *front,
                                    unsigned listener) LT_MUST_CHECK;
/* The head is in x->req and was accepted: runs the steps. */
void lt_exchange_begin(struct lt_exchange *x, const struct lt_addr *peer, bool tls);
/* The head was refused: answers with cause, of a kind that the Accept in x->req takes if it got
 * there, and ends. peer as in begin. */
void lt_exchange_refuse(struct lt_exchange *x, enum lt_cause cause, const struct lt_addr *peer,
                        bool tls);
/* The request is malformed and nothing can be answered: it is only logged. The front lets go of x
 * and may be freed after this. peer as in begin. */
void lt_exchange_dismiss(struct lt_exchange *x, enum lt_cause cause, const struct lt_addr *peer,
                         bool tls);
/* Body bytes, borrowed until return. */
void lt_exchange_request_body(struct lt_exchange *x, const char *p, size_t n);
/* How many body bytes may be read now; 0: the front was paused. SIZE_MAX: any number. */
size_t lt_exchange_request_room(struct lt_exchange *x);
void lt_exchange_request_end(struct lt_exchange *x);
/* The body broke a rule or a time limit. */
void lt_exchange_request_fail(struct lt_exchange *x, enum lt_cause cause);
/* End of a turn of reading body bytes. */
void lt_exchange_request_turn(struct lt_exchange *x);
void lt_exchange_front_drained(struct lt_exchange *x);
/* The timer of front ops set_timer fired. */
void lt_exchange_timeout(struct lt_exchange *x);
/* The client is gone: cancels what runs. The front lets go of x and may be freed after this. */
void lt_exchange_front_gone(struct lt_exchange *x, enum lt_cause cause);

/* ---- For steps and filters. ---- */

/* All exchanges of the worker end now with cause (the time for draining is over). */
void lt_exchange_end_all(struct lt_exchange_env *env, enum lt_cause cause);

/* Whether what went wrong in a filter may be told in the answer: this is a developer's gateway, and
 * the peer is on this machine or in `trust`. */
bool lt_exchange_shows_errors(const struct lt_exchange *x);

/* The worker has a new view: who waits for a server goes by what that makes of the upstream. */
void lt_waits_reload(struct lt_exchange_env *env);

/* The worker has a new view or new policies: tunnels whose route it doesn't have, or whose
 * connection doesn't fit any more, get as long as view->drain_ms. */
void lt_tunnels_reload(struct lt_exchange_env *env);

/* Goes on after LT_STEP_WAIT: the step function is called again. */
void lt_exchange_wake(struct lt_exchange *x);

/* Prepares an answer of our own; then the hook returns LT_STEP_FAIL. Texts are copied into x's
 * arena where they don't live there. body.p == NULL makes a problem body. */
struct lt_reply *lt_exchange_reply(struct lt_exchange *x, unsigned status, struct lt_str reason);

/* Gives names to expressions (lt_expr_get_fn); source is the exchange. */
bool lt_exchange_expr_get(void *source, enum lt_expr_name name, struct lt_str key,
                          struct lt_str *out);

/* The whole exchange may take ms from now on, if it has not less. */
void lt_exchange_set_deadline(struct lt_exchange *x, uint64_t ms);

/* Sets user.NAME; copies. list: value is one as by base/members.h. LT_ERR_NOMEM. */
enum lt_err lt_exchange_set_user(struct lt_exchange *x, struct lt_str name, struct lt_str value,
                                 bool list) LT_MUST_CHECK;
/* user.NAME, or NULL. */
const struct lt_user_field *lt_exchange_user(const struct lt_exchange *x, struct lt_str name);

/* Notes for the log which body.max the request went over. */
void lt_exchange_note_body_max(struct lt_exchange *x);

/* Whether x is a gRPC call to servers that can answer one: its request may take any time and have
 * any length, as long as somebody says something now and then. */
bool lt_exchange_is_call(const struct lt_exchange *x);

/* The grpc-status that a call ended with, of the server or of ours; empty: none, or no call. */
struct lt_str lt_exchange_grpc_status(const struct lt_exchange *x);

const char *lt_step_name(enum lt_step step);

#endif
