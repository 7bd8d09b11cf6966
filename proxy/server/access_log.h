/* SPDX-License-Identifier: Apache-2.0 */
/* The access log: one JSON object per exchange. docs/operations.md lists its members. */
#ifndef LT_SERVER_ACCESS_LOG_H
#define LT_SERVER_ACCESS_LOG_H

#include "base/buf.h"
#include "exchange/exchange.h"

/* Longest line; members that would not fit are left out. */
#define LT_ACCESS_LINE_MAX 32768u

/* Writes the line of an exchange that is over to this thread's log ring. x->view belongs to a
 * struct lt_worker_view, or has no snapshot any more. The worker's thread. */
void lt_access_log(struct lt_exchange *x);

/* Makes the further members of the line while x->view is there, for one that is written after it is
 * gone: x->log_members. False without memory. */
bool lt_access_keep(struct lt_exchange *x);

struct lt_snapshot_field;

/* The line itself, for lt_access_log: n further members, values of headers called as one of redact
 * (n_redact, lower case) are hidden in them. */
void lt_access_line(struct lt_buf *out, struct lt_exchange *x,
                    const struct lt_snapshot_field *fields, size_t n, const struct lt_str *redact,
                    size_t n_redact);

#endif
