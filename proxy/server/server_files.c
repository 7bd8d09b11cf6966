/* SPDX-License-Identifier: Apache-2.0 */
#include "server/server_files.h"

#include <pthread.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/gateway.h"
#include "upstream/servers_file.h"

#define SOURCE "servers_file"
#define ARENA_MAX ((size_t)64 << 20)

/* What a file is like without reading it. */
struct stamp {
    uint64_t dev, ino, size, mtime_ns;
};

/* One file of one upstream. */
struct watched {
    struct lt_str upstream, path; /* owned */
    struct stamp seen, taken;     /* at the look before; of the content that was read last */
    uint64_t every_ms, next_us;
    bool due; /* for the thread: look at it */
    /* The thread's answer: */
    bool read; /* it was read anew */
    bool good;
    struct lt_server_spec *v;
    unsigned n;
    struct lt_diags diags;
};

struct lt_server_files {
    struct lt_gateway *gateway;
    struct watched *v;
    unsigned n;
    struct lt_timer timer;
    bool looking, renew; /* the thread runs; then the list is to be made anew */
    bool stopped;        /* the thread was waited for at the end */
    pthread_t thread;
    struct lt_message looked;
    struct lt_arena arena; /* of what one look reads */
};

/* ---- The thread. ---- */

static void look_at(struct lt_server_files *f, struct watched *w)
{
    struct stat st;
    struct stamp now = {0};
    if (stat(w->path.p, &st) == 0) {
        now = (struct stamp){.dev = st.st_dev,
                             .ino = st.st_ino,
                             .size = (uint64_t)st.st_size,
                             .mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u +
                                         (uint64_t)st.st_mtim.tv_nsec};
    }
    bool steady = memcmp(&now, &w->seen, sizeof(now)) == 0;
    bool changed = memcmp(&now, &w->taken, sizeof(now)) != 0;
    w->seen = now;
    if (!steady || !changed) {
        return;
    }
    w->taken = now;
    w->read = true;
    lt_diags_init(&w->diags, &f->arena);
    w->good = lt_servers_file_read(NULL, &f->arena, &w->diags, w->path,
                                   (struct lt_pos){.source = NULL}, &w->v, &w->n);
}

static void *look(void *arg)
{
    struct lt_server_files *f = arg;
    pthread_setname_np(pthread_self(), "lintel-files");
    for (unsigned i = 0; i < f->n; i++) {
        if (f->v[i].due) {
            look_at(f, &f->v[i]);
        }
    }
    lt_mailbox_post(f->gateway->box, &f->looked);
    return NULL;
}

/* ---- What it found. ---- */

static void say(const struct watched *w)
{
    lt_list_each(it, tmp, &w->diags.list)
    {
        const struct lt_diag *d = lt_container_of(it, struct lt_diag, link);
        struct lt_kv fields[8];
        unsigned n = 0;
        fields[n++] = LT_KV_STR("upstream", w->upstream);
        fields[n++] = LT_KV_STR("file", w->path);
        if (d->pos.source != NULL) { /* else it can't be read at all */
            fields[n++] = LT_KV_INT("line", d->pos.line);
            fields[n++] = LT_KV_INT("column", d->pos.col);
        }
        fields[n++] = LT_KV_STR("message", d->message);
        fields[n++] = LT_KV_STR("hint", d->hint);
        fields[n++] = LT_KV_CSTR("instead", "what was there before is used");
        fields[n] = (struct lt_kv){.type = LT_KV_T_END};
        lt_log_emit(LT_LOG_ERROR, "upstream", "servers_file_refused", fields);
    }
}

static enum lt_err put(struct lt_server_sets *sets, struct lt_str upstream,
                       const struct lt_server_spec *v, unsigned n)
{
    struct lt_server_entry *entries = lt_calloc(n, sizeof(*entries));
    if (entries == NULL) {
        return LT_ERR_NOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        entries[i] = (struct lt_server_entry){
            .address = v[i].address, .max = v[i].max, .weight = v[i].weight, .backup = v[i].backup};
    }
    enum lt_err err = lt_server_sets_put(sets, upstream, LT_STR(SOURCE), entries, n);
    lt_free(entries);
    return err;
}

static void take(struct lt_server_files *f, struct watched *w)
{
    if (!w->read) {
        return;
    }
    w->read = false;
    if (!w->good) {
        say(w);
    } else if (put(f->gateway->sets, w->upstream, w->v, w->n) == LT_OK) {
        lt_log_info("upstream", "servers_file_read", LT_KV_STR("upstream", w->upstream),
                    LT_KV_STR("file", w->path), LT_KV_INT("servers", w->n));
    } else {
        memset(&w->taken, 0, sizeof(w->taken)); /* once more at the next look */
    }
}

/* ---- When to look. ---- */

