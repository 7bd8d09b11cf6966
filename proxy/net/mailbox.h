/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to another thread's loop: a queue and one ev_async, which coalesces. Any thread posts;
 * the owner's loop calls each message in order. The queue is a short critical section of its own,
 * never held across a call. */
#ifndef LT_NET_MAILBOX_H
#define LT_NET_MAILBOX_H

#include "net/loop.h"

/* Embedded in whatever is sent; belongs to the receiver from post until fn is called. */
struct lt_message {
    struct lt_message *next;
    void (*fn)(struct lt_message *message, void *owner);
};

struct lt_mailbox;

/* owner is what fn gets. Returns owned. */
struct lt_mailbox *lt_mailbox_new(struct lt_loop *loop, void *owner) LT_MUST_CHECK;
/* On the owner's thread, when no other thread posts any more; messages not yet delivered are
 * delivered first. */
void lt_mailbox_free(struct lt_mailbox *box);

/* Any thread. Lends message to the box. */
void lt_mailbox_post(struct lt_mailbox *box, struct lt_message *message);

#endif
