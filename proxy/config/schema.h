/* SPDX-License-Identifier: Apache-2.0 */
/* The schema-row engine: each option is one row in a table beside its module. From the rows come
 * the checker, "did you mean", typed values in C structs, the effective-config dump, the JSON
 * Schema and the reference manual. The engine knows nothing of HTTP.
 *
 *   YAML text --yaml.c--> nodes with positions --schema.c--> structs that start with struct lt_conf
 */
#ifndef LT_CONFIG_SCHEMA_H
#define LT_CONFIG_SCHEMA_H

#include "config/diag.h"
#include "config/node.h"

#include "base/err.h"

enum lt_type {
    LT_T_STRING,   /* struct lt_str, NUL-terminated */
    LT_T_INT,      /* int64_t; row->choices: words for it, the first is -1, the next -2 (auto) */
    LT_T_BOOL,     /* bool: true, false */
    LT_T_DURATION, /* uint64_t in ms: 500ms 1.5s 2m 1h 1d */
    LT_T_SIZE,     /* uint64_t in bytes: 512 64K 10M 1G (powers of 1024) */
    LT_T_RATE,     /* struct lt_rate: 100/1m, 5/s */
    LT_T_PERCENT,  /* uint32_t in hundredths of a percent: 95% 0.5% */
    LT_T_ADDRESS,  /* struct lt_addr (base/addr.h): ":443" "127.0.0.1:80" "[::1]:443" "unix:/x" */
    LT_T_ENDPOINT, /* struct lt_endpoint (base/endpoint.h): an address or "dns:app:80" */
    LT_T_CIDR,     /* struct lt_cidr (base/addr.h) */
    LT_T_URL,      /* struct lt_str, absolute http(s) URL, checked */
    LT_T_ENUM,     /* int, the index in row->choices */
    LT_T_REGEX,    /* struct lt_str, checked by the module that compiles it */
    LT_T_SECRET,   /* struct lt_str; never printed */
    LT_T_FILE,     /* struct lt_str, a path made absolute relative to the file it stands in */
    LT_T_EXPR,     /* struct lt_expr * (config/expr.h) */
    LT_T_TEMPLATE, /* struct lt_template * (config/template.h): text with {EXPRESSION} in it */
    LT_T_OBJECT,   /* the struct itself, embedded at offset; row->sub says which */
    LT_T_LIST,     /* struct lt_conf_list of row->item */
    LT_T_MAP,      /* struct lt_conf_map of row->item, key order as written */
    LT_T_NODE      /* const struct lt_node *: the module reads it itself (filter settings) */
};

struct lt_rate {
    uint32_t count;     /* > 0 */
    uint64_t period_ms; /* > 0 */
};

/* Where a row may stand, for options that several levels share; LT_LEVEL_OWN for all others. */
enum lt_level {
    LT_LEVEL_OWN = 0,
    LT_LEVEL_DEFAULTS = 1 << 0, /* top-level defaults: */
    LT_LEVEL_LISTENER = 1 << 1,
    LT_LEVEL_SITE = 1 << 2,
    LT_LEVEL_ROUTE = 1 << 3,
    LT_LEVEL_DEFAULTS_UPSTREAM = 1 << 4, /* defaults.upstream: */
    LT_LEVEL_UPSTREAM = 1 << 5,
    LT_LEVEL_SERVER = 1 << 6
};

enum lt_row_flag {
    LT_ROW_REQUIRED = 1 << 0,
    LT_ROW_SECRET = 1 << 1,    /* redacted in dumps whatever its type */
    LT_ROW_RESTART = 1 << 2,   /* a change takes effect at the next start only */
    LT_ROW_NONEMPTY = 1 << 3,  /* for strings, lists and maps */
    LT_ROW_ABSENT_OK = 1 << 4, /* no default and not required: the zero value means "not set" */
    LT_ROW_RESERVED = 1 << 5,  /* a key kept for a later version: an error that says so */
    LT_ROW_ONE_OK = 1 << 6     /* for lists: a value alone is a list of one */
};

struct lt_schema;
struct lt_schema_load; /* one load: arena, diags, file search; config/load.h */

/* Extra check of one value, after its type and range; reports by lt_diag_error at node. */
typedef void (*lt_row_check_fn)(struct lt_schema_load *load, const struct lt_node *node,
                                const void *value);

