/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.cache: what a filter has fetched or computed, in its own Lua state. A worker's thread.
 *
 *   get -> fresh: the value
 *          stale: the value, and a load begins      } one load per key at a time: a job of its own,
 *          none:  a load begins, the call waits     } whoever else asks waits for it too
 *   load ends -> kept in the cache -> all that wait go on with its result
 *
 * The entries are in cache.c. A load is C memory: it lives until its job has ended and nobody waits
 * for its result. */
#include <stdio.h>

#include "base/mem.h"
#include "base/obj.h"
#include "config/units.h"
#include "filters/api.h"
#include "filters/cache.h"
#include "filters/host_impl.h"
#include "filters/job.h"
#include "filters/lib.h"
#include "filters/report.h"

#define META "lintel.cache object"
#define MAGIC 0xcac4e5edu
#define ENTRIES_MAX 100000
#define ENTRIES_DEFAULT 1000
#define BYTES_MAX ((uint64_t)1 << 30)
#define BYTES_DEFAULT ((uint64_t)1 << 20)
#define TTL_MAX_MS (UINT64_C(365) * 24 * 3600 * 1000)
#define TTL_DEFAULT_MS UINT64_C(60000)
/* Loads of one cache at the same time. */
#define LOADS_MAX 1000u
/* A load that failed is not begun again sooner while there is a stale value. */
#define RETRY_US UINT64_C(1000000)

struct load {
    struct lt_list link; /* in host->loads while it runs */
    struct lt_list waiters;
    struct lt_deferred begin;
    struct lt_job *job; /* NULL: given up */
    struct lt_vm *vm;
    struct lt_cache *cache;
    int keep;      /* in the registry: a list of the cache and the key */
    unsigned refs; /* its running, and each waiter */
    bool begun;
    bool superseded; /* the key was set or deleted meanwhile: the result is not kept */
    enum lt_vm_end end;
    enum lt_cause cause; /* NONE: the loader returned */
    char why[LT_VM_TRACE_MAX];
};

struct waiter {
    struct lt_async wait;
    struct lt_list link; /* in load->waiters */
    struct load *load;
};

static struct lt_cache *check_cache(lua_State *L)
{
    struct lt_cache *c = lua_touserdata(L, 1);
    if (lua_type(L, 1) != LUA_TUSERDATA || lua_rawlen(L, 1) < sizeof(*c) || c->magic != MAGIC) {
        luaL_argerror(L, 1, "what lintel.cache.new gave expected: is a colon missing?");
    }
    return c;
}

/* ---- loads ---- */

static void release(struct load *l)
{
    if (--l->refs > 0) {
        return;
    }
    luaL_unref(l->vm->L, LUA_REGISTRYINDEX, l->keep);
    if (l->job != NULL && l->end == LT_VM_DONE) {
        lt_job_put(l->job);
    } else if (l->job != NULL) {
        lt_job_drop(l->job);
    }
    lt_free(l);
}

/* Takes the load out of the table of those that run, where it is unless it was superseded. */
static void unlist(lua_State *L, struct load *l)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, l->keep);
    lua_rawgeti(L, -1, 1);
    lua_getiuservalue(L, -1, LT_CACHE_LOADS);
    lua_rawgeti(L, -3, 2);
    lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 3);
}

/* There is a value that serves until a later load succeeds. */
static bool keep_stale(lua_State *L, int cache, int key)
{
    struct lt_cache *c = lua_touserdata(L, cache);
    uint32_t slot = lt_cache_find(L, cache, key);
    uint64_t now = lt_cache_now_us(L);
    if (slot == 0 || c->e[slot].negative || now >= c->e[slot].stale_us) {
        return false;
    }
    c->e[slot].load_us = now + lt_max(c->negative_us, RETRY_US);
    return true;
}

