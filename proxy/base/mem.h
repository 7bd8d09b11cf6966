/* SPDX-License-Identifier: Apache-2.0 */
/* Checked allocation. Everything that the gateway itself allocates comes through here, so that
 * unit tests can make any allocation fail. */
#ifndef LT_BASE_MEM_H
#define LT_BASE_MEM_H

#include "base/defs.h"

/* Returns owned memory, or NULL. n == 0 gives a valid pointer. */
void *lt_malloc(size_t n) LT_MUST_CHECK;

/* Zeroed array of n elements of size bytes; NULL also when n * size overflows. Returns owned. */
void *lt_calloc(size_t n, size_t size) LT_MUST_CHECK;

/* As realloc for an array; on NULL the old block stays valid. Returns owned. */
void *lt_realloc(void *p, size_t n, size_t size) LT_MUST_CHECK;

/* Takes p (NULL is fine). */
void lt_free(void *p);

/* Gives freed pages back to the system, where the allocator keeps them. Takes a moment. */
void lt_mem_trim(void);

/* Tests only: the n-th allocation from now on in this thread fails, and all after it, until called
 * with 0. */
void lt_mem_fail_at(unsigned n);

#endif
