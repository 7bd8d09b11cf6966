/* SPDX-License-Identifier: Apache-2.0 */
/* The table of shared values (value_table.h). Any thread.
 *
 * Each part is guarded by its lock alone. Blocks are named by their number, 0 is none. */
#include "shared/value_table.h"

#include <pthread.h>

#include "base/mem.h"

#define BLOCK 128u
#define MORE_DATA (BLOCK - 4u)
#define HEAD_DATA (BLOCK - 45u)
#define PART_BYTES ((size_t)256 << 10)
#define PARTS_MAX 64u

/* A block that goes on a text. */
struct more {
    uint32_t next;
    char data[MORE_DATA];
};

/* The first block of a value. */
struct head {
    uint32_t next;         /* block of its text; of a free block of any kind: the next one */
    uint32_t chain;        /* next head in the chain of its hash */
    uint32_t newer, older; /* in the order of use */
    uint64_t hash, check;
    uint64_t until_us;
    uint32_t len; /* of the text */
    uint8_t type; /* enum lt_value_type */
    char data[HEAD_DATA];
};

union block {
    struct more more;
    struct head head;
};

_Static_assert(sizeof(union block) == BLOCK, "blocks are as large as said");

struct lt_value_part {
    pthread_mutex_t lock;
    uint32_t free;  /* blocks that were given back */
    uint32_t fresh; /* first block that was never used: its memory isn't touched before */
    uint32_t n_free;
    uint32_t newest, oldest;
    uint32_t n_blocks, mask;   /* number of chains - 1 */
    uint32_t *chains;          /* owned */
    union block *blocks;       /* owned; 0 is not used */
    char apart[LT_CACHE_LINE]; /* no two locks on one line */
};

/* ---- the table ---- */

/* No value; the chains are empty already. */
static void part_reset(struct lt_value_part *p)
{
    p->newest = p->oldest = p->free = 0;
    p->n_free = p->n_blocks - 1;
    p->fresh = 1;
}

static bool part_init(struct lt_value_part *p, size_t bytes)
{
    uint32_t chains = 1;
    p->n_blocks = (uint32_t)(bytes / (BLOCK + sizeof(*p->chains)));
    while (chains * 2 <= p->n_blocks) {
        chains *= 2;
    }
    p->mask = chains - 1;
    p->chains = lt_calloc(chains, sizeof(*p->chains));
    p->blocks = lt_calloc(p->n_blocks, sizeof(*p->blocks));
    if (p->chains == NULL || p->blocks == NULL || pthread_mutex_init(&p->lock, NULL) != 0) {
        lt_free(p->chains);
        lt_free(p->blocks);
        return false;
    }
    part_reset(p);
    return true;
}

bool lt_value_table_init(struct lt_value_table *table, size_t bytes)
{
    unsigned n = 1;
    *table = (struct lt_value_table){.bytes = bytes, .seed = lt_hash_seed_random()};
    while (n < PARTS_MAX && bytes / (n * 2) >= PART_BYTES) {
        n *= 2;
    }
    table->parts = lt_calloc(n, sizeof(*table->parts));
    if (table->parts == NULL) {
        return false;
    }
    for (; table->n_parts < n; table->n_parts++) {
        if (!part_init(&table->parts[table->n_parts], bytes / n)) {
            lt_value_table_fini(table);
            return false;
        }
    }
    return true;
}

void lt_value_table_fini(struct lt_value_table *table)
{
    for (unsigned i = 0; i < table->n_parts; i++) {
        struct lt_value_part *p = &table->parts[i];
        pthread_mutex_destroy(&p->lock);
        lt_free(p->chains);
        lt_free(p->blocks);
    }
    lt_free(table->parts);
    *table = (struct lt_value_table){.parts = NULL};
}

void lt_value_table_clear(struct lt_value_table *table)
{
    for (unsigned i = 0; i < table->n_parts; i++) {
        struct lt_value_part *p = &table->parts[i];
        pthread_mutex_lock(&p->lock);
        memset(p->chains, 0, ((size_t)p->mask + 1) * sizeof(*p->chains));
        part_reset(p);
        pthread_mutex_unlock(&p->lock);
    }
}

