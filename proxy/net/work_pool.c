/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for slow work (work_pool.h). The lock is held for a few pointer stores, never while work
 * runs; with the mailbox's it orders what the sender, the thread and the sender again see. */
#include "net/work_pool.h"

#include <pthread.h>
#include <signal.h>

#include "base/mem.h"
#include "base/obj.h"

#define MAGIC 0x77706f6fu /* "wpoo" */

struct lt_work_pool {
    uint32_t magic;
    pthread_mutex_t lock; /* for all below but threads */
    pthread_cond_t more;
    struct lt_work *first, **last; /* oldest first */
    unsigned queued, queue_max;
    bool ending;
    unsigned n_threads;
    pthread_t threads[];
};

/* The oldest, when there is some; NULL: the pool ends. */
static struct lt_work *take(struct lt_work_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->first == NULL && !pool->ending) {
        pthread_cond_wait(&pool->more, &pool->lock);
    }
    struct lt_work *work = pool->ending ? NULL : pool->first;
    if (work != NULL) {
        pool->first = work->next;
        pool->last = pool->first != NULL ? pool->last : &pool->first;
        pool->queued--;
    }
    pthread_mutex_unlock(&pool->lock);
    return work;
}

static void *serve(void *arg)
{
    struct lt_work_pool *pool = arg;
    struct lt_work *work;
    pthread_setname_np(pthread_self(), "lintel-work");
    while ((work = take(pool)) != NULL) {
        /* Relaxed: missing it costs a run that nobody wants. */
        work->ran = !atomic_load_explicit(&work->unwanted, memory_order_relaxed);
        if (work->ran) {
            work->run(work);
        }
        lt_mailbox_post(work->box, &work->message);
    }
    return NULL;
}

/* Signals are for the other threads. */
static bool start_threads(struct lt_work_pool *pool, unsigned n)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->n_threads < n &&
           pthread_create(&pool->threads[pool->n_threads], NULL, serve, pool) == 0) {
        pool->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool->n_threads == n;
}

struct lt_work_pool *lt_work_pool_new(unsigned threads, unsigned queue_max)
{
    struct lt_work_pool *pool = lt_calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
    if (pool == NULL) {
        return NULL;
    }
    LT_OBJ_INIT(pool, MAGIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    pool->last = &pool->first;
    pool->queue_max = queue_max;
    if (!start_threads(pool, threads)) {
        lt_work_pool_free(pool);
        return NULL;
    }
    return pool;
}

void lt_work_pool_free(struct lt_work_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    LT_OBJ_CHECK(pool, MAGIC);
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->n_threads; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    for (struct lt_work *work = pool->first, *next; work != NULL; work = next) {
        next = work->next;
        work->ran = false;
        lt_mailbox_post(work->box, &work->message);
    }
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    LT_OBJ_FINI(pool);
    lt_free(pool);
}

bool lt_work_pool_put(struct lt_work_pool *pool, struct lt_work *work)
{
    LT_OBJ_CHECK(pool, MAGIC);
    pthread_mutex_lock(&pool->lock);
    bool room = pool->queued < pool->queue_max && !pool->ending;
    if (room) {
        work->next = NULL;
        *pool->last = work;
        pool->last = &work->next;
        pool->queued++;
        pthread_cond_signal(&pool->more);
    }
    pthread_mutex_unlock(&pool->lock);
    return room;
}
