/* SPDX-License-Identifier: Apache-2.0 */
/* What fills in a struct after it was read: presets, parents, defaults; then the checks that need
 * everything. Loader thread. */
#include "config/schema_impl.h"
#include "config/types.h"

#include <assert.h>
#include <stdio.h>

const char lt_schema_default_label[] = "default";

static void finish(struct lt_schema_load *load, void *obj, bool written);

static bool is_bad(const struct lt_conf *conf, size_t i)
{
    return (conf->bad >> i & 1) != 0;
}

/* The row of the parent that gives a value for row i of the child, or SIZE_MAX. */
static size_t matching(const struct lt_schema *child, size_t i, const struct lt_schema *parent)
{
    if (child == parent) {
        return i;
    }
    const struct lt_row *row = &child->rows[i];
    size_t j = lt_schema_find(parent, lt_str_c(row->name));
    if (j == SIZE_MAX) {
        return SIZE_MAX;
    }
    const struct lt_row *other = &parent->rows[j];
    bool same = row->type == other->type && row->item == other->item &&
                (row->type == LT_T_OBJECT || row->sub == other->sub);
    return same ? j : SIZE_MAX;
}

void lt_schema_inherit(void *obj, const void *parent)
{
    struct lt_conf *conf = obj;
    const struct lt_conf *from = parent;
    if (conf->schema == NULL || from->schema == NULL) {
        return;
    }
    for (size_t i = 0; i < conf->schema->n_rows; i++) {
        const struct lt_row *row = &conf->schema->rows[i];
        size_t j = matching(conf->schema, i, from->schema);
        if (j == SIZE_MAX || (row->flags & LT_ROW_RESERVED) != 0) {
            continue;
        }
        void *to = lt_schema_value(obj, row);
        const void *value = lt_schema_value(parent, &from->schema->rows[j]);
        if (row->type == LT_T_OBJECT) {
            lt_schema_inherit(to, value);
        } else if (!lt_schema_has(conf, i) && lt_schema_has(from, j)) {
            memcpy(to, value, lt_type_size(row->type, row->sub));
            conf->bad |= (uint64_t)is_bad(from, j) << i;
        }
        if (!lt_schema_has(conf, i)) {
            conf->origin[i] = from->origin[j];
        }
    }
}

/* A list of scalars from "a, b". */
static bool default_list(struct lt_schema_load *load, const struct lt_row *row, const char *text,
                         struct lt_conf_list *list)
{
    size_t size = lt_type_size(row->item, row->sub);
    struct lt_str rest = lt_str_c(text), token, copy;
    size_t n = 0;
    while (lt_str_next(&rest, ',', &token)) {
        n++;
    }
    char *items = lt_arena_zalloc(load->arena, n, size);
    if (items == NULL) {
        load->nomem = true;
        return false;
    }
    rest = lt_str_c(text);
    list->items = items;
    while (text[0] != '\0' && lt_str_next(&rest, ',', &token)) {
        if (!lt_arena_dup(load->arena, token, &copy)) {
            load->nomem = true;
            return false;
        }
        if (!lt_type_parse_text(load, row, row->item, copy.p, items + list->n * size)) {
            return false;
        }
        list->n++;
    }
    return true;
}

/* Sets row i from text of our own. */
static void set_text(struct lt_schema_load *load, void *obj, size_t i, const char *text,
                     const char *label)
{
    struct lt_conf *conf = obj;
    const struct lt_row *row = &conf->schema->rows[i];
    void *value = lt_schema_value(obj, row);
    bool ok = row->type == LT_T_LIST ? default_list(load, row, text, value)
                                     : lt_type_parse_text(load, row, row->type, text, value);
    if (ok) {
        conf->origin[i] = (struct lt_origin){.label = label};
    }
}

void lt_schema_preset(struct lt_schema_load *load, void *obj, const char *name, const char *text,
                      const char *label)
{
    struct lt_conf *conf = obj;
    const char *dot = strchr(name, '.');
    if (conf->schema == NULL) {
        return;
    }
    size_t i = lt_schema_find(conf->schema,
                              dot != NULL ? lt_str(name, (size_t)(dot - name)) : lt_str_c(name));
    assert(i != SIZE_MAX);
    if (dot != NULL) {
        lt_schema_preset(load, lt_schema_value(obj, &conf->schema->rows[i]), dot + 1, text, label);
    } else if (!lt_schema_has(conf, i) && !is_bad(conf, i)) {
        set_text(load, obj, i, text, label);
    }
}

