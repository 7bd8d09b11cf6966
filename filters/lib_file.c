/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.file.exists: a filter waits while a thread of the pool looks for a file, because a disk
 * may be slow. Where there is no pool (`lintel test`), the end of the loop's turn does it. */
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "net/work_pool.h"

struct op {
    struct lt_async wait;
    struct lt_work work;
    struct lt_deferred here; /* without a pool */
    bool lent;               /* the pool has it; whoever gets it back then frees it if given up */
    bool given_up;
    int error; /* of stat; 0: it is there */
    char path[];
};

static void end(struct lt_async *wait)
{
    struct op *op = lt_container_of(wait, struct op, wait);
    if (op->lent) {
        op->given_up = true;
        atomic_store_explicit(&op->work.unwanted, true, memory_order_relaxed);
        return;
    }
    lt_loop_cancel(&op->here);
    lt_free(op);
}

/* On a thread of the pool. */
static void look(struct lt_work *work)
{
    struct op *op = lt_container_of(work, struct op, work);
    struct stat st;
    op->error = stat(op->path, &st) == 0 ? 0 : errno;
}

static void on_back(struct lt_message *message, void *owner)
{
    (void)owner;
    struct op *op = lt_container_of(message, struct op, work.message);
    op->lent = false;
    if (op->given_up) {
        lt_free(op);
    } else {
        lt_async_done(&op->wait);
    }
}

static void look_here(void *arg)
{
    struct op *op = arg;
    look(&op->work);
    op->work.ran = true;
    lt_async_done(&op->wait);
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
    if (op->error != 0 && op->error != ENOENT && op->error != ENOTDIR) {
        return refuse(L, "unreadable", strerrordesc_np(op->error));
    }
    lua_pushboolean(L, op->error == 0);
    return 1;
}

/* file.exists(path): whether there is one; nil, a reason ("busy", "unreadable") and why. */
static int exists(lua_State *L)
{
    struct lt_str path = lt_lua_check_str(L, 1);
    bool ok = path.len > 0 && path.len < PATH_MAX && path.p[0] == '/' && strlen(path.p) == path.len;
    luaL_argcheck(L, ok, 1, "a path starts at the root, as settings of the type file do");
    struct lt_task *task = lt_task_check(L);
    luaL_checkstack(L, 4, NULL);
    struct op *op = lt_calloc(1, sizeof(*op) + path.len + 1);
    if (op == NULL) {
        return luaL_error(L, "out of memory");
    }
    const struct lt_filters_spec *spec = &task->unit->fvm->host->spec;
    memcpy(op->path, path.p, path.len);
    op->wait.end = end;
    op->work.run = look;
    op->work.message.fn = on_back;
    op->work.box = spec->box;
    atomic_init(&op->work.unwanted, false);
    if (spec->pool == NULL) {
        lt_loop_defer(spec->loop, &op->here, look_here, op);
    } else if (lt_work_pool_put(spec->pool, &op->work)) {
        op->lent = true;
    } else {
        lt_free(op);
        return refuse(L, "busy", "too much waits for a thread");
    }
    return lt_task_wait(L, &op->wait, finished);
}

static const struct lt_api_row file_rows[] = {
    {"exists", "(path: string): boolean?, string? reason, string? detail",
     "Whether there is a file or a folder of this path, which starts at the root, as settings of "
     "the "
     "type `file` do. Waits for a thread that looks. nil and `busy` or `unreadable`: it can't be "
     "told.",
     exists},
    LT_API_END,
};

const struct lt_api lt_api_file = {
    .name = "lintel.file",
    .as = "lintel.file",
    .doc = "What lies on the disk. Filters read no files: settings may hold `${file:PATH}`.",
    .rows = file_rows,
};
