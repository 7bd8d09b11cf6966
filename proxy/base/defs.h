/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes and small macros that every file may use. */
#ifndef LT_BASE_DEFS_H
#define LT_BASE_DEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LT_MUST_CHECK __attribute__((warn_unused_result))
#define LT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define LT_NORETURN __attribute__((noreturn))
#define LT_UNUSED __attribute__((unused))
#define LT_LIKELY(x) __builtin_expect(!!(x), 1)
#define LT_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LT_CACHE_LINE 64

#define lt_countof(a) (sizeof(a) / sizeof((a)[0]))

/* The object that embeds *ptr as member. */
#define lt_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define lt_min(a, b) ((a) < (b) ? (a) : (b))
#define lt_max(a, b) ((a) > (b) ? (a) : (b))

#endif
