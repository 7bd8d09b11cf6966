/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "shared/server_state.h"
#include "shared/shm.h"
#include "shared/tickets.h"

static void a_second_process_sees_the_same(void **state)
{
    (void)state;
    struct lt_shm *made = lt_shm_create(100000);
    assert_non_null(made);
    const char *why = NULL;
    struct lt_shm *other = lt_shm_attach(lt_shm_fd(made), &why);
    assert_non_null(other);
    assert_memory_equal(lt_shm_seed(made), lt_shm_seed(other), sizeof(struct lt_hash_seed));
    size_t a, b;
    char *p = lt_shm_rate_area(made, &a);
    char *q = lt_shm_rate_area(other, &b);
    assert_int_equal(a, b);
    assert_true(a >= 100000 && a % 4096 == 0);
    assert_ptr_not_equal(p, q);
    p[a - 1] = 'x';
    assert_int_equal(q[a - 1], 'x');
    assert_int_equal(lt_shm_next_generation(made), 1);
    assert_int_equal(lt_shm_next_generation(other), 2);
    lt_shm_close(other);
    lt_shm_close(made);
}

static void what_is_no_shared_memory_is_refused(void **state)
{
    (void)state;
    const char *why = NULL;
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_null(lt_shm_attach(fd, &why));
    assert_non_null(why);
    assert_int_equal(ftruncate(fd, 65536), 0);
    why = NULL;
    assert_null(lt_shm_attach(fd, &why));
    assert_string_equal(why, "the shared memory has another layout");
    close(fd);
    assert_null(lt_shm_attach(-1, &why));
}

static struct lt_server_state *get(struct lt_server_registry *reg, const char *address, bool slot)
{
    struct lt_server_state *s = NULL;
    enum lt_err err = lt_server_registry_get(reg, LT_STR("app"), lt_str_c(address), slot, &s);
    assert_int_equal(err, LT_OK);
    return s;
}

static void a_max_holds_over_generations(void **state)
{
    (void)state;
    struct lt_shm *shm = lt_shm_create(0);
    struct lt_server_registry *old = lt_server_registry_new(shm, 1);
    struct lt_server_registry *new = lt_server_registry_new(shm, 2);
    struct lt_server_state *a = get(old, "10.0.0.1:80", true);
    struct lt_server_state *b = get(new, "10.0.0.1:80", true);
    assert_true(lt_server_acquire(a, 3));
    assert_true(lt_server_acquire(a, 3));
    assert_true(lt_server_acquire(b, 3));
    assert_false(lt_server_acquire(a, 3));
    assert_false(lt_server_acquire(b, 3));
    assert_int_equal(lt_server_inflight(b), 3);
    /* The first generation dies with two in flight. */
    lt_shm_clear_generation(shm, 1);
    assert_int_equal(lt_server_inflight(b), 1);
    lt_server_drop(a); /* takes nothing from the other's count */
    assert_int_equal(lt_server_inflight(b), 1);
    lt_server_drop(b);
    assert_int_equal(lt_server_inflight(b), 0);
    lt_server_registry_free(old);
    lt_server_registry_free(new);
    lt_shm_close(shm);
}

static void states_are_stable_by_name(void **state)
{
    (void)state;
    struct lt_shm *shm = lt_shm_create(0);
    struct lt_server_registry *reg = lt_server_registry_new(shm, 1);
    struct lt_server_state *a = get(reg, "10.0.0.1:80", false);
    struct lt_server_state *b = get(reg, "10.0.0.2:80", false);
    assert_int_not_equal(a->id, b->id);
    assert_null(a->inflight);
    assert_int_equal(lt_server_inflight(a), 0);
    assert_ptr_equal(get(reg, "10.0.0.1:80", true), a);
    assert_non_null(a->inflight);
    assert_int_equal(a->users, 2);
    lt_server_registry_put(reg, a);
    lt_server_registry_put(reg, a);
    assert_int_equal(a->users, 0);
    assert_ptr_equal(get(reg, "10.0.0.1:80", true), a);
    lt_server_registry_free(reg);
    lt_shm_close(shm);
}

