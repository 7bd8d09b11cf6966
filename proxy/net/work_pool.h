/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads for work that takes too long for a loop, such as hashing a password. Work is
 * embedded in what wants it done, waits in a queue with a limit, and comes back to its loop by a
 * mailbox. */
#ifndef LT_NET_WORK_POOL_H
#define LT_NET_WORK_POOL_H

#include "net/mailbox.h"

#include <stdatomic.h>

struct lt_work {
    struct lt_message message; /* how it comes back: message.fn is the sender's, on box's thread */
    struct lt_mailbox *box;    /* borrowed until it has come back */
    /* On one of the pool's threads; touches nothing but what the work owns. */
    void (*run)(struct lt_work *work);
    /* Set by the sender when nobody waits any more: if it isn't running yet, it is not run. */
    _Atomic(bool) unwanted;
    bool ran; /* set when it comes back */
    struct lt_work *next;
};

struct lt_work_pool;

/* queue_max: work that may wait for a thread. Returns owned; NULL without memory or threads. */
struct lt_work_pool *lt_work_pool_new(unsigned threads, unsigned queue_max) LT_MUST_CHECK;

/* When nobody puts anything any more: what waits comes back without having been run. The mailboxes
 * must be there still, their threads need not run. NULL is fine. */
void lt_work_pool_free(struct lt_work_pool *pool);

/* Any thread. Lends work, with box, run and message.fn set, until message.fn is called. False: the
 * queue is full, nothing was lent. */
bool lt_work_pool_put(struct lt_work_pool *pool, struct lt_work *work) LT_MUST_CHECK;

#endif
