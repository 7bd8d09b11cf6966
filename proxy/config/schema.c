/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes to typed structs by their rows: kinds, shorthands, unknown and misplaced keys. What is not
 * written is filled in by schema_finish.c. Loader thread. */
#include "config/schema.h"

#include <assert.h>
#include <stdio.h>

#include "config/schema_impl.h"
#include "config/types.h"

/* A value that is to be read: its row, and as what. */
struct slot {
    const struct lt_row *row;
    enum lt_type type;      /* of the value: row->type, or row->item for an element */
    struct lt_str name;     /* in messages */
    struct lt_pos name_pos; /* of the key, for values that are missing */
    unsigned level;
};

static bool read_value(struct lt_schema_load *load, const struct slot *slot,
                       const struct lt_node *node, void *out);

size_t lt_schema_find(const struct lt_schema *schema, struct lt_str name)
{
    for (size_t i = 0; i < schema->n_rows; i++) {
        if (lt_str_eq_c(name, schema->rows[i].name)) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Prepares obj and the objects embedded in it: schema and empty origins. */
static bool init_object(struct lt_schema_load *load, const struct lt_schema *schema, void *obj)
{
    struct lt_conf *conf = obj;
    assert(schema->n_rows <= 64);
    conf->origin = lt_arena_array(load->arena, struct lt_origin, schema->n_rows);
    if (conf->origin == NULL) {
        load->nomem = true;
        return false;
    }
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        if (row->type == LT_T_OBJECT && (row->flags & LT_ROW_RESERVED) == 0 &&
            !init_object(load, row->sub, lt_schema_value(obj, row))) {
            return false;
        }
    }
    conf->schema = schema;
    return true;
}

static bool is_secret(const struct slot *slot)
{
    return slot->type == LT_T_SECRET || (slot->row->flags & LT_ROW_SECRET) != 0;
}

/* Whether the file itself holds something of a secret, not only the name of a variable. */
static bool is_literal(const struct lt_node *node)
{
    return !lt_str_starts(node->raw, LT_STR("${")) ||
           lt_str_chr(node->raw, '}', 0) != node->raw.len - 1;
}

static const char *kind_name(const struct lt_node *node)
{
    return node->kind == LT_NODE_LIST ? "a list" : node->kind == LT_NODE_MAP ? "a mapping" : "text";
}

static void say_kind(struct lt_schema_load *load, const struct slot *slot,
                     const struct lt_node *node, const char *wanted, const char *hint)
{
    if (slot->row->item == LT_T_SECRET) {
        lt_diags_mask(load->diags, node->pos, node->last_line);
    }
    lt_diag_error(load->diags, node->pos, hint, "%.*s: %s is expected here, not %s",
                  LT_STR_ARG(slot->name), wanted, kind_name(node));
}

/* Whether n elements are neither too few nor too many. */
static bool check_length(struct lt_schema_load *load, const struct slot *slot,
                         const struct lt_node *node, size_t n)
{
    const struct lt_row *row = slot->row;
    uint64_t limit;
    if ((row->flags & LT_ROW_NONEMPTY) != 0 && n == 0) {
        lt_diag_error(load->diags, node->pos, "write at least one entry", "%.*s: may not be empty",
                      LT_STR_ARG(slot->name));
        return false;
    }
    if (row->min != NULL && lt_str_to_u64(lt_str_c(row->min), &limit) && n < limit) {
        lt_diag_error(load->diags, node->pos, NULL, "%.*s: needs at least %s entries",
                      LT_STR_ARG(slot->name), row->min);
        return false;
    }
    if (row->max != NULL && lt_str_to_u64(lt_str_c(row->max), &limit) && n > limit) {
        lt_diag_error(load->diags, node->pos, NULL, "%.*s: has %zu entries, the most is %s",
                      LT_STR_ARG(slot->name), n, row->max);
        return false;
    }
    return true;
}

static struct slot element_slot(const struct slot *slot, struct lt_str name, struct lt_pos pos)
{
    return (struct slot){.row = slot->row,
                         .type = slot->row->item,
                         .name = name,
                         .name_pos = pos,
                         .level = slot->level};
}

static bool read_list(struct lt_schema_load *load, const struct slot *slot,
                      const struct lt_node *node, struct lt_conf_list *list)
{
    struct lt_node *one = (struct lt_node *)(uintptr_t)node;
    const struct lt_node list_of_one = {
        .kind = LT_NODE_LIST, .pos = node->pos, .items = &one, .n_items = 1};
    if (node->kind == LT_NODE_SCALAR && (slot->row->flags & LT_ROW_ONE_OK) != 0) {
        node = &list_of_one;
    }
    if (node->kind != LT_NODE_LIST) {
        say_kind(load, slot, node, "a list", "write [a, b], or one entry per line after \"- \"");
        return false;
    }
    size_t size = lt_type_size(slot->row->item, slot->row->sub);
    char *items = lt_arena_zalloc(load->arena, node->n_items, size);
    if (items == NULL) {
        load->nomem = true;
        return false;
    }
    list->items = items;
    bool ok = check_length(load, slot, node, node->n_items);
    for (size_t i = 0; i < node->n_items; i++) {
        struct slot item = element_slot(slot, slot->name, node->items[i]->pos);
        ok &= read_value(load, &item, node->items[i], items + list->n * size);
        list->n++;
    }
    return ok;
}

static bool read_map(struct lt_schema_load *load, const struct slot *slot,
                     const struct lt_node *node, struct lt_conf_map *map)
{
    if (node->kind != LT_NODE_MAP) {
        say_kind(load, slot, node, "a mapping", "write name: value, one per line or inside { }");
        return false;
    }
    size_t size = lt_type_size(slot->row->item, slot->row->sub);
    char *values = lt_arena_zalloc(load->arena, node->n_pairs, (size + 15) / 16 * 16);
    struct lt_conf_entry *entries =
        lt_arena_array(load->arena, struct lt_conf_entry, node->n_pairs);
    if (values == NULL || entries == NULL) {
        load->nomem = true;
        return false;
    }
    map->entries = entries;
    bool ok = check_length(load, slot, node, node->n_pairs);
    for (size_t i = 0; i < node->n_pairs; i++) {
        struct lt_node *key = node->pairs[i].key;
        struct lt_conf_entry *entry = &entries[map->n++];
        struct slot item = element_slot(slot, key->text, key->pos);
        entry->key = key->text;
        entry->key_node = key;
        entry->value = values + i * ((size + 15) / 16 * 16);
        ok &= read_value(load, &item, node->pairs[i].value, entry->value);
    }
    return ok;
}

static bool read_scalar(struct lt_schema_load *load, const struct slot *slot,
                        const struct lt_node *node, void *out)
{
    if (node->kind != LT_NODE_SCALAR) {
        if (is_secret(slot)) {
            lt_diags_mask(load->diags, node->pos, node->last_line);
        }
        say_kind(load, slot, node, "one value", NULL);
        return false;
    }
    if (is_secret(slot) && is_literal(node)) {
        lt_diags_mask(load->diags, node->pos, node->last_line);
    }
    return lt_type_parse(load, slot->row, slot->type, slot->name, node, out);
}

/* Reads node into out. False: the value is not to be used, which was said. */
static bool read_value(struct lt_schema_load *load, const struct slot *slot,
                       const struct lt_node *node, void *out)
{
    if (node->unresolved) {
        if (is_secret(slot)) {
            lt_diags_mask(load->diags, node->pos, node->last_line);
        }
        return false;
    }
    if (slot->type == LT_T_NODE) {
        *(const struct lt_node **)out = node;
        return true;
    }
    if (node->null) {
        lt_diag_error(load->diags, slot->name_pos, "write a value, or leave the key out",
                      "%.*s: has no value", LT_STR_ARG(slot->name));
        return false;
    }
    if (slot->type == LT_T_OBJECT) {
        lt_schema_read(load, slot->row->sub, node, slot->level, out);
        return true;
    }
    if (slot->type == LT_T_LIST) {
        return read_list(load, slot, node, out);
    }
    if (slot->type == LT_T_MAP) {
        return read_map(load, slot, node, out);
    }
    return read_scalar(load, slot, node, out);
}

/* Reads the value of row i. */
static void read_row(struct lt_schema_load *load, void *obj, size_t i, const struct lt_node *key,
                     const struct lt_node *node, unsigned level)
{
    struct lt_conf *conf = obj;
    const struct lt_row *row = &conf->schema->rows[i];
    if ((row->flags & LT_ROW_RESERVED) != 0) {
        lt_diag_error(load->diags, key->pos, "leave it out",
                      "\"%s\" is reserved for a later version", row->name);
        return;
    }
    if (!lt_schema_allows(row, level)) {
        lt_schema_misplaced(load, conf->schema, key);
        conf->broken = true;
        return;
    }
    if (conf->origin[i].node != NULL) {
        return; /* written twice: the reader of the file said so */
    }
    struct slot slot = {.row = row,
                        .type = row->type,
                        .name = lt_str_c(row->name),
                        .name_pos = key->pos,
                        .level = row->sub_level != 0 ? row->sub_level : level};
    conf->origin[i].node = node;
    if (!read_value(load, &slot, node, lt_schema_value(obj, row))) {
        conf->bad |= UINT64_C(1) << i;
        conf->broken = true;
    } else if (row->type == LT_T_OBJECT) {
        conf->broken |= ((struct lt_conf *)lt_schema_value(obj, row))->broken;
    }
}

bool lt_schema_read_fallback(struct lt_schema_load *load, void *obj, size_t i)
{
    const struct lt_conf *conf = obj;
    const struct lt_row *row = &conf->schema->rows[i];
    struct slot slot = {.row = row,
                        .type = row->type,
                        .name = lt_str_c(row->name),
                        .name_pos = row->fallback->pos,
                        .level = row->sub_level != 0 ? row->sub_level : conf->level};
    return read_value(load, &slot, row->fallback, lt_schema_value(obj, row));
}

/* Whether a mapping is the short form of the row shorthand_map: none of its keys is a row. */
static bool is_short_map(const struct lt_schema *schema, const struct lt_node *node)
{
    for (size_t i = 0; i < node->n_pairs; i++) {
        if (lt_schema_find(schema, node->pairs[i].key->text) != SIZE_MAX) {
            return false;
        }
    }
    return schema->shorthand_map != NULL;
}

static void read_keys(struct lt_schema_load *load, void *obj, const struct lt_node *node,
                      unsigned level)
{
    struct lt_conf *conf = obj;
    for (size_t i = 0; i < node->n_pairs; i++) {
        const struct lt_node *key = node->pairs[i].key;
        size_t row = lt_schema_find(conf->schema, key->text);
        if (row != SIZE_MAX) {
            read_row(load, obj, row, key, node->pairs[i].value, level);
        } else if (!conf->schema->open) {
            lt_schema_unknown(load, conf->schema, level, key, node->pairs[i].value, conf);
            conf->broken = true;
        }
    }
}

void lt_schema_read(struct lt_schema_load *load, const struct lt_schema *schema,
                    const struct lt_node *node, unsigned level, void *obj)
{
    struct lt_conf *conf = obj;
    const char *shorthand = NULL;
    if (!init_object(load, schema, obj) || node == NULL) {
        return;
    }
    conf->level = level;
    conf->node = node;
    if (node->unresolved) {
        conf->broken = true;
        conf->bad = UINT64_MAX;
        return;
    }
    if (node->kind == LT_NODE_SCALAR && !node->null) {
        shorthand = schema->shorthand;
    } else if (node->kind == LT_NODE_LIST) {
        shorthand = schema->shorthand_list;
    } else if (node->kind == LT_NODE_MAP) {
        if (!is_short_map(schema, node)) {
            read_keys(load, obj, node, level);
            return;
        }
        shorthand = schema->shorthand_map;
    }
    if (shorthand == NULL) {
        struct lt_row row = {.name = schema->name};
        struct slot slot = {.row = &row, .name = lt_str_c(schema->name)};
        say_kind(load, &slot, node, "a mapping", "write key: value, one per line or inside { }");
        conf->broken = true;
        conf->bad = UINT64_MAX;
        return;
    }
    read_row(load, obj, lt_schema_find(schema, lt_str_c(shorthand)), node, node, level);
}
