/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small files. Loader thread. */
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
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

/* Reads up to max bytes from fd into arena. */
static enum lt_err read_all(struct lt_arena *arena, int fd, size_t max, struct lt_str *out)
{
    struct lt_buf buf;
    enum lt_err err = LT_OK;
    char chunk[16384];
    lt_buf_init(&buf, max + 1);
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            err = LT_ERR_IO;
            break;
        }
        if (n == 0) {
            break;
        }
        lt_buf_add(&buf, chunk, (size_t)n);
        if (buf.len > max) {
            err = LT_ERR_LIMIT;
            break;
        }
        if (buf.truncated) {
            err = LT_ERR_NOMEM;
            break;
        }
    }
    if (err == LT_OK && !lt_arena_dup(arena, lt_buf_view(&buf), out)) {
        err = LT_ERR_NOMEM;
    }
    lt_buf_fini(&buf);
    return err;
}

enum lt_err lt_file_read(struct lt_arena *arena, const char *path, size_t max, struct lt_str *out,
                         struct stat *st, struct lt_str *why)
{
    struct stat local;
    enum lt_err err = LT_ERR_IO;
    bool told = true;
    st = st != NULL ? st : &local;
    *why = LT_STR_NONE;
    /* O_NONBLOCK: opening a pipe must not wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, st) != 0) {
        err = lt_err_from_errno(errno);
        explain(arena, path, errno, why);
    } else if (!S_ISREG(st->st_mode)) {
        told = lt_arena_printf(arena, why, "can't read %s: it is %s", path,
                               S_ISDIR(st->st_mode) ? "a folder" : "not a regular file");
    } else {
        err = read_all(arena, fd, max, out);
        if (err == LT_ERR_LIMIT) {
            told = lt_arena_printf(arena, why, "%s is larger than %zu bytes", path, max);
        } else if (err == LT_ERR_IO) {
            explain(arena, path, errno, why);
        }
    }
    if (!told) {
        *why = LT_STR_NONE;
    }
    if (fd >= 0) {
        close(fd);
    }
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
