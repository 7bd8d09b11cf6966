/* SPDX-License-Identifier: Apache-2.0 */
/* Watching files for developers (dev.h). Functions run on main but where it is said. */
#include "server/dev.h"

#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/file.h"
#include "filters/host.h"
#include "server/gateway.h"

#define LOOK_MS 100
/* Files that are watched; there is no need for more to write a filter. */
#define FILES_MAX 1000u
#define TEXT_MAX ((size_t)4 << 20)

/* What a file is like without reading it; all 0: it isn't there. */
struct stamp {
    uint64_t dev, ino, size, mtime_ns;
};

struct watched {
    struct lt_str path;       /* of the snapshot or program; NUL-terminated */
    bool is_filter;           /* or a module; else configuration */
    struct stamp seen, taken; /* at the look before; as it was taken up */
};

struct lt_dev {
    struct lt_gateway *gateway;
    struct lt_timer timer;
    /* What the paths belong to, held. */
    struct lt_snapshot *snapshot;
    struct lt_filter_program *program;
    struct watched *v;
    unsigned n;
    bool anew; /* the list is to be made again */
    bool told; /* workers have been told of broken files */
    struct lt_filter_swap_waiter swapped;
};

/* One worker is told what is broken. */
struct note {
    struct lt_message message;
    const struct lt_snapshot *snapshot;
    struct lt_filter_broken *broken;
    struct lt_mailbox *main;
};

/* ---- Broken files. ---- */

static void note_over(struct lt_message *message, void *owner)
{
    (void)owner;
    lt_free(lt_container_of(message, struct note, message));
}

/* The worker's thread. */
static void do_note(struct lt_message *message, void *owner)
{
    const struct lt_worker *worker = owner;
    struct note *note = lt_container_of(message, struct note, message);
    const struct lt_view *view = worker->env.view;
    if (view != NULL && view->snapshot == note->snapshot && view->filters != NULL) {
        lt_filters_set_broken(view->filters, note->broken);
    } else {
        lt_free(note->broken);
    }
    note->message.fn = note_over;
    lt_mailbox_post(note->main, &note->message);
}

/* Tells every worker; text empty: nothing is broken. */
static void tell_workers(struct lt_dev *dev, struct lt_str text)
{
    struct lt_gateway *g = dev->gateway;
    const struct lt_filter_swap *swap = &g->filter_swap;
    dev->told = text.len > 0;
    for (unsigned i = 0; i < g->n_workers; i++) {
        struct note *note = lt_calloc(1, sizeof(*note));
        struct lt_filter_broken *broken =
            text.len > 0 ? lt_calloc(1, sizeof(struct lt_filter_broken)) : NULL;
        if (note == NULL || (broken == NULL && text.len > 0)) {
            lt_free(note);
            lt_free(broken);
            return; /* the terminal tells it */
        }
        if (broken != NULL) {
            broken->n = lt_filter_swap_changed(swap, broken->files);
            memcpy(broken->text, text.p, lt_min(text.len, sizeof(broken->text) - 1));
        }
        *note = (struct note){
            .message.fn = do_note, .snapshot = g->current, .broken = broken, .main = g->box};
        lt_mailbox_post(g->workers[i]->box, &note->message);
    }
}

static void on_swapped(void *arg, enum lt_filter_swap_result result, struct lt_str names,
                       struct lt_str errors)
{
    (void)names;
    struct lt_dev *dev = arg;
    if (result == LT_FILTER_SWAP_REFUSED) {
        tell_workers(dev, errors);
    } else if (dev->told) {
        tell_workers(dev, LT_STR_NONE);
    }
    dev->anew |= result == LT_FILTER_SWAP_DONE;
}

/* ---- The list. ---- */

static struct stamp stamp_of(struct lt_str path)
{
    struct stat st;
    if (stat(path.p, &st) != 0) {
        return (struct stamp){0};
    }
    return (struct stamp){.dev = st.st_dev,
                          .ino = st.st_ino,
                          .size = (uint64_t)st.st_size,
                          .mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u +
                                      (uint64_t)st.st_mtim.tv_nsec};
}

