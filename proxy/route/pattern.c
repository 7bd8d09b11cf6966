/* SPDX-License-Identifier: Apache-2.0 */
/* "GET /users/{id}" to segments, with errors at the character that is wrong. Loader thread. */
#include "route/pattern.h"

#include <stdio.h>

#include "config/schema.h"
#include "config/source.h"
#include "http/uri.h"
#include "route/readings.h"
#include "route/router.h"

struct parse {
    struct lt_arena *arena;
    struct lt_diags *diags;
    struct lt_pos pos; /* of the whole text */
    bool exact;        /* columns inside the text can be counted */
    struct lt_str text;
};

/* The place of len bytes at `at` within the text. */
static struct lt_pos place(const struct parse *p, size_t at, size_t len)
{
    struct lt_pos pos = p->pos;
    if (p->exact) {
        pos.col += lt_source_chars(lt_str_sub(p->text, 0, at));
        pos.width = lt_max(lt_source_chars(lt_str_sub(p->text, at, at + len)), 1u);
    }
    return pos;
}

static bool parse_method(struct parse *p, size_t len, struct lt_pattern *out)
{
    struct lt_str word = lt_str_sub(p->text, 0, len);
    const char *names[LT_METHOD_COUNT];
    char hint[64];
    for (unsigned i = 1; i < LT_METHOD_COUNT; i++) {
        names[i - 1] = lt_method_name((enum lt_method)i).p;
    }
    out->method = lt_method_find(word);
    if (out->method != LT_METHOD_UNKNOWN) {
        return true;
    }
    const char *close = lt_schema_closest(word, names, LT_METHOD_COUNT - 1);
    snprintf(hint, sizeof(hint), close != NULL ? "did you mean \"%s\"?" : "%s",
             close != NULL ? close : "write \"/path\" or \"METHOD /path\"");
    lt_diag_error(p->diags, place(p, 0, len), hint, "match: \"%.*s\" is not a method",
                  LT_STR_ARG(lt_str_sub(word, 0, 100)));
    return false;
}

/* The path as clients send it: what no target can hold is percent-encoded. */
static bool encode(struct parse *p, struct lt_str path, struct lt_str *out)
{
    static const char digits[] = "0123456789ABCDEF";
    char *to = lt_arena_chars(p->arena, path.len * 3);
    size_t n = 0;
    if (to == NULL) {
        return false;
    }
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (lt_path_char_ok((char)c) || memchr("/%+;{}\\", c, 7) != NULL) {
            to[n++] = (char)c;
        } else {
            to[n++] = '%';
            to[n++] = digits[c >> 4];
            to[n++] = digits[c & 15];
        }
    }
    *out = lt_str(to, n);
    return true;
}

/* Requests are matched in normal form, so a pattern in another form would never match. */
static bool check_normal(struct parse *p, struct lt_str path, size_t at)
{
    struct lt_str normal;
    enum lt_err err = lt_path_normalise(p->arena, path, LT_PATH_BRACES, &normal);
    if (err == LT_ERR_NOMEM) {
        return false;
    }
    if (err != LT_OK) {
        lt_diag_error(p->diags, place(p, at, p->text.len - at),
                      "a path has no backslash, encoded slash, bad % sequence or .. above its root",
                      "match: this can't be the path of a request");
        return false;
    }
    if (!lt_readings_may_match(path)) {
        lt_diag_error(p->diags, place(p, at, p->text.len - at),
                      "write + as it is, and leave parameters and double encoding out",
                      "match: servers read such a path in several ways");
        return false;
    }
    if (!lt_str_eq(path, normal)) {
        char hint[256];
        snprintf(hint, sizeof(hint), "write %.*s", LT_STR_ARG(lt_str_sub(normal, 0, 200)));
        lt_diag_error(p->diags, place(p, at, p->text.len - at), hint,
                      "match: paths are compared in their normal form, which this is not");
        return false;
    }
    return true;
}

bool lt_pattern_name_ok(struct lt_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        if (!(c >= 'a' && c <= 'z') && (i == 0 || (!lt_char_is_digit(c) && c != '_'))) {
            return false;
        }
    }
    return name.len > 0;
}

static bool is_reserved(struct lt_str name)
{
    return lt_str_eq_c(name, "rest") || lt_str_eq_c(name, "path") || lt_str_eq_c(name, "query") ||
           lt_str_eq_c(name, "host");
}

