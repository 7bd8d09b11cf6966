/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers are fit, by checks, ejections and connects; time is what the test says it is. */
#include "unit.h"

#include <pthread.h>

#include "upstream/health.h"
#include "upstream/outliers.h"
#include "upstream/pool.h"

#define SERVERS 4
#define SECOND UINT64_C(1000000)

struct fixture {
    struct lt_loop *loop;
    struct lt_pools *pools;
    struct lt_upstream upstream;
    struct lt_upstream_state upstream_state;
    struct lt_server_set set;
    struct lt_server servers[SERVERS];
    struct lt_server_state states[SERVERS];
};

static struct lt_status_range errors_5xx[] = {{500, 599}};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    f.loop = lt_loop_new(1 << 20);
    f.pools = lt_pools_new(f.loop, NULL);
    f.loop->now_us = 1000 * SECOND;
    f.set = (struct lt_server_set){.v = f.servers, .n = SERVERS};
    f.upstream.state = &f.upstream_state;
    atomic_init(&f.upstream.set, &f.set);
    f.upstream.health.check = (struct lt_check_options){.kind = LT_CHECK_TCP, .fall = 3, .rise = 2};
    f.upstream.health.outliers = (struct lt_outlier_options){.enabled = true,
                                                             .statuses = {errors_5xx, 1},
                                                             .errors = 3,
                                                             .time_ms = 10000,
                                                             .max_time_ms = 60000,
                                                             .share = 5000};
    for (unsigned i = 0; i < SERVERS; i++) {
        f.states[i].id = i;
        f.servers[i] = (struct lt_server){
            .upstream = &f.upstream, .weight = 1, .index = i, .state = &f.states[i]};
    }
    *state = &f;
    return f.loop != NULL && f.pools != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lt_pools_free(f->pools);
    lt_loop_free(f->loop);
    return 0;
}

static enum lt_fit fit(struct fixture *f, unsigned i)
{
    return lt_server_fit(&f->servers[i], f->loop->now_us);
}

static void tell(struct fixture *f, unsigned i, unsigned status, enum lt_cause cause)
{
    lt_health_tell(f->pools, &f->servers[i],
                   &(struct lt_try){.status = status, .cause = cause, .first_us = 1000});
}

/* ---- checks ---- */

static void verdicts_take_checks_in_a_row(void **state)
{
    (void)state;
    const struct lt_check_options o = {.fall = 3, .rise = 2};
    enum lt_checked now = LT_CHECKED_NOT;
    bool last_ok = true;
    unsigned in_row = 0;
    const struct {
        bool ok;
        enum lt_checked after;
    } steps[] = {
        {false, LT_CHECKED_NOT}, {false, LT_CHECKED_NOT},  {true, LT_CHECKED_UP},
        {false, LT_CHECKED_UP},  {false, LT_CHECKED_UP},   {true, LT_CHECKED_UP},
        {false, LT_CHECKED_UP},  {false, LT_CHECKED_UP},   {false, LT_CHECKED_DOWN},
        {true, LT_CHECKED_DOWN}, {false, LT_CHECKED_DOWN}, {true, LT_CHECKED_DOWN},
        {true, LT_CHECKED_UP},   {false, LT_CHECKED_UP},
    };
    for (size_t i = 0; i < lt_countof(steps); i++) {
        now = lt_check_count(&o, now, steps[i].ok, &last_ok, &in_row);
        assert_int_equal(now, steps[i].after);
    }
}

static void a_server_down_by_its_checks_is_for_panic_only(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fit(f, 0), LT_FIT_UP);
    lt_server_set_checked(&f->states[0], LT_CHECKED_DOWN, f->loop->now_us);
    assert_int_equal(fit(f, 0), LT_FIT_DOWN);
    assert_false(lt_server_up(&f->servers[0], f->loop->now_us));
    f->loop->now_us += SECOND;
    lt_server_set_checked(&f->states[0], LT_CHECKED_UP, f->loop->now_us);
    assert_int_equal(fit(f, 0), LT_FIT_UP);
    assert_int_equal(atomic_load(&f->states[0].up_since_us), f->loop->now_us);
    /* One without checks doesn't suffer from what an older configuration's said. */
    lt_server_set_checked(&f->states[0], LT_CHECKED_DOWN, f->loop->now_us);
    f->upstream.health.check.kind = LT_CHECK_NO;
    assert_int_equal(fit(f, 0), LT_FIT_UP);
}

