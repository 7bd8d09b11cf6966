/* SPDX-License-Identifier: Apache-2.0 */
/* One file of configuration: its text and lines, kept for messages. Lives in the load's arena. */
#ifndef LT_CONFIG_SOURCE_H
#define LT_CONFIG_SOURCE_H

#include "base/arena.h"
#include "base/list.h"

/* Largest configuration file. */
#define LT_SOURCE_MAX ((size_t)4 << 20)

struct lt_source {
    struct lt_list link; /* in lt_schema_load.sources */
    struct lt_str name;  /* the path as it was given: opens from our folder, shown in messages */
    struct lt_str dir;   /* absolute folder that relative paths in it start from; may be empty */
    struct lt_str text;  /* without byte order mark, NUL-terminated */
    uint32_t *lines;     /* offset of each line's first byte */
    unsigned n_lines;
    /* Text that is no file of the user's: what it was made of, and how that is changed. Messages
     * say these instead of lines, and the name is not shown. Or empty. */
    struct lt_str shown, advice;
    unsigned order;    /* when it was read, from 0: messages are sorted by it */
    uint64_t dev, ino; /* which file it is; 0 for text that is no file */
};

/* Makes a source of text (copied). dir may be empty. NULL without memory or over LT_SOURCE_MAX. */
struct lt_source *lt_source_new(struct lt_arena *arena, struct lt_str name, struct lt_str dir,
                                struct lt_str text);

/* Line `line` (from 1) without its end; empty when there is none. */
struct lt_str lt_source_line(const struct lt_source *source, unsigned line);

/* Bytes from the start of s to its character number `chars` (from 0), at most s.len. */
size_t lt_source_offset(struct lt_str s, unsigned chars);

/* How many characters (UTF-8 sequences) s has. */
unsigned lt_source_chars(struct lt_str s);

/* Line and column, from 1, of the byte at offset. */
void lt_source_locate(const struct lt_source *source, size_t offset, unsigned *line, unsigned *col);

#endif
