/* SPDX-License-Identifier: Apache-2.0 */
/* Why a server could not be connected to, as text. Names of users come from /etc/passwd and
 * /etc/group alone: other sources of names may ask the network, and a worker waits for nobody. */
#include "upstream/dial_detail.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#define ENTRY_MAX 1024u /* bytes of a line of /etc/passwd or /etc/group */

static void put_user(struct lt_buf *out, uid_t uid)
{
    FILE *f = fopen("/etc/passwd", "re");
    struct passwd entry, *found = NULL;
    char line[ENTRY_MAX];
    while (f != NULL && fgetpwent_r(f, &entry, line, sizeof(line), &found) == 0 &&
           entry.pw_uid != uid) {
        found = NULL;
    }
    if (found != NULL) {
        lt_buf_str(out, lt_str_c(entry.pw_name));
    } else {
        lt_buf_printf(out, "%lu", (unsigned long)uid);
    }
    if (f != NULL) {
        fclose(f);
    }
}

static void put_group(struct lt_buf *out, gid_t gid)
{
    FILE *f = fopen("/etc/group", "re");
    struct group entry, *found = NULL;
    char line[ENTRY_MAX];
    while (f != NULL && fgetgrent_r(f, &entry, line, sizeof(line), &found) == 0 &&
           entry.gr_gid != gid) {
        found = NULL;
    }
    if (found != NULL) {
        lt_buf_str(out, lt_str_c(entry.gr_name));
    } else {
        lt_buf_printf(out, "%lu", (unsigned long)gid);
    }
    if (f != NULL) {
        fclose(f);
    }
}

/* "owner app:app, mode 0660, we are uid 33 (www-data)" */
static void put_rights(struct lt_buf *out, const struct stat *st)
{
    lt_buf_str(out, LT_STR("owner "));
    put_user(out, st->st_uid);
    lt_buf_char(out, ':');
    put_group(out, st->st_gid);
    lt_buf_printf(out, ", mode %04o, we are uid %lu (", (unsigned)st->st_mode & 07777u,
                  (unsigned long)geteuid());
    put_user(out, geteuid());
    lt_buf_char(out, ')');
}

/* Gives the folder on path behind which nothing can be reached: the deepest one that stat() gives
 * an answer about. LT_ADDR_TEXT_MAX bounds path. */
static void deepest(const char *path, char folder[LT_ADDR_TEXT_MAX], struct stat *st)
{
    snprintf(folder, LT_ADDR_TEXT_MAX, "%s", path);
    for (char *slash = strrchr(folder, '/'); slash != NULL; slash = strrchr(folder, '/')) {
        slash[slash == folder ? 1 : 0] = '\0';
        if (stat(folder, st) == 0 || slash == folder) {
            return;
        }
    }
}

static void put_permission(struct lt_buf *out, const char *path)
{
    struct stat st = {.st_mode = 0};
    char folder[LT_ADDR_TEXT_MAX];
    lt_buf_str(out, LT_STR("permission denied: "));
    if (stat(path, &st) != 0) {
        deepest(path, folder, &st);
        lt_buf_printf(out, "folder %s: ", folder);
        put_rights(out, &st);
        return;
    }
    put_rights(out, &st);
    if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0) {
        lt_buf_str(out, LT_STR("; that would do: look at SELinux or AppArmor"));
    }
}

static void put_missing(struct lt_buf *out, const char *path)
{
    struct stat st;
    char folder[LT_ADDR_TEXT_MAX];
    size_t parent = lt_max(lt_str_rchr(lt_str_c(path), '/'), (size_t)1);
    deepest(path, folder, &st);
    if (strlen(folder) == parent) {
        lt_buf_printf(out, "there is no such file in %s", folder);
    } else {
        lt_buf_printf(out, "its folder does not exist, only %s", folder);
    }
}

static void put_refused(struct lt_buf *out, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
        lt_buf_str(out, LT_STR("it is no socket"));
    } else {
        lt_buf_str(out, LT_STR("the socket is there and nobody listens on it any more"));
    }
}

static void put_descriptors(struct lt_buf *out)
{
    struct rlimit limit;
    lt_buf_str(out, LT_STR("too many open files"));
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        lt_buf_printf(out, ", the limit is %llu", (unsigned long long)limit.rlim_cur);
    }
}

struct lt_str lt_dial_detail(const struct lt_server *server, enum lt_cause cause, int sys_errno,
                             uint64_t waited_us, char *space, size_t size)
{
    struct lt_buf out;
    bool local = lt_addr_is_unix(&server->addr);
    char text[LT_ADDR_TEXT_MAX];
    text[lt_addr_print(&server->addr, text)] = '\0';
    const char *path = local ? text + strlen("unix:") : "";
    lt_buf_init_fixed(&out, space, size);
    lt_buf_printf(&out, "connect to %.*s: ", LT_STR_ARG(server->name));
    switch (cause) { /* a default on purpose: the others are as the system says */
    case LT_CAUSE_SOCKET_PERMISSION:
        if (local) {
            put_permission(&out, path);
        } else {
            lt_buf_str(&out, LT_STR("permission denied: a local firewall forbids it"));
        }
        break;
    case LT_CAUSE_SOCKET_MISSING:
        put_missing(&out, path);
        break;
    case LT_CAUSE_CONNECT_REFUSED_BY_SERVER:
        if (local) {
            put_refused(&out, path);
        } else {
            lt_buf_str(&out, LT_STR("refused: nobody listens on this port"));
        }
        break;
    case LT_CAUSE_CONNECT_TIMEOUT:
        if (waited_us / 1000 < server->upstream->connect_ms) {
            lt_buf_printf(&out, "no answer, the system gave up after %llu ms",
                          (unsigned long long)(waited_us / 1000));
        } else {
            lt_buf_printf(&out, "no answer in %llu ms, %.*s",
                          (unsigned long long)server->upstream->connect_ms,
                          LT_STR_ARG(server->upstream->places.connect));
        }
        break;
    case LT_CAUSE_SOCKET_BACKLOG:
        lt_buf_str(&out, LT_STR("its listen queue is full; it is as long as the application asks "
                                "for, at most net.core.somaxconn"));
        break;
    case LT_CAUSE_NO_DESCRIPTORS:
        put_descriptors(&out);
        break;
    default:
        lt_buf_str(&out, lt_str_c(sys_errno != 0 ? strerrordesc_np(sys_errno) : "failed"));
        break;
    }
    return lt_buf_view(&out);
}
