/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a file and, level by level, what it includes; joins everything into one tree. Loader
 * thread. */
#include "config/load.h"

#include <stdio.h>

#include "base/map.h"
#include "config/file.h"
#include "config/yaml.h"

/* The files that lead from the main one to the one being read. */
struct trail {
    const struct trail *up;
    const struct lt_source *source;
    unsigned depth;
};

static void include_all(struct lt_schema_load *load, struct lt_node *root,
                        const struct lt_node *list, const struct trail *trail);

void lt_load_init(struct lt_schema_load *load, struct lt_arena *arena, struct lt_diags *diags)
{
    *load = (struct lt_schema_load){.arena = arena, .diags = diags, .seed = lt_hash_seed_random()};
    lt_list_init(&load->sources);
}

struct lt_pos lt_load_nowhere(void)
{
    return (struct lt_pos){0};
}

bool lt_load_ok(struct lt_schema_load *load)
{
    if (load->nomem) {
        lt_diag_error(load->diags, lt_load_nowhere(), NULL,
                      "not enough memory to read the configuration");
    }
    return load->diags->errors == 0;
}

static bool fail_nomem(struct lt_schema_load *load)
{
    load->nomem = true;
    return false;
}

/* The folder part of path, with its slash; empty when it has none. */
static struct lt_str folder(struct lt_str path)
{
    size_t slash = lt_str_rchr(path, '/');
    return lt_str_sub(path, 0, slash == SIZE_MAX ? 0 : slash + 1);
}

static struct lt_source *add_source(struct lt_schema_load *load, struct lt_str name,
                                    struct lt_str dir, struct lt_str text)
{
    struct lt_source *source = lt_source_new(load->arena, name, dir, text);
    if (source == NULL) {
        fail_nomem(load);
        return NULL;
    }
    source->order = load->n_sources++;
    load->n_bytes += text.len;
    lt_list_push_back(&load->sources, &source->link);
    return source;
}

/* Opens path, which is named at pos. NULL when it can't be read. */
static struct lt_source *open_source(struct lt_schema_load *load, struct lt_pos pos,
                                     const char *path)
{
    struct lt_str text, why, dir, absolute;
    struct stat st;
    if (load->n_sources >= LT_LOAD_FILES_MAX || load->n_bytes >= LT_LOAD_BYTES_MAX) {
        lt_diag_error(load->diags, pos, "put several sites into one file",
                      "more than %u files or %zu bytes of configuration", LT_LOAD_FILES_MAX,
                      LT_LOAD_BYTES_MAX);
        return NULL;
    }
    enum lt_err err = lt_file_read(load->files, load->arena, path, LT_SOURCE_MAX, &text, &st, &why);
    if (err != LT_OK) {
        if (why.len > 0) {
            lt_diag_error(load->diags, pos,
                          pos.source != NULL ? "a relative path starts at the folder of this file"
                                             : "name the configuration by -c FILE or by the "
                                               "variable LINTEL_CONFIG",
                          "%.*s", LT_STR_ARG(why));
        } else {
            fail_nomem(load);
        }
        return NULL;
    }
    struct lt_str near = folder(lt_str_c(path));
    if (!lt_arena_dup(load->arena, near.len > 0 ? near : LT_STR("."), &dir)) {
        fail_nomem(load);
        return NULL;
    }
    if (!lt_files_real(load->files, load->arena, dir.p, &absolute)) {
        fail_nomem(load);
        return NULL;
    }
    struct lt_source *source =
        add_source(load, lt_str_c(path), absolute.len > 0 ? absolute : dir, text);
    if (source != NULL) {
        source->dev = (uint64_t)st.st_dev;
        source->ino = (uint64_t)st.st_ino;
    }
    return source;
}

/* Reads source; the mapping at its top or NULL. */
static struct lt_node *read_top(struct lt_schema_load *load, const struct lt_source *source)
{
    struct lt_node *node = lt_yaml_read(load, source);
    if (node == NULL) {
        return NULL;
    }
    if (node->kind != LT_NODE_MAP) {
        lt_diag_error(load->diags, node->pos, "begin with a line such as `lintel: 1`",
                      "the file must hold \"key: value\" pairs");
        return NULL;
    }
    return node;
}

static bool is_mergeable(const struct lt_schema_load *load, struct lt_str key)
{
    for (size_t i = 0; load->mergeable[i] != NULL; i++) {
        if (lt_str_eq_c(key, load->mergeable[i])) {
            return true;
        }
    }
    return false;
}

