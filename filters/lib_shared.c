/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.shared: values that all workers see (shared/value_table.h). A worker's thread. */
#include <math.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

#define MAGIC 0x5a4ed7abu
#define META "lintel.shared space"
#define TTL_MAX_MS (UINT64_C(365) * 24 * 3600 * 1000)

/* Userdata: a space of names. */
struct space {
    uint32_t magic;
    bool named;
    uint64_t scope; /* of the name; else the running instance's is taken */
};

/* One operation by an argument list: space, key ... */
struct op {
    struct lt_filters *host;
    struct lt_value_op at;
};

/* shared.open() or shared.open{name = "sessions"} */
static int open_space(lua_State *L)
{
    static const char *const known[] = {"name"};
    static const struct lt_hash_seed seed = {1, 2}; /* the table's keys have a secret one */
    struct lt_str name = LT_STR_NONE;
    lua_settop(L, 1);
    if (!lua_isnil(L, 1)) {
        luaL_checktype(L, 1, LUA_TTABLE);
        lt_lua_check_keys(L, 1, "shared.open", known, lt_countof(known));
        if (lua_getfield(L, 1, "name") != LUA_TNIL) {
            name = lt_lua_check_str(L, -1);
        }
    }
    struct space *space = lua_newuserdatauv(L, sizeof(*space), 0);
    *space = (struct space){.magic = MAGIC, .named = name.len > 0};
    if (name.len > 0) {
        space->scope = lt_hash(&seed, name);
    }
    luaL_setmetatable(L, META);
    return 1;
}

static void check_op(lua_State *L, struct op *op)
{
    const struct space *space = lua_touserdata(L, 1);
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    if (lua_type(L, 1) != LUA_TUSERDATA || lua_rawlen(L, 1) != sizeof(*space) ||
        space->magic != MAGIC) {
        luaL_argerror(L, 1, "what lintel.shared.open() gave expected: is a colon missing?");
    }
    struct lt_str key = lt_lua_check_str(L, 2);
    const struct lt_filter_unit *unit = lt_filter_vm_unit(fvm);
    if (unit == NULL) {
        luaL_error(L, "shared values are there while requests are served, not at load");
    }
    op->host = fvm->host;
    uint64_t scope = space->named ? space->scope : unit->scope;
    struct lt_value_table *table = fvm->host->spec.values;
    op->at = (struct lt_value_op){.key = lt_value_key(table, scope, key),
                                  .now_us = fvm->host->spec.loop->now_us};
}

static struct lt_value_table *table_of(const struct op *op)
{
    return op->host->spec.values;
}

static void count(const struct op *op)
{
    if (op->at.evicted > 0) {
        lt_metrics_add(op->host->spec.metrics, LT_COUNTER_SHARED_EVICTED, op->at.evicted);
    }
}

/* The value at arg; nil only where it may be. A text lives as long as the argument. */
static struct lt_value check_value(lua_State *L, int arg, bool or_nil)
{
    struct lt_value v = {.type = LT_VALUE_NONE};
    switch (lua_type(L, arg)) {
    case LUA_TBOOLEAN:
        v = (struct lt_value){.type = LT_VALUE_BOOL, .boolean = lua_toboolean(L, arg)};
        break;
    case LUA_TSTRING:
        v = (struct lt_value){.type = LT_VALUE_TEXT, .text = lt_lua_check_str(L, arg)};
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, arg)) {
            v = (struct lt_value){.type = LT_VALUE_INT, .integer = lua_tointeger(L, arg)};
        } else {
            v = (struct lt_value){.type = LT_VALUE_NUMBER, .number = lua_tonumber(L, arg)};
        }
        break;
    default:
        if (!or_nil || !lua_isnoneornil(L, arg)) {
            luaL_argerror(L, arg,
                          "a string, a number or a boolean: lintel.json.encode makes text of the "
                          "rest");
        }
    }
    return v;
}

static struct lt_value check_number(lua_State *L, int arg)
{
    if (lua_type(L, arg) != LUA_TNUMBER) {
        luaL_typeerror(L, arg, "number");
    }
    return check_value(L, arg, false);
}

/* When a value set now with the time at arg (nil: without an end) is forgotten. */
static uint64_t check_until(lua_State *L, int arg, const struct op *op)
{
    return lua_isnoneornil(L, arg) ? LT_VALUE_FOREVER
                                   : op->at.now_us + lt_lua_duration_ms(L, arg, TTL_MAX_MS) * 1000;
}

static void push(lua_State *L, const struct lt_value *v)
{
    switch (v->type) {
    case LT_VALUE_NONE:
        lua_pushnil(L);
        break;
    case LT_VALUE_BOOL:
        lua_pushboolean(L, v->boolean);
        break;
    case LT_VALUE_INT:
        lua_pushinteger(L, v->integer);
        break;
    case LT_VALUE_NUMBER:
        lua_pushnumber(L, v->number);
        break;
    case LT_VALUE_TEXT:
        lt_lua_push_str(L, v->text);
        break;
    }
}

/* true, false, or nil and why. */
static int push_result(lua_State *L, const struct op *op, enum lt_value_result result)
{
    count(op);
    if (result == LT_VALUE_TOO_LARGE) {
        lua_pushnil(L);
        lua_pushliteral(L, "too_large");
        return 2;
    }
    lua_pushboolean(L, result == LT_VALUE_DONE);
    return 1;
}

