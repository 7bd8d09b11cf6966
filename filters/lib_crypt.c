/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.crypto.crypt_verify: a filter waits while a thread of the pool hashes a password. */
#include <lauxlib.h>
#include <openssl/crypto.h>

#include "base/mem.h"
#include "filters/host_impl.h"
#include "filters/lent.h"
#include "filters/lib.h"
#include "filters/password.h"

struct op {
    struct lt_lent lent;
    bool same; /* the result */
    size_t password_len, hash_len;
    char password[LT_PASSWORD_MAX], hash[LT_PASSWORD_HASH_MAX];
};

static void op_free(struct lt_lent *lent)
{
    struct op *op = lt_container_of(lent, struct op, lent);
    OPENSSL_cleanse(op->password, sizeof(op->password));
    lt_free(op);
}

static void hash(struct lt_lent *lent)
{
    struct op *op = lt_container_of(lent, struct op, lent);
    op->same =
        lt_password_verify(lt_str(op->password, op->password_len), lt_str(op->hash, op->hash_len));
}

static int push(lua_State *L, const struct lt_lent *lent)
{
    lua_pushboolean(L, lt_container_of(lent, struct op, lent)->same);
    return 1;
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
        op->lent.run = hash;
        op->lent.push = push;
        op->lent.free = op_free;
    }
    return op;
}

/* crypto.crypt_check(hash): true, or nil, "unsupported_hash" and why. */
int lt_lua_crypt_check(lua_State *L)
{
    const char *why;
    if (!lt_password_check(lt_lua_check_str(L, 1), &why)) {
        return lt_lent_refuse(L, "unsupported_hash", why);
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
        return lt_lent_refuse(L, "unsupported_hash", why);
    }
    struct lt_task *task = lt_task_check(L);
    if (password.len > LT_PASSWORD_MAX) {
        lua_pushboolean(L, false);
        return 1;
    }
    luaL_checkstack(L, 4, NULL);
    if (task->unit->fvm->host->spec.busy) {
        return lt_lent_refuse(L, "busy", "too much waits for a thread");
    }
    struct op *op = op_new(password, hash_text);
    if (op == NULL) {
        return luaL_error(L, "out of memory");
    }
    return lt_lent_wait(L, task, &op->lent);
}