static void finish_elements(struct lt_schema_load *load, const struct lt_row *row, void *value)
{
    if (row->item != LT_T_OBJECT) {
        return;
    }
    if (row->type == LT_T_LIST) {
        const struct lt_conf_list *list = value;
        for (size_t i = 0; i < list->n; i++) {
            finish(load, (char *)list->items + i * row->sub->size, true);
        }
    } else if (row->type == LT_T_MAP) {
        const struct lt_conf_map *map = value;
        for (size_t i = 0; i < map->n; i++) {
            finish(load, map->entries[i].value, true);
        }
    }
}

/* The hint is what the option is: the first sentence about it. */
static void say_missing(struct lt_schema_load *load, const struct lt_conf *conf,
                        const struct lt_row *row)
{
    char hint[240];
    struct lt_str doc = lt_str_c(row->doc);
    size_t end = lt_str_find(doc, LT_STR(". "));
    doc = lt_str_sub(doc, 0, end == SIZE_MAX ? doc.len : end + 1);
    snprintf(hint, sizeof(hint), "add %s: %.*s", row->name, LT_STR_ARG(doc));
    lt_diag_error(load->diags, conf->node != NULL ? conf->node->pos : lt_load_nowhere(), hint,
                  "%s: \"%s\" is missing", conf->schema->name, row->name);
}

/* Fills in row i and what is below it. */
static void finish_row(struct lt_schema_load *load, void *obj, size_t i, bool written)
{
    struct lt_conf *conf = obj;
    const struct lt_row *row = &conf->schema->rows[i];
    void *value = lt_schema_value(obj, row);
    bool has = lt_schema_has(conf, i);
    if (!has && row->fallback != NULL && lt_schema_read_fallback(load, obj, i)) {
        conf->origin[i].label = lt_schema_default_label;
        has = true;
    }
    if (row->type == LT_T_OBJECT) {
        finish(load, value, has && !is_bad(conf, i));
    } else if (row->type == LT_T_LIST || row->type == LT_T_MAP) {
        finish_elements(load, row, value);
    }
    if (has) {
        return;
    }
    if ((row->flags & LT_ROW_REQUIRED) != 0) {
        if (written && !is_bad(conf, i) && lt_schema_allows(row, conf->level)) {
            say_missing(load, conf, row);
            conf->broken = true;
        }
    } else if (row->def != NULL && row->type != LT_T_OBJECT) {
        set_text(load, obj, i, row->def, lt_schema_default_label);
    } else {
        conf->origin[i].label = lt_schema_default_label;
    }
}

static void finish(struct lt_schema_load *load, void *obj, bool written)
{
    struct lt_conf *conf = obj;
    if (conf->schema == NULL || conf->finished || load->nomem) {
        return;
    }
    conf->finished = true;
    const struct lt_schema *schema = conf->schema;
    for (size_t i = 0; i < schema->n_rows; i++) {
        if ((schema->rows[i].flags & LT_ROW_RESERVED) == 0) {
            finish_row(load, obj, i, written);
        }
    }
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        if (row->check != NULL && conf->origin[i].node != NULL && !is_bad(conf, i)) {
            row->check(load, conf->origin[i].node, lt_schema_value(obj, row));
        }
    }
    if (schema->check != NULL && written && !conf->broken && conf->bad == 0) {
        schema->check(load, obj);
    }
}

void lt_schema_finish(struct lt_schema_load *load, void *obj)
{
    finish(load, obj, true);
}

bool lt_schema_is_set(const void *obj, size_t offset)
{
    const struct lt_conf *conf = obj;
    if (conf->schema == NULL) {
        return false;
    }
    for (size_t i = 0; i < conf->schema->n_rows; i++) {
        const struct lt_row *row = &conf->schema->rows[i];
        if ((row->flags & LT_ROW_RESERVED) != 0) {
            continue;
        }
        if (row->offset == offset) {
            return conf->origin[i].node != NULL ||
                   (conf->origin[i].label != NULL &&
                    conf->origin[i].label != lt_schema_default_label);
        }
        if (row->type == LT_T_OBJECT && offset > row->offset &&
            offset < row->offset + row->sub->size) {
            return lt_schema_is_set(lt_schema_value(obj, row), offset - row->offset);
        }
    }
    return false;
}

struct lt_pos lt_schema_pos(const void *obj, const char *name)
{
    const struct lt_conf *conf = obj;
    if (conf->schema == NULL) {
        return lt_load_nowhere();
    }
    size_t i = lt_schema_find(conf->schema, lt_str_c(name));
    if (i != SIZE_MAX && conf->origin[i].node != NULL) {
        return conf->origin[i].node->pos;
    }
    return conf->node != NULL ? conf->node->pos : lt_load_nowhere();
}
