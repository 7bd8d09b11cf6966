/* SPDX-License-Identifier: Apache-2.0 */
/* The filters of one snapshot on one worker: a Lua state per file, a unit per instance. Made while
 * the snapshot is prepared, freed when the worker lets go of it. The worker's thread. */
#ifndef LT_FILTERS_HOST_H
#define LT_FILTERS_HOST_H

#include "exchange/hooks.h"
#include "filters/budget.h"
#include "filters/program_renew.h"
#include "shared/limits.h"
#include "shared/value_table.h"

/* Bytes of what is told about broken files. */
#define LT_FILTER_BROKEN_MAX 1200u

struct lt_filters;
struct lt_filter_unit;
struct lt_filter_edition;
struct lt_origins; /* upstream/fetch.h */
struct lt_redis;   /* upstream/redis.h */
struct lt_mailbox;
struct lt_work_pool;

struct lt_filters_spec {
    struct lt_filter_program *program; /* referred to */
    struct lt_budget *budget;          /* of this thread; borrowed */
    struct lt_rate_table *rate;        /* borrowed */
    struct lt_limits *limits;          /* borrowed */
    unsigned worker;                   /* number of this thread, for its counters */
    struct lt_value_table *values;     /* of lintel.shared; borrowed */
    struct lt_loop *loop;              /* the clock and the timers; borrowed */
    struct lt_metrics_worker *metrics; /* this worker's counters; borrowed */
    struct lt_origins *origins;        /* where lintel.http goes; borrowed */
    struct lt_redis *redis;            /* ... and lintel.redis; borrowed */
    struct lt_work_pool *pool;         /* for slow hashes, with box; NULL: the loop does it */
    struct lt_mailbox *box;            /* of this thread; borrowed */
    bool busy;                         /* no hash is taken on, as if too many waited */
    /* Called when a filter that waited may go on; NULL: lt_exchange_wake. */
    void (*wake)(struct lt_exchange *x);
    /* Ends an exchange whose body a filter failed to change; NULL: lt_flow_fail. */
    void (*fail)(struct lt_exchange *x, enum lt_cause cause);
    /* Told of each failure besides the log (`lintel test`): as lt_filter_failed; NULL: nobody. */
    void (*failed)(struct lt_filter_unit *unit, const char *hook, enum lt_cause cause,
                   const char *error);
    /* Opens more libraries in each state (`lintel test`); NULL: none. */
    int (*open_more)(struct lua_State *L);
};

/* Opens the states and runs each instance's init. NULL when one fails: *why (why_size bytes) says
 * which and why. Returns owned. */
struct lt_filters *lt_filters_new(const struct lt_filters_spec *spec, char *why,
                                  size_t why_size) LT_MUST_CHECK;
/* No exchange uses them any more. */
void lt_filters_free(struct lt_filters *filters);

/* Begins the periodic work of the filters (`every`), each at once; on one worker only, when its
 * configuration takes effect. Stop, before another one's does and when the worker drains, gives up
 * what runs of it; hooks go on. */
void lt_filters_start(struct lt_filters *filters);
void lt_filters_stop(struct lt_filters *filters);

/* Another edition of the same configuration (program_renew.h): states are opened and init is run
 * for the files that program has anew, all others are shared. Exchanges that have begun end with
 * the edition they began with. NULL when one fails, *why says which and why. Take it or discard it,
 * before another one is prepared. */
struct lt_filter_edition *lt_filters_prepare(struct lt_filters *filters,
                                             struct lt_filter_program *program, char *why,
                                             size_t why_size) LT_MUST_CHECK;
/* Exchanges that begin from now on have this edition; the periodic work of what it replaces ends,
 * and that of what it has anew begins, if this is where it is done. */
void lt_filters_take(struct lt_filters *filters, struct lt_filter_edition *edition);
void lt_filters_discard(struct lt_filter_edition *edition);

/* What is wrong with filter files as they lie on the disk, while the versions before them serve. */
struct lt_filter_broken {
    unsigned n;
    unsigned files[LT_FILTER_RENEW_MAX]; /* their numbers */
    char text[LT_FILTER_BROKEN_MAX];     /* for people; NUL-terminated */
};

/* From now on peers to whom errors are shown get that text instead of what the files' filters do.
 * Takes broken, memory of lt_malloc; NULL: all is well again. */
void lt_filters_set_broken(struct lt_filters *filters, struct lt_filter_broken *broken);

/* What the exchange calls; finds the worker's filters by x->view->filters. */
extern const struct lt_hooks lt_filter_hooks;

#endif
