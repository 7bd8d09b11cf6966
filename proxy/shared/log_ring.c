/* SPDX-License-Identifier: Apache-2.0 */
/* The log ring. Positions only grow; a line is a 4-byte header (length, kind) and its bytes, both
 * may go over the end of the ring. */
#include "shared/log_ring.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

struct lt_log_ring {
    /* Producer's line of memory. */
    _Alignas(LT_CACHE_LINE) _Atomic(size_t) tail; /* end of what was put */
    size_t head_seen;                             /* the producer's last look at head */
    _Atomic(uint64_t) dropped;
    /* Consumer's. */
    _Alignas(LT_CACHE_LINE) _Atomic(size_t) head; /* start of what was not taken */
    /* Never changes. */
    _Alignas(LT_CACHE_LINE) struct lt_log_bell *bell;
    size_t size;
    char *bytes;
    void *raw; /* what to free */
};

enum lt_err lt_log_bell_init(struct lt_log_bell *bell)
{
    atomic_init(&bell->sleeper, LT_LOG_AWAKE);
    bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return bell->fd >= 0 ? LT_OK : LT_ERR_IO;
}

void lt_log_bell_fini(struct lt_log_bell *bell)
{
    if (bell->fd >= 0) {
        close(bell->fd);
        bell->fd = -1;
    }
}

void lt_log_bell_ring(struct lt_log_bell *bell)
{
    /* Sequentially consistent, as the put before it: either the writer, which announces its sleep
     * before it looks at the rings a last time, sees the line, or we see the announcement. */
    if (atomic_exchange(&bell->sleeper, LT_LOG_AWAKE) != LT_LOG_AWAKE) {
        uint64_t one = 1;
        ssize_t n = write(bell->fd, &one, sizeof(one));
        (void)n; /* EAGAIN means that it has been rung already */
    }
}

struct lt_log_ring *lt_log_ring_new(size_t size, struct lt_log_bell *bell)
{
    void *raw = lt_calloc(1, sizeof(struct lt_log_ring) + LT_CACHE_LINE);
    if (raw == NULL) {
        return NULL;
    }
    uintptr_t at = ((uintptr_t)raw + LT_CACHE_LINE - 1) & ~(uintptr_t)(LT_CACHE_LINE - 1);
    struct lt_log_ring *ring = (struct lt_log_ring *)at;
    ring->raw = raw;
    ring->bell = bell;
    ring->size = size;
    ring->bytes = lt_malloc(size);
    if (ring->bytes == NULL) {
        lt_free(raw);
        return NULL;
    }
    return ring;
}

void lt_log_ring_free(struct lt_log_ring *ring)
{
    if (ring != NULL) {
        lt_free(ring->bytes);
        lt_free(ring->raw);
    }
}

static void copy_in(struct lt_log_ring *ring, size_t at, const void *p, size_t n)
{
    size_t from = at & (ring->size - 1);
    size_t first = lt_min(n, ring->size - from);
    memcpy(ring->bytes + from, p, first);
    memcpy(ring->bytes, (const char *)p + first, n - first);
}

static void copy_out(const struct lt_log_ring *ring, size_t at, void *p, size_t n)
{
    size_t from = at & (ring->size - 1);
    size_t first = lt_min(n, ring->size - from);
    memcpy(p, ring->bytes + from, first);
    memcpy((char *)p + first, ring->bytes, n - first);
}

static bool half_full(struct lt_log_ring *ring, size_t tail)
{
    if (tail - ring->head_seen > ring->size / 2) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    }
    return tail - ring->head_seen > ring->size / 2;
}

bool lt_log_ring_put(struct lt_log_ring *ring, enum lt_log_kind kind, struct lt_str line)
{
    uint32_t header = (uint32_t)line.len << 8 | (uint32_t)kind;
    size_t need = sizeof(header) + line.len;
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (ring->size - (tail - ring->head_seen) < need) {
        /* Acquire: the consumer has read the bytes that are overwritten now. */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    }
    if (line.len == 0 || line.len > LT_LOG_LINE_MAX ||
        ring->size - (tail - ring->head_seen) < need) {
        uint64_t n = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
        atomic_store_explicit(&ring->dropped, n + 1, memory_order_relaxed);
        return false;
    }
    copy_in(ring, tail, &header, sizeof(header));
    copy_in(ring, tail + sizeof(header), line.p, line.len);
    /* Sequentially consistent: publishes the bytes, and stands before the look at the sleeper. */
    atomic_store(&ring->tail, tail + need);
    int sleeper = atomic_load(&ring->bell->sleeper);
    if (sleeper == LT_LOG_SLEEPS || (sleeper == LT_LOG_LINGERS && half_full(ring, tail + need))) {
        lt_log_bell_ring(ring->bell);
    }
    return true;
}

size_t lt_log_ring_take(struct lt_log_ring *ring, enum lt_log_kind *kind, char *out)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (!lt_log_ring_waits(ring)) {
        return 0;
    }
    uint32_t header;
    copy_out(ring, head, &header, sizeof(header));
    size_t len = header >> 8;
    *kind = (enum lt_log_kind)(header & 0xff);
    copy_out(ring, head + sizeof(header), out, len);
    /* Release: the bytes have been read before the producer may write over them. */
    atomic_store_explicit(&ring->head, head + sizeof(header) + len, memory_order_release);
    return len;
}

bool lt_log_ring_waits(const struct lt_log_ring *ring)
{
    /* Sequentially consistent: stands after the announcement of sleep, and acquires the bytes. */
    return atomic_load(&ring->tail) != atomic_load_explicit(&ring->head, memory_order_relaxed);
}

uint64_t lt_log_ring_dropped(const struct lt_log_ring *ring)
{
    return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}
