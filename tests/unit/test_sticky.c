/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "upstream/sticky.h"

static const struct lt_hash_seed seed = {1, 2};

struct fixture {
    struct lt_arena arena;
    struct lt_sticky_options options;
    struct lt_str names[3];
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    lt_arena_init(&f.arena, NULL, 0, (size_t)1 << 20);
    f.names[0] = LT_STR("127.0.0.1:1");
    f.names[1] = LT_STR("127.0.0.1:2");
    f.names[2] = LT_STR("unix:/run/3");
    f.options.name = LT_STR("where");
    f.options.path = LT_STR("/app");
    f.options.same_site = LT_STR("Strict");
    *state = &f;
    return (int)lt_sticky_set_key(&f.options, LT_STR("0123456789abcdef"), &seed);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lt_arena_fini(&f->arena);
    return 0;
}

static const struct lt_sticky_table *table_of(struct fixture *f, struct lt_str upstream)
{
    const struct lt_sticky_table *table = NULL;
    assert_int_equal(lt_sticky_table_new(&f->arena, &f->options, upstream, f->names, 3, &table),
                     LT_OK);
    return table;
}

static void a_token_leads_to_its_server(void **state)
{
    struct fixture *f = *state;
    const struct lt_sticky_table *table = table_of(f, LT_STR("app"));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(lt_sticky_find(table, lt_sticky_token(table, i)), i);
    }
}

static void what_nobody_signed_leads_nowhere(void **state)
{
    struct fixture *f = *state;
    const struct lt_sticky_table *table = table_of(f, LT_STR("app"));
    char forged[LT_STICKY_TOKEN_LEN + 1];
    memcpy(forged, lt_sticky_token(table, 0).p, LT_STICKY_TOKEN_LEN);
    forged[LT_STICKY_TOKEN_LEN] = '0';
    assert_int_equal(lt_sticky_find(table, lt_str(forged, LT_STICKY_TOKEN_LEN + 1)), -1);
    assert_int_equal(lt_sticky_find(table, lt_str(forged, LT_STICKY_TOKEN_LEN - 1)), -1);
    for (unsigned i = 0; i < LT_STICKY_TOKEN_LEN; i++) {
        char kept = forged[i];
        forged[i] = kept == 'x' ? 'y' : 'x';
        assert_int_equal(lt_sticky_find(table, lt_str(forged, LT_STICKY_TOKEN_LEN)), -1);
        forged[i] = kept;
    }
    assert_int_equal(lt_sticky_find(table, LT_STR_NONE), -1);
    assert_int_equal(lt_sticky_find(table, LT_STR("\xff\xff\xff\xff\xff\xff\xff\xff"
                                                  "\xff\xff\xff\xff\xff\xff\xff\xff"
                                                  "\xff\xff\xff\xff\xff\xff\xff\xff"
                                                  "\xff\xff\xff\xff\xff\xff\xff\xff")),
                     -1);
}

static void tokens_are_of_one_upstream_and_one_key(void **state)
{
    struct fixture *f = *state;
    const struct lt_sticky_table *table = table_of(f, LT_STR("app"));
    const struct lt_sticky_table *other = table_of(f, LT_STR("next"));
    assert_int_equal(lt_sticky_find(other, lt_sticky_token(table, 0)), -1);
    assert_int_equal(lt_sticky_set_key(&f->options, LT_STR("another key of 16+"), &seed), LT_OK);
    other = table_of(f, LT_STR("app"));
    assert_int_equal(lt_sticky_find(other, lt_sticky_token(table, 0)), -1);
}

static void without_a_secret_the_seed_is_the_key(void **state)
{
    struct fixture *f = *state;
    const struct lt_hash_seed another = {1, 3};
    assert_int_equal(lt_sticky_set_key(&f->options, LT_STR_NONE, &seed), LT_OK);
    const struct lt_sticky_table *table = table_of(f, LT_STR("app"));
    assert_int_equal(lt_sticky_set_key(&f->options, LT_STR_NONE, &seed), LT_OK);
    assert_int_equal(lt_sticky_find(table_of(f, LT_STR("app")), lt_sticky_token(table, 2)), 2);
    assert_int_equal(lt_sticky_set_key(&f->options, LT_STR_NONE, &another), LT_OK);
    assert_int_equal(lt_sticky_find(table_of(f, LT_STR("app")), lt_sticky_token(table, 2)), -1);
}

static void the_cookie_says_what_the_options_say(void **state)
{
    struct fixture *f = *state;
    struct lt_str value;
    assert_true(lt_sticky_cookie(&f->arena, &f->options, LT_STR("abc"), false, &value));
    assert_str(value, "where=abc; Path=/app; HttpOnly; SameSite=Strict");
    f->options.ttl_s = 3600;
    assert_true(lt_sticky_cookie(&f->arena, &f->options, LT_STR("abc"), true, &value));
    assert_str(value, "where=abc; Path=/app; HttpOnly; SameSite=Strict; Secure; Max-Age=3600");
}

static void without_memory_there_is_none(void **state)
{
    struct fixture *f = *state;
    const struct lt_sticky_table *table = NULL;
    struct lt_str value;
    f->arena.max = 16;
    assert_int_equal(
        lt_sticky_table_new(&f->arena, &f->options, LT_STR("app"), f->names, 3, &table),
        LT_ERR_NOMEM);
    assert_false(lt_sticky_cookie(&f->arena, &f->options, LT_STR("abc"), true, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_leads_to_its_server, setup, teardown),
        cmocka_unit_test_setup_teardown(what_nobody_signed_leads_nowhere, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_are_of_one_upstream_and_one_key, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_secret_the_seed_is_the_key, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cookie_says_what_the_options_say, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_there_is_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
