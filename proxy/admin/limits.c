/* SPDX-License-Identifier: Apache-2.0 */
/* Limits for the operator (limits.h). Main thread. */
#include "admin/limits.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/uri.h"
#include "server/json.h"
#include "shared/limits.h"

static unsigned refuse(struct lt_buf *out, unsigned status, const char *error)
{
    lt_buf_char(out, '{');
    lt_json_str(out, "error", lt_str_c(error));
    lt_buf_add(out, "}\n", 2);
    return status;
}

static uint64_t ms_of(uint64_t us)
{
    return (us + 999) / 1000;
}

/* ---- All limits. ---- */

static void put_limit(struct lt_buf *out, const struct lt_limit_view *view)
{
    const struct lt_limit_spec *spec = &view->spec;
    lt_json_item(out);
    lt_buf_char(out, '{');
    lt_json_str(out, "name", lt_str_c(view->name));
    lt_json_str(out, "rates", lt_str_c(spec->rates));
    lt_json_num(out, "in_flight_max", spec->in_flight);
    lt_json_bool(out, "dry_run", spec->dry_run);
    lt_json_bool(out, "redis", spec->fleet);
    lt_json_num(out, "passed", view->events[LT_LIMIT_PASSED]);
    lt_json_num(out, "refused", view->events[LT_LIMIT_REFUSED]);
    lt_json_num(out, "would_refuse", view->events[LT_LIMIT_WOULD_REFUSE]);
    lt_buf_char(out, '}');
}

static unsigned put_limits(struct lt_limits *limits, struct lt_buf *out)
{
    struct lt_limit_view view;
    lt_buf_char(out, '[');
    for (unsigned row = 1; lt_limits_view(limits, row, &view); row++) {
        put_limit(out, &view);
    }
    if (lt_limits_view(limits, 0, &view) &&
        view.events[LT_LIMIT_PASSED] + view.events[LT_LIMIT_REFUSED] > 0) {
        put_limit(out, &view);
    }
    lt_buf_add(out, "]\n", 2);
    return 200;
}

/* ---- One key. ---- */

static void put_key(struct lt_limits *limits, const struct lt_limit_view *view, struct lt_str key,
                    struct lt_buf *out)
{
    struct lt_limit_state state;
    lt_limits_look(limits, view, key, lt_clock_us(), &state);
    lt_json_item(out);
    lt_buf_char(out, '{');
    lt_json_str(out, "name", lt_str_c(view->name));
    lt_json_bool(out, "redis", view->spec.fleet);
    lt_json_str(out, "rates", lt_str_c(view->spec.rates));
    lt_json_num(out, "in_flight", state.in_flight);
    lt_json_num(out, "in_flight_max", view->spec.in_flight);
    lt_json_key(out, "windows");
    lt_buf_char(out, '[');
    for (unsigned i = 0; i < view->spec.n_windows; i++) {
        lt_json_item(out);
        lt_buf_char(out, '{');
        lt_json_num(out, "of", view->spec.windows[i].capacity);
        lt_json_num(out, "remaining", state.windows[i].remaining);
        lt_json_num(out, "reset_ms", ms_of(state.windows[i].reset_us));
        lt_buf_char(out, '}');
    }
    lt_buf_add(out, "]}", 2);
}

/* Shows the key in all limits, or the one of that name; forgets it first. */
static unsigned with_key(struct lt_limits *limits, struct lt_str key, struct lt_str name,
                         bool forget, struct lt_buf *out)
{
    struct lt_limit_view view;
    bool found = name.len == 0;
    lt_buf_char(out, '[');
    for (unsigned row = 1; lt_limits_view(limits, row, &view); row++) {
        if (name.len > 0 && !lt_str_eq_c(name, view.name)) {
            continue;
        }
        found = true;
        if (forget) {
            lt_limits_forget(limits, &view, key);
        }
        put_key(limits, &view, key, out);
    }
    if (!found) {
        out->len = 0;
        return refuse(out, 404, "there is no limit of that name; `lintel limits show` lists them");
    }
    lt_buf_add(out, "]\n", 2);
    return 200;
}

/* ---- The keys that have the least left. ---- */

struct top {
    struct lt_limit_noted noted;
    struct lt_limit_view view; /* of its limit */
    struct lt_limit_state state;
    double left; /* the part of its narrowest window that remains */
};

