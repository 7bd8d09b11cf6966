/* SPDX-License-Identifier: Apache-2.0 */
/* Maps addresses in response heads back. A value that needs no change is left where it is. */
#include "http/mount.h"

#include "base/buf.h"
#include "http/uri.h"

/* Whether path is prefix or lies below it. */
static bool is_below(struct lt_str path, struct lt_str prefix)
{
    return prefix.len > 0 && lt_str_starts(path, prefix) &&
           (path.len == prefix.len || strchr("/?#", path.p[prefix.len]) != NULL);
}

/* What has to stand before path. */
static struct lt_str prefix_for(const struct lt_mount *m, struct lt_str path)
{
    return is_below(path, m->prefix) || is_below(path, m->told) ? LT_STR("") : m->prefix;
}

static bool same_host(struct lt_str a, struct lt_str b, bool https)
{
    struct lt_str host_a, host_b;
    unsigned port_a, port_b, usual = https ? 443 : 80;
    if (a.len == 0 || b.len == 0 || !lt_authority_parse(a, &host_a, &port_a) ||
        !lt_authority_parse(b, &host_b, &port_b) || !lt_str_eq_nocase(host_a, host_b)) {
        return false;
    }
    return (port_a == usual ? 0 : port_a) == (port_b == usual ? 0 : port_b);
}

/* The origin that a URL begins with: "http://host", "//host". */
struct origin {
    struct lt_str all, scheme, authority; /* scheme: empty for "//host" */
};

/* Cuts the origin off url. False when it has none, or one that isn't of HTTP. */
static bool cut_origin(struct lt_str *url, struct origin *out)
{
    size_t slashes = lt_str_find(*url, LT_STR("//"));
    if (slashes == SIZE_MAX) {
        return false;
    }
    out->scheme = lt_str_sub(*url, 0, slashes > 0 ? slashes - 1 : 0);
    if (slashes > 0 &&
        (url->p[slashes - 1] != ':' || (!lt_str_eq_nocase(out->scheme, LT_STR("http")) &&
                                        !lt_str_eq_nocase(out->scheme, LT_STR("https"))))) {
        return false;
    }
    size_t end = slashes + 2;
    while (end < url->len && strchr("/?#", url->p[end]) == NULL) {
        end++;
    }
    out->authority = lt_str_sub(*url, slashes + 2, end);
    out->all = lt_str_sub(*url, 0, end);
    *url = lt_str_sub(*url, end, url->len);
    return true;
}

/* url as the client has to see it; *out == url when nothing changes. */
static bool map_url(struct lt_arena *arena, const struct lt_mount *m, struct lt_str url,
                    struct lt_str *out)
{
    struct origin o = {.all = LT_STR("")};
    struct lt_str path = url, public = m->known.len > 0 ? m->known : m->asked;
    bool ours = false, moved = false;
    *out = url;
    if (cut_origin(&path, &o)) {
        bool https = lt_str_eq_nocase(o.scheme.len > 0 ? o.scheme : m->scheme, LT_STR("https"));
        ours = same_host(o.authority, m->asked, https) || same_host(o.authority, m->known, https);
        moved = !ours && public.len > 0 && same_host(o.authority, m->sent, https);
        if (!ours && !moved) {
            return true;
        }
    } else if (path.len == 0 || path.p[0] != '/') {
        return true;
    }
    struct lt_str prefix = prefix_for(m, path);
    if (prefix.len == 0 && !moved) {
        return true;
    }
    if (!moved) {
        return lt_arena_printf(arena, out, "%.*s%.*s%.*s", LT_STR_ARG(o.all), LT_STR_ARG(prefix),
                               LT_STR_ARG(path));
    }
    return lt_arena_printf(
        arena, out, "%.*s%s//%.*s%.*s%.*s", LT_STR_ARG(o.scheme.len > 0 ? m->scheme : LT_STR("")),
        o.scheme.len > 0 ? ":" : "", LT_STR_ARG(public), LT_STR_ARG(prefix), LT_STR_ARG(path));
}

/* "5; url=/next": browsers know this form alone. */
static bool map_refresh(struct lt_arena *arena, const struct lt_mount *m, struct lt_str value,
                        struct lt_str *out)
{
    size_t at = 0;
    *out = value;
    while (at + 4 <= value.len &&
           !lt_str_eq_nocase(lt_str_sub(value, at, at + 4), LT_STR("url="))) {
        at++;
    }
    if (at + 4 >= value.len) {
        return true;
    }
    at += 4;
    char quote = value.p[at] == '"' || value.p[at] == '\'' ? value.p[at++] : '\0';
    size_t end = quote != '\0' ? lt_min(lt_str_chr(value, quote, at), value.len) : value.len;
    struct lt_str url = lt_str_sub(value, at, end), mapped;
    if (!map_url(arena, m, url, &mapped)) {
        return false;
    }
    return mapped.p == url.p ||
           lt_arena_printf(arena, out, "%.*s%.*s%.*s", LT_STR_ARG(lt_str_sub(value, 0, at)),
                           LT_STR_ARG(mapped), LT_STR_ARG(lt_str_sub(value, end, value.len)));
}

