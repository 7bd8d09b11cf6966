/* SPDX-License-Identifier: Apache-2.0 */
/* The options of HTTP/2 on a listener. Here they are only rows; front/front_h2.h obeys them. Loader
 * thread. */
#ifndef LT_NET_HTTP2_CONF_H
#define LT_NET_HTTP2_CONF_H

#include "config/schema.h"

struct lt_http2_conf {
    struct lt_conf conf;
    bool alpn;                  /* offered to TLS clients */
    bool cleartext;             /* by prior knowledge, without TLS */
    int64_t streams;            /* at once on one connection */
    uint64_t window;            /* bytes of one request body on their way */
    uint64_t connection_window; /* of all bodies of a connection */
    uint64_t header_table;      /* bytes that HPACK remembers, each way */
    int64_t max_resets;         /* a second, as all below but the last */
    int64_t max_control;        /* of each kind of control frame */
    int64_t max_empty;          /* frames that carry nothing */
    int64_t max_continuations;  /* of one head */
};

extern const struct lt_schema lt_http2_schema;

/* The row of listeners and `defaults`; holder has the member `http2`. */
#define LT_HTTP2_ROW(holder)                                                                       \
    {                                                                                              \
        .name = "http2", .type = LT_T_OBJECT, .offset = offsetof(holder, http2),                   \
        .levels = LT_LEVEL_DEFAULTS | LT_LEVEL_LISTENER, .sub = &lt_http2_schema,                  \
        .doc = "HTTP/2: who may speak it, and how much of it.", .since = "0.1"                     \
    }

#endif
