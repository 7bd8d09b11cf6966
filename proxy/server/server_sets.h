/* SPDX-License-Identifier: Apache-2.0 */
/* The servers of all upstreams as they are now: those of the configuration, those that named
 * sources (DNS, files) give, and what the operator changed. Main puts them together and publishes
 * the sets (upstream/server_set.h); all of it is kept by names, so that reloads forget nothing.
 * Main thread.
 *
 *   configuration --.
 *   sources --------+--> merge --> set --> published --> round: each worker looks, answers counts
 *   operator -------'                                          '--> states of nobody are freed
 */
#ifndef LT_SERVER_SERVER_SETS_H
#define LT_SERVER_SERVER_SETS_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/list.h"
#include "shared/server_state.h"

struct lt_gateway;
struct lt_server;
struct lt_server_sets;
struct lt_snapshot;
struct lt_upstream;

/* Returns owned; borrows gateway. */
struct lt_server_sets *lt_server_sets_new(struct lt_gateway *gateway) LT_MUST_CHECK;
/* When no worker runs and main's box is gone. NULL is fine. */
void lt_server_sets_free(struct lt_server_sets *sets);

/* ---- Reload. ---- */

/* What sources put from now on to build is for the snapshot that is built: the one that workers
 * have keeps its sets, as it may live by what the source said before. */
void lt_server_sets_begin(struct lt_server_sets *sets);
/* next is about to be taken up and no worker uses its sets yet: completes them. Where a set can't
 * be made, the upstream keeps the servers that it has in the current snapshot. */
void lt_server_sets_build(struct lt_server_sets *sets, struct lt_snapshot *next);
/* All workers have taken up the gateway's current snapshot: what changed since build follows. */
void lt_server_sets_take_up(struct lt_server_sets *sets);

/* ---- Sources. ---- */

/* One server that a source names. */
struct lt_server_entry {
    struct lt_addr address;
    uint32_t max;    /* exchanges at once over all workers; 0: no limit */
    uint32_t weight; /* >= 1 */
    bool backup;
    uint32_t max_connections; /* over all workers; 0: no limit */
    struct lt_str host;       /* whose name it has, for TLS and Host; empty: its address */
};

/* The servers of upstream that source names are these n now (copied; may be 0); published at once
 * if that is a change. Addresses that the configuration or an earlier source has too count once.
 * What a source put stays until it puts something else or is dropped; the upstream need not be
 * there yet. LT_ERR_LIMIT, LT_ERR_NOMEM: nothing has changed. */
enum lt_err lt_server_sets_put(struct lt_server_sets *sets, struct lt_str upstream,
                               struct lt_str source, const struct lt_server_entry *v,
                               unsigned n) LT_MUST_CHECK;
/* The source names no servers of upstream any more. */
void lt_server_sets_drop(struct lt_server_sets *sets, struct lt_str upstream, struct lt_str source);

/* ---- The operator. ---- */

enum lt_server_sets_result {
    LT_SETS_OK,
    LT_SETS_NO_UPSTREAM,
    LT_SETS_NO_SERVER,
    LT_SETS_EXISTS, /* there is a server with this address */
    LT_SETS_LIMIT,  /* too many changes */
    LT_SETS_NO_MEMORY
};

/* Changes hold over reloads until they are taken back. A server that others name and that was
 * removed comes back by being added; one that was added goes for good by being removed. Whatever
 * isn't LT_SETS_OK has changed nothing. */

/* weight 0, max 0: not given; 1 and no limit, or as others say who name the server too. */
enum lt_server_sets_result lt_server_sets_add(struct lt_server_sets *sets, struct lt_str upstream,
                                              const struct lt_server_entry *entry);
/* From now on nobody picks it, not even who picks from the set of an older snapshot. */
enum lt_server_sets_result lt_server_sets_remove(struct lt_server_sets *sets,
                                                 struct lt_str upstream,
                                                 const struct lt_addr *address);
/* weight 0: as its source says. */
enum lt_server_sets_result lt_server_sets_weigh(struct lt_server_sets *sets, struct lt_str upstream,
                                                const struct lt_addr *address, uint32_t weight);
enum lt_server_sets_result lt_server_sets_admin(struct lt_server_sets *sets, struct lt_str upstream,
                                                const struct lt_addr *address,
                                                enum lt_server_admin admin);
/* paused: requests are held, not sent to servers. */
enum lt_server_sets_result lt_server_sets_pause(struct lt_server_sets *sets, struct lt_str upstream,
                                                bool paused);

/* ---- Rounds. ---- */

/* Who wants to know when a round is over. */
struct lt_server_sets_waiter {
    struct lt_list link;
    void (*fn)(void *arg);
    void *arg;
};

/* Has each worker look at the sets and states as they are now, wake requests that wait for a
 * server, close connections nobody wants, and count; then frees the states that nobody uses.
 * waiter (zeroed but for fn and arg; may be NULL) is told when a round that began now or later is
 * over; before that it may be taken off with lt_list_remove. */
void lt_server_sets_round(struct lt_server_sets *sets, struct lt_server_sets_waiter *waiter);

/* As counted by the last round, over all workers. */
struct lt_server_count {
    uint32_t active; /* exchanges under way, tunnels too */
    uint32_t idle;   /* connections */
};
struct lt_server_count lt_server_sets_count(const struct lt_server_sets *sets,
                                            const struct lt_server_state *state);

/* Whether server takes no requests by the operator's wish and none is left at it. */
bool lt_server_sets_empty(const struct lt_server_sets *sets, const struct lt_server *server);

/* The upstream of the current snapshot with that name, or NULL. */
struct lt_upstream *lt_server_sets_upstream(const struct lt_server_sets *sets, struct lt_str name);

#endif
