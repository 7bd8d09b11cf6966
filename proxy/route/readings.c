/* SPDX-License-Identifier: Apache-2.0 */
/* The other readings of a path, each looked up like the path itself. They are made of what servers
 * do with one:
 *
 *     decoded not at all, once, twice --> parameters cut off before, between, after, not at all
 *                                     --> normal form --> route, conditions of its filters
 *
 * Workers; reads only, memory from the exchange's arena. */
#include "route/readings.h"

#include "http/uri.h"

enum { LEVELS = 3 }; /* decoded not at all, once, twice */

/* The byte of the percent sequence whose digits are s[i] and s[i + 1], or -1. */
static int hex_byte(struct lt_str s, size_t i)
{
    int high = i + 1 < s.len ? lt_char_hex(s.p[i]) : -1;
    int low = i + 1 < s.len ? lt_char_hex(s.p[i + 1]) : -1;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* The character that is encoded at s[i], a '%', when it is decoded `level` times: 0 when that is
 * none that a path could hold as it is. *used: how many bytes stand for it. */
static char decode(struct lt_str s, size_t i, unsigned level, size_t *used)
{
    int c = hex_byte(s, i + 1);
    *used = 3;
    if (level == 2 && c == '%') {
        c = hex_byte(s, i + 3);
        *used = 5;
    }
    return c > 0x20 && c < 0x7f && c != '%' && level > 0 ? (char)c : 0;
}

/* What of all that path has in it. */
static void look(struct lt_str path, bool *differs, bool *slash)
{
    *differs = lt_str_chr(path, ';', 0) != SIZE_MAX;
    *slash = false;
    for (size_t at = lt_str_chr(path, '%', 0); at != SIZE_MAX; at = lt_str_chr(path, '%', at + 1)) {
        size_t used;
        char once = decode(path, at, 1, &used);
        *slash |= once == '/';
        *differs |= once == '/' || once == '+' || once == ';' ||
                    (decode(path, at, 2, &used) != 0 && used > 3);
    }
}

/* The byte at path[i] decoded `level` times, or 0 when it is encoded deeper. *used: see decode. */
static char char_at(struct lt_str path, size_t i, unsigned level, size_t *used)
{
    *used = 1;
    char c = path.p[i] == '%' ? decode(path, i, level, used) : path.p[i];
    *used = c == 0 ? 3 : *used;
    return c == '\\' ? '/' : c;
}

/* One reading of path, not in normal form: decoded `level` times; parameters are cut off after
 * `cut` times, with cut > level not at all. out has room for path. */
static struct lt_str read_as(struct lt_str path, unsigned level, unsigned cut, char *out)
{
    size_t n = 0;
    bool cutting = false;
    for (size_t i = 0, used, ignored; i < path.len; i += used) {
        char c = char_at(path, i, level, &used);
        char then = cut <= level ? char_at(path, i, cut, &ignored) : 0;
        cutting = then != '/' && (cutting || then == ';');
        if (cutting) {
            continue;
        }
        memcpy(out + n, c != 0 ? &c : path.p + i, c != 0 ? 1 : used);
        n += c != 0 ? 1 : used;
    }
    return lt_str(out, n);
}

struct readings {
    const struct lt_router *router;
    unsigned listener;
    struct lt_request *req;
    lt_expr_get_fn get;
    void *source;
    struct lt_arena *arena;
    const struct lt_route *route;
    struct lt_route_params *params;
    struct lt_expr_path_terms *said; /* of the path itself, by each of route->guards */
};

/* What the conditions of the route's filters say of the path itself. */
static enum lt_readings note_guards(const struct readings *r)
{
    for (unsigned i = 0; i < r->route->n_guards; i++) {
        if (!lt_expr_path_terms(r->route->guards[i], r->get, r->source, &r->said[i])) {
            return LT_READINGS_DIFFER;
        }
    }
    return LT_READINGS_AGREE;
}

/* Whether they say the same of the reading that is the request's path now. */
static bool guards_agree(const struct readings *r)
{
    struct lt_expr_path_terms terms;
    for (unsigned i = 0; i < r->route->n_guards; i++) {
        if (!lt_expr_path_terms(r->route->guards[i], r->get, r->source, &terms) ||
            memcmp(&terms, &r->said[i], sizeof(terms)) != 0) {
            return false;
        }
    }
    return true;
}

/* Where `path`, a reading, would have gone. */
static enum lt_readings judge(const struct readings *r, struct lt_str path)
{
    const struct lt_route *route;
    struct lt_str normal, allow;
    enum lt_err err = lt_path_normalise(r->arena, path, LT_PATH_SLASHES | LT_PATH_CLAMP, &normal);
    if (err != LT_OK) {
        /* What has none is no path to anybody. */
        return err == LT_ERR_NOMEM ? LT_READINGS_NO_MEMORY : LT_READINGS_AGREE;
    }
    r->req->path = normal;
    switch (lt_router_find(r->router, r->listener, r->req, r->get, r->source, r->arena, &route,
                           r->params, &allow)) {
    case LT_ROUTE_FOUND:
        return route == r->route && guards_agree(r) ? LT_READINGS_AGREE : LT_READINGS_DIFFER;
    case LT_ROUTE_NO_METHOD:
    case LT_ROUTE_FAILED:
        return LT_READINGS_DIFFER;
    case LT_ROUTE_NO_PATH: /* no other route has it: `/users/{id}` takes an id with a slash */
        return guards_agree(r) ? LT_READINGS_AGREE : LT_READINGS_DIFFER;
    case LT_ROUTE_NO_HOST:
    case LT_ROUTE_REDIRECT_HTTPS:
        return LT_READINGS_AGREE;
    }
    return LT_READINGS_AGREE;
}

enum lt_readings lt_readings_check(const struct lt_router *router, unsigned listener,
                                   struct lt_request *req, lt_expr_get_fn get, void *source,
                                   struct lt_arena *arena, const struct lt_route *route,
                                   struct lt_route_params *params)
{
    bool differs, slash;
    struct lt_str path = req->path;
    look(path, &differs, &slash);
    if (LT_LIKELY(!differs)) {
        return LT_READINGS_AGREE;
    }
    if (slash && !route->options[listener].encoded_slashes) {
        return LT_READINGS_ENCODED_SLASH;
    }
    const struct readings r = {
        router, listener, req,
        get,    source,   arena,
        route,  params,   lt_arena_array(arena, struct lt_expr_path_terms, route->n_guards)};
    const struct lt_route_params found = *params;
    char *out = lt_arena_chars(arena, path.len);
    if (out == NULL || r.said == NULL) {
        return LT_READINGS_NO_MEMORY;
    }
    enum lt_readings result = note_guards(&r);
    for (unsigned level = 0; level < LEVELS; level++) {
        for (unsigned cut = 0; cut <= level + 1 && result == LT_READINGS_AGREE; cut++) {
            result = judge(&r, read_as(path, level, cut, out));
        }
    }
    req->path = path;
    *params = found;
    return result;
}

bool lt_readings_may_match(struct lt_str path)
{
    bool differs, slash;
    look(path, &differs, &slash);
    return !differs;
}
