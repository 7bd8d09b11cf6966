/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events to nodes. The first syntax error ends the file; what is well-formed but refused
 * (anchors, tags, duplicate keys) is said, and reading goes on. Loader thread. */
#include "config/yaml.h"

#include <stdio.h>
#include <yaml.h>

#include "base/map.h"
#include "base/mem.h"
#include "config/vars.h"
#include "config/redact.h"
#include "config/yaml_error.h"

/* Mappings up to this size are searched for duplicates one by one. */
#define SCAN_MAX 16u
#define ITEMS_MAX ((size_t)LT_LOAD_NODES_MAX)

struct reader {
    struct lt_schema_load *load;
    const struct lt_source *source;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one, valid when has_event */
    bool has_event;
    unsigned depth;
};

/* Growing array of children while their number isn't known. */
struct vector {
    struct lt_node **nodes;
    size_t n, cap;
};

static struct lt_node *read_node(struct reader *r);

static bool push(struct reader *r, struct vector *v, struct lt_node *node)
{
    if (v->n == v->cap) {
        size_t cap = v->cap > 0 ? v->cap * 2 : 8;
        struct lt_node **nodes = lt_realloc(v->nodes, cap, sizeof(struct lt_node *));
        if (nodes == NULL) {
            r->load->nomem = true;
            return false;
        }
        v->nodes = nodes;
        v->cap = cap;
    }
    v->nodes[v->n++] = node;
    return true;
}

/* Moves on to the next event. False after a syntax error. */
static bool next(struct reader *r)
{
    if (r->has_event) {
        yaml_event_delete(&r->event);
        r->has_event = false;
    }
    if (yaml_parser_parse(&r->parser, &r->event) == 0) {
        lt_yaml_error(r->load, r->source, &r->parser);
        r->load->syntax = true;
        return false;
    }
    r->has_event = true;
    return true;
}

static struct lt_node *new_node(struct reader *r, enum lt_node_kind kind)
{
    struct lt_node *node = NULL;
    if (r->load->n_nodes >= LT_LOAD_NODES_MAX) {
        lt_diag_error(r->load->diags, lt_yaml_pos(r->source, &r->event.start_mark), NULL,
                      "the configuration has more than %u values", LT_LOAD_NODES_MAX);
        r->load->syntax = true;
        return NULL;
    }
    node = lt_arena_new(r->load->arena, struct lt_node);
    if (node == NULL) {
        r->load->nomem = true;
        return NULL;
    }
    r->load->n_nodes++;
    node->kind = kind;
    node->pos = lt_yaml_pos(r->source, &r->event.start_mark);
    node->last_line = node->pos.line;
    return node;
}

/* Anchors and tags: said where they stand. */
static void refuse_marks(struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct lt_pos pos = lt_yaml_pos(r->source, &r->event.start_mark);
    if (anchor != NULL) {
        lt_diag_error(r->load->diags, pos, "quote the value if the \"&\" belongs to it",
                      "YAML anchors are not used here");
    }
    if (tag != NULL) {
        lt_diag_error(r->load->diags, pos, "quote the value if the \"!\" belongs to it",
                      "YAML tags are not used here");
    }
}

/* Whether a plain scalar says "nothing". */
static bool is_null(struct lt_str s)
{
    return s.len == 0 || lt_str_eq_c(s, "~") || lt_str_eq_c(s, "null") || lt_str_eq_c(s, "Null") ||
           lt_str_eq_c(s, "NULL");
}

static struct lt_node *read_scalar(struct reader *r)
{
    struct lt_node *node = new_node(r, LT_NODE_SCALAR);
    if (node == NULL) {
        return NULL;
    }
    struct lt_str value =
        lt_str((const char *)r->event.data.scalar.value, r->event.data.scalar.length);
    const yaml_mark_t *start = &r->event.start_mark, *end = &r->event.end_mark;
    yaml_scalar_style_t style = r->event.data.scalar.style;
    refuse_marks(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);
    node->quoted = style != YAML_PLAIN_SCALAR_STYLE;
    node->null = !node->quoted && is_null(value);
    node->pos.width = start->line == end->line && end->column > start->column
                          ? (unsigned)(end->column - start->column)
                          : 1;
    node->last_line = (unsigned)end->line + (end->column > 0 || end->line == start->line);
    if (value.len > 0 && memchr(value.p, '\0', value.len) != NULL) {
        lt_diag_error(r->load->diags, node->pos, NULL, "a value can't hold a NUL character");
        node->unresolved = true;
        value.len = 0;
    }
    if (!lt_arena_dup(r->load->arena, value, &node->raw)) {
        r->load->nomem = true;
        return NULL;
    }
    node->text = node->raw;
    return node;
}

