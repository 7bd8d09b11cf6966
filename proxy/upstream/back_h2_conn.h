/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of the HTTP/2 back and its streams. For back_h2.c (life of connections),
 * back_h2_session.c, back_h2_request.c (what exchanges send) and back_h2_response.c (what servers
 * send). */
#ifndef LT_UPSTREAM_BACK_H2_CONN_H
#define LT_UPSTREAM_BACK_H2_CONN_H

#include "base/obj.h"
#include "http/h2.h"
#include "upstream/back_h2.h"
#include "upstream/dial.h"

#define LT_BACK_H2_MAGIC 0xbac40002u
#define LT_BACK_H2_CONN_MAGIC 0xbac4c002u

/* Window of a new stream; it grows to the option's once its exchange takes what comes (RFC 9113
 * §6.9.2), so that streams which nobody reads can't fill the memory for bodies. */
#define LT_BACK_H2_WINDOW_FIRST 65535u

/* Streams that a server is believed to take before its SETTINGS are there (RFC 9113 §6.5.2). */
#define LT_BACK_H2_STREAMS_FIRST 100u

enum lt_back_h2_conn_state {
    LT_BACK_H2_CONNECTING, /* streams wait */
    LT_BACK_H2_OPEN,
    LT_BACK_H2_RETIRING, /* takes no new streams, closes after the last one */
    LT_BACK_H2_CLOSED    /* gone at the end of the turn */
};

struct lt_back_h2_conn {
    uint32_t magic;
    enum lt_back_h2_conn_state state;
    struct lt_pools *pools;
    struct lt_pool *pool;
    struct lt_list link; /* in pool->h2 while it takes streams */
    struct lt_stream stream;
    struct lt_dial dial;
    nghttp2_session *session;
    struct lt_back_h2_options options; /* those that it was opened with */
    size_t head_max;                   /* that too */
    struct lt_list waiting;            /* struct lt_back_h2, until the connection is open */
    struct lt_list streams;            /* struct lt_back_h2 */
    struct lt_list touched;            /* of them, who got something in this turn of reading */
    struct lt_list drained;            /* of them, whose waiting bytes have left */
    unsigned n_streams;                /* waiting ones too */
    uint32_t served;                   /* streams so far */
    bool idle;                         /* counted so in pools */
    bool heard;                        /* the server sent something */
    bool settings_seen;                /* its first SETTINGS came */
    bool pinged;                       /* and nothing came since */
    bool doubted; /* somebody waited in vain, and nothing came since: others go elsewhere */
    bool deaf;    /* writing failed: what the server said still comes by reading */
    uint64_t opened_us;
    uint64_t read_us;                               /* when something came last */
    uint64_t second;                                /* in which control frames are counted */
    unsigned control;                               /* so many */
    unsigned resets_paid, windows_paid, pings_paid; /* frames that are accounted for */
    struct lt_str detail;                           /* why the connection can't go on, static */
    char broken[LT_H2_FIELD_SHOWN]; /* name of the field that nghttp2 objected to last */
    size_t broken_len;
    struct lt_timer timer; /* idle: until it is closed; else until it is asked for a sign of life */
    struct lt_deferred sending, deferred;
};

enum lt_back_h2_state {
    LT_BACK_H2_WAITING, /* for the connection */
    LT_BACK_H2_READY,   /* the exchange may send */
    LT_BACK_H2_HELD,    /* wants what the server's SETTINGS must allow first */
    LT_BACK_H2_BUSY,    /* has a stream */
    LT_BACK_H2_OVER     /* gone at the end of the turn */
};

struct lt_back_h2 {
    struct lt_back base;
    uint32_t magic;
    enum lt_back_h2_state state;
    struct lt_pools *pools;
    struct lt_back_h2_conn *conn; /* until it is over */
    struct lt_server *server;     /* as long as its exchange holds it */
    struct lt_list link, touch_link, drain_link;
    struct lt_deferred deferred;
    const struct lt_back_events *events;
    void *owner;
    struct lt_arena *arena;
    enum lt_method method;
    const struct lt_upstream *upstream; /* until it is a tunnel */
    size_t head_max;                    /* limits of response heads, as in struct lt_upstream */
    unsigned headers_max;
    bool reused; /* the connection had other streams before */

