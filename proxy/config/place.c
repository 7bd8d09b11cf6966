/* SPDX-License-Identifier: Apache-2.0 */
/* Where the value of an option comes from. Loader thread. */
#include "config/place.h"

#include "config/schema_impl.h"
#include "config/source.h"

static const struct lt_origin *origin_of(const void *obj, const char *path)
{
    const struct lt_conf *conf = obj;
    const char *dot = strchr(path, '.');
    struct lt_str name = dot != NULL ? lt_str(path, (size_t)(dot - path)) : lt_str_c(path);
    size_t i = conf->schema != NULL ? lt_schema_find(conf->schema, name) : SIZE_MAX;
    if (i == SIZE_MAX) {
        return NULL;
    }
    return dot == NULL ? &conf->origin[i]
                       : origin_of((const char *)obj + conf->schema->rows[i].offset, dot + 1);
}

struct lt_str lt_config_place(struct lt_arena *arena, const void *obj, const char *path)
{
    const struct lt_origin *origin = origin_of(obj, path);
    const struct lt_node *node = origin != NULL ? origin->node : NULL;
    struct lt_str text = LT_STR_NONE;
    bool ok = origin != NULL;
    if (ok && node != NULL && node->pos.source != NULL) {
        struct lt_str file = node->pos.source->name;
        size_t slash = lt_str_rchr(file, '/');
        file = slash == SIZE_MAX ? file : lt_str_sub(file, slash + 1, file.len);
        ok = lt_arena_printf(arena, &text, "%s (%.*s:%u)", path, LT_STR_ARG(file), node->pos.line);
    } else if (ok) {
        ok = lt_arena_printf(arena, &text, "%s (%s)", path,
                             origin->label != NULL ? origin->label : "default");
    }
    return ok ? text : LT_STR_NONE;
}
