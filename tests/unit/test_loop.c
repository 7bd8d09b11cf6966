/* SPDX-License-Identifier: Apache-2.0 */
#include "net_env.h"

#include "base/mem.h"

static struct lt_loop *loop;

static int setup(void **state)
{
    (void)state;
    loop = lt_loop_new(BLOCKS_MAX);
    return loop == NULL;
}

static int teardown(void **state)
{
    (void)state;
    lt_loop_free(loop);
    return 0;
}

/* ---- Deferred calls ---- */

struct call {
    struct lt_deferred d;
    struct call *then; /* deferred by this call */
    unsigned calls, at;
};

static unsigned sequence;

static void on_call(void *arg)
{
    struct call *c = arg;
    c->calls++;
    c->at = ++sequence;
    if (c->then != NULL) {
        lt_loop_defer(loop, &c->then->d, on_call, c->then);
    }
}

static void deferred_calls_run_once_in_order(void **state)
{
    (void)state;
    struct call a = {0}, b = {0};
    sequence = 0;
    lt_loop_defer(loop, &a.d, on_call, &a);
    lt_loop_defer(loop, &b.d, on_call, &b);
    lt_loop_defer(loop, &a.d, on_call, &a);
    one_turn(loop);
    one_turn(loop);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 1);
    assert_int_equal(a.at, 1);
    assert_int_equal(b.at, 2);
}

static void stop_and_defer(void *arg)
{
    struct call *c = arg;
    lt_loop_stop(loop);
    lt_loop_defer(loop, &c->d, on_call, c);
}

static void what_the_last_turn_deferred_is_called(void **state)
{
    (void)state;
    struct call a = {0};
    struct lt_timer timer;
    lt_timer_init(&timer, loop, stop_and_defer, &a);
    lt_timer_set(&timer, 1);
    lt_loop_run(loop);
    assert_int_equal(a.calls, 1);
    lt_timer_fini(&timer);
}

static void a_cancelled_call_never_comes(void **state)
{
    (void)state;
    struct call a = {0}, b = {0};
    lt_loop_defer(loop, &a.d, on_call, &a);
    lt_loop_defer(loop, &b.d, on_call, &b);
    lt_loop_cancel(&a.d);
    lt_loop_cancel(&a.d);
    one_turn(loop);
    assert_int_equal(a.calls, 0);
    assert_int_equal(b.calls, 1);
}

static void what_a_call_defers_runs_in_the_same_turn(void **state)
{
    (void)state;
    struct call b = {0}, a = {.then = &b};
    lt_loop_defer(loop, &a.d, on_call, &a);
    one_turn(loop);
    assert_int_equal(b.calls, 1);
}

static void on_pipe(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)revents;
    ev_io_stop(ev, w);
    ev_break(ev, EVBREAK_ALL);
}

/* A call that defers itself for ever must neither starve events nor let the loop sleep. */
static void endless_deferring_leaves_room_for_events(void **state)
{
    (void)state;
    struct call a = {0};
    a.then = &a;
    int fds[2];
    ev_io io;
    make_pair(fds);
    ev_io_init(&io, on_pipe, fds[0], EV_READ);
    ev_io_start(loop->ev, &io);
    lt_loop_defer(loop, &a.d, on_call, &a);
    uint64_t before = lt_clock_us();
    for (unsigned i = 0; i < 100; i++) {
        ev_run(loop->ev, EVRUN_ONCE); /* would wait for ever if it slept */
    }
    assert_true(a.calls >= 100);
    assert_int_equal(write(fds[1], "x", 1), 1);
    lt_loop_run(loop); /* until on_pipe */
    lt_loop_cancel(&a.d);
    assert_true(lt_clock_us() - before < 5000000);
    assert_true(run_for(loop, 50) < 10); /* and it sleeps again */
    close(fds[0]);
    close(fds[1]);
}

static void freeing_the_loop_runs_what_was_deferred(void **state)
{
    (void)state;
    struct lt_loop *other = lt_loop_new(BLOCKS_MAX);
    struct call a = {0};
    assert_non_null(other);
    lt_loop_defer(other, &a.d, on_call, &a);
    lt_loop_free(other);
    assert_int_equal(a.calls, 1);
}

/* ---- Timers ---- */

struct alarm {
    struct lt_timer timer;
    unsigned fired;
    uint64_t fired_us;
    unsigned again; /* sets itself so often */
};

static void on_alarm(void *arg)
{
    struct alarm *a = arg;
    a->fired++;
    a->fired_us = loop->now_us;
    if (a->again > 0) {
        a->again--;
        lt_timer_set(&a->timer, 5);
    }
}

