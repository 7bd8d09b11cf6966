/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of one upstream. Loader thread. */
#include "upstream/upstream_conf.h"

#include "config/load.h"
#include "http/headers.h"
#include "http/uri.h"
#include "upstream/upstream.h"

#define BOTH (LT_LEVEL_DEFAULTS_UPSTREAM | LT_LEVEL_UPSTREAM)
#define AT(member) offsetof(struct lt_server_conf, member)

static const struct lt_row server_rows[] = {
    {.name = "address",
     .type = LT_T_ENDPOINT,
     .offset = AT(address),
     .flags = LT_ROW_REQUIRED,
     .doc =
         "Where the server listens: `127.0.0.1:8000`, `\"[::1]:8000\"` or "
         "`unix:/run/app/1.sock`. `dns:app.internal:8000` stands for all addresses of that name, "
         "`dns+srv:_http._tcp.app.internal` for all that its SRV records lead to; both are "
         "looked up again and again, see `resolver`. `max` and `weight` hold for each address.",
     .since = "0.1"},
    {.name = "max",
     .type = LT_T_INT,
     .offset = AT(max),
     .min = "1",
     .max = "65535",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Most requests that this server gets at once, counted over all workers. Set it to the "
            "number of its worker processes or threads. Without it there is no limit.",
     .since = "0.1"},
    {.name = "max_connections",
     .type = LT_T_INT,
     .offset = AT(max_connections),
     .min = "1",
     .max = "1000000",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Most connections to this server, idle ones too, counted over all workers. At the cap "
            "a worker has an idle one closed, its own or another worker's, before it opens "
            "another; while all are in use requests wait in the queue, and the workers take turns. "
            "Without it there is no limit.",
     .since = "0.1"},
    {.name = "backup",
     .type = LT_T_BOOL,
     .offset = AT(backup),
     .def = "false",
     .doc = "A spare server: it gets requests only while none of the others is up.",
     .since = "0.1"},
    {.name = "weight",
     .type = LT_T_INT,
     .offset = AT(weight),
     .def = "1",
     .min = "1",
     .max = "1000",
     .doc = "Its share of the requests compared with the other servers.",
     .since = "0.1"},
};

static const struct lt_schema server_schema = {
    .name = "server",
    .doc = "One application server of an upstream.",
    .rows = server_rows,
    .n_rows = lt_countof(server_rows),
    .size = sizeof(struct lt_server_conf),
    .shorthand = "address",
};

#undef AT
#define AT(member) offsetof(struct lt_keepalive_conf, member)

static const struct lt_row keepalive_rows[] = {
    {.name = "max",
     .type = LT_T_INT,
     .offset = AT(max),
     .def = "64",
     .min = "0",
     .max = "100000",
     .doc = "Idle connections that each worker keeps to a server. 0: a new connection for each "
            "request.",
     .since = "0.1"},
    {.name = "idle",
     .type = LT_T_DURATION,
     .offset = AT(idle_ms),
     .def = "4s",
     .min = "1ms",
     .max = "1h",
     .doc = "An idle connection is closed after this time. Keep it below the time after which "
            "the server itself closes one.",
     .since = "0.1"},
    {.name = "unsafe_idle",
     .type = LT_T_DURATION,
     .offset = AT(unsafe_idle_ms),
     .def = "1s",
     .min = "0",
     .max = "1h",
     .doc = "A request that can't be repeated safely (POST, PATCH) is sent over a connection "
            "that was idle for at most this time, else over a new one.",
     .since = "0.1"},
    {.name = "learn",
     .type = LT_T_BOOL,
     .offset = AT(learn),
     .def = "true",
     .doc = "Close idle connections earlier than after `idle` where a server says in "
            "`Keep-Alive: timeout=` how long it keeps them, or was twice seen to close them at "
            "about the same age (for the ten minutes after that).",
     .since = "0.1"},
};

static const struct lt_schema keepalive_schema = {
    .name = "keepalive",
    .doc = "Idle connections to the servers.",
    .rows = keepalive_rows,
    .n_rows = lt_countof(keepalive_rows),
    .size = sizeof(struct lt_keepalive_conf),
};