/* Whether a cookie of this domain goes to the host of authority (RFC 6265 section 5.1.3). */
static bool domain_suits(struct lt_str domain, struct lt_str authority)
{
    struct lt_str host;
    unsigned port;
    if (!lt_authority_parse(authority, &host, &port) || host.len < domain.len) {
        return false;
    }
    size_t from = host.len - domain.len;
    return lt_str_eq_nocase(lt_str_sub(host, from, host.len), domain) &&
           (from == 0 || host.p[from - 1] == '.');
}

/* A Domain that suits only the Host that the server got would be refused by the client: without one
 * the cookie is for the host that the client asked. */
static bool drops_domain(const struct lt_mount *m, struct lt_str domain)
{
    if (domain.len > 0 && domain.p[0] == '.') {
        domain = lt_str_sub(domain, 1, domain.len);
    }
    return domain.len > 0 && m->sent.len > 0 && domain_suits(domain, m->sent) &&
           !domain_suits(domain, m->asked) && !domain_suits(domain, m->known);
}

/* Adds one attribute, with its `;`, as the client has to see it. */
static void put_attribute(struct lt_buf *out, const struct lt_mount *m, struct lt_str attribute,
                          bool keep_path)
{
    size_t equals = lt_str_chr(attribute, '=', 0);
    struct lt_str name = lt_str_trim(lt_str_sub(attribute, 0, lt_min(equals, attribute.len)));
    struct lt_str value = equals != SIZE_MAX
                              ? lt_str_trim(lt_str_sub(attribute, equals + 1, attribute.len))
                              : LT_STR("");
    bool path = lt_str_eq_nocase(name, LT_STR("path")) && value.len > 0 && value.p[0] == '/';
    if (lt_str_eq_nocase(name, LT_STR("domain")) && drops_domain(m, value)) {
        return;
    }
    if (!path || keep_path || prefix_for(m, value).len == 0) {
        lt_buf_char(out, ';');
        lt_buf_str(out, attribute);
        return;
    }
    lt_buf_str(out, LT_STR("; Path="));
    lt_buf_str(out, m->prefix);
    lt_buf_str(out, value.len > 1 ? value : LT_STR(""));
}

static bool map_cookie(struct lt_arena *arena, const struct lt_mount *m, struct lt_str value,
                       struct lt_str *out)
{
    struct lt_str rest = value, attribute;
    struct lt_buf buf;
    size_t end = lt_min(lt_str_chr(value, ';', 0), value.len), attributes = 1;
    for (size_t at = end; at < value.len; at++) {
        attributes += value.p[at] == ';';
    }
    /* Each attribute may be a path. */
    size_t max = value.len + attributes * (m->prefix.len + 8);
    char *p = lt_arena_chars(arena, max);
    if (p == NULL) {
        return false;
    }
    lt_buf_init_fixed(&buf, p, max);
    lt_buf_str(&buf, lt_str_sub(value, 0, end));
    /* Such cookies are for the whole host, or refused (RFC 6265bis section 4.1.3.2). */
    bool keep_path = value.len > 7 && lt_str_eq_nocase(lt_str_sub(value, 0, 7), LT_STR("__Host-"));
    while (end < rest.len) {
        rest = lt_str_sub(rest, end + 1, rest.len);
        end = lt_min(lt_str_chr(rest, ';', 0), rest.len);
        attribute = lt_str_sub(rest, 0, end);
        put_attribute(&buf, m, attribute, keep_path);
    }
    *out = lt_buf_view(&buf);
    return !buf.truncated;
}

enum lt_err lt_mount_response(struct lt_headers *headers, const struct lt_mount *m)
{
    for (unsigned i = 0; i < headers->n; i++) {
        struct lt_header *h = &headers->v[i];
        bool ok = true;
        if (h->id == LT_HEADER_LOCATION || h->id == LT_HEADER_CONTENT_LOCATION) {
            ok = map_url(headers->arena, m, h->value, &h->value);
        } else if (h->id == LT_HEADER_REFRESH) {
            ok = map_refresh(headers->arena, m, h->value, &h->value);
        } else if (h->id == LT_HEADER_SET_COOKIE) {
            ok = map_cookie(headers->arena, m, h->value, &h->value);
        }
        if (!ok) {
            return LT_ERR_NOMEM;
        }
    }
    return LT_OK;
}
