/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.redis: calls of Redis, in every hook (upstream/redis.h). What Lua wrote is checked and
 * written out as a Lua string first, which may raise, and stays on the stack while the call is
 * under way; only then memory is taken that somebody has to free. A worker's thread. */
#include <lauxlib.h>

#include "base/mem.h"
#include "filters/api.h"
#include "filters/crypto.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "upstream/redis.h"

#define META "lintel.redis client"
#define MAGIC 0x6c726564u /* "lred" */
#define TIMEOUT_MS 1000u
#define CONNECT_MS 500u
#define TIMEOUT_MAX_MS (UINT64_C(60) * 1000)
#define ARGS_MAX 100000
#define NUMBER_LEN 24u /* of "*1234\r\n" and the like */
#define POLL_EVERY 256 /* elements of a list */

/* What lintel.redis.new gives. */
struct client {
    uint32_t magic;
    uint64_t timeout_ms, connect_ms;
    struct lt_redis_url url;
};

/* How the replies are given. */
enum form { FORM_CALL, FORM_PIPELINE, FORM_EVAL };

struct op {
    struct lt_async wait;
    struct lt_redis_call call;
    enum form form;
};

/* Places on the stack of call and pipeline. */
enum { CLIENT = 1, TEXT = 2 };
/* ... and of eval. */
enum { SCRIPT = 3, KEYS, ARGS };

static struct client *check_client(lua_State *L)
{
    struct client *client = lua_touserdata(L, CLIENT);
    if (lua_type(L, CLIENT) != LUA_TUSERDATA || lua_rawlen(L, CLIENT) != sizeof(*client) ||
        client->magic != MAGIC) {
        luaL_argerror(L, CLIENT, "what lintel.redis.new(...) gave expected: is a colon missing?");
    }
    return client;
}

/* ---- writing commands ---- */

/* The argument on top of the stack as text, which lives as long as it does. */
static struct lt_str check_text(lua_State *L)
{
    struct lt_str text;
    if (!lua_isstring(L, -1)) {
        luaL_error(L, "lintel.redis: an argument is a %s: write strings and numbers",
                   luaL_typename(L, -1));
    }
    text.p = lua_tolstring(L, -1, &text.len); /* a number is written out */
    return text;
}

/* The bytes that the command in the list on top of the stack takes. Its numbers become texts. */
static size_t measure(lua_State *L)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    size_t size = NUMBER_LEN;
    if (n == 0 || n > ARGS_MAX) {
        luaL_error(L,
                   "lintel.redis: a command is its name with up to %d arguments, as in "
                   "{\"GET\", \"key\"}",
                   ARGS_MAX);
    }
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        size += check_text(L).len + NUMBER_LEN + 2;
        if (size > LT_REDIS_REQUEST_MAX) {
            luaL_error(L, "lintel.redis: a call has more than 1 MB");
        }
        lua_pop(L, 1);
    }
    return size;
}

/* Writes the command in the list on top of the stack. */
static void write_command(lua_State *L, struct lt_buf *out)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    lt_buf_char(out, '*');
    lt_buf_u64(out, (uint64_t)n);
    lt_buf_str(out, LT_STR("\r\n"));
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        struct lt_str text = check_text(L);
        lt_buf_char(out, '$');
        lt_buf_u64(out, text.len);
        lt_buf_str(out, LT_STR("\r\n"));
        lt_buf_str(out, text);
        lt_buf_str(out, LT_STR("\r\n"));
        lua_pop(L, 1);
    }
}

static void check_allowed(lua_State *L, struct lt_str text)
{
    struct lt_str command;
    while (lt_redis_command_next(&text, &command)) {
        const char *why = lt_redis_refused(command);
        if (why != NULL) {
            lt_lua_push_str(L, lt_redis_command_arg(command, 0));
            luaL_error(L, "lintel.redis: %s is not for filters: %s", lua_tostring(L, -1), why);
        }
    }
}

/* Pushes the command in the list on top of the stack, which is taken, as text. */
static void push_command(lua_State *L)
{
    luaL_Buffer b;
    struct lt_buf out;
    size_t size = measure(L);
    int list = lua_gettop(L);
    char *p = luaL_buffinitsize(L, &b, size);
    lua_pushvalue(L, list);
    lt_buf_init_fixed(&out, p, size);
    write_command(L, &out);
    lua_pop(L, 1);
    luaL_pushresultsize(&b, out.len);
    lua_remove(L, list);
}

