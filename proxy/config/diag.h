/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a configuration: collected in one run, printed all at once as file:line:col,
 * the source line, a caret and a hint. One thread at a time. */
#ifndef LT_CONFIG_DIAG_H
#define LT_CONFIG_DIAG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"

struct lt_source; /* one file that was read, config/source.h */

/* A place in a source file. source == NULL: no place (command line, environment). */
struct lt_pos {
    const struct lt_source *source;
    unsigned line, col; /* from 1; columns count characters, not bytes */
    unsigned width;     /* characters to underline, at least 1 */
};

enum lt_severity { LT_SEV_ERROR, LT_SEV_WARNING };

struct lt_diag {
    struct lt_list link; /* in lt_diags.list, in order of file, line and column once sorted */
    enum lt_severity severity;
    struct lt_pos pos;
    struct lt_str message; /* what is wrong, one sentence without a full stop */
    struct lt_str hint;    /* how to mend it; may be empty */
};

struct lt_diags {
    struct lt_arena *arena; /* borrowed; texts live there */
    struct lt_list list;    /* struct lt_diag */
    unsigned errors, warnings;
    unsigned max;         /* how many are kept; more are only counted */
    unsigned lost;        /* counted, but not kept: over max or without memory */
    struct lt_list masks; /* struct lt_diag_mask */
    bool wary;            /* no schema could say what is secret: hide more (redact.h) */
};

/* Lines of a source that hold a secret: never shown. */
struct lt_diag_mask {
    struct lt_list link; /* in lt_diags.masks */
    const struct lt_source *source;
    unsigned from, to; /* first and last line */
};

void lt_diags_init(struct lt_diags *diags, struct lt_arena *arena);

/* Adds one error. hint is plain text (not a format) and may be NULL; fmt is the message. Both are
 * copied. */
void lt_diag_error(struct lt_diags *diags, struct lt_pos pos, const char *hint, const char *fmt,
                   ...) LT_PRINTF(4, 5);
void lt_diag_warning(struct lt_diags *diags, struct lt_pos pos, const char *hint, const char *fmt,
                     ...) LT_PRINTF(4, 5);

/* Keeps the lines from..to of pos.source out of messages: a secret is written there. */
void lt_diags_mask(struct lt_diags *diags, struct lt_pos pos, unsigned last_line);

/* All of them as text for people, sorted, duplicates dropped, ending with "N errors". */
void lt_diags_print(struct lt_diags *diags, struct lt_buf *out);

/* All of them as one JSON array of {severity,file,line,column,message,hint}. */
void lt_diags_json(struct lt_diags *diags, struct lt_buf *out);

#endif
