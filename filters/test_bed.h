/* SPDX-License-Identifier: Apache-2.0 */
/* Filters without a server and without a network: one exchange at a time, made by hand, with a
 * clock that stands still unless it is moved. For `lintel test` and for the unit tests of filters/.
 * One thread. */
#ifndef LT_FILTERS_TEST_BED_H
#define LT_FILTERS_TEST_BED_H

#include "filters/chain.h"
#include "filters/host.h"
#include "net/tls_info.h"
#include "upstream/fetch.h"
#include "upstream/redis.h"

struct lt_every; /* filters/every.h */
#define LT_TEST_UPSTREAMS_MAX 16u
#define LT_TEST_PIECES_MAX 1024u

/* How the bodies of one exchange come and go, by enum lt_side. */
struct lt_test_bodies {
    /* Sizes of the pieces in which they come; what these don't cover comes as one more. */
    size_t pieces[2][LT_TEST_PIECES_MAX];
    unsigned n_pieces[2];
    /* Sizes of what had left the filters of the hook `body` after each of those. */
    size_t left[2][LT_TEST_PIECES_MAX];
    unsigned n_left[2];
    unsigned leave_after[2]; /* the client leaves after so many pieces; 0: it stays */
};

struct lt_test_bed {
    struct lt_loop *loop; /* its clock is moved by us; it is run only to free exchanges */
    struct lt_metrics *metrics;
    struct lt_exchange_env env;
    struct lt_view view;
    struct lt_front_options listener;
    /* Those of the configuration; requests go to the first, "app" unless a test says otherwise. */
    struct lt_upstream upstreams[LT_TEST_UPSTREAMS_MAX];
    struct lt_budget budget;
    void *rate_mem;
    struct lt_rate_table rate;
    struct lt_limits *limits;
    void *hold_mem;
    struct lt_origins *origins; /* refuse, until lt_origins_mock says more */
    struct lt_redis *redis;     /* likewise, lt_redis_mock */
    struct lt_value_table values;
    uint64_t start_us, start_wall_us; /* the clock after a reset */
    uint64_t slept_us;                /* how long filters of this exchange slept */
    int (*open_more)(struct lua_State *L);
    void (*filter_failed)(struct lt_filter_unit *unit, const char *hook, enum lt_cause cause,
                          const char *error); /* NULL: nobody is told */

    /* Of the filters that are loaded. */
    bool loaded;
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_schema_load load;
    struct lt_conf_map map; /* the instances: struct lt_filter_conf */
    struct lt_filter_program *program;
    struct lt_filters *filters;
    struct lt_route route;

    struct lt_exchange *x;         /* the exchange that is looked at, or NULL */
    bool woken;                    /* it was */
    bool busy;                     /* nothing is hashed for its filters */
    bool failed;                   /* a filter has failed to change a body of its */
    bool gone;                     /* its client has left in the midst of a body */
    uint64_t leaves_us;            /* monotonic: its client leaves then; 0: it stays */
    struct lt_test_bodies *bodies; /* of it; `own` unless the caller has others */
    struct lt_test_bodies own;
};

/* What a client asks. Texts are borrowed until the exchange ends. */
struct lt_test_request {
    struct lt_str method; /* "GET" */
    struct lt_str target; /* path, with query or without */
    struct lt_str host;
    struct lt_str client_ip;
    bool tls;
    struct lt_tls_info cert; /* what it says of the client's certificate counts */
};

/* Returns owned; NULL without memory. */
struct lt_test_bed *lt_test_bed_new(void) LT_MUST_CHECK;
void lt_test_bed_free(struct lt_test_bed *bed);

/* All limits are forgotten, the clock goes back to its start. */
void lt_test_bed_reset(struct lt_test_bed *bed);

/* Makes place for filters: bed->load is ready for nodes. What was loaded before is freed. */
void lt_test_bed_begin_load(struct lt_test_bed *bed);

/* Compiles the instances of a mapping `name: {filter: ..., ...}` and chains them in its order.
 * False: bed->diags or why says what is wrong. */
bool lt_test_bed_load(struct lt_test_bed *bed, const struct lt_node *instances, char *why,
                      size_t why_size) LT_MUST_CHECK;

/* A new exchange in bed->x, with an empty list of headers. NULL: the request is malformed. */
struct lt_exchange *lt_test_bed_begin(struct lt_test_bed *bed,
                                      const struct lt_test_request *request) LT_MUST_CHECK;

/* Runs a hook to its end; where a filter waits, the clock is moved to when it goes on. */
enum lt_step_result lt_test_bed_run(struct lt_test_bed *bed, enum lt_filter_hook hook);

/* As run, but comes back with LT_STEP_WAIT where a filter waits. */
enum lt_step_result lt_test_bed_step(struct lt_test_bed *bed, enum lt_filter_hook hook);

/* Runs the function of the first instance's `every` that has this period to its end, as run does.
 * Gives it (borrowed until the filters are freed); NULL: there is none. */
const struct lt_every *lt_test_bed_every(struct lt_test_bed *bed,
                                         struct lt_str period) LT_MUST_CHECK;
/* Runs the hook `body` over a body, which it is given as bed->bodies says. LT_STEP_FAIL: a filter
 * has failed, by whose policy the exchange ends; or bed->gone. The request's body is where
 * lt_body_len looks before and after; the response's lies in x->held. */
enum lt_step_result lt_test_bed_flow(struct lt_test_bed *bed, enum lt_side side);

/* For who steps several exchanges at once: x->hooks_waiting says of each whether it still waits.
 * The end of a turn, in which tasks go on. */
void lt_test_bed_turn(struct lt_test_bed *bed);
/* When the next task goes on by itself (monotonic); UINT64_MAX: none does. */
uint64_t lt_test_bed_next_us(const struct lt_test_bed *bed);
/* Moves the clock to that time, and tells the task. There is one. */
void lt_test_bed_go_on(struct lt_test_bed *bed);
/* Moves the clock to that time, before any task goes on. Not backwards. */
void lt_test_bed_wait_until(struct lt_test_bed *bed, uint64_t us);

/* The most memory that the states of the filters which are loaded have used, together. */
size_t lt_test_bed_memory(const struct lt_test_bed *bed);

/* Ends the exchange: cancels what waits, frees it. */
void lt_test_bed_end(struct lt_test_bed *bed);

#endif
