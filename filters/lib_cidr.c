/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.cidr: sets of blocks of addresses (base/cidr_set.h). Made in `init`, in memory of the Lua
 * state, and never changed. */
#include "base/cidr_set.h"
#include "filters/api.h"
#include "filters/ctx.h"
#include "filters/lib.h"
#include "filters/sandbox.h"
#include "filters/unit.h"

#define MAGIC 0xc1d45e75u
#define META "lintel.cidr"
#define ROWS_MAX 200000

/* Userdata: what lintel.cidr.set gives. */
struct cidr_set {
    uint32_t magic;
    size_t n;
    struct lt_addr_range ranges[];
};

static struct cidr_set *new_set(lua_State *L, lua_Integer rows)
{
    if (rows > ROWS_MAX) {
        luaL_error(L, "cidr.set: more than %d rows", ROWS_MAX);
    }
    size_t n = (size_t)lt_max(rows, 0);
    struct cidr_set *set = lua_newuserdatauv(L, sizeof(*set) + n * sizeof(struct lt_addr_range), 0);
    set->magic = MAGIC;
    set->n = 0;
    luaL_setmetatable(L, META);
    return set;
}

static void add(lua_State *L, struct cidr_set *set, lua_Integer row, struct lt_str text)
{
    struct lt_cidr cidr;
    const char *why;
    if (lt_cidr_parse(text, &cidr, &why) != LT_OK) {
        luaL_error(L, "row %d, \"%s\": %s", (int)row,
                   lua_pushlstring(L, text.p, lt_min(text.len, 60)), why);
    }
    set->ranges[set->n++] = lt_addr_range_of(&cidr);
}

/* The row at the beginning of *text, which moves behind it: what comes before `#`. */
static struct lt_str next_row(struct lt_str *text)
{
    size_t end = lt_min(lt_str_chr(*text, '\n', 0), text->len);
    struct lt_str row = lt_str_sub(*text, 0, end);
    *text = lt_str_sub(*text, lt_min(end + 1, text->len), text->len);
    row = lt_str_sub(row, 0, lt_min(lt_str_chr(row, '#', 0), row.len));
    if (row.len > 0 && row.p[row.len - 1] == '\r') {
        row.len--;
    }
    return lt_str_trim(row);
}

static void read_text(lua_State *L, struct lt_str text)
{
    lua_Integer rows = 1;
    for (size_t i = 0; i < text.len; i++) {
        rows += text.p[i] == '\n';
    }
    struct cidr_set *set = new_set(L, rows);
    for (lua_Integer row = 1; text.len > 0; row++) {
        struct lt_str block = next_row(&text);
        if (block.len > 0) {
            add(L, set, row, block);
        }
    }
}

static void read_list(lua_State *L)
{
    lua_Integer rows = luaL_len(L, 1);
    struct cidr_set *set = new_set(L, rows);
    for (lua_Integer row = 1; row <= rows; row++, lua_pop(L, 1)) {
        if (lua_geti(L, 1, row) != LUA_TSTRING) {
            luaL_error(L, "cidr.set: row %d is a %s: write texts such as \"10.0.0.0/8\"", (int)row,
                       luaL_typename(L, -1));
        }
        add(L, set, row, lt_lua_check_str(L, lua_gettop(L)));
    }
}

/* lintel.cidr.set(list | text): a set of the addresses and blocks in a list, or in the lines of a
 * text. */
static int new_cidr_set(lua_State *L)
{
    lua_settop(L, 1);
    if (lt_filter_vm_of(L)->task != NULL) {
        return luaL_error(L, "lintel.cidr.set: make sets in `init`, not for a request");
    }
    if (lua_type(L, 1) == LUA_TSTRING) {
        read_text(L, lt_lua_check_str(L, 1));
    } else {
        luaL_checktype(L, 1, LUA_TTABLE);
        read_list(L);
    }
    struct cidr_set *set = lua_touserdata(L, 2);
    set->n = lt_addr_ranges_join(set->ranges, set->n);
    lua_settop(L, 2);
    return 1;
}

/* set:contains(ip): whether an address lies in it; what is no IP address lies in none. */
static int contains(lua_State *L)
{
    const struct cidr_set *set = lua_touserdata(L, 1);
    struct lt_addr addr;
    if (lua_type(L, 1) != LUA_TUSERDATA || lua_rawlen(L, 1) < sizeof(*set) || set->magic != MAGIC) {
        return luaL_error(L, "write set:contains(ip), with a colon: this is no set of lintel.cidr");
    }
    lua_pushboolean(L, lt_addr_parse_ip(lt_lua_check_str(L, 2), &addr) == LT_OK &&
                           lt_addr_ranges_have(set->ranges, set->n, &addr));
    return 1;
}

static const struct lt_api_row set_rows[] = {
    {"contains", ":(ip: string): boolean",
     "Whether the address lies in one of the blocks; an IPv4 address that is mapped into IPv6 is "
     "that IPv4 address.",
     contains},
    LT_API_END,
};

const struct lt_api lt_api_cidr_set = {
    .name = "lintel.CidrSet",
    .as = "set",
    .doc = "Blocks of addresses, from `lintel.cidr.set`.",
    .rows = set_rows,
};

static void open_cidr(lua_State *L)
{
    lt_api_metatable(L, META, &lt_api_cidr_set);
    lua_pop(L, 1);
}

static const struct lt_api_row rows[] = {
    {"set", "(blocks: string[]|string): lintel.CidrSet",
     "In `init`: a set of the addresses and blocks in a list, or in the lines of a text, as in "
     "`\"10.0.0.0/8\"` or `\"::1\"`. What comes after `#` in a line is a comment. At most 200000 "
     "rows, of 32 bytes each; a search takes some microseconds.",
     new_cidr_set},
    LT_API_END,
};

const struct lt_api lt_api_cidr = {
    .name = "lintel.cidr",
    .as = "lintel.cidr",
    .doc = "Sets of IP addresses.",
    .rows = rows,
    .open = open_cidr,
};
