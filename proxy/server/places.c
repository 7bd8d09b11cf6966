/* SPDX-License-Identifier: Apache-2.0 */
/* Whether log files, temporary files, the state file and Unix sockets could be made where the
 * configuration wants them: tried without making anything. Loader thread, and `lintel check`. */
#include "server/root_conf.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096u /* as in log_writer.c */

/* One place that is looked at. */
struct place {
    struct lt_schema_load *load;
    struct lt_pos pos;
    const char *option; /* in messages */
    bool socket;        /* else a log file */
    bool may;           /* whether we are who makes it: what is closed to us is an error */
};

static void say_closed(const struct place *p, const char *path, const struct stat *st)
{
    lt_diag_error(p->load->diags, p->pos,
                  "let the user that Lintel runs as write there, by owner, group or mode",
                  "%s: can't write to %s: permission denied (owner uid %u, mode %04o; running as "
                  "uid %u)",
                  p->option, path, (unsigned)st->st_uid, (unsigned)st->st_mode & 07777u,
                  (unsigned)geteuid());
}

/* What lies at the path already; false: that was said. */
static bool check_file(const struct place *p, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return true; /* the folder decides */
    }
    if (S_ISDIR(st.st_mode)) {
        lt_diag_error(p->load->diags, p->pos, "name a file in it", "%s: %s is a folder", p->option,
                      path);
    } else if (p->socket != S_ISSOCK(st.st_mode)) {
        lt_diag_error(p->load->diags, p->pos, "remove it, or choose another path",
                      "%s: %s is there and is %s socket", p->option, path, p->socket ? "no" : "a");
    } else if (!p->socket && p->may && euidaccess(path, W_OK) != 0 && errno == EACCES) {
        say_closed(p, path, &st);
    } else {
        return true;
    }
    return false;
}

/* The folder in which the file or socket is made. */
static void check_folder(const struct place *p, const char *folder)
{
    struct stat st;
    char hint[PATH_BYTES + 64];
    if (stat(folder, &st) != 0) {
        int error = errno;
        if (error == EACCES && !p->may) {
            return; /* who makes it may see more */
        }
        snprintf(hint, sizeof(hint), "make it: mkdir -p %s", folder);
        lt_diag_error(p->load->diags, p->pos,
                      error == ENOENT ? hint : "choose a folder that Lintel can write in",
                      "%s: the folder %s: %s", p->option, folder, strerror(error));
    } else if (!S_ISDIR(st.st_mode)) {
        lt_diag_error(p->load->diags, p->pos, "choose another path", "%s: %s is not a folder",
                      p->option, folder);
    } else if (p->may && euidaccess(folder, W_OK | X_OK) != 0 && errno == EACCES) {
        say_closed(p, folder, &st);
    }
}

static void check_place(const struct place *p, struct lt_str path)
{
    char text[PATH_BYTES], folder[PATH_BYTES];
    if (path.len >= sizeof(text)) {
        lt_diag_error(p->load->diags, p->pos, "choose a shorter path",
                      "%s: the path is longer than %zu bytes", p->option, sizeof(text) - 1);
        return;
    }
    memcpy(text, path.p, path.len);
    text[path.len] = '\0';
    size_t slash = lt_str_rchr(path, '/');
    memcpy(folder, text, sizeof(folder));
    folder[slash > 0 ? slash : 1] = '\0';
    struct stat st;
    bool file = check_file(p, text);
    /* A log that is there is only opened; a socket is made anew. */
    if (file && (p->socket || stat(text, &st) != 0)) {
        check_folder(p, folder);
    }
}

static void check_socket(struct place *p, const struct lt_addr *addr, struct lt_pos pos)
{
    /* Abstract ones have no path. */
    if (addr->len > 0 && lt_addr_is_unix(addr) && addr->un.sun_path[0] != '\0') {
        p->pos = pos;
        check_place(p, lt_str_c(addr->un.sun_path));
    }
}

