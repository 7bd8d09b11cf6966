/* SPDX-License-Identifier: Apache-2.0 */
/* The objects behind one HTTP/2 connection, shared by
 *   front_h2.c           its life: reading, the end
 *   front_h2_frames.c    frames on their way to nghttp2
 *   front_h2_session.c   what nghttp2 tells: heads and bodies to exchanges
 *   front_h2_stream.c    responses: the front's side of one exchange
 *   front_h2_send.c      output, once a turn
 *   front_h2_clocks.c    its time
 *   front_h2_abuse.c     what a client may not do too often
 *
 *   struct lt_front_h2 --- struct lt_front_h2_stream (a struct lt_front) --- struct lt_exchange
 *            |                                  ...
 *        nghttp2_session, struct lt_stream
 */
#ifndef LT_FRONT_FRONT_H2_CONN_H
#define LT_FRONT_FRONT_H2_CONN_H

#include "base/obj.h"
#include "exchange/exchange.h"
#include "front/front_h2.h"
#include "http/h2.h"
#include "net/tls.h"

#define LT_FRONT_H2_MAGIC 0xf4047002u
#define LT_FRONT_H2_STREAM_MAGIC 0xf4047012u

/* Bytes of frames that leave in one system call. */
#define LT_FRONT_H2_OUT 65536u

/* Closed streams that a connection remembers. */
#define LT_FRONT_H2_CLOSED 64u

struct lt_fronts_h2 {
    struct lt_exchange_env *env;
    struct lt_slab slab, streams;
    struct lt_list list; /* struct lt_front_h2 */
    unsigned count;
    nghttp2_session_callbacks *callbacks;
    uint64_t logged_s; /* the second in which an end for breaking rules was logged last */
    unsigned logged;   /* lines in it */
    char *out;         /* frames on their way; LT_FRONT_H2_OUT bytes, between two flushes */
    size_t out_len;
};

enum lt_front_h2_state {
    LT_FRONT_H2_OPEN,
    LT_FRONT_H2_LINGER, /* our side has ended: the client reads our last words */
    LT_FRONT_H2_GONE
};

/* How far the end in order has come (RFC 9113 §6.8). */
enum lt_front_h2_shutdown {
    LT_FRONT_H2_SERVING,
    LT_FRONT_H2_NOTICED, /* told to send no more; what is on its way is served */
    LT_FRONT_H2_LAST     /* the last request that is served was named */
};

/* What is counted per second. */
enum lt_front_h2_kind {
#define X(id, name, limit) LT_FRONT_H2_MANY_##id,
#include "front/front_h2_abuse.def"
#undef X
    LT_FRONT_H2_KINDS
};

/* How a stream ended, for frames that come for it later. */
enum lt_front_h2_how { LT_FRONT_H2_ENDED, LT_FRONT_H2_RESET_BY_PEER, LT_FRONT_H2_RESET_BY_US };

struct lt_front_h2 {
    uint32_t magic;
    enum lt_front_h2_state state;
    enum lt_front_h2_shutdown shutdown;
    struct lt_fronts_h2 *fronts;
    struct lt_list link;
    unsigned listener;
    bool tls;
    bool greeted; /* the client's SETTINGS have come */
    struct lt_stream stream;
    nghttp2_session *session; /* NULL once gone */
    struct lt_addr peer, via;
    void (*on_closed)(void *owner, uint64_t client);
    void *owner;
    uint64_t client;
    uint64_t opened_us;
    unsigned requests;

    struct lt_list streams; /* struct lt_front_h2_stream, all that are open */
    unsigned n_streams;
    unsigned ghosts;       /* cancelled exchanges that are not gone yet; they hold this object */
    bool freeable;         /* all else has let go of it */
    struct lt_list fed;    /* streams whose exchange got body bytes in this turn of reading */
    struct lt_list caught; /* streams whose client has caught up */
    struct {
        int32_t id;
        enum lt_front_h2_how how;
    } closed[LT_FRONT_H2_CLOSED]; /* the last ones, a ring */
    unsigned n_closed;
    int32_t last_id; /* highest that the client has used */

    size_t frame_left;      /* bytes to come of the current frame, at first of the preface */
    unsigned char head[13]; /* of a frame that came in pieces, a PRIORITY's first four bytes too */
    unsigned n_head;
    bool ends_block; /* the current frame has END_HEADERS */

    struct lt_h2_block block;                /* the head or the trailers that come now */
    struct lt_front_h2_stream *block_stream; /* whose; NULL: nobody wants them */
    unsigned continuations;                  /* of that head */

