/* SPDX-License-Identifier: Apache-2.0 */
/* The watchdog: a thread that looks at the workers. It stops filters that use too much processor
 * time (filters/budget.h) and notes workers whose loop hangs. */
#ifndef LT_SERVER_WATCHDOG_H
#define LT_SERVER_WATCHDOG_H

#include "server/worker.h"

struct lt_watchdog;

/* Watches n workers from now on; the array is borrowed. NULL without memory or thread. Main. */
struct lt_watchdog *lt_watchdog_start(struct lt_budget_watch *watch, struct lt_worker **workers,
                                      unsigned n) LT_MUST_CHECK;

/* Before the workers are freed. NULL is fine. */
void lt_watchdog_stop(struct lt_watchdog *dog);

#endif