struct lt_value_key lt_value_key(const struct lt_value_table *table, uint64_t scope,
                                 struct lt_str key)
{
    const struct lt_hash_seed first = {table->seed.k0 ^ scope, table->seed.k1};
    const struct lt_hash_seed second = {table->seed.k1 ^ scope, ~table->seed.k0};
    return (struct lt_value_key){lt_hash(&first, key), lt_hash(&second, key)};
}

static struct lt_value_part *lock(struct lt_value_table *table, const struct lt_value_op *op)
{
    struct lt_value_part *p = &table->parts[op->key.hash >> 32 & (table->n_parts - 1)];
    pthread_mutex_lock(&p->lock);
    return p;
}

static void unlock(struct lt_value_part *p)
{
    pthread_mutex_unlock(&p->lock);
}

/* ---- order, chains, blocks; the lock is held ---- */

static struct head *head_of(struct lt_value_part *p, uint32_t at)
{
    return &p->blocks[at].head;
}

static void order_remove(struct lt_value_part *p, struct head *h)
{
    *(h->newer != 0 ? &head_of(p, h->newer)->older : &p->newest) = h->older;
    *(h->older != 0 ? &head_of(p, h->older)->newer : &p->oldest) = h->newer;
}

static void order_push(struct lt_value_part *p, uint32_t at)
{
    struct head *h = head_of(p, at);
    h->newer = 0;
    h->older = p->newest;
    *(p->newest != 0 ? &head_of(p, p->newest)->newer : &p->oldest) = at;
    p->newest = at;
}

static void give_blocks(struct lt_value_part *p, uint32_t first)
{
    while (first != 0) {
        uint32_t next = p->blocks[first].more.next;
        p->blocks[first].more.next = p->free;
        p->free = first;
        p->n_free++;
        first = next;
    }
}

static uint32_t take_block(struct lt_value_part *p)
{
    uint32_t at = p->free;
    if (at != 0) {
        p->free = p->blocks[at].more.next;
    } else {
        at = p->fresh++;
    }
    p->n_free--;
    p->blocks[at].more.next = 0;
    return at;
}

static void forget(struct lt_value_part *p, uint32_t at)
{
    struct head *h = head_of(p, at);
    uint32_t *link = &p->chains[h->hash & p->mask];
    while (*link != at) {
        link = &head_of(p, *link)->chain;
    }
    *link = h->chain;
    order_remove(p, h);
    give_blocks(p, at);
}

/* The value of the key, or 0; one whose time is over is forgotten. */
static uint32_t find(struct lt_value_part *p, const struct lt_value_op *op)
{
    for (uint32_t at = p->chains[op->key.hash & p->mask]; at != 0; at = head_of(p, at)->chain) {
        const struct head *h = head_of(p, at);
        if (h->hash == op->key.hash && h->check == op->key.check) {
            if (h->until_us > op->now_us) {
                return at;
            }
            forget(p, at);
            return 0;
        }
    }
    return 0;
}

static void use(struct lt_value_part *p, uint32_t at)
{
    if (p->newest != at) {
        order_remove(p, head_of(p, at));
        order_push(p, at);
    }
}

/* Makes n blocks free. A part has more than the largest value takes. */
static void make_room(struct lt_value_part *p, struct lt_value_op *op, uint32_t n)
{
    while (p->n_free < n) {
        op->evicted += head_of(p, p->oldest)->until_us > op->now_us;
        forget(p, p->oldest);
    }
}

/* ---- values; the lock is held ---- */

static uint32_t blocks_of(const struct lt_value *v)
{
    size_t len = v->type == LT_VALUE_TEXT ? v->text.len : 0;
    return len <= HEAD_DATA ? 1 : 1 + (uint32_t)((len - HEAD_DATA + MORE_DATA - 1) / MORE_DATA);
}

