/* SPDX-License-Identifier: Apache-2.0 */
/* The error log: formats a line on the caller's stack and hands it to the sink. Any thread. */
#include "base/log.h"

#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_MAX_BYTES 4096
/* How long a reader of standard error may take. */
#define PATIENCE_MS 500

/* Relaxed: a level that arrives a moment late does no harm. */
static _Atomic int min_level = LT_LOG_INFO;
static lt_log_sink_fn sink_fn;
static bool human;

void lt_log_set_sink(lt_log_sink_fn sink)
{
    sink_fn = sink;
}

void lt_log_set_human(bool on)
{
    human = on;
}

bool lt_log_is_human(void)
{
    return human;
}

void lt_log_set_level(enum lt_log_level level)
{
    atomic_store_explicit(&min_level, (int)level, memory_order_relaxed);
}

bool lt_log_enabled(enum lt_log_level level)
{
    return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

const char *lt_log_level_name(enum lt_log_level level)
{
    switch (level) {
    case LT_LOG_DEBUG:
        return "debug";
    case LT_LOG_INFO:
        return "info";
    case LT_LOG_WARN:
        return "warn";
    case LT_LOG_ERROR:
        return "error";
    }
    return "error";
}

void lt_log_fields(struct lt_buf *out, const struct lt_kv *fields)
{
    for (const struct lt_kv *kv = fields; kv->type != LT_KV_T_END; kv++) {
        lt_buf_add(out, ",\"", 2);
        lt_buf_add(out, kv->key, strlen(kv->key));
        lt_buf_add(out, "\":", 2);
        switch (kv->type) {
        case LT_KV_T_STR:
            lt_buf_json_str(out, kv->str);
            break;
        case LT_KV_T_INT:
            lt_buf_printf(out, "%lld", (long long)kv->num);
            break;
        case LT_KV_T_BOOL:
            lt_buf_printf(out, kv->num ? "true" : "false");
            break;
        case LT_KV_T_MS:
            lt_buf_printf(out, "%.3f", kv->ms);
            break;
        case LT_KV_T_END:
            break;
        }
    }
}

/* Waits for room once; while nobody reads, later texts are dropped at once. */
static bool has_room(int fd)
{
    static _Atomic bool stuck; /* relaxed: nothing depends on it but how long we wait */
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    bool patient = !atomic_load_explicit(&stuck, memory_order_relaxed);
    bool room = poll(&pfd, 1, patient ? PATIENCE_MS : 0) > 0;
    atomic_store_explicit(&stuck, !room, memory_order_relaxed);
    return room;
}

void lt_log_stderr(struct lt_str text)
{
    /* A pipe that poll calls writable has room for PIPE_BUF bytes: such a write doesn't wait. */
    while (text.len > 0 && has_room(STDERR_FILENO)) {
        ssize_t n = write(STDERR_FILENO, text.p, lt_min(text.len, (size_t)PIPE_BUF));
        if (n <= 0) {
            return; /* nobody could be told */
        }
        text = lt_str_sub(text, (size_t)n, text.len);
    }
}

static void give(struct lt_str line)
{
    if (sink_fn != NULL) {
        sink_fn(line);
    } else {
        lt_log_stderr(line);
    }
}

/* ---- lines for people ---- */

void lt_log_human_time(struct lt_buf *out, uint64_t wall_us)
{
    time_t s = (time_t)(wall_us / 1000000);
    struct tm tm = {0};
    localtime_r(&s, &tm);
    lt_buf_printf(out, "%02d:%02d:%02d ", tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* As it is if it is one plain word, else in quotes: nothing in it reaches a terminal's controls. */
static void put_human(struct lt_buf *out, struct lt_str value)
{
    bool plain = value.len > 0;
    for (size_t i = 0; i < value.len; i++) {
        plain &= value.p[i] > ' ' && value.p[i] < 127 && value.p[i] != '"';
    }
    if (plain) {
        lt_buf_str(out, value);
    } else {
        lt_buf_json_str(out, value);
    }
}

/* 14:03:22 filters reloaded filters=hello ms=3.1 */
static void emit_human(enum lt_log_level level, const char *event, const struct lt_kv *fields)
{
    char mem[LINE_MAX_BYTES];
    struct lt_buf line;
    lt_buf_init_fixed(&line, mem, sizeof(mem) - 1);
    lt_log_human_time(&line, lt_clock_wall_us());
    if (level >= LT_LOG_WARN) {
        lt_buf_printf(&line, "%s: ", level == LT_LOG_WARN ? "warning" : "error");
    }
    for (const char *p = event; *p != '\0'; p++) {
        lt_buf_char(&line, *p == '_' ? ' ' : *p);
    }
    for (const struct lt_kv *kv = fields; kv->type != LT_KV_T_END; kv++) {
        lt_buf_printf(&line, " %s=", kv->key);
        switch (kv->type) {
        case LT_KV_T_STR:
            put_human(&line, kv->str);
            break;
        case LT_KV_T_INT:
            lt_buf_printf(&line, "%lld", (long long)kv->num);
            break;
        case LT_KV_T_BOOL:
            lt_buf_printf(&line, kv->num ? "true" : "false");
            break;
        case LT_KV_T_MS:
            lt_buf_printf(&line, "%.1f", kv->ms);
            break;
        case LT_KV_T_END:
            break;
        }
    }
    line.cap = sizeof(mem);
    lt_buf_char(&line, '\n');
    give(lt_buf_view(&line));
}

void lt_log_emit(enum lt_log_level level, const char *subsystem, const char *event,
                 const struct lt_kv *fields)
{
    char mem[LINE_MAX_BYTES];
    char time[LT_LOG_TIME_LEN];
    struct lt_buf line;
    if (human) {
        emit_human(level, event, fields);
        return;
    }
    lt_buf_init_fixed(&line, mem, sizeof(mem) - sizeof("\",\"truncated\":true}\n"));
    lt_clock_log_time(lt_clock_wall_us(), time);
    lt_buf_printf(&line,
                  "{\"time\":\"%.*s\",\"level\":\"%s\",\"subsystem\":\"%s\",\"event\":\"%s\"",
                  LT_LOG_TIME_LEN, time, lt_log_level_name(level), subsystem, event);
    size_t whole = line.len;
    for (const struct lt_kv *kv = fields; kv->type != LT_KV_T_END; kv++) {
        struct lt_kv one[2] = {*kv, {.type = LT_KV_T_END}};
        lt_log_fields(&line, one);
        if (line.truncated) {
            line.len = whole; /* a field that doesn't fit is left out whole */
            break;
        }
        whole = line.len;
    }
    line.cap = sizeof(mem);
    if (line.truncated) {
        lt_buf_add(&line, ",\"truncated\":true", 17);
    }
    lt_buf_add(&line, "}\n", 2);
    give(lt_buf_view(&line));
}
