/* SPDX-License-Identifier: Apache-2.0 */
/* Who of those that wait is let go, and when. The worker's thread. */
#include "upstream/connections.h"
#include "upstream/health.h"
#include "upstream/queue_impl.h"
#include "upstream/seat.h"
#include "upstream/server_groups.h"
#include "upstream/server_set.h"
#include "upstream/standing.h"

/* Waiters let go at once to servers without a max, and the pause until more are. */
#define BATCH 64u
#define BATCH_US UINT64_C(10000)
#define TRY_MAX_US UINT64_C(250000) /* the longest pause between tries at servers that are down */
#define PROBES_MAX 8u               /* servers tried at once */

/* Ends w's wait. Calls; w may be gone afterwards, or wait again. */
static void finish(struct lt_queue *q, struct lt_waiter *w, enum lt_wait how)
{
    lt_queue_remove(q, w);
    w->on_end(w, how);
}

/* Lets all go who wait for servers of which nothing can be hoped: what they meet is the answer. */
static void give_up(struct lt_queue *q)
{
    struct lt_waiter *w;
    for (unsigned i = 0; i < BATCH && (w = lt_queue_next(q)) != NULL; i++) {
        finish(q, w, LT_WAIT_ALONE);
    }
    lt_queue_look_in(q, BATCH_US);
}

/* Gives servers to those whose turn it is as long as there are any, at most n. */
static void serve(struct lt_queue *q, unsigned n)
{
    struct lt_waiter *w = NULL;
    for (unsigned i = 0; i < n && (w = lt_queue_next(q)) != NULL; i++) {
        enum lt_pick_result result = lt_queue_ask(q->pools, w->pick, true);
        if (result == LT_PICK_NONE && w->pick->n_tried > 0) {
            w->pick->n_tried = 0; /* all were tried, a while ago */
            result = lt_queue_ask(q->pools, w->pick, true);
        }
        if (result != LT_PICK_OK) {
            lt_queue_set_why(q, result == LT_PICK_BUSY ? LT_QUEUE_WHY_BUSY : LT_QUEUE_WHY_DOWN);
            return;
        }
        finish(q, w, LT_WAIT_SERVED);
    }
    if (w != NULL && q->why == LT_QUEUE_WHY_BUSY) {
        lt_queue_look_in(q, BATCH_US);
    }
}

/* Sends one waiter to each server to see whether it is back. */
static void probe(struct lt_queue *q)
{
    struct lt_waiter *w = lt_queue_next(q);
    if (w == NULL) {
        return;
    }
    uint32_t probed[PROBES_MAX];
    unsigned n = 0, most = lt_min(lt_upstream_set(w->pick->upstream)->n, PROBES_MAX);
    if (lt_queue_hope(w->pick->upstream, lt_queue_now(q)) == LT_QUEUE_HOPE_NONE) {
        give_up(q);
        return;
    }
    for (; n < most && q->why == LT_QUEUE_WHY_DOWN && (w = lt_queue_next(q)) != NULL; n++) {
        struct lt_pick *pick = w->pick;
        memcpy(pick->tried, probed, n * sizeof(probed[0]));
        pick->n_tried = n;
        enum lt_pick_result result = lt_queue_ask(q->pools, pick, false);
        pick->n_tried = 0;
        if (result != LT_PICK_OK) {
            break;
        }
        probed[n] = pick->server->state->id;
        finish(q, w, LT_WAIT_SERVED);
    }
    q->pause_us = lt_min(q->pause_us * 2, TRY_MAX_US);
    lt_queue_look_in(q, q->pause_us);
}

/* Whether an ordinary server would be picked for w: then no backup serves it. */
static bool has_ordinary(const struct lt_queue *q, const struct lt_waiter *w,
                         const struct lt_server_set *set)
{
    const struct lt_server_group *group = &set->groups->group[LT_GROUP_ORDINARY];
    for (unsigned i = 0; i < group->n; i++) {
        if (lt_server_up(group->v[i], lt_queue_now(q)) &&
            !lt_pick_was_tried(w->pick, group->v[i])) {
            return true;
        }
    }
    return false;
}

/* The server of that state as w's configuration has it, if it may get w. */
static struct lt_server *seat_for(const struct lt_queue *q, const struct lt_waiter *w,
                                  const struct lt_server_state *state)
{
    struct lt_server_set *set = lt_upstream_set(w->pick->upstream);
    for (unsigned i = 0; i < set->n; i++) {
        struct lt_server *server = &set->v[i];
        if (server->state == state) {
            bool fits = server->max > 0 && lt_server_inflight(state) <= server->max;
            fits = fits && (server->max_connections == 0 || lt_connections_room(q->pools, server));
            fits = fits && (!server->backup || !has_ordinary(q, w, set));
            return fits && lt_server_up(server, lt_queue_now(q)) ? server : NULL;
        }
    }
    return NULL;
}

/* The next whom server hasn't failed already, or just the next. Who lets a seat pass for that takes
 * the one that comes after it, whatever it is: else it might wait for ever, and being the oldest of
 * all it would draw every seat to this worker meanwhile. */
static struct lt_waiter *next_for(const struct lt_queue *q, const struct lt_server *server)
{
    for (unsigned i = 0; i < LT_QUEUE_CLASSES; i++) {
        const struct lt_list *list = &q->waiting[i], *it = list;
        while ((it = q->overloaded ? it->prev : it->next) != list) {
            struct lt_waiter *w = lt_queue_waiter((struct lt_list *)it);
            if (!lt_pick_was_tried(w->pick, server)) {
                return w;
            }
            w->pick->n_tried = 0;
        }
    }
    return lt_queue_next(q);
}