#undef AT
#define AT(member) offsetof(struct lt_upstream_http2_conf, member)

static const struct lt_row http2_rows[] = {
    {.name = "streams",
     .type = LT_T_INT,
     .offset = AT(streams),
     .def = "100",
     .min = "1",
     .max = "100000",
     .doc = "Requests that share one connection at once. A server may allow fewer "
            "(SETTINGS_MAX_CONCURRENT_STREAMS), which is obeyed. When a connection is full, "
            "another one is opened.",
     .since = "0.1"},
    {.name = "connections",
     .type = LT_T_INT,
     .offset = AT(connections),
     .def = "64",
     .min = "1",
     .max = "100000",
     .doc = "Connections that each worker opens to a server. When all are full, the request goes "
            "to another server or waits in the `queue`. Those that end (GOAWAY, a reload) don't "
            "count, up to three times as many.",
     .since = "0.1"},
    {.name = "window",
     .type = LT_T_SIZE,
     .offset = AT(window),
     .def = "256K",
     .min = "64K",
     .max = "16M",
     .doc = "Bytes of a response that a server may send ahead of what the client takes, per "
            "request. Raise it for servers that are far away: at most so much arrives in one "
            "round trip.",
     .since = "0.1"},
    {.name = "max_control",
     .type = LT_T_INT,
     .offset = AT(max_control),
     .def = "1000",
     .min = "10",
     .max = "1000000",
     .doc = "PINGs, SETTINGS, priorities, empty frames, and resets and windows beyond what our "
            "requests account for, that a server may send in a second. A connection with more is "
            "closed.",
     .since = "0.1"},
    {.name = "idle",
     .type = LT_T_DURATION,
     .offset = AT(idle_ms),
     .def = "60s",
     .min = "1ms",
     .max = "1d",
     .doc = "A connection without requests is closed after this time. It may be longer than "
            "`keepalive.idle`, since an HTTP/2 server says which requests it hasn't seen when it "
            "closes one.",
     .since = "0.1"},
    {.name = "ping",
     .type = LT_T_DURATION,
     .offset = AT(ping_ms),
     .min = "1s",
     .max = "1d",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "A connection with requests on which the server sent nothing for this time gets a "
            "PING. Without an answer within `timeouts.connect` its requests fail and it is closed. "
            "Absent: a PING only when a time limit was over, and without an answer the connection "
            "gets no more requests.",
     .since = "0.1"},
};

static const struct lt_schema http2_schema = {
    .name = "upstream http2",
    .doc = "Connections to servers that speak HTTP/2.",
    .rows = http2_rows,
    .n_rows = lt_countof(http2_rows),
    .size = sizeof(struct lt_upstream_http2_conf),
};

#undef AT
#define AT(member) offsetof(struct lt_upstream_timeouts, member)

static const struct lt_row timeout_rows[] = {
    {.name = "connect",
     .type = LT_T_DURATION,
     .offset = AT(connect_ms),
     .def = "1s",
     .min = "1ms",
     .max = "10m",
     .doc = "Time to connect to a server.",
     .since = "0.1"},
    {.name = "first_byte",
     .type = LT_T_DURATION,
     .offset = AT(first_byte_ms),
     .def = "35s",
     .min = "1ms",
     .max = "1d",
     .doc = "Time from the end of the request to the first byte of the response. Not for gRPC "
            "calls, which have deadlines and `timeouts.tunnel`.",
     .since = "0.1"},
    {.name = "idle",
     .type = LT_T_DURATION,
     .offset = AT(idle_ms),
     .def = "60s",
     .min = "1ms",
     .max = "1d",
     .doc = "Longest pause while the request is sent or the response arrives.",
     .since = "0.1"},
    {.name = "vanished",
     .type = LT_T_DURATION,
     .offset = AT(vanished_ms),
     .def = "30s",
     .min = "6s",
     .max = "1h",
     .doc = "How long a server's machine may leave data or keep-alive probes unacknowledged until "
            "the connection counts as lost (TCP_USER_TIMEOUT, SO_KEEPALIVE). Never less than "
            "`idle`.",
     .since = "0.1"},
};

