/* SPDX-License-Identifier: Apache-2.0 */
/* How long a connection to a server may be idle before the server closes it: what it says in
 * Keep-Alive fields, and what its closes have taught. Ours are closed a while earlier, so that no
 * request meets the server's close. Any worker's thread. */
#ifndef LT_UPSTREAM_IDLE_H
#define LT_UPSTREAM_IDLE_H

#include "http/headers.h"
#include "shared/server_state.h"

/* What `timeout` of a response's Keep-Alive leaves, with a margin; UINT64_MAX: it says nothing. */
uint64_t lt_idle_told_ms(const struct lt_headers *headers);

/* The server closed a connection that had been idle for age_us. Two closes at about the same age,
 * at different times, are a rule of the server's; one alone, or several at once, may be a restart.
 */
void lt_idle_seen(struct lt_server_state *state, uint64_t age_us, uint64_t now_us);

/* What closes have taught, with a margin; UINT64_MAX: nothing, or that was long ago. */
uint64_t lt_idle_learnt_ms(const struct lt_server_state *state, uint64_t now_us);

#endif
