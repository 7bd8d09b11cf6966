/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the path: `strip` or the template of `rewrite` on the way to a server, the
 * template of a redirect, the pick of a split. Templates are taken apart and checked at load so
 * that no request can make a Location point to another host, or a rewritten path climb out of where
 * it is. Loader thread (templates), workers (all else). */
#include <stdio.h>

#include "config/schema.h"
#include "http/uri.h"
#include "route/compiled.h"

/* ---- templates: load ---- */

static const struct {
    const char *name;
    enum lt_route_part_kind kind;
} placeholders[] = {
    {"rest", LT_ROUTE_PART_PARAM},
    {"path", LT_ROUTE_PART_PATH},
    {"query", LT_ROUTE_PART_QUERY},
    {"host", LT_ROUTE_PART_HOST},
};

struct template
{
    struct lt_arena *arena;
    struct lt_diags *diags;
    struct lt_pos pos;
    const char *option; /* "redirect" or "rewrite" */
    const struct lt_pattern *pattern;
    struct lt_route_part *parts;
    size_t n;
};

static void say_unknown(const struct template *t, struct lt_str name)
{
    const char *names[lt_countof(placeholders) + LT_ROUTE_PARAMS_MAX];
    char hint[160];
    size_t n = 0;
    for (size_t i = 0; i < lt_countof(placeholders); i++) {
        names[n++] = placeholders[i].name;
    }
    for (unsigned i = 0; i < t->pattern->n_segments; i++) {
        struct lt_str copy;
        if (t->pattern->segments[i].param &&
            lt_arena_dup(t->arena, t->pattern->segments[i].text, &copy)) {
            names[n++] = copy.p;
        }
    }
    const char *close = lt_schema_closest(name, names, n);
    if (close != NULL) {
        snprintf(hint, sizeof(hint), "did you mean {%.100s}?", close);
    }
    lt_diag_error(
        t->diags, t->pos,
        close != NULL ? hint : "there are {rest}, {path}, {query}, {host} and the names of `match`",
        "%s: {%.*s} is not known", t->option, LT_STR_ARG(lt_str_sub(name, 0, 100)));
}

/* What {name} stands for. */
static bool add_placeholder(struct template *t, struct lt_str name)
{
    struct lt_route_part part = {.kind = LT_ROUTE_PART_PARAM, .text = name};
    bool known = false;
    for (size_t i = 0; i < lt_countof(placeholders); i++) {
        if (lt_str_eq_c(name, placeholders[i].name)) {
            part.kind = placeholders[i].kind;
            known = true;
        }
    }
    for (unsigned i = 0; i < t->pattern->n_segments && !known; i++) {
        known = t->pattern->segments[i].param && lt_str_eq(t->pattern->segments[i].text, name);
    }
    if (!known) {
        say_unknown(t, name);
        return false;
    }
    if (lt_str_eq_c(name, "rest") && !t->pattern->prefix) {
        lt_diag_error(t->diags, t->pos, "end `match` with /*",
                      "%s: there is no {rest}, because `match` has no `*`", t->option);
        return false;
    }
    t->parts[t->n++] = part;
    return true;
}

static bool take_apart(struct template *t, struct lt_str text)
{
    size_t at = 0;
    while (at < text.len) {
        size_t open = lt_min(lt_str_chr(text, '{', at), text.len);
        if (open > at) {
            t->parts[t->n++] = (struct lt_route_part){.text = lt_str_sub(text, at, open)};
        }
        if (open == text.len) {
            return true;
        }
        size_t close = lt_str_chr(text, '}', open);
        if (close == SIZE_MAX) {
            lt_diag_error(t->diags, t->pos, "write {name}", "%s: a `{` is not closed", t->option);
            return false;
        }
        if (!add_placeholder(t, lt_str_sub(text, open + 1, close))) {
            return false;
        }
        at = close + 1;
    }
    return true;
}

/* Whether a whole percent sequence stands at `at`. */
static bool is_sequence(struct lt_str s, size_t at)
{
    return s.len - at > 2 && s.p[at] == '%' && lt_char_hex(s.p[at + 1]) >= 0 &&
           lt_char_hex(s.p[at + 2]) >= 0;
}

