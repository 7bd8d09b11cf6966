/* SPDX-License-Identifier: Apache-2.0 */
/* How many processors are ours: `workers: auto`. */
#ifndef LT_SERVER_CPUS_H
#define LT_SERVER_CPUS_H

#include "base/str.h"

/* By affinity and by the cgroup's cpu.max (version 2, also of its parents; version 1's quota), at
 * least 1. Reads files: not for workers. */
unsigned lt_cpus_usable(void);

/* The processors that a cpu.max file ("150000 100000", "max 100000") grants, rounded up; 0: no
 * limit, or not understood. */
unsigned lt_cpus_parse_max(struct lt_str text);

#endif
