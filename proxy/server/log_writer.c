/* SPDX-License-Identifier: Apache-2.0 */
/* The log writer's thread, its rings and its targets. */
#include "server/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* After it found lines the writer looks again this much later without being woken: one system call
 * for all lines of that time. */
#define LINGER_MS 10
#define BATCH_BYTES (4 * (LT_LOG_LINE_MAX + 1))
#define PATH_BYTES 4096

struct target {
    int fd;                /* -1: none */
    bool owned;            /* close it */
    char path[PATH_BYTES]; /* of a file; empty: a standard stream */
    size_t filled;         /* bytes in batch; the writer's thread */
    uint64_t lines;        /* in batch */
    bool broken_line;      /* the last write ended within a line */
    int failing;           /* errno that was reported; 0: it works */
    char batch[BATCH_BYTES];
};

struct slot {
    struct lt_log_ring *_Atomic ring; /* NULL: not made yet; never changes afterwards */
    bool taken;                       /* by a thread; under lock */
};

struct lt_log_writer {
    pthread_t thread;
    struct lt_log_bell bell;
    pthread_mutex_t lock; /* of slots[].taken and of the targets' fd, owned and path */
    struct target targets[LT_LOG_KINDS];
    /* Lines lost in failed writes; relaxed, a count on its own. */
    _Atomic(uint64_t) lost;
    _Atomic(uint64_t) give_up_us; /* when to end whatever waits; 0: go on */
    _Atomic(bool) over;           /* the thread has ended */
    size_t ring_bytes;
    unsigned n_slots;
    struct slot slots[];
};

static _Thread_local struct lt_log_ring *own_ring;

/* ---- Producers. ---- */

static void sink(struct lt_str line)
{
    if (own_ring != NULL) {
        lt_log_ring_put(own_ring, LT_LOG_EVENTS, line);
    } else {
        lt_log_stderr(line);
    }
}

void lt_log_writer_access(struct lt_str line)
{
    if (own_ring != NULL) {
        lt_log_ring_put(own_ring, LT_LOG_ACCESS, line);
    }
}

enum lt_err lt_log_writer_join(struct lt_log_writer *writer)
{
    enum lt_err err = LT_ERR_LIMIT;
    pthread_mutex_lock(&writer->lock);
    for (unsigned i = 0; i < writer->n_slots; i++) {
        struct slot *slot = &writer->slots[i];
        if (slot->taken) {
            continue;
        }
        struct lt_log_ring *ring = atomic_load_explicit(&slot->ring, memory_order_relaxed);
        if (ring == NULL) {
            ring = lt_log_ring_new(writer->ring_bytes, &writer->bell);
            /* Release: the writer's thread sees a whole ring. */
            atomic_store_explicit(&slot->ring, ring, memory_order_release);
        }
        slot->taken = ring != NULL;
        own_ring = ring;
        err = ring != NULL ? LT_OK : LT_ERR_NOMEM;
        break;
    }
    pthread_mutex_unlock(&writer->lock);
    return err;
}

void lt_log_writer_leave(struct lt_log_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    for (unsigned i = 0; i < writer->n_slots; i++) {
        if (own_ring != NULL &&
            atomic_load_explicit(&writer->slots[i].ring, memory_order_relaxed) == own_ring) {
            writer->slots[i].taken = false;
        }
    }
    own_ring = NULL;
    pthread_mutex_unlock(&writer->lock);
}

/* ---- Targets. ---- */

