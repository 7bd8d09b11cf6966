/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.jwt: key sets and the verification of tokens (jwt.h). */
#include "filters/lib_jwt.h"

#include <math.h>

#include "base/obj.h"
#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/jwt.h"
#include "filters/lib.h"

/* Fetches that one call may wait for: one that was under way already, and its own. */
#define ROUNDS_MAX 3
#define WAITED_ENOUGH 100
#define KEYS_MAGIC 0x6b657973u
#define KEYS_META "lintel.jwt.keys"
/* Texts in all options of one call together, and rules about claims. */
#define TEXTS_MAX 64
#define CLAIMS_MAX 16
#define LEEWAY_MAX 86400.0

/* ---- key sets ---- */

static struct lt_lua_keys *check_keys(lua_State *L, int arg)
{
    struct lt_lua_keys *keys = luaL_checkudata(L, arg, KEYS_META);
    LT_OBJ_CHECK(keys, KEYS_MAGIC);
    return keys;
}

static int keys_gc(lua_State *L)
{
    struct lt_lua_keys *keys = lua_touserdata(L, 1);
    lt_jwks_free(keys->source);
    lt_jose_keys_free(keys->set);
    keys->source = NULL;
    keys->set = NULL;
    return 0;
}

struct lt_lua_keys *lt_lua_new_keys(lua_State *L, const char *what)
{
    if (lt_filter_vm_of(L)->task != NULL) {
        luaL_error(L, "%s: make keys in `init` and keep them in what it returns", what);
    }
    struct lt_lua_keys *keys = lua_newuserdatauv(L, sizeof(*keys), 0);
    *keys = (struct lt_lua_keys){.magic = KEYS_MAGIC};
    luaL_setmetatable(L, KEYS_META);
    keys->set = lt_jose_keys_new();
    if (keys->set == NULL) {
        luaL_error(L, "out of memory");
    }
    return keys;
}

typedef bool (*add_fn)(struct lt_jose_keys *keys, struct lt_str text);

static void add_text(lua_State *L, struct lt_jose_keys *set, const char *option, add_fn add)
{
    if (lua_type(L, -1) != LUA_TSTRING) {
        luaL_error(L, "jwt.keys: `%s` is a text or a list of texts", option);
    }
    struct lt_str text = lt_lua_check_str(L, -1);
    if (!add(set, text)) {
        luaL_error(L, "jwt.keys: %s: %s", option, set->why);
    }
}

/* The texts of one option, of the table at index 1. */
static void add_option(lua_State *L, struct lt_jose_keys *set, const char *option, add_fn add)
{
    int type = lua_getfield(L, 1, option);
    if (type == LUA_TTABLE) {
        lua_Integer n = luaL_len(L, -1);
        for (lua_Integer i = 1; i <= n; i++) {
            lua_geti(L, -1, i);
            add_text(L, set, option, add);
            lua_pop(L, 1);
        }
    } else if (type != LUA_TNIL) {
        add_text(L, set, option, add);
    }
    lua_pop(L, 1);
}

/* Raises for a table that hides its fields behind a metatable: raw access would see none. */
static void check_plain(lua_State *L, int index, const char *what)
{
    luaL_checktype(L, index, LUA_TTABLE);
    if (lua_getmetatable(L, index)) {
        luaL_error(L, "%s: write a table with fields of its own", what);
    }
}

/* jwt.keys{jwks =, pem =, secret =}: each a text or a list of texts. */
static int make_keys(lua_State *L)
{
    static const char *const known[] = {"jwks", "pem", "secret"};
    check_plain(L, 1, "jwt.keys");
    lt_lua_check_keys(L, 1, "jwt.keys", known, lt_countof(known));
    const struct lt_lua_keys *keys = lt_lua_new_keys(L, "jwt.keys");
    add_option(L, keys->set, "jwks", lt_jose_add_jwks);
    add_option(L, keys->set, "pem", lt_jose_add_pem);
    add_option(L, keys->set, "secret", lt_jose_add_secret);
    if (keys->set->n == 0) {
        return luaL_error(L, "jwt.keys: there is no key: give `jwks`, `pem` or `secret`");
    }
    return 1;
}

