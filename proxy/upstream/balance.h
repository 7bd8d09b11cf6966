/* SPDX-License-Identifier: Apache-2.0 */
/* Which server of an upstream gets an exchange. The worker's thread. */
#ifndef LT_UPSTREAM_BALANCE_H
#define LT_UPSTREAM_BALANCE_H

#include "upstream/upstream.h"

/* Servers that a pick remembers as tried; a further one takes the place of the oldest. */
#define LT_PICK_TRIED_MAX 16

/* What one exchange asks of the balancer, and what it got. It stays with the exchange over all its
 * tries; zeroed it is a first try that wishes nothing. */
struct lt_pick {
    struct lt_upstream *upstream; /* set it before each pick */

    uint32_t tried[LT_PICK_TRIED_MAX]; /* ids of server states: they hold over sets and reloads */
    unsigned n_tried;                  /* in all; lt_pick_tried adds one */

    bool asked;  /* what follows was looked up in the request */
    bool keyed;  /* by a filter: its key counts, not the configuration's */
    bool hashed; /* there is a key to choose by: hash is its own */
    uint64_t hash;
    struct lt_str sticky; /* the client's cookie that names its server; empty: it has none */
    int priority;         /* class in the queue: -1 before all others, 0, 1 after them */
    bool up_only;         /* rather none than one that isn't up */

    struct lt_server *server; /* result: the one taken last; NULL: none yet */
    bool strange; /* result: the cookie names no server that it may be kept for: set another */
};

enum lt_pick_result {
    LT_PICK_OK, /* pick->server has an in-flight slot, to be given back with lt_server_release, and
                   is held: lt_server_let_go (upstream/server_set.h) */
    LT_PICK_BUSY, /* every usable server is at its max */
    LT_PICK_NONE  /* none left to try */
};

/* Chooses a server of pick->upstream by its balancer among those not tried: of the ordinary ones
 * that are up, else of the backups that are up, else of those that failed to connect a moment ago.
 * When less than the upstream's panic share is up, of all that the operator leaves in. */
enum lt_pick_result lt_upstream_pick(struct lt_pools *pools, struct lt_pick *pick);
void lt_server_release(struct lt_pools *pools, struct lt_server *server);

/* No further pick takes server. */
void lt_pick_tried(struct lt_pick *pick, const struct lt_server *server);
bool lt_pick_was_tried(const struct lt_pick *pick, const struct lt_server *server);

/* Whether a client that got server is to get another cookie: its own names no server that it may be
 * kept for, or none at all. */
bool lt_pick_is_strange(const struct lt_pick *pick, const struct lt_server *server);

/* The share that a server gets which came or came back a while ago, of LT_WARM_WHOLE. */
#define LT_WARM_WHOLE 65536u
uint32_t lt_server_warmth(const struct lt_server *server, uint64_t now_us);

#endif
