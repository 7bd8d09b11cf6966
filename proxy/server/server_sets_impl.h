/* SPDX-License-Identifier: Apache-2.0 */
/* What server_sets.c (sources, sets, rounds) and server_changes.c (the operator) share. */
#ifndef LT_SERVER_SERVER_SETS_IMPL_H
#define LT_SERVER_SERVER_SETS_IMPL_H

#include "base/map.h"
#include "server/gateway.h"

/* Of one upstream: servers in a set, and changes by the operator. */
#define LT_SETS_SERVERS_MAX 4096u
/* The source of servers that the operator added. */
#define LT_SETS_OPERATOR "operator"

struct lt_sets_source {
    struct lt_list link;
    struct lt_str name; /* owned */
    struct lt_server_entry *v;
    unsigned n;
};

/* What the operator changed about one address. */
struct lt_sets_change {
    struct lt_list link;
    struct lt_addr address;
    bool added, removed;
    struct lt_server_entry entry; /* of an added one; weight 0, max 0: not given */
    uint32_t weight;              /* 0: not changed */
    enum lt_server_admin admin;
    uint64_t counts_from; /* number of the first round that saw it not ready at every worker */
    bool empty;           /* not ready, and no exchange is left at it */
};

/* One upstream by name. */
struct lt_sets_record {
    struct lt_str name; /* owned */
    struct lt_list sources;
    struct lt_list changes;
    unsigned n_changes;
    bool paused;
    bool changed; /* since the next snapshot's sets were built */
};

/* One worker's part of a round. */
struct lt_sets_visit {
    struct lt_message message;
    struct lt_server_sets *sets;
    struct lt_server_count *counts; /* by id of the state; owned */
    uint32_t n;
};

struct lt_server_sets {
    struct lt_gateway *gateway;
    struct lt_map records; /* name to struct lt_sets_record */
    struct lt_sets_visit visits[LT_WORKERS_MAX];
    unsigned n_visits, missing; /* of the round under way; answers that are missing */
    uint64_t rounds;            /* that were begun */
    bool again;                 /* another round was asked for */
    bool building;              /* nothing is published: the next snapshot's sets are made soon */
    struct lt_list now, next;   /* waiters of this round, and of the one after */
    struct lt_timer look;       /* while servers are to become empty */
    struct lt_str state_file;   /* owned; empty: none */
};

/* The record of a name, made if there was none; NULL without memory or at the limit. */
struct lt_sets_record *lt_sets_record_of(struct lt_server_sets *sets, struct lt_str name);
/* Whether the record says anything that the configuration doesn't. */
bool lt_sets_record_says(const struct lt_sets_record *record);
/* Whether the configuration or a source names a server with that address. */
bool lt_sets_named(const struct lt_server_sets *sets, const struct lt_sets_record *record,
                   const struct lt_addr *address);
/* What is in the record has changed: publishes the upstream's new set. On an error the set that is
 * there stays: the caller takes its change back. */
enum lt_err lt_sets_publish(struct lt_server_sets *sets, struct lt_sets_record *record);

/* server_merge.c: what configuration, sources and operator together say. */
struct lt_sets_merged {
    struct lt_server_spec *v; /* owned; borrows texts of the record */
    unsigned n;
    bool cut; /* there were more than LT_SETS_SERVERS_MAX */
};
/* with_changes: the operator's word counts. LT_ERR_NOMEM: there is nothing to free. */
enum lt_err lt_sets_merge(const struct lt_upstream_conf *conf, const struct lt_sets_record *record,
                          struct lt_hash_seed seed, bool with_changes,
                          struct lt_sets_merged *out) LT_MUST_CHECK;

/* The change of an address, or NULL. */
struct lt_sets_change *lt_sets_change_of(const struct lt_sets_record *record,
                                         const struct lt_addr *address);
/* A change of an address that has none yet; NULL without memory or at the limit. */
struct lt_sets_change *lt_sets_new_change(struct lt_sets_record *record,
                                          const struct lt_addr *address);
void lt_sets_free_changes(struct lt_sets_record *record);
/* Frees a change that says nothing: what takes back all there was is none. */
void lt_sets_tidy(struct lt_sets_record *record, struct lt_sets_change *change);
/* After a round: which servers have become empty. */
void lt_sets_look_for_empty(struct lt_server_sets *sets);

/* state_file.c: writes what the operator changed, where there is a file for it; reads it. */
void lt_sets_remember(const struct lt_server_sets *sets);
void lt_sets_recall(struct lt_server_sets *sets);
/* Before a file that was named just now is written for the first time: moves aside what is there.
 */
void lt_sets_make_way(const struct lt_server_sets *sets);

#endif
