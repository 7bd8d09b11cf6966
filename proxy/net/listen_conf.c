/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of one listener. Loader thread. */
#include "net/listen_conf.h"

#include "config/load.h"

#define AT(member) offsetof(struct lt_listen_timeouts, member)

static const struct lt_row timeout_rows[] = {
    {.name = "proxy_header",
     .type = LT_T_DURATION,
     .offset = AT(proxy_ms),
     .def = "3s",
     .min = "10ms",
     .max = "10m",
     .doc = "Time for the whole PROXY header, where `proxy_protocol` lets one come.",
     .since = "0.1"},
    {.name = "tls",
     .type = LT_T_DURATION,
     .offset = AT(tls_ms),
     .def = "10s",
     .min = "100ms",
     .max = "10m",
     .doc = "Time for the whole TLS handshake.",
     .since = "0.1"},
    {.name = "head",
     .type = LT_T_DURATION,
     .offset = AT(head_ms),
     .def = "10s",
     .min = "100ms",
     .max = "10m",
     .doc = "Time for a whole request head, from its first byte on. Dripping bytes does not "
            "prolong it.",
     .since = "0.1"},
    {.name = "body",
     .type = LT_T_DURATION,
     .offset = AT(body_ms),
     .def = "30s",
     .min = "100ms",
     .max = "1h",
     .doc = "Longest pause while a request body arrives.",
     .since = "0.1"},
    {.name = "write",
     .type = LT_T_DURATION,
     .offset = AT(write_ms),
     .def = "60s",
     .min = "100ms",
     .max = "1h",
     .doc = "Longest pause while the client takes a response.",
     .since = "0.1"},
    {.name = "keepalive",
     .type = LT_T_DURATION,
     .offset = AT(keepalive_ms),
     .def = "75s",
     .min = "0",
     .max = "1h",
     .doc = "How long an idle connection waits for its next request. 0 closes each connection "
            "after one response.",
     .since = "0.1"},
    {.name = "first_byte",
     .type = LT_T_DURATION,
     .offset = AT(first_byte_ms),
     .min = "1ms",
     .max = "1d",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "How long a server may take until its response begins, for routes and sites that set "
            "nothing themselves. Without it the upstream's value counts.",
     .since = "0.1"},
    {.name = "tunnel",
     .type = LT_T_DURATION,
     .offset = AT(tunnel_ms),
     .def = "1h",
     .min = "100ms",
     .max = "7d",
     .doc = "How long a connection may be silent in both directions after an upgrade (WebSocket), "
            "and a gRPC call, for routes and sites that set nothing themselves.",
     .since = "0.1"},
    {.name = "total",
     .type = LT_T_DURATION,
     .offset = AT(total_ms),
     .min = "1ms",
     .max = "1d",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "How long a whole exchange may take, from the request's head to the end of the "
            "response, for routes and sites that set nothing themselves. Without it there is no "
            "such limit. It ends with an upgrade.",
     .since = "0.1"},
    {.name = "half_closed",
     .type = LT_T_DURATION,
     .offset = AT(half_closed_ms),
     .def = "2s",
     .min = "0",
     .max = "1d",
     .doc = "How long a client that has ended its side of the connection waits for more of its "
            "answer. It may have closed or just send no more, nobody can tell; after that time it "
            "counts as gone and its server is freed. 0: at once.",
     .since = "0.1"},
    {.name = "age",
     .type = LT_T_DURATION,
     .offset = AT(age_ms),
     .def = "1h",
     .min = "0",
     .max = "30d",
     .doc = "How old a connection may get: the first response after that closes it, an idle one is "
            "closed. Upgraded ones are not. 0: any age.",
     .since = "0.1"},
    {.name = "vanished",
     .type = LT_T_DURATION,
     .offset = AT(vanished_ms),
     .def = "60s",
     .min = "6s",
     .max = "1h",
     .doc = "How long a client's machine may leave data or keep-alive probes unacknowledged until "
            "the connection counts as lost (TCP_USER_TIMEOUT, SO_KEEPALIVE). Never less than "
            "`write`.",
     .since = "0.1"},
};

const struct lt_schema lt_listen_timeouts_schema = {
    .name = "listener timeouts",
    .doc = "How long a client may take for each part of its work.",
    .rows = timeout_rows,
    .n_rows = lt_countof(timeout_rows),
    .size = sizeof(struct lt_listen_timeouts),
};