/* What the loader returned: value [, ttl], or nil: there is none, or nil, why: it failed. */
static int keep_result(lua_State *L)
{
    struct load *l = lua_touserdata(L, 1);
    struct lt_cache *c = l->cache;
    lua_State *co = l->job->task.co;
    uint64_t ttl_ms = c->ttl_us / 1000;
    lua_rawgeti(L, LUA_REGISTRYINDEX, l->keep);
    lua_rawgeti(L, 2, 1);          /* index 3: the cache */
    lua_rawgeti(L, 2, 2);          /* 4: the key */
    for (int i = 1; i <= 2; i++) { /* 5: the value; 6: its time, or why there is none */
        if (l->end == LT_VM_DONE && lua_gettop(co) >= LT_JOB_BASE + i) {
            lua_pushvalue(co, LT_JOB_BASE + i);
            lua_xmove(co, L, 1);
        } else {
            lua_pushnil(L);
        }
    }
    if (!lua_isnil(L, 5)) {
        if (!lua_isnil(L, 6) && !lt_lua_to_duration(L, 6, TTL_MAX_MS, &ttl_ms)) {
            return luaL_error(L, "cache: a loader returns its value and for how long it holds: "
                                 "seconds, or a text as in \"5m\"");
        }
        lt_cache_store(L, 3, 4, 5, false, ttl_ms * 1000);
    } else if (l->end != LT_VM_DONE) {
        (void)keep_stale(L, 3, 4);
    } else if (lua_isnil(L, 6) || !keep_stale(L, 3, 4)) {
        if (lua_type(L, 6) != LUA_TSTRING) {
            lua_pushboolean(L, 0);
            lua_replace(L, 6);
        }
        lt_cache_store(L, 3, 4, 6, true, c->negative_us);
    }
    return 0;
}

static void finish(struct load *l, enum lt_vm_end end, enum lt_cause cause)
{
    struct lt_filter_unit *unit = l->job->task.unit;
    struct lt_vm *vm = l->vm;
    bool waited = !lt_list_empty(&l->waiters);
    l->end = end;
    l->cause = cause;
    if (cause != LT_CAUSE_NONE) {
        snprintf(l->why, sizeof(l->why), "%s", vm->error);
    }
    lt_list_remove(&l->link);
    l->cache->loading--;
    if (!l->superseded) {
        unlist(vm->L, l);
        if (!lt_vm_setup(vm, keep_result, l) && cause == LT_CAUSE_NONE) {
            lt_filter_failed(unit, "cache", LT_STR_NONE, LT_CAUSE_FILTER_ERROR, vm->error);
        }
    }
    /* An error that somebody waits for is theirs to tell. */
    if (cause != LT_CAUSE_NONE && (!waited || cause != LT_CAUSE_FILTER_ERROR)) {
        lt_filter_failed(unit, "cache", LT_STR_NONE, cause, l->why);
    }
    lt_list_each(it, tmp, &l->waiters)
    {
        lt_async_done(&lt_container_of(it, struct waiter, link)->wait);
    }
    if (end != LT_VM_DONE && cause != LT_CAUSE_FILTER_ERROR) { /* it may wait for something */
        lt_job_drop(l->job);
        l->job = NULL;
    }
    release(l);
}

static void resume(struct load *l)
{
    int n;
    enum lt_vm_end end = lt_task_resume(&l->job->task, l->begun ? 0 : 1, &n);
    l->begun = true;
    if (end != LT_VM_WAITS) {
        finish(l, end, end == LT_VM_DONE ? LT_CAUSE_NONE : lt_filter_cause(end));
    }
}

static void begin(void *arg)
{
    resume(arg);
}

static void go_on(struct lt_task *task)
{
    struct load *l = lt_container_of(task, struct lt_job, task)->owner;
    if (task->late) {
        struct lt_vm *vm = task->unit->fvm->vm;
        lt_vm_where(task->co, vm->error, sizeof(vm->error));
        finish(l, LT_VM_WAITS, LT_CAUSE_FILTER_WALL);
    } else {
        resume(l);
    }
}

void lt_cache_fini(struct lt_filter_vm *fvm)
{
    lt_list_each(it, tmp, &fvm->host->loads)
    {
        struct load *l = lt_container_of(it, struct load, link);
        if (l->vm != fvm->vm) {
            continue;
        }
        lt_list_remove(&l->link);
        lt_loop_cancel(&l->begin);
        lt_job_drop(l->job);
        l->job = NULL;
        release(l);
    }
}

