/* SPDX-License-Identifier: Apache-2.0 */
/* One worker's waiters of one upstream.
 *
 *   lt_queue_pick --(nobody waits, there is room)--> served
 *        '--> waiting[class], oldest first --+--(seat, room, a server came back)--> on_end(SERVED)
 *                 ^                          +--(queue.wait is over, overload)----> on_end(...)
 *                 '--- the server failed it -'--(client left)--> lt_queue_leave
 *
 * What they wait for decides how they are woken:
 *   BUSY  all servers are at their max: each seat that is given up comes here by itself
 *   DOWN  all servers refuse, or their names are not answered yet: every now and then one waiter
 *         for each server goes and tries; the first that gets in lets the others follow
 *   FULL  connections have no streams left, or there are no more of them: one waiter for each
 *         exchange that ends here
 * Whatever the reason, the queue looks around every LOOK: for seats that another generation of the
 * gateway gave up, servers that were added, a pause that is over. No wake-up depends on that while
 * the servers stay the same. */
#include "upstream/queue_impl.h"

#include "base/mem.h"
#include "upstream/health.h"
#include "upstream/seat.h"

#define FORGET_US UINT64_C(60000000) /* a refusal so long ago says nothing about the next one */

/* ---- what can be hoped for ---- */

static bool refuses(const struct lt_server *server)
{
    return atomic_load_explicit(&server->state->refused_since_us, memory_order_relaxed) != 0;
}

/* Whether a server that gets nothing now is likely to do so soon: it refuses since a short while
 * only, or is drained, which is done to replace it. */
static bool restarts(const struct lt_server *server, uint64_t now_us)
{
    uint64_t since = atomic_load_explicit(&server->state->refused_since_us, memory_order_relaxed);
    const struct lt_queue_options *o = &server->upstream->queue;
    enum lt_server_admin admin = lt_server_admin(server->state);
    return o->size > 0 && o->restart_us > 0 &&
           (admin == LT_SERVER_DRAIN ||
            (admin == LT_SERVER_READY && since != 0 && now_us < since + o->restart_us));
}

/* Whether the first answer about the upstream's names is missing since a short while only. */
static bool looks_up(const struct lt_upstream *upstream, uint64_t now_us)
{
    uint64_t since = atomic_load_explicit(&upstream->state->dns_since_us, memory_order_acquire);
    const struct lt_queue_options *o = &upstream->queue;
    return upstream->dns_names.len > 0 && o->size > 0 && since != 0 &&
           now_us < since + o->restart_us;
}

enum lt_queue_hope lt_queue_hope(const struct lt_upstream *upstream, uint64_t now_us)
{
    bool looked_up = looks_up(upstream, now_us); /* asked before the set that an answer brings */
    const struct lt_server_set *set = lt_upstream_set(upstream);
    enum lt_queue_hope hope = LT_QUEUE_HOPE_NONE;
    if (set->n == 0 && looked_up) {
        return LT_QUEUE_HOPE_RESTARTS;
    }
    for (unsigned i = 0; i < set->n; i++) {
        const struct lt_server *server = &set->v[i];
        if (lt_server_up(server, now_us) && !refuses(server)) {
            return LT_QUEUE_HOPE_UP;
        }
        hope = restarts(server, now_us) ? LT_QUEUE_HOPE_RESTARTS : hope;
    }
    return hope;
}

bool lt_queue_refused(struct lt_pools *pools, struct lt_server *server)
{
    struct lt_server_state *state = server->state;
    uint64_t now = pools->loop->now_us;
    uint64_t last = atomic_load_explicit(&state->refused_last_us, memory_order_relaxed);
    /* Relaxed, and two workers may do this at once: they write nearly the same. */
    if (!refuses(server) || now > last + FORGET_US) {
        atomic_store_explicit(&state->refused_since_us, now, memory_order_relaxed);
    }
    atomic_store_explicit(&state->refused_last_us, now, memory_order_relaxed);
    return server->upstream->queue.restart_us > 0 &&
           lt_queue_hope(server->upstream, now) != LT_QUEUE_HOPE_NONE;
}

/* ---- queues ---- */

static struct lt_queue *find(const struct lt_pools *pools, const struct lt_upstream_state *state)
{
    return state->id < pools->n_queues ? pools->queues[state->id] : NULL;
}