static struct lt_node *read_alias(struct reader *r)
{
    struct lt_node *node = new_node(r, LT_NODE_SCALAR);
    if (node != NULL) {
        const char *name = (const char *)r->event.data.alias.anchor;
        char hint[128];
        struct lt_pos pos = node->pos;
        bool secret =
            lt_redact_shown(pos.source, pos.line, true) < lt_source_line(pos.source, pos.line).len;
        if (secret) {
            snprintf(hint, sizeof(hint), "quote the value");
        } else {
            snprintf(hint, sizeof(hint), "quote this: \"*%.80s\"", name);
        }
        node->pos.width = lt_source_chars(lt_str_c(name)) + 1;
        node->raw = node->text = LT_STR("");
        node->unresolved = true;
        lt_diag_error(r->load->diags, node->pos, hint, "YAML aliases are not used here");
    }
    return node;
}

static struct lt_node *read_list(struct reader *r)
{
    struct vector v = {0};
    struct lt_node *node = new_node(r, LT_NODE_LIST), *result = NULL;
    refuse_marks(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag);
    if (node == NULL || !next(r)) {
        return NULL;
    }
    while (r->event.type != YAML_SEQUENCE_END_EVENT) {
        struct lt_node *item = read_node(r);
        if (item == NULL) {
            goto out;
        }
        if (item->kind == LT_NODE_SCALAR) {
            lt_vars_expand(r->load, item);
        }
        if (!push(r, &v, item) || !next(r)) {
            goto out;
        }
    }
    node->last_line = (unsigned)r->event.end_mark.line + 1;
    node->items = lt_arena_array(r->load->arena, struct lt_node *, v.n);
    if (node->items == NULL) {
        r->load->nomem = true;
        goto out;
    }
    if (v.n > 0) {
        memcpy(node->items, v.nodes, v.n * sizeof(struct lt_node *));
    }
    node->n_items = v.n;
    result = node;
out:
    lt_free(v.nodes);
    return result;
}

static void say_duplicate(struct reader *r, const struct lt_node *key, const struct lt_node *first)
{
    char hint[64];
    snprintf(hint, sizeof(hint), "the first one is in line %u", first->pos.line);
    lt_diag_error(r->load->diags, key->pos, hint, "\"%.*s\" is written twice",
                  LT_STR_ARG(key->text));
}

/* Says which keys of the mapping stand there twice. */
static void find_duplicates(struct reader *r, const struct lt_node *node)
{
    if (node->n_pairs <= SCAN_MAX) {
        for (size_t i = 1; i < node->n_pairs; i++) {
            for (size_t j = 0; j < i; j++) {
                if (lt_str_eq(node->pairs[i].key->text, node->pairs[j].key->text)) {
                    say_duplicate(r, node->pairs[i].key, node->pairs[j].key);
                    break;
                }
            }
        }
        return;
    }
    struct lt_map seen;
    lt_map_init(&seen, r->load->seed, ITEMS_MAX);
    for (size_t i = 0; i < node->n_pairs; i++) {
        struct lt_node *key = node->pairs[i].key;
        const struct lt_node *first = lt_map_get(&seen, key->text);
        if (first != NULL) {
            say_duplicate(r, key, first);
        } else if (lt_map_set(&seen, key->text, key) != LT_OK) {
            r->load->nomem = true;
            break;
        }
    }
    lt_map_fini(&seen);
}

/* Reads a key; NULL when reading can't go on. */
static struct lt_node *read_key(struct reader *r)
{
    struct lt_node *key = read_node(r);
    if (key == NULL) {
        return NULL;
    }
    if (key->kind != LT_NODE_SCALAR) {
        lt_diag_error(r->load->diags, key->pos, "quote this if the bracket belongs to the key",
                      "a key must be plain text");
        key->kind = LT_NODE_SCALAR;
        key->raw = key->text = LT_STR("");
        key->unresolved = true;
    } else if (!key->quoted && lt_str_eq_c(key->text, "<<")) {
        lt_diag_error(r->load->diags, key->pos, "use `defaults` or `include`, or write it out",
                      "YAML merge keys are not used here");
        key->unresolved = true;
    } else if (key->null && !key->unresolved) {
        lt_diag_error(r->load->diags, key->pos, "quote it if this is the name you mean",
                      "a key is missing here");
        key->unresolved = true;
    }
    return key;
}

