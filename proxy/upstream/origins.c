/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's origins (origins.h). They are kept while there are fetches or idle connections, and
 * the one unused for longest makes room for a new one. */
#include "upstream/origins.h"

#include <assert.h>

#include "base/mem.h"
#include "upstream/back_h1.h"

#define KEY_MAX (LT_DNS_NAME_MAX + LT_ADDR_TEXT_MAX + LT_TLS_ID_LEN + 16u)

struct lt_origins *lt_origins_new(struct lt_loop *loop, struct lt_addresses *addresses,
                                  struct lt_metrics_worker *metrics)
{
    struct lt_origins *o = lt_calloc(1, sizeof(*o));
    if (o == NULL) {
        return NULL;
    }
    o->loop = loop;
    o->addresses = addresses;
    o->metrics = metrics;
    o->heads.max = LT_FETCH_HEADS_MAX;
    lt_list_init(&o->used);
    lt_list_init(&o->waiting);
    lt_map_init(&o->by_key, lt_hash_seed_random(), LT_ORIGINS_MAX);
    o->pools = lt_pools_new(loop, NULL); /* whose counters are of application servers */
    if (o->pools == NULL) {
        lt_free(o);
        return NULL;
    }
    return o;
}

static void forget(struct lt_origins *o, struct lt_fetch_origin *origin)
{
    (void)lt_map_remove(&o->by_key, origin->key);
    lt_list_remove(&origin->link);
    o->ids[origin->state.id] = false;
    lt_free((char *)(uintptr_t)origin->key.p);
    lt_free(origin);
}

void lt_origins_free(struct lt_origins *o)
{
    if (o == NULL) {
        return;
    }
    assert(o->active == 0 && lt_list_empty(&o->waiting));
    lt_loop_cancel(&o->serve);
    lt_pools_free(o->pools);
    lt_list_each(it, tmp, &o->used)
    {
        forget(o, lt_container_of(it, struct lt_fetch_origin, link));
    }
    lt_map_fini(&o->by_key);
    lt_free(o);
}

void lt_origins_mock(struct lt_origins *o, void (*answer)(void *arg, struct lt_fetch *f), void *arg)
{
    o->mock = answer;
    o->mock_arg = arg;
}

bool lt_origins_mocked(const struct lt_origins *o)
{
    return o->mock != NULL;
}

size_t lt_origins_memory(void)
{
    size_t fetches = LT_FETCHES_MAX + LT_FETCHES_WAITING_MAX;
    size_t connections = LT_FETCHES_MAX + LT_FETCH_IDLE_ALL_MAX;
    return LT_FETCH_HELD_MAX + LT_FETCH_HEADS_MAX + fetches * sizeof(struct lt_fetch) +
           connections * lt_back_h1_size();
}

unsigned lt_origins_count(const struct lt_origins *o)
{
    return (unsigned)o->by_key.live;
}

unsigned lt_origins_idle(const struct lt_origins *o)
{
    return lt_pools_idle(o->pools);
}

/* ---- Finding. ---- */

/* The one unused for longest goes, with its idle connections. False: all are in use. */
static bool make_room(struct lt_origins *o)
{
    for (struct lt_list *it = o->used.prev; it != &o->used; it = it->prev) {
        struct lt_fetch_origin *origin = lt_container_of(it, struct lt_fetch_origin, link);
        if (origin->active == 0 && origin->waiting == 0) {
            atomic_store_explicit(&origin->state.users, 0, memory_order_relaxed);
            lt_pools_sweep(o->pools);
            forget(o, origin);
            return true;
        }
    }
    return false;
}

static struct lt_fetch_origin *add(struct lt_origins *o, struct lt_str key)
{
    uint32_t id = 0;
    if (o->by_key.live >= LT_ORIGINS_MAX && !make_room(o)) {
        return NULL;
    }
    while (o->ids[id]) {
        id++;
    }
    struct lt_fetch_origin *origin = lt_calloc(1, sizeof(*origin));
    char *copy = lt_malloc(key.len);
    if (origin != NULL && copy != NULL) {
        memcpy(copy, key.p, key.len);
        origin->key = lt_str(copy, key.len);
        origin->state.id = id;
        atomic_store_explicit(&origin->state.users, 1, memory_order_relaxed);
        if (lt_map_set(&o->by_key, origin->key, origin) == LT_OK) {
            o->ids[id] = true;
            lt_list_push_front(&o->used, &origin->link);
            return origin;
        }
    }
    lt_free(copy);
    lt_free(origin);
    return NULL;
}

struct lt_fetch_origin *lt_origin_get(struct lt_origins *o, const struct lt_fetch *f)
{
    char space[KEY_MAX], socket[LT_ADDR_TEXT_MAX];
    struct lt_buf key;
    lt_buf_init_fixed(&key, space, sizeof(space));
    lt_buf_printf(&key, "%d %u %.*s ", f->url.tls, f->url.port, LT_STR_ARG(f->url.host));
    if (f->url.tls) {
        lt_buf_add(&key, lt_tls_client_policy_id(f->tls), LT_TLS_ID_LEN);
    }
    if (f->socket.len > 0) {
        lt_buf_add(&key, socket, lt_addr_print(&f->socket, socket));
    }
    struct lt_fetch_origin *origin = lt_map_get(&o->by_key, lt_buf_view(&key));
    if (origin == NULL) {
        return add(o, lt_buf_view(&key));
    }
    lt_list_remove(&origin->link);
    lt_list_push_front(&o->used, &origin->link);
    return origin;
}

/* ---- Turns. ---- */

static bool has_room(const struct lt_origins *o, const struct lt_fetch_origin *origin)
{
    return o->active < LT_FETCHES_MAX && origin->active < LT_ORIGIN_FETCHES_MAX;
}

static void run(struct lt_origins *o, struct lt_fetch *f)
{
    f->running = true;
    f->origin->active++;
    o->active++;
    lt_fetch_begin(f);
}

static void serve(void *arg)
{
    struct lt_origins *o = arg;
    lt_list_each(it, tmp, &o->waiting)
    {
        struct lt_fetch *f = lt_container_of(it, struct lt_fetch, link);
        if (has_room(o, f->origin)) {
            lt_list_remove(&f->link);
            f->origin->waiting--;
            o->n_waiting--;
            run(o, f);
        }
    }
}

bool lt_origin_enter(struct lt_origins *o, struct lt_fetch *f)
{
    if (f->origin->waiting == 0 && has_room(o, f->origin)) {
        run(o, f);
        return true;
    }
    if (f->origin->waiting >= LT_ORIGIN_WAITING_MAX || o->n_waiting >= LT_FETCHES_WAITING_MAX) {
        return false;
    }
    f->origin->waiting++;
    o->n_waiting++;
    lt_list_push_back(&o->waiting, &f->link);
    return true;
}

void lt_origin_leave(struct lt_origins *o, struct lt_fetch *f)
{
    if (lt_list_linked(&f->link)) {
        lt_list_remove(&f->link);
        f->origin->waiting--;
        o->n_waiting--;
    } else if (f->running) {
        f->running = false;
        f->origin->active--;
        o->active--;
        if (!lt_list_empty(&o->waiting)) {
            lt_loop_defer(o->loop, &o->serve, serve, o);
        }
    }
}