struct lt_row {
    const char *name;      /* the key */
    enum lt_type type;     /* of the value */
    size_t offset;         /* of the value in the struct */
    const char *def;       /* built-in default as one would write it, NULL = none */
    const char *min, *max; /* bounds as one would write them, NULL = none; of list: its length */
    unsigned flags;        /* enum lt_row_flag */
    unsigned levels;       /* enum lt_level bits */
    const char *const *choices;  /* LT_T_ENUM: names, NULL-terminated; the value is the index */
    const struct lt_schema *sub; /* LT_T_OBJECT; LT_T_LIST and LT_T_MAP of objects */
    enum lt_type item;           /* element type of LT_T_LIST and LT_T_MAP (no nested lists) */
    lt_row_check_fn check;       /* may be NULL */
    const char *doc;             /* what it does, full sentences; shown in the manual */
    const char *since;           /* first version */
    unsigned sub_level;          /* lt_level bit of sub; 0: that of the struct around it */
    /* LT_T_LIST and LT_T_MAP: the default as if it had been written, or NULL. */
    const struct lt_node *fallback;
};

/* A struct described by rows. */
struct lt_schema {
    const char *name; /* "listener", "server": used in messages and the manual */
    const char *doc;  /* one sentence */
    const struct lt_row *rows;
    size_t n_rows;         /* at most 64 */
    size_t size;           /* sizeof the struct */
    const char *shorthand; /* name of the row that a bare scalar stands for ("address"), or NULL */
    const char *shorthand_list; /* name of the row that a bare list stands for, or NULL */
    /* Check across rows, after all of them; obj is the struct. May be NULL. */
    void (*check)(struct lt_schema_load *load, void *obj);
    /* A mapping whose keys aren't rows (`to: {app: 95%, next: 5%}`): name of the LT_T_MAP row that
     * takes the whole mapping, or NULL. */
    const char *shorthand_map;
    /* Keys that are no rows are no error: the module reads them itself from conf.node. */
    bool open;
};

/* Where a value came from. */
struct lt_origin {
    const struct lt_node *node; /* the value's node, or NULL for a default */
    const char *label;          /* "default", "preset gunicorn"; NULL when node is set */
};

/* First member of every struct that a schema fills. */
struct lt_conf {
    const struct lt_schema *schema;
    const struct lt_node
        *node; /* the mapping (or shorthand scalar), for messages; NULL: all defaults */
    struct lt_origin *origin; /* one per row */
    unsigned level;           /* lt_level bit that it was read at, or 0 */
    uint64_t bad;             /* bit per row: written, but not to be used */
    bool broken;              /* a row is bad or a key unknown: the schema's check is not run */
    bool finished;            /* lt_schema_finish was here */
};

/* Elements lie one after another: structs for objects, else the type's value. */
struct lt_conf_list {
    void *items;
    size_t n;
};

struct lt_conf_entry {
    struct lt_str key;
    const struct lt_node *key_node;
    void *value; /* struct for objects, else pointer to the type's value */
};

struct lt_conf_map {
    struct lt_conf_entry *entries;
    size_t n;
};

/* Fills obj (zeroed, schema->size bytes, in the load's arena) from node, without defaults. level is
 * one LT_LEVEL bit, or 0: rows with levels that lack it are errors that say where they may stand.
 * node == NULL: nothing was written. Every problem goes to the load's diags; the struct is usable
 * only when there is none and memory sufficed (lt_load_ok). */
void lt_schema_read(struct lt_schema_load *load, const struct lt_schema *schema,
                    const struct lt_node *node, unsigned level, void *obj);

/* Rows that are not set in obj are taken from parent, nested objects row by row. When the schemas
 * differ, rows of the same name and type are taken. */
void lt_schema_inherit(void *obj, const void *parent);

/* As inherit, from text in the built-in rows: sets what is still unset to row->def, checks required
 * rows, then runs row checks (of written values) and schema checks. Goes down into objects, lists
 * and maps; what is finished already is left alone. An object that was not written gets its
 * defaults, but nothing is required of it and its schema is not checked. */
void lt_schema_finish(struct lt_schema_load *load, void *obj);

/* Sets row `name` of obj from text if it isn't set, with an origin label (static): for presets.
 * "a.b" means row b of the object in row a. */
void lt_schema_preset(struct lt_schema_load *load, void *obj, const char *name, const char *text,
                      const char *label);

/* Whether the row at this offset has a value that is no default: written, inherited or preset. */
bool lt_schema_is_set(const void *obj, size_t offset);

/* The position to complain at for the row `name` of obj: its value's, else the object's. */
struct lt_pos lt_schema_pos(const void *obj, const char *name);

/* "did you mean" over names: the closest within two edits, or NULL. */
const char *lt_schema_closest(struct lt_str word, const char *const *names, size_t n);

/* A hint for a name that is none of these n: the closest, else which there are. Written to space of
 * size bytes; gives space, or NULL when n is 0. */
const char *lt_schema_hint(struct lt_str word, const char *const *names, size_t n, char *space,
                           size_t size);

#endif