static void arm(struct lt_server_files *f)
{
    uint64_t now = f->gateway->loop->now_us, next = UINT64_MAX;
    for (unsigned i = 0; i < f->n; i++) {
        next = f->v[i].every_ms > 0 ? lt_min(next, f->v[i].next_us) : next;
    }
    if (next == UINT64_MAX) {
        lt_timer_clear(&f->timer);
    } else {
        lt_timer_set(&f->timer, next > now ? (next - now) / 1000 + 1 : 1);
    }
}

static void forget(struct lt_server_files *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        lt_free((char *)f->v[i].upstream.p);
        lt_free((char *)f->v[i].path.p);
    }
    lt_free(f->v);
    f->v = NULL;
    f->n = 0;
}

static void watch(struct lt_server_files *f);

static void on_looked(struct lt_message *message, void *owner)
{
    (void)owner;
    struct lt_server_files *f = lt_container_of(message, struct lt_server_files, looked);
    f->looking = false;
    if (f->stopped) {
        lt_arena_fini(&f->arena);
        return;
    }
    pthread_join(f->thread, NULL);
    for (unsigned i = 0; i < f->n && !f->renew; i++) {
        take(f, &f->v[i]);
    }
    lt_arena_fini(&f->arena);
    if (f->renew) {
        watch(f);
    } else {
        arm(f);
    }
}

static void on_timer(void *arg)
{
    struct lt_server_files *f = arg;
    struct lt_gateway *g = f->gateway;
    if (f->looking || g->drain.state != LT_DRAIN_NONE) {
        return;
    }
    for (unsigned i = 0; i < f->n; i++) {
        struct watched *w = &f->v[i];
        w->due = w->every_ms > 0 && w->next_us <= g->loop->now_us;
        if (w->due) {
            w->next_us = g->loop->now_us + w->every_ms * 1000;
        }
    }
    lt_arena_init(&f->arena, NULL, 0, ARENA_MAX);
    f->looked.fn = on_looked;
    f->looking = true;
    if (pthread_create(&f->thread, NULL, look, f) != 0) {
        f->looking = false; /* another time, then */
        lt_arena_fini(&f->arena);
        arm(f);
    }
}

/* ---- Configurations. ---- */

static char *copy(struct lt_str s, struct lt_str *out)
{
    char *p = lt_malloc(s.len + 1);
    if (p != NULL) {
        memcpy(p, s.p, s.len);
        p[s.len] = '\0';
        *out = lt_str(p, s.len);
    }
    return p;
}

/* The files of the current snapshot. */
static void watch(struct lt_server_files *f)
{
    const struct lt_conf_map *map = &f->gateway->current->root->conf->upstreams;
    f->renew = false;
    forget(f);
    f->v = lt_calloc(map->n, sizeof(*f->v));
    for (size_t i = 0; f->v != NULL && i < map->n; i++) {
        const struct lt_upstream_conf *conf = map->entries[i].value;
        struct watched *w = &f->v[f->n];
        if (conf->servers_file.len == 0) {
            continue;
        }
        w->every_ms = conf->servers_file_watch_ms;
        w->next_us = f->gateway->loop->now_us + w->every_ms * 1000;
        f->n++;
        if (copy(map->entries[i].key, &w->upstream) == NULL ||
            copy(conf->servers_file, &w->path) == NULL) {
            lt_log_error("upstream", "servers_file_not_watched",
                         LT_KV_STR("upstream", map->entries[i].key),
                         LT_KV_CSTR("why", "out of memory"));
            w->every_ms = 0;
        }
    }
    arm(f);
}

void lt_server_files_build(struct lt_server_files *files, struct lt_snapshot *next)
{
    struct lt_server_sets *sets = files->gateway->sets;
    for (unsigned i = 0; i < next->n_upstreams; i++) {
        const struct lt_snapshot_file *file = &next->files[i];
        struct lt_str name = next->upstreams[i].name;
        if (file->named && put(sets, name, file->v, file->n) != LT_OK) {
            lt_log_error("upstream", "servers_not_taken", LT_KV_STR("upstream", name),
                         LT_KV_CSTR("why", "out of memory"));
        }
    }
}

void lt_server_files_take_up(struct lt_server_files *files)
{
    const struct lt_snapshot *s = files->gateway->current;
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        if (!s->files[i].named) {
            lt_server_sets_drop(files->gateway->sets, s->upstreams[i].name, LT_STR(SOURCE));
        }
    }
    if (files->looking) {
        files->renew = true; /* the thread reads the list */
    } else {
        watch(files);
    }
}

struct lt_server_files *lt_server_files_new(struct lt_gateway *gateway)
{
    struct lt_server_files *f = lt_calloc(1, sizeof(*f));
    if (f != NULL) {
        f->gateway = gateway;
        lt_timer_init(&f->timer, gateway->loop, on_timer, f);
    }
    return f;
}

void lt_server_files_stop(struct lt_server_files *f)
{
    if (f != NULL && f->looking) {
        pthread_join(f->thread, NULL);
        f->stopped = true;
    }
}

void lt_server_files_free(struct lt_server_files *f)
{
    if (f == NULL) {
        return;
    }
    lt_timer_fini(&f->timer);
    forget(f);
    lt_free(f);
}