static bool same(const struct stamp *a, const struct stamp *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* Whether path reads as text, but for a byte order mark. */
static bool reads_as(struct lt_str path, struct lt_str text)
{
    struct lt_arena arena;
    struct lt_str now, why;
    lt_arena_init(&arena, NULL, 0, 2 * TEXT_MAX);
    bool ok = lt_file_read(NULL, &arena, path.p, TEXT_MAX, &now, NULL, &why) == LT_OK &&
              lt_str_ends(now, text) && now.len - text.len <= 3;
    lt_arena_fini(&arena);
    return ok;
}

/* A file that has changed since it was read keeps an empty stamp, and is taken up soon. */
static void watch(struct lt_dev *dev, struct lt_str path, struct lt_str text, bool is_filter)
{
    for (unsigned i = 0; i < dev->n; i++) {
        if (lt_str_eq(dev->v[i].path, path)) {
            return;
        }
    }
    if (dev->n < FILES_MAX) {
        struct stamp now = stamp_of(path);
        struct watched *w = &dev->v[dev->n++];
        *w = (struct watched){.path = path, .is_filter = is_filter, .seen = now};
        if (reads_as(path, text)) {
            w->taken = now;
        }
    }
}

static void watch_file(struct lt_dev *dev, const struct lt_filter_file *file)
{
    watch(dev, file->path, file->text, true);
    for (const struct lt_filter_module *m = file->modules; m != NULL; m = m->next) {
        watch(dev, m->path, m->text, true);
    }
}

static void let_go(struct lt_dev *dev)
{
    dev->n = 0;
    lt_filter_program_put(dev->program);
    dev->program = NULL;
    if (dev->snapshot != NULL) {
        lt_gateway_put_snapshot(dev->gateway, dev->snapshot);
        dev->snapshot = NULL;
    }
}

static void make_list(struct lt_dev *dev)
{
    let_go(dev);
    dev->anew = false;
    dev->snapshot = lt_gateway_hold_current(dev->gateway);
    lt_list_each(it, tmp, &dev->snapshot->root->load.sources)
    {
        const struct lt_source *source = lt_container_of(it, struct lt_source, link);
        watch(dev, source->name, source->text, false);
    }
    if (dev->snapshot->filters != NULL) {
        dev->program = lt_filter_program_get(dev->snapshot->filters);
        for (unsigned i = 0; i < dev->program->n_files; i++) {
            watch_file(dev, dev->program->files[i]);
        }
    }
}

/* ---- Looking. ---- */

/* Marks what has changed as taken up. */
static void take(struct lt_dev *dev, bool filters_only)
{
    for (unsigned i = 0; i < dev->n; i++) {
        if (dev->v[i].is_filter || !filters_only) {
            dev->v[i].taken = dev->v[i].seen;
        }
    }
}

static void act(struct lt_dev *dev, bool config, bool filters)
{
    struct lt_gateway *g = dev->gateway;
    if (g->drain.state != LT_DRAIN_NONE || g->reload.state != LT_RELOAD_IDLE ||
        g->filter_swap.busy) {
        return; /* at the next look */
    }
    if (config || (filters && g->load_failed)) { /* the file may be what that load failed by */
        take(dev, false);
        lt_reload_start(g);
    } else if (filters) {
        dev->swapped = (struct lt_filter_swap_waiter){.fn = on_swapped, .arg = dev};
        take(dev, true);
        if (!lt_filter_swap_start(g, LT_STR_NONE, &dev->swapped)) {
            dev->anew = true;
        }
    }
}

static void look(void *arg)
{
    struct lt_dev *dev = arg;
    bool config = false, filters = false, steady = true;
    if (dev->anew || dev->snapshot != dev->gateway->current) {
        make_list(dev);
    }
    for (unsigned i = 0; i < dev->n; i++) {
        struct watched *w = &dev->v[i];
        struct stamp now = stamp_of(w->path);
        steady &= same(&now, &w->seen);
        w->seen = now;
        if (!same(&now, &w->taken)) {
            config |= !w->is_filter;
            filters |= w->is_filter;
        }
    }
    if (steady) {
        act(dev, config, filters);
    }
    lt_timer_set(&dev->timer, LOOK_MS);
}

/* ---- Life. ---- */

struct lt_dev *lt_dev_new(struct lt_gateway *g)
{
    struct lt_dev *dev = lt_calloc(1, sizeof(*dev));
    if (dev == NULL || (dev->v = lt_calloc(FILES_MAX, sizeof(*dev->v))) == NULL) {
        lt_free(dev);
        return NULL;
    }
    dev->gateway = g;
    lt_timer_init(&dev->timer, g->loop, look, dev);
    make_list(dev);
    lt_timer_set(&dev->timer, LOOK_MS);
    return dev;
}

void lt_dev_free(struct lt_dev *dev)
{
    if (dev != NULL) {
        lt_timer_fini(&dev->timer);
        lt_list_remove(&dev->swapped.link);
        let_go(dev);
        lt_free(dev->v);
        lt_free(dev);
    }
}
