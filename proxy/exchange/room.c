/* SPDX-License-Identifier: Apache-2.0 */
/* How much may be read for whom while memory is short. Nothing is read from either side unless
 * what the other side doesn't take at once has a place in the worker's pool of blocks. The more of
 * the pool is taken, the less each exchange may hold, so that any number of slow readers share it
 * and none of them fails for lack of memory: they wait until what they have has left. One short
 * piece is always granted, so that those go on who take what they get: it counts with the
 * connection (LT_EXCHANGE_PIECES). The worker's thread. */
#include "exchange/internal.h"

/* The short piece; less is not worth a read. */
#define READ_MIN 4096u
_Static_assert(READ_MIN < LT_BLOCK_MIDDLE_SIZE, "a short piece and its framing fit a block");

size_t lt_room(const struct lt_exchange *x, size_t waiting, size_t most)
{
    size_t limit = lt_max(lt_block_pool_share(&x->env->loop->blocks, most), (size_t)READ_MIN);
    return limit >= waiting + READ_MIN ? limit - waiting : 0;
}

size_t lt_exchange_env_room(const struct lt_exchange_env *env)
{
    return lt_max(lt_block_pool_share(&env->loop->blocks, SIZE_MAX), (size_t)READ_MIN);
}
