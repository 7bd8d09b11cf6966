/* SPDX-License-Identifier: Apache-2.0 */
/* How a request is addressed to its server, and what becomes of the addresses in the response: the
 * Host by the upstream's policy, the prefix that was taken off the path, the upstream of a split.
 *
 *   lt_address_split      which upstream of a split: the one in the client's cookie, else by lot
 *   lt_address_request    Host, X-Forwarded-Prefix
 *   lt_address_proxy_header  who the client is, for servers that are told by the PROXY protocol
 *   lt_address_response   Location, Set-Cookie ... back; the cookie of a split
 *
 * The worker's thread. */
#include <stdio.h>

#include "exchange/internal.h"
#include "http/mount.h"
#include "http/uri.h"
#include "net/tls_info.h"

/* A cookie holds the choices of several splits of one host, in the order in which they were made.
 */
#define CHOICES_MAX 8u

/* ---- the upstream of a split ---- */

static const struct lt_route_target *target_of(const struct lt_route *route, struct lt_str token)
{
    for (unsigned i = 0; i < route->n_targets; i++) {
        const struct lt_route_target *target = &route->targets[i];
        if (target->drawn && lt_str_eq(token, lt_str(target->token, LT_ROUTE_TOKEN_LEN))) {
            return target;
        }
    }
    return NULL;
}

/* The value of the client's cookie; what is longer than any that we set is none. */
static struct lt_str cookie_of(const struct lt_exchange *x)
{
    const struct lt_headers *headers = &x->req.headers;
    struct lt_str value;
    for (unsigned i = 0; i < headers->n; i++) {
        if (headers->v[i].id == LT_HEADER_COOKIE &&
            lt_cookie_get(headers->v[i].value, x->route->sticky, &value) &&
            value.len < CHOICES_MAX * (LT_ROUTE_TOKEN_LEN + 1)) {
            return value;
        }
    }
    return LT_STR_NONE;
}

struct lt_upstream *lt_address_split(struct lt_exchange *x)
{
    const struct lt_route *route = x->route;
    uint32_t draw = lt_rand_below(&x->env->loop->rand, 10000);
    if (route->sticky.len == 0) {
        return lt_route_pick(route, draw)->upstream;
    }
    struct lt_str choices = cookie_of(x), token;
    x->split_choices = choices;
    while (lt_str_next(&choices, '.', &token)) {
        const struct lt_route_target *target = target_of(route, token);
        if (target != NULL) {
            return target->upstream;
        }
    }
    x->split_drawn = lt_route_pick(route, draw);
    return x->split_drawn->upstream;
}

static bool is_token(struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (lt_char_hex(s.p[i]) < 0) {
            return false;
        }
    }
    return s.len == LT_ROUTE_TOKEN_LEN;
}

/* The cookie that keeps what was drawn, behind the choices of other splits; the oldest one goes
 * when there are too many. */
static enum lt_err add_split_cookie(struct lt_exchange *x)
{
    char kept[CHOICES_MAX * (LT_ROUTE_TOKEN_LEN + 1)], age[40] = "";
    struct lt_str choices = x->split_choices, token, value;
    unsigned n = 0, skip = 0;
    struct lt_buf buf;
    for (struct lt_str rest = choices; lt_str_next(&rest, '.', &token);) {
        n += is_token(token);
    }
    skip = n < CHOICES_MAX ? 0 : n - CHOICES_MAX + 1;
    lt_buf_init_fixed(&buf, kept, sizeof(kept));
    while (lt_str_next(&choices, '.', &token)) {
        if (is_token(token) && (skip == 0 || skip-- == 0)) {
            lt_buf_str(&buf, token);
            lt_buf_char(&buf, '.');
        }
    }
    if (x->route->sticky_age_s > 0) {
        snprintf(age, sizeof(age), "; Max-Age=%llu", (unsigned long long)x->route->sticky_age_s);
    }
    bool https = lt_str_eq_c(x->client.scheme, "https");
    if (!lt_arena_printf(&x->arena, &value, "%.*s=%.*s%.*s; Path=/; HttpOnly; SameSite=Lax%s%s",
                         LT_STR_ARG(x->route->sticky), LT_STR_ARG(lt_buf_view(&buf)),
                         (int)LT_ROUTE_TOKEN_LEN, x->split_drawn->token, https ? "; Secure" : "",
                         age)) {
        return LT_ERR_NOMEM;
    }
    return lt_headers_add_id(&x->res.headers, LT_HEADER_SET_COOKIE, value);
}

/* ---- the request ---- */

