/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/log_ring.h"

static char line[LT_LOG_LINE_MAX];
static struct lt_log_bell bell;

static int setup(void **state)
{
    (void)state;
    return lt_log_bell_init(&bell) == LT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lt_log_bell_fini(&bell);
    return 0;
}

static void lines_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct lt_log_ring *ring = lt_log_ring_new(64, &bell);
    char text[32];
    enum lt_log_kind kind;
    /* Far more than the ring holds at once, so that lines lie over its end at every offset. */
    for (int i = 0; i < 500; i++) {
        int n = snprintf(text, sizeof(text), "line %d%.*s\n", i, i % 11, "-----------");
        enum lt_log_kind k = i % 3 == 0 ? LT_LOG_ACCESS : LT_LOG_EVENTS;
        assert_true(lt_log_ring_put(ring, k, lt_str(text, (size_t)n)));
        assert_true(lt_log_ring_waits(ring));
        assert_int_equal(lt_log_ring_take(ring, &kind, line), n);
        assert_memory_equal(line, text, n);
        assert_int_equal(kind, k);
    }
    assert_false(lt_log_ring_waits(ring));
    assert_int_equal(lt_log_ring_take(ring, &kind, line), 0);
    lt_log_ring_free(ring);
}

static void a_full_ring_drops_and_counts(void **state)
{
    (void)state;
    struct lt_log_ring *ring = lt_log_ring_new(64, &bell);
    struct lt_str text = LT_STR("0123456789012345");
    assert_true(lt_log_ring_put(ring, LT_LOG_ACCESS, text));
    assert_true(lt_log_ring_put(ring, LT_LOG_ACCESS, text));
    assert_true(lt_log_ring_put(ring, LT_LOG_ACCESS, text));
    assert_false(lt_log_ring_put(ring, LT_LOG_ACCESS, text));
    assert_int_equal(lt_log_ring_dropped(ring), 1);
    enum lt_log_kind kind;
    assert_int_equal(lt_log_ring_take(ring, &kind, line), 16);
    assert_true(lt_log_ring_put(ring, LT_LOG_ACCESS, text));
    assert_int_equal(lt_log_ring_dropped(ring), 1);
    lt_log_ring_free(ring);
}

static bool rang(void)
{
    uint64_t n;
    return read(bell.fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

static void the_bell_rings_only_for_a_writer_that_sleeps(void **state)
{
    (void)state;
    struct lt_log_ring *ring = lt_log_ring_new(64, &bell);
    struct lt_str text = LT_STR("0123456789012345");
    atomic_store(&bell.sleeper, LT_LOG_AWAKE);
    assert_true(lt_log_ring_put(ring, LT_LOG_ACCESS, text));
    assert_false(rang());
    atomic_store(&bell.sleeper, LT_LOG_SLEEPS);
    assert_true(lt_log_ring_put(ring, LT_LOG_ACCESS, text));
    assert_true(rang());
    assert_int_equal(bell.sleeper, LT_LOG_AWAKE);
    enum lt_log_kind kind;
    assert_int_equal(lt_log_ring_take(ring, &kind, line), 16);
    assert_int_equal(lt_log_ring_take(ring, &kind, line), 16);
    assert_true(lt_log_ring_put(ring, LT_LOG_ACCESS, LT_STR("x")));
    atomic_store(&bell.sleeper, LT_LOG_LINGERS);
    assert_true(lt_log_ring_put(ring, LT_LOG_ACCESS, LT_STR("x")));
    assert_int_equal(lt_log_ring_take(ring, &kind, line), 1);
    assert_false(rang());
    lt_log_ring_free(ring);
}

struct stress {
    struct lt_log_ring *ring;
    unsigned lines;
};

static void *produce(void *arg)
{
    struct stress *s = arg;
    char text[64];
    for (unsigned i = 0; i < s->lines;) {
        int n = snprintf(text, sizeof(text), "%u %.*s\n", i, (int)(i % 40),
                         "........................................");
        if (lt_log_ring_put(s->ring, LT_LOG_ACCESS, lt_str(text, (size_t)n))) {
            i++;
        }
    }
    return NULL;
}

static void two_threads_agree_on_every_line(void **state)
{
    (void)state;
    struct stress s = {.ring = lt_log_ring_new(1024, &bell), .lines = 50000};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, &s), 0);
    enum lt_log_kind kind;
    for (unsigned i = 0; i < s.lines;) {
        size_t n = lt_log_ring_take(s.ring, &kind, line);
        if (n > 0) {
            line[n] = '\0';
            assert_int_equal(strtoul(line, NULL, 10), i);
            assert_int_equal(line[n - 1], '\n');
            i++;
        }
    }
    pthread_join(thread, NULL);
    assert_false(lt_log_ring_waits(s.ring));
    lt_log_ring_free(s.ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_as_they_went_in),
        cmocka_unit_test(a_full_ring_drops_and_counts),
        cmocka_unit_test(the_bell_rings_only_for_a_writer_that_sleeps),
        cmocka_unit_test(two_threads_agree_on_every_line),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
