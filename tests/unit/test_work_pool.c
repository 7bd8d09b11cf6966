/* SPDX-License-Identifier: Apache-2.0 */
#include "net_env.h"

#include <pthread.h>

#include "base/mem.h"
#include "net/work_pool.h"

#define JOBS 500

struct job {
    struct lt_work work;
    unsigned number;
    unsigned result; /* written by the pool's thread, read by ours */
};

static struct lt_loop *loop;
static struct lt_mailbox *box;
static struct lt_work_pool *pool;
static struct job jobs[JOBS];
static unsigned back, run_back, wanted;

/* A gate that holds the pool's only thread up, so that the queue can be looked at. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void work_hard(struct lt_work *work)
{
    struct job *job = lt_container_of(work, struct job, work);
    job->result = job->number * 2;
}

static void wait_at_gate(struct lt_work *work)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    work_hard(work);
}

static void on_back(struct lt_message *message, void *owner)
{
    assert_ptr_equal(owner, loop);
    struct job *job = lt_container_of(message, struct job, work.message);
    assert_int_equal(job->result, job->work.ran ? job->number * 2 : 0);
    run_back += job->work.ran;
    if (++back == wanted) {
        lt_loop_stop(loop);
    }
}

static bool put(unsigned i, void (*run)(struct lt_work *work))
{
    jobs[i] =
        (struct job){.number = i + 1, .work = {.message = {.fn = on_back}, .box = box, .run = run}};
    return lt_work_pool_put(pool, &jobs[i].work);
}

static void make(unsigned threads, unsigned queue_max)
{
    back = run_back = 0;
    pool = lt_work_pool_new(threads, queue_max);
    assert_non_null(pool);
}

static int setup(void **state)
{
    (void)state;
    loop = lt_loop_new(BLOCKS_MAX);
    assert_non_null(loop);
    box = lt_mailbox_new(loop, loop);
    assert_non_null(box);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lt_mailbox_free(box);
    lt_loop_free(loop);
    return 0;
}

static void all_work_comes_back_done(void **state)
{
    (void)state;
    make(3, JOBS);
    wanted = JOBS;
    for (unsigned i = 0; i < JOBS; i++) {
        assert_true(put(i, work_hard));
    }
    lt_loop_run(loop);
    assert_int_equal(run_back, JOBS);
    lt_work_pool_free(pool);
}

/* One is at the gate or still in the queue, so that one or none of the others is over. */
static void a_full_queue_refuses(void **state)
{
    (void)state;
    unsigned taken = 0;
    make(1, 4);
    pthread_mutex_lock(&gate);
    for (unsigned i = 0; i < 10; i++) {
        taken += put(i, wait_at_gate);
    }
    assert_in_range(taken, 4, 5);
    pthread_mutex_unlock(&gate);
    wanted = taken;
    lt_loop_run(loop);
    assert_int_equal(run_back, taken);
    wanted = 1, back = 0;
    assert_true(put(0, work_hard)); /* there is room again */
    lt_loop_run(loop);
    lt_work_pool_free(pool);
}

static void what_nobody_wants_is_not_run(void **state)
{
    (void)state;
    make(1, 10);
    pthread_mutex_lock(&gate);
    assert_true(put(0, wait_at_gate));
    for (unsigned i = 1; i < 5; i++) {
        assert_true(put(i, work_hard));
        atomic_store_explicit(&jobs[i].work.unwanted, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&gate);
    wanted = 5;
    lt_loop_run(loop);
    assert_int_equal(run_back, 1);
    lt_work_pool_free(pool);
}

/* At the end all comes back, done or not, and once. */
static void freeing_gives_all_back(void **state)
{
    (void)state;
    make(2, JOBS);
    wanted = JOBS + 1;
    for (unsigned i = 0; i < JOBS; i++) {
        assert_true(put(i, work_hard));
    }
    lt_work_pool_free(pool);
    assert_int_equal(back, 0); /* only its own thread delivers */
    lt_mailbox_free(box);
    box = lt_mailbox_new(loop, loop);
    assert_int_equal(back, JOBS);
    lt_work_pool_free(NULL);
}

static void memory_that_fails_is_said(void **state)
{
    (void)state;
    lt_mem_fail_at(1);
    assert_null(lt_work_pool_new(1, 1));
    lt_mem_fail_at(0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(all_work_comes_back_done),     TEST(a_full_queue_refuses),
        TEST(what_nobody_wants_is_not_run), TEST(freeing_gives_all_back),
        TEST(memory_that_fails_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
