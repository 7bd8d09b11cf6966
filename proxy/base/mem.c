/* SPDX-License-Identifier: Apache-2.0 */
/* Checked allocation with failure injection. Any thread. */
#include "base/mem.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>

static _Thread_local unsigned fail_at;

static bool must_fail(void)
{
    if (LT_LIKELY(fail_at == 0)) {
        return false;
    }
    if (fail_at > 1) {
        fail_at--;
        return false;
    }
    return true;
}

void *lt_malloc(size_t n)
{
    return must_fail() ? NULL : malloc(n > 0 ? n : 1);
}

void *lt_calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : calloc(n > 0 ? n : 1, size > 0 ? size : 1);
}

void *lt_realloc(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || must_fail()) {
        return NULL;
    }
    return realloc(p, bytes > 0 ? bytes : 1);
}

void lt_free(void *p)
{
    free(p);
}

void lt_mem_fail_at(unsigned n)
{
    fail_at = n;
}

void lt_mem_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