static void a_new_server_may_wait_for_its_checks(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->states[0].users, 1);
    lt_health_begin(&f->servers[0]);
    assert_int_equal(fit(f, 0), LT_FIT_UP);
    f->upstream.health.check.init_down = true;
    lt_health_begin(&f->servers[0]);
    assert_int_equal(fit(f, 0), LT_FIT_DOWN);
    /* But not one that serves already, nor one that has a verdict. */
    atomic_store(&f->states[1].users, 2);
    lt_health_begin(&f->servers[1]);
    assert_int_equal(fit(f, 1), LT_FIT_UP);
    atomic_store(&f->states[2].users, 1);
    lt_server_set_checked(&f->states[2], LT_CHECKED_UP, f->loop->now_us);
    lt_health_begin(&f->servers[2]);
    assert_int_equal(fit(f, 2), LT_FIT_UP);
}

/* ---- connects ---- */

static void a_failed_connect_makes_doubtful_for_a_growing_while(void **state)
{
    struct fixture *f = *state;
    uint64_t expected = 100000;
    for (unsigned i = 0; i < 12; i++) {
        lt_server_connect_result(f->pools, &f->servers[0], false);
        assert_int_equal(fit(f, 0), LT_FIT_DOUBTFUL);
        f->loop->now_us += lt_min(expected, 10 * SECOND) - 1;
        assert_int_equal(fit(f, 0), LT_FIT_DOUBTFUL);
        f->loop->now_us += 1;
        assert_int_equal(fit(f, 0), LT_FIT_UP);
        expected *= 2;
    }
    lt_server_connect_result(f->pools, &f->servers[0], false);
    lt_server_connect_result(f->pools, &f->servers[0], true);
    assert_int_equal(fit(f, 0), LT_FIT_UP);
    assert_int_equal(atomic_load(&f->states[0].failures), 0);
}

/* ---- ejection ---- */

static void errors_in_a_row_eject(void **state)
{
    struct fixture *f = *state;
    tell(f, 0, 503, LT_CAUSE_NONE);
    tell(f, 0, 0, LT_CAUSE_FIRST_BYTE_TIMEOUT);
    tell(f, 0, 200, LT_CAUSE_NONE); /* not in a row */
    tell(f, 0, 503, LT_CAUSE_NONE);
    tell(f, 0, 503, LT_CAUSE_NONE);
    assert_int_equal(fit(f, 0), LT_FIT_UP);
    tell(f, 0, 503, LT_CAUSE_NONE);
    assert_int_equal(fit(f, 0), LT_FIT_DOWN);
    assert_int_equal(atomic_load(&f->states[0].ejected_for), LT_EJECT_ERRORS);
    f->loop->now_us += 10 * SECOND;
    assert_int_equal(fit(f, 0), LT_FIT_UP);
    assert_int_equal(atomic_load(&f->states[0].up_since_us), f->loop->now_us);
}

static void ejections_grow_and_are_forgotten(void **state)
{
    struct fixture *f = *state;
    const uint64_t seconds[] = {10, 20, 40, 60, 60};
    for (size_t i = 0; i < lt_countof(seconds); i++) {
        assert_true(lt_server_eject(&f->servers[0], LT_EJECT_RATE, f->loop->now_us));
        assert_false(lt_server_eject(&f->servers[0], LT_EJECT_RATE, f->loop->now_us));
        f->loop->now_us += seconds[i] * SECOND - 1;
        assert_int_equal(fit(f, 0), LT_FIT_DOWN);
        f->loop->now_us += 1;
        assert_int_equal(fit(f, 0), LT_FIT_UP);
    }
    assert_int_equal(atomic_load(&f->states[0].ejections_total), 5);
    f->loop->now_us += 60 * SECOND;
    assert_true(lt_server_eject(&f->servers[0], LT_EJECT_RATE, f->loop->now_us));
    assert_int_equal(atomic_load(&f->states[0].ejected_until_us), f->loop->now_us + 10 * SECOND);
}