/* Pushes a list of the n values from index on. */
static void push_list(lua_State *L, int index, int n)
{
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        if (lua_isnil(L, index + i)) {
            luaL_error(L, "lintel.redis: an argument is nil: write strings and numbers");
        }
        lua_pushvalue(L, index + i);
        lua_rawseti(L, -2, i + 1);
    }
}

/* ---- reading replies ---- */

/* Pushes the value at *at of records: nil within a list as false, since lists have no holes. */
static void push_value(lua_State *L, struct lt_str records, size_t *at, bool inside)
{
    struct lt_redis_value v = lt_redis_value_next(records, at);
    luaL_checkstack(L, 8, NULL);
    switch (v.type) {
    case LT_REDIS_STRING:
    case LT_REDIS_STATUS:
        lt_lua_push_str(L, v.text);
        break;
    case LT_REDIS_INTEGER:
        lua_pushinteger(L, v.integer);
        break;
    case LT_REDIS_NIL:
        if (inside) {
            lua_pushboolean(L, 0);
        } else {
            lua_pushnil(L);
        }
        break;
    case LT_REDIS_ERROR_TEXT:
        lua_createtable(L, 0, 1);
        lt_lua_push_str(L, v.text);
        lua_setfield(L, -2, "err");
        break;
    case LT_REDIS_LIST:
        lua_createtable(L, (int)lt_min(v.integer, (int64_t)1 << 20), 0);
        for (int64_t i = 1; i <= v.integer; i++) {
            if (i % POLL_EVERY == 0) {
                lt_vm_poll(L);
            }
            push_value(L, records, at, true);
            lua_rawseti(L, -2, i);
        }
        break;
    }
}

static int push_failure(lua_State *L, enum lt_redis_error error, struct lt_str detail)
{
    lua_pushnil(L);
    lua_pushstring(L, lt_redis_error_name(error));
    lt_lua_push_str(L, detail);
    return 3;
}

/* The only reply of a call. */
static int push_reply(lua_State *L, const struct lt_redis_call *call)
{
    struct lt_str records = lt_redis_call_reply(call, 0);
    size_t at = 0;
    struct lt_redis_value v = lt_redis_value_next(records, &at);
    if (v.type == LT_REDIS_ERROR_TEXT) {
        return push_failure(L, LT_REDIS_ERROR, v.text);
    }
    at = 0;
    push_value(L, records, &at, false);
    return 1;
}

