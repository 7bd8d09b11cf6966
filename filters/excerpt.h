/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a filter's texts an error is: its file, the line, and the words that the message speaks
 * of. For the error log and for `lintel test`. Private to filters/. */
#ifndef LT_FILTERS_EXCERPT_H
#define LT_FILTERS_EXCERPT_H

#include "filters/unit.h"

/* A name as Lua's messages have it is at most 59 bytes long. */
#define LT_PLACE_NAME_MAX 64u
/* What is shown of a long line. */
#define LT_EXCERPT_MAX 160u

/* What stands at the beginning of a message: "auth.lua:12: ..." */
struct lt_place {
    struct lt_str name; /* "auth.lua"; points into the message */
    int line;           /* from 1 */
    size_t end;         /* of the message, where the rest begins */
};

/* False: the message does not begin so. */
bool lt_place_read(struct lt_str message, struct lt_place *place) LT_MUST_CHECK;

/* The file called name ("auth.lua", or "sub.keys.lua" of a module): its text, and its path (up to
 * path_size bytes, NUL-terminated). False: it is none of this state's. */
bool lt_excerpt_file(const struct lt_filter_vm *fvm, struct lt_str name, struct lt_str *text,
                     char *path, size_t path_size) LT_MUST_CHECK;

/* Line n (from 1) of text, without its end; empty when there is none. */
struct lt_str lt_excerpt_line(struct lt_str text, int n);

/* The same for a message in one line: without its indent, at most LT_EXCERPT_MAX bytes. */
struct lt_str lt_excerpt_brief(struct lt_str text, int n);

/* The byte of line at which the message's variable or word stands, if it stands there once. Gives
 * SIZE_MAX when there is nothing to point at. */
size_t lt_excerpt_caret(struct lt_str line, struct lt_str message);

/* Appends the line that place speaks of, with a caret below where that makes sense:
 *
 *        12 |   local user = ctx.usr.id
 *                            ^
 */
void lt_excerpt_print(struct lt_buf *out, struct lt_str text, int line, struct lt_str message,
                      const char *indent);

#endif
