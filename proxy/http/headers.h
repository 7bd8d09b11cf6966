/* SPDX-License-Identifier: Apache-2.0 */
/* An ordered list of header fields. Known names carry an id, so that looking one up compares
 * integers. Names and values are borrowed text, usually from the same arena. One thread. */
#ifndef LT_HTTP_HEADERS_H
#define LT_HTTP_HEADERS_H

#include "base/arena.h"
#include "base/err.h"

enum lt_header_id {
    LT_HEADER_OTHER,
#define X(id, name, flags) LT_HEADER_##id,
#include "http/header.def"
#undef X
    LT_HEADER_COUNT
};

enum lt_header_flag {
    LT_HEADER_F_HOP = 1,
    LT_HEADER_F_OURS = 2,
    LT_HEADER_F_KEEP = 4,
    LT_HEADER_F_SEALED = 8,
    LT_HEADER_F_CLAIM = 16
};

struct lt_header {
    struct lt_str name; /* as received or set; compared without case */
    struct lt_str value;
    enum lt_header_id id;
};

struct lt_headers {
    struct lt_header *v;
    unsigned n, cap;
    unsigned max;           /* limit for n */
    struct lt_arena *arena; /* borrowed; v and set values live there */
};

/* Name and flags of a known header. */
struct lt_str lt_header_name(enum lt_header_id id);
unsigned lt_header_flags(enum lt_header_id id);

/* The id of name, without case; LT_HEADER_OTHER for unknown ones. */
enum lt_header_id lt_header_find_id(struct lt_str name);

void lt_headers_init(struct lt_headers *h, struct lt_arena *arena, unsigned max);

/* Appends; borrows name and value for the life of the list. LT_ERR_LIMIT, LT_ERR_NOMEM. */
enum lt_err lt_headers_add(struct lt_headers *h, struct lt_str name,
                           struct lt_str value) LT_MUST_CHECK;
enum lt_err lt_headers_add_id(struct lt_headers *h, enum lt_header_id id,
                              struct lt_str value) LT_MUST_CHECK;

/* As add, for who has found the id of name already. */
enum lt_err lt_headers_add_as(struct lt_headers *h, enum lt_header_id id, struct lt_str name,
                              struct lt_str value) LT_MUST_CHECK;

/* Replaces all fields of that name by one. */
enum lt_err lt_headers_set(struct lt_headers *h, struct lt_str name,
                           struct lt_str value) LT_MUST_CHECK;
enum lt_err lt_headers_set_id(struct lt_headers *h, enum lt_header_id id,
                              struct lt_str value) LT_MUST_CHECK;

/* First field with that id or name, or NULL. Valid until the next change. */
struct lt_header *lt_headers_get(const struct lt_headers *h, enum lt_header_id id);
struct lt_header *lt_headers_get_name(const struct lt_headers *h, struct lt_str name);

/* The value of the first field, or an empty text. */
struct lt_str lt_headers_value(const struct lt_headers *h, enum lt_header_id id);

/* The values of all fields of that name in their order with `between` between them, in the list's
 * arena; of a single one its value. LT_ERR_NOTFOUND: there is none, *out is empty. LT_ERR_NOMEM. */
enum lt_err lt_headers_joined(const struct lt_headers *h, struct lt_str name, struct lt_str between,
                              struct lt_str *out) LT_MUST_CHECK;

/* Makes one field of several with that id, joined as by lt_headers_joined. LT_ERR_NOMEM. */
enum lt_err lt_headers_fold(struct lt_headers *h, enum lt_header_id id,
                            struct lt_str between) LT_MUST_CHECK;

/* Removes all fields with that id or name; gives how many. */
unsigned lt_headers_remove(struct lt_headers *h, enum lt_header_id id);
unsigned lt_headers_remove_name(struct lt_headers *h, struct lt_str name);

/* Whether token is an element of the comma-separated list in any field with that id (RFC 9110
 * §5.6.1), without case. */
bool lt_headers_has_token(const struct lt_headers *h, enum lt_header_id id, struct lt_str token);

/* Whether s is a token (RFC 9110 §5.6.2), so fit as a field name. */
bool lt_header_name_ok(struct lt_str s);

/* Whether s is fit as a field value: no CR, LF, NUL or other control bytes but TAB (RFC 9110 §5.5).
 */
bool lt_header_value_ok(struct lt_str s);

#endif
