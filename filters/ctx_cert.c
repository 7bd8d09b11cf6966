/* SPDX-License-Identifier: Apache-2.0 */
/* ctx.client.tls.cert. A worker's thread. */
#include "base/members.h"
#include "filters/ctx.h"
#include "net/tls_info.h"

/* In the table on the top; nothing for an empty text. */
static void set_text(lua_State *L, const char *name, struct lt_str text)
{
    if (text.len > 0) {
        lt_lua_push_str(L, text);
        lua_setfield(L, -2, name);
    }
}

/* The alternative names of one kind as a list, without their prefix. */
static void set_names(lua_State *L, const char *field, struct lt_str kind, struct lt_str san)
{
    struct lt_str member;
    lua_Integer n = 0;
    lua_newtable(L);
    while (lt_members_next(&san, &member)) {
        if (lt_str_starts(member, kind)) {
            lt_lua_push_str(L, lt_str_sub(member, kind.len, member.len));
            lua_rawseti(L, -2, ++n);
        }
    }
    lua_setfield(L, -2, field);
}

void lt_ctx_push_cert(lua_State *L, const struct lt_tls_info *tls)
{
    lua_createtable(L, 0, 10);
    set_text(L, "subject", tls->subject);
    set_text(L, "issuer", tls->issuer);
    set_text(L, "serial", tls->serial);
    set_text(L, "san", tls->san);
    set_text(L, "fingerprint", tls->fingerprint);
    lua_pushinteger(L, tls->not_after);
    lua_setfield(L, -2, "not_after");
    set_names(L, "dns", LT_STR("DNS:"), tls->san);
    set_names(L, "uri", LT_STR("URI:"), tls->san);
    set_names(L, "email", LT_STR("email:"), tls->san);
    set_names(L, "ip", LT_STR("IP:"), tls->san);
}
