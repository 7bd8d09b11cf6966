/* SPDX-License-Identifier: Apache-2.0 */
/* Free list of objects of one size. */
#include "base/slab.h"

#include <assert.h>

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define KEEP_NONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEP_NONE 1
#endif
#endif
#ifndef KEEP_NONE
#define KEEP_NONE 0
#endif

struct lt_slab_free {
    struct lt_slab_free *next;
};

void lt_slab_init(struct lt_slab *slab, size_t object_size, size_t free_max)
{
    *slab = (struct lt_slab){
        .object_size = lt_max(object_size, sizeof(struct lt_slab_free)),
        .free_max = KEEP_NONE ? 0 : free_max,
    };
}

void lt_slab_fini(struct lt_slab *slab)
{
    assert(slab->live == 0);
    while (slab->free != NULL) {
        struct lt_slab_free *f = slab->free;
        slab->free = f->next;
        lt_free(f);
    }
    slab->free_count = 0;
}

void *lt_slab_get(struct lt_slab *slab)
{
    struct lt_slab_free *f = slab->free;
    if (f != NULL) {
        slab->free = f->next;
        slab->free_count--;
    } else {
        f = lt_malloc(slab->object_size);
        if (f == NULL) {
            return NULL;
        }
    }
    slab->live++;
    return f;
}

void lt_slab_put(struct lt_slab *slab, void *object)
{
    if (object == NULL) {
        return;
    }
    assert(slab->live > 0);
    slab->live--;
    if (slab->free_count >= slab->free_max) {
        lt_free(object);
        return;
    }
    struct lt_slab_free *f = object;
    f->next = slab->free;
    slab->free = f;
    slab->free_count++;
}
