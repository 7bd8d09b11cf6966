/* SPDX-License-Identifier: Apache-2.0 */
/* What dns_servers.c and dns_status.c share. */
#ifndef LT_SERVER_DNS_SERVERS_IMPL_H
#define LT_SERVER_DNS_SERVERS_IMPL_H

#include "net/names.h"
#include "server/dns_servers.h"

/* One entry of `servers` that is a name. */
struct lt_dns_want {
    struct lt_str upstream, source; /* owned; source: the entry as written */
    enum lt_endpoint_kind kind;
    unsigned port;      /* LT_ENDPOINT_DNS */
    struct lt_str host; /* whose name its servers have; owned */
    uint32_t max, max_connections, weight;
    bool backup;
    struct lt_name *name;     /* watched */
    struct lt_name **targets; /* watched; by number of the SRV record, NULL: not watched */
    unsigned n_targets;
    bool dirty;        /* an answer came that was not looked at */
    bool renamed;      /* SRV: ... about its own name, which may have other targets now */
    uint64_t put_us;   /* monotonic; when its servers were put into the sets last; 0: never */
    unsigned left_out; /* addresses over the limit, as was told */
};

struct lt_dns_wants {
    struct lt_dns_want *v; /* owned */
    unsigned n;
};

struct lt_dns_servers {
    struct lt_gateway *gateway;
    struct lt_names *names;
    struct lt_dns_wants now, next, old; /* old: between commit and take_up */
    struct lt_deferred update;
    struct lt_timer wait, again;            /* again: what was too soon to be put */
    unsigned servers_max;                   /* of one entry */
    void (*fn)(struct lt_gateway *gateway); /* NULL: nobody waits */
};

#endif
