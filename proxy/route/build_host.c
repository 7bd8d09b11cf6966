/* SPDX-License-Identifier: Apache-2.0 */
/* Host names of sites into the router's table. Loader thread. */
#include "http/uri.h"
#include "route/build_impl.h"

/* The labels of a name. */
static unsigned count_labels(struct lt_str name)
{
    unsigned n = 1;
    for (size_t i = 0; i < name.len; i++) {
        n += name.p[i] == '.';
    }
    return n;
}

static const char *host_problem(struct lt_str host, const char **hint)
{
    struct lt_str parsed;
    unsigned port = 0;
    for (size_t i = 0; i < host.len; i++) {
        if ((unsigned char)host.p[i] >= 0x80) {
            *hint = "write its ASCII form, which begins with xn--";
            return "is not a host name in ASCII";
        }
    }
    if (lt_str_chr(host, '*', 0) != SIZE_MAX) {
        *hint = "write \"*.example.com\" for all names below example.com, or \"*\" for all";
        return "has a `*` that is not its whole first label";
    }
    *hint = "write a name or address without scheme and path; an IPv6 address in brackets";
    if (!lt_authority_parse(host, &parsed, &port)) {
        return "is not a host";
    }
    *hint = "a site answers on the ports of its listeners";
    return port != 0 ? "has a port" : host.len > 253 ? "is too long" : NULL;
}

/* Adds site under a name; two sites may share one on different listeners. */
static void bind_host(struct lt_route_build *b, struct lt_route_binding **first, struct lt_str host,
                      struct lt_route_binding binding)
{
    struct lt_route_binding **at = first;
    for (; *at != NULL; at = &(*at)->next) {
        if (((*at)->site->listeners & binding.site->listeners) != 0) {
            lt_route_say_both(b, binding.pos, (*at)->pos,
                              (*at)->site == binding.site
                                  ? "stands twice among the hosts of this site"
                                  : "is a host of two sites on the same listener",
                              host, NULL);
            return;
        }
    }
    *at = lt_arena_new(b->arena, struct lt_route_binding);
    if (*at == NULL) {
        lt_route_nomem(b);
        return;
    }
    **at = binding;
}

static void bind_in_table(struct lt_route_build *b, uint32_t space, struct lt_str key,
                          struct lt_str host, struct lt_route_binding binding)
{
    struct lt_route_binding *first = lt_route_table_get(&b->router->table, space, key);
    bool fresh = first == NULL;
    bind_host(b, &first, host, binding);
    if (fresh && first != NULL) {
        lt_route_table_add(&b->router->table, space, key, first);
    }
}

void lt_route_add_host(struct lt_route_build *b, const struct lt_route_site *site, size_t i)
{
    const char *hint = NULL;
    struct lt_str written = ((const struct lt_str *)site->conf->hosts.items)[i], host;
    struct lt_route_binding binding = {.site = site,
                                       .pos = lt_site_conf_item_pos(site->conf, "hosts", i)};
    char *p = lt_arena_chars(b->arena, written.len);
    if (p == NULL) {
        lt_route_nomem(b);
        return;
    }
    for (size_t j = 0; j < written.len; j++) {
        p[j] = lt_char_lower(written.p[j]);
    }
    host = lt_str(p, written.len);
    if (host.len == 0) {
        return; /* said when it was read */
    }
    if (lt_str_eq_c(host, "*")) {
        bind_host(b, &b->router->any_host, host, binding);
        return;
    }
    bool wildcard = lt_str_starts(host, LT_STR("*."));
    struct lt_str key = wildcard ? lt_str_sub(host, 2, host.len) : host;
    if (key.len > 1 && key.p[key.len - 1] == '.') {
        key.len--;
    }
    const char *wrong = host_problem(key, &hint);
    if (wrong != NULL) {
        lt_diag_error(b->diags, binding.pos, hint, "hosts: \"%.*s\" %s",
                      LT_STR_ARG(lt_str_sub(written, 0, 300)), wrong);
        return;
    }
    if (wildcard) {
        b->router->wildcard_labels = lt_max(b->router->wildcard_labels, count_labels(key));
    }
    bind_in_table(b, wildcard ? LT_ROUTE_SPACE_WILDCARD : LT_ROUTE_SPACE_HOST, key, host, binding);
}

void lt_route_add_default(struct lt_route_build *b, const struct lt_route_site *site)
{
    struct lt_route_binding binding = {.site = site, .pos = lt_schema_pos(site->conf, "default")};
    bind_host(b, &b->router->default_host, LT_STR("default"), binding);
}
