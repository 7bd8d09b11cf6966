/* SPDX-License-Identifier: Apache-2.0 */
/* Following redirects (RFC 9110 section 15.4): only as often as whoever asks allows, and never to
 * where somebody on the way could read what was meant to be secret. */
#include "upstream/origins.h"

static bool is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool has_scheme(struct lt_str s)
{
    size_t colon = lt_str_chr(s, ':', 0), slash = lt_str_chr(s, '/', 0);
    return colon != SIZE_MAX && colon < slash && colon < lt_str_chr(s, '?', 0);
}

/* What a relative reference begins with: of the target all up to the last slash of its path, or the
 * whole path if only the query is another one. */
static struct lt_str base_of(struct lt_str target, struct lt_str reference)
{
    struct lt_str path = lt_str_sub(target, 0, lt_min(lt_str_chr(target, '?', 0), target.len));
    if (reference.len == 0 || reference.p[0] == '?') {
        return path;
    }
    return lt_str_sub(path, 0, lt_str_rchr(path, '/') + 1);
}

/* The place that reference means where url is (RFC 3986 section 4.2), as text in arena. */
static bool resolve(struct lt_arena *arena, const struct lt_url *url, struct lt_str reference,
                    struct lt_str *out)
{
    const char *scheme = url->tls ? "https:" : "http:";
    if (has_scheme(reference)) {
        return lt_arena_dup(arena, reference, out);
    }
    if (lt_str_starts(reference, LT_STR("//"))) {
        return lt_arena_printf(arena, out, "%s%.*s", scheme, LT_STR_ARG(reference));
    }
    struct lt_str base =
        reference.len > 0 && reference.p[0] == '/' ? LT_STR_NONE : base_of(url->target, reference);
    return lt_arena_printf(arena, out, "%s//%.*s%.*s%.*s", scheme, LT_STR_ARG(url->authority),
                           LT_STR_ARG(base), LT_STR_ARG(reference));
}

/* The request to where it was sent: another one than POST and the like, unless the status says that
 * it is to be repeated; credentials stay where they belong. */
static bool rewrite(struct lt_fetch *f, const struct lt_url *to, unsigned status)
{
    struct lt_headers *headers = &f->req.headers;
    bool repeat = status == 307 || status == 308 ||
                  (status != 303 && f->req.method != LT_METHOD_POST) ||
                  f->req.method == LT_METHOD_HEAD;
    if (!repeat) {
        f->req.method = LT_METHOD_GET;
        f->req.body = LT_BODY_NONE;
        f->body = LT_STR_NONE;
        lt_headers_remove(headers, LT_HEADER_CONTENT_LENGTH);
        lt_headers_remove(headers, LT_HEADER_CONTENT_TYPE);
    }
    if (to->tls != f->url.tls || !lt_str_eq(to->authority, f->url.authority)) {
        lt_headers_remove(headers, LT_HEADER_AUTHORIZATION);
        lt_headers_remove(headers, LT_HEADER_COOKIE);
    }
    return lt_headers_set_id(headers, LT_HEADER_HOST, to->authority) == LT_OK;
}

bool lt_fetch_redirect(struct lt_fetch *f)
{
    const struct lt_header *location = lt_headers_get(&f->res->headers, LT_HEADER_LOCATION);
    struct lt_url to;
    struct lt_str text;
    const char *why;
    if (f->redirects == 0 || !is_redirect(f->res->status) || location == NULL ||
        !resolve(&f->arena, &f->url, location->value, &text) ||
        lt_url_parse(&f->arena, text, &to, &why) != LT_OK) {
        return false;
    }
    bool elsewhere = to.tls != f->url.tls || !lt_str_eq(to.authority, f->url.authority);
    bool weaker = f->url.tls && !to.tls;
    bool trusted = !to.tls || f->tls != NULL || lt_origins_mocked(f->origins);
    if (weaker || !trusted || (elsewhere && f->socket.len > 0) ||
        !rewrite(f, &to, f->res->status)) {
        return false;
    }
    f->redirects--;
    f->url = to;
    return true;
}
