/* SPDX-License-Identifier: Apache-2.0 */
/* Taking up filter files that have changed, without the rest of the configuration: compiled on the
 * loader's thread, init run on every worker, then all workers change over. Whatever fails, the old
 * ones stay. Main thread.
 *
 *   start -> loader: lt_filter_program_renew -> workers: prepare -> all well? -> take   -> over
 *                        (unchanged, refused)                       no -> discard -^
 *
 * One at a time, and not while a configuration is being taken up. */
#ifndef LT_SERVER_FILTER_SWAP_H
#define LT_SERVER_FILTER_SWAP_H

#include "base/buf.h"
#include "base/list.h"
#include "filters/program_renew.h"
#include "net/mailbox.h"

#include <pthread.h>

struct lt_gateway;
struct lt_filter_swap_loader; /* what the loader's thread works on */
struct lt_worker_swap;        /* one worker's part */

enum lt_filter_swap_result {
    LT_FILTER_SWAP_DONE,
    LT_FILTER_SWAP_UNCHANGED, /* no file has changed */
    LT_FILTER_SWAP_UNKNOWN,   /* no filter is made of that file */
    LT_FILTER_SWAP_REFUSED    /* the new one is not fit; the old one stays */
};

/* Who is told how it went; embedded. `fn` may not start another one. */
struct lt_filter_swap_waiter {
    struct lt_list link; /* unlinked: it does not wait */
    /* names: of the filters that were taken up, separated by commas, or REFUSED: were not; errors:
     * text for people. Both borrowed. */
    void (*fn)(void *arg, enum lt_filter_swap_result result, struct lt_str names,
               struct lt_str errors);
    void *arg;
};

struct lt_filter_swap {
    bool busy;
    pthread_t thread;
    struct lt_message loaded; /* the loader's answer */
    struct lt_filter_swap_loader *loader;
    struct lt_worker_swap *workers; /* one each; NULL: workers have no part in it now */
    unsigned waiting;               /* answers that are missing */
    uint64_t began_us;
    struct lt_list waiters; /* struct lt_filter_swap_waiter */
};

void lt_filter_swap_init(struct lt_gateway *g);

/* Takes up what has changed; only: a filter's name or the path of its file or of a module, empty:
 * all. False: something else is being taken up, try again later; the waiter (NULL: none) is not
 * called then. */
bool lt_filter_swap_start(struct lt_gateway *g, struct lt_str only,
                          struct lt_filter_swap_waiter *waiter) LT_MUST_CHECK;

/* The numbers of the files that it is about, for its waiters; gives how many. */
unsigned lt_filter_swap_changed(const struct lt_filter_swap *swap,
                                unsigned numbers[LT_FILTER_RENEW_MAX]);

/* Whether workers have a part in one that is not over: the gateway can't end yet. */
bool lt_filter_swap_holds_workers(const struct lt_gateway *g);

/* Waits for a loader that still runs and drops what it made. Before the gateway ends. */
void lt_filter_swap_abandon(struct lt_gateway *g);

#endif
