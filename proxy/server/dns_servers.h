/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that the configuration names by `dns:` and `dns+srv:`. Each such entry watches a name
 * (net/names.h), an SRV entry those of its targets too, and puts what is found into the server
 * sets, as a source of its own. Main thread.
 *
 *   prepare: watch the names of the next snapshot, wait for first answers
 *   commit:  they are put into the sets      discard: forget them
 *   take_up: what only the old snapshot had goes */
#ifndef LT_SERVER_DNS_SERVERS_H
#define LT_SERVER_DNS_SERVERS_H

#include "base/buf.h"
#include "base/err.h"

struct lt_dns_servers;
struct lt_gateway;
struct lt_snapshot;

/* Returns owned; borrows gateway. */
struct lt_dns_servers *lt_dns_servers_new(struct lt_gateway *gateway) LT_MUST_CHECK;
/* NULL is fine. */
void lt_dns_servers_free(struct lt_dns_servers *dns);

/* ---- Reload. ---- */

/* Looks up what next names. fn is called once, when each name has an answer or a failure or
 * resolver.start_wait is over, perhaps before this returns; not when the result is an error.
 * LT_ERR_NOMEM: call discard. */
enum lt_err lt_dns_servers_prepare(struct lt_dns_servers *dns, const struct lt_snapshot *next,
                                   void (*fn)(struct lt_gateway *gateway)) LT_MUST_CHECK;
/* Waits no longer. */
void lt_dns_servers_hurry(struct lt_dns_servers *dns);
/* next is given up; also when it was never prepared. current: as it was (NULL: none). */
void lt_dns_servers_discard(struct lt_dns_servers *dns, const struct lt_snapshot *current);
/* Workers are about to take up what was prepared: its names say what servers there are. Before
 * lt_server_sets_build. */
void lt_dns_servers_commit(struct lt_dns_servers *dns);
/* All workers have. */
void lt_dns_servers_take_up(struct lt_dns_servers *dns);

/* ---- Telling. ---- */

/* The names as a member of a JSON object. */
void lt_dns_servers_write_status(const struct lt_dns_servers *dns, struct lt_buf *out);
void lt_dns_servers_write_metrics(const struct lt_dns_servers *dns, struct lt_buf *out);

#endif