static int open_file(const char *path)
{
    /* O_NONBLOCK: opening a pipe must not wait for its reader, nor writing to it for good. */
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

/* Under the lock. Takes fd if owned. */
static void set_target(struct target *t, int fd, bool owned)
{
    if (t->owned && t->fd != fd) {
        close(t->fd);
    }
    t->fd = fd;
    t->owned = owned;
}

enum lt_err lt_log_writer_target(struct lt_log_writer *writer, enum lt_log_kind kind,
                                 struct lt_str target, int *sys_errno)
{
    struct target *t = &writer->targets[kind];
    *sys_errno = 0;
    int fd = -1;
    bool file = false;
    if (lt_str_eq_c(target, "stdout")) {
        fd = STDOUT_FILENO;
    } else if (lt_str_eq_c(target, "stderr")) {
        fd = STDERR_FILENO;
    } else if (!lt_str_eq_c(target, "none")) {
        file = true;
    }
    char path[PATH_BYTES] = "";
    if (file) {
        if (target.len == 0 || target.len >= sizeof(path)) {
            *sys_errno = ENAMETOOLONG;
            return LT_ERR_INVALID;
        }
        memcpy(path, target.p, target.len);
        fd = open_file(path);
        if (fd < 0) {
            *sys_errno = errno;
            return lt_err_from_errno(errno);
        }
    }
    pthread_mutex_lock(&writer->lock);
    set_target(t, fd, file);
    memcpy(t->path, path, sizeof(path));
    pthread_mutex_unlock(&writer->lock);
    return LT_OK;
}

void lt_log_writer_reopen(struct lt_log_writer *writer)
{
    int failed[LT_LOG_KINDS] = {0};
    pthread_mutex_lock(&writer->lock);
    for (unsigned i = 0; i < LT_LOG_KINDS; i++) {
        struct target *t = &writer->targets[i];
        if (t->path[0] == '\0') {
            continue;
        }
        int fd = open_file(t->path);
        if (fd >= 0) {
            set_target(t, fd, true);
        } else {
            failed[i] = errno;
        }
    }
    pthread_mutex_unlock(&writer->lock);
    for (unsigned i = 0; i < LT_LOG_KINDS; i++) {
        if (failed[i] != 0) {
            lt_log_error("log", "reopen_failed", LT_KV_CSTR("file", writer->targets[i].path),
                         LT_KV_CSTR("error", strerrordesc_np(failed[i])));
        }
    }
}

uint64_t lt_log_writer_dropped(struct lt_log_writer *writer)
{
    uint64_t n = atomic_load_explicit(&writer->lost, memory_order_relaxed);
    for (unsigned i = 0; i < writer->n_slots; i++) {
        const struct lt_log_ring *ring =
            atomic_load_explicit(&writer->slots[i].ring, memory_order_acquire);
        n += ring != NULL ? lt_log_ring_dropped(ring) : 0;
    }
    return n;
}

/* ---- The thread. ---- */

/* Milliseconds left for what the thread does, or -1 while there is no end. */
static int time_left(struct lt_log_writer *writer)
{
    uint64_t until = atomic_load_explicit(&writer->give_up_us, memory_order_relaxed);
    if (until == 0) {
        return -1;
    }
    uint64_t now = lt_clock_us();
    return now < until ? (int)((until - now) / 1000 + 1) : 0;
}

/* Tells once on standard error that a target fails, and when it works again. */
static void report(struct target *t, enum lt_log_kind kind, int failing)
{
    if (failing == t->failing) {
        return;
    }
    t->failing = failing;
    const char *name = kind == LT_LOG_ACCESS ? "access" : "error";
    if (failing != 0) {
        lt_log_error("log", "write_failed", LT_KV_CSTR("log", name),
                     LT_KV_CSTR("error", strerrordesc_np(failing)));
    } else {
        lt_log_info("log", "write_recovered", LT_KV_CSTR("log", name));
    }
}

/* Writes all of p, waiting where needed; gives the errno that ended it, or 0. */
static int write_all(struct lt_log_writer *writer, struct target *t, int fd, const char *p,
                     size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done >= 0) {
            p += done;
            n -= (size_t)done;
            t->broken_line = done > 0 ? p[-1] != '\n' : t->broken_line;
            continue;
        }
        if (errno == EAGAIN) {
            struct pollfd pfd = {.fd = fd, .events = POLLOUT};
            int left = time_left(writer);
            if (left == 0) {
                return EAGAIN;
            }
            (void)poll(&pfd, 1, left < 0 ? 1000 : left);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static void flush(struct lt_log_writer *writer, enum lt_log_kind kind)
{
    struct target *t = &writer->targets[kind];
    if (t->filled == 0) {
        return;
    }
    /* A copy of the descriptor, so that a change of targets neither waits for a slow write nor
     * closes the file under it. */
    pthread_mutex_lock(&writer->lock);
    bool none = t->fd < 0;
    int fd = t->owned ? fcntl(t->fd, F_DUPFD_CLOEXEC, 3) : t->fd;
    int failed = fd < 0 && !none ? errno : 0;
    bool owned = t->owned;
    pthread_mutex_unlock(&writer->lock);
    if (fd >= 0) {
        if (t->broken_line) {
            failed = write_all(writer, t, fd, "\n", 1);
        }
        failed = failed != 0 ? failed : write_all(writer, t, fd, t->batch, t->filled);
        if (owned) {
            close(fd);
        }
    }
    if (failed != 0) {
        /* Relaxed: only this thread adds. */
        uint64_t lost = atomic_load_explicit(&writer->lost, memory_order_relaxed);
        atomic_store_explicit(&writer->lost, lost + t->lines, memory_order_relaxed);
    }
    t->filled = 0;
    t->lines = 0;
    report(t, kind, failed);
}

/* Takes all lines of a ring, flushing when a batch is full. True when there were any. */
static bool drain_ring(struct lt_log_writer *writer, struct lt_log_ring *ring)
{
    static _Thread_local char line[LT_LOG_LINE_MAX];
    enum lt_log_kind kind;
    bool any = false;
    /* At most as many bytes as the ring holds, so that a busy thread doesn't starve the others. */
    size_t taken = 0;
    while (taken < writer->ring_bytes) {
        size_t n = lt_log_ring_take(ring, &kind, line);
        if (n == 0) {
            break;
        }
        struct target *t = &writer->targets[kind];
        if (t->filled + n > sizeof(t->batch)) {
            flush(writer, kind);
        }
        memcpy(t->batch + t->filled, line, n);
        t->filled += n;
        t->lines++;
        taken += n;
        any = true;
    }
    return any;
}

static struct lt_log_ring *ring_at(struct lt_log_writer *writer, unsigned i)
{
    return atomic_load_explicit(&writer->slots[i].ring, memory_order_acquire);
}

static bool drain_all(struct lt_log_writer *writer)
{
    bool any = false;
    for (unsigned i = 0; i < writer->n_slots; i++) {
        struct lt_log_ring *ring = ring_at(writer, i);
        any = (ring != NULL && drain_ring(writer, ring)) || any;
    }
    for (unsigned kind = 0; kind < LT_LOG_KINDS; kind++) {
        flush(writer, (enum lt_log_kind)kind);
    }
    return any;
}

static bool lines_wait(struct lt_log_writer *writer)
{
    for (unsigned i = 0; i < writer->n_slots; i++) {
        struct lt_log_ring *ring = ring_at(writer, i);
        if (ring != NULL && lt_log_ring_waits(ring)) {
            return true;
        }
    }
    return false;
}

/* Waits for the bell, after announcing how deep the sleep is. */
static void wait_for_bell(struct lt_log_writer *writer, enum lt_log_sleep depth)
{
    /* Sequentially consistent: announced before the rings are looked at a last time. */
    atomic_store(&writer->bell.sleeper, (int)depth);
    bool stopping = time_left(writer) >= 0;
    if (!stopping && (depth == LT_LOG_LINGERS || !lines_wait(writer))) {
        struct pollfd pfd = {.fd = writer->bell.fd, .events = POLLIN};
        (void)poll(&pfd, 1, depth == LT_LOG_LINGERS ? LINGER_MS : -1);
    }
    atomic_store(&writer->bell.sleeper, LT_LOG_AWAKE);
    uint64_t count;
    ssize_t n = read(writer->bell.fd, &count, sizeof(count));
    (void)n; /* EAGAIN: nobody rang */
}

static void *run(void *arg)
{
    struct lt_log_writer *writer = arg;
    pthread_setname_np(pthread_self(), "lintel-log");
    for (;;) {
        bool any = drain_all(writer);
        int left = time_left(writer);
        if (left == 0 || (left > 0 && !any)) {
            break;
        }
        wait_for_bell(writer, any ? LT_LOG_LINGERS : LT_LOG_SLEEPS);
    }
    atomic_store(&writer->over, true);
    return NULL;
}

/* ---- Life. ---- */

static void writer_free(struct lt_log_writer *writer)
{
    for (unsigned i = 0; i < writer->n_slots; i++) {
        lt_log_ring_free(ring_at(writer, i));
    }
    for (unsigned kind = 0; kind < LT_LOG_KINDS; kind++) {
        set_target(&writer->targets[kind], -1, false);
    }
    lt_log_bell_fini(&writer->bell);
    pthread_mutex_destroy(&writer->lock);
    lt_free(writer);
}

struct lt_log_writer *lt_log_writer_start(unsigned rings_max, size_t ring_bytes)
{
    struct lt_log_writer *writer = lt_calloc(1, sizeof(*writer) + rings_max * sizeof(struct slot));
    if (writer == NULL) {
        return NULL;
    }
    pthread_mutex_init(&writer->lock, NULL);
    writer->ring_bytes = ring_bytes;
    writer->n_slots = rings_max;
    for (unsigned kind = 0; kind < LT_LOG_KINDS; kind++) {
        writer->targets[kind].fd = STDERR_FILENO;
    }
    lt_log_set_sink(sink); /* before there is a second thread that logs */
    if (lt_log_bell_init(&writer->bell) != LT_OK ||
        pthread_create(&writer->thread, NULL, run, writer) != 0) {
        writer_free(writer);
        return NULL;
    }
    return writer;
}

bool lt_log_writer_stop(struct lt_log_writer *writer, uint64_t limit_ms)
{
    if (writer == NULL) {
        return true;
    }
    own_ring = NULL;
    uint64_t until = lt_clock_us() + limit_ms * 1000;
    atomic_store_explicit(&writer->give_up_us, until, memory_order_relaxed);
    atomic_store(&writer->bell.sleeper, LT_LOG_SLEEPS);
    lt_log_bell_ring(&writer->bell);
    while (!atomic_load(&writer->over)) {
        if (lt_clock_us() > until + 200000) {
            return false;
        }
        (void)poll(NULL, 0, 2);
    }
    pthread_join(writer->thread, NULL);
    writer_free(writer);
    return true;
}
