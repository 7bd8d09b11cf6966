/* SPDX-License-Identifier: Apache-2.0 */
/* The text of `match:` as segments: "[METHOD] /path" where a segment may be {name} and the last one
 * may be `*`; or a regular expression. Compiled at load; loader thread. */
#ifndef LT_ROUTE_PATTERN_H
#define LT_ROUTE_PATTERN_H

#include "config/diag.h"
#include "config/regex.h"
#include "http/message.h"

#define LT_PATTERN_SEGMENTS_MAX 64u
#define LT_PATTERN_TEXT_MAX 4096u

struct lt_pattern_segment {
    struct lt_str text; /* as paths have it, or the parameter's name */
    bool param;         /* {name}: any segment that isn't empty */
};

struct lt_pattern {
    enum lt_method method;               /* LT_METHOD_UNKNOWN: none was written */
    struct lt_str path;                  /* without the method, in normal form */
    struct lt_pattern_segment *segments; /* what is between the slashes, without the `*` */
    unsigned n_segments;
    unsigned n_params;
    bool prefix; /* ends with `*`: this path and all below it */

    /* Of a regular expression; segments are then its named groups, all of them parameters. */
    const struct lt_regex *regex; /* NULL: a path */
    struct lt_str literal;        /* what every path begins with that it matches; may be empty */
    unsigned char *groups;        /* the number of the group of each segment */
};

/* Compiles text. What is wrong is said in diags at pos, its column counted on inside the text when
 * exact. False then, or without memory. The pattern lives in arena and may point into text. */
bool lt_pattern_compile(struct lt_arena *arena, struct lt_diags *diags, struct lt_pos pos,
                        bool exact, struct lt_str text, struct lt_pattern *out) LT_MUST_CHECK;

/* As lt_pattern_compile for a regular expression, which is looked for in the normal form of paths.
 */
bool lt_pattern_compile_regex(struct lt_arena *arena, struct lt_diags *diags, struct lt_pos pos,
                              bool exact, struct lt_str text, struct lt_pattern *out) LT_MUST_CHECK;

/* Whether name may be the name of a parameter: a-z 0-9 _, beginning with a letter. */
bool lt_pattern_name_ok(struct lt_str name);

/* Whether prefix ("/shop") is made of the pattern's first segments, all of them literal;
 * of a regular expression, whether whatever it matches lies below prefix. */
bool lt_pattern_has_prefix(const struct lt_pattern *pattern, struct lt_str prefix);

#endif