    /* Set inside callbacks of nghttp2, for whoever called it: the connection has to end. */
    uint32_t error; /* NGHTTP2_NO_ERROR: it hasn't */
    enum lt_cause cause;
    const char *why; /* static; for the log */
    uint32_t goaway; /* error that nghttp2 ended the connection with; NGHTTP2_NO_ERROR: it hasn't */
    const char *last_fault; /* what nghttp2 objected to last; static, or NULL */

    uint64_t second; /* in which the counts below were made */
    unsigned counts[LT_FRONT_H2_KINDS];
    unsigned pings_paid, windows_paid; /* frames that answer DATA: not counted */

    struct lt_timer timer;   /* the earliest of all deadlines here and of the streams */
    uint64_t idle_us;        /* deadline: no stream; 0: there are some */
    uint64_t block_us;       /* deadline: the rest of a head; 0: none has begun */
    uint64_t write_us;       /* deadline: the client takes some of what waits; 0: nothing does */
    uint64_t shutdown_us;    /* deadline of the next step of shutdown; 0: none */
    uint64_t linger_us;      /* deadline: the client closes; 0: not LINGER */
    uint64_t taken;          /* lt_stream_taken when write_us was set */
    uint64_t data_out;       /* bytes of DATA that left */
    uint64_t lingered;       /* bytes thrown away */
    struct lt_deferred send; /* the output of this turn */
    struct lt_deferred freeing;
};

/* One stream. */
struct lt_front_h2_stream {
    struct lt_front base;
    uint32_t magic;
    int32_t id;
    struct lt_front_h2 *f;
    struct lt_list link, fed_link, caught_link;
    struct lt_exchange *x; /* NULL once it has finished */
    bool begun;            /* its exchange has the head */
    bool body_done;        /* the client ended its direction */
    bool tunnel;           /* after the answer to an extended CONNECT */
    bool reset;            /* by the client */
    bool submitted;        /* the head is the session's */
    bool bodiless;         /* nothing follows the head */
    bool ended;            /* the response's end was put */
    bool end_sent;         /* and has left */
    bool reset_sent;       /* by us */
    bool deferred;         /* the session waits for more of the body */
    bool was_unsent;       /* the exchange waits to hear that all has left */
    unsigned pauses;       /* reasons */
    size_t held;           /* bytes received that the window hasn't been given back for */
    struct lt_h2_fields head, trailers; /* head: in x's arena, until it is submitted */
    struct lt_chain out;                /* of the response's body, not yet in frames */
    struct lt_chain early;              /* what came for a tunnel before there is one */
    struct lt_arena arena;              /* of trailers */
    uint64_t body_bytes;                /* received */
    uint64_t body_seen, rate_us;        /* as front_h1's body_seen, body_due_us */
    uint64_t data_out;                  /* of the connection, when write_us was set */
    uint64_t exchange_us;               /* deadline of the exchange; 0: none */
    uint64_t body_us;                   /* deadline of the body's next piece; 0: none is awaited */
    uint64_t write_us;                  /* deadline: the client opens its window; 0: not awaited */
};

extern const struct lt_front_ops lt_front_h2_ops;

/* ---- front_h2.c ---- */

const struct lt_front_options *lt_front_h2_options(const struct lt_front_h2 *f);

/* The connection can't go on: closes at once, all that runs ends with cause. Never from within
 * nghttp2. */
void lt_front_h2_close(struct lt_front_h2 *f, enum lt_cause cause);

/* Frees it, once nothing points to it. */
void lt_front_h2_unref(struct lt_front_h2 *f);

/* Ends a turn of reading, or of what a response made possible: exchanges pass on what they got, and
 * windows are given back. */
void lt_front_h2_end_turn(struct lt_front_h2 *f);

/* As close, by an end of our direction after what waits, once the session has said its last: no
 * stream is open, or a rule was broken. */
void lt_front_h2_linger(struct lt_front_h2 *f);

/* Begins the end in order: no new requests, those that run are served. Also from within nghttp2. */
void lt_front_h2_shutdown(struct lt_front_h2 *f);
/* Its next step: names the last request that is served. */
void lt_front_h2_shutdown_last(struct lt_front_h2 *f);

/* Notes that the connection has to end, from within nghttp2 as well. The first call counts. */
void lt_front_h2_fail(struct lt_front_h2 *f, uint32_t error, enum lt_cause cause, const char *why);

