/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.limit.gcra on the shared rate table, and the rates that settings of that type become. */
#include "base/obj.h"
#include "config/units.h"
#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/lib_limit.h"

#define RATE_MAGIC 0x2a7e11a7u
#define RATE_META "lintel.rate"
/* Of a limit in the RateLimit field. */
#define NAME_MAX_LEN 100u

/* Userdata: a rate, and the limit that was made of it last. */
struct rate {
    uint32_t magic;
    struct lt_rate rate;
    lua_Integer burst; /* that limit was made with; -1: none yet */
    struct lt_rate_limit limit;
};

static struct rate *check_rate(lua_State *L, int arg)
{
    struct rate *r = lua_touserdata(L, arg);
    if (r == NULL || lua_type(L, arg) != LUA_TUSERDATA || lua_rawlen(L, arg) != sizeof(*r) ||
        r->magic != RATE_MAGIC) {
        luaL_typeerror(L, arg, "rate");
    }
    return r;
}

static int rate_get(lua_State *L)
{
    const struct rate *r = check_rate(L, 1);
    struct lt_str key = lt_lua_check_str(L, 2);
    if (lt_str_eq_c(key, "count")) {
        lua_pushinteger(L, r->rate.count);
    } else if (lt_str_eq_c(key, "seconds")) {
        lua_pushnumber(L, (double)r->rate.period_ms / 1000.0);
    } else {
        return luaL_error(L, "a rate has count and seconds, but no '%s'", key.p);
    }
    return 1;
}

