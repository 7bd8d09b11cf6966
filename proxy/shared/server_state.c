/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of servers: states live until nobody uses them and no worker has a pool by their id;
 * slots in the shared memory are given back when they are needed elsewhere. */
#include "shared/server_state.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "shared/shm.h"

#define STATES_MAX 16384u
#define LANES 4u
#define LANE_BITS 16u
#define LANE_MASK UINT64_C(0xffff)

struct entry {
    struct lt_server_state state;
    struct lt_shm_inflight *slot; /* NULL: none taken */
    bool marked;       /* had no user when the round began, and was not asked for since */
    struct lt_str key; /* owned text; "upstream\0address" */
};

struct lt_server_registry {
    pthread_mutex_t lock; /* of all below; builder threads only */
    struct lt_shm *shm;
    uint32_t generation;
    struct lt_map states; /* key to struct entry */
    uint32_t *free_ids;   /* room for STATES_MAX */
    uint32_t n_free, next_id;
};

struct lt_server_registry *lt_server_registry_new(struct lt_shm *shm, uint32_t generation)
{
    struct lt_server_registry *reg = lt_calloc(1, sizeof(*reg));
    uint32_t *ids = lt_calloc(STATES_MAX, sizeof(*ids));
    if (reg == NULL || ids == NULL) {
        lt_free(reg);
        lt_free(ids);
        return NULL;
    }
    reg->free_ids = ids;
    pthread_mutex_init(&reg->lock, NULL);
    reg->shm = shm;
    reg->generation = generation;
    lt_map_init(&reg->states, *lt_shm_seed(shm), STATES_MAX);
    return reg;
}

static void free_entry(struct entry *entry)
{
    lt_free((char *)entry->key.p);
    lt_free(entry);
}

void lt_server_registry_free(struct lt_server_registry *reg)
{
    if (reg == NULL) {
        return;
    }
    size_t at = 0;
    for (const struct lt_map_entry *e; (e = lt_map_next(&reg->states, &at)) != NULL;) {
        free_entry(e->value);
    }
    lt_map_fini(&reg->states);
    lt_free(reg->free_ids);
    pthread_mutex_destroy(&reg->lock);
    lt_free(reg);
}

/* The slot with this key, or a free one claimed for it; NULL: the table is full. */
static struct lt_shm_inflight *find_slot(struct lt_server_registry *reg, uint64_t key)
{
    struct lt_shm_inflight *slots = lt_shm_inflight(reg->shm);
    for (size_t i = 0; i < LT_SHM_INFLIGHT_SLOTS; i++) {
        if (atomic_load_explicit(&slots[i].key, memory_order_relaxed) == key) {
            return &slots[i];
        }
    }
    for (size_t i = 0; i < LT_SHM_INFLIGHT_SLOTS; i++) {
        uint64_t none = 0;
        /* Relaxed: the key publishes nothing; the word was 0 when the slot became free. */
        if (atomic_compare_exchange_strong_explicit(&slots[i].key, &none, key, memory_order_relaxed,
                                                    memory_order_relaxed) ||
            none == key) {
            return &slots[i];
        }
    }
    return NULL;
}

/* Frees slots that nobody needs: of states without users, and those that earlier generations left
 * and this one doesn't know. */
static void reclaim_slots(struct lt_server_registry *reg)
{
    struct lt_shm_inflight *slots = lt_shm_inflight(reg->shm);
    bool kept[LT_SHM_INFLIGHT_SLOTS] = {false};
    size_t at = 0;
    for (const struct lt_map_entry *e; (e = lt_map_next(&reg->states, &at)) != NULL;) {
        struct entry *entry = e->value;
        if (entry->slot == NULL) {
            continue;
        }
        if (atomic_load_explicit(&entry->state.users, memory_order_acquire) > 0) {
            kept[entry->slot - slots] = true;
        } else {
            entry->slot = NULL;
            atomic_store_explicit(&entry->state.inflight, NULL, memory_order_relaxed);
        }
    }
    for (size_t i = 0; i < LT_SHM_INFLIGHT_SLOTS; i++) {
        if (!kept[i] && atomic_load_explicit(&slots[i].word, memory_order_relaxed) == 0) {
            atomic_store_explicit(&slots[i].key, 0, memory_order_relaxed);
        }
    }
}

