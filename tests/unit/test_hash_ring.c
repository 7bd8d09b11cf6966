/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>

#include "upstream/hash_ring.h"

#define SERVERS 10
#define KEYS 40000

struct fixture {
    struct lt_arena arena;
    struct lt_hash_ring_member members[SERVERS];
    char names[SERVERS][24];
};

static int setup(void **state)
{
    static struct fixture f;
    lt_arena_init(&f.arena, NULL, 0, (size_t)16 << 20);
    for (unsigned i = 0; i < SERVERS; i++) {
        snprintf(f.names[i], sizeof(f.names[i]), "10.0.0.%u:8000", i + 1);
        f.members[i] = (struct lt_hash_ring_member){.name = lt_str_c(f.names[i]), .weight = 1};
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lt_arena_fini(&f->arena);
    return 0;
}

static const struct lt_hash_ring *ring_of(struct fixture *f, unsigned n)
{
    const struct lt_hash_ring *ring = NULL;
    assert_int_equal(lt_hash_ring_new(&f->arena, f->members, n, &ring), LT_OK);
    return ring;
}

static uint64_t key(unsigned i)
{
    char text[24];
    snprintf(text, sizeof(text), "user-%u", i);
    return lt_hash_ring_key(lt_str_c(text));
}

static void keys_are_shared_evenly(void **state)
{
    struct fixture *f = *state;
    const struct lt_hash_ring *ring = ring_of(f, SERVERS);
    unsigned counts[SERVERS] = {0};
    for (unsigned i = 0; i < KEYS; i++) {
        counts[lt_hash_ring_find(ring, key(i))]++;
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        assert_in_range(counts[i], KEYS / SERVERS * 92 / 100, KEYS / SERVERS * 108 / 100);
    }
}

static void weights_are_shares_of_the_keys(void **state)
{
    struct fixture *f = *state;
    f->members[0].weight = 3;
    const struct lt_hash_ring *ring = ring_of(f, 3);
    unsigned counts[3] = {0};
    for (unsigned i = 0; i < KEYS; i++) {
        counts[lt_hash_ring_find(ring, key(i))]++;
    }
    assert_in_range(counts[0], KEYS * 55 / 100, KEYS * 65 / 100);
}

static void a_server_that_leaves_moves_its_own_keys_only(void **state)
{
    struct fixture *f = *state;
    const struct lt_hash_ring *whole = ring_of(f, SERVERS), *less = ring_of(f, SERVERS - 1);
    unsigned moved = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned before = lt_hash_ring_find(whole, key(i));
        unsigned after = lt_hash_ring_find(less, key(i));
        if (before != after) {
            assert_int_equal(before, SERVERS - 1);
            moved++;
        }
    }
    assert_in_range(moved, 1, KEYS / SERVERS * 108 / 100);
}

static void places_are_the_same_on_every_machine(void **state)
{
    struct fixture *f = *state;
    const struct lt_hash_ring *ring = ring_of(f, SERVERS);
    static const unsigned expected[] = {3, 6, 9, 7, 5, 2, 7, 2};
    for (unsigned i = 0; i < lt_countof(expected); i++) {
        assert_int_equal(lt_hash_ring_find(ring, key(i)), expected[i]);
    }
}

static void what_follows_a_place_goes_everywhere(void **state)
{
    struct fixture *f = *state;
    const struct lt_hash_ring *ring = ring_of(f, SERVERS);
    unsigned seen = 0;
    uint64_t hash = key(1);
    for (unsigned i = 0; i < 100; i++, hash = lt_hash_ring_next(hash)) {
        seen |= 1u << lt_hash_ring_find(ring, hash);
    }
    assert_int_equal(seen, (1u << SERVERS) - 1);
}

static void without_memory_there_is_none(void **state)
{
    struct fixture *f = *state;
    const struct lt_hash_ring *ring = NULL;
    f->arena.max = 64;
    assert_int_equal(lt_hash_ring_new(&f->arena, f->members, SERVERS, &ring), LT_ERR_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_shared_evenly, setup, teardown),
        cmocka_unit_test_setup_teardown(weights_are_shares_of_the_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_that_leaves_moves_its_own_keys_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(places_are_the_same_on_every_machine, setup, teardown),
        cmocka_unit_test_setup_teardown(what_follows_a_place_goes_everywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_there_is_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