/* Tells the server what was taken off its paths; behind what a trusted peer took off before. */
static enum lt_err add_prefix(struct lt_exchange *x)
{
    struct lt_str strip = x->route->strip, prefix = strip;
    struct lt_str outer = lt_headers_value(&x->req.headers, LT_HEADER_X_FORWARDED_PREFIX);
    if (strip.len == 0) {
        return LT_OK;
    }
    while (outer.len > 0 && outer.p[outer.len - 1] == '/') {
        outer.len--;
    }
    if (outer.len > 0 && outer.p[0] == '/' &&
        !lt_arena_printf(&x->arena, &prefix, "%.*s%.*s", LT_STR_ARG(outer), LT_STR_ARG(strip))) {
        return LT_ERR_NOMEM;
    }
    x->prefix_told = prefix;
    return lt_headers_set_id(&x->req.headers, LT_HEADER_X_FORWARDED_PREFIX, prefix);
}

/* Lists what the client's certificate says, as far as the site's servers are told of it. */
static enum lt_err tell_certificate(struct lt_exchange *x)
{
    const struct lt_tls_info *tls = x->tls;
    if (tls == NULL || !tls->verified || tls->tell == 0) {
        return LT_OK;
    }
    const struct {
        enum lt_tls_tell bit;
        enum lt_header_id id;
        struct lt_str value;
    } all[LT_HOP_TOLD_MAX] = {
        {LT_TLS_TELL_SUBJECT, LT_HEADER_X_CLIENT_CERT_SUBJECT, tls->subject},
        {LT_TLS_TELL_SAN, LT_HEADER_X_CLIENT_CERT_SAN, tls->san},
        {LT_TLS_TELL_FINGERPRINT, LT_HEADER_X_CLIENT_CERT_FINGERPRINT, tls->fingerprint},
        {LT_TLS_TELL_CERTIFICATE, LT_HEADER_CLIENT_CERT, tls->certificate},
    };
    struct lt_header *told = lt_arena_array(&x->arena, struct lt_header, LT_HOP_TOLD_MAX);
    if (told == NULL) {
        return LT_ERR_NOMEM;
    }
    x->client.told = told;
    for (size_t i = 0; i < lt_countof(all); i++) {
        if ((tls->tell & all[i].bit) != 0 && all[i].value.len > 0) {
            told[x->client.n_told++] = (struct lt_header){
                .name = lt_header_name(all[i].id), .value = all[i].value, .id = all[i].id};
        }
    }
    return LT_OK;
}

enum lt_err lt_address_request(struct lt_exchange *x)
{
    struct lt_str host = x->server->host;
    x->host_sent = host;
    if (host.len == 0) {
        /* HTTP/1.0 may come without a Host; HTTP/1.1 may not go without one. */
        host = x->req.authority.len > 0 ? x->req.authority : x->upstream->name;
    }
    if (x->hop_done) {
        return lt_headers_set_id(&x->req.headers, LT_HEADER_HOST, host); /* another server */
    }
    enum lt_err err = tell_certificate(x);
    if (err == LT_OK) {
        err = lt_hop_request(&x->req, host, &x->client, &x->ids);
    }
    if (err == LT_OK) {
        err = add_prefix(x);
    }
    x->hop_done = err == LT_OK;
    return err;
}

bool lt_address_proxy_header(struct lt_exchange *x, struct lt_str *out)
{
    struct lt_addr source, target = {.len = 0};
    char *p = lt_arena_chars(&x->arena, LT_PROXY_WRITE_MAX), peer[LT_ADDR_TEXT_MAX];
    if (p == NULL) {
        return false;
    }
    if (lt_addr_parse_ip(x->client.ip, &source) != LT_OK) {
        source.len = 0; /* came through a Unix socket */
    } else if (lt_str_eq(x->client.ip, lt_str(peer, lt_addr_print_ip(&x->client.peer, peer)))) {
        /* Else it is one of X-Forwarded-For, which tells no port. */
        lt_addr_set_port(&source, lt_addr_port(&x->client.peer));
    }
    if (x->front != NULL) {
        x->front->ops->local(x->front, &target);
    }
    *out = lt_str(p, lt_proxy_write(x->upstream->proxy_protocol, &source, &target, p));
    return true;
}

/* ---- the response ---- */

enum lt_err lt_address_response(struct lt_exchange *x)
{
    enum lt_err err = LT_OK;
    const struct lt_mount mount = {
        .prefix = x->route->map_back ? x->route->strip : LT_STR_NONE,
        .told = x->prefix_told,
        .sent = x->host_sent,
        .scheme = x->client.scheme,
        .asked = x->req.authority,
        .known = lt_headers_value(&x->req.headers, LT_HEADER_X_FORWARDED_HOST),
    };
    if (mount.prefix.len > 0 || mount.sent.len > 0) {
        err = lt_mount_response(&x->res.headers, &mount);
    }
    if (err == LT_OK && x->split_drawn != NULL) {
        err = add_split_cookie(x);
    }
    return err == LT_OK ? lt_choose_answer(x) : err;
}
