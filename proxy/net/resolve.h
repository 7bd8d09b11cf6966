/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up names: the hosts file, then DNS by c-ares on the loop's sockets and timers, with the
 * search list of resolv.conf. Both files are read again when they have changed. Main thread: the
 * two small files are the only thing that it may wait for.
 *
 *   lt_lookup_start -> [queue] -> candidate names, one after another -> A and AAAA, or SRV -> fn
 */
#ifndef LT_NET_RESOLVE_H
#define LT_NET_RESOLVE_H

#include "net/dns_answer.h"
#include "net/loop.h"

#define LT_RESOLVER_SERVERS_MAX 8u

/* Addresses that are wanted. */
enum lt_families { LT_FAMILIES_BOTH, LT_FAMILIES_IPV4, LT_FAMILIES_IPV6 };

struct lt_resolver_options {
    struct lt_addr servers[LT_RESOLVER_SERVERS_MAX]; /* with ports */
    unsigned n_servers;                              /* 0: those of resolv.conf */
    struct lt_str resolv_conf, hosts;                /* paths; borrowed until new has returned */
    uint64_t timeout_ms; /* of the first try of each server; twice as long in each round */
    enum lt_families families;
    unsigned tries;       /* rounds over the servers, >= 1 */
    unsigned queries_max; /* on their way at once; >= 2 */
};

struct lt_resolver;

/* Returns owned; NULL without memory or when c-ares can't be set up. */
struct lt_resolver *lt_resolver_new(struct lt_loop *loop,
                                    const struct lt_resolver_options *options) LT_MUST_CHECK;
/* No look-up may be on its way: cancel them first. NULL is fine. */
void lt_resolver_free(struct lt_resolver *resolver);

/* Whether it looks up as options say. */
bool lt_resolver_obeys(const struct lt_resolver *resolver,
                       const struct lt_resolver_options *options);

enum lt_lookup_kind { LT_LOOKUP_HOST, LT_LOOKUP_SRV };

enum lt_lookup_status {
    LT_LOOKUP_OK,    /* at least one record, or none and `absent` */
    LT_LOOKUP_NONE,  /* the name, or its records, are not there */
    LT_LOOKUP_FAILED /* nobody knows */
};

/* What came out for one type of records. */
struct lt_lookup_part {
    enum lt_lookup_status status;
    const char *why; /* static; not OK: for people */
    struct lt_dns_records records;
};

/* IPv4 and IPv6 of a host; an SRV name has only the first. */
#define LT_LOOKUP_PARTS 2

/* The callee may take the records out of the parts. */
typedef void (*lt_lookup_fn)(void *owner, struct lt_lookup_part parts[LT_LOOKUP_PARTS]);

struct lt_lookup_query;

/* One look-up, embedded in its owner and zeroed before first use. */
struct lt_lookup {
    struct lt_list link;          /* of those that wait or run */
    struct lt_resolver *resolver; /* NULL: not on its way */
    enum lt_lookup_kind kind;
    struct lt_str name; /* borrowed until it is over */
    unsigned candidate; /* place in the search list */
    bool running;
    struct lt_lookup_query *queries[LT_LOOKUP_PARTS];
    struct lt_lookup_part parts[LT_LOOKUP_PARTS];
    struct lt_deferred done;
    lt_lookup_fn fn;
    void *owner;
};

/* Starts a look-up, which is not on its way. fn is called once, after this has returned. */
void lt_lookup_start(struct lt_lookup *lookup, struct lt_resolver *resolver,
                     enum lt_lookup_kind kind, struct lt_str name, lt_lookup_fn fn, void *owner);
/* No callback follows. Also for one that is over, or zeroed. */
void lt_lookup_cancel(struct lt_lookup *lookup);

#endif