static struct lt_queue *queue_new(struct lt_pools *pools, struct lt_upstream_state *state)
{
    struct lt_queue *q = lt_calloc(1, sizeof(*q));
    if (q == NULL) {
        return NULL;
    }
    LT_OBJ_INIT(q, LT_QUEUE_MAGIC);
    q->pools = pools;
    q->state = state;
    for (unsigned i = 0; i < LT_QUEUE_CLASSES; i++) {
        lt_list_init(&q->waiting[i]);
    }
    lt_list_init(&q->refused);
    lt_timer_init(&q->timer, pools->loop, lt_queue_on_timer, q);
    return q;
}

/* The queue for the upstream of state, made on first use; NULL without memory. */
static struct lt_queue *get(struct lt_pools *pools, struct lt_upstream_state *state)
{
    if (state->id >= pools->n_queues) {
        uint32_t n = lt_max(state->id + 1, pools->n_queues * 2);
        struct lt_queue **v = lt_realloc(pools->queues, n, sizeof(struct lt_queue *));
        if (v == NULL) {
            return NULL;
        }
        memset(v + pools->n_queues, 0, (n - pools->n_queues) * sizeof(struct lt_queue *));
        pools->queues = v;
        pools->n_queues = n;
    }
    if (pools->queues[state->id] == NULL) {
        pools->queues[state->id] = queue_new(pools, state);
    }
    return pools->queues[state->id];
}

void lt_queues_free(struct lt_pools *pools)
{
    for (uint32_t i = 0; i < pools->n_queues; i++) {
        struct lt_queue *q = pools->queues[i];
        if (q == NULL) {
            continue;
        }
        while (q->seats != NULL) {
            struct lt_seat *seat = q->seats;
            q->seats = seat->next;
            lt_seat_drop(pools, seat);
        }
        lt_loop_cancel(&q->turn);
        lt_timer_fini(&q->timer);
        LT_OBJ_FINI(q);
        lt_free(q);
    }
    lt_free(pools->queues);
    pools->queues = NULL;
    pools->n_queues = 0;
}

/* ---- asking ---- */

/* A server at once, or what there is to wait for. */
static enum lt_wait try_first(struct lt_pools *pools, const struct lt_waiter *w,
                              enum lt_queue_why *why)
{
    const struct lt_upstream *u = w->pick->upstream;
    bool may_wait = u->queue.size > 0;
    enum lt_pick_result result = lt_queue_ask(pools, w->pick, may_wait);
    *why = LT_QUEUE_WHY_BUSY;
    if (result == LT_PICK_NONE && may_wait) {
        if (w->full) {
            *why = LT_QUEUE_WHY_FULL;
            return LT_WAIT_ON;
        }
        if (lt_queue_hope(u, pools->loop->now_us) == LT_QUEUE_HOPE_RESTARTS) {
            *why = LT_QUEUE_WHY_DOWN;
            return LT_WAIT_ON;
        }
        result = lt_queue_ask(pools, w->pick, false);
    }
    switch (result) {
    case LT_PICK_OK:
        return LT_WAIT_SERVED;
    case LT_PICK_BUSY:
        return may_wait ? LT_WAIT_ON : LT_WAIT_BUSY;
    case LT_PICK_NONE:
        break;
    }
    return LT_WAIT_ALONE;
}

/* Turns away the youngest of the least urgent of this worker, if it is less urgent than w. */
static bool make_room(struct lt_queue *q, const struct lt_waiter *w)
{
    for (int p = LT_PRIORITY_LOW; p > w->pick->priority; p--) {
        struct lt_list *list = &q->waiting[p - LT_PRIORITY_HIGH];
        if (!lt_list_empty(list)) {
            struct lt_waiter *other = lt_queue_waiter(list->prev);
            lt_queue_remove(q, other);
            lt_list_push_back(&q->refused, &other->link);
            lt_queue_count(q->pools, LT_COUNTER_QUEUE_FULL, 1);
            lt_queue_turn_soon(q);
            lt_waiting_return(&q->state->waiting);
            return true;
        }
    }
    return false;
}

