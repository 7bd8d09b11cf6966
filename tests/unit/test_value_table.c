/* SPDX-License-Identifier: Apache-2.0 */
/* The table of shared values: what is set is got, ends in time, makes room, and threads do not
 * disturb each other. */
#include "unit.h"

#include "base/mem.h"
#include "shared/value_table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lt_value_table table;
static char buf[LT_VALUE_MAX];

static int setup(void **state)
{
    (void)state;
    return lt_value_table_init(&table, LT_VALUE_TABLE_MIN) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lt_value_table_fini(&table);
    lt_value_table_fini(&table); /* a zeroed one is fine */
    return 0;
}

static struct lt_value_op op_of(const char *key, uint64_t now)
{
    return (struct lt_value_op){.key = lt_value_key(&table, 1, lt_str_c(key)), .now_us = now};
}

static struct lt_value text_of(const char *text)
{
    return (struct lt_value){.type = LT_VALUE_TEXT, .text = lt_str_c(text)};
}

static struct lt_value int_of(int64_t n)
{
    return (struct lt_value){.type = LT_VALUE_INT, .integer = n};
}

static struct lt_value got(const char *key, uint64_t now)
{
    struct lt_value_op op = op_of(key, now);
    struct lt_value v;
    lt_value_get(&table, &op, buf, &v, NULL);
    return v;
}

static unsigned sets(const char *key, struct lt_value v, uint64_t now, uint64_t until)
{
    struct lt_value_op op = op_of(key, now);
    assert_int_equal(lt_value_set(&table, &op, &v, until), LT_VALUE_DONE);
    return op.evicted;
}

static void test_values_of_all_types_come_back(void **state)
{
    (void)state;
    sets("s", text_of("hello"), 1, LT_VALUE_FOREVER);
    sets("e", text_of(""), 1, LT_VALUE_FOREVER);
    sets("i", int_of(INT64_MIN), 1, LT_VALUE_FOREVER);
    sets("n", (struct lt_value){.type = LT_VALUE_NUMBER, .number = 1.5}, 1, LT_VALUE_FOREVER);
    sets("b", (struct lt_value){.type = LT_VALUE_BOOL, .boolean = true}, 1, LT_VALUE_FOREVER);
    assert_str(got("s", 2).text, "hello");
    assert_int_equal(got("e", 2).type, LT_VALUE_TEXT);
    assert_int_equal(got("e", 2).text.len, 0);
    assert_true(got("i", 2).integer == INT64_MIN);
    assert_true(got("n", 2).number == 1.5);
    assert_true(got("b", 2).boolean);
    assert_int_equal(got("none", 2).type, LT_VALUE_NONE);
    sets("s", int_of(7), 3, LT_VALUE_FOREVER);
    assert_int_equal(got("s", 4).integer, 7);
    lt_value_table_clear(&table);
    assert_int_equal(got("s", 4).type, LT_VALUE_NONE);
}

static void test_texts_of_all_lengths_come_back(void **state)
{
    (void)state;
    static char text[LT_VALUE_MAX + 1];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)(i * 31 + i / 256);
    }
    static const size_t lengths[] = {0,   1,   82,  83,   84,   200,   206,         207,
                                     208, 330, 331, 1000, 4096, 65535, LT_VALUE_MAX};
    for (size_t i = 0; i < lt_countof(lengths); i++) {
        struct lt_value v = {.type = LT_VALUE_TEXT, .text = lt_str(text, lengths[i])};
        sets("k", v, 1, LT_VALUE_FOREVER);
        struct lt_value back = got("k", 1);
        assert_int_equal(back.text.len, lengths[i]);
        assert_memory_equal(back.text.p, text, lengths[i]);
        struct lt_value_op op = op_of("k", 1);
        assert_int_equal(lt_value_cas(&table, &op, &v, &v, LT_VALUE_FOREVER), LT_VALUE_DONE);
        if (lengths[i] > 0) {
            struct lt_value other = v;
            other.text = lt_str(text + 1, lengths[i]);
            other.text.len -= lengths[i] == LT_VALUE_MAX;
            assert_int_equal(lt_value_cas(&table, &op, &other, &v, LT_VALUE_FOREVER),
                             LT_VALUE_KEPT);
        }
    }
    struct lt_value large = {.type = LT_VALUE_TEXT, .text = lt_str(text, LT_VALUE_MAX + 1)};
    struct lt_value_op op = op_of("k", 1);
    assert_int_equal(lt_value_set(&table, &op, &large, LT_VALUE_FOREVER), LT_VALUE_TOO_LARGE);
    assert_int_equal(lt_value_cas(&table, &op, &large, &large, LT_VALUE_FOREVER),
                     LT_VALUE_TOO_LARGE);
    assert_int_equal(got("k", 1).text.len, LT_VALUE_MAX);
}

