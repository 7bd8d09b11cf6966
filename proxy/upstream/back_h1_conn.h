/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of the HTTP/1 back. For back_h1.c (life, opening, the request) and
 * back_h1_response.c (the response). */
#ifndef LT_UPSTREAM_BACK_H1_CONN_H
#define LT_UPSTREAM_BACK_H1_CONN_H

#include "base/obj.h"
#include "http/h1.h"
#include "upstream/back_h1.h"
#include "upstream/dial.h"

#define LT_BACK_H1_MAGIC 0xbac40001u

enum lt_back_h1_state {
    LT_BACK_H1_CONNECTING,
    LT_BACK_H1_BUSY,
    LT_BACK_H1_IDLE,
    LT_BACK_H1_CLOSED
};

struct lt_back_h1 {
    struct lt_back base;
    uint32_t magic;
    enum lt_back_h1_state state;
    struct lt_pools *pools;
    struct lt_pool *pool;
    struct lt_stream stream;
    struct lt_dial dial;
    struct lt_timer timer; /* idle time in the pool; wait for a reset */
    struct lt_list idle_link;
    uint64_t opened_us;
    uint64_t idle_since_us;
    uint64_t idle_us;            /* how long it was before this exchange */
    uint64_t rest_until_us;      /* not used again before; 0: at once */
    uint64_t told_ms;            /* the server keeps it that long when idle; UINT64_MAX: not said */
    struct lt_deferred deferred; /* free, or a failure to be told outside the caller's stack */
    bool reused;

    /* Of the exchange being served. */
    struct lt_server *server;
    const struct lt_back_events *events; /* NULL: none */
    void *owner;
    struct lt_arena *arena;
    enum lt_method method;
    bool chunked;        /* the request body is sent in chunks */
    bool request_done;   /* and was sent whole */
    bool head_done;      /* the response head was given out */
    bool keep_alive;     /* the server lets the connection live */
    bool bodiless;       /* the response has no body, but a sloppy server may send one */
    bool announced;      /* and its head speaks of one, or did for a GET */
    bool tunnel;         /* a 101 came: what follows is neither read nor framed */
    struct lt_str offer; /* protocols that the server may switch to, in the arena */
    unsigned n_informational;
    char *head; /* beginning of a response head that came in pieces, in the arena */
    size_t head_len, head_cap;
    uint64_t bytes_sent, bytes_received;
    int fail_errno;
    struct lt_str detail; /* of the failure */
    unsigned reset_ms;    /* the server has ended; after this a reset is looked for again; 0: no */
    unsigned writes;      /* of this request; one that was cut short counts twice */
    uint64_t wire_at;     /* bytes that had left before it */
    uint64_t written_us;  /* when it was written */
    unsigned line;        /* next of lines */
    char lines[LT_STREAM_IOV_MAX][LT_H1_CHUNK_LINE_MAX + 2]; /* chunk lines until the next flush */
    struct lt_headers trailers;                              /* of the response */
    struct lt_h1_scan scan;
    struct lt_h1 parser;
};

/* What a connection that is busy or idle tells of. */
extern const struct lt_stream_ops lt_back_h1_stream_ops;

/* The exchange is over for this connection: it goes to its pool or is closed. */
void lt_back_h1_retire(struct lt_back_h1 *b);

/* Whether a reset now would mean that the server hasn't read the request whole. */
bool lt_back_h1_small(const struct lt_back_h1 *b);

/* The server ended without a byte. If its reset can still say that it read nothing, it is waited
 * for: some shut a connection down before they close it. False: nothing can come of that. */
bool lt_back_h1_await_reset(struct lt_back_h1 *b);

/* The server sends a body where none may be: nobody gets it, and the connection ends after the
 * response. */
void lt_back_h1_drop_body(struct lt_back_h1 *b);

/* Closes the connection and tells the exchange why; reset: the server did so by a reset. */
void lt_back_h1_fail(struct lt_back_h1 *b, enum lt_cause cause, int sys_errno, bool reset);

#endif