void lt_lua_push_rate(lua_State *L, const struct lt_rate *rate)
{
    struct rate *r = lua_newuserdatauv(L, sizeof(*r), 0);
    *r = (struct rate){.magic = RATE_MAGIC, .rate = *rate, .burst = -1};
    if (luaL_newmetatable(L, RATE_META)) {
        lua_pushcfunction(L, rate_get);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

void lt_lua_limit_make(lua_State *L, const struct lt_rate *rate, uint32_t burst,
                       struct lt_rate_limit *limit)
{
    if (!lt_rate_limit_make(limit, rate->count, rate->period_ms, burst)) {
        luaL_error(L, "this limit can't be kept: at most 1,000,000 a second, and what is allowed "
                      "at once must be refilled within 7 days");
    }
}

void lt_lua_limit_rate(lua_State *L, int index, struct lt_rate *rate)
{
    index = lua_absindex(L, index);
    if (lua_type(L, index) != LUA_TSTRING) {
        *rate = check_rate(L, index)->rate;
    } else if (!lt_units_rate(lt_lua_check_str(L, index), rate)) {
        luaL_error(L, "a rate is written as in \"100/1m\"");
    }
}

/* The limit of arguments 2 (rate) and 3 (burst); the one made for a setting is kept. */
static const struct lt_rate_limit *check_limit(lua_State *L, struct lt_rate_limit *space)
{
    lua_Integer burst = luaL_optinteger(L, 3, 0);
    luaL_argcheck(L, burst >= 0 && burst <= UINT32_MAX, 3, "a burst is 0 or more");
    if (lua_type(L, 2) == LUA_TSTRING) {
        struct lt_rate rate;
        lt_lua_limit_rate(L, 2, &rate);
        lt_lua_limit_make(L, &rate, (uint32_t)burst, space);
        return space;
    }
    struct rate *r = check_rate(L, 2);
    if (LT_UNLIKELY(r->burst != burst)) {
        lt_lua_limit_make(L, &r->rate, (uint32_t)burst, &r->limit);
        r->burst = burst;
    }
    return &r->limit;
}

static void push_seconds(lua_State *L, uint64_t us)
{
    lua_pushinteger(L, (lua_Integer)((us + 999999) / 1000000));
}

/* lintel.limit.gcra(key, rate [, burst [, name]]) gives allowed, remaining, retry_after, reset
 * (whole seconds, rounded up). Keys are apart for each instance, or for each name. */
static int gcra(lua_State *L)
{
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    struct lt_str key = lt_lua_check_str(L, 1);
    struct lt_rate_limit space;
    struct lt_rate_result result;
    const struct lt_rate_limit *limit = check_limit(L, &space);
    const struct lt_filter_unit *unit = lt_filter_vm_unit(fvm);
    if (unit == NULL) {
        return luaL_error(L, "limits are kept while requests are served, not at load");
    }
    const struct lt_filters_spec *spec = &fvm->host->spec;
    uint64_t scope =
        lua_isnoneornil(L, 4) ? unit->scope : lt_hash(&spec->rate->seed, lt_lua_check_str(L, 4));
    struct lt_hash_seed seed = {spec->rate->seed.k0 ^ scope, spec->rate->seed.k1};
    lt_rate_take(spec->rate, lt_hash(&seed, key), spec->loop->now_us, limit, 1, &result);
    if (LT_UNLIKELY(result.evicted)) {
        lt_metrics_add(spec->metrics, LT_COUNTER_LIMIT_EVICTED, 1);
    }
    lua_pushboolean(L, result.allowed);
    lua_pushinteger(L, result.remaining);
    push_seconds(L, result.retry_after_us);
    push_seconds(L, result.reset_us);
    return 4;
}

/* lintel.limit.check(rate, burst): raises when such a limit can't be kept; for init. */
static int check(lua_State *L)
{
    struct lt_rate_limit limit;
    lua_pushnil(L);
    lua_insert(L, 1);
    (void)check_limit(L, &limit);
    return 0;
}

/* The member `name` of the RateLimit field, in the exchange's arena. */
static struct lt_str write_left(lua_State *L, struct lt_runner *runner, struct lt_str name,
                                lua_Integer remaining, lua_Integer reset)
{
    char text[NAME_MAX_LEN + 64];
    struct lt_buf out;
    lt_buf_init_fixed(&out, text, sizeof(text));
    lt_buf_char(&out, '"');
    lt_buf_str(&out, name);
    lt_buf_add(&out, "\";r=", 4);
    lt_buf_u64(&out, (uint64_t)remaining);
    lt_buf_add(&out, ";t=", 3);
    lt_buf_u64(&out, (uint64_t)reset);
    return lt_ctx_keep(L, runner, lt_buf_view(&out));
}

/* lintel.limit.announce(ctx, name, policy, remaining, reset): RateLimit and RateLimit-Policy for
 * the response (draft-ietf-httpapi-ratelimit-headers), in one call because limits are counted for
 * most requests. */
static int announce(lua_State *L)
{
    struct lt_runner *runner = lt_runner_check(L, 1);
    struct lt_str name = lt_lua_check_str(L, 2), policy = lt_lua_check_str(L, 3);
    lua_Integer remaining = luaL_checkinteger(L, 4), reset = luaL_checkinteger(L, 5);
    luaL_argcheck(L, name.len <= NAME_MAX_LEN && lt_header_name_ok(name), 2,
                  "a name is at most 100 letters, digits and marks such as '-' and '_'");
    luaL_argcheck(L, lt_header_value_ok(policy), 3, "holds a control byte");
    luaL_argcheck(L, remaining >= 0, 4, "0 or more");
    luaL_argcheck(L, reset >= 0, 5, "0 or more");
    struct lt_headers *headers = lt_ctx_response_fields(L, runner);
    policy = lt_ctx_keep(L, runner, policy);
    struct lt_str left = write_left(L, runner, name, remaining, reset);
    if (lt_headers_add_id(headers, LT_HEADER_RATELIMIT_POLICY, policy) != LT_OK ||
        lt_headers_add_id(headers, LT_HEADER_RATELIMIT, left) != LT_OK) {
        return luaL_error(L, "too many headers");
    }
    return 0;
}

static const struct lt_api_row rate_rows[] = {
    LT_API_FIELD("count", "integer", ""),
    LT_API_FIELD("seconds", "number", ""),
    LT_API_END,
};

const struct lt_api lt_api_rate = {
    .name = "lintel.Rate",
    .as = "rate",
    .doc = "A setting of the type `rate`.",
    .rows = rate_rows,
};

static void open_limit(lua_State *L)
{
    lt_api_metatable(L, LT_LIMITER_META, &lt_api_limiter);
    lua_pop(L, 1);
}

static const struct lt_api_row rows[] = {
    {"gcra",
     "(key: string, rate: lintel.Rate|string, burst?: integer, name?: string): boolean allowed, "
     "integer remaining, integer retry_after, integer reset",
     "Takes one request from the limit of a key; times are seconds, rounded up. Instances that "
     "give the same `name` share their counts.",
     gcra},
    {"check", "(rate: lintel.Rate|string, burst?: integer)",
     "For `init`: raises when such a limit can't be kept.", check},
    {"announce",
     "(ctx: lintel.Ctx, name: string, policy: string, remaining: integer, reset: integer)",
     "Adds `RateLimit` and `RateLimit-Policy` to the response; in `request` and `response`.",
     announce},
    {"new", "(options: lintel.LimitOptions): lintel.Limit",
     "For `init`: a limit that judges a request by one call.", lt_lua_limiter_new},
    LT_API_END,
};

const struct lt_api lt_api_limit = {
    .name = "lintel.limit",
    .as = "lintel.limit",
    .doc = "Limits by key, in memory that all workers share and that survives reloads and crashes.",
    .page = "state.md",
    .rows = rows,
    .open = open_limit,
};
