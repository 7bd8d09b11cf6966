/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of the shipped filters (scripts_dir.h). */
#include "filters/scripts_dir.h"

#include <limits.h>
#include <unistd.h>

/* A file that lies there and nowhere else. */
#define MARK "/lintel.d.lua"

/* Whether dir + rest is the folder; then *out is its path. */
static bool is_there(struct lt_arena *arena, struct lt_str dir, const char *rest,
                     struct lt_str *out)
{
    return lt_arena_printf(arena, out, "%.*s%s" MARK, LT_STR_ARG(dir), rest) &&
           access(out->p, R_OK) == 0 &&
           lt_arena_printf(arena, out, "%.*s%s", LT_STR_ARG(dir), rest);
}

bool lt_scripts_dir(struct lt_arena *arena, struct lt_str *dir)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program));
    struct lt_str folder = lt_str(program, n > 0 ? (size_t)n : 0);
    folder = lt_str_sub(folder, 0, folder.len > 0 ? lt_str_rchr(folder, '/') : 0);
    return is_there(arena, folder, "/scripts", dir) ||
           is_there(arena, folder, "/../share/lintel/scripts", dir) ||
           lt_arena_dup(arena, LT_STR(LT_SCRIPTS_DIR), dir);
}