/* The load of the key that runs, or NULL. Arguments: cache, key. */
static struct load *running(lua_State *L)
{
    lua_getiuservalue(L, 1, LT_CACHE_LOADS);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    struct load *l = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return l;
}

/* A load with its job, whose stack holds the loader and the key. NULL: vm->error says why. */
static struct load *new_load(lua_State *L, struct lt_filter_unit *unit, int keep)
{
    struct load *l = lt_calloc(1, sizeof(*l));
    struct lt_job *job = lt_job_get(unit);
    if (l == NULL || job == NULL) {
        if (job != NULL) {
            lt_job_put(job);
            snprintf(unit->fvm->vm->error, LT_VM_TRACE_MAX, "not enough memory");
        }
        lt_free(l);
        return NULL;
    }
    lt_list_init(&l->waiters);
    l->job = job;
    l->vm = unit->fvm->vm;
    l->cache = lua_touserdata(L, 1);
    l->keep = keep;
    l->refs = 1;
    job->owner = l;
    job->task.go_on = go_on;
    job->task.wall_us = lt_cache_now_us(L) + unit->instance->wall_ms * 1000;
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 2);
    lua_xmove(L, job->task.co, 2);
    return l;
}

/* Begins a load at the end of the turn. Arguments: cache, key, loader. */
static struct load *begin_load(lua_State *L, struct lt_cache *c)
{
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    if (lt_filter_vm_unit(fvm) == NULL) {
        luaL_error(L, "cache: nothing can be loaded in `init`: use `every`");
    }
    if (c->loading == LOADS_MAX) {
        luaL_error(L, "cache: more than %d loads at the same time", (int)LOADS_MAX);
    }
    lua_getiuservalue(L, 1, LT_CACHE_LOADS); /* index 4 */
    lua_pushvalue(L, 2);
    lua_pushboolean(L, 0); /* takes the place, so that what follows can't raise */
    lua_rawset(L, 4);
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, 2);
    int keep = luaL_ref(L, LUA_REGISTRYINDEX);
    struct load *l = new_load(L, lt_filter_vm_unit(fvm), keep);
    lua_pushvalue(L, 2);
    if (l == NULL) {
        luaL_unref(L, LUA_REGISTRYINDEX, keep);
        lua_pushnil(L);
        lua_rawset(L, 4);
        luaL_error(L, "cache: %s", fvm->vm->error);
    }
    lua_pushlightuserdata(L, l);
    lua_rawset(L, 4);
    lua_settop(L, 3);
    c->loading++;
    lt_list_push_back(&fvm->host->loads, &l->link);
    lt_loop_defer(fvm->host->spec.loop, &l->begin, begin, l);
    return l;
}

/* ---- waiting for one ---- */

static void on_end(struct lt_async *wait)
{
    struct waiter *w = lt_container_of(wait, struct waiter, wait);
    struct load *l = w->load;
    lt_list_remove(&w->link);
    lt_free(w);
    release(l);
}

/* The load is over: its result, or its error, for one that waited. */
static int loaded(lua_State *L, int status, lua_KContext k)
{
    struct waiter *w = lt_container_of((struct lt_async *)k, struct waiter, wait);
    const struct load *l = w->load;
    (void)status;
    luaL_checkstack(L, 4, NULL);
    if (l->cause != LT_CAUSE_NONE && l->cause != LT_CAUSE_FILTER_ERROR) {
        return luaL_error(L, "cache: the loader was stopped (%s): %s",
                          lt_cause_info(l->cause)->name, l->why);
    }
    lua_State *co = l->job->task.co;
    if (!lua_checkstack(co, 1)) {
        return luaL_error(L, "not enough memory");
    }
    if (l->cause == LT_CAUSE_FILTER_ERROR) {
        lua_pushvalue(co, -1);
        lua_xmove(co, L, 1);
        return lua_error(L);
    }
    int n = lua_gettop(co) - LT_JOB_BASE;
    bool why = n > 1 && lua_isnil(co, LT_JOB_BASE + 1) && !lua_isnil(co, LT_JOB_BASE + 2);
    n = why ? 2 : lt_min(n, 1);
    for (int i = 1; i <= n; i++) {
        lua_pushvalue(co, LT_JOB_BASE + i);
        lua_xmove(co, L, 1);
    }
    return n > 0 ? n : lt_lua_nil(L);
}

