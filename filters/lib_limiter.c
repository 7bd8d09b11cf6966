/* SPDX-License-Identifier: Apache-2.0 */
/* What lintel.limit.new gives: a limit with all its settings, which judges a request by one call
 * from Lua, tells the client and counts for the operator. A worker's thread; new on the loader's
 * too. */
#include <stdio.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/obj.h"
#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/lib_limit.h"

#define MAGIC 0x11217e41u
#define NAME_MAX_LEN LT_LIMIT_NAME_MAX
/* A window's name in the fields is the limit's, "-" and its time. */
#define LABEL_MAX (NAME_MAX_LEN + 32u)
/* After it in the RateLimit field: two numbers and what they are. */
#define NUMBERS_MAX 48u
#define POLICY_MAX (LT_LIMIT_WINDOWS_MAX * (LABEL_MAX + 48u))
/* What would have been refused is logged this often at most, per limit and worker. */
#define LOG_EVERY_US UINT64_C(1000000)

struct limiter {
    uint32_t magic;
    struct lt_limit_spec spec;
    const struct lt_expr *key;                       /* of requests; NULL: the caller says it */
    uint64_t scope;                                  /* of keys in the tables */
    struct lt_hash_seed seeds[LT_LIMIT_WINDOWS_MAX]; /* per window */
    struct lt_limits *limits;                        /* NULL on the loader */
    struct lt_limits_worker *counts;
    unsigned row;
    uint64_t logged_us;
    uint64_t unlogged;
    size_t policy_len;
    char name[NAME_MAX_LEN + 1];                  /* for clients */
    char scope_name[NAME_MAX_LEN + 1];            /* of the counts */
    char labels[LT_LIMIT_WINDOWS_MAX][LABEL_MAX]; /* quoted */
    char policy[POLICY_MAX];
};

/* ---- Making. ---- */

static struct lt_str text_field(lua_State *L, const char *name, struct lt_str fallback)
{
    int type = lua_getfield(L, 1, name);
    if (type == LUA_TSTRING) {
        fallback = lt_lua_check_str(L, -1); /* the table keeps it */
    } else if (type != LUA_TNIL) {
        luaL_error(L, "limit.new: `%s` is a text", name);
    }
    lua_pop(L, 1);
    return fallback;
}

/* A setting of the type expr; lives as long as the filter's settings do. */
static const struct lt_expr *expr_field(lua_State *L, const char *name)
{
    int type = lua_getfield(L, 1, name);
    const struct lt_expr *expr = type != LUA_TNIL ? lt_lua_expr_of(L, lua_gettop(L)) : NULL;
    if (type != LUA_TNIL && expr == NULL) {
        luaL_error(L, "limit.new: `%s` is a setting of the type expr", name);
    }
    lua_pop(L, 1);
    return expr;
}

static uint32_t number_field(lua_State *L, const char *name, uint32_t fallback, uint32_t max)
{
    lua_Integer n = fallback;
    int type = lua_getfield(L, 1, name);
    if (type != LUA_TNIL && (!lua_isinteger(L, -1) || (n = lua_tointeger(L, -1)) < 0 || n > max)) {
        luaL_error(L, "limit.new: `%s` is a whole number from 0 to %I", name, (lua_Integer)max);
    }
    lua_pop(L, 1);
    return (uint32_t)n;
}

static bool flag_field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

/* The period as people write it. */
static void write_period(char *out, size_t size, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;
    while (ms % units[i].ms != 0) {
        i++;
    }
    snprintf(out, size, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].unit);
}

/* The window of the rate on top of the stack. */
static void add_window(lua_State *L, struct limiter *l, uint32_t burst, bool alone)
{
    struct lt_rate rate;
    size_t told = strlen(l->spec.rates);
    char period[24] = "";
    unsigned i = l->spec.n_windows;
    if (i == LT_LIMIT_WINDOWS_MAX) {
        luaL_error(L, "limit.new: at most %d rates", (int)LT_LIMIT_WINDOWS_MAX);
    }
    lt_lua_limit_rate(L, -1, &rate);
    lt_lua_limit_make(L, &rate, burst, &l->spec.windows[i]);
    write_period(period, sizeof(period), rate.period_ms);
    snprintf(l->labels[i], LABEL_MAX, "\"%s%s%s\"", l->name, alone ? "" : "-", alone ? "" : period);
    snprintf(l->spec.rates + told, sizeof(l->spec.rates) - told, "%s%u/%s", i > 0 ? ", " : "",
             rate.count, period);
    l->policy_len +=
        (size_t)snprintf(l->policy + l->policy_len, POLICY_MAX - l->policy_len, "%s%s;q=%u;w=%llu",
                         i > 0 ? ", " : "", l->labels[i], rate.count,
                         (unsigned long long)lt_max((rate.period_ms + 999) / 1000, UINT64_C(1)));
    l->spec.n_windows++;
}

