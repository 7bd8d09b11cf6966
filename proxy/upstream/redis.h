/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of Redis by filters. All calls of a worker to one server share few connections, over which
 * they are pipelined: what is written in a turn of the loop leaves at once, replies come in the
 * order of the commands.
 *
 *   lt_redis_call_start -> service (what a URL names) -> node (a server) -> connection -> fn
 *
 * A server that can't be reached is down: calls fail at once, and it is tried again in the
 * background, at least every second, while anybody wants it. A worker's thread. */
#ifndef LT_UPSTREAM_REDIS_H
#define LT_UPSTREAM_REDIS_H

#include "net/addresses.h"
#include "net/tls_client.h"
#include "shared/metrics.h"
#include "upstream/redis_reply.h"
#include "upstream/redis_url.h"

#define LT_REDIS_SERVICES_MAX 64u                /* URLs that one worker remembers */
#define LT_REDIS_NODES_MAX 512u                  /* their servers, of one worker */
#define LT_REDIS_CONNS_MAX 4u                    /* connections to one server */
#define LT_REDIS_CONNS_ALL_MAX 512u              /* ... of one worker */
#define LT_REDIS_SPREAD 64u                      /* commands on each when one more is opened */
#define LT_REDIS_IN_FLIGHT_MAX 1024u             /* commands on one connection */
#define LT_REDIS_UNSENT_MAX ((size_t)1 << 20)    /* bytes that wait on one for being sent */
#define LT_REDIS_CALLS_MAX 4096u                 /* under way on one worker */
#define LT_REDIS_PIPELINE_MAX 500u               /* commands of one call */
#define LT_REDIS_REQUEST_MAX LT_REDIS_UNSENT_MAX /* bytes of one call's commands */
#define LT_REDIS_HELD_MAX ((size_t)16 << 20)     /* bytes of replies that a worker holds */
#define LT_REDIS_IDLE_MS UINT64_C(60000)         /* until an unused connection is closed */
#define LT_REDIS_RETRY_MS 1000u            /* at most between tries of a server that is down */
#define LT_REDIS_WANTED_MS UINT64_C(30000) /* how long it is tried after the last call */
#define LT_REDIS_DETAIL_MAX 300u

enum lt_redis_error {
    LT_REDIS_OK,
#define X(id, name, doc) LT_REDIS_##id,
#include "upstream/redis.def"
#undef X
    LT_REDIS_ERRORS
};

/* Its stable name; "" for OK. */
const char *lt_redis_error_name(enum lt_redis_error error);
/* The error of that name, LT_REDIS_OK for none. */
enum lt_redis_error lt_redis_error_find(struct lt_str name);

/* Why filters may not give the command (as lt_redis_command_next has it): static, for people.
 * NULL: they may. Connections are shared, so that nothing may change what they are or keep them
 * waiting. */
const char *lt_redis_refused(struct lt_str command);

/* ---- A worker's part. ---- */

struct lt_redis;
struct lt_redis_call;

/* loop, addresses and metrics (may be NULL) are borrowed. Returns owned. */
struct lt_redis *lt_redis_new(struct lt_loop *loop, struct lt_addresses *addresses,
                              struct lt_metrics_worker *metrics) LT_MUST_CHECK;
/* Closes all connections. No call may be under way. NULL is fine. */
void lt_redis_free(struct lt_redis *r);

/* From now on nothing goes over a network: answer is called in the place of that, at the end of the
 * turn, and fills the call in by lt_redis_call_begin and the like, or lt_redis_call_fail. */
void lt_redis_mock(struct lt_redis *r, void (*answer)(void *arg, struct lt_redis_call *call),
                   void *arg);
bool lt_redis_mocked(const struct lt_redis *r);

/* Bytes that one worker's calls take at most. */
size_t lt_redis_memory(void);

/* Connections that are open or being opened. */
unsigned lt_redis_connections(const struct lt_redis *r);

/* ---- One call: a command, or several that leave together. ---- */

typedef void (*lt_redis_fn)(void *owner);

struct lt_redis_command;
struct lt_redis_service;
struct lt_redis_node;

struct lt_redis_call {
    uint32_t magic;
    struct lt_redis *redis;

    /* What is wanted: set between init and start. All is borrowed until fini. */
    const struct lt_redis_url *url;
    struct lt_tls_client_policy *tls; /* of url->tls */
    struct lt_str text;               /* the commands, in RESP */
    unsigned n;                       /* how many these are, 1 to LT_REDIS_PIPELINE_MAX */
    uint64_t timeout_ms, connect_ms;  /* of all; until there is a connection */

    /* What came: in fn. */
    enum lt_redis_error error;
    struct lt_str detail;   /* more about it, for people */
    struct lt_buf received; /* records of all replies, see lt_redis_call_reply */

    /* Private. */
    struct lt_redis_service *service;
    struct lt_redis_node *node;        /* not NULL: the only one to ask */
    struct lt_redis_command *commands; /* n; owned */
    unsigned left;                     /* replies to come */
    size_t counted;                    /* bytes of received that redis->held has */
    bool sent, over;
    uint64_t began_us;
    struct lt_timer timer;
    struct lt_deferred deferred;
    lt_redis_fn fn;
    void *owner;
    char why[LT_REDIS_DETAIL_MAX];
};

/* Readies call, which may hold anything. */
void lt_redis_call_init(struct lt_redis_call *call, struct lt_redis *redis);

/* Sends it. fn is called once, at the end of a turn; what came is there until fini. */
void lt_redis_call_start(struct lt_redis_call *call, lt_redis_fn fn, void *owner);

/* Frees what call holds; one that is under way is given up: no callback follows, and what comes for
 * it is thrown away. Not from within fn. */
void lt_redis_call_fini(struct lt_redis_call *call);

/* The records of the reply to command number i; error OK only. */
struct lt_str lt_redis_call_reply(const struct lt_redis_call *call, unsigned i);

/* For a mock: what is appended to call->received from here on is the reply to command number i, in
 * order; end when all are there; fail: why there is none (detail is copied). */
void lt_redis_call_begin(struct lt_redis_call *call, unsigned i);
void lt_redis_call_end(struct lt_redis_call *call);
void lt_redis_call_fail(struct lt_redis_call *call, enum lt_redis_error error,
                        struct lt_str detail);

#endif
