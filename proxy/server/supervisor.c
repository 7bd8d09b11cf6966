/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's one thread: waits for signals and for messages of the gateway. */
#include "server/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/files.h"
#include "server/control.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/sockets.h"
#include "shared/shm.h"

/* A gateway that dies is started again at once, then after growing pauses; one that lived this long
 * counts as the first again. */
#define STABLE_US UINT64_C(10000000)
#define BACKOFF_FIRST_US UINT64_C(100000)
#define BACKOFF_MAX_US UINT64_C(10000000)
/* How much longer than it promised a drain may take before the gateway is killed. */
#define DRAIN_GRACE_MS 5000u
/* How long a gateway may take that was asked to end at once. */
#define END_GRACE_MS 5000u
/* For a drain before the gateway has said how long it may take. */
#define DRAIN_UNKNOWN_MS 5000u

struct supervisor {
    const struct lt_run_options *options;
    struct lt_user user; /* name empty: none */
    struct lt_shm *shm;
    struct lt_sockets *sockets;
    int signals; /* signalfd */

    pid_t pid;   /* of the gateway; 0: none runs */
    int control; /* our end; -1: none */
    int kept;    /* what the last configuration that worked was read from; -1: none. Never looked
                    into: it holds secrets */
    uint32_t generation;
    uint64_t started_us;    /* when this gateway was started */
    uint64_t restart_at_us; /* when to start the next one; 0: not planned */
    uint64_t kill_at_us;    /* when a drain has taken too long; 0: none runs */
    uint64_t drain_ms;      /* as the gateway said */
    unsigned deaths;        /* in a row, without a stable time between */
    bool was_ready;         /* some gateway served once */
    bool stopping;
    bool over;
    int exit_code;
};

/* ---- Starting a gateway. ---- */

/* In the child: becomes the gateway, which is this program again. */
LT_NORETURN static void become_gateway(const struct supervisor *s, int control)
{
    char control_text[16], shm_text[16], generation_text[16], kept_text[16];
    snprintf(control_text, sizeof(control_text), "%d", control);
    snprintf(shm_text, sizeof(shm_text), "%d", lt_shm_fd(s->shm));
    snprintf(generation_text, sizeof(generation_text), "%u", s->generation);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    fcntl(control, F_SETFD, 0);
    fcntl(lt_shm_fd(s->shm), F_SETFD, 0);
    snprintf(kept_text, sizeof(kept_text), "%d", s->kept);
    const char *argv[20] = {"lintel", "gateway",         "--control",    control_text,
                            "--shm",  shm_text,          "--generation", generation_text,
                            "-c",     s->options->config};
    size_t n = 10;
    if (s->options->user != NULL) {
        argv[n++] = "--user";
        argv[n++] = s->options->user;
    }
    if (s->options->core_dumps) {
        argv[n++] = "--core-dumps";
        argv[n++] = "1";
    }
    if (s->options->dev) {
        argv[n++] = "--dev";
        argv[n++] = "1";
    }
    if (s->kept >= 0) {
        fcntl(s->kept, F_SETFD, 0);
        argv[n++] = "--kept";
        argv[n++] = kept_text;
    }
    execv("/proc/self/exe", (char **)(uintptr_t)argv);
    lt_log_error("supervisor", "exec_failed", LT_KV_CSTR("error", strerror(errno)));
    _exit(127);
}

static void plan_restart(struct supervisor *s)
{
    uint64_t pause = 0;
    if (s->deaths > 1) {
        unsigned doublings = lt_min(s->deaths - 2, 10u);
        pause = lt_min(BACKOFF_FIRST_US << doublings, BACKOFF_MAX_US);
    }
    s->restart_at_us = lt_clock_us() + pause;
}

static void start_gateway(struct supervisor *s)
{
    int ends[2];
    s->restart_at_us = 0;
    s->started_us = lt_clock_us();
    if (lt_control_pair(ends) != LT_OK) {
        lt_log_error("supervisor", "start_failed", LT_KV_CSTR("error", strerror(errno)));
        s->deaths++;
        plan_restart(s);
        return;
    }
    s->generation = lt_shm_next_generation(s->shm);
    pid_t pid = fork();
    if (pid == 0) {
        become_gateway(s, ends[1]);
    }
    int saved = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        lt_log_error("supervisor", "start_failed", LT_KV_CSTR("error", strerror(saved)));
        s->deaths++;
        plan_restart(s);
        return;
    }
    s->pid = pid;
    s->control = ends[0];
    s->drain_ms = DRAIN_UNKNOWN_MS;
}

/* ---- What the gateway asks for. ---- */