    /* The request. */
    int32_t id;                         /* of the stream */
    struct lt_h2_fields head, trailers; /* in the arena */
    struct lt_chain out;                /* body bytes that wait for the server's window */
    struct lt_str offer;  /* of RFC 8441: the protocol that is asked for; else empty */
    struct lt_str ws_key; /* the client's Sec-WebSocket-Key */
    bool ended;           /* the exchange put all */
    bool sent;            /* and all has left */
    bool on_wire;         /* the head has left: the server may have acted */
    uint64_t asked_us;    /* when that was */
    bool unsendable;      /* the head can't be sent: our fault */
    uint64_t bytes_sent;

    /* The response. */
    struct lt_response *res;          /* being read; in the arena */
    struct lt_headers trailer_fields; /* of the response */
    struct lt_h2_block block;         /* of either, being read */
    unsigned n_informational;
    bool head_done;
    bool tunnel;          /* bytes pass as they are, and each direction has its end */
    bool eof;             /* of a tunnel: the server ended its direction */
    unsigned paused;      /* bits of enum lt_pause; no credit is given then */
    bool grown;           /* its window has the size of the option */
    bool was_reset;       /* by the server, with code */
    struct lt_str detail; /* which rule the response broke, static or in the arena */
    size_t owed;          /* bytes received for which the server got no credit yet */
    uint64_t bytes_received;
};

/* back_h2.c */

/* What was submitted leaves at the end of the turn, together with what others submit until then. */
void lt_back_h2_want_send(struct lt_back_h2_conn *c);

/* Takes b off its connection; the object goes at the end of the turn. */
void lt_back_h2_detach(struct lt_back_h2 *b);

/* Detaches b and tells its exchange why. unread: the server did nothing for it. */
void lt_back_h2_fail(struct lt_back_h2 *b, enum lt_cause cause, bool unread, struct lt_str detail);

/* Closes the connection; what its streams had is lost. cause NONE: it ended, by a reset or not. */
void lt_back_h2_conn_fail(struct lt_back_h2_conn *c, enum lt_cause cause, int sys_errno,
                          bool reset);

/* Takes no new streams; closes once there is none. */
void lt_back_h2_conn_retire(struct lt_back_h2_conn *c);

/* Asks the server for a sign of life, which has to come in time. */
void lt_back_h2_ping(struct lt_back_h2_conn *c);

struct lt_back_h2 *lt_back_h2_of_stream(struct lt_back_h2_conn *c, int32_t id);

/* back_h2_session.c */

/* Makes c->session, with our SETTINGS put, by c's options. False without memory. */
bool lt_back_h2_start_session(struct lt_back_h2_conn *c) LT_MUST_CHECK;

/* back_h2_abuse.c */

/* One more frame that costs work and carries no message; over the limit the connection fails. */
void lt_back_h2_count(struct lt_back_h2_conn *c);
/* A frame has begun to come: counts what is counted by its head. */
void lt_back_h2_count_frame(struct lt_back_h2_conn *c, const nghttp2_frame_hd *hd);
/* We sent a frame that the server may answer with frames of that kind. */
void lt_back_h2_pay(struct lt_back_h2_conn *c, const nghttp2_frame_hd *hd);

/* back_h2_request.c */

extern const struct lt_back_ops lt_back_h2_ops;

/* The server's SETTINGS are there: what waited for them goes on or fails. */
void lt_back_h2_go_on(struct lt_back_h2 *b);

/* back_h2_response.c */

/* The callbacks for nghttp2 that read; user_data is the connection. */
void lt_back_h2_set_callbacks(nghttp2_session_callbacks *callbacks);

/* The server may send as many bytes more as it has sent, unless the exchange is paused. */
void lt_back_h2_give_credit(struct lt_back_h2 *b);

/* What the exchanges got in this turn leaves; the server gets credit for it. */
void lt_back_h2_end_turn(struct lt_back_h2_conn *c);

#endif
