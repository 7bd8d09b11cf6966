/* SPDX-License-Identifier: Apache-2.0 */
/* The watchdog's thread. */
#include "server/watchdog.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* A turn of a worker's loop that takes this long is worth a line in the log. */
#define STUCK_US UINT64_C(1000000)
/* Longest time between two looks at the loops. */
#define PAUSE_MAX_MS 250u

struct lt_watchdog {
    pthread_t thread;
    _Atomic(bool) stop; /* relaxed: posted together with a wake-up */
    struct lt_budget_watch *watch;
    struct lt_worker **workers;
    unsigned n;
    uint64_t reported[]; /* per worker: the turn that was logged, by its beginning */
};

static void look_for_stuck(struct lt_watchdog *dog)
{
    uint64_t now = lt_clock_us();
    for (unsigned i = 0; i < dog->n; i++) {
        uint64_t since =
            atomic_load_explicit(&dog->workers[i]->busy_since_us, memory_order_relaxed);
        if (since == 0 && dog->reported[i] != 0) {
            lt_log_warn("watchdog", "worker_goes_on", LT_KV_INT("worker", i));
            dog->reported[i] = 0;
        } else if (since != 0 && since != dog->reported[i] && now > since + STUCK_US) {
            lt_log_error("watchdog", "worker_stuck", LT_KV_INT("worker", i),
                         LT_KV_MS("for_ms", (double)(now - since) / 1000));
            dog->reported[i] = since;
        }
    }
}

static void *run(void *arg)
{
    struct lt_watchdog *dog = arg;
    pthread_setname_np(pthread_self(), "lintel-watch");
    while (!atomic_load_explicit(&dog->stop, memory_order_relaxed)) {
        unsigned ms = lt_budget_watch_tick(dog->watch);
        look_for_stuck(dog);
        lt_budget_watch_wait(dog->watch, lt_min(ms, PAUSE_MAX_MS));
    }
    return NULL;
}

struct lt_watchdog *lt_watchdog_start(struct lt_budget_watch *watch, struct lt_worker **workers,
                                      unsigned n)
{
    struct lt_watchdog *dog = lt_calloc(1, sizeof(*dog) + n * sizeof(dog->reported[0]));
    if (dog == NULL) {
        return NULL;
    }
    dog->watch = watch;
    dog->workers = workers;
    dog->n = n;
    if (pthread_create(&dog->thread, NULL, run, dog) != 0) {
        lt_free(dog);
        return NULL;
    }
    return dog;
}

void lt_watchdog_stop(struct lt_watchdog *dog)
{
    if (dog == NULL) {
        return;
    }
    atomic_store_explicit(&dog->stop, true, memory_order_relaxed);
    lt_budget_watch_wake(dog->watch);
    pthread_join(dog->thread, NULL);
    lt_free(dog);
}
