/* SPDX-License-Identifier: Apache-2.0 */
/* Outgoing connections: non-blocking connect to one address with a time limit. */
#ifndef LT_NET_CONNECT_H
#define LT_NET_CONNECT_H

#include "net/stream.h"

struct lt_connect {
    int fd;
    ev_io io;
    struct lt_timer timer;
    struct lt_loop *loop; /* NULL: nothing is under way */
    /* err LT_OK: fd is connected and belongs to the callee. Else sys_errno says why. */
    void (*fn)(void *owner, enum lt_err err, int fd, int sys_errno);
    void *owner;
};

/* Starts connecting; c is embedded in its owner. A result that is there at once (Unix sockets)
 * comes before this returns. LT_ERR_REFUSED with EAGAIN: the backlog of a Unix socket is full. */
void lt_connect_start(struct lt_connect *c, struct lt_loop *loop, const struct lt_addr *addr,
                      uint64_t timeout_ms,
                      void (*fn)(void *owner, enum lt_err err, int fd, int sys_errno), void *owner);

/* Gives up; no callback follows. Also after it is over, and for one that is zeroed. */
void lt_connect_cancel(struct lt_connect *c);

#endif
