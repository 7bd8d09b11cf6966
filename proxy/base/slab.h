/* SPDX-License-Identifier: Apache-2.0 */
/* Free list of objects of one size; one per worker, one thread. Under AddressSanitizer each object
 * is a malloc of its own, so that use after put is seen. */
#ifndef LT_BASE_SLAB_H
#define LT_BASE_SLAB_H

#include "base/defs.h"

struct lt_slab_free;

struct lt_slab {
    struct lt_slab_free *free; /* objects ready for use */
    size_t object_size;        /* bytes */
    size_t free_count;         /* objects on the free list */
    size_t free_max;           /* more than that go back to malloc */
    size_t live;               /* objects handed out */
};

void lt_slab_init(struct lt_slab *slab, size_t object_size, size_t free_max);

/* Frees what is on the free list; every object must have been put back. */
void lt_slab_fini(struct lt_slab *slab);

/* An uninitialised object aligned to 16, or NULL. Returns owned: give it back with put. */
void *lt_slab_get(struct lt_slab *slab) LT_MUST_CHECK;

/* Takes object (NULL is fine). */
void lt_slab_put(struct lt_slab *slab, void *object);

#endif