/* Adds pair to the end of map. */
static bool append_pair(struct lt_schema_load *load, struct lt_node *map, struct lt_node_pair pair)
{
    struct lt_node_pair *pairs = lt_arena_array(load->arena, struct lt_node_pair, map->n_pairs + 1);
    if (pairs == NULL) {
        return fail_nomem(load);
    }
    if (map->n_pairs > 0) {
        memcpy(pairs, map->pairs, map->n_pairs * sizeof(*pairs));
    }
    pairs[map->n_pairs++] = pair;
    map->pairs = pairs;
    return true;
}

static void join_lists(struct lt_schema_load *load, struct lt_node *to, const struct lt_node *from)
{
    struct lt_node **items =
        lt_arena_array(load->arena, struct lt_node *, to->n_items + from->n_items);
    if (items == NULL) {
        fail_nomem(load);
        return;
    }
    if (to->n_items > 0) {
        memcpy(items, to->items, to->n_items * sizeof(*items));
    }
    if (from->n_items > 0) {
        memcpy(items + to->n_items, from->items, from->n_items * sizeof(*items));
    }
    to->items = items;
    to->n_items += from->n_items;
}

static void say_twice(struct lt_schema_load *load, const struct lt_node *key,
                      const struct lt_node *first)
{
    char hint[512];
    snprintf(hint, sizeof(hint), "the first one is at %.*s:%u:%u",
             LT_STR_ARG(first->pos.source->name), first->pos.line, first->pos.col);
    lt_diag_error(load->diags, key->pos, hint, "\"%.*s\" is defined twice", LT_STR_ARG(key->text));
}

/* Adds the pairs of from to `to`; a name twice is said with both places. */
static void join_maps(struct lt_schema_load *load, struct lt_node *to, const struct lt_node *from)
{
    struct lt_map seen;
    size_t n = 0;
    struct lt_node_pair *pairs =
        lt_arena_array(load->arena, struct lt_node_pair, to->n_pairs + from->n_pairs);
    if (pairs == NULL) {
        fail_nomem(load);
        return;
    }
    lt_map_init(&seen, load->seed, LT_LOAD_NODES_MAX);
    for (size_t i = 0; i < to->n_pairs + from->n_pairs; i++) {
        bool old = i < to->n_pairs;
        struct lt_node_pair pair = old ? to->pairs[i] : from->pairs[i - to->n_pairs];
        const struct lt_node *first = lt_map_get(&seen, pair.key->text);
        if (first != NULL && !old && first->pos.source != pair.key->pos.source) {
            say_twice(load, pair.key, first);
            continue;
        }
        if (lt_map_set(&seen, pair.key->text, pair.key) != LT_OK) {
            fail_nomem(load);
        }
        pairs[n++] = pair;
    }
    lt_map_fini(&seen);
    to->pairs = pairs;
    to->n_pairs = n;
}

/* Adds what an included file says under one key to the tree. */
static void merge_pair(struct lt_schema_load *load, struct lt_node *root, struct lt_node_pair pair)
{
    struct lt_node *old = NULL;
    for (size_t i = 0; i < root->n_pairs && old == NULL; i++) {
        if (lt_str_eq(root->pairs[i].key->text, pair.key->text)) {
            old = root->pairs[i].value;
        }
    }
    if (old == NULL) {
        append_pair(load, root, pair);
    } else if (old->kind == LT_NODE_MAP && pair.value->kind == LT_NODE_MAP) {
        join_maps(load, old, pair.value);
    } else if (old->kind == LT_NODE_LIST && pair.value->kind == LT_NODE_LIST) {
        join_lists(load, old, pair.value);
    } else if (!pair.value->null) {
        lt_diag_error(load->diags, pair.value->pos, "write both as a list, or both as a mapping",
                      "\"%.*s\" is not of the same kind here and in the including file",
                      LT_STR_ARG(pair.key->text));
    }
}

static void merge_file(struct lt_schema_load *load, struct lt_node *root, const struct lt_node *top,
                       const struct trail *trail)
{
    const struct lt_node *include = NULL;
    for (size_t i = 0; i < top->n_pairs; i++) {
        if (lt_str_eq_c(top->pairs[i].key->text, "include")) {
            include = top->pairs[i].value;
        } else if (is_mergeable(load, top->pairs[i].key->text)) {
            merge_pair(load, root, top->pairs[i]);
        } else {
            struct lt_buf names;
            char text[256];
            lt_buf_init_fixed(&names, text, sizeof(text) - 1);
            lt_buf_str(&names, LT_STR("an included file may have: include"));
            for (size_t j = 0; load->mergeable[j] != NULL; j++) {
                lt_buf_printf(&names, ", %s", load->mergeable[j]);
            }
            text[names.len] = '\0';
            lt_diag_error(load->diags, top->pairs[i].key->pos, text,
                          "\"%.*s\" may not stand in an included file",
                          LT_STR_ARG(top->pairs[i].key->text));
        }
    }
    if (include != NULL) {
        include_all(load, root, include, trail);
    }
}