static void states_of_nobody_are_given_back(void **state)
{
    (void)state;
    struct lt_shm *shm = lt_shm_create(0);
    struct lt_server_registry *reg = lt_server_registry_new(shm, 1);
    struct lt_server_state *a = get(reg, "10.0.0.1:80", true);
    struct lt_server_state *b = get(reg, "10.0.0.2:80", false);
    struct lt_server_state *c = get(reg, "10.0.0.3:80", false);
    struct lt_server_state *d = get(reg, "10.0.0.4:80", false);
    uint32_t a_id = a->id;
    assert_int_equal(lt_server_registry_ids(reg), 4);
    lt_server_registry_put(reg, a);
    lt_server_registry_put(reg, c);
    lt_server_registry_put(reg, d);
    assert_int_equal(lt_server_registry_reclaim(reg), 0); /* not marked */
    lt_server_registry_mark(reg);
    lt_server_state_keep(c); /* a worker has connections to it */
    /* Asked for in the meantime, if only for a moment: workers may have a pool of it again. */
    assert_ptr_equal(get(reg, "10.0.0.4:80", false), d);
    lt_server_registry_put(reg, d);
    assert_int_equal(lt_server_registry_reclaim(reg), 1); /* a */
    assert_int_equal(b->users, 1);
    assert_int_equal(get(reg, "10.0.0.5:80", false)->id, a_id);
    lt_server_registry_mark(reg);
    assert_int_equal(lt_server_registry_reclaim(reg), 2); /* c and d */
    assert_int_equal(lt_server_registry_ids(reg), 4);
    lt_server_registry_free(reg);
    lt_shm_close(shm);
}

static void addresses_that_change_for_ever_fit(void **state)
{
    (void)state;
    struct lt_shm *shm = lt_shm_create(0);
    struct lt_server_registry *reg = lt_server_registry_new(shm, 1);
    char name[32];
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(name, sizeof(name), "10.%u.%u.%u:80", i >> 16, i >> 8 & 255, i & 255);
        lt_server_registry_put(reg, get(reg, name, i % 2 == 0));
        if (i % 1000 == 999) {
            lt_server_registry_mark(reg);
            assert_int_equal(lt_server_registry_reclaim(reg), 1000);
        }
    }
    assert_true(lt_server_registry_ids(reg) <= 1000);
    lt_server_registry_free(reg);
    lt_shm_close(shm);
}

static void slots_run_out_and_come_back(void **state)
{
    (void)state;
    struct lt_shm *shm = lt_shm_create(0);
    struct lt_server_registry *reg = lt_server_registry_new(shm, 1);
    static struct lt_server_state *states[LT_SHM_INFLIGHT_SLOTS];
    char name[32];
    for (unsigned i = 0; i < LT_SHM_INFLIGHT_SLOTS; i++) {
        snprintf(name, sizeof(name), "unix:/%u", i);
        states[i] = get(reg, name, true);
    }
    struct lt_server_state *more = NULL;
    assert_int_equal(lt_server_registry_get(reg, LT_STR("app"), LT_STR("unix:/more"), true, &more),
                     LT_ERR_LIMIT);
    assert_null(more);
    assert_true(lt_server_acquire(states[7], 1));
    lt_server_registry_put(reg, states[7]); /* still in flight: its slot stays */
    assert_int_equal(lt_server_registry_get(reg, LT_STR("app"), LT_STR("unix:/more"), true, &more),
                     LT_ERR_LIMIT);
    lt_server_registry_put(reg, states[9]);
    more = get(reg, "unix:/more", true);
    assert_non_null(more->inflight);
    assert_null(states[9]->inflight);
    lt_server_registry_free(reg);
    lt_shm_close(shm);
}