static int wait_for(lua_State *L, struct load *l)
{
    struct waiter *w = lt_calloc(1, sizeof(*w));
    if (w == NULL) {
        return luaL_error(L, "not enough memory");
    }
    w->wait.end = on_end;
    w->load = l;
    l->refs++;
    lt_list_push_back(&l->waiters, &w->link);
    return lt_task_wait(L, &w->wait, loaded);
}

/* ---- functions ---- */

/* cache:get(key [, loader]) */
static int get(lua_State *L)
{
    struct lt_cache *c = check_cache(L);
    uint64_t now = lt_cache_now_us(L);
    luaL_checkstring(L, 2);
    lua_settop(L, 3);
    if (!lua_isnil(L, 3)) {
        luaL_checktype(L, 3, LUA_TFUNCTION);
    }
    uint32_t slot = lt_cache_find(L, 1, 2);
    if (slot != 0 && now < c->e[slot].fresh_us) {
        return lt_cache_push(L, 1, slot);
    }
    if (slot != 0 && now >= c->e[slot].stale_us) {
        lt_cache_forget(L, 1, slot);
        slot = 0;
    }
    if (lua_isnil(L, 3)) {
        return lt_lua_nil(L);
    }
    struct load *l = running(L);
    if (slot != 0) {
        if (l == NULL && now >= c->e[slot].load_us && c->loading < LOADS_MAX) {
            (void)begin_load(L, c);
        }
        return lt_cache_push(L, 1, slot);
    }
    (void)lt_task_check(L);
    return wait_for(L, l != NULL ? l : begin_load(L, c));
}

/* A load that runs is not to bring back what is set or deleted now. */
static void supersede(lua_State *L)
{
    struct load *l = running(L);
    if (l != NULL) {
        unlist(L, l);
        l->superseded = true;
    }
}

/* cache:set(key, value [, ttl]) */
static int set(lua_State *L)
{
    struct lt_cache *c = check_cache(L);
    luaL_checkstring(L, 2);
    lua_settop(L, 4);
    luaL_argcheck(L, !lua_isnil(L, 3), 3, "nil can't be kept: cache:delete removes a value");
    uint64_t ttl_us = lua_isnil(L, 4) ? c->ttl_us : lt_lua_duration_ms(L, 4, TTL_MAX_MS) * 1000;
    supersede(L);
    lt_cache_store(L, 1, 2, 3, false, ttl_us);
    return 0;
}

/* cache:delete(key) */
static int remove_key(lua_State *L)
{
    (void)check_cache(L);
    luaL_checkstring(L, 2);
    supersede(L);
    uint32_t slot = lt_cache_find(L, 1, 2);
    if (slot != 0) {
        lt_cache_forget(L, 1, slot);
    }
    return 0;
}

static uint64_t time_option(lua_State *L, const char *name, uint64_t def_ms)
{
    uint64_t ms = def_ms;
    if (lua_getfield(L, 1, name) != LUA_TNIL && !lt_lua_to_duration(L, -1, TTL_MAX_MS, &ms)) {
        luaL_error(L, "cache.new: %s is a time: seconds, or a text as in \"5m\"", name);
    }
    lua_pop(L, 1);
    return ms * 1000;
}

/* The bytes that values may take: a number or a text as in "1M". */
static uint64_t bytes_option(lua_State *L)
{
    uint64_t bytes = BYTES_DEFAULT;
    if (lua_getfield(L, 1, "bytes") == LUA_TSTRING) {
        if (!lt_units_size(lt_lua_check_str(L, -1), &bytes)) {
            bytes = 0;
        }
    } else if (!lua_isnil(L, -1)) {
        bytes = (uint64_t)luaL_checkinteger(L, -1);
    }
    lua_pop(L, 1);
    if (bytes == 0 || bytes > BYTES_MAX) {
        luaL_error(L, "cache.new: bytes is a size as in \"1M\", at most 1G");
    }
    return bytes;
}

