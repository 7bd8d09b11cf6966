/* SPDX-License-Identifier: Apache-2.0 */
/* The options of one upstream and its servers. Read by the loader; immutable afterwards. */
#ifndef LT_UPSTREAM_UPSTREAM_CONF_H
#define LT_UPSTREAM_UPSTREAM_CONF_H

#include "base/endpoint.h"
#include "config/schema.h"
#include "net/tls_client_conf.h"
#include "upstream/balance_conf.h"
#include "upstream/health_conf.h"
#include "upstream/presets.h"
#include "upstream/retry_conf.h"
#include "upstream/queue_conf.h"
#include "upstream/takes.h"

struct lt_server_conf {
    struct lt_conf conf;
    struct lt_endpoint address;
    int64_t max;    /* exchanges at once; 0 = no limit */
    int64_t weight; /* >= 1 */
    bool backup;
    int64_t max_connections; /* 0 = no limit */
};

struct lt_keepalive_conf {
    struct lt_conf conf;
    int64_t max;             /* idle connections per server and worker; 0 = no pooling */
    uint64_t idle_ms;        /* age at which an idle connection is closed */
    uint64_t unsafe_idle_ms; /* age up to which it may carry a non-idempotent request */
    bool learn;              /* from what servers say and do */
};

struct lt_upstream_http2_conf {
    struct lt_conf conf;
    int64_t streams;     /* at once on one connection */
    int64_t connections; /* to one server by one worker */
    uint64_t window;     /* bytes that a server may be ahead on one stream */
    int64_t max_control; /* a second, on one connection */
    uint64_t idle_ms;    /* age at which a connection without streams is closed */
    uint64_t ping_ms;    /* silence after which a server is asked; 0 = never */
};

struct lt_upstream_timeouts {
    struct lt_conf conf;
    uint64_t connect_ms, first_byte_ms, idle_ms;
    uint64_t vanished_ms; /* unacknowledged by the server's machine */
};

struct lt_upstream_conf {
    struct lt_conf conf;
    int preset;                     /* enum lt_upstream_preset */
    struct lt_conf_list servers;    /* struct lt_server_conf */
    struct lt_str servers_file;     /* path; empty: none */
    uint64_t servers_file_watch_ms; /* between looks at it; 0: read with the configuration only */
    struct lt_str host;             /* "client", "upstream" or a host */
    struct lt_balance_conf balance;
    struct lt_tls_client_conf tls;
    int protocol; /* the order of enum lt_upstream_protocol */
    struct lt_upstream_http2_conf http2;
    int proxy_protocol; /* the order of enum lt_proxy_version */
    struct lt_keepalive_conf keepalive;
    struct lt_upstream_timeouts timeouts;
    struct lt_retry_conf retry;
    struct lt_health_conf health;
    struct lt_hold_conf hold;
    struct lt_queue_conf queue;
    uint64_t max_head;             /* bytes of a response head */
    int64_t max_headers;           /* fields in it */
    struct lt_str deadline_header; /* name; empty: none */
    struct lt_takes_conf takes;
};

extern const struct lt_schema lt_upstream_schema;

/* What `host` says who the servers are, as a name for TLS; empty: nothing. */
struct lt_str lt_upstream_conf_name(const struct lt_upstream_conf *upstream);

/* Sets what follows from other keys: what is written of `tls` switches it on. For defaults.upstream
 * before any upstream is finished. */
void lt_upstream_conf_imply(struct lt_schema_load *load, struct lt_upstream_conf *upstream);

/* Fills in what is not written: from the preset, then from defaults.upstream (may be NULL), then
 * the built-in defaults; runs the checks. */
void lt_upstream_conf_finish(struct lt_schema_load *load, struct lt_upstream_conf *upstream,
                             const struct lt_upstream_conf *defaults);

#endif
