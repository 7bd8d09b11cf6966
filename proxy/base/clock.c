/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and date texts. Any thread. */
#include "base/clock.h"

#include <string.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t lt_clock_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t lt_clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

/* v as exactly n decimal digits at p. */
static void digits(char *p, unsigned v, unsigned n)
{
    while (n > 0) {
        p[--n] = (char)('0' + v % 10);
        v /= 10;
    }
}

void lt_clock_http_date(uint64_t wall_s, char out[LT_HTTP_DATE_LEN])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm;
    time_t t = (time_t)wall_s;
    gmtime_r(&t, &tm);
    memcpy(out, "Www, dd Mon yyyy hh:mm:ss GMT", LT_HTTP_DATE_LEN);
    memcpy(out, days[tm.tm_wday], 3);
    digits(out + 5, (unsigned)tm.tm_mday, 2);
    memcpy(out + 8, months[tm.tm_mon], 3);
    digits(out + 12, (unsigned)tm.tm_year + 1900, 4);
    digits(out + 17, (unsigned)tm.tm_hour, 2);
    digits(out + 20, (unsigned)tm.tm_min, 2);
    digits(out + 23, (unsigned)tm.tm_sec, 2);
}

void lt_clock_log_time(uint64_t wall_us, char out[LT_LOG_TIME_LEN])
{
    /* Lines of one second share their first 19 bytes. */
    static _Thread_local time_t cached_s = -1;
    static _Thread_local char cached[19];
    time_t t = (time_t)(wall_us / 1000000u);
    if (t != cached_s) {
        struct tm tm;
        gmtime_r(&t, &tm);
        memcpy(cached, "yyyy-mm-ddThh:mm:ss", 19);
        digits(cached, (unsigned)tm.tm_year + 1900, 4);
        digits(cached + 5, (unsigned)tm.tm_mon + 1, 2);
        digits(cached + 8, (unsigned)tm.tm_mday, 2);
        digits(cached + 11, (unsigned)tm.tm_hour, 2);
        digits(cached + 14, (unsigned)tm.tm_min, 2);
        digits(cached + 17, (unsigned)tm.tm_sec, 2);
        cached_s = t;
    }
    memcpy(out, cached, 19);
    out[19] = '.';
    digits(out + 20, (unsigned)(wall_us % 1000000u), 6);
    out[26] = 'Z';
}
