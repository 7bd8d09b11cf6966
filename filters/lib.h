/* SPDX-License-Identifier: Apache-2.0 */
/* The table `lintel` that filters see: limit, crypto, json, re, jwt, http, redis, cache, shared,
 * log, header, now, uuid, sleep, parallel. Each lib_*.c adds its part. All functions raise Lua
 * errors.
 */
#ifndef LT_FILTERS_LIB_H
#define LT_FILTERS_LIB_H

#include "base/buf.h"
#include "base/log.h"
#include "config/expr.h"
#include "config/schema.h"

#include <lua.h>

struct json_t;
struct lt_crypto;
struct lt_exchange;
struct lt_expr;
struct lt_template;
struct lt_filter_vm;

/* Adds `lintel` to the globals of the sandbox. */
void lt_lua_open_lintel(lua_State *L);

/* Before the state is closed: gives up its loads. */
void lt_cache_fini(struct lt_filter_vm *fvm);

/* The crypto objects of L's state, made at first use. */
struct lt_crypto *lt_lua_crypto(lua_State *L);

/* lintel.crypto.crypt_check and crypt_verify (lib_crypt.c). */
int lt_lua_crypt_check(lua_State *L);
int lt_lua_crypt_verify(lua_State *L);

/* Pushes a rate: fields count and seconds, and what lintel.limit takes. */
void lt_lua_push_rate(lua_State *L, const struct lt_rate *rate);

/* What an expression says of an exchange; text may lie in scratch. Raises when a pattern in it
 * exceeds its limits. */
enum lt_expr_kind lt_lua_expr_value(lua_State *L, const struct lt_expr *expr, struct lt_exchange *x,
                                    char scratch[LT_EXPR_SCRATCH], struct lt_str *text);

/* Pushes what an expression says of an exchange: text, a boolean where it is a condition, or nil.
 * Raises when a pattern in it exceeds its limits. */
void lt_lua_push_value(lua_State *L, const struct lt_expr *expr, struct lt_exchange *x);

/* Pushes a function of ctx that gives the expression's value. */
void lt_lua_push_expr(lua_State *L, const struct lt_expr *expr);

/* The expression of such a function at index, or NULL. */
const struct lt_expr *lt_lua_expr_of(lua_State *L, int index);

/* Pushes the text of a template without expressions; of another one a function of ctx that gives
 * its text, or nil when the value of one of its expressions is absent. */
void lt_lua_push_template(lua_State *L, const struct lt_template *t);

/* Writes the value at index as JSON; raises on what JSON can't hold and beyond the limits. */
void lt_lua_json_write(lua_State *L, int index, struct lt_buf *out);

/* Pushes the value; takes json, also when it raises. */
void lt_lua_json_push(lua_State *L, struct json_t *json);

/* json.decode: text to the value, or nil and what is wrong. */
int lt_lua_json_decode(lua_State *L);

/* Largest JSON text, both ways. */
#define LT_LUA_JSON_MAX ((size_t)512 << 10)

/* Raises when the table at index has a key that is none of the n known ones, so that none that is
 * misspelt is passed over; the message begins with what. Raw access. */
void lt_lua_check_keys(lua_State *L, int index, const char *what, const char *const *known,
                       size_t n);

/* A time: a number of seconds or a text as in "50ms", at most max_ms. False: it is none. */
bool lt_lua_to_duration(lua_State *L, int index, uint64_t max_ms, uint64_t *ms) LT_MUST_CHECK;
/* As to_duration for an argument; raises when it is none. Gives milliseconds. */
uint64_t lt_lua_duration_ms(lua_State *L, int index, uint64_t max_ms);

/* For functions that are both ctx:name(...) and lintel.name(...): the first argument that is not
 * ctx. Raises when ctx is not to be used now. */
int lt_lua_skip_ctx(lua_State *L);

/* lintel.jwks (lib_jwks.c). */
int lt_lua_jwks(lua_State *L);

/* Both. */
int lt_lua_sleep(lua_State *L);
int lt_lua_parallel(lua_State *L);

/* ctx:defer(fn) */
int lt_ctx_defer(lua_State *L);

#endif