static void alarm_init(struct alarm *a)
{
    *a = (struct alarm){0};
    lt_timer_init(&a->timer, loop, on_alarm, a);
    lt_loop_update_time(loop);
}

static void a_timer_fires_once_and_not_early(void **state)
{
    (void)state;
    struct alarm a;
    alarm_init(&a);
    uint64_t start = loop->now_us;
    lt_timer_set(&a.timer, 30);
    run_for(loop, 100);
    assert_int_equal(a.fired, 1);
    assert_true(a.fired_us >= start + 30000);
    lt_timer_fini(&a.timer);
}

static void a_cleared_timer_stays_silent(void **state)
{
    (void)state;
    struct alarm a;
    alarm_init(&a);
    lt_timer_set(&a.timer, 10);
    lt_timer_clear(&a.timer);
    run_for(loop, 40);
    assert_int_equal(a.fired, 0);
    lt_timer_set(&a.timer, 10);
    run_for(loop, 60);
    assert_int_equal(a.fired, 1);
    lt_timer_fini(&a.timer);
}

/* Moving a deadline back is a store: libev's timer stays where it was. */
static void a_deadline_moves_without_rearming(void **state)
{
    (void)state;
    struct alarm a;
    alarm_init(&a);
    uint64_t start = loop->now_us;
    lt_timer_set(&a.timer, 20);
    uint64_t armed = a.timer.armed_us;
    for (unsigned delay = 21; delay <= 60; delay++) {
        lt_timer_set(&a.timer, delay);
        assert_int_equal(a.timer.armed_us, armed);
    }
    run_for(loop, 120);
    assert_int_equal(a.fired, 1);
    assert_true(a.fired_us >= start + 60000);
    lt_timer_fini(&a.timer);
}

static void an_earlier_deadline_wins(void **state)
{
    (void)state;
    struct alarm a;
    alarm_init(&a);
    lt_timer_set(&a.timer, 60000);
    lt_timer_set(&a.timer, 10);
    run_for(loop, 80);
    assert_int_equal(a.fired, 1);
    lt_timer_fini(&a.timer);
}

static void a_timer_sets_itself_in_its_call(void **state)
{
    (void)state;
    struct alarm a;
    alarm_init(&a);
    a.again = 3;
    lt_timer_set(&a.timer, 1);
    RUN_UNTIL(loop, a.fired == 4);
    run_for(loop, 30);
    assert_int_equal(a.fired, 4);
    lt_timer_fini(&a.timer);
}

static void huge_delays_do_not_overflow(void **state)
{
    (void)state;
    struct alarm a;
    alarm_init(&a);
    lt_timer_set(&a.timer, UINT64_MAX);
    run_for(loop, 10);
    assert_int_equal(a.fired, 0);
    lt_timer_fini(&a.timer);
    lt_timer_fini(&a.timer);
}

/* ---- The rest ---- */

static void the_date_is_that_of_the_turn(void **state)
{
    (void)state;
    loop->wall_us = UINT64_C(784111777) * 1000000;
    assert_str(lt_loop_http_date(loop), "Sun, 06 Nov 1994 08:49:37 GMT");
    loop->wall_us += 1000000;
    assert_str(lt_loop_http_date(loop), "Sun, 06 Nov 1994 08:49:38 GMT");
}

static void each_turn_takes_the_time(void **state)
{
    (void)state;
    uint64_t before = loop->now_us;
    run_for(loop, 10);
    assert_true(loop->now_us >= before + 10000);
    assert_true(loop->now_us <= lt_clock_us());
}

static void no_memory_is_no_loop(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 2; i++) {
        lt_mem_fail_at(i);
        assert_null(lt_loop_new(BLOCKS_MAX));
        lt_mem_fail_at(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deferred_calls_run_once_in_order),
        cmocka_unit_test(what_the_last_turn_deferred_is_called),
        cmocka_unit_test(a_cancelled_call_never_comes),
        cmocka_unit_test(what_a_call_defers_runs_in_the_same_turn),
        cmocka_unit_test(endless_deferring_leaves_room_for_events),
        cmocka_unit_test(freeing_the_loop_runs_what_was_deferred),
        cmocka_unit_test(a_timer_fires_once_and_not_early),
        cmocka_unit_test(a_cleared_timer_stays_silent),
        cmocka_unit_test(a_deadline_moves_without_rearming),
        cmocka_unit_test(an_earlier_deadline_wins),
        cmocka_unit_test(a_timer_sets_itself_in_its_call),
        cmocka_unit_test(huge_delays_do_not_overflow),
        cmocka_unit_test(the_date_is_that_of_the_turn),
        cmocka_unit_test(each_turn_takes_the_time),
        cmocka_unit_test(no_memory_is_no_loop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
