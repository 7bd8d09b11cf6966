/* SPDX-License-Identifier: Apache-2.0 */
/* Byte queue of blocks. */
#include "base/chain.h"

#include <assert.h>
#include <string.h>

#define FREE_FULL_MAX 256   /* 4 MB kept per worker */
#define FREE_SMALL_MAX 1024 /* 2 MB kept per worker */

struct lt_block {
    struct lt_block *next;
    unsigned size;       /* LT_BLOCK_SIZE or LT_BLOCK_SMALL_SIZE */
    unsigned begin, end; /* used part of data */
    char data[];
};

void lt_block_pool_init(struct lt_block_pool *pool, size_t max)
{
    *pool = (struct lt_block_pool){.max = max};
    lt_slab_init(&pool->full, LT_BLOCK_SIZE, FREE_FULL_MAX);
    lt_slab_init(&pool->small, LT_BLOCK_SMALL_SIZE, FREE_SMALL_MAX);
}

void lt_block_pool_fini(struct lt_block_pool *pool)
{
    lt_slab_fini(&pool->full);
    lt_slab_fini(&pool->small);
}

static unsigned room(const struct lt_block *b)
{
    return b->size - (unsigned)sizeof(*b) - b->end;
}

static struct lt_block *block_get(struct lt_block_pool *pool, size_t want)
{
    bool small = want <= LT_BLOCK_SMALL_SIZE - sizeof(struct lt_block);
    unsigned size = small ? LT_BLOCK_SMALL_SIZE : LT_BLOCK_SIZE;
    struct lt_block *b = lt_slab_get(small ? &pool->small : &pool->full);
    if (b != NULL) {
        *b = (struct lt_block){.size = size};
        pool->in_use += size;
    }
    return b;
}

static void block_put(struct lt_block_pool *pool, struct lt_block *b)
{
    pool->in_use -= b->size;
    lt_slab_put(b->size == LT_BLOCK_SIZE ? &pool->full : &pool->small, b);
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
    size_t left = n;
    struct lt_block *last = chain->tail;
    unsigned last_end = last != NULL ? last->end : 0;
    if (n > chain->pool->max || chain->pool->in_use > chain->pool->max - n) {
        return LT_ERR_LIMIT;
    }
    while (left > 0) {
        if (chain->tail == NULL || room(chain->tail) == 0) {
            struct lt_block *b = block_get(chain->pool, chain->tail == NULL ? left : LT_BLOCK_SIZE);
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
        unsigned take = (unsigned)lt_min(left, (size_t)room(chain->tail));
        memcpy(chain->tail->data + chain->tail->end, from, take);
        chain->tail->end += take;
        from += take;
        left -= take;
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