static void check_log(struct place *p, const struct lt_log_conf *log, const char *row,
                      struct lt_str target)
{
    if (target.len > 0 && target.p[0] == '/') { /* else a word, or said to be wrong */
        p->pos = lt_schema_pos(log, row);
        check_place(p, target);
    }
}

/* The folder for bodies. Of the default nobody is told before a body needs it. */
static void check_temporary(struct place *p, const struct lt_buffers_conf *buffers)
{
    if (lt_schema_is_set(buffers, offsetof(struct lt_buffers_conf, path)) &&
        buffers->path.len > 0 && buffers->path.p[0] == '/') {
        p->option = "path";
        p->pos = lt_schema_pos(buffers, "path");
        check_folder(p, buffers->path.p);
    }
}

/* It is written beside its place and moved there, so its folder has to be open always. */
static void check_state_file(struct place *p, const struct lt_admin_conf *admin)
{
    char text[PATH_BYTES];
    struct lt_str path = admin->state_file;
    size_t slash = lt_str_rchr(path, '/');
    p->option = "state_file";
    p->pos = lt_schema_pos(admin, "state_file");
    if (path.len > 0 && path.len < sizeof(text) && slash != SIZE_MAX && check_file(p, path.p)) {
        memcpy(text, path.p, path.len);
        text[slash > 0 ? slash : 1] = '\0';
        check_folder(p, text);
    }
}

/* The folder of challenges: that it isn't there yet is usual before the first one, and a warning.
 */
static void check_challenges(struct lt_root_load *root, const struct lt_acme_conf *acme)
{
    struct stat st;
    char hint[PATH_BYTES + 64];
    struct lt_pos pos = lt_schema_pos(acme, "challenges");
    if (acme->challenges.len == 0) {
        return;
    }
    if (stat(acme->challenges.p, &st) != 0 && errno == ENOENT) {
        snprintf(hint, sizeof(hint), "make it, or let the ACME client do so: mkdir -p %s",
                 acme->challenges.p);
        lt_diag_warning(&root->diags, pos, hint, "challenges: there is no folder %s yet",
                        acme->challenges.p);
    } else if (euidaccess(acme->challenges.p, R_OK) != 0) {
        lt_diag_error(&root->diags, pos, "let the user that Lintel runs as read it",
                      "challenges: %s: %s", acme->challenges.p, strerror(errno));
    } else if (!S_ISDIR(st.st_mode)) {
        lt_diag_error(&root->diags, pos, "name the folder that the ACME client writes to",
                      "challenges: %s is not a folder", acme->challenges.p);
    }
}

void lt_root_check_places(struct lt_root_load *root, unsigned places)
{
    const struct lt_root_conf *conf = root->read;
    if (conf == NULL || root->load.nomem) {
        return;
    }
    struct place p = {.load = &root->load, .may = true};
    if ((places & LT_PLACES_FILES) != 0) {
        p.option = "access";
        check_log(&p, &conf->log, "access", conf->log.access);
        p.option = "errors";
        check_log(&p, &conf->log, "errors", conf->log.errors);
        check_temporary(&p, &conf->limits.buffers);
        check_state_file(&p, &conf->admin);
        check_challenges(root, &conf->acme);
    }
    if ((places & LT_PLACES_SOCKETS) != 0) {
        const struct lt_listen_conf *listen = conf->listen.items;
        p.socket = true;
        p.may = (places & LT_PLACES_SOCKETS_OURS) != 0;
        p.option = "listen";
        check_socket(&p, &conf->admin.listen, lt_schema_pos(&conf->admin, "listen"));
        p.option = "address";
        for (size_t i = 0; i < conf->listen.n; i++) {
            check_socket(&p, &listen[i].address, lt_schema_pos(&listen[i], "address"));
        }
    }
    if (!lt_load_ok(&root->load)) {
        root->conf = NULL;
    }
}
