/* SPDX-License-Identifier: Apache-2.0 */
/* Main's part of looking up names for workers (net/addresses.h), by the rules of `resolver`. */
#ifndef LT_SERVER_LOOKUPS_H
#define LT_SERVER_LOOKUPS_H

#include "net/addresses.h"

struct lt_gateway;
struct lt_lookups;

/* Returns owned; borrows gateway. Main thread. */
struct lt_lookups *lt_lookups_new(struct lt_gateway *gateway) LT_MUST_CHECK;
/* When no worker waits any more. NULL is fine. Main thread. */
void lt_lookups_free(struct lt_lookups *lookups);

/* A worker's function to ask main by; asker is the struct lt_worker. */
void lt_lookups_ask(struct lt_address_question *q);

#endif