static struct lt_node *read_map(struct reader *r)
{
    struct vector v = {0};
    struct lt_node *node = new_node(r, LT_NODE_MAP), *result = NULL;
    refuse_marks(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag);
    if (node == NULL || !next(r)) {
        return NULL;
    }
    while (r->event.type != YAML_MAPPING_END_EVENT) {
        struct lt_node *key = read_key(r);
        struct lt_node *value = key != NULL && next(r) ? read_node(r) : NULL;
        if (value == NULL) {
            goto out;
        }
        if (value->kind == LT_NODE_SCALAR) {
            lt_vars_expand(r->load, value);
        }
        bool keep = !key->unresolved;
        if ((keep && (!push(r, &v, key) || !push(r, &v, value))) || !next(r)) {
            goto out;
        }
    }
    node->last_line = (unsigned)r->event.end_mark.line + 1;
    node->n_pairs = v.n / 2;
    node->pairs = lt_arena_array(r->load->arena, struct lt_node_pair, node->n_pairs);
    if (node->pairs == NULL) {
        r->load->nomem = true;
        goto out;
    }
    for (size_t i = 0; i < node->n_pairs; i++) {
        node->pairs[i].key = v.nodes[2 * i];
        node->pairs[i].value = v.nodes[2 * i + 1];
    }
    find_duplicates(r, node);
    result = node;
out:
    lt_free(v.nodes);
    return result;
}

/* Reads the node that starts with the current event; afterwards its last event is the current one.
 * NULL: reading can't go on. */
static struct lt_node *read_node(struct reader *r)
{
    struct lt_node *node = NULL;
    if (r->depth >= LT_YAML_DEPTH_MAX) {
        lt_diag_error(r->load->diags, lt_yaml_pos(r->source, &r->event.start_mark), NULL,
                      "nested deeper than %u levels", LT_YAML_DEPTH_MAX);
        r->load->syntax = true;
        return NULL;
    }
    r->depth++;
    if (r->event.type == YAML_SCALAR_EVENT) {
        node = read_scalar(r);
    } else if (r->event.type == YAML_ALIAS_EVENT) {
        node = read_alias(r);
    } else if (r->event.type == YAML_SEQUENCE_START_EVENT) {
        node = read_list(r);
    } else if (r->event.type == YAML_MAPPING_START_EVENT) {
        node = read_map(r);
    }
    r->depth--;
    return node;
}

/* %YAML and %TAG lines before the document. */
static void check_directives(struct reader *r)
{
    const yaml_version_directive_t *version = r->event.data.document_start.version_directive;
    struct lt_pos pos = lt_yaml_pos(r->source, &r->event.start_mark);
    if (version != NULL && (version->major != 1 || version->minor != 2)) {
        lt_diag_error(r->load->diags, pos, "leave the %YAML line out", "the file is YAML %d.%d",
                      version->major, version->minor);
    }
    if (r->event.data.document_start.tag_directives.start !=
        r->event.data.document_start.tag_directives.end) {
        lt_diag_error(r->load->diags, pos, "leave the %TAG line out",
                      "YAML tags are not used here");
    }
}

static struct lt_node *read_document(struct reader *r)
{
    if (!next(r) || !next(r)) { /* the start of the stream, then of the document */
        return NULL;
    }
    if (r->event.type == YAML_STREAM_END_EVENT) {
        return new_node(r, LT_NODE_MAP);
    }
    check_directives(r);
    if (!next(r)) {
        return NULL;
    }
    struct lt_node *node = read_node(r);
    if (node == NULL || !next(r) || !next(r)) { /* its end, then that of the stream */
        return NULL;
    }
    if (r->event.type != YAML_STREAM_END_EVENT) {
        lt_diag_error(r->load->diags, lt_yaml_pos(r->source, &r->event.start_mark),
                      "put it into a file of its own and use `include`",
                      "a second document in one file");
    }
    return node;
}

struct lt_node *lt_yaml_read(struct lt_schema_load *load, const struct lt_source *source)
{
    struct reader r = {.load = load, .source = source};
    if (yaml_parser_initialize(&r.parser) == 0) {
        load->nomem = true;
        return NULL;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)source->text.p,
                                 source->text.len);
    struct lt_node *node = read_document(&r);
    if (r.has_event) {
        yaml_event_delete(&r.event);
    }
    yaml_parser_delete(&r.parser);
    return node;
}