static const struct lt_schema timeouts_schema = {
    .name = "upstream timeouts",
    .doc = "How long a server may take.",
    .rows = timeout_rows,
    .n_rows = lt_countof(timeout_rows),
    .size = sizeof(struct lt_upstream_timeouts),
};

static const char *const protocols[] = {"h1", "h2", "h2c", NULL};
static const char *const proxy_protocols[] = {"none", "v1", "v2", NULL};

static void check_deadline_header(struct lt_schema_load *load, const struct lt_node *node,
                                  const void *value)
{
    struct lt_str name = *(const struct lt_str *)value;
    if (!lt_header_name_ok(name) || lt_header_find_id(name) != LT_HEADER_OTHER ||
        lt_str_chr(name, '_', 0) != SIZE_MAX) {
        lt_diag_error(load->diags, node->pos, "write a name of its own: X-Request-Deadline-Ms",
                      "deadline_header: \"%.*s\" can't be used for this", LT_STR_ARG(name));
    }
}

static void check_host(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    struct lt_str host;
    unsigned port;
    if (!lt_authority_parse(*(const struct lt_str *)value, &host, &port)) {
        lt_diag_error(load->diags, node->pos,
                      "write client, upstream, or a name such as app.internal",
                      "host: this is not a host");
    }
}

#undef AT
#define AT(member) offsetof(struct lt_upstream_conf, member)

