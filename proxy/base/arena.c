/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocator. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

#define ALIGN 16u
#define BLOCK_MIN 4096u

struct lt_arena_block {
    struct lt_arena_block *next;
    size_t size; /* bytes, header included */
};

struct lt_arena_cleanup {
    struct lt_arena_cleanup *next;
    lt_arena_cleanup_fn fn;
    void *arg;
};

#define HEADER ((sizeof(struct lt_arena_block) + ALIGN - 1) / ALIGN * ALIGN)

void lt_arena_init(struct lt_arena *arena, void *first, size_t first_len, size_t max)
{
    *arena = (struct lt_arena){.cur = first, .max = max};
    arena->end = first != NULL ? arena->cur + first_len : NULL;
}

void lt_arena_fini(struct lt_arena *arena)
{
    while (arena->cleanups != NULL) {
        struct lt_arena_cleanup *c = arena->cleanups;
        arena->cleanups = c->next;
        c->fn(c->arg);
    }
    for (struct lt_arena_block *b = arena->blocks; b != NULL;) {
        struct lt_arena_block *next = b->next;
        lt_free(b);
        b = next;
    }
    if (arena->total != NULL) {
        arena->total->used -= arena->size;
    }
    *arena = (struct lt_arena){0};
}

/* How many bytes of blocks may still be taken. */
static size_t left(const struct lt_arena *arena)
{
    const struct lt_arena_total *total = arena->total;
    size_t own = arena->max > arena->size ? arena->max - arena->size : 0;
    if (total == NULL) {
        return own;
    }
    return lt_min(own, total->max > total->used ? total->max - total->used : 0);
}

/* A new block with room for n bytes becomes the current one. Its size doubles with what the arena
 * holds already, so that many small allocations cost few mallocs. */
static bool grow(struct lt_arena *arena, size_t n)
{
    size_t size = lt_max((size_t)BLOCK_MIN, lt_min(arena->size, (size_t)1 << 20));
    if (n > SIZE_MAX / 2) {
        return false;
    }
    size = lt_max(size, n + HEADER);
    if (size > left(arena)) {
        size = n + HEADER;
        if (size > left(arena)) {
            return false;
        }
    }
    struct lt_arena_block *b = lt_malloc(size);
    if (b == NULL) {
        return false;
    }
    b->next = arena->blocks;
    b->size = size;
    arena->blocks = b;
    arena->size += size;
    if (arena->total != NULL) {
        arena->total->used += size;
    }
    arena->cur = (char *)b + HEADER;
    arena->end = (char *)b + size;
    return true;
}

char *lt_arena_chars(struct lt_arena *arena, size_t n)
{
    if (LT_UNLIKELY(n > (size_t)(arena->end - arena->cur) || arena->cur == NULL) &&
        !grow(arena, n)) {
        return NULL;
    }
    char *p = arena->cur;
    arena->cur += n;
    return p;
}

void *lt_arena_alloc(struct lt_arena *arena, size_t n)
{
    size_t pad = (size_t)(-(uintptr_t)arena->cur & (ALIGN - 1));
    if (LT_UNLIKELY(arena->cur == NULL || n > SIZE_MAX - pad ||
                    n + pad > (size_t)(arena->end - arena->cur))) {
        if (!grow(arena, n)) {
            return NULL;
        }
        pad = 0;
    }
    char *p = arena->cur + pad;
    arena->cur = p + n;
    return p;
}

void *lt_arena_zalloc(struct lt_arena *arena, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        return NULL;
    }
    void *p = lt_arena_alloc(arena, bytes);
    if (p != NULL) {
        memset(p, 0, bytes);
    }
    return p;
}

bool lt_arena_dup(struct lt_arena *arena, struct lt_str s, struct lt_str *out)
{
    char *p = lt_arena_chars(arena, s.len + 1);
    if (p == NULL) {
        return false;
    }
    if (s.len > 0) {
        memcpy(p, s.p, s.len);
    }
    p[s.len] = '\0';
    *out = lt_str(p, s.len);
    return true;
}

bool lt_arena_printf(struct lt_arena *arena, struct lt_str *out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n >= 0 ? lt_arena_chars(arena, (size_t)n + 1) : NULL;
    if (p == NULL) {
        return false;
    }
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    *out = lt_str(p, (size_t)n);
    return true;
}

bool lt_arena_on_fini(struct lt_arena *arena, lt_arena_cleanup_fn fn, void *arg)
{
    struct lt_arena_cleanup *c = lt_arena_alloc(arena, sizeof(*c));
    if (c == NULL) {
        return false;
    }
    *c = (struct lt_arena_cleanup){.next = arena->cleanups, .fn = fn, .arg = arg};
    arena->cleanups = c;
    return true;
}
