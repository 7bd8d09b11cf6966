/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>

#include "base/map.h"
#include "base/mem.h"

static char keys[5000][16];

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(keys[i], sizeof(keys[i]), "key-%d", i);
    }
    return 0;
}

static void finds_what_was_set_and_keeps_the_order(void **state)
{
    (void)state;
    struct lt_map m;
    lt_map_init(&m, lt_hash_seed_random(), 10000);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(lt_map_set(&m, lt_str_c(keys[i]), keys[i]), LT_OK);
    }
    for (int i = 0; i < 5000; i += 2) {
        assert_ptr_equal(lt_map_remove(&m, lt_str_c(keys[i])), keys[i]);
    }
    assert_null(lt_map_remove(&m, LT_STR("key-0")));
    assert_null(lt_map_get(&m, LT_STR("key-0")));
    size_t at = 0;
    int i = 1;
    for (const struct lt_map_entry *e; (e = lt_map_next(&m, &at)) != NULL; i += 2) {
        assert_ptr_equal(e->value, keys[i]);
        assert_ptr_equal(lt_map_get(&m, e->key), keys[i]);
    }
    assert_int_equal(i, 5001);
    lt_map_fini(&m);
}

static void survives_setting_and_removing_for_ever(void **state)
{
    (void)state;
    struct lt_map m;
    lt_map_init(&m, lt_hash_seed_random(), 4);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(lt_map_set(&m, lt_str_c(keys[i]), keys[i]), LT_OK);
        assert_ptr_equal(lt_map_remove(&m, lt_str_c(keys[i])), keys[i]);
    }
    assert_true(m.capacity <= 16);
    lt_map_fini(&m);
}

static void replaces_and_obeys_its_limit(void **state)
{
    (void)state;
    struct lt_map m;
    lt_map_init(&m, (struct lt_hash_seed){1, 2}, 1);
    assert_int_equal(lt_map_set(&m, LT_STR("a"), keys[0]), LT_OK);
    assert_int_equal(lt_map_set(&m, LT_STR("a"), keys[1]), LT_OK);
    assert_ptr_equal(lt_map_get(&m, LT_STR("a")), keys[1]);
    assert_int_equal(lt_map_set(&m, LT_STR("b"), keys[0]), LT_ERR_LIMIT);
    lt_map_fini(&m);
}

static void keeps_what_it_has_without_memory(void **state)
{
    (void)state;
    struct lt_map m;
    lt_map_init(&m, (struct lt_hash_seed){1, 2}, 100);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(lt_map_set(&m, lt_str_c(keys[i]), keys[i]), LT_OK);
    }
    for (unsigned n = 1; n <= 2; n++) {
        lt_mem_fail_at(n);
        assert_int_equal(lt_map_set(&m, LT_STR("more"), keys[9]), LT_ERR_NOMEM);
        lt_mem_fail_at(0);
    }
    assert_ptr_equal(lt_map_get(&m, LT_STR("key-7")), keys[7]);
    lt_map_fini(&m);
}

static void hashes_depend_on_the_seed_and_every_byte(void **state)
{
    (void)state;
    struct lt_hash_seed a = {1, 2}, b = {1, 3};
    assert_true(lt_hash(&a, LT_STR("x")) != lt_hash(&b, LT_STR("x")));
    char text[40] = {0};
    uint64_t whole = lt_hash(&a, lt_str(text, sizeof(text)));
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = 1;
        assert_true(lt_hash(&a, lt_str(text, sizeof(text))) != whole);
        text[i] = 0;
    }
    assert_true(lt_hash(&a, lt_str(text, 39)) != whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_set_and_keeps_the_order),
        cmocka_unit_test(survives_setting_and_removing_for_ever),
        cmocka_unit_test(replaces_and_obeys_its_limit),
        cmocka_unit_test(keeps_what_it_has_without_memory),
        cmocka_unit_test(hashes_depend_on_the_seed_and_every_byte),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