static const struct lt_row body_rows[] = {
    {.name = "max",
     .type = LT_T_SIZE,
     .offset = offsetof(struct lt_listen_body, max),
     .def = "10M",
     .max = "1T",
     .doc = "Largest request body, for routes and sites that set nothing themselves. A larger one "
            "is answered with 413. gRPC calls may have any length.",
     .since = "0.1"},
    {.name = "min_rate",
     .type = LT_T_SIZE,
     .offset = offsetof(struct lt_listen_body, min_rate),
     .def = "1K",
     .max = "1G",
     .doc =
         "Bytes per second that a client has to send of a body on average, once `grace` is over. "
         "A slower one is answered with 408. Time in which we don't read doesn't count, nor do "
         "gRPC "
         "calls. 0: any rate.",
     .since = "0.1"},
    {.name = "grace",
     .type = LT_T_DURATION,
     .offset = offsetof(struct lt_listen_body, grace_ms),
     .def = "10s",
     .min = "100ms",
     .max = "1h",
     .doc = "Time at the start of a body in which `min_rate` isn't asked for.",
     .since = "0.1"},
};

const struct lt_schema lt_listen_body_schema = {
    .name = "body",
    .doc = "Request bodies.",
    .rows = body_rows,
    .n_rows = lt_countof(body_rows),
    .size = sizeof(struct lt_listen_body),
};

static const char *const redirects[] = {"none", "https", NULL};
static const char *const proxy_protocols[] = {"none", "accept", "require", NULL};

#undef AT
#define AT(member) offsetof(struct lt_listen_conf, member)

static const struct lt_row rows[] = {
    {.name = "name",
     .type = LT_T_STRING,
     .offset = AT(name),
     .max = "64",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "What a site's `listeners` and the logs call it. Without a name it is called by its "
            "address as written.",
     .since = "0.1"},
    {.name = "address",
     .type = LT_T_ADDRESS,
     .offset = AT(address),
     .flags = LT_ROW_REQUIRED,
     .doc = "Where to accept connections: `\":443\"` (every IPv4 and IPv6 address), "
            "`127.0.0.1:8080`, `\"[::1]:8080\"` or `unix:/path`.",
     .since = "0.1"},
    {.name = "tls",
     .type = LT_T_BOOL,
     .offset = AT(tls),
     .def = "false",
     .doc = "Whether clients speak TLS here. Certificates stand with the sites.",
     .since = "0.1"},
    {.name = "redirect",
     .type = LT_T_ENUM,
     .offset = AT(redirect),
     .def = "none",
     .choices = redirects,
     .doc = "With `https`, every request is answered with a redirect to the same URL under "
            "https, except below `/.well-known/acme-challenge/`.",
     .since = "0.1"},
    {.name = "proxy_protocol",
     .type = LT_T_ENUM,
     .offset = AT(proxy_protocol),
     .def = "none",
     .choices = proxy_protocols,
     .doc = "Whether connections begin with a PROXY header (version 1 or 2) that names the client. "
            "`accept`: one is read if a peer in `trust` sends one. `require`: only peers in "
            "`trust` may connect and each must send one. Whoever connects to a Unix socket counts "
            "as trusted here.",
     .since = "0.1"},
    {.name = "backlog",
     .type = LT_T_INT,
     .offset = AT(backlog),
     .def = "4096",
     .min = "1",
     .max = "65535",
     .flags = LT_ROW_RESTART,
     .doc = "Connections that the kernel may hold before they are accepted.",
     .since = "0.1"},
    {.name = "max_connections",
     .type = LT_T_INT,
     .offset = AT(max_connections),
     .min = "1",
     .max = "10000000",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Most connections of this listener at once. Without it only `limits.connections` "
            "counts.",
     .since = "0.1"},
    LT_LISTEN_SHARED_ROWS(struct lt_listen_conf),
};

static void check(struct lt_schema_load *load, void *obj)
{
    const struct lt_listen_conf *listen = obj;
    struct lt_diags *diags = load->diags;
    if (listen->tls && listen->redirect == LT_LISTEN_REDIRECT_HTTPS) {
        lt_diag_error(diags, lt_schema_pos(obj, "redirect"), "leave one of the two out",
                      "a listener with `tls: true` can't redirect to https");
    }
}

const struct lt_schema lt_listen_schema = {
    .name = "listener",
    .doc = "An address on which connections are accepted.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_listen_conf),
    .shorthand = "address",
    .check = check,
};