static bool give_slot(struct lt_server_registry *reg, struct entry *entry, struct lt_str key)
{
    uint64_t hash = lt_hash(lt_shm_seed(reg->shm), key);
    hash += hash == 0; /* 0 means free */
    entry->slot = find_slot(reg, hash);
    if (entry->slot == NULL) {
        reclaim_slots(reg);
        entry->slot = find_slot(reg, hash);
    }
    if (entry->slot == NULL) {
        return false;
    }
    atomic_store_explicit(&entry->state.inflight, &entry->slot->word, memory_order_relaxed);
    return true;
}

static char *make_key(struct lt_str upstream, struct lt_str address, struct lt_str *key)
{
    char *p = lt_malloc(upstream.len + 1 + address.len);
    if (p != NULL) {
        memcpy(p, upstream.p, upstream.len);
        p[upstream.len] = '\0';
        memcpy(p + upstream.len + 1, address.p, address.len);
        *key = lt_str(p, upstream.len + 1 + address.len);
    }
    return p;
}

/* Takes *text on success and clears it. */
static enum lt_err add_entry(struct lt_server_registry *reg, char **text, struct lt_str key,
                             struct entry **out)
{
    struct entry *entry = lt_calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return LT_ERR_NOMEM;
    }
    entry->key = key;
    entry->state.lane = reg->generation % LANES;
    enum lt_err err = lt_map_set(&reg->states, key, entry);
    if (err != LT_OK) {
        lt_free(entry);
        return err;
    }
    entry->state.id = reg->n_free > 0 ? reg->free_ids[--reg->n_free] : reg->next_id++;
    *text = NULL;
    *out = entry;
    return LT_OK;
}

enum lt_err lt_server_registry_get(struct lt_server_registry *reg, struct lt_str upstream,
                                   struct lt_str address, bool needs_slot,
                                   struct lt_server_state **out)
{
    struct lt_str key;
    char *text = make_key(upstream, address, &key);
    if (text == NULL) {
        return LT_ERR_NOMEM;
    }
    pthread_mutex_lock(&reg->lock);
    enum lt_err err = LT_OK;
    struct entry *entry = lt_map_get(&reg->states, key);
    if (entry == NULL) {
        err = add_entry(reg, &text, key, &entry);
    }
    if (err == LT_OK) {
        entry->marked = false;
        /* Counted before a slot is looked for, so that it isn't reclaimed at once. */
        if (atomic_fetch_add_explicit(&entry->state.users, 1, memory_order_acq_rel) == 0) {
            atomic_store_explicit(&entry->state.up_since_us, lt_clock_us(), memory_order_relaxed);
        }
        if (needs_slot && entry->slot == NULL && !give_slot(reg, entry, key)) {
            atomic_fetch_sub_explicit(&entry->state.users, 1, memory_order_acq_rel);
            err = LT_ERR_LIMIT;
        } else {
            *out = &entry->state;
        }
    }
    pthread_mutex_unlock(&reg->lock);
    lt_free(text);
    return err;
}

