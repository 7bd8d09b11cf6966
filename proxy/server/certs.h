/* SPDX-License-Identifier: Apache-2.0 */
/* Looks after the files that `tls` names while a configuration serves: takes up what has changed,
 * tells of what ends soon, and keeps the ticket keys young. Main thread; what touches the disk runs
 * on a thread of its own.
 *
 *   timer -> watcher: look -> [changed, and the same as at the look before] -> new set
 *                                                     main: gives it to every worker <-'
 */
#ifndef LT_SERVER_CERTS_H
#define LT_SERVER_CERTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/load.h"
#include "net/mailbox.h"
#include "server/tls_set.h"

#include <pthread.h>

struct lt_gateway;
struct lt_snapshot;
struct lt_worker;

struct lt_certs {
    struct lt_timer look;    /* the next look at the files */
    struct lt_timer tickets; /* ... at the ticket keys */
    struct lt_timer warn;    /* ... at what ends soon */
    struct lt_tls_set *set;  /* a reference: what is served now; NULL: nothing yet */
    pthread_t thread;        /* the watcher; one look */
    bool looking;            /* it runs, or its answer is on its way */
    struct lt_message looked;
    /* The watcher's while it runs: */
    struct lt_snapshot *snapshot;            /* held: whose files it looks at */
    struct lt_tls_set *old;                  /* a reference: what was served when it began */
    struct lt_tls_set *made;                 /* a newer one, or NULL */
    unsigned char digest[LT_TLS_DIGEST_LEN]; /* as the files were at the last look */
    struct lt_arena arena;                   /* of what follows */
    struct lt_diags diags;
    struct lt_schema_load load;
    bool complains;  /* diags has what is to be said */
    unsigned say_in; /* looks until it is, if the files stay as they are */
};

/* g->current is a new configuration, which all workers have taken up. */
void lt_certs_take_up(struct lt_gateway *g);

/* Waits for the watcher and lets go of all. Before the workers are stopped. */
void lt_certs_stop(struct lt_gateway *g);

/* Metrics of certificates and revocation lists: when they end. */
void lt_certs_write_metrics(const struct lt_certs *certs, struct lt_buf *out);

/* Logs what ends soon or has ended, at now_s (seconds since 1970). Gives how many there are. */
unsigned lt_certs_warn(const struct lt_tls_set *set, int64_t now_s);

#endif
