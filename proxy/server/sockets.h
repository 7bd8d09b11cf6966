/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's listening sockets: opened when a gateway asks, kept over its restarts, so that
 * no connection that waits in a queue is lost. TCP: one SO_REUSEPORT socket per worker. Unix: one.
 */
#ifndef LT_SERVER_SOCKETS_H
#define LT_SERVER_SOCKETS_H

#include "base/addr.h"

struct lt_sockets;

struct lt_sockets_request {
    struct lt_str key;   /* names the set */
    struct lt_addr addr; /* port 0: the kernel chooses one, the same for all of the set */
    unsigned count;      /* sockets; a Unix socket is always one */
    int backlog;
    unsigned mode;       /* of a Unix socket's path */
    unsigned uid, gid;   /* its owner; (unsigned)-1: as it comes */
    uint32_t generation; /* of the gateway that asks */
};

struct lt_sockets *lt_sockets_new(void) LT_MUST_CHECK;
/* Closes all and removes the paths of Unix sockets. */
void lt_sockets_free(struct lt_sockets *sockets);

/* The sockets with that key, opened if there were none or if they were asked for differently. *fds
 * (borrowed until closed) has *n of them. On failure *sys_errno says why. */
enum lt_err lt_sockets_open(struct lt_sockets *sockets, const struct lt_sockets_request *request,
                            const int **fds, unsigned *n, int *sys_errno) LT_MUST_CHECK;

/* Closes the set with that key, if there is one. */
void lt_sockets_close(struct lt_sockets *sockets, struct lt_str key);

/* Closes the sets that this gateway has not asked for. */
void lt_sockets_close_unused(struct lt_sockets *sockets, uint32_t generation);

/* Closes all. */
void lt_sockets_close_all(struct lt_sockets *sockets);

#endif
