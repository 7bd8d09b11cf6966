/* SPDX-License-Identifier: Apache-2.0 */
/* Values by key that all workers share: a table of fixed size which forgets the key that was unused
 * for longest when it is full. It lives in the memory of the gateway and dies with it.
 *
 *   table = parts, each with a lock, chains by hash, an order of use, and blocks of 128 bytes
 *   value = one block, and as many more as its text needs
 *
 * A key is two keyed hashes; its text is not kept. Under a lock at most one value is copied and as
 * many values are forgotten as one has blocks, so that nobody waits for long. Any thread. */
#ifndef LT_SHARED_VALUE_TABLE_H
#define LT_SHARED_VALUE_TABLE_H

#include "base/err.h"
#include "base/hash.h"

/* Longest text. */
#define LT_VALUE_MAX ((size_t)65536)
/* Bytes that a table has at least. */
#define LT_VALUE_TABLE_MIN ((size_t)1 << 20)

struct lt_value_part;

struct lt_value_table {
    struct lt_value_part *parts; /* owned */
    unsigned n_parts;            /* a power of two */
    size_t bytes;
    struct lt_hash_seed seed; /* of keys, of this table alone */
};

enum lt_value_type {
    LT_VALUE_NONE, /* there is none */
    LT_VALUE_BOOL,
    LT_VALUE_INT,
    LT_VALUE_NUMBER,
    LT_VALUE_TEXT
};

struct lt_value {
    enum lt_value_type type;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct lt_str text;
    };
};

struct lt_value_key {
    uint64_t hash, check;
};

/* When a value is forgotten by itself: monotonic, never 0. */
#define LT_VALUE_FOREVER UINT64_MAX

/* What an operation did. */
enum lt_value_result {
    LT_VALUE_DONE,
    LT_VALUE_KEPT,     /* nothing: the condition does not hold */
    LT_VALUE_TOO_LARGE /* the text is longer than LT_VALUE_MAX */
};

/* Where one operation happens and what it is told back. */
struct lt_value_op {
    struct lt_value_key key;
    uint64_t now_us;
    unsigned evicted; /* out: values of others that had to make room */
};

/* bytes: at least LT_VALUE_TABLE_MIN. False without memory or locks. */
bool lt_value_table_init(struct lt_value_table *table, size_t bytes) LT_MUST_CHECK;
/* Also for a zeroed one; nobody uses it any more. */
void lt_value_table_fini(struct lt_value_table *table);
/* Forgets everything. */
void lt_value_table_clear(struct lt_value_table *table);

/* scope sets names apart: the same key means another value in each. */
struct lt_value_key lt_value_key(const struct lt_value_table *table, uint64_t scope,
                                 struct lt_str key);

/* The value; a text is copied to buf (LT_VALUE_MAX bytes) and points there. *until_us (may be
 * NULL): when it ends. */
void lt_value_get(struct lt_value_table *table, struct lt_value_op *op, char *buf,
                  struct lt_value *out, uint64_t *until_us);

/* Sets it whatever there is. DONE or TOO_LARGE. */
enum lt_value_result lt_value_set(struct lt_value_table *table, struct lt_value_op *op,
                                  const struct lt_value *value, uint64_t until_us) LT_MUST_CHECK;

/* Sets it if what is there equals old (numbers by their value); NONE: nothing. value NONE: removes
 * it. DONE, KEPT or TOO_LARGE. */
enum lt_value_result lt_value_cas(struct lt_value_table *table, struct lt_value_op *op,
                                  const struct lt_value *old, const struct lt_value *value,
                                  uint64_t until_us) LT_MUST_CHECK;

/* Adds by (INT or NUMBER) to the number there, or to init where there is none, which then ends at
 * until_us; one that is there keeps its end. *out: the sum. KEPT: it is no number. Integers wrap
 * around. */
enum lt_value_result lt_value_incr(struct lt_value_table *table, struct lt_value_op *op,
                                   const struct lt_value *by, const struct lt_value *init,
                                   uint64_t until_us, struct lt_value *out) LT_MUST_CHECK;

/* Whether there was one. */
bool lt_value_delete(struct lt_value_table *table, struct lt_value_op *op);

#endif
