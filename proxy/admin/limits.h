/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin socket says about limits that filters keep, in JSON. docs/operations.md is its
 * manual. Main thread.
 *
 *   GET    /limits                       the limits
 *   GET    /limits?top=N                 keys near their limit or over it
 *   GET    /limits?key=KEY[&name=LIMIT]  what a key has left
 *   DELETE /limits?key=KEY[&name=LIMIT]  forgets what it used */
#ifndef LT_ADMIN_LIMITS_H
#define LT_ADMIN_LIMITS_H

#include "base/arena.h"
#include "base/buf.h"
#include "http/message.h"

struct lt_limits;

/* Answers req into out; gives the status. */
unsigned lt_limits_answer(struct lt_limits *limits, struct lt_arena *arena,
                          const struct lt_request *req, struct lt_buf *out);

#endif
