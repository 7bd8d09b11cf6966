/* SPDX-License-Identifier: Apache-2.0 */
/* PROXY headers from sockets. The worker's thread.
 *
 *   readable -> peek -> parse --whole----------> take exactly its bytes -> fn
 *                         |---begins one-------> take what is there, wait for more
 *                         |---could be either--> leave it, look again soon
 *                         '---something else---> leave it -> fn
 *
 * No byte after the header is ever taken off the socket, so that TLS and HTTP begin where they
 * would without it. */
#include "net/proxy_reader.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/obj.h"

#define MAGIC 0x70726f78u /* "prox" */
#define FREE_MAX 64
/* How soon to look again at bytes that lie in the socket and could be a header or not: it stays
 * readable, so that waiting for an event would be a busy loop. */
#define LOOK_AGAIN_MS 20u

struct reader {
    uint32_t magic;
    struct lt_proxy_readers *readers;
    struct lt_list link;
    struct lt_proxied c;
    bool required;
    lt_proxied_fn fn;
    ev_io io;
    struct lt_timer timer;
    struct lt_deferred deferred;
    uint64_t deadline_us;
    size_t have; /* bytes of buf that were taken */
    char buf[LT_PROXY_HEADER_MAX];
};

void lt_proxy_readers_init(struct lt_proxy_readers *readers, struct lt_loop *loop)
{
    *readers = (struct lt_proxy_readers){.loop = loop};
    lt_slab_init(&readers->slab, sizeof(struct reader), FREE_MAX);
    lt_list_init(&readers->list);
}

void lt_proxy_readers_fini(struct lt_proxy_readers *readers)
{
    lt_slab_fini(&readers->slab);
}

static void free_now(void *arg)
{
    struct reader *r = arg;
    LT_OBJ_CHECK(r, MAGIC);
    LT_OBJ_FINI(r);
    lt_slab_put(&r->readers->slab, r);
}

/* Nothing is awaited any more: tells. */
static void finish(struct reader *r, const struct lt_proxy_header *header, enum lt_cause cause,
                   const char *why)
{
    ev_io_stop(r->readers->loop->ev, &r->io);
    lt_timer_fini(&r->timer);
    lt_list_remove(&r->link);
    r->readers->count--;
    lt_loop_defer(r->readers->loop, &r->deferred, free_now, r);
    r->fn(&r->c, header, cause, why);
}

static void fail(struct reader *r, enum lt_cause cause, const char *why)
{
    static const struct lt_proxy_header none = {.given = false};
    finish(r, &none, cause, why);
}

/* Takes n bytes off the socket that were seen there. False: it failed meanwhile. */
static bool take(struct reader *r, size_t n)
{
    if (n > r->have &&
        recv(r->c.fd, r->buf + r->have, n - r->have, MSG_DONTWAIT) != (ssize_t)(n - r->have)) {
        fail(r, LT_CAUSE_CLIENT_GONE, "");
        return false;
    }
    r->have = n;
    return true;
}

/* The deadline, or a first look at what lies there. */
static void set_timer(struct reader *r, uint64_t most_ms)
{
    uint64_t now_us = r->readers->loop->now_us;
    uint64_t left_ms = r->deadline_us > now_us ? (r->deadline_us - now_us + 999) / 1000 : 0;
    lt_timer_set(&r->timer, lt_min(left_ms, most_ms));
}

/* More is needed. The first `sure` bytes of buf are a header's. */
static void wait_on(struct reader *r, size_t seen, size_t sure)
{
    if (r->required) {
        sure = seen; /* nothing else may come */
    }
    if (!take(r, sure)) {
        return;
    }
    if (sure == seen) {
        ev_io_start(r->readers->loop->ev, &r->io);
        set_timer(r, UINT64_MAX);
    } else {
        ev_io_stop(r->readers->loop->ev, &r->io);
        set_timer(r, LOOK_AGAIN_MS);
    }
}

static void look(struct reader *r)
{
    ssize_t n;
    do {
        n = recv(r->c.fd, r->buf + r->have, sizeof(r->buf) - r->have, MSG_PEEK | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        set_timer(r, UINT64_MAX);
        return;
    }
    if (n <= 0) {
        fail(r, LT_CAUSE_CLIENT_GONE, "");
        return;
    }
    struct lt_proxy_header header;
    size_t used = 0, seen = r->have + (size_t)n;
    const char *why = "";
    switch (lt_proxy_parse(r->buf, seen, &header, &used, &why)) {
    case LT_OK:
        if (take(r, used)) {
            finish(r, &header, LT_CAUSE_NONE, "");
        }
        break;
    case LT_AGAIN:
        wait_on(r, seen, used);
        break;
    case LT_ERR_NOTFOUND:
        fail(r, r->required ? LT_CAUSE_PROXY_HEADER_MISSING : LT_CAUSE_NONE, "");
        break;
    default:
        fail(r, LT_CAUSE_PROXY_HEADER_INVALID, why);
    }
}

static void on_readable(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)revents;
    struct reader *r = lt_container_of(w, struct reader, io);
    LT_OBJ_CHECK(r, MAGIC);
    look(r);
}

static void on_timer(void *arg)
{
    struct reader *r = arg;
    LT_OBJ_CHECK(r, MAGIC);
    if (r->readers->loop->now_us >= r->deadline_us) {
        fail(r, LT_CAUSE_PROXY_HEADER_TIMEOUT, "");
    } else {
        look(r);
    }
}

enum lt_err lt_proxy_read(struct lt_proxy_readers *readers, const struct lt_proxied *c,
                          bool required, uint64_t timeout_ms, lt_proxied_fn fn)
{
    struct reader *r = lt_slab_get(&readers->slab);
    if (r == NULL) {
        return LT_ERR_NOMEM;
    }
    memset(r, 0, offsetof(struct reader, buf));
    LT_OBJ_INIT(r, MAGIC);
    r->readers = readers;
    r->c = *c;
    r->required = required;
    r->fn = fn;
    r->deadline_us = readers->loop->now_us + timeout_ms * 1000;
    lt_list_push_back(&readers->list, &r->link);
    readers->count++;
    lt_timer_init(&r->timer, readers->loop, on_timer, r);
    ev_io_init(&r->io, on_readable, c->fd, EV_READ);
    ev_io_start(readers->loop->ev, &r->io);
    set_timer(r, UINT64_MAX);
    return LT_OK;
}

void lt_proxy_readers_end(struct lt_proxy_readers *readers)
{
    lt_list_each(it, tmp, &readers->list)
    {
        struct reader *r = lt_container_of(it, struct reader, link);
        LT_OBJ_CHECK(r, MAGIC);
        fail(r, LT_CAUSE_DRAINING, "");
    }
}