static void add_windows(lua_State *L, struct limiter *l)
{
    uint32_t burst = number_field(L, "burst", 0, UINT32_MAX);
    int type = lua_getfield(L, 1, "rate");
    if (type == LUA_TTABLE) {
        lua_Integer n = luaL_len(L, -1); /* by its metatable: settings have one */
        for (lua_Integer i = 1; i <= n; i++) {
            lua_geti(L, -1, i);
            add_window(L, l, burst, n == 1);
            lua_pop(L, 1);
        }
    } else if (type != LUA_TNIL) {
        add_window(L, l, burst, true);
    }
    lua_pop(L, 1);
    if (l->spec.n_windows == 0 && l->spec.in_flight == 0) {
        luaL_error(L, "limit.new: say a `rate`, `in_flight`, or both");
    }
}

/* What lies outside of the filter, on a worker. */
static void join(lua_State *L, struct limiter *l, struct lt_str scope)
{
    const struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    if (fvm->host == NULL) {
        return;
    }
    const struct lt_filters_spec *spec = &fvm->host->spec;
    l->limits = spec->limits;
    l->counts = lt_limits_for_worker(spec->limits, spec->worker);
    l->row = lt_limits_row(spec->limits, scope, &l->spec);
    l->scope = lt_hash(&spec->rate->seed, scope);
    for (unsigned i = 0; i < l->spec.n_windows; i++) {
        l->seeds[i] = lt_limit_seed(spec->rate, l->scope, i);
    }
}

int lt_lua_limiter_new(lua_State *L)
{
    const struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lt_api_check_keys(L, 1, "limit.new", &lt_api_limit_options);
    if (fvm->running == NULL || fvm->task != NULL) {
        luaL_error(L, "limit.new is for `init`");
    }
    struct limiter *l = lua_newuserdatauv(L, sizeof(*l), 0);
    memset(l, 0, sizeof(*l));
    l->magic = MAGIC;
    struct lt_str name = text_field(L, "name", LT_STR("default"));
    if (name.len > NAME_MAX_LEN || !lt_header_name_ok(name)) {
        luaL_error(L, "name: letters, digits and marks such as '-' and '_', at most 100");
    }
    memcpy(l->name, name.p, name.len);
    l->key = expr_field(L, "key");
    l->spec.in_flight = number_field(L, "in_flight", 0, LT_HOLD_MAX);
    l->spec.ipv6_prefix = number_field(L, "ipv6_prefix", 64, 128);
    l->spec.dry_run = flag_field(L, "dry_run");
    l->spec.fleet = flag_field(L, "fleet");
    add_windows(L, l);
    struct lt_str scope = text_field(L, "name", fvm->running->name);
    scope.len = lt_min(scope.len, (size_t)NAME_MAX_LEN);
    memcpy(l->scope_name, scope.p, scope.len);
    join(L, l, scope);
    luaL_setmetatable(L, LT_LIMITER_META);
    return 1;
}

/* ---- Judging. ---- */

/* One request before one limit. */
struct request {
    struct limiter *l;
    struct lt_runner *runner;
    struct lt_filters *host;
    struct lt_str key;
    char space[LT_ADDR_TEXT_MAX];
    char scratch[LT_EXPR_SCRATCH];
};

static struct limiter *check_limiter(lua_State *L)
{
    struct limiter *l = lua_touserdata(L, 1);
    if (lua_type(L, 1) != LUA_TUSERDATA || lua_rawlen(L, 1) != sizeof(*l) || l->magic != MAGIC) {
        luaL_argerror(L, 1, "what lintel.limit.new gave expected: is a colon missing?");
    }
    return l;
}

/* The key as it is counted; it may be nil, for none. */
static struct lt_str check_key(lua_State *L, int arg, const struct limiter *l, char *space)
{
    if (lua_isboolean(L, arg)) {
        return lua_toboolean(L, arg) ? LT_STR("true") : LT_STR("false");
    }
    if (lua_isnoneornil(L, arg)) {
        return LT_STR("");
    }
    return lt_limit_key(lt_lua_check_str(L, arg), l->spec.ipv6_prefix, space);
}

