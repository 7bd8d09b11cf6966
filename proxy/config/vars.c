/* SPDX-License-Identifier: Apache-2.0 */
/* Variables and files in scalar values. Loader thread. */
#include "config/vars.h"

#include <stdlib.h>

#include "config/file.h"

#define VALUE_MAX ((size_t)1 << 20)
#define NAME_MAX_LEN 256u

/* Where token, a part of the scalar as written, stands in the file. */
static struct lt_pos place(const struct lt_node *node, struct lt_str token)
{
    struct lt_pos pos = node->pos;
    if (pos.source == NULL) {
        return pos;
    }
    struct lt_str line = lt_source_line(pos.source, pos.line);
    size_t from = lt_source_offset(line, pos.col - 1);
    size_t at = lt_str_find(lt_str_sub(line, from, line.len), token);
    if (at != SIZE_MAX) {
        pos.col += lt_source_chars(lt_str_sub(line, from, from + at));
        pos.width = lt_source_chars(token);
    }
    return pos;
}

static bool is_name(struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        char lower = lt_char_lower(c);
        if (!(lower >= 'a' && lower <= 'z') && c != '_' && !(i > 0 && lt_char_is_digit(c))) {
            return false;
        }
    }
    return s.len > 0 && s.len <= NAME_MAX_LEN;
}

/* ${file:path}: the file's text without the newlines at its end. */
static bool from_file(struct lt_schema_load *load, struct lt_node *node, struct lt_str token,
                      struct lt_str path, struct lt_str *value)
{
    struct lt_str full, why;
    struct lt_str dir = node->pos.source != NULL ? node->pos.source->dir : LT_STR_NONE;
    if (path.len == 0) {
        lt_diag_error(load->diags, place(node, token), "write ${file:/run/secrets/name}",
                      "a path must follow \"file:\"");
        return false;
    }
    if (!lt_file_join(load->arena, dir, path, &full)) {
        load->nomem = true;
        return false;
    }
    enum lt_err err =
        lt_file_read(load->files, load->arena, full.p, LT_VARS_FILE_MAX, value, NULL, &why);
    if (err != LT_OK) {
        load->nomem |= err == LT_ERR_NOMEM;
        lt_diag_error(load->diags, place(node, token),
                      "it has to be there each time the configuration is read", "%.*s",
                      LT_STR_ARG(why.len > 0 ? why : LT_STR("out of memory")));
        return false;
    }
    while (value->len > 0 &&
           (value->p[value->len - 1] == '\n' || value->p[value->len - 1] == '\r')) {
        value->len--;
    }
    if (memchr(value->p, '\0', value->len) != NULL) {
        lt_diag_error(load->diags, place(node, token), "name a text file", "%.*s holds a NUL byte",
                      LT_STR_ARG(full));
        return false;
    }
    return true;
}

/* The value of what stands between ${ and }. */
static bool resolve(struct lt_schema_load *load, struct lt_node *node, struct lt_str token,
                    struct lt_str *value)
{
    struct lt_str inner = lt_str_sub(token, 2, token.len - 1);
    if (lt_str_starts(inner, LT_STR("file:"))) {
        return from_file(load, node, token, lt_str_sub(inner, 5, inner.len), value);
    }
    size_t at = lt_str_find(inner, LT_STR(":-"));
    struct lt_str name = at != SIZE_MAX ? lt_str_sub(inner, 0, at) : inner;
    if (!is_name(name)) {
        lt_diag_error(load->diags, place(node, token),
                      "write ${NAME}, ${NAME:-default} or ${file:/path}; $${ gives a literal ${",
                      "this is no name of a variable");
        return false;
    }
    char cname[NAME_MAX_LEN + 1];
    memcpy(cname, name.p, name.len);
    cname[name.len] = '\0';
    const char *env = getenv(cname);
    if (env != NULL && (env[0] != '\0' || at == SIZE_MAX)) {
        *value = lt_str_c(env);
        return true;
    }
    if (at != SIZE_MAX) {
        *value = lt_str_sub(inner, at + 2, inner.len);
        return true;
    }
    lt_diag_error(load->diags, place(node, token),
                  "set it for the service, or give a default: ${NAME:-default}",
                  "the environment has no variable %s", cname);
    return false;
}

/* Adds raw to out with everything resolved. False when something is wrong. */
static bool expand(struct lt_schema_load *load, struct lt_node *node, struct lt_buf *out)
{
    struct lt_str rest = node->raw, value;
    bool ok = true;
    size_t at;
    while ((at = lt_str_find(rest, LT_STR("${"))) != SIZE_MAX) {
        if (at > 0 && rest.p[at - 1] == '$') {
            lt_buf_add(out, rest.p, at - 1);
            lt_buf_str(out, LT_STR("${"));
            rest = lt_str_sub(rest, at + 2, rest.len);
            continue;
        }
        size_t end = lt_str_chr(rest, '}', at);
        if (end == SIZE_MAX) {
            lt_diag_error(load->diags, place(node, lt_str_sub(rest, at, at + 2)),
                          "$${ gives a literal ${", "\"${\" without its \"}\"");
            return false;
        }
        lt_buf_add(out, rest.p, at);
        if (resolve(load, node, lt_str_sub(rest, at, end + 1), &value)) {
            lt_buf_str(out, value);
            node->substituted = true;
        } else {
            ok = false;
        }
        rest = lt_str_sub(rest, end + 1, rest.len);
    }
    lt_buf_str(out, rest);
    return ok;
}

void lt_vars_expand(struct lt_schema_load *load, struct lt_node *node)
{
    struct lt_buf out;
    node->text = node->raw;
    if (lt_str_find(node->raw, LT_STR("${")) == SIZE_MAX) {
        return;
    }
    lt_buf_init(&out, VALUE_MAX);
    if (!expand(load, node, &out)) {
        node->unresolved = true;
    } else if (out.len == VALUE_MAX) {
        node->unresolved = true;
        lt_diag_error(load->diags, node->pos, NULL, "the value is longer than %zu bytes",
                      VALUE_MAX);
    } else if (out.truncated || !lt_arena_dup(load->arena, lt_buf_view(&out), &node->text)) {
        load->nomem = true;
    }
    lt_buf_fini(&out);
}