static int push_replies(lua_State *L, const struct lt_redis_call *call)
{
    lua_createtable(L, (int)call->n, 0);
    for (unsigned i = 0; i < call->n; i++) {
        size_t at = 0;
        push_value(L, lt_redis_call_reply(call, i), &at, true);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* ---- calling: from here to the wait nothing raises while an op is held ---- */

static int perform(lua_State *L, unsigned n, enum form form);
static int eval_whole(lua_State *L);

static void end_op(struct lt_async *wait)
{
    struct op *op = lt_container_of(wait, struct op, wait);
    lt_redis_call_fini(&op->call);
    lt_free(op);
}

static void on_done(void *owner)
{
    struct op *op = owner;
    lt_async_done(&op->wait);
}

/* Whether Redis doesn't know the script yet. */
static bool has_no_script(const struct lt_redis_call *call)
{
    size_t at = 0;
    struct lt_redis_value v = lt_redis_value_next(lt_redis_call_reply(call, 0), &at);
    return v.type == LT_REDIS_ERROR_TEXT && lt_str_starts(v.text, LT_STR("NOSCRIPT"));
}

static int finished(lua_State *L, int status, lua_KContext k)
{
    (void)status;
    const struct op *op = lt_container_of((struct lt_async *)k, struct op, wait);
    if (op->call.error != LT_REDIS_OK) {
        return push_failure(L, op->call.error, op->call.detail);
    }
    if (op->form == FORM_EVAL && has_no_script(&op->call)) {
        return eval_whole(L);
    }
    return op->form == FORM_PIPELINE ? push_replies(L, &op->call) : push_reply(L, &op->call);
}

/* Sends the n commands in the text at TEXT. */
static int perform(lua_State *L, unsigned n, enum form form)
{
    struct lt_task *task = lt_task_check(L);
    struct client *client = lua_touserdata(L, CLIENT);
    struct lt_redis *redis = task->unit->fvm->host->spec.redis;
    struct lt_str text = lt_lua_check_str(L, TEXT);
    check_allowed(L, text);
    if (client->url.tls && task->unit->instance->tls == NULL && !lt_redis_mocked(redis)) {
        return push_failure(L, LT_REDIS_UNREACHABLE,
                            LT_STR("nobody is trusted: write `lintel.redis` in the filter's file, "
                                   "install ca-certificates, or name a file with tls.ca"));
    }
    struct op *op = lt_calloc(1, sizeof(*op));
    if (op == NULL) {
        return push_failure(L, LT_REDIS_BUSY, LT_STR("out of memory"));
    }
    op->wait.end = end_op;
    op->form = form;
    lt_redis_call_init(&op->call, redis);
    op->call.url = &client->url;
    op->call.tls = task->unit->instance->tls;
    op->call.text = text;
    op->call.n = n;
    op->call.timeout_ms = lt_task_within(task, client->timeout_ms);
    op->call.connect_ms = lt_min(client->connect_ms, client->timeout_ms);
    lt_redis_call_start(&op->call, on_done, op);
    return lt_task_wait(L, &op->wait, finished);
}

/* ---- the functions ---- */

/* client:call(command, ...) */
static int call(lua_State *L)
{
    (void)lt_task_check(L);
    (void)check_client(L);
    if (lua_istable(L, 2)) {
        return luaL_error(L, "lintel.redis: write call(\"GET\", key), or pipeline{...} for several "
                             "commands");
    }
    push_list(L, 2, lua_gettop(L) - 1);
    push_command(L);
    lua_replace(L, TEXT);
    lua_settop(L, TEXT);
    return perform(L, 1, FORM_CALL);
}

/* client:pipeline{{command, ...}, ...} */
static int pipeline(lua_State *L)
{
    luaL_Buffer b;
    struct lt_buf out;
    size_t size = 0;
    (void)lt_task_check(L);
    (void)check_client(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    if (n == 0 || n > (lua_Integer)LT_REDIS_PIPELINE_MAX) {
        return luaL_error(L,
                          "lintel.redis: a pipeline is a list of 1 to %d commands, as in "
                          "{{\"INCR\", \"a\"}, {\"EXPIRE\", \"a\", 10}}",
                          (int)LT_REDIS_PIPELINE_MAX);
    }
    for (lua_Integer i = 1; i <= n; i++) {
        if (lua_rawgeti(L, 2, i) != LUA_TTABLE) {
            return luaL_error(L, "lintel.redis: a command of a pipeline is a list, as in "
                                 "{\"GET\", \"key\"}");
        }
        size += measure(L);
        lua_pop(L, 1);
        if (size > LT_REDIS_REQUEST_MAX) {
            return luaL_error(L, "lintel.redis: a call has more than 1 MB");
        }
    }
    lt_buf_init_fixed(&out, luaL_buffinitsize(L, &b, size), size);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 2, i);
        write_command(L, &out);
        lua_pop(L, 1);
    }
    luaL_pushresultsize(&b, out.len);
    lua_replace(L, TEXT);
    lua_settop(L, TEXT);
    return perform(L, (unsigned)n, FORM_PIPELINE);
}

static void append(lua_State *L, int list)
{
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
}

/* Puts the command, whose name and script are on top of the stack, with keys and arguments at
 * TEXT. */
static int send_eval(lua_State *L, enum form form)
{
    int top = lua_gettop(L), list = top + 1;
    push_list(L, top - 1, 2);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, KEYS));
    append(L, list);
    for (int from = KEYS; from <= ARGS; from++) {
        lua_Integer n = lua_istable(L, from) ? (lua_Integer)lua_rawlen(L, from) : 0;
        for (lua_Integer i = 1; i <= lt_min(n, (lua_Integer)ARGS_MAX + 1); i++) {
            lua_rawgeti(L, from, i);
            append(L, list);
        }
    }
    push_command(L);
    lua_replace(L, TEXT);
    lua_settop(L, ARGS);
    return perform(L, 1, form);
}

static int eval_whole(lua_State *L)
{
    lua_pushliteral(L, "EVAL");
    lua_pushvalue(L, SCRIPT);
    return send_eval(L, FORM_CALL);
}

