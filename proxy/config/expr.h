/* SPDX-License-Identifier: Apache-2.0 */
/* The small typed language of `when:`, `key:`, hash and sticky keys and log fields: compiled once
 * at load, evaluated per exchange against a source of names. A name that isn't present is absent;
 * nothing fails at run time but a pattern that exceeds its limits. Compile on one thread; evaluate
 * from any. */
#ifndef LT_CONFIG_EXPR_H
#define LT_CONFIG_EXPR_H

#include "config/diag.h"
#include "config/node.h"

/* The names an expression may use, from config/expr.def. */
enum lt_expr_name {
#define X(id, text, takes_key, doc) LT_EXPR_##id,
#include "config/expr.def"
#undef X
};

struct lt_expr;

/* Gives the value of a name: key is the part after the dot for header., query., cookie., path. and
 * user. (lower case for header.). False when absent. out may point into memory that lives until the
 * evaluation's result was used. */
typedef bool (*lt_expr_get_fn)(void *source, enum lt_expr_name name, struct lt_str key,
                               struct lt_str *out);

/* Compiles text. Errors go to diags at pos (column counted on inside the text). NULL on error. The
 * expression lives in arena. */
struct lt_expr *lt_expr_compile(struct lt_arena *arena, struct lt_diags *diags, struct lt_pos pos,
                                struct lt_str text);

/* As a condition. *failed is set when a pattern in it exceeded its limits, and left alone else:
 * what the condition is then isn't known, and who asks must not act as if it were. */
bool lt_expr_test(const struct lt_expr *expr, lt_expr_get_fn get, void *source, bool *failed);

/* Whether it asks for the path or a part of it (path, path.NAME). */
bool lt_expr_asks_path(const struct lt_expr *expr);

/* What each term that asks for the path says of a request. Two requests that differ only in their
 * paths and of which all terms say the same are the same to the whole expression, whatever the rest
 * of it asks for. */
struct lt_expr_path_terms {
    uint64_t bits[4];
};

/* False when that can't be told: a pattern exceeded its limits, or a term compares the path with
 * something else of the request. */
bool lt_expr_path_terms(const struct lt_expr *expr, lt_expr_get_fn get, void *source,
                        struct lt_expr_path_terms *out) LT_MUST_CHECK;

/* Room for a number that is written out. */
#define LT_EXPR_SCRATCH 32u

enum lt_expr_kind { LT_EXPR_ABSENT, LT_EXPR_TEXT, LT_EXPR_BOOL };

/* What it is: BOOL for conditions, with *out its text too; numbers are texts, written out into
 * scratch. *failed as by lt_expr_test. */
enum lt_expr_kind lt_expr_value(const struct lt_expr *expr, lt_expr_get_fn get, void *source,
                                char scratch[LT_EXPR_SCRATCH], struct lt_str *out, bool *failed);

/* As a text: false when absent. Numbers and booleans are written out into scratch. */
bool lt_expr_text(const struct lt_expr *expr, lt_expr_get_fn get, void *source,
                  char scratch[LT_EXPR_SCRATCH], struct lt_str *out);

/* How many `and`ed terms it has at its top: more specific routes win. */
unsigned lt_expr_terms(const struct lt_expr *expr);

/* The source text. */
struct lt_str lt_expr_source(const struct lt_expr *expr);

#endif
