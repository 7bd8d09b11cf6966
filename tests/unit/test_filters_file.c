/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.file.exists. */
#include "filter_bed.h"

#include "net/mailbox.h"
#include "net/work_pool.h"

static struct lt_work_pool *pool;
static struct lt_mailbox *box;

/* A filter that tells what `call` gives. */
static void load(const char *call)
{
    char text[600];
    snprintf(text, sizeof(text),
             "return {request = function(ctx) local r = table.pack(%s) "
             "for i = 1, r.n do r[i] = tostring(r[i]) end "
             "ctx.req.headers['x-r'] = table.concat(r, '|') end}",
             call);
    load_one(text, ", on_error: closed, budget: {wall: 1m}");
}

static void with_pool(unsigned queue_max)
{
    box = lt_mailbox_new(bed->loop, NULL);
    pool = lt_work_pool_new(1, queue_max);
    assert_non_null(box);
    assert_non_null(pool);
    bed->filters->spec.box = box;
    bed->filters->spec.pool = pool;
}

static void without_pool(void)
{
    bed->filters->spec.pool = NULL;
    lt_work_pool_free(pool); /* waits for the thread; what was queued comes back undone */
    lt_mailbox_free(box);    /* delivers what came back */
}

static void tells(const char *path, const char *wanted)
{
    char call[400];
    snprintf(call, sizeof(call), "lintel.file.exists('%s')", path);
    load(call);
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-r"), wanted);
    lt_test_bed_end(bed);
}

static void test_what_is_there_and_what_is_not(void **state)
{
    char path[128], long_path[330];
    (void)state;
    tells("/", "true");
    tells("/dev/null", "true");
    tells("/dev/null/x", "false");
    write_file("b.lua", "x");
    snprintf(path, sizeof(path), "%s/b.lua", folder);
    tells(path, "true");
    unlink(path);
    tells(path, "false");
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[0] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    tells(long_path, "nil|unreadable|File name too long");
}

static void test_wrong_use_raises(void **state)
{
    static const struct {
        const char *call, *message;
    } cases[] = {
        {"lintel.file.exists('a')", "a path starts at the root"},
        {"lintel.file.exists('')", "a path starts at the root"},
        {"lintel.file.exists('/a\\0b')", "a path starts at the root"},
        {"lintel.file.exists('/' .. ('x'):rep(5000))", "a path starts at the root"},
        {"lintel.file.exists()", "string expected"},
        {"table.sort({1, 2}, function() lintel.file.exists('/') end)", "can't wait here"},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        load(cases[i].call);
        struct lt_exchange *x = begin();
        assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
        assert_int_equal(x->cause, LT_CAUSE_FILTER_ERROR);
        if (strstr(x->detail.p, cases[i].message) == NULL) {
            fail_msg("%s: %s", cases[i].call, x->detail.p);
        }
        lt_test_bed_end(bed);
    }
}

static void test_a_thread_of_the_pool_looks(void **state)
{
    (void)state;
    load("lintel.file.exists('/')");
    with_pool(10);
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    without_pool();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    struct lt_str told = req_header(x, "x-r");
    assert_true(lt_str_eq_c(told, "true") || lt_str_eq_c(told, "nil|busy|Lintel ends"));
    lt_test_bed_end(bed);
}

static void test_a_full_queue_is_told_at_once(void **state)
{
    (void)state;
    load("lintel.file.exists('/')");
    with_pool(0);
    struct lt_exchange *x = begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_str(req_header(x, "x-r"), "nil|busy|too much waits for a thread");
    lt_test_bed_end(bed);
    without_pool();
}

/* The exchange goes while a thread looks: nothing is left of it. */
static void test_who_goes_leaves_nothing_behind(void **state)
{
    (void)state;
    load("lintel.file.exists('/')");
    (void)begin();
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    lt_test_bed_end(bed); /* without a pool */
    with_pool(100);
    for (unsigned i = 0; i < 20; i++) {
        (void)begin();
        assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
        lt_test_bed_end(bed);
    }
    without_pool();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_there_and_what_is_not),  TEST(test_wrong_use_raises),
        TEST(test_a_thread_of_the_pool_looks),     TEST(test_a_full_queue_is_told_at_once),
        TEST(test_who_goes_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
