/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small files. Loader thread. */
#include "config/file.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"

/* The name of a uid, or its number in digits. */
static const char *user_name(uid_t uid, char digits[24])
{
    const struct passwd *pw = getpwuid(uid);
    if (pw != NULL) {
        return pw->pw_name;
    }
    snprintf(digits, 24, "%lu", (unsigned long)uid);
    return digits;
}

/* Writes why path can't be opened: what stands in the way is the file itself or a folder above. */
static void explain(struct lt_arena *arena, const char *path, int err, struct lt_str *why)
{
    struct stat st;
    char digits[24];
    bool ok;
    if (err != EACCES && err != EPERM) {
        ok = lt_arena_printf(arena, why, "can't read %s: %s", path, strerror(err));
    } else if (stat(path, &st) != 0) {
        ok = lt_arena_printf(arena, why,
                             "can't read %s: a folder on its path is closed to us (uid %lu)", path,
                             (unsigned long)geteuid());
    } else {
        ok = lt_arena_printf(
            arena, why, "can't read %s: it belongs to %s with mode %04o, and we run as uid %lu",
            path, user_name(st.st_uid, digits), (unsigned)st.st_mode & 07777u,
            (unsigned long)geteuid());
    }
    if (!ok) {
        *why = LT_STR_NONE;
    }
}

static bool add_piece(void *arg, const char *p, size_t n)
{
    struct lt_buf *buf = arg;
    lt_buf_add(buf, p, n);
    return !buf->truncated;
}

enum lt_err lt_file_read(struct lt_files *files, struct lt_arena *arena, const char *path,
                         size_t max, struct lt_str *out, struct stat *st, struct lt_str *why)
{
    struct stat local;
    struct lt_buf buf;
    bool told = true;
    *why = LT_STR_NONE;
    lt_buf_init(&buf, max + 1);
    enum lt_err err = lt_files_read(files, path, max, st != NULL ? st : &local, add_piece, &buf);
    if (err == LT_OK && !lt_arena_dup(arena, lt_buf_view(&buf), out)) {
        err = LT_ERR_NOMEM;
    } else if (err == LT_ERR_LIMIT) {
        told = lt_arena_printf(arena, why, "%s is larger than %zu bytes", path, max);
    } else if (err != LT_OK && err != LT_ERR_NOMEM && (errno == EISDIR || errno == ENODEV)) {
        told = lt_arena_printf(arena, why, "can't read %s: it is %s", path,
                               errno == EISDIR ? "a folder" : "not a regular file");
    } else if (err != LT_OK && err != LT_ERR_NOMEM) {
        explain(arena, path, errno, why);
    }
    if (!told) {
        *why = LT_STR_NONE;
    }
    lt_buf_fini(&buf);
    return err;
}

bool lt_file_join(struct lt_arena *arena, struct lt_str dir, struct lt_str path, struct lt_str *out)
{
    if (dir.len == 0 || (path.len > 0 && path.p[0] == '/')) {
        return lt_arena_dup(arena, path, out);
    }
    return lt_arena_printf(arena, out, "%.*s%s%.*s", LT_STR_ARG(dir),
                           dir.p[dir.len - 1] == '/' ? "" : "/", LT_STR_ARG(path));
}
