/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.crypto.crypt_verify: a filter waits while a thread of the pool hashes a password. Where
 * there is no pool (`lintel test`), the end of the loop's turn does it. */
#include <openssl/crypto.h>

#include "base/mem.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/password.h"
#include "net/work_pool.h"

struct op {
    struct lt_async wait;
    struct lt_work work;
    struct lt_deferred here; /* without a pool */
    bool lent;               /* the pool has it; whoever gets it back then frees it if given up */
    bool given_up;
    bool same; /* the result */
    size_t password_len, hash_len;
    char password[LT_PASSWORD_MAX], hash[LT_PASSWORD_HASH_MAX];
};

static void op_free(struct op *op)
{
    OPENSSL_cleanse(op->password, sizeof(op->password));
    lt_free(op);
}

static void end(struct lt_async *wait)
{
    struct op *op = lt_container_of(wait, struct op, wait);
    if (op->lent) {
        op->given_up = true;
        atomic_store_explicit(&op->work.unwanted, true, memory_order_relaxed);
        return;
    }
    lt_loop_cancel(&op->here);
    op_free(op);
}

/* On a thread of the pool. */
static void hash(struct lt_work *work)
{
    struct op *op = lt_container_of(work, struct op, work);
    op->same =
        lt_password_verify(lt_str(op->password, op->password_len), lt_str(op->hash, op->hash_len));
}

static void on_back(struct lt_message *message, void *owner)
{
    (void)owner;
    struct op *op = lt_container_of(message, struct op, work.message);
    op->lent = false;
    if (op->given_up) {
        op_free(op);
    } else {
        lt_async_done(&op->wait);
    }
}

static void hash_here(void *arg)
{
    struct op *op = arg;
    hash(&op->work);
    op->work.ran = true;
    lt_async_done(&op->wait);
}

/* NULL: no memory. */
static struct op *op_new(struct lt_str password, struct lt_str hash_text)
{
    struct op *op = lt_calloc(1, sizeof(*op));
    if (op != NULL) {
        memcpy(op->password, password.p, password.len);
        memcpy(op->hash, hash_text.p, hash_text.len);
        op->password_len = password.len;
        op->hash_len = hash_text.len;
        op->wait.end = end;
        op->work.run = hash;
        op->work.message.fn = on_back;
        atomic_init(&op->work.unwanted, false);
    }
    return op;
}

static int refuse(lua_State *L, const char *reason, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, reason);
    lua_pushstring(L, why);
    return 3;
}

static int finished(lua_State *L, int status, lua_KContext k)
{
    (void)status;
    const struct op *op = lt_container_of((struct lt_async *)k, struct op, wait);
    if (!op->work.ran) {
        return refuse(L, "busy", "Lintel ends");
    }
    lua_pushboolean(L, op->same);
    return 1;
}

/* crypto.crypt_check(hash): true, or nil, "unsupported_hash" and why. */
int lt_lua_crypt_check(lua_State *L)
{
    const char *why;
    if (!lt_password_check(lt_lua_check_str(L, 1), &why)) {
        return refuse(L, "unsupported_hash", why);
    }
    lua_pushboolean(L, true);
    return 1;
}

/* crypto.crypt_verify(password, hash): whether it is the password; nil and "busy" when too many
 * wait, nil, "unsupported_hash" and why. */
int lt_lua_crypt_verify(lua_State *L)
{
    struct lt_str password = lt_lua_check_str(L, 1), hash_text = lt_lua_check_str(L, 2);
    const char *why;
    if (!lt_password_check(hash_text, &why)) {
        return refuse(L, "unsupported_hash", why);
    }
    struct lt_task *task = lt_task_check(L);
    if (password.len > LT_PASSWORD_MAX) {
        lua_pushboolean(L, false);
        return 1;
    }
    luaL_checkstack(L, 4, NULL);
    struct op *op = op_new(password, hash_text);
    if (op == NULL) {
        return luaL_error(L, "out of memory");
    }
    const struct lt_filters_spec *spec = &task->unit->fvm->host->spec;
    op->work.box = spec->box;
    if (spec->pool == NULL && !spec->busy) {
        lt_loop_defer(spec->loop, &op->here, hash_here, op);
    } else if (!spec->busy && lt_work_pool_put(spec->pool, &op->work)) {
        op->lent = true;
    } else {
        op_free(op);
        return refuse(L, "busy", "too many passwords wait to be verified");
    }
    return lt_task_wait(L, &op->wait, finished);
}
