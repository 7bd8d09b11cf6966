/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's own pages for answers that Lintel makes: files by status, read and taken apart by
 * the loader, immutable afterwards. */
#ifndef LT_ROUTE_ERROR_PAGES_H
#define LT_ROUTE_ERROR_PAGES_H

#include "base/buf.h"
#include "base/map.h"
#include "config/load.h"

#define LT_ERROR_PAGE_MAX ((size_t)256 << 10) /* bytes of a file */

/* What can be filled in, {status} and so on. */
enum lt_error_page_name {
    LT_ERROR_PAGE_TEXT, /* none: a piece of the file */
    LT_ERROR_PAGE_STATUS,
    LT_ERROR_PAGE_REASON,
    LT_ERROR_PAGE_CAUSE,
    LT_ERROR_PAGE_REQUEST_ID,
    LT_ERROR_PAGE_NAMES
};

enum lt_error_page_type { LT_ERROR_PAGE_HTML, LT_ERROR_PAGE_JSON, LT_ERROR_PAGE_PLAIN };

struct lt_error_page_part {
    enum lt_error_page_name name;
    struct lt_str text; /* of LT_ERROR_PAGE_TEXT */
};

/* One file. */
struct lt_error_file {
    enum lt_error_page_type type;
    struct lt_str media_type;   /* "text/html" */
    struct lt_str content_type; /* with its charset */
    const struct lt_error_page_part *parts;
    size_t n_parts;
};

struct lt_error_page {
    unsigned first, last; /* statuses that it is for */
    const struct lt_error_file *file;
};

/* The pages of one level; single statuses come before classes. */
struct lt_error_pages {
    const struct lt_error_page *v;
    size_t n;
    const struct lt_error_pages *outer; /* of the level around it, or NULL */
};

/* The row `errors`; holder has the member `errors`, a struct lt_conf_map of struct lt_str. */
#define LT_ERROR_PAGES_ROW(holder)                                                                 \
    {                                                                                              \
        .name = "errors", .type = LT_T_MAP, .offset = offsetof(holder, errors), .max = "64",       \
        .flags = LT_ROW_ABSENT_OK, .levels = LT_LEVEL_DEFAULTS | LT_LEVEL_SITE | LT_LEVEL_ROUTE,   \
        .item = LT_T_FILE, .check = lt_error_pages_check,                                          \
        .doc =                                                                                     \
            "Files, by status (`404`) or class of statuses (`5xx`), that replace the bodies of "   \
            "Lintel's own answers for clients that accept their type: `.html`, `.json` or "        \
            "`.txt`, at most 256K. `{status}`, `{reason}`, `{cause}` and `{request_id}` in "       \
            "them are filled in. They are read at load.",                                          \
        .since = "0.1"                                                                             \
    }

/* Checks keys and endings of file names (lt_row_check_fn). */
void lt_error_pages_check(struct lt_schema_load *load, const struct lt_node *node,
                          const void *value);

/* Reads the files that conf_map, the row `errors` of holder, names, in the load's arena; gives
 * outer when it names none. What is wrong with a file is said in the load's diags at its place.
 * files: those that were read already, by path; it grows. */
const struct lt_error_pages *lt_error_pages_read(struct lt_schema_load *load, struct lt_map *files,
                                                 const struct lt_conf *holder,
                                                 const struct lt_conf_map *conf_map,
                                                 const struct lt_error_pages *outer);

/* The page for a status: of the nearest level that has one; NULL: there is none. */
const struct lt_error_file *lt_error_page_find(const struct lt_error_pages *pages, unsigned status);

/* The file with values, which are in the order of their names and are made safe for its type;
 * values[TEXT] is not looked at. In arena, or the file's own text when there is nothing to fill in.
 * p == NULL without memory. */
struct lt_str lt_error_page_fill(const struct lt_error_file *file,
                                 const struct lt_str values[LT_ERROR_PAGE_NAMES],
                                 struct lt_arena *arena);

/* s as text inside HTML. */
void lt_html_escape(struct lt_buf *out, struct lt_str s);

#endif