static bool has_param(const struct lt_pattern *pattern, struct lt_str name)
{
    for (unsigned i = 0; i < pattern->n_segments; i++) {
        if (pattern->segments[i].param && lt_str_eq(pattern->segments[i].text, name)) {
            return true;
        }
    }
    return false;
}

/* {name} at `at`. */
static bool add_param(struct parse *p, struct lt_str segment, size_t at, struct lt_pattern *out)
{
    struct lt_str name = lt_str_sub(segment, 1, segment.len - 1);
    const char *wrong = NULL, *hint = NULL;
    if (!lt_pattern_name_ok(name)) {
        wrong = "is not a name";
        hint = "write {name} with small letters, digits and _";
    } else if (is_reserved(name)) {
        wrong = "has a meaning of its own";
        hint = lt_str_eq_c(name, "rest") ? "write /* at the end: what it matches is {rest}"
                                         : "choose another name";
    } else if (has_param(out, name)) {
        wrong = "is used twice";
        hint = "give each {name} a name of its own";
    } else if (out->n_params == LT_ROUTE_PARAMS_MAX - 1) {
        wrong = "is one {name} too many";
    }
    if (wrong != NULL) {
        lt_diag_error(p->diags, place(p, at, segment.len), hint, "match: \"%.*s\" %s",
                      LT_STR_ARG(lt_str_sub(segment, 0, 100)), wrong);
        return false;
    }
    out->n_params++;
    out->segments[out->n_segments++] = (struct lt_pattern_segment){.text = name, .param = true};
    return true;
}

/* One segment as written, at `at`. last: nothing follows. */
static bool add_segment(struct parse *p, struct lt_str segment, size_t at, bool last,
                        struct lt_pattern *out)
{
    bool star = lt_str_chr(segment, '*', 0) != SIZE_MAX;
    bool brace = lt_str_chr(segment, '{', 0) != SIZE_MAX || lt_str_chr(segment, '}', 0) != SIZE_MAX;
    if (out->n_segments == LT_PATTERN_SEGMENTS_MAX) {
        lt_diag_error(p->diags, place(p, at, segment.len), NULL, "match: more than %u segments",
                      LT_PATTERN_SEGMENTS_MAX);
        return false;
    }
    if (star && last && segment.len == 1) {
        out->prefix = true;
        return true;
    }
    if (star) {
        lt_diag_error(p->diags, place(p, at, segment.len),
                      "write /path/* for all below a path, {name} for one segment",
                      "match: `*` may stand only alone at the end");
        return false;
    }
    if (!brace) {
        struct lt_pattern_segment *to = &out->segments[out->n_segments++];
        return encode(p, segment, &to->text);
    }
    size_t close = lt_str_chr(segment, '}', 0);
    if (segment.p[0] != '{' || close != segment.len - 1 ||
        lt_str_chr(segment, '{', 1) != SIZE_MAX) {
        lt_diag_error(p->diags, place(p, at, segment.len), "write /{name}/",
                      "match: {name} must be a whole segment");
        return false;
    }
    return add_param(p, segment, at, out);
}

static bool parse_path(struct parse *p, size_t from, struct lt_pattern *out)
{
    struct lt_str path = lt_str_sub(p->text, from, p->text.len);
    size_t mark = lt_min(lt_str_chr(path, '?', 0), lt_str_chr(path, '#', 0));
    if (mark != SIZE_MAX) {
        lt_diag_error(p->diags, place(p, from + mark, path.len - mark),
                      "write when: query.NAME == \"value\"", "match: a path ends before `%c`",
                      path.p[mark]);
        return false;
    }
    if (!encode(p, path, &out->path) || !check_normal(p, out->path, from)) {
        return false;
    }
    size_t slashes = 0;
    for (size_t i = 0; i < path.len; i++) {
        slashes += path.p[i] == '/';
    }
    out->segments = lt_arena_array(p->arena, struct lt_pattern_segment, slashes);
    if (out->segments == NULL) {
        return false;
    }
    for (size_t at = 1; at <= path.len;) {
        size_t end = lt_min(lt_str_chr(path, '/', at), path.len);
        if (!add_segment(p, lt_str_sub(path, at, end), from + at, end == path.len, out)) {
            return false;
        }
        at = end + 1;
    }
    return true;
}