static void test_values_end_in_time(void **state)
{
    (void)state;
    struct lt_value_op op = op_of("k", 150);
    struct lt_value v;
    uint64_t until = 0;
    sets("k", int_of(1), 100, 200);
    lt_value_get(&table, &op, buf, &v, &until);
    assert_int_equal(until, 200);
    assert_int_equal(got("k", 199).type, LT_VALUE_INT);
    assert_int_equal(got("k", 200).type, LT_VALUE_NONE);
    assert_int_equal(got("k", 100).type, LT_VALUE_NONE); /* it was forgotten */
    sets("d", int_of(1), 100, LT_VALUE_FOREVER);
    op = op_of("d", 100);
    assert_true(lt_value_delete(&table, &op));
    assert_false(lt_value_delete(&table, &op));
}

static void test_a_condition_decides(void **state)
{
    (void)state;
    const struct lt_value none = {.type = LT_VALUE_NONE}, one = int_of(1), two = int_of(2);
    const struct lt_value number = {.type = LT_VALUE_NUMBER, .number = 1.0};
    const struct lt_value text = text_of("1"), yes = {.type = LT_VALUE_BOOL, .boolean = true};
    struct lt_value_op op = op_of("k", 1);
    assert_int_equal(lt_value_cas(&table, &op, &one, &two, LT_VALUE_FOREVER), LT_VALUE_KEPT);
    assert_int_equal(lt_value_cas(&table, &op, &none, &one, LT_VALUE_FOREVER), LT_VALUE_DONE);
    assert_int_equal(lt_value_cas(&table, &op, &none, &two, LT_VALUE_FOREVER), LT_VALUE_KEPT);
    assert_int_equal(lt_value_cas(&table, &op, &text, &two, LT_VALUE_FOREVER), LT_VALUE_KEPT);
    assert_int_equal(lt_value_cas(&table, &op, &number, &two, LT_VALUE_FOREVER), LT_VALUE_DONE);
    assert_int_equal(lt_value_cas(&table, &op, &two, &yes, LT_VALUE_FOREVER), LT_VALUE_DONE);
    assert_int_equal(lt_value_cas(&table, &op, &yes, &none, LT_VALUE_FOREVER), LT_VALUE_DONE);
    assert_int_equal(got("k", 1).type, LT_VALUE_NONE);
    sets("n", number, 1, LT_VALUE_FOREVER);
    op = op_of("n", 1);
    assert_int_equal(lt_value_cas(&table, &op, &number, &text, LT_VALUE_FOREVER), LT_VALUE_DONE);
}

static void test_numbers_are_added_to(void **state)
{
    (void)state;
    const struct lt_value one = int_of(1), ten = int_of(10), huge = int_of(INT64_MAX);
    const struct lt_value half = {.type = LT_VALUE_NUMBER, .number = 0.5};
    struct lt_value_op op = op_of("k", 1);
    struct lt_value sum;
    assert_int_equal(lt_value_incr(&table, &op, &one, &ten, 100, &sum), LT_VALUE_DONE);
    assert_int_equal(sum.integer, 11);
    assert_int_equal(lt_value_incr(&table, &op, &one, &ten, 900, &sum), LT_VALUE_DONE);
    assert_int_equal(sum.integer, 12);
    assert_int_equal(got("k", 100).type, LT_VALUE_NONE); /* the first one set its end */
    assert_int_equal(lt_value_incr(&table, &op, &half, &ten, 100, &sum), LT_VALUE_DONE);
    assert_true(sum.type == LT_VALUE_NUMBER && sum.number == 10.5);
    sets("k", huge, 1, LT_VALUE_FOREVER);
    assert_int_equal(lt_value_incr(&table, &op, &one, &ten, 100, &sum), LT_VALUE_DONE);
    assert_true(sum.integer == INT64_MIN);
    sets("k", text_of("7"), 1, LT_VALUE_FOREVER);
    assert_int_equal(lt_value_incr(&table, &op, &one, &ten, 100, &sum), LT_VALUE_KEPT);
}

static void test_scopes_are_apart(void **state)
{
    (void)state;
    struct lt_value_key a = lt_value_key(&table, 1, LT_STR("k")),
                        b = lt_value_key(&table, 2, LT_STR("k"));
    assert_true(a.hash != b.hash && a.check != b.check);
}

