/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits in a queue, in which order. The worker's thread. */
#include "upstream/queue_impl.h"

/* Between tries at servers that are down, at first; doubled each time by queue_serve.c. */
#define TRY_FIRST_US UINT64_C(10000)
#define TRIES_END_US UINT64_C(1000000) /* without one for so long, they begin anew */

/* The first of a class that has any, oldest first; NULL: nobody waits. */
struct lt_waiter *lt_queue_oldest(const struct lt_queue *q)
{
    struct lt_waiter *found = NULL;
    for (unsigned i = 0; i < LT_QUEUE_CLASSES; i++) {
        if (!lt_list_empty(&q->waiting[i])) {
            struct lt_waiter *w = lt_queue_waiter(q->waiting[i].next);
            found = found == NULL || w->since_us < found->since_us ? w : found;
        }
    }
    return found;
}

/* Whose turn it is: by class, then the oldest; under overload the youngest, who still has time. */
struct lt_waiter *lt_queue_next(const struct lt_queue *q)
{
    for (unsigned i = 0; i < LT_QUEUE_CLASSES; i++) {
        const struct lt_list *list = &q->waiting[i];
        if (!lt_list_empty(list)) {
            return lt_queue_waiter(q->overloaded ? list->prev : list->next);
        }
    }
    return NULL;
}

/* Tells the other workers who of ours comes first. */
static void tell(struct lt_queue *q)
{
    for (unsigned i = 0; i < LT_QUEUE_CLASSES; i++) {
        if (!lt_list_empty(&q->waiting[i])) {
            uint64_t since = lt_queue_waiter(q->waiting[i].next)->since_us;
            lt_waiting_tell(&q->state->waiting, q->pools->worker, (uint64_t)i << 62 | since);
            return;
        }
    }
    lt_waiting_end(&q->state->waiting, q->pools->worker);
}

void lt_queue_remove(struct lt_queue *q, struct lt_waiter *w)
{
    lt_list_remove(&w->link);
    w->queue = NULL;
    q->n--;
    lt_waiting_leave(&q->state->waiting);
    lt_queue_count(q->pools, LT_COUNTER_QUEUED, -1);
    if (q->n == 0) {
        q->late_since_us = 0;
        q->overloaded = false;
        q->room = 0;
        lt_timer_clear(&q->timer);
        if (q->seats != NULL) {
            lt_queue_turn_soon(q); /* they go on */
        }
    }
    tell(q);
}

void lt_queue_set_timer(struct lt_queue *q)
{
    if (q->n == 0) {
        return;
    }
    uint64_t at = q->look_at_us, now = lt_queue_now(q);
    for (unsigned i = 0; i < LT_QUEUE_CLASSES; i++) {
        if (!lt_list_empty(&q->waiting[i])) {
            const struct lt_waiter *w = lt_queue_waiter(q->waiting[i].next);
            at = lt_min(at, w->since_us + lt_queue_options_of(w)->wait_us);
        }
    }
    lt_timer_set(&q->timer, at > now ? (at - now + 999) / 1000 : 0);
}

void lt_queue_look_in(struct lt_queue *q, uint64_t us)
{
    q->look_at_us = lt_queue_now(q) + us;
}

/* By age: who comes back after a failed try is older than those who came meanwhile. */
void lt_queue_insert(struct lt_queue *q, struct lt_waiter *w)
{
    struct lt_list *list = &q->waiting[w->pick->priority - LT_PRIORITY_HIGH];
    struct lt_list *at = list->prev;
    while (at != list && lt_queue_waiter(at)->since_us > w->since_us) {
        at = at->prev;
    }
    lt_list_insert_after(at, &w->link);
    w->queue = q;
    q->n++;
    lt_queue_count(q->pools, LT_COUNTER_QUEUED, 1);
    tell(q);
}

/* What the waiters wait for. Tries at servers that are down stay as rare as they have become when
 * the last waiter only went to try. */
void lt_queue_set_why(struct lt_queue *q, enum lt_queue_why why)
{
    if (q->why == why && q->n > 1) {
        return;
    }
    if (q->why != why || lt_queue_now(q) > q->look_at_us + TRIES_END_US) {
        q->pause_us = TRY_FIRST_US;
    }
    q->why = why;
    lt_queue_look_in(q, why == LT_QUEUE_WHY_BUSY ? q->pools->look_us : q->pause_us);
}
