/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers: from the kernel for what must not be guessed, a small generator per owner for
 * balancing and ids. */
#ifndef LT_BASE_RAND_H
#define LT_BASE_RAND_H

#include "base/defs.h"

/* n bytes fit for keys. Ends the process when the kernel gives none. */
void lt_rand_bytes(void *out, size_t n);

/* xoshiro256**: fast, not for secrets. One owner, one thread. */
struct lt_rand {
    uint64_t s[4];
};

/* Seeds from the kernel. */
void lt_rand_init(struct lt_rand *rand);

uint64_t lt_rand_u64(struct lt_rand *rand);

/* Uniform in [0, n); n > 0. */
uint32_t lt_rand_below(struct lt_rand *rand, uint32_t n);

/* Writes n lower-case hexadecimal digits, no NUL. */
void lt_rand_hex(struct lt_rand *rand, char *out, size_t n);

#endif
