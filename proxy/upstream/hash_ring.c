/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: points sorted by place. A key looks from PROBES places of its own for the next point
 * and takes the nearest: shares are more even than with PROBES times the points (multi-probe
 * consistent hashing). When a member leaves, its points only make distances longer, so the keys of
 * the others stay. */
#include "upstream/hash_ring.h"

#include <stdlib.h>

#include "base/hash.h"

#define POINTS 160u /* of the members with the largest weight */
#define PROBES 4u

struct point {
    uint32_t place;
    uint32_t member;
};

struct lt_hash_ring {
    unsigned n;
    struct point *points;
};

/* Known to everybody: gateways that share their servers place keys alike. */
static const struct lt_hash_seed seed = {.k0 = 0x6c696e74656c2072, .k1 = 0x696e67206f6e6531};

/* The finaliser of splitmix64. */
static uint64_t mix(uint64_t h)
{
    h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
    return h ^ (h >> 31);
}

/* The i-th of the numbers that follow from h. */
static uint64_t derive(uint64_t h, unsigned i)
{
    return mix(h + (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static int by_place(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->place != y->place) {
        return x->place < y->place ? -1 : 1;
    }
    return x->member < y->member ? -1 : x->member > y->member;
}

enum lt_err lt_hash_ring_new(struct lt_arena *arena, const struct lt_hash_ring_member *members,
                             unsigned n, const struct lt_hash_ring **out)
{
    uint32_t heaviest = 1;
    for (unsigned i = 0; i < n; i++) {
        heaviest = lt_max(heaviest, members[i].weight);
    }
    struct lt_hash_ring *ring = lt_arena_zalloc(arena, 1, sizeof(*ring));
    struct point *points = lt_arena_zalloc(arena, (size_t)n * POINTS, sizeof(*points));
    if (ring == NULL || points == NULL) {
        return LT_ERR_NOMEM;
    }
    ring->points = points;
    for (unsigned i = 0; i < n; i++) {
        uint64_t own = lt_hash(&seed, members[i].name);
        unsigned share =
            (unsigned)(((uint64_t)members[i].weight * POINTS + heaviest - 1) / heaviest);
        for (unsigned k = 0; k < share; k++) {
            points[ring->n++] = (struct point){.place = (uint32_t)derive(own, k), .member = i};
        }
    }
    qsort(points, ring->n, sizeof(*points), by_place);
    *out = ring;
    return LT_OK;
}

/* The first point at or after place, going round. */
static const struct point *after(const struct lt_hash_ring *ring, uint32_t place)
{
    unsigned low = 0, high = ring->n;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (ring->points[middle].place < place) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return &ring->points[low < ring->n ? low : 0];
}

unsigned lt_hash_ring_find(const struct lt_hash_ring *ring, uint64_t hash)
{
    const struct point *nearest = NULL;
    uint32_t shortest = 0;
    for (unsigned i = 0; i < PROBES; i++) {
        uint32_t place = (uint32_t)(derive(hash, i) >> 32);
        const struct point *point = after(ring, place);
        uint32_t distance = point->place - place; /* round the end, too */
        if (nearest == NULL || distance < shortest) {
            nearest = point;
            shortest = distance;
        }
    }
    return nearest->member;
}

uint64_t lt_hash_ring_key(struct lt_str key)
{
    return lt_hash(&seed, key);
}

uint64_t lt_hash_ring_next(uint64_t hash)
{
    return derive(hash, PROBES);
}