static bool admit(struct lt_queue *q, struct lt_waiter *w)
{
    if (w->since_us != 0) {
        lt_waiting_return(&q->state->waiting);
        return true;
    }
    if (!lt_waiting_enter(&q->state->waiting, lt_queue_options_of(w)->size) && !make_room(q, w)) {
        return false;
    }
    w->since_us = lt_queue_now(q);
    lt_queue_count(q->pools, LT_COUNTER_QUEUE_WAITED, 1);
    return true;
}

enum lt_wait lt_queue_pick(struct lt_pools *pools, struct lt_waiter *w)
{
    struct lt_upstream *u = w->pick->upstream;
    bool hold = lt_upstream_paused(u->state);
    enum lt_queue_why why = LT_QUEUE_WHY_BUSY;
    if (lt_waiter_over(w, pools->loop->now_us)) {
        return hold ? LT_WAIT_LATE : lt_queue_alone(pools, w);
    }
    if (!hold && (u->queue.size == 0 ||
                  atomic_load_explicit(&u->state->waiting.n, memory_order_relaxed) == 0)) {
        enum lt_wait how = try_first(pools, w, &why);
        if (how != LT_WAIT_ON) {
            return how;
        }
    } else if (!hold) {
        bool up = lt_queue_hope(u, pools->loop->now_us) == LT_QUEUE_HOPE_UP;
        why = w->full ? LT_QUEUE_WHY_FULL : up ? LT_QUEUE_WHY_BUSY : LT_QUEUE_WHY_DOWN;
    }
    if (u->queue.size == 0) {
        return LT_WAIT_PAUSED;
    }
    struct lt_queue *q = get(pools, u->state);
    if (q == NULL || !admit(q, w)) {
        lt_queue_count(pools, LT_COUNTER_QUEUE_FULL, 1);
        return LT_WAIT_FULL;
    }
    bool once_more =
        !hold && why == LT_QUEUE_WHY_BUSY && (q->n == 0 || q->why == LT_QUEUE_WHY_BUSY);
    lt_queue_insert(q, w);
    if (q->n == 1 || why != LT_QUEUE_WHY_BUSY) {
        w->pick->n_tried = why == LT_QUEUE_WHY_BUSY ? w->pick->n_tried : 0;
        lt_queue_set_why(q, why);
    }
    if (once_more) {
        /* Who gave up a seat before we were to be seen in the queue told nobody. */
        enum lt_pick_result result = lt_queue_ask(pools, w->pick, true);
        if (result == LT_PICK_OK) {
            lt_queue_remove(q, w);
            return LT_WAIT_SERVED;
        }
        if (result == LT_PICK_NONE && q->n == 1) {
            lt_queue_set_why(q, LT_QUEUE_WHY_DOWN);
        }
    }
    lt_queue_set_timer(q);
    return LT_WAIT_ON;
}

enum lt_wait lt_queue_alone(struct lt_pools *pools, struct lt_waiter *w)
{
    switch (lt_queue_ask(pools, w->pick, false)) {
    case LT_PICK_OK:
        return LT_WAIT_SERVED;
    case LT_PICK_BUSY:
        return lt_waiter_over(w, pools->loop->now_us) ? LT_WAIT_LATE : LT_WAIT_ALONE;
    case LT_PICK_NONE:
        break;
    }
    return LT_WAIT_ALONE;
}

bool lt_waiter_over(const struct lt_waiter *w, uint64_t now_us)
{
    return w->since_us != 0 && now_us >= w->since_us + lt_queue_options_of(w)->wait_us;
}

void lt_queue_leave(struct lt_waiter *w)
{
    struct lt_queue *q = w->queue;
    if (q == NULL) {
        lt_list_remove(&w->link); /* it had to make room and wasn't told yet */
        return;
    }
    LT_OBJ_CHECK(q, LT_QUEUE_MAGIC);
    lt_queue_count(q->pools, LT_COUNTER_QUEUE_LEFT, 1);
    lt_queue_remove(q, w);
}

