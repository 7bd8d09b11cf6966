/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.file.exists: a filter waits while a thread of the pool looks for a file, because a disk
 * may be slow. */
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "filters/api.h"
#include "filters/ctx.h"
#include "filters/lent.h"

struct op {
    struct lt_lent lent;
    int error; /* of stat; 0: it is there */
    char path[];
};

static void op_free(struct lt_lent *lent)
{
    lt_free(lt_container_of(lent, struct op, lent));
}

static void look(struct lt_lent *lent)
{
    struct op *op = lt_container_of(lent, struct op, lent);
    struct stat st;
    op->error = stat(op->path, &st) == 0 ? 0 : errno;
}

static int push(lua_State *L, const struct lt_lent *lent)
{
    const struct op *op = lt_container_of(lent, struct op, lent);
    if (op->error != 0 && op->error != ENOENT && op->error != ENOTDIR) {
        return lt_lent_refuse(L, "unreadable", strerrordesc_np(op->error));
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
    memcpy(op->path, path.p, path.len);
    op->lent.run = look;
    op->lent.push = push;
    op->lent.free = op_free;
    return lt_lent_wait(L, task, &op->lent);
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
