/* SPDX-License-Identifier: Apache-2.0 */
#include "server/json.h"

#include "base/clock.h"

/* A comma before all but the first of an object or list. */
static void separate(struct lt_buf *out)
{
    char last = out->len > 0 ? out->p[out->len - 1] : '[';
    if (last != '{' && last != '[') {
        lt_buf_char(out, ',');
    }
}

void lt_json_key(struct lt_buf *out, const char *key)
{
    separate(out);
    lt_buf_json_str(out, lt_str_c(key));
    lt_buf_char(out, ':');
}

void lt_json_num(struct lt_buf *out, const char *key, uint64_t n)
{
    lt_json_key(out, key);
    lt_buf_u64(out, n);
}

void lt_json_str(struct lt_buf *out, const char *key, struct lt_str s)
{
    lt_json_key(out, key);
    lt_buf_json_str(out, s);
}

void lt_json_bool(struct lt_buf *out, const char *key, bool b)
{
    lt_json_key(out, key);
    lt_buf_printf(out, "%s", b ? "true" : "false");
}

void lt_json_time(struct lt_buf *out, const char *key, uint64_t wall_us)
{
    char time[LT_LOG_TIME_LEN];
    lt_clock_log_time(wall_us, time);
    lt_json_str(out, key, lt_str(time, sizeof(time)));
}

void lt_json_item(struct lt_buf *out)
{
    separate(out);
}
