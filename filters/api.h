/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that filters see, as rows: functions are registered from them, and the reference and
 * the definitions for editors are printed from them. Rows stand beside the functions that they
 * name (lib_*.c), those of `ctx` in api_ctx.c; api.c lists all classes. */
#ifndef LT_FILTERS_API_H
#define LT_FILTERS_API_H

#include "base/buf.h"

#include <lua.h>

struct lt_api_row {
    const char *name;
    /* In the notation of LuaCATS. Of a field its type. Of a function "(a: T, b?: T): T name, T",
     * with a colon before it if it is a method. */
    const char *type;
    const char *doc;  /* what it does, in Markdown; "" where name and type say it all */
    lua_CFunction fn; /* NULL: a field, or a function that its object gives by itself */
};

/* A row without a function; and the end. */
#define LT_API_FIELD(name_, type_, doc_)                                                           \
    {                                                                                              \
        .name = (name_), .type = (type_), .doc = (doc_)                                            \
    }
#define LT_API_END                                                                                 \
    {                                                                                              \
        .name = NULL                                                                               \
    }

struct lt_api {
    const char
        *name; /* of the class. A part of `lintel` is named as it is reached: "lintel.http" */
    /* What an object of it is called: "ctx.req", "cache". NULL: a plain table, which filters write;
     * all its fields may be left out. */
    const char *as;
    const char *doc;
    const char *page;              /* in docs/filters, which tells more; or NULL */
    const struct lt_api_row *rows; /* the last one has no name */
    /* Of a part: adds what is no function to its table, on top of the stack; or NULL. */
    void (*open)(lua_State *L);
};

/* All classes, in the order of the reference. */
extern const struct lt_api *const lt_api_all[];
extern const size_t lt_api_count;

/* Whether it is a part of `lintel`; then its name there, else NULL. */
const char *lt_api_part(const struct lt_api *api);

/* Adds the functions to the table on top of the stack; with the value at index `upvalue` as their
 * upvalue unless that is 0. */
void lt_api_add(lua_State *L, const struct lt_api *api, int upvalue);
/* Makes the metatable of objects that have the functions as methods, and pushes it; `name` is its
 * key in the registry, for luaL_setmetatable. What such an object does not have raises. */
void lt_api_metatable(lua_State *L, const char *name, const struct lt_api *api);

/* Raises when the table at index has a key that is no row of api, so that no option that is
 * misspelt is passed over; the message begins with what. */
void lt_api_check_keys(lua_State *L, int index, const char *what, const struct lt_api *api);
/* The name among the rows that is like `name`, or NULL. */
const char *lt_api_closest(const struct lt_api *api, const char *name);

/* docs/filters/reference.md. */
void lt_api_markdown(struct lt_buf *out);
/* scripts/lintel.d.lua. */
void lt_api_definitions(struct lt_buf *out);

/* In api_ctx.c. */
extern const struct lt_api lt_api_filter, lt_api_ctx, lt_api_request, lt_api_response,
    lt_api_headers, lt_api_client, lt_api_tls, lt_api_cert, lt_api_route, lt_api_upstream,
    lt_api_answer;
/* In ctx_fields.c. */
extern const struct lt_api lt_api_fields;
/* In lib_file.c. */
extern const struct lt_api lt_api_file;
/* In lib*.c. */
extern const struct lt_api lt_api_lintel, lt_api_log, lt_api_header, lt_api_limit, lt_api_rate,
    lt_api_crypto, lt_api_json, lt_api_http, lt_api_http_options, lt_api_http_response, lt_api_jwt,
    lt_api_keys, lt_api_token_rules, lt_api_jwks_options, lt_api_cache, lt_api_cache_options,
    lt_api_cache_object, lt_api_shared, lt_api_space, lt_api_re, lt_api_pattern, lt_api_redis,
    lt_api_redis_client, lt_api_redis_options, lt_api_cidr, lt_api_cidr_set;
extern const struct lt_api lt_api_limit_options, lt_api_limiter;

#endif
