/* SPDX-License-Identifier: Apache-2.0 */
/* Challenge files are read by main when they are asked for, not kept: an ACME client writes one and
 * has the authority ask for it at once, so whatever is remembered may be too old. Main serves no
 * traffic; a disk that stalls it stops admin and reloads for as long, and nobody else. */
#include "server/acme.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "exchange/challenge.h"
#include "server/gateway.h"

static const struct lt_row rows[] = {
    {.name = "challenges",
     .type = LT_T_FILE,
     .offset = offsetof(struct lt_acme_conf, challenges),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "Folder of the files that an ACME client makes for its HTTP challenges. "
            "`GET /.well-known/acme-challenge/NAME` is answered with the file NAME in it, on every "
            "listener, for every host, before redirects, routes and filters. What isn't there goes "
            "on to the routes.",
     .since = "0.1"},
};

/* It isn't a switch: no certificate is fetched here. */
static void check(struct lt_schema_load *load, void *obj)
{
    const struct lt_acme_conf *acme = obj;
    static const char *const words[] = {"true", "false", "yes", "no"};
    size_t slash = acme->challenges.len;
    while (slash > 0 && acme->challenges.p[slash - 1] != '/') {
        slash--;
    }
    for (size_t i = 0; i < lt_countof(words); i++) {
        if (lt_str_eq_c(lt_str_sub(acme->challenges, slash, acme->challenges.len), words[i])) {
            lt_diag_error(load->diags, lt_schema_pos(acme, "challenges"),
                          "write the folder, such as /var/lib/acme/challenges; a client of your "
                          "choice fetches the certificates",
                          "acme wants the folder of an ACME client's challenges");
        }
    }
}

const struct lt_schema lt_acme_schema = {
    .name = "acme",
    .doc = "Certificates by ACME, with a client of your choice.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_acme_conf),
    .shorthand = "challenges",
    .check = check,
};

/* ---- Reading. ---- */

static bool read_regular(int fd, struct lt_challenge *c)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return false;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)sizeof(c->text)) {
        return true;
    }
    ssize_t n = pread(fd, c->text, sizeof(c->text), 0);
    c->len = n > 0 ? (size_t)n : 0;
    c->found = n > 0;
    return n >= 0;
}

bool lt_acme_read(const char *folder, struct lt_challenge *c)
{
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return errno == ENOENT; /* ACME clients make it with their first challenge */
    }
    /* O_NONBLOCK: a named pipe must not stop us. */
    int fd = openat(dir, c->token, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int error = errno;
    bool ok = fd >= 0 ? read_regular(fd, c) : error == ENOENT || error == ELOOP;
    if (fd >= 0) {
        error = errno;
        close(fd);
    }
    close(dir);
    errno = error;
    return ok;
}

/* ---- Between main and the workers. ---- */

static void on_answer(struct lt_message *message, void *owner LT_UNUSED)
{
    lt_challenge_answer(lt_container_of(message, struct lt_challenge, message));
}

static void on_question(struct lt_message *message, void *owner)
{
    struct lt_gateway *g = owner;
    struct lt_challenge *c = lt_container_of(message, struct lt_challenge, message);
    if (g->n_workers == 0) {
        lt_free(c); /* the end: nobody waits any more */
        return;
    }
    /* A worker may serve a configuration before main has taken note of it. */
    struct lt_str folder =
        g->current != NULL ? g->current->root->conf->acme.challenges : LT_STR_NONE;
    if (folder.len > 0 && !lt_acme_read(folder.p, c)) {
        lt_log_warn("acme", "challenge_unreadable", LT_KV_STR("folder", folder),
                    LT_KV_CSTR("file", c->token), LT_KV_CSTR("error", strerrordesc_np(errno)),
                    LT_KV_CSTR("hint", "let the user that Lintel runs as read it"));
    }
    message->fn = on_answer;
    lt_mailbox_post(lt_container_of(c->env, struct lt_worker, env)->box, message);
}

void lt_acme_ask(struct lt_challenge *c)
{
    const struct lt_worker *worker = lt_container_of(c->env, struct lt_worker, env);
    c->message.fn = on_question;
    lt_mailbox_post(worker->shared->main, &c->message);
}
