/* SPDX-License-Identifier: Apache-2.0 */
/* What lib_jwt.c and lib_jwks.c share: keys as filters hold them. Private to filters/. */
#ifndef LT_FILTERS_LIB_JWT_H
#define LT_FILTERS_LIB_JWT_H

#include "filters/jwks.h"

#include <lua.h>

/* Userdata. */
struct lt_lua_keys {
    uint32_t magic;
    bool fetched;             /* by lintel.jwks */
    struct lt_jose_keys *set; /* owned */
    struct lt_jwks *source;   /* owned; NULL: given once, or nothing is fetched while loading */
};

/* Pushes keys of which there are none yet; raises outside of `init`, for what. */
struct lt_lua_keys *lt_lua_new_keys(lua_State *L, const char *what);

#endif
