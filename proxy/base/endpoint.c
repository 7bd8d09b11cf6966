/* SPDX-License-Identifier: Apache-2.0 */
/* Where a server is. Any thread. */
#include "base/endpoint.h"

#include <stdio.h>

#define DNS "dns:"
#define SRV "dns+srv:"

static struct lt_str without_dot(struct lt_str name)
{
    return lt_str_ends(name, LT_STR(".")) ? lt_str_sub(name, 0, name.len - 1) : name;
}

bool lt_dns_name_ok(struct lt_str name)
{
    struct lt_str rest = without_dot(name), label;
    if (rest.len == 0 || rest.len > LT_DNS_NAME_MAX) {
        return false;
    }
    for (size_t i = 0, from = 0; i <= rest.len; i++) {
        if (i < rest.len && rest.p[i] != '.') {
            char c = lt_char_lower(rest.p[i]);
            if (!(c >= 'a' && c <= 'z') && !lt_char_is_digit(c) && c != '-' && c != '_') {
                return false;
            }
            continue;
        }
        label = lt_str_sub(rest, from, i);
        if (label.len == 0 || label.len > 63) {
            return false;
        }
        from = i + 1;
    }
    return true;
}

static enum lt_err fail(const char **why, const char *text)
{
    *why = text;
    return LT_ERR_INVALID;
}

static enum lt_err parse_dns(struct lt_str text, struct lt_endpoint *out, const char **why)
{
    struct lt_addr ip;
    size_t colon = lt_str_rchr(text, ':');
    uint64_t port;
    if (lt_str_starts(text, LT_STR("["))) {
        return fail(why, "this is an address: leave `dns:` out");
    }
    if (colon == SIZE_MAX) {
        return fail(why, "a port must follow the name, as in dns:app.internal:8000");
    }
    if (!lt_str_to_u64(lt_str_sub(text, colon + 1, text.len), &port) || port < 1 || port > 65535) {
        return fail(why, "the port must be a number from 1 to 65535, as in dns:app.internal:8000");
    }
    out->kind = LT_ENDPOINT_DNS;
    out->name = lt_str_sub(text, 0, colon);
    out->port = (unsigned)port;
    if (lt_addr_parse_ip(out->name, &ip) == LT_OK) {
        return fail(why, "this is an address: leave `dns:` out");
    }
    return lt_dns_name_ok(out->name)
               ? LT_OK
               : fail(why, "write a domain name and a port, as in dns:app.internal:8000");
}

static enum lt_err parse_srv(struct lt_str text, struct lt_endpoint *out, const char **why)
{
    struct lt_str rest = text, service, protocol;
    if (lt_str_chr(text, ':', 0) != SIZE_MAX) {
        return fail(why, "SRV records carry the ports: leave the port out");
    }
    bool labels = lt_str_next(&rest, '.', &service) && lt_str_next(&rest, '.', &protocol);
    if (!labels || service.len < 2 || service.p[0] != '_' || protocol.len < 2 ||
        protocol.p[0] != '_' || !lt_dns_name_ok(rest) || !lt_dns_name_ok(text)) {
        return fail(why, "write service, protocol and domain, as in "
                         "dns+srv:_http._tcp.app.internal");
    }
    out->kind = LT_ENDPOINT_SRV;
    out->name = text;
    return LT_OK;
}

/* Somebody who writes app.internal:8000 means the name. */
static bool is_name(struct lt_str text)
{
    size_t colon = lt_str_rchr(text, ':');
    struct lt_str host = colon != SIZE_MAX ? lt_str_sub(text, 0, colon) : text;
    for (size_t i = 0; i < host.len; i++) {
        if (!lt_char_is_digit(host.p[i]) && host.p[i] != '.') {
            return lt_dns_name_ok(host);
        }
    }
    return false;
}

enum lt_err lt_endpoint_parse(struct lt_str text, struct lt_endpoint *out, const char **why)
{
    *out = (struct lt_endpoint){.kind = LT_ENDPOINT_ADDR};
    if (lt_str_starts(text, LT_STR(DNS))) {
        return parse_dns(lt_str_sub(text, sizeof(DNS) - 1, text.len), out, why);
    }
    if (lt_str_starts(text, LT_STR(SRV))) {
        return parse_srv(lt_str_sub(text, sizeof(SRV) - 1, text.len), out, why);
    }
    enum lt_err err = lt_addr_parse(text, &out->addr, why);
    if (err != LT_OK && is_name(text)) {
        *why = "for a name that is looked up write `dns:` before it, as in dns:app.internal:8000";
    }
    if (err == LT_OK && (*why = lt_addr_no_target(&out->addr)) != NULL) {
        return LT_ERR_INVALID;
    }
    return err;
}

size_t lt_endpoint_print(const struct lt_endpoint *endpoint, char out[LT_ENDPOINT_TEXT_MAX])
{
    _Static_assert(LT_ENDPOINT_TEXT_MAX >= LT_ADDR_TEXT_MAX, "room for each kind");
    switch (endpoint->kind) {
    case LT_ENDPOINT_ADDR:
        break;
    case LT_ENDPOINT_DNS:
        return (size_t)snprintf(out, LT_ENDPOINT_TEXT_MAX, DNS "%.*s:%u",
                                LT_STR_ARG(endpoint->name), endpoint->port);
    case LT_ENDPOINT_SRV:
        return (size_t)snprintf(out, LT_ENDPOINT_TEXT_MAX, SRV "%.*s", LT_STR_ARG(endpoint->name));
    }
    return lt_addr_print(&endpoint->addr, out);
}

bool lt_endpoint_eq(const struct lt_endpoint *a, const struct lt_endpoint *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == LT_ENDPOINT_ADDR) {
        return a->addr.len > 0 && lt_addr_eq(&a->addr, &b->addr);
    }
    return a->port == b->port && lt_str_eq_nocase(without_dot(a->name), without_dot(b->name));
}

struct lt_str lt_endpoint_host(const struct lt_endpoint *endpoint)
{
    struct lt_str rest = without_dot(endpoint->name), label;
    if (endpoint->kind == LT_ENDPOINT_SRV) {
        /* service and protocol, which parse has seen */
        (void)(lt_str_next(&rest, '.', &label) && lt_str_next(&rest, '.', &label));
    }
    return rest;
}
