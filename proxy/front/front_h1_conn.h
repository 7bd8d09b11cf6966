/* SPDX-License-Identifier: Apache-2.0 */
/* The object behind one HTTP/1 connection, shared by front_h1.c (its life), front_h1_clocks.c
 * (its time), front_h1_request.c (the request's bytes) and front_h1_response.c (the response's). */
#ifndef LT_FRONT_FRONT_H1_CONN_H
#define LT_FRONT_FRONT_H1_CONN_H

#include "base/obj.h"
#include "exchange/exchange.h"
#include "front/front_h1.h"
#include "front/front_h2.h"
#include "http/h1.h"

#define LT_FRONT_H1_MAGIC 0xf4047001u

enum lt_front_h1_state {
    LT_FRONT_H1_HANDSHAKE,
    LT_FRONT_H1_IDLE,
    LT_FRONT_H1_HEAD,
    LT_FRONT_H1_EXCHANGE,
    LT_FRONT_H1_TUNNEL, /* after a 101: bytes pass as they are */
    LT_FRONT_H1_DISCARD,
    LT_FRONT_H1_LINGER,
    LT_FRONT_H1_CLOSED
};

#define LT_FRONT_H1_LINE (LT_H1_CHUNK_LINE_MAX + 2)

struct lt_fronts {
    struct lt_exchange_env *env;
    struct lt_slab slab;
    struct lt_list list; /* struct lt_front_h1 */
    unsigned count;
    struct lt_fronts_h2 *h2; /* those that turned out to speak HTTP/2 */
};

struct lt_front_h1 {
    struct lt_front base;
    uint32_t magic;
    enum lt_front_h1_state state;
    struct lt_fronts *fronts;
    struct lt_list link;
    unsigned listener;
    bool tls;
    bool keep_alive;   /* after the current response */
    bool outdated;     /* its TLS policy is another one now: no further request */
    bool body_done;    /* the current request was received whole */
    bool chunked;      /* the current response is sent in chunks */
    bool until_close;  /* ... or ends with the connection */
    bool client_eof;   /* the client ended its direction */
    bool end_seen;     /* it did, behind what wasn't read yet */
    bool was_unsent;   /* the exchange waits to hear that all has left */
    unsigned head_put; /* slices put before the current response, and bytes sent */
    uint64_t head_at;
    unsigned requests;
    uint64_t lingered; /* bytes thrown away */
    uint64_t taken;    /* lt_stream_taken when the write timer was set */
    struct lt_stream stream;
    struct lt_addr peer;            /* who connected: the socket's, or what its PROXY header says */
    struct lt_addr via;             /* the socket's, if the header says another one; else len 0 */
    struct lt_timer timer;          /* of the connection's state */
    struct lt_timer exchange_timer; /* lent to the exchange */
    struct lt_deferred deferred;    /* going on with `in`, or the free */
    struct lt_exchange *x;          /* the current exchange, or NULL */
    struct lt_buf in;               /* received and not yet consumed */
    void (*on_closed)(void *owner, uint64_t client);
    void *owner;
    uint64_t client;      /* for on_closed */
    uint64_t opened_us;   /* monotonic */
    uint64_t body_seen;   /* stream.bytes_in when body_due_us was set */
    uint64_t body_due_us; /* when the request body has to go on at the latest, by the rate */
    unsigned line;        /* next of lines */
    char (*lines)[LT_FRONT_H1_LINE]; /* LT_STREAM_IOV_MAX chunk lines until the next flush, in x's
                                      * arena; NULL: none yet */
    struct lt_h1_scan scan;
    struct lt_h1 parser;
};

extern const struct lt_front_ops lt_front_h1_ops;

/* The limits of the listener that the connection came in on. */
const struct lt_front_options *lt_front_h1_options(const struct lt_front_h1 *f);

/* Closes the connection, so or by a reset; the object goes at the end of the turn. */
void lt_front_h1_close(struct lt_front_h1 *f);
void lt_front_h1_reset(struct lt_front_h1 *f);

/* Our direction is ended; what the client still sends is thrown away for a while, so that it reads
 * the response instead of a reset (RFC 9112 §9.6). */
void lt_front_h1_linger(struct lt_front_h1 *f);

/* Ready for the next request. */
void lt_front_h1_go_idle(struct lt_front_h1 *f);

/* Goes on with what was kept, once an exchange is over. arg: the front. */
void lt_front_h1_go_on(void *arg);

/* ---- front_h1_clocks.c ---- */

/* Whether the connection has reached the age at which its next response closes it. */
bool lt_front_h1_is_old(const struct lt_front_h1 *f);

/* The next request is waited for, as long as idleness and age allow. */
void lt_front_h1_watch_idle(struct lt_front_h1 *f);

/* The request body is waited for: from now on, and on after a piece of it came. */
void lt_front_h1_begin_body(struct lt_front_h1 *f);
void lt_front_h1_watch_body(struct lt_front_h1 *f);
/* The request is whole: how long the client may take what waits for it, or wait for more once it
 * has ended its direction. One that isn't read from, since it asked for more already, is looked for
 * now and then: the answer to that is _look. */
void lt_front_h1_watch_client(struct lt_front_h1 *f);
/* Whether the client is still there; else the exchange is to be ended. */
bool lt_front_h1_look(struct lt_front_h1 *f);
/* Why a body that did not arrive in time is refused. */
enum lt_cause lt_front_h1_late_body(const struct lt_front_h1 *f);

/* Gives the memory of an empty `in` back. */
void lt_front_h1_release_in(struct lt_front_h1 *f);

/* The client speaks HTTP/2: hands the connection over, with p[0, n), which was read already. */
void lt_front_h1_to_h2(struct lt_front_h1 *f, const char *p, size_t n);

/* front_h1_request.c: answers what can't be served with cause, and ends the connection. */
void lt_front_h1_refuse(struct lt_front_h1 *f, enum lt_cause cause);

/* front_h1_request.c: reads what the client sent. owner is the front. */
void lt_front_h1_on_readable(void *owner);

/* Something waits for the client: it has time to read on from now. */
void lt_front_h1_watch_write(struct lt_front_h1 *f);

#endif
