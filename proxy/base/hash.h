/* SPDX-License-Identifier: Apache-2.0 */
/* Keyed hash for tables whose keys come from outside: SipHash-1-3, 64 bits. */
#ifndef LT_BASE_HASH_H
#define LT_BASE_HASH_H

#include "base/str.h"

struct lt_hash_seed {
    uint64_t k0, k1;
};

uint64_t lt_hash(const struct lt_hash_seed *seed, struct lt_str s);

/* A seed from the kernel's random source. Ends the process when there is none: nothing safe can be
 * done without. */
struct lt_hash_seed lt_hash_seed_random(void);

#endif
