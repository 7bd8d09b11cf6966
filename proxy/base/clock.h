/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks. Time-outs and limits use the monotonic clock; the wall clock is for logs and dates. Code
 * in a worker uses the loop's cached time (net/loop.h) instead of asking here. */
#ifndef LT_BASE_CLOCK_H
#define LT_BASE_CLOCK_H

#include "base/defs.h"

/* Monotonic, microseconds, > 0. The same base for all processes of this boot. */
uint64_t lt_clock_us(void);

/* Wall clock, microseconds since 1970. */
uint64_t lt_clock_wall_us(void);

#define LT_HTTP_DATE_LEN 29

/* RFC 9110 §5.6.7 date (IMF-fixdate) of a wall time in seconds; exactly LT_HTTP_DATE_LEN bytes, no
 * NUL. */
void lt_clock_http_date(uint64_t wall_s, char out[LT_HTTP_DATE_LEN]);

#define LT_LOG_TIME_LEN 27

/* RFC 3339 in UTC with microseconds, "2026-01-02T03:04:05.000006Z"; exactly LT_LOG_TIME_LEN bytes,
 * no NUL. */
void lt_clock_log_time(uint64_t wall_us, char out[LT_LOG_TIME_LEN]);

#endif
