/* SPDX-License-Identifier: Apache-2.0 */
/* Members that filters add to the line of the access log. They live in the exchange's arena until
 * the line is written. A worker's thread. */
#ifndef LT_EXCHANGE_LOG_FIELD_H
#define LT_EXCHANGE_LOG_FIELD_H

#include "exchange/exchange.h"

/* Members of one exchange, and bytes of a name. */
#define LT_LOG_FIELDS_MAX 32u
#define LT_LOG_FIELD_NAME_MAX 64u

enum lt_log_field_kind {
    LT_LOG_FIELD_TEXT,
    LT_LOG_FIELD_PLAIN, /* text that is a number or a boolean in JSON */
    LT_LOG_FIELD_EXPR   /* evaluated when the line is written, as those of the configuration are */
};

struct lt_log_field {
    struct lt_str name;
    enum lt_log_field_kind kind;
    struct lt_str text;         /* of TEXT and PLAIN */
    const struct lt_expr *expr; /* of EXPR; lives as long as the snapshot */
    struct lt_log_field *next;
};

/* Whether a line has a member of this name by itself. */
bool lt_log_field_is_ours(struct lt_str name);

/* Whether it is a name that filters may use: small letters, digits, '_' and '.', from a letter on,
 * and not one of ours. */
bool lt_log_field_name_ok(struct lt_str name);

/* The member called name, or NULL. */
struct lt_log_field *lt_log_field_find(const struct lt_exchange *x, struct lt_str name);

/* The member called name, made as an empty TEXT at the end of the list where there is none; the
 * caller fills it in, with texts that live in x's arena. NULL: there are LT_LOG_FIELDS_MAX others,
 * or no memory. */
struct lt_log_field *lt_log_field_put(struct lt_exchange *x, struct lt_str name) LT_MUST_CHECK;

/* Takes it out of the line. */
void lt_log_field_remove(struct lt_exchange *x, struct lt_str name);

#endif