/* keys:replace(text): the number of keys, or nil, "bad_keys" and what is wrong. */
static int replace(lua_State *L)
{
    const struct lt_lua_keys *keys = check_keys(L, 1);
    struct lt_jose_keys *set = keys->set;
    if (keys->fetched) {
        return luaL_error(L, "keys:replace: these keys are fetched by lintel.jwks");
    }
    if (!lt_jose_replace_jwks(set, lt_lua_check_str(L, 2))) {
        lua_pushnil(L);
        lua_pushliteral(L, "bad_keys");
        lua_pushstring(L, set->why);
        return 3;
    }
    lua_pushinteger(L, set->n);
    return 1;
}

/* keys:algs(): the names of what the keys can be used with, as a list. */
static int list_algs(lua_State *L)
{
    const struct lt_jose_keys *set = check_keys(L, 1)->set;
    unsigned fits = 0;
    lua_Integer n = 0;
    for (unsigned i = 0; i < set->n; i++) {
        fits |= set->at[i].algs;
    }
    lua_newtable(L);
    for (unsigned i = 0; i < LT_JOSE_ALGS; i++) {
        if ((fits & 1u << i) != 0) {
            lua_pushstring(L, lt_jose_alg_info(i)->name);
            lua_rawseti(L, -2, ++n);
        }
    }
    return 1;
}

/* ---- rules ---- */

/* The options of one call. Texts are borrowed from Lua strings, which stay on the stack. */
struct options {
    lua_State *L;
    int table; /* where it is on the stack */
    struct lt_jwt_rules rules;
    struct lt_str texts[TEXTS_MAX];
    unsigned n_texts;
    struct lt_jwt_claim_rule claims[CLAIMS_MAX];
};

/* Keeps the value on top of the stack, which stays there. */
static void keep_text(struct options *o, const char *name)
{
    int type = lua_type(o->L, -1);
    if (type != LUA_TSTRING && type != LUA_TBOOLEAN && !lua_isinteger(o->L, -1)) {
        luaL_error(o->L, "jwt.verify: `%s` holds a %s", name, luaL_typename(o->L, -1));
    }
    if (o->n_texts == TEXTS_MAX) {
        luaL_error(o->L, "jwt.verify: more than %d texts", TEXTS_MAX);
    }
    if (type != LUA_TSTRING) {
        luaL_tolstring(o->L, -1, NULL);
        lua_replace(o->L, -2);
    }
    o->texts[o->n_texts++] = lt_lua_check_str(o->L, -1);
}

/* The value on top of the stack, one or a list. */
static struct lt_jwt_texts read_texts(struct options *o, const char *name)
{
    lua_State *L = o->L;
    unsigned from = o->n_texts;
    if (lua_istable(L, -1)) {
        int list = lua_gettop(L);
        lua_Integer n = luaL_len(L, list);
        luaL_argcheck(L, n >= 1 && n <= TEXTS_MAX, 3, "an option holds an empty or a long list");
        luaL_checkstack(L, (int)n + 8, NULL);
        for (lua_Integer i = 1; i <= n; i++) {
            lua_geti(L, list, i);
            keep_text(o, name);
        }
    } else if (!lua_isnil(L, -1)) {
        keep_text(o, name);
    }
    return (struct lt_jwt_texts){o->texts + from, o->n_texts - from};
}

static struct lt_jwt_texts get_texts(struct options *o, const char *name)
{
    luaL_checkstack(o->L, 8, NULL);
    lua_getfield(o->L, o->table, name);
    return read_texts(o, name);
}

