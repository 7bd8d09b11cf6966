/* SPDX-License-Identifier: Apache-2.0 */
/* What the writer of an unknown or misplaced key probably meant. Loader thread. */
#include "config/schema_impl.h"

#include <stdio.h>

#define HINT_MAX 400u
#define PATH_MAX_LEN 256u
#define PLACES_MAX 4u
/* Longest list of keys that is shown whole. */
#define KEYS_MAX 14u
#define WALK_DEPTH_MAX 12u

const char *lt_schema_closest(struct lt_str word, const char *const *names, size_t n)
{
    const char *best = NULL;
    unsigned limit = word.len <= 3 ? 2 : 3; /* short words resemble everything */
    for (size_t i = 0; i < n; i++) {
        unsigned d = lt_str_distance(word, lt_str_c(names[i]), limit);
        if (d < limit && strlen(names[i]) > d) {
            best = names[i];
            limit = d;
        }
    }
    return best;
}

const char *lt_schema_hint(struct lt_str word, const char *const *names, size_t n, char *space,
                           size_t size)
{
    struct lt_buf hint;
    const char *close = lt_schema_closest(word, names, n);
    if (n == 0) {
        return NULL;
    }
    lt_buf_init_fixed(&hint, space, size - 1);
    if (close != NULL) {
        lt_buf_printf(&hint, "did you mean \"%s\"?", close);
    }
    for (size_t i = 0; i < n && close == NULL; i++) {
        if (i == KEYS_MAX) {
            lt_buf_printf(&hint, " and %zu more", n - i);
            break;
        }
        lt_buf_printf(&hint, "%s%s", i == 0 ? "known names: " : ", ", names[i]);
    }
    space[hint.len] = '\0';
    return space;
}

struct walk {
    struct lt_buf path;
    lt_schema_visit_fn fn;
    void *arg;
    unsigned depth;
};

static bool walk_schema(struct walk *w, const struct lt_schema *schema, unsigned level)
{
    size_t len = w->path.len;
    if (w->depth >= WALK_DEPTH_MAX) {
        return true;
    }
    w->depth++;
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        if (!lt_schema_allows(row, level) || (row->flags & LT_ROW_RESERVED) != 0) {
            continue;
        }
        if (!w->fn(w->arg, lt_buf_view(&w->path), schema, row, level)) {
            return false;
        }
        if (row->sub == NULL) {
            continue;
        }
        lt_buf_printf(&w->path, "%s%s%s", len > 0 ? "." : "", row->name,
                      row->type == LT_T_LIST  ? "[]"
                      : row->type == LT_T_MAP ? ".*"
                                              : "");
        bool more = walk_schema(w, row->sub, row->sub_level != 0 ? row->sub_level : level);
        w->path.len = len;
        if (!more) {
            return false;
        }
    }
    w->depth--;
    return true;
}

bool lt_schema_walk(const struct lt_schema *schema, unsigned level, lt_schema_visit_fn fn,
                    void *arg)
{
    char path[PATH_MAX_LEN];
    struct walk w = {.fn = fn, .arg = arg};
    lt_buf_init_fixed(&w.path, path, sizeof(path));
    return walk_schema(&w, schema, level);
}

struct places {
    struct lt_str name;
    struct lt_buf *out;
    unsigned n;
};

static bool add_place(void *arg, struct lt_str path, const struct lt_schema *schema LT_UNUSED,
                      const struct lt_row *row, unsigned level LT_UNUSED)
{
    struct places *places = arg;
    if (!lt_str_eq_c(places->name, row->name)) {
        return true;
    }
    if (places->n == PLACES_MAX) {
        lt_buf_str(places->out, LT_STR(" and others"));
        return false;
    }
    lt_buf_printf(places->out, "%s%.*s", places->n == 0 ? "" : ", ",
                  LT_STR_ARG(path.len > 0 ? path : LT_STR("the top level")));
    places->n++;
    return true;
}

/* Adds where a key called name may stand; gives the number of places. */
static unsigned add_places(const struct lt_schema_load *load, struct lt_str name,
                           struct lt_buf *out)
{
    struct places places = {.name = name, .out = out};
    if (load->root != NULL) {
        lt_schema_walk(load->root, 0, add_place, &places);
    }
    return places.n;
}

/* The row of schema whose name resembles key, among those that may stand at level. */
static const char *closest_row(const struct lt_schema *schema, unsigned level, struct lt_str key)
{
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; i < schema->n_rows && n < lt_countof(names); i++) {
        if (lt_schema_allows(&schema->rows[i], level) &&
            (schema->rows[i].flags & LT_ROW_RESERVED) == 0) {
            names[n++] = schema->rows[i].name;
        }
    }
    return lt_schema_closest(key, names, n);
}

static void add_keys(const struct lt_schema *schema, unsigned level, struct lt_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < schema->n_rows; i++) {
        if (lt_schema_allows(&schema->rows[i], level) &&
            (schema->rows[i].flags & LT_ROW_RESERVED) == 0) {
            if (n == KEYS_MAX) {
                lt_buf_str(out, LT_STR(", ..."));
                return;
            }
            lt_buf_printf(out, "%s%s", n == 0 ? "its keys are: " : ", ", schema->rows[i].name);
            n++;
        }
    }
}

/* Whether a key that was written wrongly may have been meant for a secret. */
static bool has_secrets(const struct lt_schema *schema)
{
    for (size_t i = 0; i < schema->n_rows; i++) {
        const struct lt_row *row = &schema->rows[i];
        if (row->type == LT_T_SECRET || row->item == LT_T_SECRET ||
            (row->flags & LT_ROW_SECRET) != 0) {
            return true;
        }
    }
    return false;
}

void lt_schema_unknown(struct lt_schema_load *load, const struct lt_schema *schema, unsigned level,
                       const struct lt_node *key, const struct lt_node *value, struct lt_conf *conf)
{
    char text[HINT_MAX], where[HINT_MAX];
    struct lt_buf hint, places;
    const char *close = closest_row(schema, level, key->text);
    lt_buf_init_fixed(&hint, text, sizeof(text) - 1);
    lt_buf_init_fixed(&places, where, sizeof(where) - 1);
    unsigned n = add_places(load, key->text, &places);
    if (close != NULL) {
        lt_buf_printf(&hint, "did you mean \"%s\"?", close);
        conf->bad |= UINT64_C(1) << lt_schema_find(schema, lt_str_c(close));
    }
    if (n > 0) {
        lt_buf_printf(&hint, "%sit may stand in %.*s", close != NULL ? " Otherwise " : "",
                      LT_STR_ARG(lt_buf_view(&places)));
    }
    if (hint.len == 0) {
        add_keys(schema, level, &hint);
    }
    text[hint.len] = '\0';
    if (has_secrets(schema)) {
        lt_diags_mask(load->diags, key->pos, value->last_line);
    }
    lt_diag_error(load->diags, key->pos, text, "unknown key \"%.*s\" in %s",
                  LT_STR_ARG(lt_str_sub(key->text, 0, 100)), schema->name);
}

void lt_schema_misplaced(struct lt_schema_load *load, const struct lt_schema *schema,
                         const struct lt_node *key)
{
    char text[HINT_MAX];
    struct lt_buf hint;
    lt_buf_init_fixed(&hint, text, sizeof(text) - 1);
    lt_buf_str(&hint, LT_STR("it may stand in "));
    unsigned n = add_places(load, key->text, &hint);
    text[hint.len] = '\0';
    lt_diag_error(load->diags, key->pos, n > 0 ? text : NULL, "\"%.*s\" may not stand in this %s",
                  LT_STR_ARG(key->text), schema->name);
}
