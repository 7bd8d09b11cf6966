/* SPDX-License-Identifier: Apache-2.0 */
/* Header lists and ids. */
#include "http/headers.h"

#include <stdio.h>

#include "base/mem.h"
#include "tests/unit/unit.h"

struct list {
    struct lt_arena arena;
    struct lt_headers h;
};

static void list_init(struct list *l, unsigned max)
{
    lt_arena_init(&l->arena, NULL, 0, 1 << 20);
    lt_headers_init(&l->h, &l->arena, max);
}

static void add(struct list *l, const char *name, const char *value)
{
    assert_int_equal(lt_headers_add(&l->h, lt_str_c(name), lt_str_c(value)), LT_OK);
}

/* "name:value,name:value" in order. */
static void assert_list(const struct list *l, const char *want)
{
    char text[512];
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < l->h.n; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s:%.*s", i > 0 ? "," : "",
                              LT_STR_ARG(l->h.v[i].name), LT_STR_ARG(l->h.v[i].value));
    }
    assert_string_equal(text, want);
}

static void test_every_known_name_has_its_id_in_any_case(void **state)
{
    (void)state;
    for (unsigned id = LT_HEADER_OTHER + 1; id < LT_HEADER_COUNT; id++) {
        struct lt_str name = lt_header_name((enum lt_header_id)id);
        char upper[64];
        assert_in_range(name.len, 1, sizeof(upper) - 2);
        assert_int_equal(lt_header_find_id(name), id);
        for (size_t i = 0; i < name.len; i++) {
            char c = name.p[i];
            upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
        }
        assert_int_equal(lt_header_find_id(lt_str(upper, name.len)), id);
        upper[name.len] = 'x';
        assert_int_equal(lt_header_find_id(lt_str(upper, name.len + 1)), LT_HEADER_OTHER);
    }
}

static void test_a_name_that_differs_in_one_byte_is_another_one(void **state)
{
    (void)state;
    for (unsigned id = LT_HEADER_OTHER + 1; id < LT_HEADER_COUNT; id++) {
        struct lt_str name = lt_header_name((enum lt_header_id)id);
        for (size_t i = 0; i < name.len; i++) {
            for (unsigned c = 0; c < 256; c++) {
                char text[64];
                memcpy(text, name.p, name.len);
                text[i] = (char)c;
                enum lt_header_id found = lt_header_find_id(lt_str(text, name.len));
                bool same = lt_str_eq_nocase(lt_str(text, name.len), name);
                assert_true(same ? found == id : found != id);
            }
        }
    }
    assert_int_equal(lt_header_find_id(LT_STR("")), LT_HEADER_OTHER);
    assert_int_equal(lt_header_find_id(LT_STR("x")), LT_HEADER_OTHER);
}

static void test_flags(void **state)
{
    (void)state;
    assert_int_equal(lt_header_flags(LT_HEADER_OTHER), 0);
    assert_int_equal(lt_header_flags(LT_HEADER_CONNECTION), LT_HEADER_F_HOP);
    assert_int_equal(lt_header_flags(LT_HEADER_TRANSFER_ENCODING),
                     LT_HEADER_F_HOP | LT_HEADER_F_KEEP);
    assert_int_equal(lt_header_flags(LT_HEADER_X_REAL_IP), LT_HEADER_F_OURS | LT_HEADER_F_KEEP);
}

static void test_set_replaces_all_and_keeps_the_place(void **state)
{
    (void)state;
    struct list l;
    list_init(&l, 10);
    add(&l, "A", "1");
    add(&l, "Cookie", "x");
    add(&l, "b", "2");
    add(&l, "COOKIE", "y");
    assert_int_equal(lt_headers_set(&l.h, LT_STR("cookie"), LT_STR("z")), LT_OK);
    assert_list(&l, "A:1,cookie:z,b:2");
    assert_int_equal(lt_headers_set(&l.h, LT_STR("B"), LT_STR("3")), LT_OK);
    assert_int_equal(lt_headers_set_id(&l.h, LT_HEADER_HOST, LT_STR("h")), LT_OK);
    assert_list(&l, "A:1,cookie:z,B:3,host:h");
    lt_arena_fini(&l.arena);
}

static void test_get_and_remove(void **state)
{
    (void)state;
    struct list l;
    list_init(&l, 10);
    add(&l, "X-Thing", "1");
    add(&l, "Host", "a");
    add(&l, "x-thing", "2");
    assert_true(lt_str_eq_c(lt_headers_get_name(&l.h, LT_STR("X-THING"))->value, "1"));
    assert_true(lt_str_eq_c(lt_headers_value(&l.h, LT_HEADER_HOST), "a"));
    assert_null(lt_headers_get(&l.h, LT_HEADER_VIA));
    assert_null(lt_headers_get(&l.h, LT_HEADER_OTHER));
    assert_int_equal(lt_headers_value(&l.h, LT_HEADER_VIA).len, 0);
    assert_int_equal(lt_headers_remove(&l.h, LT_HEADER_OTHER), 0);
    assert_int_equal(lt_headers_remove_name(&l.h, LT_STR("x-THING")), 2);
    assert_int_equal(lt_headers_remove(&l.h, LT_HEADER_HOST), 1);
    assert_list(&l, "");
    lt_arena_fini(&l.arena);
}