/* Gives out one seat; false: it was for nobody and is given up. */
static bool seat_one(struct lt_queue *q, struct lt_seat *seat)
{
    struct lt_waiter *w = lt_queue_next(q);
    struct lt_server *server = seat_for(q, w, seat->server);
    struct lt_pool *pool = server != NULL ? lt_pool_get(q->pools, server->state) : NULL;
    struct lt_standing *standing = lt_standing_get(q->pools, q->state);
    if (pool == NULL || standing == NULL || lt_upstream_paused(q->state)) {
        lt_seat_drop(q->pools, seat);
        return false;
    }
    struct lt_waiter *better = next_for(q, server);
    struct lt_server *its = seat_for(q, better, server->state);
    if (its != NULL) { /* else of another configuration, or it has a better one to wait for */
        w = better;
        server = its;
    }
    lt_seat_use(q->pools, pool, seat);
    lt_server_hold(q->pools, server);
    pool->active++;
    standing->active++;
    w->pick->server = server;
    w->pick->strange = lt_pick_is_strange(w->pick, server);
    finish(q, w, LT_WAIT_SERVED);
    return true;
}

/* Gives out the seats that came. For each that nobody may have any more there may be another one
 * that is free: of a server that came back, or whose health says nothing in a panic. */
static void seat_all(struct lt_queue *q)
{
    while (q->seats != NULL) {
        struct lt_seat *seat = q->seats;
        q->seats = seat->next;
        if (q->n == 0) {
            lt_seat_pass(q->pools, seat);
        } else if (!seat_one(q, seat) && q->why != LT_QUEUE_WHY_DOWN) {
            q->room++;
        }
    }
}

/* ---- age ---- */

static uint64_t age_of(const struct lt_queue *q, const struct lt_waiter *w)
{
    uint64_t since = lt_max(w->since_us, q->held_us), now = lt_queue_now(q);
    return now > since ? now - since : 0;
}

/* Decides whether the queue only grows: its oldest has waited too long for a whole interval. */
static void judge(struct lt_queue *q)
{
    const struct lt_waiter *w = lt_queue_oldest(q);
    if (w == NULL) {
        return;
    }
    const struct lt_queue_options *o = lt_queue_options_of(w);
    uint64_t age = age_of(q, w), now = lt_queue_now(q);
    if (age < o->target_us) {
        q->late_since_us = 0;
        q->overloaded = q->overloaded && age >= o->target_us / 2;
    } else if (q->late_since_us == 0) {
        q->late_since_us = now;
    } else if (now - q->late_since_us >= o->interval_us) {
        q->overloaded = true;
    }
}

/* Ends w's wait if it is over, or under overload too long. */
static bool turn_away(struct lt_queue *q, struct lt_waiter *w)
{
    if (lt_waiter_over(w, lt_queue_now(q))) {
        /* The last try of who waits for servers that are down: what it meets is the answer. */
        bool may_try = q->why == LT_QUEUE_WHY_DOWN && !lt_upstream_paused(q->state);
        finish(q, w, may_try ? LT_WAIT_ALONE : LT_WAIT_LATE);
        return true;
    }
    if (q->overloaded && age_of(q, w) >= lt_queue_options_of(w)->target_us) {
        lt_queue_count(q->pools, LT_COUNTER_QUEUE_OVERLOAD, 1);
        finish(q, w, LT_WAIT_OVERLOAD);
        return true;
    }
    return false;
}

/* The oldest of each class go first, as lt_queue_set_timer has it. Options differ between waiters
 * only where the configuration has dropped their upstream; then one may wait for as long as those
 * before it. */
static void turn_all_away(struct lt_queue *q)
{
    for (unsigned i = 0; i < LT_QUEUE_CLASSES; i++) {
        while (!lt_list_empty(&q->waiting[i]) &&
               turn_away(q, lt_queue_waiter(q->waiting[i].next))) {
        }
    }
}

/* ---- events ---- */

/* Tells those who had to make room. */
static void tell_refused(struct lt_queue *q)
{
    struct lt_list *link;
    while ((link = lt_list_pop_front(&q->refused)) != NULL) {
        struct lt_waiter *w = lt_queue_waiter(link);
        w->queue = NULL;
        w->on_end(w, LT_WAIT_FULL);
    }
}

void lt_queue_on_turn(void *arg)
{
    struct lt_queue *q = arg;
    LT_OBJ_CHECK(q, LT_QUEUE_MAGIC);
    tell_refused(q);
    judge(q);
    seat_all(q);
    unsigned room = q->room;
    q->room = 0;
    if (room > 0 && !lt_upstream_paused(q->state)) {
        serve(q, room);
    }
    lt_queue_set_timer(q);
}

static void look(struct lt_queue *q)
{
    if (lt_upstream_paused(q->state)) {
        q->held_us = lt_queue_now(q);
        lt_queue_look_in(q, q->pools->look_us);
        return;
    }
    lt_queue_look_in(q, q->pools->look_us);
    switch (q->why) {
    case LT_QUEUE_WHY_BUSY:
        serve(q, BATCH);
        break;
    case LT_QUEUE_WHY_DOWN:
        q->held_us = lt_queue_now(q);
        probe(q);
        break;
    case LT_QUEUE_WHY_FULL:
        serve(q, 1);
        break;
    }
}

void lt_queue_on_timer(void *arg)
{
    struct lt_queue *q = arg;
    LT_OBJ_CHECK(q, LT_QUEUE_MAGIC);
    judge(q);
    turn_all_away(q);
    if (q->n > 0 && lt_queue_now(q) >= q->look_at_us) {
        look(q);
    }
    lt_queue_set_timer(q);
}
