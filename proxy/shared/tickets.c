/* SPDX-License-Identifier: Apache-2.0 */
/* Ticket keys: a ring of twice as many records as are kept. Readers look at the newest
 * LT_TICKETS_KEPT; the record that is written next was last readable LT_TICKETS_KEPT rotations ago,
 * so nobody reads what is being written. */
#include "shared/tickets.h"

#include <openssl/crypto.h>

#include "base/rand.h"

#define RECORDS (2 * LT_TICKETS_KEPT)

struct record {
    uint64_t made_us; /* monotonic */
    struct lt_ticket_key key;
};

struct area {
    /* Keys made so far. Release when a record is whole, acquire before one is read. A crash before
     * the store leaves the old count and thereby the old keys. */
    _Atomic(uint64_t) published;
    struct record records[RECORDS];
};

_Static_assert(sizeof(struct area) <= LT_SHM_TICKET_BYTES, "the ring fits its page");

bool lt_tickets_rotate(struct lt_shm *shm, uint64_t now_us)
{
    struct area *area = lt_shm_ticket_area(shm);
    uint64_t n = atomic_load_explicit(&area->published, memory_order_relaxed);
    if (n > 0 && now_us - area->records[(n - 1) % RECORDS].made_us <
                     LT_TICKETS_ROTATE_S * UINT64_C(1000000)) {
        return false;
    }
    struct record *record = &area->records[n % RECORDS];
    record->made_us = now_us;
    lt_rand_bytes(&record->key, sizeof(record->key));
    atomic_store_explicit(&area->published, n + 1, memory_order_release);
    return true;
}

bool lt_tickets_get(struct lt_shm *shm, const unsigned char *name, struct lt_ticket_key *out)
{
    const struct area *area = lt_shm_ticket_area(shm);
    uint64_t n = atomic_load_explicit(&area->published, memory_order_acquire);
    for (uint64_t i = 0; i < LT_TICKETS_KEPT && i < n; i++) {
        const struct record *record = &area->records[(n - 1 - i) % RECORDS];
        if (name == NULL || CRYPTO_memcmp(record->key.name, name, LT_TICKET_NAME_LEN) == 0) {
            *out = record->key;
            return true;
        }
    }
    return false;
}
