/* SPDX-License-Identifier: Apache-2.0 */
/* The watchdog's thread. */
#include "server/watchdog.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* A turn of a worker's loop that takes this long is worth a line in the log. */
#define STUCK_US UINT64_C(1000000)
/* Longest time between two looks. */
#define PAUSE_MAX_MS 250u

struct lt_watchdog {
    pthread_t thread;
    pthread_mutex_t lock; /* of stop and filters */
    pthread_cond_t wake;
    bool stop;
    unsigned filters; /* snapshots alive that have some */
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

/* Waits for ms, or until the first filters come or the last ones go. False when it is time to end.
 */
static bool pause_for(struct lt_watchdog *dog, unsigned ms, bool had_filters)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&dog->lock);
    int rc = 0;
    while (!dog->stop && rc == 0 && (dog->filters > 0) == had_filters) {
        rc = pthread_cond_timedwait(&dog->wake, &dog->lock, &until);
    }
    bool go_on = !dog->stop;
    pthread_mutex_unlock(&dog->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct lt_watchdog *dog = arg;
    unsigned ms;
    bool filters;
    pthread_setname_np(pthread_self(), "lintel-watch");
    do {
        pthread_mutex_lock(&dog->lock);
        filters = dog->filters > 0;
        pthread_mutex_unlock(&dog->lock);
        ms = filters ? lt_budget_watch_tick(dog->watch) : PAUSE_MAX_MS;
        look_for_stuck(dog);
    } while (pause_for(dog, lt_min(lt_max(ms, 1u), PAUSE_MAX_MS), filters));
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
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&dog->lock, NULL);
    pthread_cond_init(&dog->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&dog->thread, NULL, run, dog) != 0) {
        pthread_cond_destroy(&dog->wake);
        pthread_mutex_destroy(&dog->lock);
        lt_free(dog);
        return NULL;
    }
    return dog;
}

void lt_watchdog_filters(struct lt_watchdog *dog, bool more)
{
    pthread_mutex_lock(&dog->lock);
    dog->filters += more ? 1 : -1u;
    pthread_cond_signal(&dog->wake);
    pthread_mutex_unlock(&dog->lock);
}

void lt_watchdog_stop(struct lt_watchdog *dog)
{
    if (dog == NULL) {
        return;
    }
    pthread_mutex_lock(&dog->lock);
    dog->stop = true;
    pthread_cond_signal(&dog->wake);
    pthread_mutex_unlock(&dog->lock);
    pthread_join(dog->thread, NULL);
    pthread_cond_destroy(&dog->wake);
    pthread_mutex_destroy(&dog->lock);
    lt_free(dog);
}
