/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: opening them (supervisor) and accepting on them (a worker). */
#ifndef LT_NET_LISTENER_H
#define LT_NET_LISTENER_H

#include "base/addr.h"
#include "net/loop.h"

/* ---- Opening: supervisor, before or between gateways; may block for a moment. ---- */

struct lt_listener_options {
    int backlog;        /* > 0 */
    bool reuseport;     /* TCP: several sockets share the address, one per worker */
    unsigned unix_mode; /* of the socket's file, as 0660; 0: what the umask leaves */
};

/* A bound, listening, non-blocking socket in *fd. All IPv6 addresses (":443") means IPv4 as well,
 * and only IPv4 where the kernel has no IPv6. A Unix socket's file that nobody serves any more is
 * replaced. With port 0 the kernel chooses; lt_listener_address tells, for the other sockets of the
 * group. *why gets a static text on error, errno is kept. */
enum lt_err lt_listener_socket(const struct lt_addr *addr,
                               const struct lt_listener_options *options, int *fd,
                               const char **why) LT_MUST_CHECK;

/* Whether somebody listens on addr already. With reuseport the kernel would let us join them
 * without a word, if they run as our user. Ask before the first socket of an address. */
bool lt_listener_taken(const struct lt_addr *addr);

/* What fd is bound to. */
enum lt_err lt_listener_address(int fd, struct lt_addr *out) LT_MUST_CHECK;

/* ---- Accepting: one worker. ---- */

/* Takes fd, non-blocking and close-on-exec. peer is borrowed for the call. */
typedef void (*lt_listener_accept_fn)(void *owner, int fd, const struct lt_addr *peer);

struct lt_listener {
    uint32_t magic;
    int fd;      /* -1: stopped */
    bool parked; /* stopped, and libev still has the descriptor */
    struct lt_loop *loop;
    struct lt_str name; /* for logs */
    lt_listener_accept_fn on_accept;
    void *owner;
    ev_io io;
    struct lt_timer retry; /* while starved */
    unsigned retry_ms;     /* how long the next wait is; 0: not starved lately */
    bool starved;          /* out of descriptors or memory: not accepting for now */
    uint64_t logged_us;    /* when that was logged last */
    uint64_t accepted;     /* connections */
    uint64_t starvations;  /* times it had to pause */
};

/* Accepts on fd from now on. fd, name and owner are borrowed until stop. */
void lt_listener_start(struct lt_listener *l, struct lt_loop *loop, int fd, struct lt_str name,
                       lt_listener_accept_fn on_accept, void *owner);

/* Accepts no more; drain: first accepts what waits in the queue. Also for one that was stopped or
 * is zeroed. The descriptor stays open, and in epoll, until lt_listener_leave. */
void lt_listener_stop(struct lt_listener *l, bool drain);

/* After a turn of the loop that began with lt_listener_stop: nothing will be done with the
 * descriptor any more, so another thread may close it. Also for one that was not stopped: does
 * nothing. */
void lt_listener_leave(struct lt_listener *l);

/* A connection was closed: what starved may go on. */
void lt_listener_poke(struct lt_listener *l);

#endif
