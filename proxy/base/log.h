/* SPDX-License-Identifier: Apache-2.0 */
/* The error log: one JSON line per event with typed fields. No secrets, no raw bytes of clients.
 *
 *     lt_log_warn("net", "accept_failed", LT_KV_STR("listener", name), LT_KV_INT("errno", errno));
 */
#ifndef LT_BASE_LOG_H
#define LT_BASE_LOG_H

#include "base/buf.h"

enum lt_log_level { LT_LOG_DEBUG, LT_LOG_INFO, LT_LOG_WARN, LT_LOG_ERROR };

enum lt_kv_type { LT_KV_T_END, LT_KV_T_STR, LT_KV_T_INT, LT_KV_T_BOOL, LT_KV_T_MS };

struct lt_kv {
    enum lt_kv_type type;
    const char *key;
    union {
        struct lt_str str;
        int64_t num;
        double ms;
    };
};

#define LT_KV_STR(k, v) ((struct lt_kv){.type = LT_KV_T_STR, .key = (k), .str = (v)})
#define LT_KV_CSTR(k, v) ((struct lt_kv){.type = LT_KV_T_STR, .key = (k), .str = lt_str_c(v)})
#define LT_KV_INT(k, v) ((struct lt_kv){.type = LT_KV_T_INT, .key = (k), .num = (int64_t)(v)})
#define LT_KV_BOOL(k, v) ((struct lt_kv){.type = LT_KV_T_BOOL, .key = (k), .num = (v)})
#define LT_KV_MS(k, v) ((struct lt_kv){.type = LT_KV_T_MS, .key = (k), .ms = (v)})

#define lt_log_at(level, subsystem, event, ...)                                                    \
    do {                                                                                           \
        if (lt_log_enabled(level)) {                                                               \
            lt_log_emit((level), (subsystem), (event),                                             \
                        (const struct lt_kv[]){__VA_ARGS__ __VA_OPT__(, ){.type = LT_KV_T_END}});  \
        }                                                                                          \
    } while (0)

#define lt_log_debug(...) lt_log_at(LT_LOG_DEBUG, __VA_ARGS__)
#define lt_log_info(...) lt_log_at(LT_LOG_INFO, __VA_ARGS__)
#define lt_log_warn(...) lt_log_at(LT_LOG_WARN, __VA_ARGS__)
#define lt_log_error(...) lt_log_at(LT_LOG_ERROR, __VA_ARGS__)

/* Lines for people instead of JSON, for a terminal. Set before threads start. */
void lt_log_set_human(bool human);
bool lt_log_is_human(void);
/* Begins such a line: the time of day here, and a space. */
void lt_log_human_time(struct lt_buf *out, uint64_t wall_us);

/* Where lines go: a function that takes one whole line, newline included, and never blocks for
 * long. NULL: straight to standard error. Set before threads start. */
typedef void (*lt_log_sink_fn)(struct lt_str line);

void lt_log_set_sink(lt_log_sink_fn sink);

/* Text for people straight to standard error. A pipe that nobody reads stops nobody: after a moment
 * the rest is dropped. */
void lt_log_stderr(struct lt_str text);
void lt_log_set_level(enum lt_log_level level);
bool lt_log_enabled(enum lt_log_level level);

/* Writes one line; fields end with LT_KV_T_END. Any thread. */
void lt_log_emit(enum lt_log_level level, const char *subsystem, const char *event,
                 const struct lt_kv *fields);

/* Appends the fields as JSON members, each preceded by a comma. */
void lt_log_fields(struct lt_buf *out, const struct lt_kv *fields);

/* "debug" ... "error". */
const char *lt_log_level_name(enum lt_log_level level);

#endif
