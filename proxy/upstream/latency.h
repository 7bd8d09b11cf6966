/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker believes of a server's latency: a mean of its latest answers in which older ones
 * count less and less, or the longest of late. The worker's thread. */
#ifndef LT_UPSTREAM_LATENCY_H
#define LT_UPSTREAM_LATENCY_H

#include "upstream/pool.h"

/* Learns that a try at server took us until its first byte, or until it failed. ok: it answered
 * what it was asked; else only a longer time than is believed counts, so that quick failures
 * attract nothing. */
void lt_latency_tell(struct lt_pools *pools, const struct lt_server *server, uint64_t us, bool ok);

/* What is believed now, in us; 0: nothing. While nothing is under way at the server the belief
 * fades, so that one that was slow is tried again, and with one try at a time. */
uint64_t lt_latency_of(const struct lt_pool *pool, uint64_t half_life_us, uint64_t now_us);

#endif
