/* SPDX-License-Identifier: Apache-2.0 */
/* What fetch.c and origins.c share: whose turn it is, and which connections belong to whom. */
#ifndef LT_UPSTREAM_ORIGINS_H
#define LT_UPSTREAM_ORIGINS_H

#include "base/map.h"
#include "upstream/fetch.h"
#include "upstream/pool.h"

/* One place that is spoken to. Its state is its own: nobody balances over it, no check looks. */
struct lt_fetch_origin {
    struct lt_list link;          /* in origins->used */
    struct lt_str key;            /* owned */
    struct lt_server_state state; /* whose id its idle connections are found by */
    unsigned active, waiting;     /* fetches */
};

struct lt_origins {
    struct lt_loop *loop;
    struct lt_pools *pools;
    struct lt_addresses *addresses;
    struct lt_metrics_worker *metrics; /* may be NULL */
    struct lt_map by_key;
    struct lt_list used;      /* struct lt_fetch_origin, used last first */
    struct lt_list waiting;   /* struct lt_fetch, first come first */
    struct lt_deferred serve; /* gives turns to those who wait */
    bool ids[LT_ORIGINS_MAX]; /* that are taken */
    unsigned active;          /* fetches under way */
    unsigned n_waiting;       /* ... that wait */
    struct lt_arena_total heads;
    size_t held; /* bytes of bodies */
    void (*mock)(void *arg, struct lt_fetch *f);
    void *mock_arg;
};

/* The origin that f goes to, made if there was none; NULL: there is no room for one more, or no
 * memory. */
struct lt_fetch_origin *lt_origin_get(struct lt_origins *o, const struct lt_fetch *f) LT_MUST_CHECK;

/* Takes a turn for f, or has it wait for one: begin is called then. False: too many wait. */
bool lt_origin_enter(struct lt_origins *o, struct lt_fetch *f) LT_MUST_CHECK;
/* f needs its turn, or its place among those who wait, no more. */
void lt_origin_leave(struct lt_origins *o, struct lt_fetch *f);

/* f's response is there: whether it leads to another place and may be followed; then f asks for
 * that (fetch_redirect.c). */
bool lt_fetch_redirect(struct lt_fetch *f) LT_MUST_CHECK;

/* It is f's turn (fetch.c). */
void lt_fetch_begin(struct lt_fetch *f);

#endif