static void without_memory_nothing_is_half_made(void **state)
{
    (void)state;
    struct lt_shm *shm = lt_shm_create(0);
    struct lt_server_registry *reg = lt_server_registry_new(shm, 1);
    struct lt_server_state *s = NULL;
    unsigned n = 1;
    for (;; n++) {
        lt_mem_fail_at(n);
        enum lt_err err = lt_server_registry_get(reg, LT_STR("a"), LT_STR("b"), true, &s);
        lt_mem_fail_at(0);
        if (err == LT_OK) {
            break;
        }
        assert_int_equal(err, LT_ERR_NOMEM);
        assert_null(s);
    }
    assert_true(n > 2);
    assert_int_equal(s->users, 1);
    lt_server_registry_free(reg);
    lt_shm_close(shm);
}

static void tickets_rotate_and_old_ones_still_open(void **state)
{
    (void)state;
    struct lt_shm *shm = lt_shm_create(0);
    struct lt_ticket_key first, second, found;
    uint64_t now = 1000000, rotate_ms = 5000, step = rotate_ms * 1000;
    assert_false(lt_tickets_get(shm, NULL, &found));
    assert_true(lt_tickets_rotate(shm, now, rotate_ms));
    assert_false(
        lt_tickets_rotate(shm, now + step - 1, rotate_ms)); /* a new gateway keeps the key */
    assert_true(lt_tickets_get(shm, NULL, &first));
    assert_true(lt_tickets_rotate(shm, now + step, rotate_ms));
    assert_true(lt_tickets_get(shm, NULL, &second));
    assert_memory_not_equal(&first, &second, sizeof(first));
    assert_true(lt_tickets_get(shm, first.name, &found));
    assert_memory_equal(&first, &found, sizeof(first));
    for (unsigned i = 2; i <= LT_TICKETS_KEPT; i++) {
        assert_true(lt_tickets_rotate(shm, now + i * step, rotate_ms));
    }
    assert_false(lt_tickets_get(shm, first.name, &found));
    assert_true(lt_tickets_get(shm, second.name, &found));
    lt_shm_close(shm);
}

/* Keys of a fleet take the place of all others, and give it up when they are no longer wanted. */
static void tickets_of_a_fleet_are_the_only_ones(void **state)
{
    (void)state;
    struct lt_shm *shm = lt_shm_create(0);
    struct lt_ticket_key own, found, fleet[LT_TICKETS_KEPT];
    memset(fleet, 0, sizeof(fleet));
    for (unsigned i = 0; i < LT_TICKETS_KEPT; i++) {
        memset(fleet[i].name, 'a' + (int)i, sizeof(fleet[i].name));
    }
    assert_true(lt_tickets_rotate(shm, 1, 5000));
    assert_true(lt_tickets_get(shm, NULL, &own));
    for (unsigned round = 0; round < 20; round++) {
        unsigned n = 1 + round % LT_TICKETS_KEPT;
        assert_true(lt_tickets_set(shm, fleet, n));
        assert_false(lt_tickets_set(shm, fleet, n));
        assert_true(lt_tickets_get(shm, NULL, &found));
        assert_memory_equal(&found, &fleet[0], sizeof(found));
        for (unsigned i = 0; i < LT_TICKETS_KEPT; i++) {
            assert_int_equal(lt_tickets_get(shm, fleet[i].name, &found), i < n);
        }
        assert_false(lt_tickets_get(shm, own.name, &found));
    }
    assert_true(lt_tickets_rotate(shm, 2, 5000));
    assert_false(lt_tickets_get(shm, fleet[0].name, &found));
    assert_true(lt_tickets_get(shm, NULL, &own));
    assert_false(lt_tickets_rotate(shm, 3, 5000));
    lt_shm_close(shm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_process_sees_the_same),
        cmocka_unit_test(what_is_no_shared_memory_is_refused),
        cmocka_unit_test(a_max_holds_over_generations),
        cmocka_unit_test(states_are_stable_by_name),
        cmocka_unit_test(states_of_nobody_are_given_back),
        cmocka_unit_test(addresses_that_change_for_ever_fit),
        cmocka_unit_test(slots_run_out_and_come_back),
        cmocka_unit_test(without_memory_nothing_is_half_made),
        cmocka_unit_test(tickets_rotate_and_old_ones_still_open),
        cmocka_unit_test(tickets_of_a_fleet_are_the_only_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
