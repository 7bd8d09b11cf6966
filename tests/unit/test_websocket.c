/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket handshakes. */
#include "unit.h"

#include "base/mem.h"
#include "http/websocket.h"

static void the_example_of_rfc_6455(void **state)
{
    (void)state;
    struct lt_arena arena;
    struct lt_str accept;
    lt_arena_init(&arena, NULL, 0, 1 << 16);
    assert_true(lt_websocket_accept(&arena, LT_STR("dGhlIHNhbXBsZSBub25jZQ=="), &accept));
    assert_str(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    lt_arena_fini(&arena);
}

static void without_memory(void **state)
{
    (void)state;
    struct lt_arena arena;
    struct lt_str accept;
    lt_arena_init(&arena, NULL, 0, 1 << 16);
    lt_mem_fail_at(1);
    assert_false(lt_websocket_accept(&arena, LT_STR("x"), &accept));
    lt_mem_fail_at(0);
    lt_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_rfc_6455),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