/* Where there is no room, those go that were not used for longest. */
static void test_a_full_table_forgets_what_was_unused_for_longest(void **state)
{
    (void)state;
    char key[32];
    unsigned evicted = 0, left = 0;
    sets("used", int_of(42), 1, LT_VALUE_FOREVER);
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        evicted += sets(key, int_of(i), 1, LT_VALUE_FOREVER);
        assert_int_equal(got("used", 1).integer, 42);
    }
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        struct lt_value v = got(key, 1);
        assert_true(v.type == LT_VALUE_NONE || v.integer == i);
        left += v.type != LT_VALUE_NONE;
    }
    assert_int_equal(evicted + left, 40000);
    assert_in_range(left, 6000, LT_VALUE_TABLE_MIN / 128);
    assert_int_equal(got("k39999", 1).integer, 39999);
    /* Those whose time was over are none that had to go. */
    lt_value_table_clear(&table);
    evicted = 0;
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        evicted += sets(key, int_of(i), i + 1, i + 2);
    }
    assert_int_equal(evicted, 0);
}

/* Large and small ones in turn: blocks are given back and taken again, none is lost. */
static void test_blocks_are_used_again(void **state)
{
    (void)state;
    static char text[LT_VALUE_MAX];
    char key[32];
    memset(text, 'x', sizeof(text));
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "k%u", i % 300);
        struct lt_value v = {.type = LT_VALUE_TEXT,
                             .text = lt_str(text, (size_t)i * 7919 % (LT_VALUE_MAX + 1))};
        sets(key, v, 1, LT_VALUE_FOREVER);
        struct lt_value back = got(key, 1);
        assert_int_equal(back.text.len, v.text.len);
        if (i % 3 == 0) {
            struct lt_value_op op = op_of(key, 1);
            assert_true(lt_value_delete(&table, &op));
        }
    }
}

static void test_without_memory_there_is_no_table(void **state)
{
    (void)state;
    for (unsigned i = 1; i < 6; i++) {
        struct lt_value_table t;
        lt_mem_fail_at(i);
        bool ok = lt_value_table_init(&t, LT_VALUE_TABLE_MIN);
        lt_mem_fail_at(0);
        assert_false(ok);
        lt_value_table_fini(&t);
    }
}

#define THREADS 4
#define ROUNDS 20000u

static _Atomic unsigned added;

/* Each text consists of one letter: a torn one would show. */
static void *hammer(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    const struct lt_value by = int_of(1), zero = int_of(0), none = {.type = LT_VALUE_NONE};
    char *mine = lt_malloc(LT_VALUE_MAX), *text = lt_malloc(LT_VALUE_MAX);
    struct lt_value v, sum;
    bool ok = mine != NULL && text != NULL;
    memset(text, 'a' + (int)number, LT_VALUE_MAX);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct lt_value_op op = op_of("count", 1);
        ok &= lt_value_incr(&table, &op, &by, &zero, LT_VALUE_FOREVER, &sum) == LT_VALUE_DONE;
        op = op_of("text", 1);
        const struct lt_value t = {.type = LT_VALUE_TEXT, .text = lt_str(text, i % 3000)};
        ok &= lt_value_set(&table, &op, &t, LT_VALUE_FOREVER) == LT_VALUE_DONE;
        lt_value_get(&table, &op, mine, &v, NULL);
        for (size_t j = 1; v.type == LT_VALUE_TEXT && j < v.text.len; j++) {
            ok &= v.text.p[j] == v.text.p[0];
        }
        char key[16];
        snprintf(key, sizeof(key), "once%u", i % 50000);
        op = op_of(key, 1);
        if (lt_value_cas(&table, &op, &none, &by, LT_VALUE_FOREVER) == LT_VALUE_DONE) {
            atomic_fetch_add(&added, 1);
        }
        if (i % 7 == 0) {
            op = op_of("gone", 1);
            (void)lt_value_delete(&table, &op);
        }
    }
    if (!ok) {
        abort();
    }
    lt_free(mine);
    lt_free(text);
    return NULL;
}

static void test_threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    lt_value_table_fini(&table);
    assert_true(lt_value_table_init(&table, 8 * LT_VALUE_TABLE_MIN)); /* room for all */
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(got("count", 1).integer, THREADS * ROUNDS);
    assert_int_equal(atomic_load(&added), ROUNDS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_values_of_all_types_come_back),
        TEST(test_texts_of_all_lengths_come_back),
        TEST(test_values_end_in_time),
        TEST(test_a_condition_decides),
        TEST(test_numbers_are_added_to),
        TEST(test_scopes_are_apart),
        TEST(test_a_full_table_forgets_what_was_unused_for_longest),
        TEST(test_blocks_are_used_again),
        TEST(test_without_memory_there_is_no_table),
        TEST(test_threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
