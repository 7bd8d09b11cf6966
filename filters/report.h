/* SPDX-License-Identifier: Apache-2.0 */
/* What is said and counted when code of a filter fails, and the quarantine of those that are
 * stopped too often. A worker's thread. Private to filters/. */
#ifndef LT_FILTERS_REPORT_H
#define LT_FILTERS_REPORT_H

#include "base/cause.h"
#include "filters/unit.h"

/* What a task that ended so is called; end is neither DONE nor WAITS. */
enum lt_cause lt_filter_cause(enum lt_vm_end end);

/* Logs it (at most once a second per instance and worker) and counts it: an error, or a stop, too
 * many of which within a minute switch the instance off for a while on all workers. hook: "log",
 * "every 30s"; id: of the request, may be empty. */
void lt_filter_failed(struct lt_filter_unit *unit, const char *hook, struct lt_str id,
                      enum lt_cause cause, const char *error);

/* As failed for a call that could not even begin: no stop, whatever the cause. */
void lt_filter_not_begun(struct lt_filter_unit *unit, const char *hook, struct lt_str id,
                         enum lt_cause cause, const char *error);

/* Whether it is switched off now. */
bool lt_filter_is_quarantined(const struct lt_filter_unit *unit);

#endif
