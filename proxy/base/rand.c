/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers. */
#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void lt_rand_bytes(void *out, size_t n)
{
    char *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort();
        }
        p += got;
        n -= (size_t)got;
    }
}

void lt_rand_init(struct lt_rand *rand)
{
    do {
        lt_rand_bytes(rand->s, sizeof(rand->s));
    } while ((rand->s[0] | rand->s[1] | rand->s[2] | rand->s[3]) == 0);
}

static inline uint64_t rotl(uint64_t x, unsigned k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t lt_rand_u64(struct lt_rand *rand)
{
    uint64_t *s = rand->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint32_t lt_rand_below(struct lt_rand *rand, uint32_t n)
{
    /* The high half of a 32x32 product: the bias is below n / 2^32. */
    return (uint32_t)(((lt_rand_u64(rand) >> 32) * n) >> 32);
}

void lt_rand_hex(struct lt_rand *rand, char *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        if (i % 16 == 0) {
            bits = lt_rand_u64(rand);
        }
        out[i] = digits[bits & 15];
        bits >>= 4;
    }
}
