/* SPDX-License-Identifier: Apache-2.0 */
#include "http/url.h"

#include "base/endpoint.h"
#include "http/uri.h"

/* "http://" or "https://" at the beginning; *rest is what follows. */
static bool take_scheme(struct lt_str url, bool *tls, struct lt_str *rest)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (unsigned i = 0; i < lt_countof(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (url.len >= n && lt_str_eq_nocase(lt_str_sub(url, 0, n), lt_str_c(schemes[i]))) {
            *tls = i == 1;
            *rest = lt_str_sub(url, n, url.len);
            return true;
        }
    }
    return false;
}

/* Where the authority ends: at the first of "/?#". */
static size_t authority_end(struct lt_str s)
{
    size_t n = 0;
    while (n < s.len && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#') {
        n++;
    }
    return n;
}

/* What may stand in a request line. */
static bool is_printable(struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= 0x20 || c >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* Reads "host[:port]"; *why on error. */
static bool read_host(struct lt_arena *arena, struct lt_str text, struct lt_url *out,
                      struct lt_str *host, const char **why)
{
    struct lt_addr addr;
    struct lt_str bare;
    *why = "the host of the URL is malformed";
    if (!lt_authority_parse(text, host, &out->port) || host->len == 0) {
        return false;
    }
    bool bracket = host->p[0] == '[';
    bare = bracket ? lt_str_sub(*host, 1, host->len - 1) : *host;
    out->literal = lt_addr_parse_ip(bare, &addr) == LT_OK;
    if (bracket ? !out->literal : !out->literal && !lt_dns_name_ok(bare)) {
        return false;
    }
    char *lower = lt_arena_chars(arena, bare.len + 1);
    *why = NULL;
    if (lower == NULL) {
        return false;
    }
    for (size_t i = 0; i < bare.len; i++) {
        lower[i] = lt_char_lower(bare.p[i]);
    }
    lower[bare.len] = '\0';
    out->host = lt_str(lower, bare.len);
    return true;
}

enum lt_err lt_url_parse(struct lt_arena *arena, struct lt_str url, struct lt_url *out,
                         const char **why)
{
    struct lt_str rest, host;
    *why = "write an absolute URL, as in \"https://id.example.com/check\"";
    if (url.len > LT_URL_MAX) {
        *why = "the URL is longer than 8192 bytes";
        return LT_ERR_INVALID;
    }
    if (!take_scheme(url, &out->tls, &rest)) {
        return LT_ERR_INVALID;
    }
    if (!is_printable(rest)) {
        *why = "spaces, controls and bytes above 127 are written as %XX in a URL";
        return LT_ERR_INVALID;
    }
    rest = lt_str_sub(rest, 0, lt_min(lt_str_chr(rest, '#', 0), rest.len));
    struct lt_str authority = lt_str_sub(rest, 0, authority_end(rest));
    struct lt_str target = lt_str_sub(rest, authority.len, rest.len);
    if (lt_str_chr(authority, '@', 0) != SIZE_MAX) {
        *why = "a URL with a user name or password is not taken: write the header authorization";
        return LT_ERR_INVALID;
    }
    if (!read_host(arena, authority, out, &host, why)) {
        return *why != NULL ? LT_ERR_INVALID : LT_ERR_NOMEM;
    }
    unsigned usual = out->tls ? 443 : 80;
    out->port = out->port != 0 ? out->port : usual;
    const char *open = lt_str_chr(out->host, ':', 0) != SIZE_MAX ? "[" : "";
    const char *close = open[0] != '\0' ? "]" : "";
    bool ok = out->port == usual ? lt_arena_printf(arena, &out->authority, "%s%.*s%s", open,
                                                   LT_STR_ARG(out->host), close)
                                 : lt_arena_printf(arena, &out->authority, "%s%.*s%s:%u", open,
                                                   LT_STR_ARG(out->host), close, out->port);
    ok =
        ok && lt_arena_printf(arena, &out->target, "%s%.*s",
                              target.len == 0 || target.p[0] != '/' ? "/" : "", LT_STR_ARG(target));
    return ok ? LT_OK : LT_ERR_NOMEM;
}