/* Whether this file was read before; being one of those that include it is an error. */
static bool seen_before(struct lt_schema_load *load, struct lt_pos pos, const char *path,
                        const struct trail *trail)
{
    struct stat st;
    if (!lt_files_stat(load->files, path, &st)) {
        return false;
    }
    for (; trail != NULL; trail = trail->up) {
        if (trail->source->dev == (uint64_t)st.st_dev &&
            trail->source->ino == (uint64_t)st.st_ino) {
            lt_diag_error(load->diags, pos, "write a pattern that this file doesn't match",
                          "%s includes itself", path);
            return true;
        }
    }
    lt_list_each(it, tmp, &load->sources)
    {
        const struct lt_source *source = lt_container_of(it, struct lt_source, link);
        if (source->dev == (uint64_t)st.st_dev && source->ino == (uint64_t)st.st_ino) {
            return true;
        }
    }
    return false;
}

static void include_file(struct lt_schema_load *load, struct lt_node *root,
                         const struct lt_node *pattern, const char *path, const struct trail *trail)
{
    if (seen_before(load, pattern->pos, path, trail)) {
        return;
    }
    struct lt_source *source = open_source(load, pattern->pos, path);
    const struct lt_node *top = source != NULL ? read_top(load, source) : NULL;
    if (top != NULL) {
        struct trail here = {.up = trail, .source = source, .depth = trail->depth + 1};
        merge_file(load, root, top, &here);
    }
}

/* One pattern: its files, sorted by name. */
static void include_pattern(struct lt_schema_load *load, struct lt_node *root,
                            const struct lt_node *pattern, const struct trail *trail)
{
    struct lt_str full, *found = NULL;
    size_t n = 0;
    if (!lt_file_join(load->arena, folder(trail->source->name), pattern->text, &full)) {
        fail_nomem(load);
        return;
    }
    if (strpbrk(full.p, "*?[") == NULL) {
        include_file(load, root, pattern, full.p, trail);
        return;
    }
    enum lt_err err = lt_files_glob(load->files, load->arena, full.p, &found, &n);
    if (err == LT_ERR_NOMEM) {
        fail_nomem(load);
    } else if (err != LT_OK) {
        lt_diag_error(load->diags, pattern->pos,
                      "let the user that Lintel runs as read and enter it",
                      "can't read the folder of %.*s", LT_STR_ARG(full));
    }
    for (size_t i = 0; err == LT_OK && i < n && !load->nomem; i++) {
        include_file(load, root, pattern, found[i].p, trail);
    }
}

static void include_all(struct lt_schema_load *load, struct lt_node *root,
                        const struct lt_node *list, const struct trail *trail)
{
    if (list->kind != LT_NODE_LIST) {
        lt_diag_error(load->diags, list->pos, "write include: [sites/*.yaml]",
                      "\"include\" needs a list of file patterns");
        return;
    }
    if (trail->depth >= LT_LOAD_INCLUDE_DEPTH_MAX) {
        lt_diag_error(load->diags, list->pos, "include them from the main file",
                      "files include each other deeper than %u levels", LT_LOAD_INCLUDE_DEPTH_MAX);
        return;
    }
    for (size_t i = 0; i < list->n_items; i++) {
        const struct lt_node *item = list->items[i];
        if (item->kind != LT_NODE_SCALAR || item->null || (!item->unresolved && !item->text.len)) {
            lt_diag_error(load->diags, item->pos, "write a path such as sites/*.yaml",
                          "a file pattern is expected here");
        } else if (!item->unresolved) {
            include_pattern(load, root, item, trail);
        }
    }
}

/* The top of source with everything that it includes. */
static struct lt_node *assemble(struct lt_schema_load *load, const struct lt_source *source)
{
    struct lt_node *root = read_top(load, source);
    if (root != NULL && load->mergeable != NULL) {
        const struct trail trail = {.source = source};
        const struct lt_node *include = lt_node_get(root, "include");
        if (include != NULL) {
            include_all(load, root, include, &trail);
        }
    }
    return root;
}

struct lt_node *lt_load_file(struct lt_schema_load *load, const char *path)
{
    struct lt_source *source = open_source(load, lt_load_nowhere(), path);
    return source != NULL ? assemble(load, source) : NULL;
}

struct lt_node *lt_load_text(struct lt_schema_load *load, struct lt_str name, struct lt_str dir,
                             struct lt_str text)
{
    struct lt_source *source = add_source(load, name, dir, text);
    return source != NULL ? assemble(load, source) : NULL;
}