/* Does what was noted, if anything: GOAWAY, then the end. Not from within nghttp2. True: it did. */
bool lt_front_h2_failed(struct lt_front_h2 *f);

/* Notes what nghttp2 says of bytes that it can't go on with. */
void lt_front_h2_judge_read(struct lt_front_h2 *f, ssize_t rv);

/* ---- front_h2_frames.c ---- */

/* Gives p[0, n) to nghttp2, up to where the connection fails. */
void lt_front_h2_frames(struct lt_front_h2 *f, const char *data, size_t n);
/* A stream is closed: how, for frames that come for it later. */
void lt_front_h2_remember(struct lt_front_h2 *f, int32_t id, enum lt_front_h2_how how);

/* ---- front_h2_session.c ---- */

nghttp2_session_callbacks *lt_front_h2_callbacks(void) LT_MUST_CHECK;
/* Makes f->session and puts our SETTINGS. False without memory. */
bool lt_front_h2_session(struct lt_front_h2 *f) LT_MUST_CHECK;

/* ---- front_h2_stream.c ---- */

/* A new stream with an exchange; NULL without memory. */
struct lt_front_h2_stream *lt_front_h2_stream_new(struct lt_front_h2 *f, int32_t id) LT_MUST_CHECK;
/* The session doesn't know it any more: ends its exchange with cause if it has one, frees it. */
void lt_front_h2_stream_end(struct lt_front_h2_stream *s, enum lt_cause cause);

/* The exchange that the stream still has is over without an answer: by cause. */
void lt_front_h2_stream_drop(struct lt_front_h2_stream *s, enum lt_cause cause);

/* The request can't be received: its exchange, which there is, answers with cause. */
void lt_front_h2_stream_fail(struct lt_front_h2_stream *s, enum lt_cause cause);

/* Resets it (RST_STREAM), if the session still has it. */
void lt_front_h2_stream_reset(struct lt_front_h2_stream *s, uint32_t error);

/* Gives the window of what was received back, if nothing is paused. */
void lt_front_h2_stream_consume(struct lt_front_h2_stream *s);

/* Gives a tunnel what came before it was one. */
void lt_front_h2_stream_early(struct lt_front_h2_stream *s);

/* ---- front_h2_send.c ---- */

/* Something is to be sent: at the end of this turn. */
void lt_front_h2_schedule(struct lt_front_h2 *f);
/* Sends now. arg: the front. It may be closed afterwards. */
void lt_front_h2_send(void *arg);
/* Only asks the session for frames and sends them; *sent: bytes. Not from within nghttp2. */
enum lt_err lt_front_h2_write(struct lt_front_h2 *f, size_t *sent) LT_MUST_CHECK;

/* nghttp2's: what of the body goes into the next frame, and that frame. */
ssize_t lt_front_h2_on_read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                                 uint32_t *flags, nghttp2_data_source *source, void *arg);
int lt_front_h2_on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd,
                             size_t length, nghttp2_data_source *source, void *arg);

/* ---- front_h2_clocks.c ---- */

/* The timer's function. arg: the front. */
void lt_front_h2_on_timer(void *arg);
/* Sets *deadline_us, of this connection or one of its streams, ms from now. */
void lt_front_h2_set(struct lt_front_h2 *f, uint64_t *deadline_us, uint64_t ms);
bool lt_front_h2_is_old(const struct lt_front_h2 *f);
/* While no stream is open, idleness and age count; at first the client's SETTINGS are waited for as
 * for a head. */
void lt_front_h2_watch_idle(struct lt_front_h2 *f);
void lt_front_h2_watch_write(struct lt_front_h2 *f);
void lt_front_h2_begin_body(struct lt_front_h2_stream *s);
void lt_front_h2_watch_body(struct lt_front_h2_stream *s);

/* ---- front_h2_abuse.c ---- */

/* Counts one more of that kind; over its limit the connection fails. */
void lt_front_h2_count(struct lt_front_h2 *f, enum lt_front_h2_kind kind);
/* A frame has begun to come: counts what is counted by its head. */
void lt_front_h2_count_frame(struct lt_front_h2 *f, const nghttp2_frame_hd *hd);
/* A DATA frame came, which the client may ping about. */
void lt_front_h2_pay_received(struct lt_front_h2 *f);
/* One with n bytes was sent: the client may ping about it and open its windows again, as clients of
 * gRPC do for each message in it. */
void lt_front_h2_pay_sent(struct lt_front_h2 *f, size_t n);

#endif
