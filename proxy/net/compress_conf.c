/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of compression. Loader thread. */
#include "net/compress_conf.h"

#include "config/load.h"

const char *const lt_compress_encodings[] = {"gzip", "br", "zstd", NULL};

/* In the order of enum lt_encoder_level. */
static const char *const levels[] = {"fast", "balanced", "small", NULL};

static bool is_token(struct lt_str s)
{
    bool ok = s.len > 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = lt_char_lower(s.p[i]);
        ok &= (c >= 'a' && c <= 'z') || lt_char_is_digit(c) || strchr("!#$&^_.+-", c) != NULL;
    }
    return ok;
}

/* A type with its subtype, one with a star instead, or a structured suffix (RFC 6838 §4.2). */
static bool is_type(struct lt_str s)
{
    size_t slash = lt_str_chr(s, '/', 0);
    if (slash == SIZE_MAX) {
        return s.len > 1 && s.p[0] == '+' && is_token(s);
    }
    struct lt_str sub = lt_str_sub(s, slash + 1, s.len);
    return is_token(lt_str_sub(s, 0, slash)) && (lt_str_eq_c(sub, "*") || is_token(sub));
}

static void check_types(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    const struct lt_conf_list *list = value;
    const struct lt_str *types = list->items;
    for (size_t i = 0; i < list->n; i++) {
        if (!is_type(types[i])) {
            lt_diag_error(load->diags, i < node->n_items ? node->items[i]->pos : node->pos,
                          "write a type as in application/json, text/* or +json",
                          "types: \"%.*s\" is not a media type", LT_STR_ARG(types[i]));
        }
    }
}

static void check_encodings(struct lt_schema_load *load, const struct lt_node *node,
                            const void *value)
{
    const struct lt_conf_list *list = value;
    const int *encodings = list->items;
    for (size_t i = 0; i < list->n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (encodings[i] == encodings[j]) {
                lt_diag_error(load->diags, i < node->n_items ? node->items[i]->pos : node->pos,
                              "leave one of them out", "encodings: \"%s\" stands here twice",
                              lt_compress_encodings[encodings[i]]);
            }
        }
    }
}

#define ALL_LEVELS (LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER | LT_LEVEL_SITE | LT_LEVEL_ROUTE)

/* def(text): the default, or NULL. */
#define ROWS(def_of, more_flags)                                                                   \
    {                                                                                              \
        {.name = "enabled",                                                                        \
         .type = LT_T_BOOL,                                                                        \
         .offset = offsetof(struct lt_compress_conf, enabled),                                     \
         .def = def_of("false"),                                                                   \
         .flags = (more_flags),                                                                    \
         .levels = ALL_LEVELS,                                                                     \
         .doc = "Whether responses are compressed for clients that accept it.",                    \
         .since = "0.1"},                                                                          \
            {.name = "types",                                                                      \
             .type = LT_T_LIST,                                                                    \
             .offset = offsetof(struct lt_compress_conf, types),                                   \
             .def = def_of("text/*, +json, +xml, application/json, application/javascript, "       \
                           "application/xml, application/x-javascript, application/x-ndjson, "     \
                           "application/wasm, application/vnd.ms-fontobject, font/ttf, font/otf, " \
                           "image/bmp, image/x-icon"),                                             \
             .max = "64",                                                                          \
             .flags = LT_ROW_NONEMPTY | (more_flags),                                              \
             .levels = ALL_LEVELS,                                                                 \
             .item = LT_T_STRING,                                                                  \
             .check = check_types,                                                                 \
             .doc = "Media types that are compressed: `application/json`, all of a kind as "       \
                    "`text/*`, or all that end in `+json`.",                                       \
             .since = "0.1"},                                                                      \
            {.name = "min",                                                                        \
             .type = LT_T_SIZE,                                                                    \
             .offset = offsetof(struct lt_compress_conf, min),                                     \
             .def = def_of("1K"),                                                                  \
             .max = "1G",                                                                          \
             .flags = (more_flags),                                                                \
             .levels = ALL_LEVELS,                                                                 \
             .doc = "Responses that are known to be smaller are sent as they are.",                \
             .since = "0.1"},                                                                      \
            {.name = "level",                                                                      \
             .type = LT_T_ENUM,                                                                    \
             .offset = offsetof(struct lt_compress_conf, level),                                   \
             .def = def_of("balanced"),                                                            \
             .flags = (more_flags),                                                                \
             .levels = ALL_LEVELS,                                                                 \
             .choices = levels,                                                                    \
             .doc = "How much work is spent on making a response small.",                          \
             .since = "0.1"},                                                                      \
        {                                                                                          \
            .name = "encodings", .type = LT_T_LIST,                                                \
            .offset = offsetof(struct lt_compress_conf, encodings),                                \
            .def = def_of("zstd, br, gzip"), .max = "3", .flags = LT_ROW_NONEMPTY | (more_flags),  \
            .levels = ALL_LEVELS, .choices = lt_compress_encodings, .item = LT_T_ENUM,             \
            .check = check_encodings,                                                              \
            .doc = "What may be used, the best first: the order decides between those that the "   \
                   "client likes equally well.",                                                   \
            .since = "0.1"                                                                         \
        }                                                                                          \
    }

#define HAS_DEFAULT(text) text
#define HAS_NONE(text) NULL

static const struct lt_row rows[] = ROWS(HAS_DEFAULT, 0);
static const struct lt_row unset_rows[] = ROWS(HAS_NONE, LT_ROW_ABSENT_OK);

const struct lt_schema lt_compress_schema = {
    .name = "compress",
    .doc = "Compression of responses.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_compress_conf),
    .shorthand = "enabled",
};

const struct lt_schema lt_compress_unset_schema = {
    .name = "compress",
    .doc = "Compression of responses.",
    .rows = unset_rows,
    .n_rows = lt_countof(unset_rows),
    .size = sizeof(struct lt_compress_conf),
    .shorthand = "enabled",
};
