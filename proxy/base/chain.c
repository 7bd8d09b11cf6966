/* SPDX-License-Identifier: Apache-2.0 */
/* Byte queue of blocks. */
#include "base/chain.h"

#include <assert.h>
#include <string.h>

#define FREE_FULL_MAX 256   /* 4 MB kept per worker */
#define FREE_MIDDLE_MAX 512 /* 2 MB kept per worker */
#define FREE_SMALL_MAX 1024 /* 2 MB kept per worker */

struct lt_block {
    struct lt_block *next;
    unsigned size;       /* LT_BLOCK_SIZE, LT_BLOCK_MIDDLE_SIZE or LT_BLOCK_SMALL_SIZE */
    unsigned begin, end; /* used part of data */
    char data[];
};

void lt_block_pool_init(struct lt_block_pool *pool, size_t max)
{
    *pool = (struct lt_block_pool){.max = max};
    lt_slab_init(&pool->full, LT_BLOCK_SIZE, FREE_FULL_MAX);
    lt_slab_init(&pool->middle, LT_BLOCK_MIDDLE_SIZE, FREE_MIDDLE_MAX);
    lt_slab_init(&pool->small, LT_BLOCK_SMALL_SIZE, FREE_SMALL_MAX);
}

void lt_block_pool_fini(struct lt_block_pool *pool)
{
    lt_slab_fini(&pool->full);
    lt_slab_fini(&pool->middle);
    lt_slab_fini(&pool->small);
}

size_t lt_block_pool_share(const struct lt_block_pool *pool, size_t most)
{
    size_t half = pool->max / 2;
    return pool->in_use < half ? lt_min(most, half - pool->in_use) : 0;
}

static struct lt_slab *slab_of(struct lt_block_pool *pool, unsigned size)
{
    return size == LT_BLOCK_SIZE          ? &pool->full
           : size == LT_BLOCK_MIDDLE_SIZE ? &pool->middle
                                          : &pool->small;
}

/* A block for `want` bytes. A chain that has one already gets a full one, unless the pool is tight:
 * it will go on. */
static unsigned size_for(const struct lt_block_pool *pool, size_t want, bool first)
{
    want += sizeof(struct lt_block);
    if (!first && pool->in_use < pool->max / 4) {
        return LT_BLOCK_SIZE;
    }
    return want <= LT_BLOCK_SMALL_SIZE    ? LT_BLOCK_SMALL_SIZE
           : want <= LT_BLOCK_MIDDLE_SIZE ? LT_BLOCK_MIDDLE_SIZE
                                          : LT_BLOCK_SIZE;
}

static unsigned room(const struct lt_block *b)
{
    return b->size - (unsigned)sizeof(*b) - b->end;
}

static struct lt_block *block_get(struct lt_block_pool *pool, size_t want, bool first)
{
    unsigned size = size_for(pool, want, first);
    struct lt_block *b = lt_slab_get(slab_of(pool, size));
    if (b != NULL) {
        *b = (struct lt_block){.size = size};
        pool->in_use += size;
        pool->peak = lt_max(pool->peak, pool->in_use);
    }
    return b;
}

static void block_put(struct lt_block_pool *pool, struct lt_block *b)
{
    pool->in_use -= b->size;
    lt_slab_put(slab_of(pool, b->size), b);
}

/* Drops the blocks after last (all of them for NULL) and empties last back to its old end. */
static void rollback(struct lt_chain *chain, struct lt_block *last, unsigned last_end)
{
    struct lt_block *b = last != NULL ? last->next : chain->head;
    while (b != NULL) {
        struct lt_block *next = b->next;
        block_put(chain->pool, b);
        b = next;
    }
    if (last != NULL) {
        last->next = NULL;
        last->end = last_end;
    } else {
        chain->head = NULL;
    }
    chain->tail = last;
}

enum lt_err lt_chain_append(struct lt_chain *chain, const void *p, size_t n)
{
    const char *from = p;
    size_t unplaced = n;
    struct lt_block *last = chain->tail;
    unsigned last_end = last != NULL ? last->end : 0;
    size_t most = chain->pool->max + chain->pool->extra;
    if (n > most || chain->pool->in_use > most - n) {
        return LT_ERR_LIMIT;
    }
    while (unplaced > 0) {
        if (chain->tail == NULL || room(chain->tail) == 0) {
            struct lt_block *b = block_get(chain->pool, unplaced, chain->tail == NULL);
            if (b == NULL) {
                rollback(chain, last, last_end);
                return LT_ERR_NOMEM;
            }
            if (chain->tail != NULL) {
                chain->tail->next = b;
            } else {
                chain->head = b;
            }
            chain->tail = b;
        }
        unsigned take = (unsigned)lt_min(unplaced, (size_t)room(chain->tail));
        memcpy(chain->tail->data + chain->tail->end, from, take);
        chain->tail->end += take;
        from += take;
        unplaced -= take;
    }
    chain->len += n;
    return LT_OK;
}

size_t lt_chain_peek(const struct lt_chain *chain, struct iovec *iov, size_t max)
{
    size_t n = 0;
    for (struct lt_block *b = chain->head; b != NULL && n < max; b = b->next) {
        iov[n++] = (struct iovec){.iov_base = b->data + b->begin, .iov_len = b->end - b->begin};
    }
    return n;
}

size_t lt_chain_peek_from(const struct lt_chain *chain, size_t from, struct iovec *iov, size_t max)
{
    size_t n = 0;
    assert(from <= chain->len);
    for (struct lt_block *b = chain->head; b != NULL && n < max; b = b->next) {
        size_t here = b->end - b->begin;
        if (from < here) {
            iov[n++] =
                (struct iovec){.iov_base = b->data + b->begin + from, .iov_len = here - from};
        }
        from -= lt_min(from, here);
    }
    return n;
}

void lt_chain_consume(struct lt_chain *chain, size_t n)
{
    assert(n <= chain->len);
    chain->len -= n;
    while (n > 0) {
        struct lt_block *b = chain->head;
        unsigned here = b->end - b->begin;
        if (n < here) {
            b->begin += (unsigned)n;
            return;
        }
        n -= here;
        chain->head = b->next;
        block_put(chain->pool, b);
    }
    if (chain->head == NULL) {
        chain->tail = NULL;
    }
}

void lt_chain_move(struct lt_chain *to, struct lt_chain *from)
{
    assert(to->pool == from->pool);
    if (from->head == NULL) {
        return;
    }
    if (to->tail != NULL) {
        to->tail->next = from->head;
    } else {
        to->head = from->head;
    }
    to->tail = from->tail;
    to->len += from->len;
    from->head = from->tail = NULL;
    from->len = 0;
}

void lt_chain_clear(struct lt_chain *chain)
{
    rollback(chain, NULL, 0);
    chain->len = 0;
}