static void test_limit_and_memory(void **state)
{
    (void)state;
    struct list l;
    list_init(&l, 70);
    for (unsigned i = 0; i < 70; i++) {
        add(&l, "x", "y"); /* grows twice */
    }
    assert_int_equal(lt_headers_add_id(&l.h, LT_HEADER_VIA, LT_STR("z")), LT_ERR_LIMIT);
    assert_int_equal(l.h.n, 70);
    lt_arena_fini(&l.arena);

    list_init(&l, 70);
    lt_mem_fail_at(1);
    assert_int_equal(lt_headers_add(&l.h, LT_STR("a"), LT_STR("b")), LT_ERR_NOMEM);
    assert_int_equal(lt_headers_set(&l.h, LT_STR("a"), LT_STR("b")), LT_ERR_NOMEM);
    lt_mem_fail_at(0);
    assert_int_equal(l.h.n, 0);
    add(&l, "a", "b");
    lt_arena_fini(&l.arena);
}

static void test_several_fields_as_one(void **state)
{
    (void)state;
    struct list l;
    struct lt_str all;
    list_init(&l, 10);
    assert_int_equal(lt_headers_joined(&l.h, LT_STR("x-a"), LT_STR(", "), &all), LT_ERR_NOTFOUND);
    assert_int_equal(lt_headers_fold(&l.h, LT_HEADER_COOKIE, LT_STR("; ")), LT_OK);
    add(&l, "X-A", "1");
    lt_mem_fail_at(1);
    assert_int_equal(lt_headers_joined(&l.h, LT_STR("x-a"), LT_STR(", "), &all), LT_OK);
    lt_mem_fail_at(0);
    assert_str(all, "1");
    add(&l, "Cookie", "a=1");
    add(&l, "x-a", "");
    add(&l, "X-B", "b");
    add(&l, "cookie", "b=2");
    add(&l, "x-A", "3");
    assert_int_equal(lt_headers_joined(&l.h, LT_STR("x-a"), LT_STR(", "), &all), LT_OK);
    assert_str(all, "1, , 3");
    assert_int_equal(l.h.n, 6);
    assert_int_equal(lt_headers_fold(&l.h, LT_HEADER_COOKIE, LT_STR("; ")), LT_OK);
    assert_int_equal(l.h.n, 5);
    assert_str(lt_headers_value(&l.h, LT_HEADER_COOKIE), "a=1; b=2");
    assert_str(l.h.v[4].value, "3");
    struct lt_arena none;
    lt_arena_init(&none, NULL, 0, 0);
    l.h.arena = &none;
    assert_int_equal(lt_headers_joined(&l.h, LT_STR("x-a"), LT_STR(", "), &all), LT_ERR_NOMEM);
    lt_arena_fini(&l.arena);
}

static void test_tokens_of_a_list(void **state)
{
    (void)state;
    struct list l;
    list_init(&l, 10);
    add(&l, "Connection", "keep-alive , X-A,,");
    add(&l, "Connection", "Close");
    add(&l, "Via", "upgrade");
    assert_true(lt_headers_has_token(&l.h, LT_HEADER_CONNECTION, LT_STR("x-a")));
    assert_true(lt_headers_has_token(&l.h, LT_HEADER_CONNECTION, LT_STR("close")));
    assert_false(lt_headers_has_token(&l.h, LT_HEADER_CONNECTION, LT_STR("upgrade")));
    assert_false(lt_headers_has_token(&l.h, LT_HEADER_CONNECTION, LT_STR("x-")));
    lt_arena_fini(&l.arena);
}

static void test_every_byte_in_names_and_values(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        bool name = c > 0x20 && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", (int)c) == NULL;
        bool value = (c >= 0x20 && c != 0x7f) || c == '\t';
        /* Each place: in the part read as words and in the rest. */
        for (size_t at = 0; at < 19; at++) {
            char text[19];
            memset(text, 'a', sizeof(text));
            text[at] = (char)c;
            assert_int_equal(lt_header_name_ok(lt_str(text, sizeof(text))), name);
            assert_int_equal(lt_header_value_ok(lt_str(text, sizeof(text))), value);
        }
    }
    assert_false(lt_header_name_ok(LT_STR("")));
    assert_true(lt_header_value_ok(LT_STR("")));
    assert_true(lt_header_value_ok(LT_STR("\t\xc3\xa9\t caf\xff 12345678\t")));
    assert_false(lt_header_value_ok(LT_STR("\t\t\t\t\t\t\t\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_known_name_has_its_id_in_any_case),
        cmocka_unit_test(test_a_name_that_differs_in_one_byte_is_another_one),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_set_replaces_all_and_keeps_the_place),
        cmocka_unit_test(test_get_and_remove),
        cmocka_unit_test(test_limit_and_memory),
        cmocka_unit_test(test_several_fields_as_one),
        cmocka_unit_test(test_tokens_of_a_list),
        cmocka_unit_test(test_every_byte_in_names_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
