/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of Redis: the first byte says in pieces of which size the rest comes. However it is cut,
 * the same replies come out, and each is exactly its records. */
#include "upstream/redis_reply.h"

#include "base/err.h"
#include "base/hash.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Walks one value; gives how many records it has. */
static size_t walk(struct lt_str records, size_t *at, unsigned depth)
{
    size_t n = 1;
    require(*at + LT_REDIS_RECORD <= records.len && depth <= LT_REDIS_DEPTH_MAX);
    struct lt_redis_value v = lt_redis_value_next(records, at);
    require(*at <= records.len);
    for (int64_t i = 0; v.type == LT_REDIS_LIST && i < v.integer; i++) {
        n += walk(records, at, depth + 1);
    }
    return n;
}

/* Sum over all replies that come when it is read in pieces of this size. */
static uint64_t read_all(const char *p, size_t size, size_t piece)
{
    static const struct lt_hash_seed seed = {1, 2};
    struct lt_redis_reader *r = lt_redis_reader_new();
    struct lt_str records;
    uint64_t sum = 0;
    enum lt_err err = r != NULL ? LT_AGAIN : LT_ERR_NOMEM;
    for (size_t at = 0; err == LT_AGAIN && at < size; at += piece) {
        err = lt_redis_reader_feed(r, p + at, lt_min(piece, size - at));
        while (err == LT_OK && (err = lt_redis_reader_next(r, &records)) == LT_OK) {
            size_t end = 0;
            (void)walk(records, &end, 0);
            require(end == records.len);
            sum = sum * 31 + lt_hash(&seed, records);
        }
    }
    lt_redis_reader_free(r);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 && lt_redis_supported()) {
        const char *p = (const char *)data + 1;
        require(read_all(p, size - 1, size) == read_all(p, size - 1, data[0] + 1u));
    }
    return 0;
}