/* A number of seconds or bytes; fallback where it is not set. */
static double get_number(struct options *o, const char *name, double fallback, double max)
{
    lua_State *L = o->L;
    int is_number = 1;
    double value = fallback;
    if (lua_getfield(L, o->table, name) != LUA_TNIL) {
        value = lua_tonumberx(L, -1, &is_number);
    }
    if (!is_number || !isfinite(value) || value < 0 || value > max) {
        luaL_error(L, "jwt.verify: `%s` is a number from 0 to %f", name, max);
    }
    lua_pop(L, 1);
    return value;
}

static void get_algs(struct options *o)
{
    struct lt_jwt_texts names = get_texts(o, "algs");
    for (unsigned i = 0; i < names.n; i++) {
        enum lt_jose_alg alg = lt_jose_alg_find(names.at[i]);
        if (alg == LT_JOSE_ALGS) {
            luaL_error(o->L,
                       "jwt.verify: `algs`: \"%s\" is none of HS256 to HS512, RS256 to RS512, "
                       "PS256 to PS512, ES256 to ES512 and EdDSA",
                       names.at[i].p);
        }
        o->rules.algs |= 1u << alg;
    }
    o->rules.algs = names.n > 0 ? o->rules.algs : LT_JOSE_ALL;
    o->n_texts -= names.n;
}

static struct lt_jwt_claim_rule *new_claim(struct options *o, struct lt_str name)
{
    if (o->rules.n_claims == CLAIMS_MAX) {
        luaL_error(o->L, "jwt.verify: more than %d rules about claims", CLAIMS_MAX);
    }
    struct lt_jwt_claim_rule *rule = &o->claims[o->rules.n_claims++];
    *rule = (struct lt_jwt_claim_rule){.name = name};
    return rule;
}

/* The pairs of the table on top of the stack. */
static void read_claims(struct options *o)
{
    lua_State *L = o->L;
    int at = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, at) != 0;) {
        luaL_checkstack(L, 8, NULL);
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_error(L, "jwt.verify: a key of `claims` is no string");
        }
        int key = lua_gettop(L) - 1;
        struct lt_jwt_claim_rule *rule = new_claim(o, lt_lua_check_str(L, key));
        if (lua_istable(L, -1) && lua_getfield(L, -1, "all") != LUA_TNIL) {
            rule->all = true;
        } else {
            lua_settop(L, key + 1);
        }
        rule->values = read_texts(o, "claims");
        lua_pushvalue(L, key); /* what was read stays below */
    }
}

static void get_claims(struct options *o)
{
    lua_State *L = o->L;
    struct lt_jwt_texts required = get_texts(o, "required");
    for (unsigned i = 0; i < required.n; i++) {
        (void)new_claim(o, required.at[i]);
    }
    if (lua_getfield(L, o->table, "claims") != LUA_TNIL) {
        check_plain(L, lua_gettop(L), "jwt.verify: `claims`");
        read_claims(o);
    }
    o->rules.claims = o->claims;
}

static void read_options(struct options *o)
{
    lua_State *L = o->L;
    const struct lt_filters *host = lt_filter_vm_of(L)->host;
    check_plain(L, o->table, "jwt.verify");
    lt_api_check_keys(L, o->table, "jwt.verify", &lt_api_token_rules);
    get_algs(o);
    o->rules.issuers = get_texts(o, "issuer");
    o->rules.audiences = get_texts(o, "audience");
    for (unsigned i = 0; i < o->rules.audiences.n; i++) {
        o->rules.any_audience |= lt_str_eq_c(o->rules.audiences.at[i], "*");
    }
    o->rules.audiences.n = o->rules.any_audience ? 0 : o->rules.audiences.n;
    o->rules.scopes = get_texts(o, "scope");
    o->rules.any_scope = get_texts(o, "scope_any");
    get_claims(o);
    struct lt_jwt_texts type = get_texts(o, "typ");
    o->rules.type = type.n > 0 ? type.at[0] : LT_STR_NONE;
    luaL_argcheck(L, type.n <= 1, o->table, "`typ` is one text");
    o->rules.max = (size_t)get_number(o, "max", LT_JWT_MAX, LT_JWT_MAX_MAX);
    o->rules.leeway_s = get_number(o, "leeway", 0, LEEWAY_MAX);
    o->rules.needs_no_expiry =
        lua_getfield(L, o->table, "require_exp") == LUA_TBOOLEAN && !lua_toboolean(L, -1);
    o->rules.now_s = (double)(host != NULL ? host->spec.loop->wall_us : lt_clock_wall_us()) / 1e6;
}

