/* SPDX-License-Identifier: Apache-2.0 */
/* Header lists, and the ids of known names. One thread per list; the id table is built before main
 * and only read after. */
#include "http/headers.h"

#define FIRST_CAP 32u

#define HOP LT_HEADER_F_HOP
#define OURS LT_HEADER_F_OURS
#define KEEP LT_HEADER_F_KEEP
#define SEALED LT_HEADER_F_SEALED
#define CLAIM LT_HEADER_F_CLAIM

static const struct known {
    struct lt_str name;
    unsigned flags;
} known[LT_HEADER_COUNT] = {
#define X(id, text, f) [LT_HEADER_##id] = {LT_STR_INIT(text), f},
#include "http/header.def"
#undef X
};

struct lt_str lt_header_name(enum lt_header_id id)
{
    return known[id].name;
}

unsigned lt_header_flags(enum lt_header_id id)
{
    return known[id].flags;
}

/* Open addressing by length and three characters: a look-up costs one hash and, nearly always, one
 * comparison. LT_HEADER_OTHER marks a free slot. */
#define SLOTS 256u

static unsigned char slots[SLOTS];

_Static_assert(LT_HEADER_COUNT <= 128, "the id table should stay half empty and ids fit a byte");

static inline unsigned slot_of(struct lt_str name)
{
    /* |0x20 makes letters lower case; what it does to other bytes doesn't matter here. The factors
     * were searched for: with them no more than two of the known names meet. */
    unsigned first = (unsigned char)name.p[0] | 0x20;
    unsigned middle = (unsigned char)name.p[name.len / 2] | 0x20;
    unsigned last = (unsigned char)name.p[name.len - 1] | 0x20;
    return (first * 2 + middle * 139 + last * 31 + (unsigned)name.len * 211) % SLOTS;
}

__attribute__((constructor)) static void fill_slots(void)
{
    for (unsigned id = LT_HEADER_OTHER + 1; id < LT_HEADER_COUNT; id++) {
        unsigned at = slot_of(known[id].name);
        while (slots[at] != LT_HEADER_OTHER) {
            at = (at + 1) % SLOTS;
        }
        slots[at] = (unsigned char)id;
    }
}

