/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of names as a worker knows them: who is asked, when, and for how long it holds. */
#include "net/addresses.h"

#include "base/mem.h"
#include "net_env.h"

#include <stdio.h>

static struct lt_loop *loop;
static struct lt_addresses *addresses;
static struct lt_address_question *asked[LT_ADDRESSES_NAMES_MAX + 10];
static unsigned n_asked;

static void on_ask(struct lt_address_question *q)
{
    assert_ptr_equal(q->asker, &n_asked);
    asked[n_asked++] = q;
}

struct told {
    unsigned calls, n;
    const char *why;
    struct lt_addr first;
};

static void on_addresses(void *owner, const struct lt_addr *v, unsigned n, const char *why)
{
    struct told *t = owner;
    t->calls++;
    t->n = n;
    t->why = why;
    if (n > 0) {
        t->first = v[0];
    }
}

/* Answers the question asked last; n addresses, or why. */
static void answer(unsigned n, const char *why, uint64_t ttl_ms)
{
    struct lt_address_question *q = asked[--n_asked];
    for (q->n = 0; q->n < n; q->n++) {
        assert_int_equal(lt_addr_parse_ip(LT_STR("192.0.2.7"), &q->v[q->n]), LT_OK);
    }
    q->why = why;
    q->ttl_ms = ttl_ms;
    lt_addresses_answer(q);
}

static int setup(void **state)
{
    (void)state;
    n_asked = 0;
    loop = lt_loop_new(BLOCKS_MAX);
    addresses = lt_addresses_new(loop, on_ask, &n_asked);
    return loop == NULL || addresses == NULL;
}

static int teardown(void **state)
{
    (void)state;
    while (n_asked > 0) {
        lt_free(asked[--n_asked]); /* as main does at the end */
    }
    lt_addresses_free(addresses);
    lt_loop_free(loop);
    return 0;
}

static void test_one_question_for_all_who_wait(void **state)
{
    (void)state;
    struct lt_address_wait waits[4] = {{.owner = NULL}};
    struct told told[4] = {{.calls = 0}};
    for (unsigned i = 0; i < 3; i++) {
        lt_addresses_find(addresses, &waits[i], LT_STR("a.test"), on_addresses, &told[i]);
    }
    lt_addresses_find(addresses, &waits[3], LT_STR("b.test"), on_addresses, &told[3]);
    assert_int_equal(n_asked, 2);
    assert_string_equal(asked[0]->name, "a.test");
    lt_address_wait_cancel(&waits[1]);
    lt_address_wait_cancel(&waits[1]);
    answer(0, "no such name", 10);
    assert_int_equal(told[3].calls, 1);
    assert_int_equal(told[3].n, 0);
    assert_string_equal(told[3].why, "no such name");
    answer(2, NULL, 1000);
    assert_int_equal(told[0].calls, 1);
    assert_int_equal(told[1].calls, 0);
    assert_int_equal(told[2].n, 2);
    assert_int_equal(told[2].first.sa.sa_family, AF_INET);
}

static void test_an_answer_holds_as_long_as_it_says(void **state)
{
    (void)state;
    struct lt_address_wait wait = {.owner = NULL};
    struct told told = {.calls = 0};
    lt_addresses_find(addresses, &wait, LT_STR("a.test"), on_addresses, &told);
    answer(1, NULL, 1000);
    loop->now_us += 999000;
    lt_addresses_find(addresses, &wait, LT_STR("a.test"), on_addresses, &told);
    assert_int_equal(told.calls, 2);
    assert_int_equal(n_asked, 0);
    loop->now_us += 2000;
    lt_addresses_find(addresses, &wait, LT_STR("a.test"), on_addresses, &told);
    assert_int_equal(told.calls, 2);
    assert_int_equal(n_asked, 1);
    answer(0, "gone", 50); /* what fails is not asked for again at once */
    lt_addresses_find(addresses, &wait, LT_STR("a.test"), on_addresses, &told);
    assert_int_equal(told.calls, 4);
    assert_string_equal(told.why, "gone");
    assert_int_equal(n_asked, 0);
}

/* Who is told may ask for the same name again, and cancel others. */
static void again(void *owner, const struct lt_addr *v, unsigned n, const char *why)
{
    static struct lt_address_wait wait;
    struct told *t = owner;
    on_addresses(owner, v, n, why);
    if (t->calls == 1) {
        loop->now_us += 10000000;
        lt_addresses_find(addresses, &wait, LT_STR("a.test"), on_addresses, owner);
    }
}

static void test_who_is_told_may_ask_again(void **state)
{
    (void)state;
    struct lt_address_wait waits[2] = {{.owner = NULL}};
    struct told told[2] = {{.calls = 0}};
    lt_addresses_find(addresses, &waits[0], LT_STR("a.test"), again, &told[0]);
    lt_addresses_find(addresses, &waits[1], LT_STR("a.test"), on_addresses, &told[1]);
    answer(1, NULL, 100);
    assert_int_equal(told[0].calls, 1);
    assert_int_equal(told[1].calls, 1);
    assert_int_equal(n_asked, 1);
    answer(1, NULL, 100);
    assert_int_equal(told[0].calls, 2);
}

static void test_there_is_room_for_so_many_names(void **state)
{
    (void)state;
    static struct lt_address_wait waits[LT_ADDRESSES_NAMES_MAX + 2];
    struct told told = {.calls = 0};
    char name[32];
    for (unsigned i = 0; i < LT_ADDRESSES_NAMES_MAX; i++) {
        snprintf(name, sizeof(name), "n%u.test", i);
        lt_addresses_find(addresses, &waits[i], lt_str_c(name), on_addresses, &told);
    }
    lt_addresses_find(addresses, &waits[0], LT_STR("more.test"), on_addresses, &told);
    assert_int_equal(told.calls, 1); /* all are being asked for */
    assert_string_equal(told.why, "too many look-ups wait");
    answer(1, NULL, 100000);
    lt_addresses_find(addresses, &waits[0], LT_STR("more.test"), on_addresses, &told);
    assert_int_equal(n_asked, LT_ADDRESSES_NAMES_MAX); /* it took the place of the known one */
}

static void test_no_memory_is_an_answer_too(void **state)
{
    (void)state;
    struct lt_address_wait wait = {.owner = NULL};
    for (unsigned n = 1; n < 10 && n_asked == 0; n++) {
        struct told told = {.calls = 0};
        lt_mem_fail_at(n);
        lt_addresses_find(addresses, &wait, LT_STR("a.test"), on_addresses, &told);
        lt_mem_fail_at(0);
        assert_int_equal(told.calls, n_asked == 0);
    }
    assert_int_equal(n_asked, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_question_for_all_who_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_answer_holds_as_long_as_it_says, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_told_may_ask_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_there_is_room_for_so_many_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory_is_an_answer_too, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
