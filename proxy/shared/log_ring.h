/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines from many threads to the one that writes them: a byte ring per thread, one producer and
 * one consumer each, and one bell for all. A ring that is full drops the line and counts it; a
 * producer never waits and makes a system call only to wake a writer that sleeps.
 *
 *   worker --put--> ring --+
 *   worker --put--> ring --+--> log writer (server/log_writer.h)
 *   main   --put--> ring --+         ^ bell
 */
#ifndef LT_SHARED_LOG_RING_H
#define LT_SHARED_LOG_RING_H

#include "base/err.h"
#include "base/str.h"

#include <stdatomic.h>

enum lt_log_kind { LT_LOG_ACCESS, LT_LOG_EVENTS, LT_LOG_KINDS };

/* Longest line; longer ones are dropped and counted. */
#define LT_LOG_LINE_MAX 65535u

/* How the writer is to be woken. */
struct lt_log_bell {
    int fd;               /* eventfd, not blocking */
    _Atomic(int) sleeper; /* enum lt_log_sleep */
};

enum lt_log_sleep {
    LT_LOG_AWAKE,   /* looks at the rings by itself */
    LT_LOG_LINGERS, /* looks again in a moment: wake it only when a ring gets half full */
    LT_LOG_SLEEPS   /* wake it for any line */
};

/* LT_ERR_IO: no eventfd. */
enum lt_err lt_log_bell_init(struct lt_log_bell *bell) LT_MUST_CHECK;
void lt_log_bell_fini(struct lt_log_bell *bell);
/* Wakes the writer if it sleeps or lingers. Any thread. */
void lt_log_bell_ring(struct lt_log_bell *bell);

struct lt_log_ring;

/* size: a power of two of bytes. Borrows bell. Returns owned. */
struct lt_log_ring *lt_log_ring_new(size_t size, struct lt_log_bell *bell) LT_MUST_CHECK;
void lt_log_ring_free(struct lt_log_ring *ring);

/* Producer: queues one line, newline included. False: dropped and counted. */
bool lt_log_ring_put(struct lt_log_ring *ring, enum lt_log_kind kind, struct lt_str line);

/* Consumer: copies the next line into out (cap >= LT_LOG_LINE_MAX) and takes it off. 0: none. */
size_t lt_log_ring_take(struct lt_log_ring *ring, enum lt_log_kind *kind, char *out);

/* Consumer: whether a line waits. */
bool lt_log_ring_waits(const struct lt_log_ring *ring);

/* Lines dropped so far. Any thread. */
uint64_t lt_log_ring_dropped(const struct lt_log_ring *ring);

#endif
