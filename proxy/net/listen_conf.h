/* SPDX-License-Identifier: Apache-2.0 */
/* The options of one listener. Read by the loader; immutable afterwards. */
#ifndef LT_NET_LISTEN_CONF_H
#define LT_NET_LISTEN_CONF_H

#include "base/addr.h"
#include "config/schema.h"
#include "net/compress_conf.h"
#include "net/http2_conf.h"

/* Whether connections begin with a PROXY header. */
enum lt_listen_proxy {
    LT_LISTEN_PROXY_NONE,
    LT_LISTEN_PROXY_ACCEPT, /* those of trusted peers may */
    LT_LISTEN_PROXY_REQUIRE /* all do, and only trusted peers connect */
};

enum lt_listen_redirect { LT_LISTEN_REDIRECT_NONE, LT_LISTEN_REDIRECT_HTTPS };

struct lt_listen_timeouts {
    struct lt_conf conf;
    uint64_t proxy_ms;       /* whole PROXY header */
    uint64_t tls_ms;         /* whole handshake */
    uint64_t head_ms;        /* whole request head, from its first byte */
    uint64_t body_ms;        /* longest pause while a request body arrives */
    uint64_t write_ms;       /* longest pause while the client takes a response */
    uint64_t keepalive_ms;   /* idle between two requests */
    uint64_t half_closed_ms; /* for an answer to a client that has ended its direction */
    uint64_t first_byte_ms;  /* of routes that set none; 0: the upstream's */
    uint64_t tunnel_ms;      /* of routes that set none: silence after an upgrade */
    uint64_t total_ms;       /* of routes that set none: a whole exchange; 0: no limit */
    uint64_t age_ms;         /* of a connection; 0: no limit */
    uint64_t vanished_ms;    /* unacknowledged by the client's machine */
};

struct lt_listen_body {
    struct lt_conf conf;
    uint64_t max;      /* bytes, of routes that set none */
    uint64_t min_rate; /* bytes per second; 0: any */
    uint64_t grace_ms; /* at first */
};

/* What concerns the client's side and may stand in `defaults` too. */
struct lt_listen_limits {
    uint64_t max_head;    /* bytes of a request head */
    int64_t max_headers;  /* fields in it */
    uint64_t max_target;  /* bytes of the request target */
    int64_t max_requests; /* of one connection; 0: no limit */
};

struct lt_listen_conf {
    struct lt_conf conf;
    struct lt_str
        name; /* as `listeners:` of a site names it; without one, the address as written */
    struct lt_addr address;
    bool tls;
    int redirect;       /* enum lt_listen_redirect */
    int proxy_protocol; /* enum lt_listen_proxy */
    int64_t backlog;
    int64_t max_connections; /* 0: only the limit of the whole gateway */
    struct lt_listen_limits limits;
    struct lt_listen_body body;
    struct lt_listen_timeouts timeouts;
    struct lt_compress_conf compress;
    struct lt_http2_conf http2;
};

extern const struct lt_schema lt_listen_schema;
extern const struct lt_schema lt_listen_body_schema;
extern const struct lt_schema lt_listen_timeouts_schema;

/* The rows of listeners that may stand in `defaults` as well; holder is a struct with the members
 * limits, body, timeouts, compress and http2. */
#define LT_LISTEN_SHARED_ROWS(holder)                                                              \
    {.name = "max_head",                                                                           \
     .type = LT_T_SIZE,                                                                            \
     .offset = offsetof(holder, limits.max_head),                                                  \
     .def = "32K",                                                                                 \
     .min = "1K",                                                                                  \
     .max = "1M",                                                                                  \
     .levels = LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER,                                              \
     .doc = "Largest request head: request line and header fields. A larger one is answered "      \
            "with 431.",                                                                           \
     .since = "0.1"},                                                                              \
        {.name = "max_headers",                                                                    \
         .type = LT_T_INT,                                                                         \
         .offset = offsetof(holder, limits.max_headers),                                           \
         .def = "100",                                                                             \
         .min = "1",                                                                               \
         .max = "1000",                                                                            \
         .levels = LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER,                                          \
         .doc = "Most header fields in a request. More are answered with 431.",                    \
         .since = "0.1"},                                                                          \
        {.name = "max_target",                                                                     \
         .type = LT_T_SIZE,                                                                        \
         .offset = offsetof(holder, limits.max_target),                                            \
         .def = "16K",                                                                             \
         .min = "64",                                                                              \
         .max = "1M",                                                                              \
         .levels = LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER,                                          \
         .doc = "Longest request target: path and query. A longer one is answered with 414. "      \
                "`max_head` limits it too.",                                                       \
         .since = "0.1"},                                                                          \
        {.name = "max_requests",                                                                   \
         .type = LT_T_INT,                                                                         \
         .offset = offsetof(holder, limits.max_requests),                                          \
         .def = "10000",                                                                           \
         .min = "0",                                                                               \
         .max = "1000000000",                                                                      \
         .levels = LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER,                                          \
         .doc = "Most requests of one connection: the response to the last one closes it. 0: any " \
                "number.",                                                                         \
         .since = "0.1"},                                                                          \
        {.name = "body",                                                                           \
         .type = LT_T_OBJECT,                                                                      \
         .offset = offsetof(holder, body),                                                         \
         .levels = LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER,                                          \
         .sub = &lt_listen_body_schema,                                                            \
         .doc = "Request bodies.",                                                                 \
         .since = "0.1"},                                                                          \
        LT_COMPRESS_ROW(holder, lt_compress_schema, LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER),        \
        LT_HTTP2_ROW(holder),                                                                      \
    {                                                                                              \
        .name = "timeouts", .type = LT_T_OBJECT, .offset = offsetof(holder, timeouts),             \
        .levels = LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER, .sub = &lt_listen_timeouts_schema,        \
        .doc = "How long the client may take.", .since = "0.1"                                     \
    }

#endif