static void write_text(struct lt_value_part *p, uint32_t at, struct lt_str text)
{
    struct head *h = head_of(p, at);
    size_t n = lt_min(text.len, sizeof(h->data));
    uint32_t *link = &h->next;
    h->len = (uint32_t)text.len;
    memcpy(h->data, text.p, n);
    for (size_t done = n; done < text.len; done += n) {
        uint32_t more = take_block(p);
        *link = more;
        link = &p->blocks[more].more.next;
        n = lt_min(text.len - done, (size_t)MORE_DATA);
        memcpy(p->blocks[more].more.data, text.p + done, n);
    }
}

static void write_value(struct lt_value_part *p, uint32_t at, const struct lt_value *v)
{
    struct head *h = head_of(p, at);
    h->type = (uint8_t)v->type;
    switch (v->type) {
    case LT_VALUE_NONE:
        break;
    case LT_VALUE_BOOL:
        h->data[0] = (char)v->boolean;
        break;
    case LT_VALUE_INT:
        memcpy(h->data, &v->integer, sizeof(v->integer));
        break;
    case LT_VALUE_NUMBER:
        memcpy(h->data, &v->number, sizeof(v->number));
        break;
    case LT_VALUE_TEXT:
        if (v->text.len > 0) {
            write_text(p, at, v->text);
        } else {
            h->len = 0;
        }
        break;
    }
}

static void read_text(struct lt_value_part *p, uint32_t at, char *buf, struct lt_str *out)
{
    const struct head *h = head_of(p, at);
    size_t n = lt_min((size_t)h->len, sizeof(h->data));
    uint32_t more = h->next;
    memcpy(buf, h->data, n);
    for (size_t done = n; done < h->len; done += n) {
        n = lt_min(h->len - done, (size_t)MORE_DATA);
        memcpy(buf + done, p->blocks[more].more.data, n);
        more = p->blocks[more].more.next;
    }
    *out = lt_str(buf, h->len);
}

/* buf as in lt_value_get; NULL: of a text only the type is told. */
static void read_value(struct lt_value_part *p, uint32_t at, char *buf, struct lt_value *out)
{
    const struct head *h = head_of(p, at);
    *out = (struct lt_value){.type = at != 0 ? (enum lt_value_type)h->type : LT_VALUE_NONE};
    switch (out->type) {
    case LT_VALUE_NONE:
        break;
    case LT_VALUE_BOOL:
        out->boolean = h->data[0] != 0;
        break;
    case LT_VALUE_INT:
        memcpy(&out->integer, h->data, sizeof(out->integer));
        break;
    case LT_VALUE_NUMBER:
        memcpy(&out->number, h->data, sizeof(out->number));
        break;
    case LT_VALUE_TEXT:
        if (buf != NULL) {
            read_text(p, at, buf, &out->text);
        }
        break;
    }
}

/* Puts v in the place of what is at `at` (0: nothing is). */
static void put(struct lt_value_part *p, struct lt_value_op *op, uint32_t at,
                const struct lt_value *v, uint64_t until_us)
{
    if (at != 0) {
        forget(p, at);
    }
    if (v->type == LT_VALUE_NONE) {
        return;
    }
    make_room(p, op, blocks_of(v));
    at = take_block(p);
    struct head *h = head_of(p, at);
    h->hash = op->key.hash;
    h->check = op->key.check;
    h->until_us = until_us;
    h->chain = p->chains[h->hash & p->mask];
    p->chains[h->hash & p->mask] = at;
    order_push(p, at);
    write_value(p, at, v);
}

static bool same_text(struct lt_value_part *p, uint32_t at, struct lt_str text)
{
    const struct head *h = head_of(p, at);
    size_t n = lt_min(text.len, sizeof(h->data));
    if (h->len != text.len || memcmp(h->data, text.p != NULL ? text.p : "", n) != 0) {
        return false;
    }
    uint32_t more = h->next;
    for (size_t done = n; done < text.len; done += n) {
        n = lt_min(text.len - done, (size_t)MORE_DATA);
        if (memcmp(p->blocks[more].more.data, text.p + done, n) != 0) {
            return false;
        }
        more = p->blocks[more].more.next;
    }
    return true;
}

static double as_number(const struct lt_value *v)
{
    return v->type == LT_VALUE_INT ? (double)v->integer : v->number;
}