static void only_a_share_is_ejected(void **state)
{
    struct fixture *f = *state;
    const struct {
        unsigned n;
        uint32_t share;
        unsigned most;
    } cases[] = {{4, 5000, 2}, {4, 2500, 1}, {4, 100, 1},  {4, 10000, 4},
                 {3, 5000, 1}, {2, 1000, 1}, {1, 5000, 0}, {1, 10000, 1}};
    for (size_t c = 0; c < lt_countof(cases); c++) {
        unsigned ejected = 0;
        f->loop->now_us += 1000 * SECOND;
        f->set.n = cases[c].n;
        f->upstream.health.outliers.share = cases[c].share;
        for (unsigned i = 0; i < cases[c].n; i++) {
            ejected += lt_server_eject(&f->servers[i], LT_EJECT_ERRORS, f->loop->now_us);
        }
        assert_int_equal(ejected, cases[c].most);
        assert_int_equal(lt_fit_count(&f->set, f->loop->now_us).down, cases[c].most);
    }
}

static void what_is_not_the_servers_fault(void **state)
{
    (void)state;
    const enum lt_cause innocent[] = {
        LT_CAUSE_NONE,           LT_CAUSE_CLIENT_GONE,   LT_CAUSE_NO_DESCRIPTORS,
        LT_CAUSE_OUT_OF_MEMORY,  LT_CAUSE_DEADLINE,      LT_CAUSE_UPGRADE_REFUSED,
        LT_CAUSE_BODY_TOO_LARGE, LT_CAUSE_FILTER_DENIED, LT_CAUSE_CLIENT_WRITE_TIMEOUT,
        LT_CAUSE_BODY_TIMEOUT,   LT_CAUSE_DRAINING,      LT_CAUSE_STREAM_REFUSED};
    const enum lt_cause guilty[] = {
        LT_CAUSE_CONNECT_REFUSED_BY_SERVER, LT_CAUSE_CONNECT_TIMEOUT,
        LT_CAUSE_FIRST_BYTE_TIMEOUT,        LT_CAUSE_CLOSED_BEFORE_RESPONSE,
        LT_CAUSE_RESET_BEFORE_RESPONSE,     LT_CAUSE_RESPONSE_CUT,
        LT_CAUSE_RESPONSE_INVALID,          LT_CAUSE_RESPONSE_IDLE_TIMEOUT,
        LT_CAUSE_SERVER_TLS_FAILED,         LT_CAUSE_SOCKET_MISSING};
    for (size_t i = 0; i < lt_countof(innocent); i++) {
        assert_false(lt_health_blames(innocent[i]));
    }
    for (size_t i = 0; i < lt_countof(guilty); i++) {
        assert_true(lt_health_blames(guilty[i]));
    }
}

static void what_workers_gather_reaches_the_sums(void **state)
{
    struct fixture *f = *state;
    tell(f, 0, 200, LT_CAUSE_NONE); /* the first is told at once: nothing was for long */
    tell(f, 0, 200, LT_CAUSE_NONE);
    tell(f, 0, 200, LT_CAUSE_NONE);
    assert_int_equal(atomic_load(&f->states[0].tries), 1);
    f->loop->now_us += 100000;
    tell(f, 0, 200, LT_CAUSE_NONE);
    assert_int_equal(atomic_load(&f->states[0].tries), 4);
    assert_int_equal(atomic_load(&f->states[0].first_us), 4000);
    tell(f, 0, 200, LT_CAUSE_NONE);
    tell(f, 0, 502, LT_CAUSE_NONE); /* an error doesn't wait */
    assert_int_equal(atomic_load(&f->states[0].tries), 6);
    assert_int_equal(atomic_load(&f->states[0].bad), 1);
    f->upstream.health.outliers.enabled = false;
    f->loop->now_us += SECOND;
    tell(f, 0, 502, LT_CAUSE_NONE);
    assert_int_equal(atomic_load(&f->states[0].tries), 6);
}

static void causes_are_kept_for_the_status(void **state)
{
    struct fixture *f = *state;
    f->upstream.health.outliers.enabled = false;
    tell(f, 0, 0, LT_CAUSE_CONNECT_TIMEOUT);
    tell(f, 0, 200, LT_CAUSE_NONE);
    assert_int_equal(atomic_load(&f->states[0].last_cause), LT_CAUSE_CONNECT_TIMEOUT);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 20000

static void *eject_all(void *arg)
{
    struct fixture *f = arg;
    uint64_t now_us = 5000 * SECOND;
    uintptr_t broken = 0;
    for (unsigned k = 0; k < ROUNDS; k++) {
        now_us += 1000;
        (void)lt_server_eject(&f->servers[k % SERVERS], LT_EJECT_ERRORS, now_us);
        broken += lt_fit_count(&f->set, 5000 * SECOND + ROUNDS * 1000).down > SERVERS / 2;
    }
    return (void *)broken;
}

/* Each ejection here outlasts the test, so that the bound has to hold at every moment. */
static void the_share_holds_with_many_threads(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[THREADS];
    f->upstream.health.outliers.time_ms = f->upstream.health.outliers.max_time_ms = 1000000;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, eject_all, f), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *broken = NULL;
        pthread_join(threads[i], &broken);
        assert_null(broken);
    }
    assert_int_equal(lt_fit_count(&f->set, 5000 * SECOND + ROUNDS * 1000).down, SERVERS / 2);
}

