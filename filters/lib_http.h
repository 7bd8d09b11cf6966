/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.http: what its files share. Private to filters/. */
#ifndef LT_FILTERS_LIB_HTTP_H
#define LT_FILTERS_LIB_HTTP_H

#include "upstream/fetch.h"

#include <lua.h>

/* Readies the state for lt_lua_push_http_response. */
void lt_lua_open_http_response(lua_State *L);

/* Pushes the response that came for fetch, which holds no more than that by error LT_FETCH_OK.
 * Raises without memory. */
void lt_lua_push_http_response(lua_State *L, const struct lt_fetch *fetch);

#endif