/* Claims, or nil and a reason. */
static int push_result(lua_State *L, enum lt_jwt_reason reason, json_t *claims)
{
    if (reason == LT_JWT_OK) {
        lt_lua_json_push(L, claims);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, lt_jwt_reason_name(reason));
    return 2;
}

/* A table of options at index, made where there is none. */
static void default_options(lua_State *L, int index)
{
    lua_settop(L, index);
    if (lua_isnil(L, index)) {
        lua_newtable(L);
        lua_replace(L, index);
    }
}

static enum lt_jwt_reason verify_once(lua_State *L, const struct lt_lua_keys *keys, json_t **claims)
{
    struct options options = {.L = L, .table = 3};
    struct lt_str token = lt_lua_check_str(L, 1);
    read_options(&options);
    struct lt_crypto *crypto = lt_lua_crypto(L);
    luaL_checkstack(L, 8, NULL);
    *claims = NULL;
    if (keys->source != NULL && !lt_jwks_usable(keys->source)) {
        return LT_JWT_NO_KEYS;
    }
    return lt_jwt_verify(crypto, keys->set, &options.rules, token, claims);
}

static int verify_again(lua_State *L, int status, lua_KContext k);

/* Stack: token, keys, options, fetches that were waited for. Keys that are fetched may lack the one
 * that the issuer signs with since a moment ago. */
static int verify_round(lua_State *L)
{
    const struct lt_lua_keys *keys = check_keys(L, 2);
    lua_Integer round = lua_tointeger(L, 4);
    json_t *claims;
    bool asks = keys->source != NULL && lt_filter_vm_of(L)->task != NULL;
    for (;; round++) {
        lua_settop(L, 4);
        enum lt_jwt_reason reason = verify_once(L, keys, &claims);
        bool lacks = reason == LT_JWT_NO_KEYS || reason == LT_JWT_UNKNOWN_KEY ||
                     reason == LT_JWT_BAD_SIGNATURE;
        enum lt_jwks_hope hope =
            lacks && asks && round < ROUNDS_MAX ? lt_jwks_miss(keys->source) : LT_JWKS_NONE;
        if (hope == LT_JWKS_COMING) {
            lua_pushinteger(L, round + 1);
            lua_replace(L, 4);
            return lt_jwks_wait(L, keys->source, verify_again);
        }
        if (hope == LT_JWKS_NONE) {
            bool open = reason == LT_JWT_UNKNOWN_KEY && asks &&
                        (round == WAITED_ENOUGH || lt_jwks_failed(keys->source));
            return push_result(L, open ? LT_JWT_NO_KEYS : reason, claims);
        }
    }
}

static int verify_again(lua_State *L, int status, lua_KContext k)
{
    const struct lt_async *wait = (const struct lt_async *)k;
    (void)status;
    if (wait->task != NULL) { /* what it waited for has not come */
        lua_pushinteger(L, WAITED_ENOUGH);
        lua_replace(L, 4);
    }
    return verify_round(L);
}

/* jwt.verify(token, keys [, options]): the claims, or nil and why not. */
static int verify(lua_State *L)
{
    (void)lt_lua_check_str(L, 1);
    (void)check_keys(L, 2);
    default_options(L, 3);
    lua_pushinteger(L, 0);
    return verify_round(L);
}

