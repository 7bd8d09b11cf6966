/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of caches (cache.h). A worker's thread, or the loader's. */
#include "filters/cache.h"

#include "filters/host_impl.h"

/* Beyond these a value's size is not counted, and it is not kept. */
#define DEPTH_MAX 16
#define NODES_MAX 10000u
/* Bytes of an entry, a table, one pair of a table, anything else but numbers and booleans. */
#define ENTRY_BYTES 150u
#define TABLE_BYTES 56u
#define PAIR_BYTES 40u
#define OBJECT_BYTES 64u

uint64_t lt_cache_now_us(lua_State *L)
{
    const struct lt_filters *host = lt_filter_vm_of(L)->host;
    return host != NULL ? host->spec.loop->now_us : lt_clock_us();
}

uint32_t lt_cache_find(lua_State *L, int cache, int key)
{
    lua_getiuservalue(L, cache, LT_CACHE_INDEX);
    lua_pushvalue(L, key);
    lua_rawget(L, -2);
    uint32_t slot = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 2);
    return slot;
}

static void order_remove(struct lt_cache *c, uint32_t slot)
{
    struct lt_cache_entry *e = &c->e[slot];
    *(e->newer != 0 ? &c->e[e->newer].older : &c->newest) = e->older;
    *(e->older != 0 ? &c->e[e->older].newer : &c->oldest) = e->newer;
}

static void order_push(struct lt_cache *c, uint32_t slot)
{
    struct lt_cache_entry *e = &c->e[slot];
    e->newer = 0;
    e->older = c->newest;
    *(c->newest != 0 ? &c->e[c->newest].newer : &c->oldest) = slot;
    c->newest = slot;
}

static void use(struct lt_cache *c, uint32_t slot)
{
    if (c->newest != slot) {
        order_remove(c, slot);
        order_push(c, slot);
    }
}

/* The keys that are set to nil are there. */
void lt_cache_forget(lua_State *L, int cache, uint32_t slot)
{
    struct lt_cache *c = lua_touserdata(L, cache);
    lua_getiuservalue(L, cache, LT_CACHE_INDEX);
    lua_getiuservalue(L, cache, LT_CACHE_KEYS);
    lua_rawgeti(L, -1, slot);
    lua_pushnil(L);
    lua_rawset(L, -4);
    lua_pushnil(L);
    lua_rawseti(L, -2, slot);
    lua_getiuservalue(L, cache, LT_CACHE_VALUES);
    lua_pushnil(L);
    lua_rawseti(L, -2, slot);
    lua_pop(L, 3);
    order_remove(c, slot);
    c->bytes -= c->e[slot].bytes;
    c->used--;
    c->e[slot].newer = c->free;
    c->free = slot;
}

/* Bytes of the value at index, roughly; SIZE_MAX: too many. Raw access. */
static size_t size_of(lua_State *L, int index, int depth, unsigned *nodes)
{
    size_t sum = TABLE_BYTES;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        return lua_rawlen(L, index) + 24;
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
        return 0;
    case LUA_TTABLE:
        break;
    default:
        return OBJECT_BYTES;
    }
    luaL_checkstack(L, 4, NULL);
    index = lua_absindex(L, index);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        size_t key = SIZE_MAX, value = SIZE_MAX;
        if (depth < DEPTH_MAX && ++*nodes <= NODES_MAX) {
            key = size_of(L, -2, depth + 1, nodes);
            value = size_of(L, -1, depth + 1, nodes);
        }
        if (key == SIZE_MAX || value == SIZE_MAX) {
            lua_pop(L, 2);
            return SIZE_MAX;
        }
        sum += PAIR_BYTES + key + value;
    }
    return sum;
}

/* What is written here counts only when the key points to the slot: whatever raises before leaves
 * nothing behind that is seen. */
static void write_slot(lua_State *L, int cache, uint32_t slot, int key, int value)
{
    lua_getiuservalue(L, cache, LT_CACHE_VALUES);
    lua_pushvalue(L, value);
    lua_rawseti(L, -2, slot);
    lua_getiuservalue(L, cache, LT_CACHE_KEYS);
    lua_pushvalue(L, key);
    lua_rawseti(L, -2, slot);
    lua_getiuservalue(L, cache, LT_CACHE_INDEX);
    lua_pushvalue(L, key);
    lua_pushinteger(L, slot);
    lua_rawset(L, -3);
    lua_pop(L, 3);
}

void lt_cache_store(lua_State *L, int cache, int key, int value, bool negative, uint64_t ttl_us)
{
    struct lt_cache *c = lua_touserdata(L, cache);
    unsigned nodes = 0;
    size_t size = size_of(L, value, 0, &nodes);
    uint32_t slot = lt_cache_find(L, cache, key);
    uint64_t now = lt_cache_now_us(L), bytes = ENTRY_BYTES + lua_rawlen(L, key) + size;
    if (slot != 0) {
        lt_cache_forget(L, cache, slot);
    }
    if (size == SIZE_MAX || bytes > c->bytes_max || ttl_us == 0) {
        return;
    }
    while (c->used == c->max || c->bytes + bytes > c->bytes_max) {
        lt_cache_forget(L, cache, c->oldest);
    }
    slot = c->free != 0 ? c->free : c->unused;
    write_slot(L, cache, slot, key, value);
    if (c->free != 0) {
        c->free = c->e[slot].newer;
    } else {
        c->unused++;
    }
    c->e[slot] = (struct lt_cache_entry){.bytes = (uint32_t)bytes,
                                         .negative = negative,
                                         .fresh_us = now + ttl_us,
                                         .stale_us = now + ttl_us + (negative ? 0 : c->stale_us)};
    c->bytes += bytes;
    c->used++;
    order_push(c, slot);
}

int lt_cache_push(lua_State *L, int cache, uint32_t slot)
{
    struct lt_cache *c = lua_touserdata(L, cache);
    use(c, slot);
    if (c->e[slot].negative) {
        lua_pushnil(L);
    }
    lua_getiuservalue(L, cache, LT_CACHE_VALUES);
    lua_rawgeti(L, -1, slot);
    lua_remove(L, -2);
    if (!c->e[slot].negative) {
        return 1;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        return 1;
    }
    return 2;
}
