/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that all workers take from one total: what the files of waiting request bodies hold. Any
 * thread; the total may change between two calls. */
#ifndef LT_SHARED_QUOTA_H
#define LT_SHARED_QUOTA_H

#include "base/defs.h"

/* A zeroed one is ready. */
struct lt_quota {
    _Atomic(uint64_t) used; /* relaxed: the number alone counts, nothing is published by it */
};

/* Takes n bytes unless more than max would be taken then; false: nothing was taken. */
bool lt_quota_take(struct lt_quota *quota, uint64_t n, uint64_t max) LT_MUST_CHECK;

/* Gives n bytes back that were taken. */
void lt_quota_give(struct lt_quota *quota, uint64_t n);

/* Bytes that are taken now. */
uint64_t lt_quota_used(struct lt_quota *quota);

#endif