static inline uint64_t load(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

static inline uint32_t load_half(const char *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Whether eight bytes equal eight lower-case ones, without regard to the case of letters: two bytes
 * may differ in bit 0x20 only, and only where the lower-case one is above 0x60. */
static inline bool same_word(uint64_t any, uint64_t lower)
{
    uint64_t letters = ((lower & EACH_BYTE(0x40)) >> 1) & lower & EACH_BYTE(0x20);
    return ((any ^ lower) & ~letters) == 0;
}

/* Words overlap at the end instead of leaving single bytes. */
static bool same_name(struct lt_str any, struct lt_str lower)
{
    if (any.len != lower.len) {
        return false;
    }
    if (any.len < 4) {
        return lt_str_eq_nocase(any, lower);
    }
    if (any.len < 8) {
        size_t last = any.len - 4;
        return same_word(load_half(any.p), load_half(lower.p)) &&
               same_word(load_half(any.p + last), load_half(lower.p + last));
    }
    size_t last = any.len - 8;
    for (size_t i = 0; i < last; i += 8) {
        if (!same_word(load(any.p + i), load(lower.p + i))) {
            return false;
        }
    }
    return same_word(load(any.p + last), load(lower.p + last));
}

enum lt_header_id lt_header_find_id(struct lt_str name)
{
    if (name.len == 0) {
        return LT_HEADER_OTHER;
    }
    for (unsigned at = slot_of(name); slots[at] != LT_HEADER_OTHER; at = (at + 1) % SLOTS) {
        if (same_name(name, known[slots[at]].name)) {
            return (enum lt_header_id)slots[at];
        }
    }
    return LT_HEADER_OTHER;
}

void lt_headers_init(struct lt_headers *h, struct lt_arena *arena, unsigned max)
{
    *h = (struct lt_headers){.arena = arena, .max = max};
}

static enum lt_err grow(struct lt_headers *h)
{
    if (h->n >= h->max) {
        return LT_ERR_LIMIT;
    }
    unsigned cap = h->cap > 0 ? h->cap * 2 : FIRST_CAP;
    cap = lt_min(cap, h->max);
    struct lt_header *v = lt_arena_alloc(h->arena, cap * sizeof(*v));
    if (v == NULL) {
        return LT_ERR_NOMEM;
    }
    if (h->n > 0) {
        memcpy(v, h->v, h->n * sizeof(*v));
    }
    h->v = v;
    h->cap = cap;
    return LT_OK;
}

static enum lt_err append(struct lt_headers *h, struct lt_header header)
{
    if (LT_UNLIKELY(h->n >= h->cap)) {
        enum lt_err err = grow(h);
        if (err != LT_OK) {
            return err;
        }
    }
    h->v[h->n++] = header;
    return LT_OK;
}

enum lt_err lt_headers_add(struct lt_headers *h, struct lt_str name, struct lt_str value)
{
    return append(h,
                  (struct lt_header){.name = name, .value = value, .id = lt_header_find_id(name)});
}

enum lt_err lt_headers_add_as(struct lt_headers *h, enum lt_header_id id, struct lt_str name,
                              struct lt_str value)
{
    return append(h, (struct lt_header){.name = name, .value = value, .id = id});
}

enum lt_err lt_headers_add_id(struct lt_headers *h, enum lt_header_id id, struct lt_str value)
{
    return append(h, (struct lt_header){.name = lt_header_name(id), .value = value, .id = id});
}

static inline bool is_named(const struct lt_header *header, enum lt_header_id id,
                            struct lt_str name)
{
    return header->id == id && (id != LT_HEADER_OTHER || lt_str_eq_nocase(header->name, name));
}

static struct lt_header *find(const struct lt_headers *h, enum lt_header_id id, struct lt_str name)
{
    for (unsigned i = 0; i < h->n; i++) {
        if (is_named(&h->v[i], id, name)) {
            return &h->v[i];
        }
    }
    return NULL;
}

/* Removes the fields of that name from number `from` on. */
static unsigned remove_from(struct lt_headers *h, unsigned from, enum lt_header_id id,
                            struct lt_str name)
{
    unsigned kept = from;
    for (unsigned i = from; i < h->n; i++) {
        if (!is_named(&h->v[i], id, name)) {
            h->v[kept++] = h->v[i];
        }
    }
    unsigned removed = h->n - kept;
    h->n = kept;
    return removed;
}

static enum lt_err set(struct lt_headers *h, enum lt_header_id id, struct lt_str name,
                       struct lt_str value)
{
    struct lt_header *first = find(h, id, name);
    if (first == NULL) {
        return append(h, (struct lt_header){.name = name, .value = value, .id = id});
    }
    *first = (struct lt_header){.name = name, .value = value, .id = id};
    remove_from(h, (unsigned)(first - h->v) + 1, id, name);
    return LT_OK;
}

enum lt_err lt_headers_set(struct lt_headers *h, struct lt_str name, struct lt_str value)
{
    return set(h, lt_header_find_id(name), name, value);
}

enum lt_err lt_headers_set_id(struct lt_headers *h, enum lt_header_id id, struct lt_str value)
{
    return set(h, id, lt_header_name(id), value);
}

struct lt_header *lt_headers_get(const struct lt_headers *h, enum lt_header_id id)
{
    return id != LT_HEADER_OTHER ? find(h, id, LT_STR_NONE) : NULL;
}

struct lt_header *lt_headers_get_name(const struct lt_headers *h, struct lt_str name)
{
    return find(h, lt_header_find_id(name), name);
}

struct lt_str lt_headers_value(const struct lt_headers *h, enum lt_header_id id)
{
    const struct lt_header *header = lt_headers_get(h, id);
    return header != NULL ? header->value : LT_STR_NONE;
}

/* The values from `first` on of the fields of that name. */
static enum lt_err joined(const struct lt_headers *h, const struct lt_header *first,
                          struct lt_str name, struct lt_str between, struct lt_str *out)
{
    size_t len = 0, fields = 0;
    for (const struct lt_header *f = first; f < h->v + h->n; f++) {
        if (is_named(f, first->id, name)) {
            len += f->value.len + between.len;
            fields++;
        }
    }
    *out = first->value;
    if (fields == 1) {
        return LT_OK;
    }
    char *p = lt_arena_chars(h->arena, len), *at = p;
    if (p == NULL) {
        return LT_ERR_NOMEM;
    }
    for (const struct lt_header *f = first; f < h->v + h->n; f++) {
        if (is_named(f, first->id, name)) {
            memcpy(at, f->value.p, f->value.len);
            memcpy(at + f->value.len, between.p, between.len);
            at += f->value.len + between.len;
        }
    }
    *out = lt_str(p, len - between.len);
    return LT_OK;
}

enum lt_err lt_headers_joined(const struct lt_headers *h, struct lt_str name, struct lt_str between,
                              struct lt_str *out)
{
    const struct lt_header *first = lt_headers_get_name(h, name);
    *out = LT_STR_NONE;
    return first != NULL ? joined(h, first, name, between, out) : LT_ERR_NOTFOUND;
}

enum lt_err lt_headers_fold(struct lt_headers *h, enum lt_header_id id, struct lt_str between)
{
    struct lt_header *first = lt_headers_get(h, id);
    enum lt_err err = first != NULL ? joined(h, first, first->name, between, &first->value) : LT_OK;
    if (err == LT_OK && first != NULL) {
        remove_from(h, (unsigned)(first - h->v) + 1, id, first->name);
    }
    return err;
}

unsigned lt_headers_remove(struct lt_headers *h, enum lt_header_id id)
{
    return id != LT_HEADER_OTHER ? remove_from(h, 0, id, LT_STR_NONE) : 0;
}

unsigned lt_headers_remove_name(struct lt_headers *h, struct lt_str name)
{
    return remove_from(h, 0, lt_header_find_id(name), name);
}

bool lt_headers_has_token(const struct lt_headers *h, enum lt_header_id id, struct lt_str token)
{
    for (unsigned i = 0; i < h->n; i++) {
        struct lt_str rest = h->v[i].value, element;
        while (h->v[i].id == id && lt_str_next(&rest, ',', &element)) {
            if (lt_str_eq_nocase(element, token)) {
                return true;
            }
        }
    }
    return false;
}

static const unsigned char token_bytes[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['!'] = 1, ['#'] = 1, ['$'] = 1,
    ['%'] = 1,         ['&'] = 1,         ['\''] = 1,        ['*'] = 1, ['+'] = 1, ['-'] = 1,
    ['.'] = 1,         ['^'] = 1,         ['_'] = 1,         ['`'] = 1, ['|'] = 1, ['~'] = 1,
};

bool lt_header_name_ok(struct lt_str s)
{
    unsigned ok = s.len > 0;
    for (size_t i = 0; i < s.len; i++) {
        ok &= token_bytes[(unsigned char)s.p[i]];
    }
    return ok != 0;
}

static bool value_bytes_ok(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Whether one of eight bytes is below 0x20 or DEL. */
static inline bool has_control(uint64_t w)
{
    uint64_t del = w ^ EACH_BYTE(0x7f);
    uint64_t below = (w - EACH_BYTE(0x20)) & ~w;
    uint64_t zero = (del - EACH_BYTE(0x01)) & ~del;
    return ((below | zero) & EACH_BYTE(0x80)) != 0;
}

bool lt_header_value_ok(struct lt_str s)
{
    if (s.len < 8) {
        return value_bytes_ok(s.p, s.len);
    }
    uint64_t last = load(s.p + s.len - 8);
    bool suspect = has_control(last);
    for (size_t i = 0; i + 8 < s.len; i += 8) {
        suspect |= has_control(load(s.p + i));
    }
    return LT_LIKELY(!suspect) || value_bytes_ok(s.p, s.len); /* it may be a TAB */
}
