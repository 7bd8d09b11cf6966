/* SPDX-License-Identifier: Apache-2.0 */
/* The other readings of a path, each looked up like the path itself. They are made of three things
 * that servers do: decode what is encoded, decode it twice, cut parameters off.
 *
 *     path -----------------.--> as it is ----.
 *       '--> decoded twice -'                 |--> with parameters --.
 *                           '--> decoded -----'--> without ----------'--> normal form --> route
 *
 * Workers; reads only, memory from the exchange's arena. */
#include "route/readings.h"

#include "http/uri.h"

enum { DECODED = 1, CUT = 2, VARIANTS = 4 };

/* The character of an encoded '/', '+' or ';' at s[i], in normal form; 0 for all else. */
static char encoded_char(struct lt_str s, size_t i)
{
    static const char pairs[] = "2F/2B+3B;";
    if (s.p[i] != '%' || s.len - i < 3) {
        return 0;
    }
    for (size_t at = 0; at < sizeof(pairs) - 1; at += 3) {
        if (memcmp(s.p + i + 1, pairs + at, 2) == 0) {
            return pairs[at + 2];
        }
    }
    return 0;
}

/* Whether the '%' at s[i] is encoded and two hex digits follow, so that it may be decoded again. */
static bool is_twice(struct lt_str s, size_t i)
{
    return s.len - i >= 5 && memcmp(s.p + i, "%25", 3) == 0 && lt_char_hex(s.p[i + 3]) >= 0 &&
           lt_char_hex(s.p[i + 4]) >= 0;
}

/* What of those things path has in it. */
static void look(struct lt_str path, bool *differs, bool *twice, bool *slash)
{
    *differs = lt_str_chr(path, ';', 0) != SIZE_MAX;
    *twice = *slash = false;
    for (size_t at = lt_str_chr(path, '%', 0); at != SIZE_MAX; at = lt_str_chr(path, '%', at + 1)) {
        char c = encoded_char(path, at);
        *differs |= c != 0;
        *slash |= c == '/';
        *twice |= is_twice(path, at);
    }
}

/* path with each "%25XX" as "%XX". out has room for path. */
static struct lt_str decode_twice(struct lt_str path, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < path.len; i++) {
        out[n++] = path.p[i];
        i += is_twice(path, i) ? 2 : 0;
    }
    return lt_str(out, n);
}

/* One reading of path, not in normal form. out has room for path. */
static struct lt_str read_as(struct lt_str path, unsigned variant, char *out)
{
    size_t n = 0;
    bool cut = false;
    for (size_t i = 0; i < path.len; i++) {
        char c = (variant & DECODED) != 0 ? encoded_char(path, i) : 0;
        i += c != 0 ? 2 : 0;
        c = c != 0 ? c : path.p[i];
        cut = c != '/' && (cut || (c == ';' && (variant & CUT) != 0));
        if (!cut) {
            out[n++] = c;
        }
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
};

/* Where `path`, a reading without normal form or with one, would have gone. */
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
        return route == r->route ? LT_READINGS_AGREE : LT_READINGS_DIFFER;
    case LT_ROUTE_NO_METHOD:
    case LT_ROUTE_FAILED:
        return LT_READINGS_DIFFER;
    case LT_ROUTE_NO_HOST:
    case LT_ROUTE_NO_PATH: /* nothing is guarded there: `/users/{id}` takes an id with a slash */
    case LT_ROUTE_REDIRECT_HTTPS:
        return LT_READINGS_AGREE;
    }
    return LT_READINGS_AGREE;
}

static enum lt_readings judge_variants(const struct readings *r, struct lt_str path, char *out)
{
    enum lt_readings result = LT_READINGS_AGREE;
    for (unsigned variant = 0; variant < VARIANTS && result == LT_READINGS_AGREE; variant++) {
        result = judge(r, read_as(path, variant, out));
    }
    return result;
}

enum lt_readings lt_readings_check(const struct lt_router *router, unsigned listener,
                                   struct lt_request *req, lt_expr_get_fn get, void *source,
                                   struct lt_arena *arena, const struct lt_route *route,
                                   struct lt_route_params *params)
{
    bool differs, twice, slash;
    struct lt_str path = req->path;
    look(path, &differs, &twice, &slash);
    if (LT_LIKELY(!differs && !twice)) {
        return LT_READINGS_AGREE;
    }
    if (slash && !route->options[listener].encoded_slashes) {
        return LT_READINGS_ENCODED_SLASH;
    }
    const struct readings r = {router, listener, req, get, source, arena, route, params};
    const struct lt_route_params found = *params;
    char *out = lt_arena_chars(arena, 2 * path.len);
    if (out == NULL) {
        return LT_READINGS_NO_MEMORY;
    }
    enum lt_readings result = judge_variants(&r, path, out);
    if (result == LT_READINGS_AGREE && twice) {
        struct lt_str normal, again = decode_twice(path, out + path.len);
        switch (lt_path_normalise(arena, again, LT_PATH_SLASHES | LT_PATH_CLAMP, &normal)) {
        case LT_OK:
            result = judge_variants(&r, normal, out);
            break;
        case LT_ERR_NOMEM:
            result = LT_READINGS_NO_MEMORY;
            break;
        default:
            break; /* "100%25" is a percent sign and no more */
        }
    }
    req->path = path;
    *params = found;
    return result;
}

bool lt_readings_may_match(struct lt_str path)
{
    bool differs, twice, slash;
    look(path, &differs, &twice, &slash);
    return !differs && !twice;
}
