/* SPDX-License-Identifier: Apache-2.0 */
/* Processor time of filter calls (budget.h). Workers, the watchdog, and the signal's action on
 * workers. */
#include "filters/budget.h"

#include <errno.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filters/vm.h"

#define MAGIC 0xb0d9e7a1u
/* Without its action installed this signal is ignored, so that a stray one does no harm. */
#define STOP_SIGNAL SIGURG
#define TICK_BUSY_MS 2u
#define TICK_IDLE_MS 5u
/* Looks in a row that found no filter, after which the watchdog rests. */
#define IDLE_LOOKS 4u

struct lt_budget_watch {
    pthread_mutex_t lock; /* of list and of what hangs on it; never taken while a filter runs */
    struct lt_list list;
    unsigned idle_looks;   /* the watchdog's */
    sem_t wake;            /* posted to end its wait */
    _Atomic(bool) resting; /* the next call has to wake the watchdog */
};

static _Thread_local struct lt_budget *mine;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    if (clock_gettime(clock, &ts) != 0) {
        return 0;
    }
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* On the worker, between two instructions of whatever it does. A signal that comes late finds
 * another number running and does nothing. */
static void on_stop_signal(int signo)
{
    (void)signo;
    int saved = errno;
    struct lt_budget *b = mine;
    if (b != NULL) {
        uint32_t running = atomic_load_explicit(&b->running, memory_order_relaxed);
        if ((running & 1) != 0 &&
            running == atomic_load_explicit(&b->asked, memory_order_relaxed)) {
            b->expired = 1;
            lt_vm_arm(b->L);
        }
    }
    errno = saved;
}

bool lt_budget_signal_setup(void)
{
    struct sigaction sa = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    sigemptyset(&sa.sa_mask);
    return sigaction(STOP_SIGNAL, &sa, NULL) == 0;
}

struct lt_budget_watch *lt_budget_watch_new(void)
{
    struct lt_budget_watch *watch = lt_calloc(1, sizeof(*watch));
    if (watch != NULL) {
        pthread_mutex_init(&watch->lock, NULL);
        sem_init(&watch->wake, 0, 0);
        lt_list_init(&watch->list);
    }
    return watch;
}

void lt_budget_watch_free(struct lt_budget_watch *watch)
{
    if (watch != NULL) {
        assert(lt_list_empty(&watch->list));
        pthread_mutex_destroy(&watch->lock);
        sem_destroy(&watch->wake);
        lt_free(watch);
    }
}

/* Looks at one thread; true when it ran filters since the last look. */
static bool look(struct lt_budget *b)
{
    uint32_t running = atomic_load_explicit(&b->running, memory_order_acquire);
    if (running != b->seen) {
        b->seen = running;
        b->seen_at_ns = clock_ns(b->clock);
        return true;
    }
    if ((running & 1) == 0) {
        return false;
    }
    uint64_t limit = atomic_load_explicit(&b->cpu_ns, memory_order_relaxed);
    if (clock_ns(b->clock) - b->seen_at_ns >= limit) {
        /* Should the call end now, its successor has another number. */
        atomic_store_explicit(&b->asked, running, memory_order_relaxed);
        pthread_kill(b->thread, STOP_SIGNAL);
    }
    return true;
}

unsigned lt_budget_watch_tick(struct lt_budget_watch *watch)
{
    bool busy = false;
    pthread_mutex_lock(&watch->lock);
    lt_list_each(it, tmp, &watch->list)
    {
        struct lt_budget *b = lt_container_of(it, struct lt_budget, link);
        LT_OBJ_CHECK(b, MAGIC);
        busy |= look(b);
    }
    pthread_mutex_unlock(&watch->lock);
    if (busy) {
        watch->idle_looks = 0;
        atomic_store_explicit(&watch->resting, false, memory_order_relaxed);
        return TICK_BUSY_MS;
    }
    if (++watch->idle_looks < IDLE_LOOKS) {
        return TICK_IDLE_MS;
    }
    /* A call that began without seeing the flag shows at the next look: that comes before the rest,
     * and long after its store has become visible. */
    atomic_store_explicit(&watch->resting, true, memory_order_relaxed);
    return watch->idle_looks == IDLE_LOOKS ? TICK_IDLE_MS : LT_BUDGET_REST;
}

void lt_budget_watch_wait(struct lt_budget_watch *watch, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (sem_clockwait(&watch->wake, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR) {
    }
}

void lt_budget_watch_wake(struct lt_budget_watch *watch)
{
    sem_post(&watch->wake);
}

void lt_budget_init(struct lt_budget *budget)
{
    *budget = (struct lt_budget){.clock = CLOCK_THREAD_CPUTIME_ID};
    LT_OBJ_INIT(budget, MAGIC);
}

bool lt_budget_attach(struct lt_budget *budget, struct lt_budget_watch *watch)
{
    LT_OBJ_CHECK(budget, MAGIC);
#ifndef LT_SANITIZE_THREAD
    budget->thread = pthread_self();
    if (pthread_getcpuclockid(budget->thread, &budget->clock) != 0) {
        budget->clock = CLOCK_THREAD_CPUTIME_ID;
        return false;
    }
    budget->watch = watch;
    mine = budget;
    pthread_mutex_lock(&watch->lock);
    lt_list_push_back(&watch->list, &budget->link);
    pthread_mutex_unlock(&watch->lock);
#else
    (void)watch;
#endif
    return true;
}

void lt_budget_detach(struct lt_budget *budget)
{
    LT_OBJ_CHECK(budget, MAGIC);
    if (budget->watch != NULL) {
        pthread_mutex_lock(&budget->watch->lock);
        lt_list_remove(&budget->link);
        pthread_mutex_unlock(&budget->watch->lock);
        budget->watch = NULL;
        mine = NULL;
    }
    LT_OBJ_FINI(budget);
}

void lt_budget_begin(struct lt_budget *budget, struct lua_State *L, uint64_t cpu_ns)
{
    LT_OBJ_CHECK(budget, MAGIC);
    uint32_t running = atomic_load_explicit(&budget->running, memory_order_relaxed);
    assert((running & 1) == 0);
    budget->L = L;
    budget->expired = 0;
    if (budget->watch == NULL) {
        uint64_t now = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        budget->deadline_ns = now + cpu_ns;
        budget->used_ns -= now; /* the end adds its own */
    }
    atomic_store_explicit(&budget->cpu_ns, cpu_ns, memory_order_relaxed);
    atomic_store_explicit(&budget->running, running + 1, memory_order_release);
    struct lt_budget_watch *watch = budget->watch;
    if (watch != NULL && LT_UNLIKELY(atomic_load_explicit(&watch->resting, memory_order_relaxed)) &&
        atomic_exchange_explicit(&watch->resting, false, memory_order_relaxed)) {
        lt_budget_watch_wake(watch);
    }
}

void lt_budget_end(struct lt_budget *budget)
{
    uint32_t running = atomic_load_explicit(&budget->running, memory_order_relaxed);
    atomic_store_explicit(&budget->running, running + 1, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    if (budget->watch == NULL) {
        budget->used_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID);
    }
}

bool lt_budget_expired(struct lt_budget *budget)
{
    if (!budget->expired && budget->watch == NULL &&
        clock_ns(CLOCK_THREAD_CPUTIME_ID) >= budget->deadline_ns) {
        budget->expired = 1;
    }
    return budget->expired != 0;
}