void lt_queue_reached(struct lt_pools *pools, struct lt_waiter *w)
{
    struct lt_server_state *state = w->pick->server->state;
    if (LT_UNLIKELY(atomic_load_explicit(&state->refused_since_us, memory_order_relaxed) != 0)) {
        atomic_store_explicit(&state->refused_since_us, 0, memory_order_relaxed);
    }
    if (LT_LIKELY(w->since_us == 0)) {
        return;
    }
    w->since_us = 0;
    w->full = false;
    struct lt_queue *q = find(pools, w->pick->upstream->state);
    if (q == NULL || q->n == 0) {
        return;
    }
    if (q->why == LT_QUEUE_WHY_FULL ||
        (q->why == LT_QUEUE_WHY_BUSY && w->pick->server->max_connections > 0)) {
        q->room++; /* what let it in may let in more */
        lt_queue_turn_soon(q);
    } else if (q->why == LT_QUEUE_WHY_DOWN) {
        q->why = LT_QUEUE_WHY_BUSY;
        lt_queue_look_in(q, 0);
        lt_queue_set_timer(q);
    }
}

void lt_queue_room(struct lt_pools *pools, struct lt_upstream_state *state)
{
    struct lt_queue *q = pools->n_queues > 0 ? find(pools, state) : NULL;
    if (q != NULL && q->n > 0 && q->why != LT_QUEUE_WHY_DOWN) {
        q->room++;
        lt_queue_turn_soon(q);
    }
}

bool lt_queue_waits(const struct lt_pools *pools, const struct lt_upstream_state *state)
{
    const struct lt_queue *q = find(pools, state);
    return q != NULL && q->n > 0 && q->why != LT_QUEUE_WHY_DOWN;
}

void lt_queues_look(struct lt_pools *pools)
{
    for (uint32_t i = 0; i < pools->n_queues; i++) {
        struct lt_queue *q = pools->queues[i];
        if (q != NULL && q->n > 0) {
            lt_queue_look_in(q, 0);
            lt_queue_set_timer(q);
        }
    }
}

void lt_queue_grant(struct lt_pools *pools, struct lt_seat *seat)
{
    struct lt_queue *q = find(pools, seat->upstream);
    if (q == NULL || q->n == 0) {
        lt_seat_pass(pools, seat); /* who waited here has left */
        return;
    }
    seat->next = q->seats;
    q->seats = seat;
    lt_queue_turn_soon(q);
}

/* ---- for answers and logs ---- */

unsigned lt_queue_retry_after(struct lt_pools *pools, const struct lt_upstream *upstream)
{
    const struct lt_queue *q = find(pools, upstream->state);
    const struct lt_waiter *w = q != NULL ? lt_queue_oldest(q) : NULL;
    uint64_t s = w != NULL ? (lt_queue_now(q) - w->since_us) / 1000000 + 1 : 1;
    return (unsigned)lt_min(s, UINT64_C(60));
}

void lt_queue_describe(struct lt_pools *pools, const struct lt_upstream *upstream,
                       struct lt_buf *out)
{
    const struct lt_server_set *set = lt_upstream_set(upstream);
    uint64_t now = pools->loop->now_us;
    uint32_t seats = 0, taken = 0;
    for (unsigned i = 0; i < set->n; i++) {
        const struct lt_server *server = &set->v[i];
        seats += server->max;
        taken += server->max > 0 ? lt_server_inflight(server->state) : 0;
    }
    lt_buf_printf(out, "%u wait for upstream %.*s",
                  atomic_load_explicit(&upstream->state->waiting.n, memory_order_relaxed),
                  LT_STR_ARG(upstream->name));
    if (seats > 0) {
        lt_buf_printf(out, ", %u of %u in flight", taken, seats);
    }
    if (lt_upstream_paused(upstream->state)) {
        lt_buf_printf(out, ", it is paused");
    }
    if (set->n == 0 && upstream->dns_names.len > 0) {
        lt_buf_printf(out, ", no address of %.*s is known", LT_STR_ARG(upstream->dns_names));
    }
    for (unsigned i = 0; i < set->n; i++) {
        uint64_t since =
            atomic_load_explicit(&set->v[i].state->refused_since_us, memory_order_relaxed);
        if (lt_server_admin(set->v[i].state) != LT_SERVER_READY) {
            lt_buf_printf(out, ", %.*s is out: %s", LT_STR_ARG(set->v[i].name),
                          lt_server_admin_name(lt_server_admin(set->v[i].state)));
        } else if (since != 0 && now >= since) {
            lt_buf_printf(out, ", %.*s refuses connections for %.1f s", LT_STR_ARG(set->v[i].name),
                          (double)(now - since) / 1e6);
        }
    }
}