static void push_sha1(lua_State *L, struct lt_str text)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE];
    size_t n;
    if (!lt_crypto_digest(lt_lua_crypto(L), LT_HASH_SHA1, text, md, &n)) {
        luaL_error(L, "the crypto library has no SHA-1");
    }
    for (size_t i = 0; i < n; i++) {
        hex[2 * i] = "0123456789abcdef"[md[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
    }
    lua_pushlstring(L, hex, 2 * n);
}

/* client:eval(script [, keys [, args]]) */
static int eval(lua_State *L)
{
    struct lt_task *task = lt_task_check(L);
    (void)check_client(L);
    lua_settop(L, 4);
    luaL_checktype(L, 2, LUA_TSTRING);
    for (int i = 3; i <= 4; i++) {
        if (lua_isnil(L, i)) {
            lua_newtable(L);
            lua_replace(L, i);
        }
        luaL_checktype(L, i, LUA_TTABLE);
    }
    lua_pushnil(L);
    lua_insert(L, TEXT); /* makes place: script, keys and args move up by one */
    if (lt_redis_mocked(task->unit->fvm->host->spec.redis)) {
        return eval_whole(L); /* tests see the script */
    }
    lua_pushliteral(L, "EVALSHA");
    push_sha1(L, lt_lua_check_str(L, SCRIPT));
    return send_eval(L, FORM_EVAL);
}

static uint64_t duration(lua_State *L, int index, const char *name, uint64_t fallback)
{
    uint64_t ms = fallback;
    if (lua_getfield(L, index, name) != LUA_TNIL &&
        (!lt_lua_to_duration(L, -1, TIMEOUT_MAX_MS, &ms) || ms == 0)) {
        luaL_error(L,
                   "lintel.redis: %s is between 1ms and 1m: write seconds, or a duration as in "
                   "\"500ms\"",
                   name);
    }
    lua_pop(L, 1);
    return ms;
}

/* lintel.redis.new(url [, {timeout=, connect_timeout=}]) */
static int new_client(lua_State *L)
{
    struct lt_str url = lt_lua_check_str(L, 1);
    const char *why;
    if (!lt_redis_supported()) {
        return luaL_error(L,
                          "lintel.redis: this Lintel was built without hiredis, by which replies "
                          "are read");
    }
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    lt_api_check_keys(L, 2, "lintel.redis.new", &lt_api_redis_options);
    struct client *client = lua_newuserdatauv(L, sizeof(*client), 0);
    client->magic = 0;
    client->timeout_ms = duration(L, 2, "timeout", TIMEOUT_MS);
    client->connect_ms = duration(L, 2, "connect_timeout", CONNECT_MS);
    if (lt_redis_url_parse(url, &client->url, &why) != LT_OK) {
        return luaL_error(L, "lintel.redis.new: %s", why);
    }
    client->magic = MAGIC;
    luaL_setmetatable(L, META);
    return 1;
}

/* ---- what filters see ---- */

#define REPLY "string|integer|false|table"

static const struct lt_api_row client_rows[] = {
    {"call",
     ":(command: string, ...: string|number): " REPLY "|nil reply, string? reason, string? why",
     "One command. Nil without a reason is Redis' nil; an error of Redis is the reason "
     "`redis_error`, whose text is `why`.",
     call},
    {"pipeline",
     ":(commands: (string|number)[][]): "
     "(" REPLY ")[]? replies, string? reason, string? why",
     "Up to 500 commands that leave together; their replies in order. An error among them is "
     "`{err = text}`, a nil is false.",
     pipeline},
    {"eval",
     ":(script: string, keys?: (string|number)[], args?: (string|number)[]): " REPLY
     "|nil reply, string? reason, string? why",
     "Runs a script in Redis, by `EVALSHA` where Redis knows it.", eval},
    LT_API_END,
};

const struct lt_api lt_api_redis_client = {
    .name = "lintel.Redis",
    .as = "redis",
    .doc = "What `lintel.redis.new` gives; not for `init`.",
    .page = "redis.md",
    .rows = client_rows,
};

static const struct lt_api_row option_rows[] = {
    LT_API_FIELD("timeout", "number|string", "Of a whole call; `1s`, at most `1m`."),
    LT_API_FIELD("connect_timeout", "number|string",
                 "Until there is a connection with its login; `500ms`."),
    LT_API_END,
};

const struct lt_api lt_api_redis_options = {
    .name = "lintel.RedisOptions",
    .doc = "How long calls may take.",
    .page = "redis.md",
    .rows = option_rows,
};

static const struct lt_api_row rows[] = {
    {"new", "(url: string, options?: lintel.RedisOptions): lintel.Redis",
     "A client; in `init`. Raises for a URL that is wrong.", new_client},
    LT_API_END,
};

static void open_redis(lua_State *L)
{
    lt_api_metatable(L, META, &lt_api_redis_client);
    lua_pop(L, 1);
}

const struct lt_api lt_api_redis = {
    .name = "lintel.redis",
    .as = "lintel.redis",
    .doc = "Calls of Redis: one server, Sentinel or Cluster.",
    .page = "redis.md",
    .rows = rows,
    .open = open_redis,
};
