/* SPDX-License-Identifier: Apache-2.0 */
/* What was wrong with a response's head, as text for the access log: the limit with its place in
 * the configuration, the rule, the field. The worker's thread. */
#ifndef LT_UPSTREAM_HEAD_DETAIL_H
#define LT_UPSTREAM_HEAD_DETAIL_H

#include "http/h2.h"
#include "upstream/upstream.h"

/* Of HTTP/1: head is what came of it, rule in the words of clients' causes. The text is in arena;
 * empty without memory or when there is nothing to tell. */
struct lt_str lt_head_detail_h1(struct lt_arena *arena, const struct lt_upstream *u,
                                enum lt_cause rule, struct lt_str head);

/* Of HTTP/2. */
struct lt_str lt_head_detail_h2(struct lt_arena *arena, const struct lt_upstream *u,
                                const struct lt_h2_block *block);

#endif
