/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/arena.h"
#include "base/mem.h"

static void uses_the_first_block_before_the_heap(void **state)
{
    (void)state;
    _Alignas(16) char first[256];
    struct lt_arena a;
    lt_arena_init(&a, first, sizeof(first), 1 << 20);
    char *p = lt_arena_alloc(&a, 100);
    assert_true(p >= first && p < first + sizeof(first));
    assert_int_equal(a.size, 0);
    assert_non_null(lt_arena_alloc(&a, 300));
    assert_true(a.size > 0);
    lt_arena_fini(&a);
}

static void aligns_objects_but_not_text(void **state)
{
    (void)state;
    struct lt_arena a;
    lt_arena_init(&a, NULL, 0, 1 << 20);
    assert_non_null(lt_arena_chars(&a, 3));
    assert_int_equal((uintptr_t)lt_arena_alloc(&a, 1) % 16, 0);
    char *one = lt_arena_chars(&a, 1);
    assert_ptr_equal(lt_arena_chars(&a, 1), one + 1);
    lt_arena_fini(&a);
}

static void refuses_what_exceeds_its_limit(void **state)
{
    (void)state;
    struct lt_arena a;
    lt_arena_init(&a, NULL, 0, 8192);
    assert_null(lt_arena_alloc(&a, 10000));
    assert_null(lt_arena_alloc(&a, SIZE_MAX - 8));
    assert_null(lt_arena_zalloc(&a, SIZE_MAX / 2, 3));
    assert_non_null(lt_arena_alloc(&a, 5000));
    assert_null(lt_arena_alloc(&a, 5000));
    lt_arena_fini(&a);
}

static void note(void *arg)
{
    char **at = arg;
    **at = '!';
    (*at)++;
}

struct labelled {
    char **out;
    char label;
};

static void write_label(void *arg)
{
    struct labelled *l = arg;
    *(*l->out)++ = l->label;
}

static void runs_cleanups_newest_first(void **state)
{
    (void)state;
    char order[4] = {0};
    char *at = order;
    struct labelled one = {&at, '1'}, two = {&at, '2'};
    struct lt_arena a;
    lt_arena_init(&a, NULL, 0, 1 << 20);
    assert_true(lt_arena_on_fini(&a, write_label, &one));
    assert_true(lt_arena_on_fini(&a, write_label, &two));
    assert_true(lt_arena_on_fini(&a, note, &at));
    lt_arena_fini(&a);
    assert_string_equal(order, "!21");
    lt_arena_fini(&a);
}

static void copies_and_formats_text(void **state)
{
    (void)state;
    struct lt_arena a;
    struct lt_str s;
    lt_arena_init(&a, NULL, 0, 1 << 20);
    assert_true(lt_arena_dup(&a, LT_STR("abc"), &s));
    assert_string_equal(s.p, "abc");
    assert_true(lt_arena_dup(&a, LT_STR_NONE, &s));
    assert_string_equal(s.p, "");
    assert_true(lt_arena_printf(&a, &s, "%s-%d", "x", 7));
    assert_str(s, "x-7");
    lt_arena_fini(&a);
}

static void fails_cleanly_without_memory(void **state)
{
    (void)state;
    struct lt_arena a;
    struct lt_str s;
    lt_arena_init(&a, NULL, 0, 1 << 20);
    lt_mem_fail_at(1);
    assert_null(lt_arena_alloc(&a, 1));
    assert_null(lt_arena_chars(&a, 1));
    assert_false(lt_arena_dup(&a, LT_STR("abc"), &s));
    assert_false(lt_arena_printf(&a, &s, "%d", 1));
    assert_false(lt_arena_on_fini(&a, note, NULL));
    lt_mem_fail_at(0);
    lt_arena_fini(&a);
}

static void arenas_share_a_total(void **state)
{
    (void)state;
    struct lt_arena_total total = {.max = 10000};
    struct lt_arena a, b;
    lt_arena_init(&a, NULL, 0, 1 << 20);
    lt_arena_init(&b, NULL, 0, 1 << 20);
    a.total = b.total = &total;
    assert_non_null(lt_arena_alloc(&a, 6000));
    assert_non_null(lt_arena_alloc(&b, 100)); /* less than a usual block is left */
    assert_null(lt_arena_alloc(&b, 5000));
    assert_true(total.used > 6100 && total.used <= total.max);
    lt_arena_fini(&a);
    assert_non_null(lt_arena_alloc(&b, 5000));
    total.max = 100; /* a reload */
    assert_null(lt_arena_alloc(&b, 5000));
    lt_arena_fini(&b);
    assert_int_equal(total.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uses_the_first_block_before_the_heap),
        cmocka_unit_test(aligns_objects_but_not_text),
        cmocka_unit_test(refuses_what_exceeds_its_limit),
        cmocka_unit_test(runs_cleanups_newest_first),
        cmocka_unit_test(copies_and_formats_text),
        cmocka_unit_test(fails_cleanly_without_memory),
        cmocka_unit_test(arenas_share_a_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
