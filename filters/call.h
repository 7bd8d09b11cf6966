/* SPDX-License-Identifier: Apache-2.0 */
/* What call.c, which runs the hooks of an exchange, shares with flow.c, which runs those of its
 * bodies. A worker's thread. Private to filters/. */
#ifndef LT_FILTERS_CALL_H
#define LT_FILTERS_CALL_H

#include "filters/chain.h"
#include "filters/host_impl.h"

/* The unit at a place of x's chain: of the edition that the exchange began with. */
static inline struct lt_filter_unit *lt_call_unit(const struct lt_filter_call *call,
                                                  const struct lt_filter_chain *chain, unsigned at)
{
    return call->edition->units[chain->at[at]->index];
}

/* Whether the filter at a place of the chain takes part, after the request hooks. */
bool lt_call_took_part(const struct lt_filter_call *call, unsigned at);
/* A filter has failed by whose policy the exchange ends: sets its cause, and who it was. error may
 * be NULL. */
void lt_call_refuse(struct lt_filter_call *call, struct lt_filter_unit *unit, enum lt_cause cause,
                    const char *error);

#endif
