/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that change bodies as they pass: the hook `body` (exchange/flow.h). A worker's thread.
 * Private to filters/. */
#ifndef LT_FILTERS_FLOW_H
#define LT_FILTERS_FLOW_H

#include "filters/ctx.h"

/* Of struct lt_hooks. */
bool lt_filter_flows(struct lt_exchange *x, enum lt_side side);
enum lt_step_result lt_filter_flow_begin(struct lt_exchange *x, enum lt_side side);
void lt_filter_flow_moved(struct lt_exchange *x, enum lt_side side);
void lt_filter_flow_end(struct lt_flow *flow);

/* ctx:emit(text), and the iterator that hooks get as `chunks` (upvalue: ctx). */
int lt_flow_emit(lua_State *L);
int lt_flow_next_chunk(lua_State *L);

#endif
