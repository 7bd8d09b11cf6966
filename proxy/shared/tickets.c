/* SPDX-License-Identifier: Apache-2.0 */
/* Ticket keys: a ring of four times as many records as are kept. Readers look at the newest ones,
 * at most LT_TICKETS_KEPT; what is written next was last readable at least two changes ago, which
 * are seconds apart, so nobody reads what is being written. */
#include "shared/tickets.h"

#include <openssl/crypto.h>

#include "base/rand.h"

#define RECORDS (4 * LT_TICKETS_KEPT)

struct record {
    uint64_t made_us; /* monotonic; 0: it was set, not made here */
    struct lt_ticket_key key;
};

struct area {
    /* Keys published so far, times KEPT_UNIT, plus how many of them are in use. Release when
     * records are whole, acquire before one is read. A crash before the store leaves the old word
     * and thereby the old keys. */
    _Atomic(uint64_t) published;
    struct record records[RECORDS];
};

#define KEPT_UNIT 256u

_Static_assert(sizeof(struct area) <= LT_SHM_TICKET_BYTES, "the ring fits its page");

static const struct record *nth(const struct area *area, uint64_t n)
{
    return &area->records[n % RECORDS];
}

bool lt_tickets_rotate(struct lt_shm *shm, uint64_t now_us, uint64_t rotate_ms)
{
    struct area *area = lt_shm_ticket_area(shm);
    /* Relaxed: only we write it. */
    uint64_t word = atomic_load_explicit(&area->published, memory_order_relaxed);
    uint64_t n = word / KEPT_UNIT, kept = word % KEPT_UNIT;
    if (n > 0 && nth(area, n - 1)->made_us == 0) {
        kept = 0; /* a fleet's keys, which are no longer wanted */
    } else if (n > 0 && now_us - nth(area, n - 1)->made_us < rotate_ms * 1000) {
        return false;
    }
    struct record *record = &area->records[n % RECORDS];
    record->made_us = lt_max(now_us, UINT64_C(1));
    lt_rand_bytes(&record->key, sizeof(record->key));
    kept = lt_min(kept + 1, (uint64_t)LT_TICKETS_KEPT);
    atomic_store_explicit(&area->published, (n + 1) * KEPT_UNIT + kept, memory_order_release);
    return true;
}

bool lt_tickets_set(struct lt_shm *shm, const struct lt_ticket_key *keys, unsigned n)
{
    struct area *area = lt_shm_ticket_area(shm);
    /* Relaxed: only we write it. */
    uint64_t word = atomic_load_explicit(&area->published, memory_order_relaxed);
    uint64_t before = word / KEPT_UNIT;
    bool same = word % KEPT_UNIT == n;
    for (unsigned i = 0; same && i < n; i++) {
        const struct record *record = nth(area, before - 1 - i);
        same = record->made_us == 0 && CRYPTO_memcmp(&record->key, &keys[i], sizeof(keys[i])) == 0;
    }
    if (same) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) { /* the newest is the first */
        struct record *record = &area->records[(before + i) % RECORDS];
        record->made_us = 0;
        record->key = keys[n - 1 - i];
    }
    atomic_store_explicit(&area->published, (before + n) * KEPT_UNIT + n, memory_order_release);
    return true;
}

bool lt_tickets_get(struct lt_shm *shm, const unsigned char *name, struct lt_ticket_key *out)
{
    const struct area *area = lt_shm_ticket_area(shm);
    uint64_t word = atomic_load_explicit(&area->published, memory_order_acquire);
    uint64_t n = word / KEPT_UNIT, kept = word % KEPT_UNIT;
    for (uint64_t i = 0; i < kept; i++) {
        const struct record *record = nth(area, n - 1 - i);
        if (name == NULL || CRYPTO_memcmp(record->key.name, name, LT_TICKET_NAME_LEN) == 0) {
            *out = record->key;
            return true;
        }
    }
    return false;
}
