/* SPDX-License-Identifier: Apache-2.0 */
/* The circuit breaker of an upstream: refuses requests while too many fail. Any thread; all state
 * is in two words of struct lt_upstream_state.
 *
 *   CLOSED --errors over the rate--> OPEN --its time is over--> HALF --all trials did well-->
 * CLOSED
 *                                     ^------------one trial failed--'
 */
#ifndef LT_UPSTREAM_BREAKER_H
#define LT_UPSTREAM_BREAKER_H

#include "shared/upstream_state.h"
#include "upstream/health_options.h"

enum lt_breaker_state { LT_BREAKER_CLOSED, LT_BREAKER_OPEN, LT_BREAKER_HALF };

/* Whether a request may go on. *trial: it was let through to try; lt_breaker_tried or
 * lt_breaker_give_back has to follow. One load while it is closed. */
bool lt_breaker_enter(const struct lt_breaker_options *o, struct lt_upstream_state *state,
                      uint64_t now_us, bool *trial);

/* How a trial went. */
void lt_breaker_tried(const struct lt_breaker_options *o, struct lt_upstream_state *state, bool ok,
                      uint64_t now_us);

/* A trial ended without a word about the servers: the next request is one instead. */
void lt_breaker_give_back(struct lt_upstream_state *state);

/* Counts tries, bad ones among them, and opens the breaker when they are too many. */
void lt_breaker_count(const struct lt_breaker_options *o, struct lt_upstream_state *state,
                      uint32_t tries, uint32_t bad, uint64_t now_us);

enum lt_breaker_state lt_breaker_state(const struct lt_upstream_state *state);

/* Seconds, >= 1, until it is worth asking again. */
unsigned lt_breaker_wait_s(const struct lt_upstream_state *state, uint64_t now_us);

/* "closed", "open", "half_open". */
const char *lt_breaker_name(enum lt_breaker_state state);

#endif