/* ---- outliers ---- */

static void windows_slide(void **state)
{
    (void)state;
    struct lt_outlier_window w = {.at = 0};
    struct lt_outlier_sums total = {.tries = 0};
    for (unsigned i = 0; i < LT_OUTLIER_STEPS; i++) {
        total.tries += 10;
        total.bad += i;
        total.first_us += 100;
        lt_outlier_step(&w, &total);
    }
    struct lt_outlier_sums sum = lt_outlier_sum(&w);
    assert_int_equal(sum.tries, 100);
    assert_int_equal(sum.bad, 45);
    assert_int_equal(sum.first_us, 1000);
    for (unsigned i = 0; i < 4; i++) {
        lt_outlier_step(&w, &total); /* nothing happens */
    }
    assert_int_equal(lt_outlier_sum(&w).tries, 60);
    assert_int_equal(lt_outlier_sum(&w).bad, 39);
    lt_outlier_clear(&w);
    assert_int_equal(lt_outlier_sum(&w).tries, 0);
    total.tries += 7;
    lt_outlier_step(&w, &total);
    assert_int_equal(lt_outlier_sum(&w).tries, 7);
    total.tries += 500; /* while nobody looked */
    lt_outlier_start(&w, &total);
    assert_int_equal(lt_outlier_sum(&w).tries, 0);
    total.tries += 3;
    lt_outlier_step(&w, &total);
    assert_int_equal(lt_outlier_sum(&w).tries, 3);
}

static void who_stands_out(void **state)
{
    (void)state;
    const struct lt_outlier_options o = {.rate = 5000, .latency = 3, .requests = 10};
    const struct {
        struct lt_outlier_sums sums;
        uint64_t median_us;
        enum lt_outlier verdict;
    } cases[] = {
        {{9, 9, 0}, 0, LT_OUTLIER_NO},                /* too few */
        {{10, 4, 0}, 0, LT_OUTLIER_NO},               /* below the rate */
        {{10, 5, 0}, 0, LT_OUTLIER_RATE},             /* at it */
        {{10, 0, 299999}, 10000, LT_OUTLIER_NO},      /* below three times the median */
        {{10, 0, 300000}, 10000, LT_OUTLIER_LATENCY}, /* at it */
        {{10, 0, 90000}, 1000, LT_OUTLIER_NO},        /* 9 ms is never slow */
        {{10, 0, 30000000}, 0, LT_OUTLIER_NO},        /* nobody to compare with */
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        assert_int_equal(lt_outlier_judge(&o, &cases[i].sums, cases[i].median_us),
                         cases[i].verdict);
    }
    uint64_t two[] = {5, 1}, three[] = {900, 3, 1}, four[] = {9, 1, 3, 2}, zeros[] = {0, 0, 0};
    assert_int_equal(lt_outlier_median(two, 2), 0);
    assert_int_equal(lt_outlier_median(three, 3), 3);
    assert_int_equal(lt_outlier_median(four, 4), 2);
    assert_int_equal(lt_outlier_median(zeros, 3), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_take_checks_in_a_row),
        cmocka_unit_test_setup_teardown(a_server_down_by_its_checks_is_for_panic_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_new_server_may_wait_for_its_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_connect_makes_doubtful_for_a_growing_while, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(errors_in_a_row_eject, setup, teardown),
        cmocka_unit_test_setup_teardown(ejections_grow_and_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(only_a_share_is_ejected, setup, teardown),
        cmocka_unit_test(what_is_not_the_servers_fault),
        cmocka_unit_test_setup_teardown(what_workers_gather_reaches_the_sums, setup, teardown),
        cmocka_unit_test_setup_teardown(causes_are_kept_for_the_status, setup, teardown),
        cmocka_unit_test_setup_teardown(the_share_holds_with_many_threads, setup, teardown),
        cmocka_unit_test(windows_slide),
        cmocka_unit_test(who_stands_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