/* What the limit's own expression says of the request. */
static struct lt_str own_key(lua_State *L, struct request *r)
{
    struct lt_str text;
    switch (lt_lua_expr_value(L, r->l->key, r->runner->x, r->scratch, &text)) {
    case LT_EXPR_TEXT:
        return lt_limit_key(text, r->l->spec.ipv6_prefix, r->space);
    case LT_EXPR_BOOL:
        return text;
    case LT_EXPR_ABSENT:
        break;
    }
    return LT_STR("");
}

/* Arguments: limiter, ctx, key. */
static void check_request(lua_State *L, struct request *r)
{
    r->l = check_limiter(L);
    r->runner = lt_runner_check(L, 2);
    r->host = lt_filter_vm_of(L)->host;
    r->key = r->l->key != NULL && lua_isnoneornil(L, 3) ? own_key(L, r)
                                                        : check_key(L, 3, r->l, r->space);
}

/* The member of a window in the RateLimit field, in the exchange's arena, and the policy. */
static void announce(lua_State *L, struct request *r, unsigned window, uint64_t remaining,
                     uint64_t reset_us)
{
    struct lt_buf out;
    struct lt_headers *headers = lt_ctx_response_fields(L, r->runner);
    struct lt_str policy = lt_ctx_keep(L, r->runner, lt_str(r->l->policy, r->l->policy_len));
    struct lt_str label = lt_str_c(r->l->labels[window]);
    char *text = lt_arena_chars(&r->runner->x->arena, label.len + NUMBERS_MAX);
    if (text == NULL) {
        luaL_error(L, "the exchange has no memory left");
    }
    lt_buf_init_fixed(&out, text, label.len + NUMBERS_MAX);
    lt_buf_str(&out, label);
    lt_buf_add(&out, ";r=", 3);
    lt_buf_u64(&out, remaining);
    lt_buf_add(&out, ";t=", 3);
    lt_buf_u64(&out, (reset_us + 999999) / 1000000);
    if (lt_headers_add_id(headers, LT_HEADER_RATELIMIT_POLICY, policy) != LT_OK ||
        lt_headers_add_id(headers, LT_HEADER_RATELIMIT, lt_buf_view(&out)) != LT_OK) {
        luaL_error(L, "too many headers");
    }
}

/* Not refused because it is only tried: says so now and then. */
static void log_would_refuse(struct request *r, const char *why)
{
    uint64_t now = r->host->spec.loop->now_us;
    struct limiter *l = r->l;
    if (l->logged_us != 0 && now - l->logged_us < LOG_EVERY_US) {
        l->unlogged++;
        return;
    }
    lt_log_info("limit", "would_refuse", LT_KV_STR("filter", r->runner->task.unit->instance->name),
                LT_KV_CSTR("limit", l->name), LT_KV_CSTR("why", why),
                LT_KV_STR("request_id", r->runner->x->ids.request_id),
                LT_KV_INT("unlogged", l->unlogged));
    l->logged_us = now;
    l->unlogged = 0;
}

/* The result for Lua: nothing, or the seconds after which to come again. */
static int verdict(lua_State *L, struct request *r, const char *why, uint64_t retry_us)
{
    bool dry = r->l->spec.dry_run;
    enum lt_limit_event event = why == NULL ? LT_LIMIT_PASSED
                                : dry       ? LT_LIMIT_WOULD_REFUSE
                                            : LT_LIMIT_REFUSED;
    lt_limits_count(r->l->counts, r->l->row, event);
    if (LT_LIKELY(why == NULL)) {
        return 0;
    }
    if (dry) {
        log_would_refuse(r, why);
        return 0;
    }
    lua_pushinteger(L, (lua_Integer)lt_max((retry_us + 999999) / 1000000, UINT64_C(1)));
    return 1;
}

/* Tells the client and the operator what was found for the strictest window. */
static int tell(lua_State *L, struct request *r, unsigned window,
                const struct lt_rate_result *result)
{
    const struct limiter *l = r->l;
    if (!result->allowed || result->remaining < l->spec.windows[window].capacity / 2) {
        lt_limits_note(l->limits, l->row, r->key, result->remaining, !result->allowed,
                       r->host->spec.loop->now_us);
    }
    if (!l->spec.dry_run) {
        announce(L, r, window, result->remaining, result->reset_us);
    }
    return verdict(L, r, result->allowed ? NULL : "rate", result->retry_after_us);
}