static void answer_listen(struct supervisor *s, const struct lt_control_message *message)
{
    struct lt_sockets_request request = {.key = lt_str_c(message->key),
                                         .addr = message->addr,
                                         .count = message->count,
                                         .backlog = message->backlog,
                                         .mode = message->mode,
                                         .uid = (unsigned)-1,
                                         .gid = (unsigned)-1,
                                         .generation = s->generation};
    if (s->user.name[0] != '\0' && geteuid() == 0) {
        request.uid = s->user.uid;
        request.gid = s->user.gid;
    }
    struct lt_control_message answer = {.type = LT_CONTROL_LISTENING};
    const int *fds = NULL;
    unsigned n = 0;
    enum lt_err err = lt_sockets_open(s->sockets, &request, &fds, &n, &answer.sys_errno);
    if (err != LT_OK && answer.sys_errno == 0) {
        answer.sys_errno = EIO;
    }
    answer.count = n;
    memcpy(answer.key, message->key, sizeof(answer.key));
    do {
        unsigned some = lt_min(n - answer.first, LT_CONTROL_FDS_MAX);
        if (lt_control_send(s->control, &answer, fds != NULL ? fds + answer.first : NULL, some) !=
            LT_OK) {
            return; /* it is dying: SIGCHLD follows */
        }
        answer.first += some;
    } while (answer.first < n);
}

/* Takes over what a configuration that works was read from. */
static void keep(struct supervisor *s, int *fd)
{
    if (*fd >= 0 && lt_files_is_sealed(*fd)) {
        if (s->kept >= 0) {
            close(s->kept);
        }
        s->kept = *fd;
        *fd = -1;
    }
}

static void on_ready(struct supervisor *s, const struct lt_control_message *message, int *fd)
{
    s->was_ready = true;
    s->drain_ms = message->value;
    keep(s, fd);
    /* What an earlier gateway listened on and this one doesn't: nobody would serve it. */
    lt_sockets_close_unused(s->sockets, s->generation);
    lt_notify("READY=1");
}

/* fd: what came with it; -1: nothing, or taken. */
static void on_message(struct supervisor *s, const struct lt_control_message *message, int *fd)
{
    switch ((enum lt_control_type)message->type) {
    case LT_CONTROL_LISTEN:
        answer_listen(s, message);
        break;
    case LT_CONTROL_UNLISTEN:
        lt_sockets_close(s->sockets, lt_str_c(message->key));
        break;
    case LT_CONTROL_READY:
        on_ready(s, message, fd);
        break;
    case LT_CONTROL_RELOADED:
        if (message->sys_errno == 0) {
            s->drain_ms = message->value;
            keep(s, fd);
        }
        lt_notify("READY=1");
        break;
    case LT_CONTROL_STOPPED:
        if (s->stopping) {
            lt_sockets_close_all(s->sockets);
        }
        break;
    case LT_CONTROL_LISTENING:
    case LT_CONTROL_RELOAD:
    case LT_CONTROL_REOPEN:
    case LT_CONTROL_DRAIN:
    case LT_CONTROL_END:
        break; /* ours to send */
    }
}

static void read_control(struct supervisor *s)
{
    struct lt_control_message message;
    int fds[LT_CONTROL_FDS_MAX];
    unsigned n;
    for (;;) {
        enum lt_err err = lt_control_recv(s->control, &message, fds, &n);
        if (err == LT_AGAIN) {
            return;
        }
        if (err != LT_OK) {
            close(s->control);
            s->control = -1;
            return;
        }
        int fd = n > 0 ? fds[0] : -1;
        on_message(s, &message, &fd);
        if (fd >= 0) {
            close(fd);
        }
        for (unsigned i = 1; i < n; i++) {
            close(fds[i]); /* more than one is never expected */
        }
        if (s->control < 0) {
            return;
        }
    }
}

static void command(struct supervisor *s, enum lt_control_type type)
{
    struct lt_control_message message = {.type = type};
    if (s->control >= 0 && lt_control_send(s->control, &message, NULL, 0) != LT_OK) {
        lt_log_warn("supervisor", "command_lost", LT_KV_INT("pid", s->pid));
    }
}

/* ---- Ends. ---- */

static void log_exit(const struct supervisor *s, int status)
{
    if (WIFSIGNALED(status)) {
        lt_log_error("supervisor", "gateway_exited", LT_KV_INT("pid", s->pid),
                     LT_KV_INT("signal", WTERMSIG(status)), LT_KV_INT("generation", s->generation));
    } else if (!s->stopping || WEXITSTATUS(status) != 0) {
        lt_log_error("supervisor", "gateway_exited", LT_KV_INT("pid", s->pid),
                     LT_KV_INT("code", WEXITSTATUS(status)),
                     LT_KV_INT("generation", s->generation));
    }
}

static void on_gateway_exit(struct supervisor *s, int status)
{
    if (s->control >= 0) {
        read_control(s); /* it may have said something before it ended */
    }
    log_exit(s, status);
    if (s->control >= 0) {
        close(s->control);
        s->control = -1;
    }
    lt_shm_clear_generation(s->shm, s->generation);
    s->pid = 0;
    if (s->stopping) {
        s->over = true;
        s->exit_code = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
        return;
    }
    if (!s->was_ready) {
        s->over = true;
        s->exit_code = 1;
        return;
    }
    if (lt_clock_us() - s->started_us > STABLE_US) {
        s->deaths = 0;
    }
    s->deaths++;
    plan_restart(s);
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->pid) {
            on_gateway_exit(s, status);
        }
    }
}

