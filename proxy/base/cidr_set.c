/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of blocks of addresses (cidr_set.h). */
#include "base/cidr_set.h"

#include <stdlib.h>

struct lt_addr_range lt_addr_range_of(const struct lt_cidr *cidr)
{
    struct lt_addr_range range;
    memcpy(range.first, cidr->ip, sizeof(range.first));
    memcpy(range.last, cidr->ip, sizeof(range.last));
    for (unsigned i = cidr->bits; i < 128; i++) {
        range.last[i / 8] |= (unsigned char)(1u << (7 - i % 8));
    }
    return range;
}

static int by_first(const void *a, const void *b)
{
    const struct lt_addr_range *x = a, *y = b;
    return memcmp(x->first, y->first, sizeof(x->first));
}

size_t lt_addr_ranges_join(struct lt_addr_range *ranges, size_t n)
{
    size_t kept = 0;
    if (n == 0) {
        return 0;
    }
    qsort(ranges, n, sizeof(ranges[0]), by_first);
    for (size_t i = 1; i < n; i++) {
        struct lt_addr_range *to = &ranges[kept];
        if (memcmp(ranges[i].first, to->last, sizeof(to->last)) > 0) {
            ranges[++kept] = ranges[i];
        } else if (memcmp(ranges[i].last, to->last, sizeof(to->last)) > 0) {
            memcpy(to->last, ranges[i].last, sizeof(to->last));
        }
    }
    return kept + 1;
}

bool lt_addr_ranges_have(const struct lt_addr_range *ranges, size_t n, const struct lt_addr *addr)
{
    unsigned char ip[16];
    size_t from = 0, to = n;
    if (!lt_addr_to_v6(addr, ip)) {
        return false;
    }
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (memcmp(ip, ranges[middle].first, sizeof(ip)) < 0) {
            to = middle;
        } else if (memcmp(ip, ranges[middle].last, sizeof(ip)) > 0) {
            from = middle + 1;
        } else {
            return true;
        }
    }
    return false;
}
