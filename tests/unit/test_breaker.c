/* SPDX-License-Identifier: Apache-2.0 */
/* The circuit breaker; time is what the test says it is. */
#include "unit.h"

#include <pthread.h>

#include "upstream/breaker.h"

#define SECOND UINT64_C(1000000)

static const struct lt_breaker_options options = {.enabled = true,
                                                  .rate = 5000,
                                                  .requests = 10,
                                                  .window_ms = 10000,
                                                  .open_ms = 5000,
                                                  .trials = 3};

static struct lt_upstream_state state;
static uint64_t now_us;

static int setup(void **unused)
{
    (void)unused;
    memset(&state, 0, sizeof(state));
    now_us = 1000 * SECOND; /* where a window begins */
    return 0;
}

static bool enter(bool *trial)
{
    return lt_breaker_enter(&options, &state, now_us, trial);
}

static bool passes(void)
{
    bool trial;
    return enter(&trial) && !trial;
}

static bool is_trial(void)
{
    bool trial;
    return enter(&trial) && trial;
}

static void tried(bool ok)
{
    lt_breaker_tried(&options, &state, ok, now_us);
}

static void count(uint32_t tries, uint32_t bad)
{
    lt_breaker_count(&options, &state, tries, bad, now_us);
}

static void open_it(void)
{
    count(10, 10);
    assert_int_equal(lt_breaker_state(&state), LT_BREAKER_OPEN);
}

static void it_opens_at_the_rate(void **unused)
{
    (void)unused;
    count(9, 9); /* too few to say */
    assert_true(passes());
    count(9, 0);
    assert_true(passes());
    count(1, 0); /* 9 of 19; it opens on errors only */
    count(1, 1); /* 10 of 20 */
    assert_false(passes());
    assert_int_equal(atomic_load(&state.breaker_opened), 1);
    assert_int_equal(lt_breaker_wait_s(&state, now_us), 5);
    now_us += 4 * SECOND + 1;
    assert_int_equal(lt_breaker_wait_s(&state, now_us), 1);
}

static void errors_of_older_windows_do_not_count(void **unused)
{
    (void)unused;
    count(9, 9);
    now_us += 10 * SECOND;
    count(9, 9);
    assert_true(passes());
    count(1, 1);
    assert_false(passes());
}

static void without_it_nothing_is_asked(void **unused)
{
    (void)unused;
    const struct lt_breaker_options off = {.enabled = false};
    bool trial = true;
    open_it();
    assert_true(lt_breaker_enter(&off, &state, now_us, &trial));
    assert_false(trial);
}

static void trials_that_do_well_close_it(void **unused)
{
    (void)unused;
    open_it();
    now_us += 5 * SECOND - 1;
    assert_false(is_trial());
    now_us += 1;
    assert_true(is_trial());
    assert_true(is_trial());
    assert_true(is_trial());
    assert_false(is_trial()); /* those have to be over first */
    tried(true);
    tried(true);
    assert_int_equal(lt_breaker_state(&state), LT_BREAKER_HALF);
    tried(true);
    assert_int_equal(lt_breaker_state(&state), LT_BREAKER_CLOSED);
    assert_true(passes());
    count(1, 1); /* what opened it is forgotten */
    assert_true(passes());
}

static void a_trial_that_fails_opens_it_again(void **unused)
{
    (void)unused;
    open_it();
    now_us += 5 * SECOND;
    assert_true(is_trial());
    assert_true(is_trial());
    tried(true);
    tried(false);
    assert_int_equal(lt_breaker_state(&state), LT_BREAKER_OPEN);
    assert_int_equal(atomic_load(&state.breaker_opened), 2);
    tried(true); /* one that was under way says nothing any more */
    assert_int_equal(lt_breaker_state(&state), LT_BREAKER_OPEN);
    now_us += 5 * SECOND;
    assert_true(is_trial());
}

static void a_trial_given_back_is_anothers(void **unused)
{
    (void)unused;
    open_it();
    now_us += 5 * SECOND;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(is_trial());
    }
    assert_false(is_trial());
    lt_breaker_give_back(&state);
    assert_true(is_trial());
    assert_false(is_trial());
}

static void trials_that_hang_do_not_hold_it(void **unused)
{
    (void)unused;
    open_it();
    now_us += 5 * SECOND;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(is_trial());
    }
    now_us += 5 * SECOND;
    assert_false(is_trial());
    now_us += 1000;
    assert_true(is_trial());
}

static void counts_that_are_full_stay_so(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 100; i++) {
        count(UINT32_C(1) << 23, 0);
    }
    assert_true(passes());
    count(1, 1);
    assert_true(passes());
}

static void giving_back_what_nobody_took_does_nothing(void **unused)
{
    (void)unused;
    lt_breaker_give_back(&state);
    tried(false);
    assert_true(passes());
    open_it();
    lt_breaker_give_back(&state);
    assert_int_equal(lt_breaker_state(&state), LT_BREAKER_OPEN);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 50000

static _Atomic(unsigned) inside, most;

/* Requests that all take a trial and tell how it went; never are there more than allowed. */
static void *use(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        bool trial;
        if (!enter(&trial) || !trial) {
            continue;
        }
        unsigned n = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);
        while (n > seen && !atomic_compare_exchange_weak(&most, &seen, n)) {
        }
        atomic_fetch_sub(&inside, 1);
        seed = seed * 1103515245 + 12345;
        if (seed >> 16 & 1) {
            lt_breaker_give_back(&state);
        } else {
            tried(true);
            return NULL;
        }
    }
    return NULL;
}

static void trials_are_bounded_with_many_threads(void **unused)
{
    (void)unused;
    pthread_t threads[THREADS];
    open_it();
    now_us += 5 * SECOND;
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use, (void *)i), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_in_range(atomic_load(&most), 1, options.trials);
    assert_int_equal(lt_breaker_state(&state), LT_BREAKER_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_opens_at_the_rate, setup),
        cmocka_unit_test_setup(errors_of_older_windows_do_not_count, setup),
        cmocka_unit_test_setup(without_it_nothing_is_asked, setup),
        cmocka_unit_test_setup(trials_that_do_well_close_it, setup),
        cmocka_unit_test_setup(a_trial_that_fails_opens_it_again, setup),
        cmocka_unit_test_setup(a_trial_given_back_is_anothers, setup),
        cmocka_unit_test_setup(trials_that_hang_do_not_hold_it, setup),
        cmocka_unit_test_setup(counts_that_are_full_stay_so, setup),
        cmocka_unit_test_setup(giving_back_what_nobody_took_does_nothing, setup),
        cmocka_unit_test_setup(trials_are_bounded_with_many_threads, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
