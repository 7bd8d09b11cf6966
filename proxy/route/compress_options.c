/* SPDX-License-Identifier: Apache-2.0 */
/* Joins the levels of `compress`. Loader thread; lt_compress_type_fits in workers. */
#include "route/compress_options.h"

#include <stdio.h>

#include "route/site_conf.h"

/* The index in lt_compress_encodings is that of the coding, less one. */
_Static_assert(LT_CODING_IDENTITY == 0 && LT_CODING_GZIP == 1 && LT_CODING_BR == 2 &&
                   LT_CODING_ZSTD == 3,
               "lt_compress_encodings follows enum lt_coding");

#define AT(member) offsetof(struct lt_compress_conf, member)

bool lt_compress_conf_any(const struct lt_compress_conf *conf)
{
    static const size_t rows[] = {AT(enabled), AT(types), AT(min), AT(level), AT(encodings)};
    bool any = false;
    for (size_t i = 0; i < lt_countof(rows); i++) {
        any |= lt_schema_is_set(conf, rows[i]);
    }
    return any;
}

/* The first level that has the row at this offset; the last one has them all. */
static const struct lt_compress_conf *level_of(const struct lt_compress_conf *const *levels,
                                               size_t n, size_t row)
{
    size_t i = 0;
    while (i + 1 < n && !lt_schema_is_set(levels[i], row)) {
        i++;
    }
    return levels[i];
}

/* Codings that are not built in are left out where they are only the default. */
static void set_order(struct lt_schema_load *load, const struct lt_compress_conf *conf,
                      struct lt_compress_options *options)
{
    const int *written = conf->encodings.items;
    for (size_t i = 0; i < lt_min(conf->encodings.n, lt_countof(options->order)); i++) {
        enum lt_coding coding = (enum lt_coding)(written[i] + 1);
        if (lt_encoder_built_in(coding)) {
            options->order[options->n_order++] = coding;
        } else if (lt_schema_is_set(conf, AT(encodings))) {
            lt_diag_error(load->diags, lt_site_conf_item_pos(conf, "encodings", i),
                          "leave it out, or build Lintel with its library",
                          "encodings: this build does not have \"%s\"",
                          lt_compress_encodings[written[i]]);
        }
    }
}

bool lt_compress_options_make(struct lt_schema_load *load,
                              const struct lt_compress_conf *const *levels, size_t n,
                              const struct lt_compress_options **options)
{
    const struct lt_compress_conf *types = level_of(levels, n, AT(types));
    *options = NULL;
    if (!level_of(levels, n, AT(enabled))->enabled) {
        return true;
    }
    struct lt_compress_options *o = lt_arena_new(load->arena, struct lt_compress_options);
    if (o == NULL) {
        return false;
    }
    o->types = types->types.items;
    o->n_types = types->types.n;
    o->min = level_of(levels, n, AT(min))->min;
    o->level = (enum lt_encoder_level)level_of(levels, n, AT(level))->level;
    set_order(load, level_of(levels, n, AT(encodings)), o);
    *options = o;
    return true;
}

static bool fits(struct lt_str pattern, struct lt_str type)
{
    if (pattern.p[0] == '+') {
        return type.len > pattern.len &&
               lt_str_eq_nocase(lt_str_sub(type, type.len - pattern.len, type.len), pattern);
    }
    if (pattern.p[pattern.len - 1] == '*') {
        size_t n = pattern.len - 1;
        return type.len > n && lt_str_eq_nocase(lt_str_sub(type, 0, n), lt_str_sub(pattern, 0, n));
    }
    return lt_str_eq_nocase(type, pattern);
}

bool lt_compress_type_fits(const struct lt_compress_options *options, struct lt_str content_type)
{
    struct lt_str type = lt_str_trim(lt_str_sub(content_type, 0, lt_str_chr(content_type, ';', 0)));
    for (size_t i = 0; i < options->n_types; i++) {
        if (fits(options->types[i], type)) {
            return true;
        }
    }
    return false;
}
