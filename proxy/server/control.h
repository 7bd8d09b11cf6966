/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between supervisor and gateway over their socket pair (SOCK_SEQPACKET): requests for
 * listening sockets, whose descriptors travel by SCM_RIGHTS, and commands. Both ends are the same
 * binary, so a message is a struct. When one end is closed the other process is gone. */
#ifndef LT_SERVER_CONTROL_H
#define LT_SERVER_CONTROL_H

#include "base/addr.h"

enum lt_control_type {
    /* Gateway to supervisor. */
    LT_CONTROL_LISTEN = 1, /* asks for sockets: key, addr, count, backlog, mode */
    LT_CONTROL_UNLISTEN,   /* the key isn't used any more */
    LT_CONTROL_READY,      /* serves; value: milliseconds a drain may take; with it one descriptor:
                              what was read, sealed (config/files.h); none: keep what you have */
    LT_CONTROL_RELOADED,   /* a reload is over; as for ready; sys_errno != 0: it failed */
    LT_CONTROL_STOPPED,    /* accepts no more: the sockets may be closed */
    /* Supervisor to gateway. */
    LT_CONTROL_LISTENING, /* answer to listen: sys_errno, count, first, and up to
                             LT_CONTROL_FDS_MAX descriptors; as many messages as it takes */
    LT_CONTROL_RELOAD,    /* read the configuration again */
    LT_CONTROL_REOPEN,    /* open the log files again */
    LT_CONTROL_DRAIN,     /* finish and end */
    LT_CONTROL_END        /* end now: what a drain is still waiting for is cut */
};

#define LT_CONTROL_FDS_MAX 64u
#define LT_CONTROL_KEY_MAX 256u

struct lt_control_message {
    uint32_t type;     /* enum lt_control_type */
    uint32_t count;    /* of sockets */
    uint32_t first;    /* number of the first descriptor in this message */
    int32_t sys_errno; /* 0: it worked */
    int32_t backlog;
    uint32_t mode; /* of a Unix socket's path */
    uint64_t value;
    struct lt_addr addr;
    char key[LT_CONTROL_KEY_MAX]; /* NUL-terminated: names the sockets over restarts */
};

/* Both ends, closed on exec; ends[0] non-blocking (supervisor's), ends[1] too (gateway's). */
enum lt_err lt_control_pair(int ends[2]) LT_MUST_CHECK;

/* Sends one message with n descriptors (they stay the caller's). Waits while the peer is slow, but
 * never longer than a few seconds: LT_ERR_TIMEOUT. LT_EOF: the peer is gone. */
enum lt_err lt_control_send(int fd, const struct lt_control_message *message, const int *fds,
                            unsigned n) LT_MUST_CHECK;

/* Receives one message and its descriptors (room for LT_CONTROL_FDS_MAX; now the caller's, closed
 * on exec). LT_AGAIN: none is there. LT_EOF: the peer is gone. */
enum lt_err lt_control_recv(int fd, struct lt_control_message *message, int *fds,
                            unsigned *n) LT_MUST_CHECK;

#endif