/* Whether a says more than b: a refusal, the longer one of two, else what has less left. */
static bool stricter(const struct lt_rate_result *a, const struct lt_rate_result *b)
{
    if (a->allowed != b->allowed) {
        return !a->allowed;
    }
    return a->allowed ? a->remaining < b->remaining ||
                            (a->remaining == b->remaining && a->reset_us > b->reset_us)
                      : a->retry_after_us > b->retry_after_us;
}

static uint64_t window_hash(const struct request *r, unsigned window)
{
    return lt_hash(&r->l->seeds[window], r->key);
}

static void take_window(struct request *r, unsigned window, uint32_t cost,
                        struct lt_rate_result *result)
{
    const struct lt_filters_spec *spec = &r->host->spec;
    lt_rate_take(spec->rate, window_hash(r, window), spec->loop->now_us,
                 &r->l->spec.windows[window], cost, result);
    if (LT_UNLIKELY(result->evicted)) {
        lt_metrics_add(spec->metrics, LT_COUNTER_LIMIT_EVICTED, 1);
    }
}

/* All windows or none: looks at all first, since a refused request costs nothing. Another worker
 * may be quicker in between: then what was taken is given back. Gives the strictest window. */
static unsigned take_all(struct request *r, uint32_t cost, struct lt_rate_result *strictest)
{
    const struct lt_filters_spec *spec = &r->host->spec;
    uint64_t now = spec->loop->now_us;
    struct lt_rate_result results[LT_LIMIT_WINDOWS_MAX];
    unsigned n = r->l->spec.n_windows, at = 0;
    for (unsigned i = 0; i < n; i++) {
        lt_rate_look(spec->rate, window_hash(r, i), now, &r->l->spec.windows[i], cost, &results[i]);
        at = stricter(&results[i], &results[at]) ? i : at;
    }
    for (unsigned i = 0; results[at].allowed && i < n; i++) {
        take_window(r, i, cost, &results[i]);
        if (!results[i].allowed) {
            at = i;
            while (i-- > 0) {
                lt_rate_give(spec->rate, window_hash(r, i), now, results[i].taken_us);
            }
            break;
        }
        at = stricter(&results[i], &results[at]) ? i : at;
    }
    *strictest = results[at];
    return at;
}

/* limiter:take(ctx, key [, cost]): nothing, or the seconds after which to come again. */
static int take(lua_State *L)
{
    struct request r;
    struct lt_rate_result result;
    unsigned window = 0;
    check_request(L, &r);
    lua_Integer cost = luaL_optinteger(L, 4, 1);
    luaL_argcheck(L, cost >= 0 && cost <= UINT32_MAX, 4, "a cost is 0 or more");
    if (LT_LIKELY(r.l->spec.n_windows == 1)) {
        take_window(&r, 0, (uint32_t)cost, &result);
    } else if (r.l->spec.n_windows > 1) {
        window = take_all(&r, (uint32_t)cost, &result);
    } else {
        return 0;
    }
    return tell(L, &r, window, &result);
}

/* limiter:judge(ctx, key, window, allowed, remaining, retry_us, reset_us): as take, where somebody
 * else has counted. window is counted from 1. */
static int judge(lua_State *L)
{
    struct request r;
    check_request(L, &r);
    lua_Integer window = luaL_checkinteger(L, 4), remaining = luaL_checkinteger(L, 6);
    lua_Integer retry_us = luaL_checkinteger(L, 7), reset_us = luaL_checkinteger(L, 8);
    luaL_argcheck(L, window >= 1 && window <= r.l->spec.n_windows, 4, "there is no such window");
    luaL_argcheck(L, remaining >= 0 && remaining <= UINT32_MAX, 6, "0 or more");
    luaL_argcheck(L, retry_us >= 0 && reset_us >= 0, 7, "0 or more");
    const struct lt_rate_result result = {.allowed = lua_toboolean(L, 5),
                                          .remaining = (uint32_t)remaining,
                                          .retry_after_us = (uint64_t)retry_us,
                                          .reset_us = (uint64_t)reset_us};
    return tell(L, &r, (unsigned)window - 1, &result);
}

/* ---- In flight. ---- */

static void release(void *arg)
{
    const struct lt_hold *hold = arg;
    if (hold->word != NULL) {
        lt_hold_release(hold);
    }
}

/* limiter:enter(ctx, key): counts the exchange as one in flight until its end, whatever that is.
 * Nothing, or the seconds after which to come again. */
