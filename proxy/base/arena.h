/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocator: what lives as long as an exchange, a snapshot or a configuration load hangs on
 * one arena and dies with it. Clean-ups are registered next to the acquisition and run in reverse
 * order. One thread at a time. */
#ifndef LT_BASE_ARENA_H
#define LT_BASE_ARENA_H

#include "base/defs.h"
#include "base/str.h"

typedef void (*lt_arena_cleanup_fn)(void *arg);

struct lt_arena_block;
struct lt_arena_cleanup;

/* What several arenas of one thread may take together. */
struct lt_arena_total {
    size_t used; /* bytes of malloc'ed blocks */
    size_t max;
};

struct lt_arena {
    char *cur, *end;                   /* free part of the current block */
    struct lt_arena_block *blocks;     /* malloc'ed blocks, newest first */
    struct lt_arena_cleanup *cleanups; /* newest first */
    size_t size;                       /* bytes taken by malloc'ed blocks */
    size_t max;                        /* limit for size */
    struct lt_arena_total *total;      /* set after init; NULL: none. Borrowed until fini */
};

/* first: borrowed until fini, an initial block of first_len bytes (may be NULL, 0), aligned for any
 * type. max: the limit in bytes for what is allocated beyond it. */
void lt_arena_init(struct lt_arena *arena, void *first, size_t first_len, size_t max);

/* Runs the clean-ups, frees all blocks. A zeroed arena is fine. */
void lt_arena_fini(struct lt_arena *arena);

/* n bytes aligned to 16, uninitialised; NULL at the limit or without memory. */
void *lt_arena_alloc(struct lt_arena *arena, size_t n) LT_MUST_CHECK;

/* As alloc, zeroed, for an array of n elements; NULL also on overflow. */
void *lt_arena_zalloc(struct lt_arena *arena, size_t n, size_t size) LT_MUST_CHECK;

/* n bytes without alignment, for text. */
char *lt_arena_chars(struct lt_arena *arena, size_t n) LT_MUST_CHECK;

/* A NUL-terminated copy of s in *out; false without memory. */
bool lt_arena_dup(struct lt_arena *arena, struct lt_str s, struct lt_str *out) LT_MUST_CHECK;

/* Formatted, NUL-terminated text in *out; false without memory. */
bool lt_arena_printf(struct lt_arena *arena, struct lt_str *out, const char *fmt, ...)
    LT_PRINTF(3, 4) LT_MUST_CHECK;

/* Calls fn(arg) at fini, newest first. False without memory: then nothing is registered. */
bool lt_arena_on_fini(struct lt_arena *arena, lt_arena_cleanup_fn fn, void *arg) LT_MUST_CHECK;

#define lt_arena_new(arena, type) ((type *)lt_arena_zalloc((arena), 1, sizeof(type)))
#define lt_arena_array(arena, type, n) ((type *)lt_arena_zalloc((arena), (n), sizeof(type)))

#endif
