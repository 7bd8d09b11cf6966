/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/mem.h"
#include "shared/upstream_state.h"

static void a_name_keeps_its_state(void **state LT_UNUSED)
{
    struct lt_upstream_registry *reg = lt_upstream_registry_new((struct lt_hash_seed){.k0 = 1});
    struct lt_upstream_state *app = NULL, *other = NULL, *again = NULL;
    assert_non_null(reg);
    assert_int_equal(lt_upstream_registry_get(reg, LT_STR("app"), &app), LT_OK);
    assert_int_equal(lt_upstream_registry_get(reg, LT_STR("other"), &other), LT_OK);
    assert_int_equal(lt_upstream_registry_get(reg, LT_STR("app"), &again), LT_OK);
    assert_ptr_equal(app, again);
    assert_ptr_not_equal(app, other);
    assert_int_not_equal(app->id, other->id);
    lt_upstream_registry_free(reg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_keeps_its_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