static const struct lt_row rows[] = {
    {.name = "preset",
     .type = LT_T_ENUM,
     .offset = AT(preset),
     .def = "generic",
     .levels = LT_LEVEL_UPSTREAM,
     .choices = lt_preset_names,
     .doc = "The application server behind it. Sets how connections are kept, how long it may "
            "take and how large heads it gets, so that it suits that server: `lintel help preset "
            "gunicorn` prints what and why. What the upstream says itself comes first.",
     .since = "0.1"},
    {.name = "servers",
     .type = LT_T_LIST,
     .offset = AT(servers),
     .max = "1024",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .levels = LT_LEVEL_UPSTREAM,
     .sub = &server_schema,
     .item = LT_T_OBJECT,
     .doc = "The servers that share the requests.",
     .since = "0.1",
     .sub_level = LT_LEVEL_SERVER},
    {.name = "servers_file",
     .type = LT_T_FILE,
     .offset = AT(servers_file),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .levels = LT_LEVEL_UPSTREAM,
     .doc =
         "A file that names servers too, besides `servers` or in their place: one a line, as "
         "`10.0.0.1:8000` or `unix:/run/app/1.sock`; behind the address may stand `weight=N`, "
         "`max=N` and `backup`. A `#` begins a comment. It is watched: a change needs no reload.",
     .since = "0.1"},
    {.name = "servers_file_watch",
     .type = LT_T_DURATION,
     .offset = AT(servers_file_watch_ms),
     .def = "1s",
     .min = "0",
     .max = "1h",
     .levels = BOTH,
     .doc = "How often is looked whether `servers_file` has changed. A change is taken up when the "
            "file was the same at two looks. `0`: it is read with the configuration only.",
     .since = "0.1"},
    {.name = "host",
     .type = LT_T_STRING,
     .offset = AT(host),
     .def = "client",
     .max = "253",
     .flags = LT_ROW_NONEMPTY,
     .levels = BOTH,
     .check = check_host,
     .doc = "The Host that servers get: `client` as the client asked, `upstream` the server's own "
            "address, or this name. X-Forwarded-Host keeps the client's; redirects to the other "
            "one are mapped back.",
     .since = "0.1"},
    {.name = "balance",
     .type = LT_T_OBJECT,
     .offset = AT(balance),
     .levels = BOTH,
     .sub = &lt_balance_schema,
     .doc = "How the servers share the requests.",
     .since = "0.1"},
    {.name = "protocol",
     .type = LT_T_ENUM,
     .offset = AT(protocol),
     .def = "h1",
     .levels = BOTH,
     .choices = protocols,
     .doc = "What servers are spoken to in: `h1` is HTTP/1.1, `h2` HTTP/2 over TLS, `h2c` HTTP/2 "
            "without TLS and without asking first (prior knowledge), as most gRPC servers want it.",
     .since = "0.1"},
    {.name = "http2",
     .type = LT_T_OBJECT,
     .offset = AT(http2),
     .levels = BOTH,
     .sub = &http2_schema,
     .doc = "Connections to servers that speak HTTP/2.",
     .since = "0.1"},
    {.name = "tls",
     .type = LT_T_OBJECT,
     .offset = AT(tls),
     .levels = BOTH,
     .sub = &lt_tls_client_schema,
     .doc = "Speak TLS to the servers. `tls: true` verifies their certificates against the "
            "authorities that the system trusts. Without this key, or with `tls: false`, "
            "connections are plain.",
     .since = "0.1"},
    {.name = "proxy_protocol",
     .type = LT_T_ENUM,
     .offset = AT(proxy_protocol),
     .def = "none",
     .levels = BOTH,
     .choices = proxy_protocols,
     .doc = "Begin each connection to a server with a PROXY header of this version that names the "
            "client. Each request then gets a connection of its own, whatever `keepalive` says.",
     .since = "0.1"},
    {.name = "keepalive",
     .type = LT_T_OBJECT,
     .offset = AT(keepalive),
     .levels = BOTH,
     .sub = &keepalive_schema,
     .doc = "Idle connections to the servers.",
     .since = "0.1"},
    {.name = "timeouts",
     .type = LT_T_OBJECT,
     .offset = AT(timeouts),
     .levels = BOTH,
     .sub = &timeouts_schema,
     .doc = "How long a server may take.",
     .since = "0.1"},
    {.name = "retry",
     .type = LT_T_OBJECT,
     .offset = AT(retry),
     .levels = BOTH,
     .sub = &lt_retry_schema,
     .doc = "Further tries when a server fails.",
     .since = "0.1"},
    {.name = "hold",
     .type = LT_T_OBJECT,
     .offset = AT(hold),
     .levels = BOTH,
     .sub = &lt_hold_schema,
     .doc = "Small responses that go to the client in one piece.",
     .since = "0.1"},
    LT_HEALTH_ROWS(struct lt_upstream_conf, BOTH),
    {.name = "queue",
     .type = LT_T_OBJECT,
     .offset = AT(queue),
     .levels = BOTH,
     .sub = &lt_queue_schema,
     .doc = "Requests that wait while all servers are at their `max`, restart or are paused.",
     .since = "0.1"},
    {.name = "deadline_header",
     .type = LT_T_STRING,
     .offset = AT(deadline_header),
     .max = "64",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .levels = BOTH,
     .check = check_deadline_header,
     .doc = "A header field, such as `X-Request-Deadline-Ms`, in which servers get the "
            "milliseconds that are left of `timeouts.total` when the request is sent. A client's "
            "own field of that name goes on only if it comes from `trust` and there is no "
            "`timeouts.total`.",
     .since = "0.1"},
    {.name = "max_head",
     .type = LT_T_SIZE,
     .offset = AT(max_head),
     .def = "64K",
     .min = "1K",
     .max = "1M",
     .levels = BOTH,
     .doc = "Largest response head that a server may send. A larger one is answered with 502.",
     .since = "0.1"},
    {.name = "max_headers",
     .type = LT_T_INT,
     .offset = AT(max_headers),
     .def = "200",
     .min = "1",
     .max = "1000",
     .levels = BOTH,
     .doc = "Most header fields in a response.",
     .since = "0.1"},
    {.name = "takes",
     .type = LT_T_OBJECT,
     .offset = AT(takes),
     .levels = BOTH,
     .sub = &lt_takes_schema,
     .doc = "Limits of the servers for the head of a request, from the preset; a larger one is "
            "answered with 431.",
     .since = "0.1"},
};

struct lt_str lt_upstream_conf_name(const struct lt_upstream_conf *upstream)
{
    struct lt_str host;
    unsigned port;
    if (lt_str_eq_c(upstream->host, "client") || lt_str_eq_c(upstream->host, "upstream") ||
        !lt_authority_parse(upstream->host, &host, &port)) {
        return LT_STR_NONE;
    }
    return host.p[0] == '[' ? lt_str_sub(host, 1, host.len - 1) : host;
}