bool lt_pattern_compile(struct lt_arena *arena, struct lt_diags *diags, struct lt_pos pos,
                        bool exact, struct lt_str text, struct lt_pattern *out)
{
    struct parse p = {.arena = arena, .diags = diags, .pos = pos, .exact = exact, .text = text};
    *out = (struct lt_pattern){.method = LT_METHOD_UNKNOWN};
    if (text.len > LT_PATTERN_TEXT_MAX) {
        lt_diag_error(diags, pos, NULL, "match: longer than %u bytes", LT_PATTERN_TEXT_MAX);
        return false;
    }
    size_t from = 0;
    if (text.len > 0 && text.p[0] != '/') {
        size_t space = lt_min(lt_str_chr(text, ' ', 0), lt_str_chr(text, '/', 0));
        from = lt_min(space, text.len);
        if (from == text.len && lt_method_find(text) == LT_METHOD_UNKNOWN) {
            from = 0; /* one word that is no method was meant as a path */
        } else if (!parse_method(&p, from, out)) {
            return false;
        }
        while (from < text.len && text.p[from] == ' ') {
            from++;
        }
    }
    if (from >= text.len || text.p[from] != '/') {
        lt_diag_error(diags, place(&p, lt_min(from, text.len), text.len),
                      "write \"/path\", \"/path/*\" or \"METHOD /path\"",
                      "match: a path that begins with / is missing");
        return false;
    }
    return parse_path(&p, from, out);
}

/* ---- regular expressions ---- */

/* The named groups as parameters. */
static bool add_groups(struct parse *p, struct lt_pattern *out)
{
    struct lt_str name;
    unsigned group;
    out->segments = lt_arena_array(p->arena, struct lt_pattern_segment, LT_ROUTE_PARAMS_MAX);
    out->groups = lt_arena_array(p->arena, unsigned char, LT_ROUTE_PARAMS_MAX);
    if (out->segments == NULL || out->groups == NULL) {
        return false;
    }
    for (unsigned i = 0; lt_regex_name(out->regex, i, &name, &group); i++) {
        const char *wrong = !lt_pattern_name_ok(name)         ? "is not a name"
                            : is_reserved(name)               ? "has a meaning of its own"
                            : has_param(out, name)            ? "is used twice"
                            : i == LT_ROUTE_PARAMS_MAX        ? "is one group too many"
                            : group > LT_REGEX_GROUPS_MAX - 1 ? "comes after too many groups"
                                                              : NULL;
        if (wrong != NULL) {
            lt_diag_error(p->diags, p->pos,
                          "write (?<name>...) with small letters, digits and _, and (?:...) for "
                          "groups without a name",
                          "match: the group \"%.*s\" %s", LT_STR_ARG(lt_str_sub(name, 0, 100)),
                          wrong);
            return false;
        }
        out->segments[i] = (struct lt_pattern_segment){.text = name, .param = true};
        out->groups[i] = (unsigned char)group;
        out->n_segments = out->n_params = i + 1;
    }
    return true;
}

bool lt_pattern_compile_regex(struct lt_arena *arena, struct lt_diags *diags, struct lt_pos pos,
                              bool exact, struct lt_str text, struct lt_pattern *out)
{
    struct parse p = {.arena = arena, .diags = diags, .pos = pos, .exact = exact, .text = text};
    struct lt_str why;
    size_t offset;
    *out = (struct lt_pattern){.method = LT_METHOD_UNKNOWN, .path = text};
    out->regex = lt_regex_compile(arena, text, &offset, &why);
    if (out->regex == NULL) {
        if (why.len > 0) {
            size_t at = lt_min(offset, text.len > 0 ? text.len - 1 : 0);
            lt_diag_error(diags, place(&p, at, 1),
                          "it is a regular expression of PCRE2, such as ^/v(?<n>[0-9]+)/",
                          "match: the pattern is wrong: %.*s", LT_STR_ARG(why));
        }
        return false;
    }
    return lt_regex_prefix(arena, text, &out->literal) && add_groups(&p, out);
}

bool lt_pattern_has_prefix(const struct lt_pattern *pattern, struct lt_str prefix)
{
    if (pattern->regex != NULL) {
        return lt_str_starts(pattern->literal, prefix) && pattern->literal.len > prefix.len &&
               pattern->literal.p[prefix.len] == '/';
    }
    size_t at = 1;
    for (unsigned i = 0; at <= prefix.len; i++) {
        size_t end = lt_min(lt_str_chr(prefix, '/', at), prefix.len);
        if (i == pattern->n_segments || pattern->segments[i].param ||
            !lt_str_eq(pattern->segments[i].text, lt_str_sub(prefix, at, end))) {
            return false;
        }
        at = end + 1;
    }
    return true;
}
