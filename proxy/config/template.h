/* SPDX-License-Identifier: Apache-2.0 */
/* Text with expressions in it: "for {user.id or 'nobody'}". Compiled once at load, filled in per
 * exchange. `{{` stands for a brace. Compile on one thread; fill from any. */
#ifndef LT_CONFIG_TEMPLATE_H
#define LT_CONFIG_TEMPLATE_H

#include "config/expr.h"

#define LT_TEMPLATE_PARTS_MAX 32u

struct lt_template_part {
    struct lt_str text;   /* when expr is NULL */
    struct lt_expr *expr; /* or NULL */
};

struct lt_template {
    struct lt_str source;
    unsigned n;
    bool plain; /* no expression in it */
    struct lt_template_part parts[];
};

/* Errors go to diags at pos (column counted on inside the text). NULL on error. It lives in arena
 * and points into text. */
struct lt_template *lt_template_compile(struct lt_arena *arena, struct lt_diags *diags,
                                        struct lt_pos pos, struct lt_str text);

#endif