/* cache.new{max = 1000, bytes = "1M", ttl = "1m", negative_ttl = 0, stale = 0} */
static int make(lua_State *L)
{
    if (lt_filter_vm_of(L)->task != NULL) {
        return luaL_error(L, "cache.new: make caches in `init`, not for each request");
    }
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lt_api_check_keys(L, 1, "cache.new", &lt_api_cache_options);
    lua_getfield(L, 1, "max");
    lua_Integer max = luaL_optinteger(L, -1, ENTRIES_DEFAULT);
    if (max < 1 || max > ENTRIES_MAX) {
        return luaL_error(L, "cache.new: max is 1 to %d", ENTRIES_MAX);
    }
    const struct lt_cache options = {.magic = MAGIC,
                                     .max = (uint32_t)max,
                                     .unused = 1,
                                     .bytes_max = bytes_option(L),
                                     .ttl_us = time_option(L, "ttl", TTL_DEFAULT_MS),
                                     .negative_us = time_option(L, "negative_ttl", 0),
                                     .stale_us = time_option(L, "stale", 0)};
    size_t size = sizeof(struct lt_cache) + ((size_t)max + 1) * sizeof(struct lt_cache_entry);
    struct lt_cache *c = lua_newuserdatauv(L, size, LT_CACHE_TABLES);
    *c = options;
    for (int i = 1; i <= LT_CACHE_TABLES; i++) {
        lua_newtable(L);
        lua_setiuservalue(L, -2, i);
    }
    luaL_setmetatable(L, META);
    return 1;
}

static const struct lt_api_row object_rows[] = {
    {"get",
     ":(key: string, loader?: fun(key: string): (value: any, ttl: any)): any value, string? reason",
     "The value of a key; `loader` gets what is not there, and may wait. Calls that want the same "
     "key at once wait for one loader. It returns the value and, if it has one of its own, a ttl; "
     "or nil: there is no such thing; or nil and a reason: it could not be found out, and `get` "
     "gives both.",
     get},
    {"set", ":(key: string, value: any, ttl?: number|string)", "Any value but nil, as it is.", set},
    {"delete", ":(key: string)", "", remove_key},
    LT_API_END,
};

const struct lt_api lt_api_cache_object = {
    .name = "lintel.Cache",
    .as = "cache",
    .doc = "What `lintel.cache.new` gives: a cache of this worker, in the memory of its file.",
    .page = "state.md",
    .rows = object_rows,
};

static const struct lt_api_row option_rows[] = {
    LT_API_FIELD("max", "integer", "Values that are kept, at most 100000; 1000 without it."),
    LT_API_FIELD("bytes", "integer|string", "About as much memory, `\"1M\"` without it."),
    LT_API_FIELD("ttl", "number|string", "How long a value is good, `\"1m\"` without it."),
    LT_API_FIELD("negative_ttl", "number|string",
                 "For how long a loader that found nothing isn't asked again; 0 without it."),
    LT_API_FIELD("stale", "number|string",
                 "For how long a value that is over is still given while a loader runs or as long "
                 "as loaders "
                 "fail; 0 without it."),
    LT_API_END,
};

const struct lt_api lt_api_cache_options = {
    .name = "lintel.CacheOptions",
    .doc = "Options of `lintel.cache.new`.",
    .rows = option_rows,
};

static const struct lt_api_row rows[] = {
    {"new", "(options?: lintel.CacheOptions): lintel.Cache", "Makes a cache; in `init`.", make},
    LT_API_END,
};

static void open_cache(lua_State *L)
{
    lt_api_metatable(L, META, &lt_api_cache_object);
    lua_pop(L, 1);
}

const struct lt_api lt_api_cache = {
    .name = "lintel.cache",
    .as = "lintel.cache",
    .doc = "Remembers what was looked up, on each worker for itself.",
    .page = "state.md",
    .rows = rows,
    .open = open_cache,
};
