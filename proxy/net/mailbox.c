/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to another thread's loop. The lock is held for a few pointer stores only; ev_async_send
 * is the one libev call that other threads may make. It is made once per batch: whoever puts the
 * first message into an empty queue wakes the owner, who then takes all that is there. */
#include "net/mailbox.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/obj.h"

#define MAILBOX_MAGIC 0x6d61696cu /* "mail" */

struct lt_mailbox {
    uint32_t magic;
    struct lt_loop *loop;
    void *owner;
    ev_async wake;
    pthread_mutex_t lock;     /* for first and last */
    struct lt_message *first; /* oldest; NULL: empty */
    struct lt_message **last; /* where the next one is hung */
};

/* Calls everything that was posted until now. */
static void deliver(struct lt_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    struct lt_message *m = box->first;
    box->first = NULL;
    box->last = &box->first;
    pthread_mutex_unlock(&box->lock);
    while (m != NULL) {
        struct lt_message *next = m->next;
        m->next = NULL;
        m->fn(m, box->owner); /* m may be gone now */
        m = next;
    }
}

static void on_wake(struct ev_loop *ev, ev_async *w, int revents)
{
    (void)ev, (void)revents;
    struct lt_mailbox *box = w->data;
    LT_OBJ_CHECK(box, MAILBOX_MAGIC);
    deliver(box);
}

struct lt_mailbox *lt_mailbox_new(struct lt_loop *loop, void *owner)
{
    struct lt_mailbox *box = lt_calloc(1, sizeof(*box));
    if (box == NULL) {
        return NULL;
    }
    LT_OBJ_INIT(box, MAILBOX_MAGIC);
    box->loop = loop;
    box->owner = owner;
    box->last = &box->first;
    pthread_mutex_init(&box->lock, NULL);
    ev_async_init(&box->wake, on_wake);
    box->wake.data = box;
    ev_async_start(loop->ev, &box->wake);
    return box;
}

void lt_mailbox_free(struct lt_mailbox *box)
{
    if (box == NULL) {
        return;
    }
    LT_OBJ_CHECK(box, MAILBOX_MAGIC);
    while (box->first != NULL) {
        deliver(box);
    }
    ev_async_stop(box->loop->ev, &box->wake);
    pthread_mutex_destroy(&box->lock);
    LT_OBJ_FINI(box);
    lt_free(box);
}

void lt_mailbox_post(struct lt_mailbox *box, struct lt_message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&box->lock);
    bool was_empty = box->first == NULL;
    *box->last = message;
    box->last = &message->next;
    pthread_mutex_unlock(&box->lock);
    if (was_empty) {
        ev_async_send(box->loop->ev, &box->wake);
    }
}
