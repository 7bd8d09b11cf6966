/* SPDX-License-Identifier: Apache-2.0 */
/* Byte queue of blocks for bodies and unsent output. Blocks come from one pool per worker, whose
 * limit bounds all of them together. One thread. */
#ifndef LT_BASE_CHAIN_H
#define LT_BASE_CHAIN_H

#include "base/err.h"
#include "base/slab.h"

#include <sys/uio.h>

#define LT_BLOCK_SIZE 16384u      /* bytes of a full block, header included */
#define LT_BLOCK_SMALL_SIZE 2048u /* of the first block of a short queue */
/* In between: what is kept of a short read while the pool is tight, with its framing. */
#define LT_BLOCK_MIDDLE_SIZE 4608u

struct lt_block_pool {
    struct lt_slab full, middle, small;
    size_t in_use; /* bytes of blocks handed out */
    size_t peak;   /* the most that in_use was since its user last set this */
    size_t max;    /* what chains should hold, see lt_block_pool_share */
    size_t extra;  /* and what they may hold beyond it, for short pieces */
};

/* max: limit in bytes for all chains of the pool together; extra is 0 until it is set. */
void lt_block_pool_init(struct lt_block_pool *pool, size_t max);
void lt_block_pool_fini(struct lt_block_pool *pool);

/* The most that one of many chains should hold now, up to `most` bytes: as much as is left of half
 * of the pool. So any number of greedy chains share that half, each finds its limit by itself, and
 * the other half is there for those that ask for little. */
size_t lt_block_pool_share(const struct lt_block_pool *pool, size_t most);

struct lt_block;

/* A zeroed chain with a pool is empty and ready. */
struct lt_chain {
    struct lt_block_pool *pool;
    struct lt_block *head, *tail;
    size_t len; /* bytes queued */
};

static inline void lt_chain_init(struct lt_chain *chain, struct lt_block_pool *pool)
{
    *chain = (struct lt_chain){.pool = pool};
}

/* Appends a copy. On LT_ERR_LIMIT or LT_ERR_NOMEM nothing was appended. */
enum lt_err lt_chain_append(struct lt_chain *chain, const void *p, size_t n) LT_MUST_CHECK;

/* Fills up to max slices from the front; gives how many. They stay valid until the next change. */
size_t lt_chain_peek(const struct lt_chain *chain, struct iovec *iov, size_t max);

/* As lt_chain_peek from the byte number `from` on; from <= len. */
size_t lt_chain_peek_from(const struct lt_chain *chain, size_t from, struct iovec *iov, size_t max);

/* Drops n bytes from the front; n <= len. */
void lt_chain_consume(struct lt_chain *chain, size_t n);

/* Moves all of from to the end of to; both of the same pool. */
void lt_chain_move(struct lt_chain *to, struct lt_chain *from);

/* Empties it. */
void lt_chain_clear(struct lt_chain *chain);

#endif
