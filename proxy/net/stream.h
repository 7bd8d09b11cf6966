/* SPDX-License-Identifier: Apache-2.0 */
/* A non-blocking byte stream over a socket, plain or TLS: what fronts, backs and everything else
 * reads from and writes to. One worker.
 *
 *   reading   on_readable -> lt_stream_recv into the caller's memory until LT_AGAIN
 *   writing   lt_stream_put (borrows), put, put, lt_stream_flush: one system call for all;
 *             what the socket didn't take is copied and sent later, then on_drained
 *   pausing   by reasons; reads go on when the last one is gone
 *
 * TLS keeps its records in the stream's queue (own BIO), so that what waits is ciphertext and there
 * are no write-retry rules. */
#ifndef LT_NET_STREAM_H
#define LT_NET_STREAM_H

#include "base/addr.h"
#include "net/loop.h"

struct lt_stream;
struct lt_tls;

struct lt_stream_ops {
    /* Bytes or the end of the stream can be read. */
    void (*on_readable)(void *owner);
    /* Everything that waited has left; or it never will: then s->failed is set, what waited was
     * dropped, and the next put or flush gives the error. */
    void (*on_drained)(void *owner);
    /* TLS only: the handshake is over (err LT_OK) or failed. */
    void (*on_handshake)(void *owner, enum lt_err err);
};

#define LT_STREAM_IOV_MAX 16

/* How often an owner reads in one on_readable: then the others have their turn. */
#define LT_STREAM_READS 2u

struct lt_stream {
    uint32_t magic;
    int fd; /* -1: closed */
    struct lt_loop *loop;
    const struct lt_stream_ops *ops;
    void *owner;
    struct lt_tls *tls; /* NULL: plain; owned */
    ev_io rd, wr;
    unsigned pause_reasons; /* bits of the owner's choosing; 0 = reading */
    int sys_errno;          /* of the last failure */
    bool drained_socket;    /* the last read was short: nothing more is there now */
    bool eof;               /* the peer ended its direction and the owner was told */
    bool failed;            /* writing failed for good, write_err says how */
    bool handshaking;       /* TLS: not over yet */
    bool read_again;        /* decrypted bytes wait inside TLS */
    bool end_wanted;        /* our direction ends once nothing waits */
    enum lt_err write_err;  /* LT_OK until writing failed */
    unsigned n_put;         /* slices since the last flush */
    struct iovec put[LT_STREAM_IOV_MAX];
    struct lt_chain unsent;       /* what the socket didn't take (ciphertext for TLS) */
    struct lt_deferred again;     /* reads on when read_again was left over a pause */
    uint64_t bytes_in, bytes_out; /* of the application */
    uint64_t wire_out;            /* that the socket took */
};

/* Takes fd (non-blocking, connected or accepted); s may hold anything and stays where it is. ops
 * and owner are borrowed for the stream's life. Reading starts at once. */
void lt_stream_open(struct lt_stream *s, struct lt_loop *loop, int fd,
                    const struct lt_stream_ops *ops, void *owner);

/* Closes the socket now; unsent bytes are lost. No callback comes afterwards. Also for one that was
 * never opened if zeroed. Sends close_notify if TLS and nothing waits. */
void lt_stream_close(struct lt_stream *s);

/* As close, but the peer sees a reset: for messages that were cut. */
void lt_stream_reset(struct lt_stream *s);

/* Looks whether something has come, as when the socket says so: on_readable or on_handshake may
 * follow. */
void lt_stream_look(struct lt_stream *s);

/* Whether nothing has come that was not read: no byte, no end. Asks the socket. What TLS says for
 * itself (tickets for later) is taken in and is nothing; when it is something, that may be lost:
 * the stream is of no more use then. */
bool lt_stream_is_silent(struct lt_stream *s);

/* Asked after LT_EOF: whether it was TLS's end without close_notify. A message that only this end
 * ends isn't whole (RFC 9112 section 9.8). */
bool lt_stream_was_cut(const struct lt_stream *s);

/* How the peer is, whatever of what it sent is still to be read. */
enum lt_stream_peer {
    LT_STREAM_PEER_THERE,
    LT_STREAM_PEER_ENDED, /* it sends no more, and may have closed */
    LT_STREAM_PEER_GONE   /* a reset came, or a Unix socket was closed: it reads no more either */
};
/* Asks the kernel: for a stream that isn't read from. */
enum lt_stream_peer lt_stream_peer(const struct lt_stream *s);

/* Whether the loop has seen something come and not told it yet. Asks nobody, so that it misses what
 * came since the turn began. */
bool lt_stream_has_news(const struct lt_stream *s);

/* Bytes that the peer's side has taken: stands still when it has stopped reading. Asks the kernel,
 * which holds megabytes and asks for more only when much of that is gone. */
uint64_t lt_stream_taken(const struct lt_stream *s);

/* Ends our direction (TCP FIN, close_notify) once nothing waits. The other direction stays open. */
void lt_stream_shutdown(struct lt_stream *s);

/* Starts TLS (see net/tls.h); takes tls. on_handshake follows, later on_readable. */
void lt_stream_start_tls(struct lt_stream *s, struct lt_tls *tls);

/* Reads at most cap bytes. LT_OK: *n > 0. LT_AGAIN: nothing now. LT_EOF: the peer ended its
 * direction (close_notify or FIN; a FIN without close_notify is LT_EOF too: the message framing
 * above decides). Else the failure, sys_errno is set. */
enum lt_err lt_stream_recv(struct lt_stream *s, void *buf, size_t cap, size_t *n) LT_MUST_CHECK;

/* Queues n bytes for the next flush without a copy: they must stay until then. When the slices run
 * out, they are flushed first. */
enum lt_err lt_stream_put(struct lt_stream *s, const void *p, size_t n) LT_MUST_CHECK;

/* Sends what was put, one system call when the socket takes it all. LT_OK also when part waits.
 * LT_ERR_LIMIT: no block was left to keep it. Else the failure. */
enum lt_err lt_stream_flush(struct lt_stream *s) LT_MUST_CHECK;

/* Asked after LT_EOF: whether what we sent met a socket that was closed already, so that nobody can
 * have read it. The peer's reset follows its end then. */
bool lt_stream_was_refused(const struct lt_stream *s);

/* Forgets what was put after the first n slices and not yet flushed. */
void lt_stream_unput(struct lt_stream *s, unsigned n);

/* Bytes put or waiting. */
size_t lt_stream_unsent(const struct lt_stream *s);

void lt_stream_pause(struct lt_stream *s, unsigned reason);
void lt_stream_resume(struct lt_stream *s, unsigned reason);

/* Moves an open stream to `to`, which may hold anything, with its TLS, what waits and its
 * callbacks' owner set anew; from is closed afterwards as far as it can be seen. From within from's
 * callbacks too, if nothing was put since the last flush. */
void lt_stream_move(struct lt_stream *to, struct lt_stream *from, const struct lt_stream_ops *ops,
                    void *owner);

/* Sets the callbacks' owner anew: for a connection that goes to another object (idle pool). */
void lt_stream_own(struct lt_stream *s, const struct lt_stream_ops *ops, void *owner);

/* ---- Used by tls_conn.c only: the socket itself. ---- */

/* As lt_stream_recv, for what comes over the wire. */
enum lt_err lt_stream_wire_recv(struct lt_stream *s, void *buf, size_t cap,
                                size_t *n) LT_MUST_CHECK;

/* Sends n slices in order after what waits already; copies what the socket doesn't take. */
enum lt_err lt_stream_wire_send(struct lt_stream *s, struct iovec *iov, unsigned n) LT_MUST_CHECK;

#endif