void lt_server_registry_mark(struct lt_server_registry *reg)
{
    pthread_mutex_lock(&reg->lock);
    size_t at = 0;
    for (const struct lt_map_entry *e; (e = lt_map_next(&reg->states, &at)) != NULL;) {
        struct entry *entry = e->value;
        /* Acquire: what the last user did with the state comes before. */
        entry->marked = atomic_load_explicit(&entry->state.users, memory_order_acquire) == 0;
        atomic_store_explicit(&entry->state.kept, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&reg->lock);
}

void lt_server_state_keep(struct lt_server_state *state)
{
    /* Relaxed: the message that says the worker is done brings it to who reclaims. */
    atomic_store_explicit(&state->kept, true, memory_order_relaxed);
}

unsigned lt_server_registry_reclaim(struct lt_server_registry *reg)
{
    unsigned n = 0;
    size_t at = 0;
    pthread_mutex_lock(&reg->lock);
    for (const struct lt_map_entry *e; (e = lt_map_next(&reg->states, &at)) != NULL;) {
        struct entry *entry = e->value;
        if (entry->marked && !atomic_load_explicit(&entry->state.kept, memory_order_relaxed) &&
            atomic_load_explicit(&entry->state.users, memory_order_acquire) == 0) {
            lt_map_remove(&reg->states, entry->key);
            reg->free_ids[reg->n_free++] = entry->state.id;
            free_entry(entry);
            n++;
        }
    }
    pthread_mutex_unlock(&reg->lock);
    return n;
}

uint32_t lt_server_registry_ids(struct lt_server_registry *reg)
{
    pthread_mutex_lock(&reg->lock);
    uint32_t n = reg->next_id;
    pthread_mutex_unlock(&reg->lock);
    return n;
}

void lt_server_state_hold(struct lt_server_state *state)
{
    /* Relaxed: the snapshot's own count keeps the state until here. */
    atomic_fetch_add_explicit(&state->users, 1, memory_order_relaxed);
}

void lt_server_state_drop(struct lt_server_state *state)
{
    /* Release: the last user's reads of the state come before a slot is reclaimed. */
    atomic_fetch_sub_explicit(&state->users, 1, memory_order_acq_rel);
}

void lt_server_registry_put(struct lt_server_registry *reg, struct lt_server_state *state)
{
    (void)reg;
    if (state != NULL) {
        lt_server_state_drop(state);
    }
}

/* The order of enum lt_server_admin. */
static const char *const admin_names[] = {"ready", "drain", "maintenance"};

const char *lt_server_admin_name(enum lt_server_admin admin)
{
    return admin_names[admin];
}

bool lt_server_admin_find(struct lt_str text, enum lt_server_admin *admin)
{
    for (unsigned i = 0; i < lt_countof(admin_names); i++) {
        if (lt_str_eq_c(text, admin_names[i])) {
            *admin = (enum lt_server_admin)i;
            return true;
        }
    }
    return false;
}

static uint32_t sum_lanes(uint64_t word)
{
    uint32_t n = 0;
    for (unsigned lane = 0; lane < LANES; lane++) {
        n += (uint32_t)((word >> (lane * LANE_BITS)) & LANE_MASK);
    }
    return n;
}

/* The count publishes nothing. That its accesses are sequentially consistent is for the queue
 * (shared/waiting.h): who finds no room is seen by who makes some, or sees it. */
bool lt_server_acquire(struct lt_server_state *state, uint32_t max)
{
    _Atomic(uint64_t) *word = atomic_load_explicit(&state->inflight, memory_order_relaxed);
    uint64_t one = UINT64_C(1) << (state->lane * LANE_BITS);
    uint64_t seen = atomic_load_explicit(word, memory_order_seq_cst);
    do {
        if (sum_lanes(seen) >= lt_min(max, (uint32_t)LANE_MASK)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(word, &seen, seen + one, memory_order_seq_cst,
                                                    memory_order_seq_cst));
    return true;
}

void lt_server_drop(struct lt_server_state *state)
{
    _Atomic(uint64_t) *word = atomic_load_explicit(&state->inflight, memory_order_relaxed);
    unsigned shift = state->lane * LANE_BITS;
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
    do {
        if (((seen >> shift) & LANE_MASK) == 0) {
            return; /* never borrow from another generation's lane */
        }
    } while (!atomic_compare_exchange_weak_explicit(word, &seen, seen - (UINT64_C(1) << shift),
                                                    memory_order_seq_cst, memory_order_relaxed));
}

/* A balancer that passes a full server over looks for a seat by this: as lt_server_acquire. */
uint32_t lt_server_inflight(const struct lt_server_state *state)
{
    _Atomic(uint64_t) *word = atomic_load_explicit(&state->inflight, memory_order_relaxed);
    return word != NULL ? sum_lanes(atomic_load_explicit(word, memory_order_seq_cst)) : 0;
}
