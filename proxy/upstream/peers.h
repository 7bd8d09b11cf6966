/* SPDX-License-Identifier: Apache-2.0 */
/* The workers' pools and where they get their post, so that they can send each other what only the
 * other can use. An entry is written before the thread of its worker starts and stays as it is
 * until all of them have ended. */
#ifndef LT_UPSTREAM_PEERS_H
#define LT_UPSTREAM_PEERS_H

#include "net/mailbox.h"
#include "shared/waiting.h"
#include "upstream/upstream.h"

struct lt_peers {
    unsigned n;
    struct {
        struct lt_mailbox *box; /* borrowed, as the pools */
        struct lt_pools *pools;
    } v[LT_WORKERS_MAX];
};

#endif