static int enter(lua_State *L)
{
    struct request r;
    check_request(L, &r);
    struct lt_arena *arena = &r.runner->x->arena;
    const struct limiter *l = r.l;
    if (l->spec.in_flight == 0) {
        return 0;
    }
    struct lt_hold *hold = lt_arena_new(arena, struct lt_hold);
    if (hold == NULL || !lt_arena_on_fini(arena, release, hold)) {
        return luaL_error(L, "out of memory");
    }
    struct lt_hash_seed seed = lt_limit_seed(r.host->spec.rate, l->scope, LT_LIMIT_IN_FLIGHT);
    switch (
        lt_hold_take(lt_limits_holds(l->limits), lt_hash(&seed, r.key), l->spec.in_flight, hold)) {
    case LT_HOLD_FULL:
        lt_limits_note(l->limits, l->row, r.key, 0, true, r.host->spec.loop->now_us);
        return verdict(L, &r, "in_flight", 0);
    case LT_HOLD_NO_ROOM:
        lt_metrics_add(r.host->spec.metrics, LT_COUNTER_LIMIT_UNCOUNTED, 1);
        break;
    case LT_HOLD_TAKEN:
        break;
    }
    /* With rates it is counted when these are taken. */
    return l->spec.n_windows == 0 ? verdict(L, &r, NULL, 0) : 0;
}

/* limiter:id(key) */
static int id(lua_State *L)
{
    char space[LT_ADDR_TEXT_MAX];
    const struct limiter *l = check_limiter(L);
    struct lt_str key = check_key(L, 2, l, space);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, l->scope_name);
    luaL_addchar(&b, ':');
    luaL_addlstring(&b, key.p, key.len);
    luaL_pushresult(&b);
    return 1;
}

/* limiter:fell_back(): a request was counted here because Redis did not answer. */
static int fell_back(lua_State *L)
{
    const struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    if (fvm->host != NULL) {
        lt_metrics_add(fvm->host->spec.metrics, LT_COUNTER_LIMIT_FALLBACK, 1);
    }
    return 0;
}

static const struct lt_api_row option_rows[] = {
    LT_API_FIELD("key", "fun(ctx: lintel.Ctx): string|boolean|nil",
                 "A setting of the type `expr`: the key of requests for which none is given."),
    LT_API_FIELD("rate", "lintel.Rate|string|(lintel.Rate|string)[]",
                 "One or several, at most 8, which all have to allow a request."),
    LT_API_FIELD("burst", "integer", "Requests that may come at once besides, for each rate."),
    LT_API_FIELD("in_flight", "integer", "Most requests of a key at the same time, up to 1000."),
    LT_API_FIELD("ipv6_prefix", "integer",
                 "Keys that are IPv6 addresses are one if so many bits (64) are the same."),
    LT_API_FIELD("dry_run", "boolean", "Counts, but refuses nothing and tells clients nothing."),
    LT_API_FIELD("fleet", "boolean", "Counted elsewhere: `lintel limits` says so."),
    LT_API_FIELD("name", "string",
                 "In the fields for clients. Limits of the same name share their counts; without "
                 "one those of the instance are its own."),
    LT_API_END,
};

const struct lt_api lt_api_limit_options = {
    .name = "lintel.LimitOptions",
    .doc = "What `lintel.limit.new` takes: `rate`, `in_flight`, or both.",
    .rows = option_rows,
};

static const struct lt_api_row limiter_rows[] = {
    {"take", ":(ctx: lintel.Ctx, key: string?, cost?: integer): integer? retry_after",
     "Takes `cost` (1) requests of all rates or of none, adds `RateLimit` and `RateLimit-Policy` "
     "to "
     "the response and counts for the operator. Nothing if the request may pass, else the seconds "
     "after which to come again.",
     take},
    {"enter", ":(ctx: lintel.Ctx, key: string?): integer? retry_after",
     "Counts the exchange as in flight until it ends, however it does. As `take`.", enter},
    {"judge",
     ":(ctx: lintel.Ctx, key: string?, rate: integer, allowed: boolean, remaining: integer, "
     "retry_us: integer, reset_us: integer): integer? retry_after",
     "As `take` where something else has counted: by which rate, what it said, and times in "
     "microseconds.",
     judge},
    {"id", ":(key: string?): string",
     "The name of the counts, a colon and the key as it is counted, for those who count elsewhere.",
     id},
    {"fell_back", ":()", "Counts a request that had to be counted here.", fell_back},
    LT_API_END,
};

const struct lt_api lt_api_limiter = {
    .name = "lintel.Limit",
    .as = "limit",
    .doc = "What `lintel.limit.new` gives.",
    .page = "state.md",
    .rows = limiter_rows,
};
