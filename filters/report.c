/* SPDX-License-Identifier: Apache-2.0 */
/* Failures of filters: the log, the counters, the quarantine (report.h). */
#include "filters/report.h"

#include <stdio.h>

#include "base/log.h"
#include "filters/excerpt.h"
#include "filters/host_impl.h"

/* So many stops in one minute switch an instance off for a while. */
#define QUARANTINE_STOPS 5u
#define QUARANTINE_US (UINT64_C(30) * 1000000)
/* Failures of one instance that are logged on one worker. */
#define LOG_EVERY_US UINT64_C(1000000)
#define PLACE_MAX 512u

static const struct lt_filters_spec *spec_of(const struct lt_filter_unit *unit)
{
    return &unit->fvm->host->spec;
}

enum lt_cause lt_filter_cause(enum lt_vm_end end)
{
    switch (end) {
    case LT_VM_CPU:
        return LT_CAUSE_FILTER_CPU;
    case LT_VM_MEMORY:
        return LT_CAUSE_FILTER_MEMORY;
    case LT_VM_DONE:
    case LT_VM_WAITS:
    case LT_VM_RAISED:
        break;
    }
    return LT_CAUSE_FILTER_ERROR;
}

/* The path and line that error begins with, or else the innermost of its traceback, as
 * "path:line"; *line is its text. */
static void find_place(const struct lt_filter_vm *fvm, const char *error, char *place,
                       struct lt_str *line)
{
    char path[PLACE_MAX - 16];
    struct lt_place at;
    struct lt_str text;
    place[0] = '\0';
    *line = LT_STR_NONE;
    bool known = (lt_place_read(lt_str_c(error), &at) &&
                  lt_excerpt_file(fvm, at.name, &text, path, sizeof(path))) ||
                 (lt_place_read(lt_str_c(fvm->vm->trace), &at) &&
                  lt_excerpt_file(fvm, at.name, &text, path, sizeof(path)));
    if (known) {
        snprintf(place, PLACE_MAX, "%s:%d", path, at.line);
        *line = lt_excerpt_brief(text, at.line);
    }
}

/* What was stopped, and by which option: the place alone does not tell. */
static const char *name_budget(const struct lt_filter_unit *unit, enum lt_cause cause,
                               const char *error, char *space, size_t size)
{
    const struct lt_filter_instance *i = unit->instance;
    switch (cause) {
    case LT_CAUSE_FILTER_CPU:
        snprintf(space, size, "%s: more processor time than budget.cpu, %llums", error,
                 (unsigned long long)i->cpu_ms);
        return space;
    case LT_CAUSE_FILTER_WALL:
        snprintf(space, size, "%s: took longer than budget.wall, %llums", error,
                 (unsigned long long)i->wall_ms);
        return space;
    case LT_CAUSE_FILTER_MEMORY:
        snprintf(space, size, "%s: more memory than budget.memory, %zuK", error,
                 unit->fvm->vm->max >> 10);
        return space;
    default:
        return error;
    }
}

/* Once a second per instance and worker; the rest is counted. */
static void log_failure(struct lt_filter_unit *unit, const char *hook, struct lt_str id,
                        enum lt_cause cause, const char *error)
{
    uint64_t now = spec_of(unit)->loop->now_us;
    char place[PLACE_MAX], space[PLACE_MAX];
    struct lt_str line;
    error = name_budget(unit, cause, error, space, sizeof(space));
    if (spec_of(unit)->failed != NULL) {
        spec_of(unit)->failed(unit, hook, cause, error);
    }
    if (unit->logged_us != 0 && now - unit->logged_us < LOG_EVERY_US) {
        unit->unlogged++;
        return;
    }
    find_place(unit->fvm, error, place, &line);
    lt_log_error("filter", lt_cause_info(cause)->name, LT_KV_STR("filter", unit->instance->name),
                 LT_KV_CSTR("hook", hook), LT_KV_STR("request_id", id), LT_KV_CSTR("error", error),
                 LT_KV_CSTR("at", place), LT_KV_STR("source", line),
                 LT_KV_CSTR("traceback", unit->fvm->vm->trace),
                 LT_KV_INT("unlogged", unit->unlogged));
    unit->logged_us = now;
    unit->unlogged = 0;
}

/* Counts a stop; too many within a minute switch the instance off, on all workers, if most calls
 * end so: a few requests that are made to be costly must not take a filter from all others. */
static void count_stop(struct lt_filter_unit *unit, enum lt_cause cause)
{
    struct lt_filter_health *h = unit->instance->health;
    struct lt_metrics_worker *metrics = spec_of(unit)->metrics;
    lt_metrics_add(metrics, LT_COUNTER_FILTER_KILLS, 1);
    if (cause == LT_CAUSE_FILTER_WALL) {
        return; /* it waited, which costs nobody else anything */
    }
    uint64_t now = spec_of(unit)->loop->now_us, minute = now / 60000000;
    uint64_t old = atomic_load_explicit(&h->kills, memory_order_relaxed);
    uint64_t stops = old >> 16 == minute ? (old & 0xffff) + 1 : 1;
    /* Another worker that counts at the same time may get lost: the next stop makes up for it. */
    atomic_store_explicit(&h->kills, minute << 16 | lt_min(stops, UINT64_C(0xffff)),
                          memory_order_relaxed);
    if (unit->minute != minute) {
        unit->minute = minute;
        unit->calls = 1;
        unit->stops = 0;
    }
    unit->stops++;
    if (stops > QUARANTINE_STOPS && unit->stops * 2 > unit->calls) {
        atomic_store_explicit(&h->until_us, now + QUARANTINE_US, memory_order_relaxed);
        atomic_store_explicit(&h->kills, 0, memory_order_relaxed);
        lt_metrics_add(metrics, LT_COUNTER_FILTER_QUARANTINES, 1);
        lt_log_error(
            "filter", "quarantined", LT_KV_STR("filter", unit->instance->name),
            LT_KV_INT("seconds", QUARANTINE_US / 1000000),
            LT_KV_CSTR("policy", unit->instance->on_error == LT_FILTER_CLOSED ? "closed" : "open"));
    }
}

void lt_filter_failed(struct lt_filter_unit *unit, const char *hook, struct lt_str id,
                      enum lt_cause cause, const char *error)
{
    if (cause == LT_CAUSE_FILTER_ERROR) {
        lt_filter_not_begun(unit, hook, id, cause, error);
    } else {
        log_failure(unit, hook, id, cause, error);
        count_stop(unit, cause);
    }
}

void lt_filter_not_begun(struct lt_filter_unit *unit, const char *hook, struct lt_str id,
                         enum lt_cause cause, const char *error)
{
    log_failure(unit, hook, id, cause, error);
    lt_metrics_add(spec_of(unit)->metrics, LT_COUNTER_FILTER_ERRORS, 1);
}

bool lt_filter_is_quarantined(const struct lt_filter_unit *unit)
{
    uint64_t until = atomic_load_explicit(&unit->instance->health->until_us, memory_order_relaxed);
    return LT_UNLIKELY(until != 0) && spec_of(unit)->loop->now_us < until;
}
