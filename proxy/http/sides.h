/* SPDX-License-Identifier: Apache-2.0 */
/* The tables that join the two sides of an exchange with its middle. Front: the client's side, one
 * per request (HTTP/1 connection or HTTP/2 stream). Back: the server's side. The middle asks
 * neither for its protocol version.
 *
 *    front --lt_exchange_* calls-->  exchange  --lt_back_ops-->  back
 *    front <--lt_front_ops---------  exchange  <--lt_back_events-- back
 *
 * Whatever is handed over as (pointer, length) is borrowed until the next flush of that side. Bytes
 * put since the last flush leave in one system call. All on the worker's thread. */
#ifndef LT_HTTP_SIDES_H
#define LT_HTTP_SIDES_H

#include "base/addr.h"
#include "base/cause.h"
#include "http/message.h"

/* Why a side is paused; it reads again when the last reason is gone. */
enum lt_pause {
    LT_PAUSE_PEER = 1 << 0, /* the other side can't take more */
    LT_PAUSE_STEP = 1 << 1, /* the exchange isn't ready for body data yet */
    LT_PAUSE_PIPE = 1 << 2, /* HTTP/1: a pipelined request waits for its turn */
    LT_PAUSE_LIMIT = 1 << 3 /* buffers are full */
};

struct lt_front;
struct lt_back;

struct lt_front_ops {
    const char *name; /* "HTTP/1.1" */
    /* 1xx responses (100, 103); headers may be NULL. Flushes itself. */
    void (*send_informational)(struct lt_front *front, unsigned status,
                               const struct lt_headers *headers);
    /* The final head, or a 101 with res->upgrade: from then on bytes pass as they are in both
     * directions, and send_end ends ours only. body says what follows: NONE and LENGTH as in the
     * head, CHUNKED when the length isn't known (the front decides how to frame it). Adds framing
     * and connection fields itself. */
    enum lt_err (*send_head)(struct lt_front *front, struct lt_response *res, bool bodiless);
    enum lt_err (*send_body)(struct lt_front *front, const char *p, size_t n);
    /* The end; trailers may be NULL. The exchange lets go of the front after flush. */
    enum lt_err (*send_end)(struct lt_front *front, const struct lt_headers *trailers);
    /* Sends all that was put. LT_OK also when part of it waits for the client. */
    enum lt_err (*flush)(struct lt_front *front);
    /* Bytes that wait for the client. on_front_drained comes when they fall to 0 after being over
     * what the exchange tolerates. */
    size_t (*unsent)(struct lt_front *front);
    /* The response can't be completed: make the cut visible (RFC 9112 §8, RFC 9113 §8.1). */
    void (*abort)(struct lt_front *front, enum lt_cause cause);
    /* Takes back what was put since send_head, if nothing of it has left: another head may follow.
     * False: the client may have seen some of it. */
    bool (*take_back)(struct lt_front *front);
    /* The exchange is over; response_ok: it was sent whole. The front goes on or closes. After this
     * neither knows the other. */
    void (*finish)(struct lt_front *front, bool response_ok);
    void (*pause)(struct lt_front *front, enum lt_pause reason);
    void (*resume)(struct lt_front *front, enum lt_pause reason);
    /* The exchange's timer lives with the front, so that in the steady state it is never armed
     * anew: calls lt_exchange_timeout ms from now unless set again; 0 clears it. */
    void (*set_timer)(struct lt_front *front, uint64_t ms);
    /* The address on which the client's connection came in; len 0: not known. Asks the kernel. */
    void (*local)(struct lt_front *front, struct lt_addr *out);
};

struct lt_front {
    const struct lt_front_ops *ops;
};

/* What a failed back knows, so that the exchange can decide on another try. */
struct lt_back_failure {
    enum lt_cause cause;
    int sys_errno;           /* 0 when no system call failed */
    bool reused;             /* the connection had served another exchange before */
    bool connected;          /* it was established */
    bool reset;              /* it was reset rather than closed */
    bool unread;             /* the server can't have read the whole request */
    uint64_t bytes_sent;     /* of this request that left */
    uint64_t bytes_received; /* of the response */
    struct lt_str detail;    /* more about the cause for the log; borrowed until return */
};

/* What a back tells its exchange; owner is the exchange. After on_end and on_fail the back is gone.
 */
struct lt_back_events {
    /* Asked before a new connection is opened: what goes over it before all else, TLS too (a PROXY
     * header); in the exchange's arena, may be empty. False without memory. */
    bool (*on_preface)(void *owner, struct lt_str *out);
    void (*on_connected)(void *owner, bool reused);
    void (*on_informational)(void *owner, const struct lt_response *res);
    void (*on_head)(void *owner, struct lt_response *res);
    void (*on_body)(void *owner, const char *p, size_t n); /* borrowed until return */
    /* Asked before each read: how many bytes it may take. 0: the back was paused. */
    size_t (*on_room)(void *owner);
    void (*on_end)(void *owner, const struct lt_headers *trailers);
    /* Tunnels only: the server ended its direction. The back stays until it is cancelled. */
    void (*on_eof)(void *owner);
    /* A turn of reading is over: flush what was put. Never after on_end or on_fail. */
    void (*on_turn)(void *owner);
    void (*on_drained)(void *owner); /* request bytes that waited have left */
    void (*on_fail)(void *owner, const struct lt_back_failure *failure);
};

struct lt_back_ops {
    const char *name;
    /* Puts the head; headers are final (http/hop.h was applied). */
    enum lt_err (*send_head)(struct lt_back *back, const struct lt_request *req,
                             struct lt_str target);
    enum lt_err (*send_body)(struct lt_back *back, const char *p, size_t n);
    /* In a tunnel: ends our direction, once all has left. */
    enum lt_err (*send_end)(struct lt_back *back, const struct lt_headers *trailers);
    enum lt_err (*flush)(struct lt_back *back);
    size_t (*unsent)(struct lt_back *back);
    void (*pause)(struct lt_back *back, enum lt_pause reason);
    void (*resume)(struct lt_back *back, enum lt_pause reason);
    /* The server was waited for in vain. NULL where that tells nothing about other exchanges. */
    void (*doubt)(struct lt_back *back);
    /* The exchange needs it no more: closes, no events follow. */
    void (*cancel)(struct lt_back *back);
};

struct lt_back {
    const struct lt_back_ops *ops;
};

#endif