/* A path names nobody, so a certificate can't be for it. */
static void check_names(struct lt_schema_load *load, const struct lt_upstream_conf *upstream)
{
    const struct lt_server_conf *servers = upstream->servers.items;
    if (!upstream->tls.enabled || !upstream->tls.verify || upstream->tls.server_name.len > 0 ||
        lt_upstream_conf_name(upstream).len > 0) {
        return;
    }
    for (size_t i = 0; i < upstream->servers.n; i++) {
        if (lt_addr_is_unix(&servers[i].address.addr)) {
            lt_diag_error(load->diags, lt_schema_pos(&servers[i], "address"),
                          "set tls: {server_name: NAME} to what its certificate is for",
                          "TLS needs the name of the server behind this Unix socket");
            return;
        }
    }
}

/* The order of protocols[] is that of enum lt_upstream_protocol. */
static void check_protocol(struct lt_schema_load *load, const struct lt_upstream_conf *upstream)
{
    struct lt_pos pos = lt_schema_pos(upstream, "protocol");
    bool tls = upstream->tls.enabled;
    if (upstream->protocol == LT_PROTOCOL_H2 && !tls) {
        lt_diag_error(load->diags, pos, "add tls: true, or write h2c for HTTP/2 without TLS",
                      "protocol: h2 wants TLS to the servers");
    } else if (upstream->protocol == LT_PROTOCOL_H2C && tls) {
        lt_diag_error(load->diags, pos, "write h2: over TLS the protocol is agreed by ALPN",
                      "protocol: h2c is without TLS");
    }
    if (upstream->protocol != LT_PROTOCOL_H1 && upstream->proxy_protocol != 0) {
        lt_diag_error(load->diags, lt_schema_pos(upstream, "proxy_protocol"),
                      "leave it out: X-Forwarded-For and Forwarded name the client",
                      "proxy_protocol: a connection of HTTP/2 carries requests of many clients");
    }
}

/* Two servers with one address would share their counters. */
static void check(struct lt_schema_load *load, void *obj)
{
    const struct lt_upstream_conf *upstream = obj;
    const struct lt_server_conf *servers = upstream->servers.items;
    check_names(load, upstream);
    check_protocol(load, upstream);
    if (upstream->conf.level == LT_LEVEL_UPSTREAM && upstream->servers.n == 0 &&
        upstream->servers_file.len == 0) {
        lt_diag_error(load->diags, lt_schema_pos(upstream, "servers"),
                      "add servers: [\"127.0.0.1:8000\"], or servers_file: PATH",
                      "upstream: \"servers\" is missing");
    }
    lt_health_conf_check(load, &upstream->health, upstream->protocol != LT_PROTOCOL_H1);
    for (size_t i = 1; i < upstream->servers.n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (lt_endpoint_eq(&servers[i].address, &servers[j].address)) {
                lt_diag_error(load->diags, lt_schema_pos(&servers[i], "address"),
                              "give one of them a larger `weight` or `max` instead",
                              "this server is listed twice");
                break;
            }
        }
    }
}

const struct lt_schema lt_upstream_schema = {
    .name = "upstream",
    .doc = "A named pool of application servers.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_upstream_conf),
    .shorthand_list = "servers",
    .check = check,
};

void lt_upstream_conf_imply(struct lt_schema_load *load, struct lt_upstream_conf *upstream)
{
    if (lt_schema_is_set(upstream, offsetof(struct lt_upstream_conf, tls))) {
        lt_schema_preset(load, upstream, "tls.enabled", "true", "tls is written");
    }
    lt_health_conf_imply(load, &upstream->health);
    lt_balance_conf_imply(load, &upstream->balance);
}

void lt_upstream_conf_finish(struct lt_schema_load *load, struct lt_upstream_conf *upstream,
                             const struct lt_upstream_conf *defaults)
{
    lt_preset_apply(load, upstream, (enum lt_upstream_preset)upstream->preset);
    if (defaults != NULL) {
        lt_schema_inherit(upstream, defaults);
    }
    lt_upstream_conf_imply(load, upstream);
    lt_schema_finish(load, upstream);
}