/* jwt.judge(text, options): as verify, for claims that need no signature. */
static int judge(lua_State *L)
{
    struct lt_str text = lt_lua_check_str(L, 1);
    struct options options = {.L = L, .table = 2};
    json_t *claims = NULL;
    default_options(L, 2);
    read_options(&options);
    luaL_checkstack(L, 8, NULL);
    enum lt_jwt_reason reason = text.len > options.rules.max
                                    ? LT_JWT_TOO_LARGE
                                    : lt_jwt_read(&options.rules, text, &claims);
    return push_result(L, reason, claims);
}

static const struct lt_api_row key_rows[] = {
    {"algs", ":(): string[]", "What the keys can be used with.", list_algs},
    {"replace", ":(jwks: string): integer? n, \"bad_keys\"|nil reason, string? why",
     "Puts another JWK Set in the place of all keys that came from one.", replace},
    LT_API_END,
};

const struct lt_api lt_api_keys = {
    .name = "lintel.Keys",
    .as = "keys",
    .doc = "Keys that tokens are verified with.",
    .page = "tokens.md",
    .rows = key_rows,
};

static const struct lt_api_row rule_rows[] = {
    LT_API_FIELD("algs", "string|string[]", "Narrows what the keys allow."),
    LT_API_FIELD("issuer", "string|string[]", "Accepted `iss`; any without it."),
    LT_API_FIELD(
        "audience", "string|string[]",
        "What we are called in `aud`. Without it a token that has `aud` is refused; `\"*\"` takes "
        "any."),
    LT_API_FIELD("scope", "string|string[]", "Scopes that all have to be in `scope` or `scp`."),
    LT_API_FIELD("scope_any", "string|string[]", "Scopes of which one has to be there."),
    LT_API_FIELD("required", "string|string[]", "Claims that have to be there."),
    LT_API_FIELD("claims", "table<string, any>",
                 "Claim to the value or list of values of which it has to be one, or to hold one; "
                 "`{all = {...}}`: it has to hold each. `\"a.b\"` is the member `b` of `a`."),
    LT_API_FIELD("typ", "string", "`typ` of the header; `application/` may be left out."),
    LT_API_FIELD("leeway", "number", "Seconds by which clocks may differ; 0 without it."),
    LT_API_FIELD("require_exp", "boolean", "`false`: `exp` may be missing."),
    LT_API_FIELD("max", "integer", "Longest token in bytes: 16384 without it, up to 65536."),
    LT_API_END,
};

const struct lt_api lt_api_token_rules = {
    .name = "lintel.TokenRules",
    .doc = "Options of `lintel.jwt.verify`.",
    .page = "tokens.md",
    .rows = rule_rows,
};

static const struct lt_api_row rows[] = {
    {"keys",
     "(from: {jwks?: string|string[], pem?: string|string[], secret?: string|string[]}): "
     "lintel.Keys",
     "A key set; in `init`. Raises for keys that are malformed, private or weak.", make_keys},
    {"verify",
     "(token: string, keys: lintel.Keys, rules?: lintel.TokenRules): table<string, any>? claims, "
     "string? reason",
     "The claims of a token that is signed by one of the keys and keeps the rules; else nil and "
     "why. Waits when the keys are fetched and lack the one of the token.",
     verify},
    {"judge",
     "(text: string, rules?: lintel.TokenRules): table<string, any>? claims, string? reason",
     "The rules alone, for claims as JSON text that need no signature.", judge},
    LT_API_END,
};

static void open_jwt(lua_State *L)
{
    lt_api_metatable(L, KEYS_META, &lt_api_keys);
    lua_pushcfunction(L, keys_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

const struct lt_api lt_api_jwt = {
    .name = "lintel.jwt",
    .as = "lintel.jwt",
    .doc = "JSON Web Tokens (RFC 7519).",
    .page = "tokens.md",
    .rows = rows,
    .open = open_jwt,
};
