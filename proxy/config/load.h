/* SPDX-License-Identifier: Apache-2.0 */
/* One load of a configuration: reads the file and what it includes into one tree of nodes, and
 * carries what the schema engine needs. One thread at a time.
 *
 *   lt_load_init → lt_load_file → lt_schema_read → lt_schema_finish → lt_load_ok?
 */
#ifndef LT_CONFIG_LOAD_H
#define LT_CONFIG_LOAD_H

#include "base/hash.h"
#include "config/diag.h"
#include "config/files.h"
#include "config/node.h"
#include "config/schema.h"
#include "config/source.h"

/* Limits of one load. */
#define LT_LOAD_FILES_MAX 1000u
#define LT_LOAD_BYTES_MAX ((size_t)16 << 20)
#define LT_LOAD_NODES_MAX 500000u
#define LT_LOAD_INCLUDE_DEPTH_MAX 8u
#define LT_LOAD_ARENA_MAX ((size_t)256 << 20)

struct lt_schema_load {
    struct lt_arena *arena;       /* borrowed; everything that is read lives there */
    struct lt_diags *diags;       /* borrowed */
    struct lt_files *files;       /* borrowed; where files are read; NULL: the disk */
    struct lt_hash_seed seed;     /* of tables of names */
    const struct lt_schema *root; /* of the whole file, for "it may stand in"; may be NULL */
    /* Top-level keys that included files may have; their values are mappings or lists, which are
     * joined. NULL-terminated; NULL: there is no `include`. */
    const char *const *mergeable;
    struct lt_list sources; /* struct lt_source, in the order read */
    unsigned n_sources;
    size_t n_bytes; /* read from files */
    unsigned n_nodes;
    bool nomem;  /* memory was short: the result is not to be used */
    bool syntax; /* a file could not be read as YAML: nothing more is worth checking */
};

/* Borrows arena and diags until the load and all it made are no longer used. */
void lt_load_init(struct lt_schema_load *load, struct lt_arena *arena, struct lt_diags *diags);

/* Reads the file at path and what it includes: the mapping at its top, or NULL when there is
 * nothing to go on with (said in diags). */
struct lt_node *lt_load_file(struct lt_schema_load *load, const char *path);

/* As lt_load_file for text in memory; name is shown in messages, relative paths start from dir. */
struct lt_node *lt_load_text(struct lt_schema_load *load, struct lt_str name, struct lt_str dir,
                             struct lt_str text);

/* Whether all went well so far. Says in diags when memory was short. */
bool lt_load_ok(struct lt_schema_load *load);

/* A place without a file: for what concerns the whole configuration. */
struct lt_pos lt_load_nowhere(void);

#endif
