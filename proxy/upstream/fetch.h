/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of our own to a URL, without an exchange: what filters ask other services. A fetch is
 * carried by the same backs as exchanges: the same framing gate, TLS, idle connections, and the
 * same repetition when an idle connection turns out to be closed.
 *
 *   lt_fetch_start -> [turn] -> [addresses] -> lt_back_open -> response, collected -> fn
 *
 * Where it goes to is its *origin*: scheme, host, port or socket, and terms of TLS. Origins hold
 * the idle connections; they outlive snapshots. A worker's thread. */
#ifndef LT_UPSTREAM_FETCH_H
#define LT_UPSTREAM_FETCH_H

#include "base/buf.h"
#include "http/url.h"
#include "net/addresses.h"
#include "upstream/upstream.h"

#define LT_ORIGINS_MAX 256u                   /* that a worker has connections to or speaks with */
#define LT_FETCHES_MAX 1024u                  /* under way on one worker */
#define LT_ORIGIN_FETCHES_MAX 100u            /* ... to one origin */
#define LT_FETCHES_WAITING_MAX 1024u          /* that wait for their turn on one worker */
#define LT_ORIGIN_WAITING_MAX 100u            /* ... for one origin */
#define LT_FETCH_HELD_MAX ((size_t)64 << 20)  /* bytes of bodies that a worker holds */
#define LT_FETCH_HEADS_MAX ((size_t)16 << 20) /* ... of heads */
#define LT_FETCH_HEAD_MAX ((size_t)64 << 10)
#define LT_FETCH_HEADERS_MAX 200u
#define LT_FETCH_IDLE_MS UINT64_C(30000)        /* until an idle connection is closed */
#define LT_FETCH_IDLE_MAX LT_ORIGIN_FETCHES_MAX /* idle connections to one origin */
#define LT_FETCH_IDLE_ALL_MAX 512u              /* ... to all */
#define LT_FETCH_DETAIL_MAX 400u

enum lt_fetch_error {
    LT_FETCH_OK,
#define X(id, name, doc) LT_FETCH_##id,
#include "upstream/fetch.def"
#undef X
    LT_FETCH_ERRORS
};

/* Its stable name; "" for OK. */
const char *lt_fetch_error_name(enum lt_fetch_error error);
/* The error of that name, LT_FETCH_OK for none. */
enum lt_fetch_error lt_fetch_error_find(struct lt_str name);

/* ---- A worker's origins. ---- */

struct lt_origins;
struct lt_fetch;

/* loop, addresses and metrics (may be NULL) are borrowed. Returns owned. */
struct lt_origins *lt_origins_new(struct lt_loop *loop, struct lt_addresses *addresses,
                                  struct lt_metrics_worker *metrics) LT_MUST_CHECK;
/* Closes idle connections. No fetch may be under way. NULL is fine. */
void lt_origins_free(struct lt_origins *o);

/* From now on nothing goes over a network: answer is called in the place of that, at the end of
 * the turn, and fills f in by lt_fetch_answer or lt_fetch_fail. */
void lt_origins_mock(struct lt_origins *o, void (*answer)(void *arg, struct lt_fetch *f),
                     void *arg);
bool lt_origins_mocked(const struct lt_origins *o);

/* Bytes that one worker's fetches take at most. */
size_t lt_origins_memory(void);

/* How many there are, and how many connections are idle. */
unsigned lt_origins_count(const struct lt_origins *o);
unsigned lt_origins_idle(const struct lt_origins *o);

/* ---- One fetch. ---- */

struct lt_fetch_origin;

typedef void (*lt_fetch_fn)(void *owner);

struct lt_fetch {
    uint32_t magic;
    struct lt_origins *origins;
    struct lt_arena arena; /* of the request's and the response's heads */

    /* What is wanted: set between init and start. Texts are borrowed until fini. */
    struct lt_url url;
    struct lt_addr socket;            /* where it is instead of url's host; len 0: there */
    struct lt_tls_client_policy *tls; /* of url.tls; borrowed until fini */
    struct lt_request req;            /* method and headers; Host is there already */
    struct lt_str body;               /* p NULL: none */
    uint64_t timeout_ms, connect_ms;  /* of all; until there is a connection */
    size_t body_max;                  /* of the response */
    unsigned redirects;               /* that may be followed */

    /* What came: in fn. */
    enum lt_fetch_error error;
    struct lt_str detail;    /* more about it, for people */
    struct lt_response *res; /* error OK only */
    struct lt_buf received;  /* the body */

    /* Private. */
    struct lt_list link; /* in origins->waiting */
    struct lt_fetch_origin *origin;
    struct lt_address_wait wait;
    struct lt_upstream upstream;
    struct lt_server server;
    struct lt_addr addrs[LT_ADDRESSES_MAX]; /* still to be tried */
    unsigned n_addrs;
    struct lt_back *back;
    struct lt_timer timer;
    struct lt_deferred deferred;
    uint64_t end_us, connect_end_us; /* monotonic */
    uint64_t began_us;
    size_t sent; /* bytes of body */
    bool running, connected, request_done, repeated, over;
    lt_fetch_fn fn;
    void *owner;
    char text[LT_FETCH_DETAIL_MAX];
};

/* Readies f, which may hold anything. */
void lt_fetch_init(struct lt_fetch *f, struct lt_origins *origins);

/* Sends it. fn is called once, at the end of a turn; what came is there until fini. */
void lt_fetch_start(struct lt_fetch *f, lt_fetch_fn fn, void *owner);

/* Frees what f holds; one that is under way is given up: its connection is closed, no callback
 * follows. Not from within fn. */
void lt_fetch_fini(struct lt_fetch *f);

/* For a mock: the response, whose headers are in f->arena; or why there is none (detail is copied).
 */
void lt_fetch_answer(struct lt_fetch *f, struct lt_response *res, struct lt_str body);
void lt_fetch_fail(struct lt_fetch *f, enum lt_fetch_error error, struct lt_str detail);

#endif
