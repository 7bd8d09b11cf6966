/* SPDX-License-Identifier: Apache-2.0 */
/* The shared memory: made by the supervisor, mapped by each gateway. */
#include "shared/shm.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "shared/hold_table.h"

#define MAGIC UINT64_C(0x314d48534c544c2e)
#define LAYOUT 3u /* changes with every change of what lies where */
#define PAGE ((size_t)4096)

/* First page of the area. All but generation is written once, before the first gateway starts. */
struct header {
    uint64_t magic;
    uint32_t layout;
    _Atomic(uint32_t) generation; /* relaxed: only the supervisor writes it */
    uint64_t size;
    uint64_t inflight_at, hold_at, rate_at, rate_bytes, tickets_at;
    struct lt_hash_seed seed;
};

struct lt_shm {
    char *base;
    int fd;
    bool owner; /* closes fd */
};

static struct header *header_of(const struct lt_shm *shm)
{
    return (struct header *)(void *)shm->base;
}

static size_t round_up(size_t n)
{
    return (n + PAGE - 1) & ~(PAGE - 1);
}

/* Keys and limits stay out of core dumps; without that advice the area still works. */
static void keep_out_of_dumps(struct lt_shm *shm)
{
    (void)madvise(lt_shm_ticket_area(shm), LT_SHM_TICKET_BYTES, MADV_DONTDUMP);
}

static bool map(struct lt_shm *shm, size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, shm->fd, 0);
    shm->base = p != MAP_FAILED ? p : NULL;
    return p != MAP_FAILED;
}

struct lt_shm *lt_shm_create(size_t rate_bytes)
{
    struct header h = {.magic = MAGIC, .layout = LAYOUT, .seed = lt_hash_seed_random()};
    h.inflight_at = PAGE;
    h.hold_at = h.inflight_at + round_up(LT_SHM_INFLIGHT_SLOTS * sizeof(struct lt_shm_inflight));
    h.rate_at = h.hold_at + LT_SHM_HOLD_BYTES;
    h.rate_bytes = round_up(rate_bytes);
    h.tickets_at = h.rate_at + h.rate_bytes;
    h.size = h.tickets_at + LT_SHM_TICKET_BYTES;
    struct lt_shm *shm = lt_calloc(1, sizeof(*shm));
    if (shm == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    shm->owner = true;
    shm->fd = memfd_create("lintel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (shm->fd < 0 || ftruncate(shm->fd, (off_t)h.size) != 0 || !map(shm, h.size)) {
        int saved = errno;
        lt_shm_close(shm);
        errno = saved;
        return NULL;
    }
    *header_of(shm) = h;
    keep_out_of_dumps(shm);
    return shm;
}

static bool fits(const struct header *h, size_t size)
{
    return h->magic == MAGIC && h->layout == LAYOUT && h->size == size && h->inflight_at == PAGE &&
           h->hold_at < h->rate_at && h->rate_at <= size && h->rate_bytes <= size - h->rate_at &&
           h->tickets_at == h->rate_at + h->rate_bytes &&
           size - h->tickets_at == LT_SHM_TICKET_BYTES;
}

struct lt_shm *lt_shm_attach(int fd, const char **why)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(struct header)) {
        *why = "the descriptor is no shared memory";
        return NULL;
    }
    struct lt_shm *shm = lt_calloc(1, sizeof(*shm));
    if (shm == NULL) {
        *why = "out of memory";
        return NULL;
    }
    shm->fd = fd;
    if (!map(shm, (size_t)st.st_size)) {
        *why = "the shared memory could not be mapped";
        lt_free(shm);
        return NULL;
    }
    if (!fits(header_of(shm), (size_t)st.st_size)) {
        *why = "the shared memory has another layout";
        munmap(shm->base, (size_t)st.st_size);
        lt_free(shm);
        return NULL;
    }
    keep_out_of_dumps(shm);
    return shm;
}

void lt_shm_close(struct lt_shm *shm)
{
    if (shm == NULL) {
        return;
    }
    if (shm->base != NULL) {
        munmap(shm->base, header_of(shm)->size);
    }
    if (shm->owner && shm->fd >= 0) {
        close(shm->fd);
    }
    lt_free(shm);
}

int lt_shm_fd(const struct lt_shm *shm)
{
    return shm->fd;
}

const struct lt_hash_seed *lt_shm_seed(const struct lt_shm *shm)
{
    return &header_of(shm)->seed;
}

uint32_t lt_shm_next_generation(struct lt_shm *shm)
{
    return atomic_fetch_add_explicit(&header_of(shm)->generation, 1, memory_order_relaxed) + 1;
}

void lt_shm_clear_generation(struct lt_shm *shm, uint32_t generation)
{
    struct lt_shm_inflight *slots = lt_shm_inflight(shm);
    uint64_t others = ~(UINT64_C(0xffff) << (16 * (generation % 4)));
    for (size_t i = 0; i < LT_SHM_INFLIGHT_SLOTS; i++) {
        /* Relaxed: a count on its own, nothing is published by it. */
        if (atomic_load_explicit(&slots[i].word, memory_order_relaxed) & ~others) {
            atomic_fetch_and_explicit(&slots[i].word, others, memory_order_relaxed);
        }
    }
    lt_hold_clear_generation(lt_shm_hold_area(shm), LT_SHM_HOLD_BYTES, generation);
}

struct lt_shm_inflight *lt_shm_inflight(struct lt_shm *shm)
{
    return (struct lt_shm_inflight *)(void *)(shm->base + header_of(shm)->inflight_at);
}

void *lt_shm_hold_area(struct lt_shm *shm)
{
    return shm->base + header_of(shm)->hold_at;
}

void *lt_shm_rate_area(struct lt_shm *shm, size_t *bytes)
{
    *bytes = header_of(shm)->rate_bytes;
    return shm->base + header_of(shm)->rate_at;
}

void *lt_shm_ticket_area(struct lt_shm *shm)
{
    return shm->base + header_of(shm)->tickets_at;
}
