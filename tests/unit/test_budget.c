/* SPDX-License-Identifier: Apache-2.0 */
/* The budget of further tries. */
#include "unit.h"

#include "base/mem.h"
#include "upstream/pool.h"

#define S UINT64_C(1000000)

static unsigned take(struct lt_retry_budget *b, const struct lt_retry_options *o, uint64_t now_us)
{
    unsigned n = 0;
    while (n < 1000 && lt_retry_budget_take(b, o, now_us)) {
        n++;
    }
    return n;
}

static void requests(struct lt_retry_budget *b, unsigned n, uint64_t now_us)
{
    for (unsigned i = 0; i < n; i++) {
        lt_retry_budget_request(b, now_us);
    }
}

static void it_is_a_share_of_the_requests(void **state)
{
    const struct lt_retry_options o = {.budget = 2000};
    struct lt_retry_budget b = {0};
    (void)state;
    assert_int_equal(take(&b, &o, 100 * S), 0);
    requests(&b, 104, 100 * S);
    assert_int_equal(take(&b, &o, 101 * S), 20);
    requests(&b, 1, 102 * S);
    assert_int_equal(take(&b, &o, 102 * S), 1);
}

static void few_requests_have_a_floor(void **state)
{
    const struct lt_retry_options o = {.budget = 2000, .budget_min = 3};
    struct lt_retry_budget b = {0};
    (void)state;
    requests(&b, 1, 100 * S);
    assert_int_equal(take(&b, &o, 100 * S), 3);
    requests(&b, 99, 100 * S);
    assert_int_equal(take(&b, &o, 100 * S), 17);
}

static void the_past_is_forgotten(void **state)
{
    const struct lt_retry_options o = {.budget = 10000, .budget_min = 0};
    struct lt_retry_budget b = {0};
    (void)state;
    requests(&b, 10, 100 * S);
    assert_int_equal(take(&b, &o, 100 * S), 10);
    assert_int_equal(take(&b, &o, 106 * S), 0); /* both count still */
    requests(&b, 4, 106 * S);
    assert_int_equal(take(&b, &o, 106 * S), 4);
    assert_int_equal(take(&b, &o, 111 * S), 0);
    requests(&b, 2, 111 * S);
    assert_int_equal(take(&b, &o, 111 * S), 2);
    requests(&b, 2, 1000 * S); /* long after */
    assert_int_equal(take(&b, &o, 1000 * S), 2);
}

static void each_upstream_has_its_own(void **state)
{
    struct lt_upstream_state states[] = {{.id = 0}, {.id = 70}, {.id = 3}};
    struct lt_upstream u[3];
    struct lt_pools pools = {0};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        u[i] = (struct lt_upstream){.state = &states[i]};
        requests(lt_retry_budget_of(&pools, &u[i]), i + 1, 100 * S);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(lt_retry_budget_of(&pools, &u[i])->requests[0], i + 1);
    }
    lt_free(pools.budgets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_share_of_the_requests),
        cmocka_unit_test(few_requests_have_a_floor),
        cmocka_unit_test(the_past_is_forgotten),
        cmocka_unit_test(each_upstream_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