/* Bytes that a URL may hold as they are. */
static bool check_bytes(const struct template *t, struct lt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`|", c) != NULL) {
            lt_diag_error(t->diags, t->pos, "write it percent-encoded",
                          "%s: holds a byte that a URL can't hold", t->option);
            return false;
        }
        /* Half a sequence would be completed by what a request brings. */
        if (c == '%' && !is_sequence(text, i)) {
            lt_diag_error(t->diags, t->pos, "write %25 for a percent sign",
                          "%s: after a %% stand two hexadecimal digits", t->option);
            return false;
        }
    }
    return true;
}

/* A redirect stays on this host, or goes to one that the configuration names: what a request brings
 * must not become part of scheme or authority. */
static bool check_target(const struct template *t, struct lt_str text)
{
    size_t scheme = lt_str_starts(text, LT_STR("https://"))  ? 8
                    : lt_str_starts(text, LT_STR("http://")) ? 7
                                                             : 0;
    if (scheme == 0) {
        bool slash = lt_str_starts(text, LT_STR("/")) && !lt_str_starts(text, LT_STR("//"));
        if (!slash && !lt_str_starts(text, LT_STR("{path}"))) {
            lt_diag_error(t->diags, t->pos, "write /path or https://host/path",
                          "redirect: begins neither with one / nor with http:// or https://");
            return false;
        }
        return true;
    }
    struct lt_str rest = lt_str_sub(text, scheme, text.len);
    size_t end = lt_min(lt_str_chr(rest, '/', 0), lt_str_chr(rest, '?', 0));
    size_t path = lt_str_find(rest, LT_STR("{path}"));
    struct lt_str authority = lt_str_sub(rest, 0, lt_min(lt_min(end, path), rest.len));
    size_t host = lt_str_find(authority, LT_STR("{host}"));
    struct lt_str literal = host == 0 ? lt_str_sub(authority, 6, authority.len) : authority;
    bool ok = authority.len > 0 && lt_str_chr(literal, '{', 0) == SIZE_MAX &&
              lt_str_chr(authority, '@', 0) == SIZE_MAX &&
              (host != 0 || literal.len == 0 || literal.p[0] == ':');
    if (!ok) {
        lt_diag_error(t->diags, t->pos,
                      "write the host out, or {host} alone, and a / before any other placeholder",
                      "redirect: the request could choose the host of this URL");
    }
    return ok;
}

/* A rewrite makes a path; a literal part of it is in normal form, since servers are to see no other
 * one. */
static bool check_rewrite(const struct template *t, struct lt_str text)
{
    size_t mark = lt_min(lt_str_chr(text, '?', 0), text.len);
    struct lt_str path = lt_str_sub(text, 0, mark), normal;
    if (lt_str_chr(text, '#', 0) != SIZE_MAX ||
        !(lt_str_starts(text, LT_STR("/")) || lt_str_starts(text, LT_STR("{path}")))) {
        lt_diag_error(t->diags, t->pos, "write \"/path/{rest}\"",
                      "rewrite: a path that begins with / is expected here");
        return false;
    }
    if (path.p[0] == '/' && (lt_path_normalise(t->arena, path, LT_PATH_BRACES, &normal) != LT_OK ||
                             !lt_str_eq(path, normal))) {
        lt_diag_error(t->diags, t->pos,
                      "a path without //, . and .. segments, encoded slash or needless encoding",
                      "rewrite: this is not the normal form of a path");
        return false;
    }
    return true;
}

bool lt_route_template_compile(struct lt_arena *arena, struct lt_diags *diags, struct lt_pos pos,
                               bool rewrite, struct lt_str text, struct lt_route_compiled *compiled)
{
    size_t braces = 0;
    for (size_t at = lt_str_chr(text, '{', 0); at != SIZE_MAX; at = lt_str_chr(text, '{', at + 1)) {
        braces++;
    }
    struct template t = {.arena = arena,
                         .diags = diags,
                         .pos = pos,
                         .option = rewrite ? "rewrite" : "redirect",
                         .pattern = &compiled->pattern};
    t.parts = lt_arena_array(arena, struct lt_route_part, 2 * braces + 1);
    if (t.parts == NULL || !check_bytes(&t, text) || !take_apart(&t, text) ||
        !(rewrite ? check_rewrite(&t, text) : check_target(&t, text))) {
        return false;
    }
    compiled->own_query = lt_str_chr(text, '?', 0) != SIZE_MAX;
    compiled->parts = t.parts;
    compiled->n_parts = t.n;
    return true;
}

/* ---- templates: requests ---- */

/* Bytes that stay as they are in a path (RFC 3986 §3.3) or query; '%' is looked at apart. */
static const bool plain[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['.'] = true,
    ['_'] = true,         ['~'] = true,         ['!'] = true,         ['$'] = true, ['&'] = true,
    ['\''] = true,        ['('] = true,         [')'] = true,         ['*'] = true, ['+'] = true,
    [','] = true,         [';'] = true,         ['='] = true,         [':'] = true, ['@'] = true,
    ['/'] = true,
};

/* Where a value goes: a path; a query as a whole; one value within a query, where what divides
 * values is data. */
enum place { IN_PATH, AS_QUERY, IN_QUERY };

/* Writes s to out, percent-encoding what a URL can't hold there; gives the number of bytes, at most
 * three times those of s. */
static size_t put_encoded(char *out, struct lt_str s, enum place place)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool divides = place == IN_QUERY && strchr("&;+=", c) != NULL && c != '\0';
        if ((plain[c] && !divides) || is_sequence(s, i) || (place == AS_QUERY && c == '?')) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        }
    }
    return n;
}

static struct lt_str part_value(const struct lt_route_part *part, const struct lt_request *req,
                                const struct lt_route_params *params)
{
    switch (part->kind) {
    case LT_ROUTE_PART_TEXT:
        break;
    case LT_ROUTE_PART_PARAM:
        return lt_route_param(params, part->text);
    case LT_ROUTE_PART_PATH:
        return req->path;
    case LT_ROUTE_PART_QUERY:
        return req->query;
    case LT_ROUTE_PART_HOST:
        return req->host;
    }
    return part->text;
}

/* Adds one part to what is in out. */
static size_t put_part(char *out, size_t n, const struct lt_route_part *part, struct lt_str value)
{
    bool in_query = n > 0 && memchr(out, '?', n) != NULL;
    bool authority = part->kind == LT_ROUTE_PART_HOST && n > 0 && out[0] != '/';
    if (part->kind == LT_ROUTE_PART_TEXT || authority) {
        if (value.len > 0) { /* the gate has judged the host's bytes */
            memcpy(out + n, value.p, value.len);
        }
        return n + value.len;
    }
    if (part->kind == LT_ROUTE_PART_QUERY) {
        bool mark = n > 0 && (out[n - 1] == '?' || out[n - 1] == '&');
        return value.len == 0 && mark ? n - 1 : n + put_encoded(out + n, value, AS_QUERY);
    }
    while (n > 0 && out[n - 1] == '/' && value.len > 0 &&
           (value.p[0] == '/' || value.p[0] == '\\')) {
        value = lt_str_sub(value, 1, value.len);
    }
    return n + put_encoded(out + n, value, in_query ? IN_QUERY : IN_PATH);
}

/* "//host" is another host to clients: a path begins with one slash. */
static size_t one_slash(char *out, size_t n)
{
    size_t slashes = 0;
    while (slashes < n && out[slashes] == '/') {
        slashes++;
    }
    if (slashes > 1) {
        memmove(out + 1, out + slashes, n - slashes);
        n -= slashes - 1;
    }
    return n;
}

static enum lt_err fill_in(const struct lt_route_compiled *c, struct lt_arena *arena,
                           const struct lt_request *req, const struct lt_route_params *params,
                           struct lt_str *filled)
{
    size_t max = 0, n = 0;
    for (size_t i = 0; i < c->n_parts; i++) {
        if (c->parts[i].kind == LT_ROUTE_PART_HOST && req->host.len == 0) {
            return LT_ERR_INVALID;
        }
        max += 3 * part_value(&c->parts[i], req, params).len;
    }
    char *out = lt_arena_chars(arena, max);
    if (out == NULL) {
        return LT_ERR_NOMEM;
    }
    for (size_t i = 0; i < c->n_parts; i++) {
        n = put_part(out, n, &c->parts[i], part_value(&c->parts[i], req, params));
    }
    *filled = lt_str(out, one_slash(out, n));
    return LT_OK;
}

enum lt_err lt_route_location(const struct lt_route *route, struct lt_arena *arena,
                              const struct lt_request *req, const struct lt_route_params *params,
                              struct lt_str *location)
{
    return fill_in(route->compiled, arena, req, params, location);
}

/* ---- strip and rewrite ---- */

/* Whether one of the segments is `.` or `..`: no normal form has them. */
static bool has_dots(struct lt_str path)
{
    for (size_t at = 1; at <= path.len;) {
        size_t end = lt_min(lt_str_chr(path, '/', at), path.len);
        struct lt_str segment = lt_str_sub(path, at, end);
        if (lt_str_eq_c(segment, ".") || lt_str_eq_c(segment, "..")) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

/* path?query; query.p == NULL: there is none. */
static enum lt_err join(struct lt_arena *arena, struct lt_str path, struct lt_str query,
                        struct lt_str *target)
{
    if (query.p == NULL) {
        *target = path;
        return LT_OK;
    }
    char *out = lt_arena_chars(arena, path.len + 1 + query.len);
    if (out == NULL) {
        return LT_ERR_NOMEM;
    }
    memcpy(out, path.p, path.len);
    out[path.len] = '?';
    if (query.len > 0) {
        memcpy(out + path.len + 1, query.p, query.len);
    }
    *target = lt_str(out, path.len + 1 + query.len);
    return LT_OK;
}

static enum lt_err rewrite(const struct lt_route_compiled *c, struct lt_arena *arena,
                           const struct lt_request *req, const struct lt_route_params *params,
                           struct lt_str *target)
{
    struct lt_str made, path, query = req->query;
    enum lt_err err = fill_in(c, arena, req, params, &made);
    if (err != LT_OK) {
        return err;
    }
    size_t mark = lt_min(lt_str_chr(made, '?', 0), made.len);
    path = lt_str_sub(made, 0, mark);
    if (has_dots(path)) {
        return LT_ERR_INVALID;
    }
    err = lt_path_normalise(arena, path, LT_PATH_SLASHES, &path); /* empty values leave "//" */
    if (err != LT_OK) {
        return err;
    }
    if (c->own_query) {
        query = mark < made.len ? lt_str_sub(made, mark + 1, made.len) : LT_STR_NONE;
    }
    return join(arena, path, query, target);
}

enum lt_err lt_route_rewrite(const struct lt_route *route, struct lt_arena *arena,
                             const struct lt_request *req, const struct lt_route_params *params,
                             struct lt_str *target)
{
    struct lt_str path = req->path, query = req->query;
    if (route->rewrites) {
        return rewrite(route->compiled, arena, req, params, target);
    }
    if (route->strip.len > 0 && lt_str_starts(path, route->strip) &&
        (path.len == route->strip.len || path.p[route->strip.len] == '/')) {
        path = lt_str_sub(path, route->strip.len, path.len);
    }
    if (path.len == 0) {
        path = LT_STR("/");
    }
    if (query.p != NULL && query.p == path.p + path.len + 1) { /* side by side, as they were sent */
        *target = lt_str(path.p, path.len + 1 + query.len);
        return LT_OK;
    }
    return join(arena, path, query, target);
}

/* ---- split ---- */

const struct lt_route_target *lt_route_pick(const struct lt_route *route, uint32_t draw)
{
    for (unsigned i = 0; i + 1 < route->n_targets; i++) {
        if (draw < route->targets[i].share) {
            return &route->targets[i];
        }
    }
    return &route->targets[route->n_targets - 1];
}

void lt_route_set_tokens(struct lt_route *route, const struct lt_hash_seed *seed)
{
    static const char digits[] = "0123456789abcdef";
    struct lt_hash_seed own = {seed->k0 ^ 0x73706c6974, seed->k1}; /* other tables use it too */
    for (unsigned i = 0; i < route->n_targets; i++) {
        uint64_t hash = lt_hash(&own, route->targets[i].name);
        for (unsigned j = 0; j < LT_ROUTE_TOKEN_LEN; j++, hash >>= 4) {
            route->targets[i].token[j] = digits[hash & 15];
        }
    }
}