/* s:get(key) */
static int get(lua_State *L)
{
    struct op op;
    struct lt_value v;
    check_op(L, &op);
    if (op.host->text == NULL) {
        op.host->text = lt_malloc(LT_VALUE_MAX);
        if (op.host->text == NULL) {
            return luaL_error(L, "not enough memory");
        }
    }
    lt_value_get(table_of(&op), &op.at, op.host->text, &v, NULL);
    push(L, &v);
    return 1;
}

/* s:ttl(key): seconds that are left; math.huge without an end; nil without a value. */
static int ttl(lua_State *L)
{
    struct op op;
    struct lt_value v;
    uint64_t until;
    check_op(L, &op);
    lt_value_get(table_of(&op), &op.at, NULL, &v, &until);
    if (v.type == LT_VALUE_NONE) {
        lua_pushnil(L);
    } else if (until == LT_VALUE_FOREVER) {
        lua_pushnumber(L, HUGE_VAL);
    } else {
        lua_pushnumber(L, (double)(until - op.at.now_us) / 1e6);
    }
    return 1;
}

/* s:set(key, value [, ttl]) */
static int set(lua_State *L)
{
    struct op op;
    check_op(L, &op);
    struct lt_value v = check_value(L, 3, false);
    uint64_t until = check_until(L, 4, &op);
    return push_result(L, &op, lt_value_set(table_of(&op), &op.at, &v, until));
}

/* s:add(key, value [, ttl]): false when there is one. */
static int add(lua_State *L)
{
    struct op op;
    const struct lt_value none = {.type = LT_VALUE_NONE};
    check_op(L, &op);
    struct lt_value v = check_value(L, 3, false);
    uint64_t until = check_until(L, 4, &op);
    return push_result(L, &op, lt_value_cas(table_of(&op), &op.at, &none, &v, until));
}

/* s:cas(key, old, new [, ttl]): false when there is another than old. */
static int cas(lua_State *L)
{
    struct op op;
    check_op(L, &op);
    struct lt_value old = check_value(L, 3, true), v = check_value(L, 4, true);
    uint64_t until = check_until(L, 5, &op);
    return push_result(L, &op, lt_value_cas(table_of(&op), &op.at, &old, &v, until));
}

/* s:incr(key [, by [, init [, ttl]]]): the sum. */
static int incr(lua_State *L)
{
    struct op op;
    struct lt_value by = {.type = LT_VALUE_INT, .integer = 1}, sum;
    struct lt_value init = {.type = LT_VALUE_INT, .integer = 0};
    check_op(L, &op);
    if (!lua_isnoneornil(L, 3)) {
        by = check_number(L, 3);
    }
    if (!lua_isnoneornil(L, 4)) {
        init = check_number(L, 4);
    }
    uint64_t until = check_until(L, 5, &op);
    if (lt_value_incr(table_of(&op), &op.at, &by, &init, until, &sum) != LT_VALUE_DONE) {
        lua_pushnil(L);
        lua_pushliteral(L, "not_a_number");
        return 2;
    }
    count(&op);
    push(L, &sum);
    return 1;
}

/* s:delete(key): whether there was one. */
static int remove_key(lua_State *L)
{
    struct op op;
    check_op(L, &op);
    lua_pushboolean(L, lt_value_delete(table_of(&op), &op.at));
    return 1;
}

#define VALUE "string|number|boolean"

static const struct lt_api_row space_rows[] = {
    {"get", ":(key: string): (" VALUE ")?", "", get},
    {"set", ":(key: string, value: " VALUE ", ttl?: number|string): true?, string? reason",
     "Nil and `too_large` for a text beyond 64 KB.", set},
    {"add", ":(key: string, value: " VALUE ", ttl?: number|string): boolean? added, string? reason",
     "As `set`, but false when there is one.", add},
    {"incr",
     ":(key: string, by?: number, init?: number, ttl?: number|string): number? sum, string? reason",
     "Adds `by` (1) to the value; where there is none to `init` (0), and `ttl` begins. Nil and "
     "`not_a_number` for anything else.",
     incr},
    {"cas",
     ":(key: string, old: (" VALUE ")?, new: (" VALUE ")?, ttl?: number|string): boolean? changed, "
     "string? reason",
     "Puts `new` in the place of `old`, false if the value is another; nil stands for none.", cas},
    {"delete", ":(key: string): boolean", "Whether there was one.", remove_key},
    {"ttl", ":(key: string): number?", "Seconds left, `math.huge` without an end.", ttl},
    LT_API_END,
};

const struct lt_api lt_api_space = {
    .name = "lintel.Shared",
    .as = "shared",
    .doc = "What `lintel.shared.open` gives. Each function is one step: no other worker comes in "
           "between.",
    .page = "state.md",
    .rows = space_rows,
};

static const struct lt_api_row rows[] = {
    {"open", "(options?: {name?: string}): lintel.Shared",
     "The values of this instance, or those of a name.", open_space},
    LT_API_END,
};

static void open_shared(lua_State *L)
{
    lt_api_metatable(L, META, &lt_api_space);
    lua_pop(L, 1);
}

const struct lt_api lt_api_shared = {
    .name = "lintel.shared",
    .as = "lintel.shared",
    .doc = "Values that all workers see. They live as long as the gateway process.",
    .page = "state.md",
    .rows = rows,
    .open = open_shared,
};