static int by_left(const void *a, const void *b)
{
    const struct top *x = a, *y = b;
    if (x->left != y->left) {
        return x->left < y->left ? -1 : 1;
    }
    return x->noted.refused == y->noted.refused ? 0 : x->noted.refused > y->noted.refused ? -1 : 1;
}

static void look(struct lt_limits *limits, struct top *top, uint64_t now_us)
{
    struct lt_str key = lt_str(top->noted.key, top->noted.len);
    const struct lt_limit_spec *spec = &top->view.spec;
    top->left = 1;
    lt_limits_look(limits, &top->view, key, now_us, &top->state);
    for (unsigned i = 0; i < spec->n_windows; i++) {
        double left = (double)top->state.windows[i].remaining / spec->windows[i].capacity;
        top->left = lt_min(top->left, left);
    }
    if (spec->fleet && spec->n_windows > 0) { /* as Redis said last */
        top->left = lt_min(top->left, (double)top->noted.remaining / spec->windows[0].capacity);
    }
    if (spec->in_flight > 0) {
        double held = lt_min(top->state.in_flight, spec->in_flight);
        top->left = lt_min(top->left, 1 - held / spec->in_flight);
    }
}

static void put_top(const struct top *top, uint64_t now_us, struct lt_buf *out)
{
    lt_json_item(out);
    lt_buf_char(out, '{');
    lt_json_str(out, "key", lt_str(top->noted.key, top->noted.len));
    lt_json_str(out, "name", lt_str_c(top->view.name));
    lt_json_num(out, "left_percent", (uint64_t)(top->left * 100));
    lt_json_num(out, "refused", top->noted.refused);
    lt_json_num(out, "in_flight", top->state.in_flight);
    lt_json_num(out, "seen_ms",
                now_us > top->noted.seen_us ? (now_us - top->noted.seen_us) / 1000 : 0);
    lt_buf_char(out, '}');
}

static unsigned put_tops(struct lt_limits *limits, uint64_t wanted, struct lt_buf *out)
{
    struct lt_limit_noted *noted = lt_calloc(LT_LIMIT_KEYS, sizeof(*noted));
    struct top *tops = lt_calloc(LT_LIMIT_KEYS, sizeof(*tops));
    unsigned status = 200, n = 0;
    uint64_t now_us = lt_clock_us();
    if (noted == NULL || tops == NULL) {
        status = refuse(out, 507, "out of memory");
        goto out;
    }
    unsigned n_noted = lt_limits_noted(limits, noted);
    for (unsigned i = 0; i < n_noted; i++) {
        tops[n].noted = noted[i];
        if (lt_limits_view(limits, noted[i].row, &tops[n].view)) {
            look(limits, &tops[n++], now_us);
        }
    }
    qsort(tops, n, sizeof(tops[0]), by_left);
    lt_buf_char(out, '[');
    for (unsigned i = 0; i < lt_min((uint64_t)n, wanted); i++) {
        put_top(&tops[i], now_us, out);
    }
    lt_buf_add(out, "]\n", 2);
out:
    lt_free(noted);
    lt_free(tops);
    return status;
}

unsigned lt_limits_answer(struct lt_limits *limits, struct lt_arena *arena,
                          const struct lt_request *req, struct lt_buf *out)
{
    struct lt_str key = LT_STR_NONE, name = LT_STR_NONE, top = LT_STR_NONE;
    uint64_t n;
    bool has_key = lt_query_get(arena, req->query, LT_STR("key"), &key);
    bool has_top = lt_query_get(arena, req->query, LT_STR("top"), &top);
    (void)lt_query_get(arena, req->query, LT_STR("name"), &name);
    if (req->method == LT_METHOD_DELETE) {
        return has_key ? with_key(limits, key, name, true, out)
                       : refuse(out, 400, "say which key: ?key=KEY");
    }
    if (req->method != LT_METHOD_GET) {
        return refuse(out, 405, "this method is not for this page");
    }
    if (has_top) {
        return lt_str_to_u64(top, &n) ? put_tops(limits, n, out)
                                      : refuse(out, 400, "top has to be a number");
    }
    return has_key ? with_key(limits, key, name, false, out) : put_limits(limits, out);
}
