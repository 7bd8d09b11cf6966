/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of names for a worker (addresses.h). */
#include "net/addresses.h"

#include "base/map.h"
#include "base/mem.h"

struct entry {
    struct lt_str name; /* owned */
    struct lt_addr v[LT_ADDRESSES_MAX];
    unsigned n;
    const char *why;
    uint64_t until_us;    /* monotonic; 0: nothing known yet */
    bool asked;           /* a question is on its way */
    struct lt_list waits; /* struct lt_address_wait */
};

struct lt_addresses {
    struct lt_loop *loop;
    lt_addresses_ask_fn ask;
    void *asker;
    struct lt_map names; /* struct entry */
    unsigned waiting;
};

struct lt_addresses *lt_addresses_new(struct lt_loop *loop, lt_addresses_ask_fn ask, void *asker)
{
    struct lt_addresses *a = lt_calloc(1, sizeof(*a));
    if (a != NULL) {
        a->loop = loop;
        a->ask = ask;
        a->asker = asker;
        lt_map_init(&a->names, lt_hash_seed_random(), LT_ADDRESSES_NAMES_MAX);
    }
    return a;
}

static void free_entry(struct entry *e)
{
    lt_free((char *)(uintptr_t)e->name.p);
    lt_free(e);
}

void lt_addresses_free(struct lt_addresses *a)
{
    const struct lt_map_entry *it;
    if (a == NULL) {
        return;
    }
    for (size_t at = 0; (it = lt_map_next(&a->names, &at)) != NULL;) {
        free_entry(it->value);
    }
    lt_map_fini(&a->names);
    lt_free(a);
}

/* ---- Names that are known. ---- */

/* Makes room: the first name that nobody waits for goes. */
static void forget_one(struct lt_addresses *a)
{
    const struct lt_map_entry *it;
    for (size_t at = 0; (it = lt_map_next(&a->names, &at)) != NULL;) {
        struct entry *e = it->value;
        if (!e->asked) {
            (void)lt_map_remove(&a->names, e->name);
            free_entry(e);
            return;
        }
    }
}

static struct entry *add(struct lt_addresses *a, struct lt_str name)
{
    struct entry *e = lt_calloc(1, sizeof(*e));
    char *text = lt_malloc(name.len + 1);
    if (a->names.live >= LT_ADDRESSES_NAMES_MAX) {
        forget_one(a);
    }
    if (e != NULL && text != NULL) {
        memcpy(text, name.p, name.len);
        text[name.len] = '\0';
        e->name = lt_str(text, name.len);
        lt_list_init(&e->waits);
        if (lt_map_set(&a->names, e->name, e) == LT_OK) {
            return e;
        }
    }
    lt_free(text);
    lt_free(e);
    return NULL;
}

/* ---- Asking. ---- */

static bool ask(struct lt_addresses *a, struct entry *e)
{
    struct lt_address_question *q = lt_calloc(1, sizeof(*q));
    if (q == NULL) {
        return false;
    }
    q->addresses = a;
    q->asker = a->asker;
    memcpy(q->name, e->name.p, lt_min(e->name.len, sizeof(q->name) - 1));
    e->asked = true;
    a->ask(q);
    return true;
}

void lt_addresses_answer(struct lt_address_question *q)
{
    struct lt_addresses *a = q->addresses;
    struct entry *e = lt_map_get(&a->names, lt_str_c(q->name));
    struct lt_list *it, waits;
    e->asked = false; /* which kept it here */
    e->n = lt_min(q->n, LT_ADDRESSES_MAX);
    memcpy(e->v, q->v, e->n * sizeof(e->v[0]));
    e->why = q->why;
    e->until_us = a->loop->now_us + q->ttl_ms * 1000 + 1;
    lt_free(q);
    /* Those who are told may ask again, and the entry may go meanwhile. */
    struct entry copy = *e;
    lt_list_init(&waits);
    while ((it = lt_list_pop_front(&e->waits)) != NULL) {
        lt_list_push_back(&waits, it);
    }
    while ((it = lt_list_pop_front(&waits)) != NULL) {
        struct lt_address_wait *wait = lt_container_of(it, struct lt_address_wait, link);
        wait->addresses = NULL;
        a->waiting--;
        wait->fn(wait->owner, copy.v, copy.n, copy.why);
    }
}

void lt_addresses_find(struct lt_addresses *a, struct lt_address_wait *wait, struct lt_str name,
                       lt_addresses_fn fn, void *owner)
{
    struct entry *e = lt_map_get(&a->names, name);
    if (e != NULL && !e->asked && a->loop->now_us < e->until_us) {
        struct entry copy = *e;
        fn(owner, copy.v, copy.n, copy.why);
        return;
    }
    if (e == NULL && name.len <= LT_DNS_NAME_MAX + 1) {
        e = add(a, name);
    }
    if (e == NULL || a->waiting >= LT_ADDRESSES_WAITING_MAX) {
        fn(owner, NULL, 0, "too many look-ups wait");
        return;
    }
    wait->addresses = a;
    wait->fn = fn;
    wait->owner = owner;
    lt_list_push_back(&e->waits, &wait->link);
    a->waiting++;
    if (!e->asked && !ask(a, e)) {
        lt_address_wait_cancel(wait);
        fn(owner, NULL, 0, "out of memory");
    }
}

void lt_address_wait_cancel(struct lt_address_wait *wait)
{
    if (wait->addresses != NULL) {
        wait->addresses->waiting--;
        wait->addresses = NULL;
        lt_list_remove(&wait->link);
    }
}