static void stop(struct supervisor *s)
{
    if (s->stopping) {
        /* Asked again: what is in progress is cut off, in order and soon. */
        s->kill_at_us = lt_min(s->kill_at_us, lt_clock_us() + END_GRACE_MS * 1000);
        command(s, LT_CONTROL_END);
        return;
    }
    s->stopping = true;
    lt_notify("STOPPING=1");
    if (s->pid == 0) {
        s->over = true;
        return;
    }
    s->kill_at_us = lt_clock_us() + (s->drain_ms + DRAIN_GRACE_MS) * 1000;
    command(s, LT_CONTROL_DRAIN);
}

/* ---- Signals. ---- */

static void on_signal(struct supervisor *s, uint32_t signo)
{
    switch (signo) {
    case SIGCHLD:
        reap(s);
        break;
    case SIGHUP:
        if (!s->stopping) {
            lt_notify_reloading();
            command(s, LT_CONTROL_RELOAD);
        }
        break;
    case SIGUSR1:
        command(s, LT_CONTROL_REOPEN);
        break;
    case SIGTERM:
    case SIGINT:
        stop(s);
        break;
    }
}

static void read_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        on_signal(s, info.ssi_signo);
    }
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    static const int wanted[] = {SIGCHLD, SIGHUP, SIGUSR1, SIGTERM, SIGINT};
    for (size_t i = 0; i < lt_countof(wanted); i++) {
        sigaddset(&set, wanted[i]);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- The loop. ---- */

/* Does what is due; gives the milliseconds until something else is, or -1. */
static int run_due(struct supervisor *s)
{
    uint64_t now = lt_clock_us(), next = UINT64_MAX;
    if (s->restart_at_us != 0 && s->restart_at_us <= now && s->pid == 0 && !s->over) {
        start_gateway(s);
    }
    if (s->kill_at_us != 0 && s->kill_at_us <= now && s->pid > 0) {
        lt_log_error("supervisor", "drain_overdue", LT_KV_INT("pid", s->pid));
        kill(s->pid, SIGKILL);
        s->kill_at_us = 0;
    }
    if (s->restart_at_us != 0) {
        next = s->restart_at_us;
    }
    if (s->kill_at_us != 0 && s->kill_at_us < next) {
        next = s->kill_at_us;
    }
    if (next == UINT64_MAX) {
        return -1;
    }
    now = lt_clock_us();
    return next > now ? (int)lt_min((next - now) / 1000 + 1, UINT64_C(3600000)) : 0;
}

static void loop(struct supervisor *s)
{
    while (!s->over) {
        int wait_ms = run_due(s);
        struct pollfd pfds[2] = {{.fd = s->signals, .events = POLLIN},
                                 {.fd = s->control, .events = POLLIN}};
        if (poll(pfds, s->control >= 0 ? 2 : 1, wait_ms) < 0) {
            continue; /* EINTR: a stopped and continued process */
        }
        if (s->control >= 0 && pfds[1].revents != 0) {
            read_control(s);
        }
        if (pfds[0].revents != 0) {
            read_signals(s);
        }
    }
}

static bool prepare(struct supervisor *s)
{
    if (s->options->user != NULL && lt_user_find(s->options->user, &s->user) != LT_OK) {
        lt_log_error("supervisor", "user_unknown", LT_KV_CSTR("user", s->options->user));
        return false;
    }
    if (s->options->user == NULL && geteuid() == 0) {
        lt_log_warn("supervisor", "running_as_root",
                    LT_KV_CSTR("hint", "start with --user NAME to give up privileges"));
    }
    if (s->options->user != NULL && geteuid() == 0 && !lt_privileges_limit()) {
        lt_log_warn("supervisor", "capabilities_kept", LT_KV_CSTR("error", strerror(errno)));
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* what is there will do */
    }
    s->signals = open_signals();
    s->sockets = lt_sockets_new();
    s->shm = lt_shm_create(LT_SHM_RATE_BYTES);
    if (s->signals < 0 || s->sockets == NULL || s->shm == NULL) {
        lt_log_error("supervisor", "start_failed", LT_KV_CSTR("error", strerror(errno)));
        return false;
    }
    return true;
}

int lt_supervisor_run(const struct lt_run_options *options)
{
    struct supervisor s = {.options = options, .signals = -1, .control = -1, .kept = -1};
    lt_log_set_human(options->dev && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO));
    lt_notify_init();
    if (prepare(&s)) {
        start_gateway(&s);
        loop(&s);
    } else {
        s.exit_code = 1;
    }
    lt_sockets_free(s.sockets);
    lt_shm_close(s.shm);
    if (s.kept >= 0) {
        close(s.kept);
    }
    if (s.signals >= 0) {
        close(s.signals);
    }
    if (s.was_ready) {
        lt_log_info("supervisor", "stopped", LT_KV_INT("code", s.exit_code));
    }
    return s.exit_code;
}