static bool is_number(const struct lt_value *v)
{
    return v->type == LT_VALUE_INT || v->type == LT_VALUE_NUMBER;
}

/* Whether what is at `at` equals v. */
static bool equals(struct lt_value_part *p, uint32_t at, const struct lt_value *v)
{
    struct lt_value there;
    read_value(p, at, NULL, &there);
    if (is_number(&there) && is_number(v) && there.type != v->type) {
        return as_number(&there) == as_number(v);
    }
    if (there.type != v->type) {
        return false;
    }
    switch (v->type) {
    case LT_VALUE_NONE:
        break;
    case LT_VALUE_BOOL:
        return there.boolean == v->boolean;
    case LT_VALUE_INT:
        return there.integer == v->integer;
    case LT_VALUE_NUMBER:
        return there.number == v->number;
    case LT_VALUE_TEXT:
        return same_text(p, at, v->text);
    }
    return true;
}

static bool too_large(const struct lt_value *v)
{
    return v->type == LT_VALUE_TEXT && v->text.len > LT_VALUE_MAX;
}

/* ---- operations ---- */

void lt_value_get(struct lt_value_table *table, struct lt_value_op *op, char *buf,
                  struct lt_value *out, uint64_t *until_us)
{
    struct lt_value_part *p = lock(table, op);
    uint32_t at = find(p, op);
    read_value(p, at, buf, out);
    if (at != 0) {
        use(p, at);
        if (until_us != NULL) {
            *until_us = head_of(p, at)->until_us;
        }
    }
    unlock(p);
}

enum lt_value_result lt_value_set(struct lt_value_table *table, struct lt_value_op *op,
                                  const struct lt_value *value, uint64_t until_us)
{
    if (too_large(value)) {
        return LT_VALUE_TOO_LARGE;
    }
    struct lt_value_part *p = lock(table, op);
    put(p, op, find(p, op), value, until_us);
    unlock(p);
    return LT_VALUE_DONE;
}

enum lt_value_result lt_value_cas(struct lt_value_table *table, struct lt_value_op *op,
                                  const struct lt_value *old, const struct lt_value *value,
                                  uint64_t until_us)
{
    if (too_large(value)) {
        return LT_VALUE_TOO_LARGE;
    }
    struct lt_value_part *p = lock(table, op);
    uint32_t at = find(p, op);
    bool equal = equals(p, at, old);
    if (equal) {
        put(p, op, at, value, until_us);
    }
    unlock(p);
    return equal ? LT_VALUE_DONE : LT_VALUE_KEPT;
}

static void sum(const struct lt_value *a, const struct lt_value *b, struct lt_value *out)
{
    if (a->type == LT_VALUE_INT && b->type == LT_VALUE_INT) {
        *out = (struct lt_value){.type = LT_VALUE_INT,
                                 .integer = (int64_t)((uint64_t)a->integer + (uint64_t)b->integer)};
    } else {
        *out = (struct lt_value){.type = LT_VALUE_NUMBER, .number = as_number(a) + as_number(b)};
    }
}

enum lt_value_result lt_value_incr(struct lt_value_table *table, struct lt_value_op *op,
                                   const struct lt_value *by, const struct lt_value *init,
                                   uint64_t until_us, struct lt_value *out)
{
    struct lt_value_part *p = lock(table, op);
    uint32_t at = find(p, op);
    struct lt_value there = *init;
    if (at != 0) {
        read_value(p, at, NULL, &there);
    }
    bool ok = is_number(&there);
    if (ok) {
        sum(&there, by, out);
        if (at != 0) {
            use(p, at);
            write_value(p, at, out); /* a number takes no more than its first block */
        } else {
            put(p, op, 0, out, until_us);
        }
    }
    unlock(p);
    return ok ? LT_VALUE_DONE : LT_VALUE_KEPT;
}

bool lt_value_delete(struct lt_value_table *table, struct lt_value_op *op)
{
    struct lt_value_part *p = lock(table, op);
    uint32_t at = find(p, op);
    if (at != 0) {
        forget(p, at);
    }
    unlock(p);
    return at != 0;
}
