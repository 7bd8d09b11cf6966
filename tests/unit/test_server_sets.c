/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/server_sets_impl.h"
#include "server/snapshot_build.h"
#include "shared/shm.h"

/* A gateway without workers: sets are only made, by lt_server_sets_build. */
struct fixture {
    struct lt_gateway gateway;
    struct lt_slots slots;
    struct lt_snapshot *snapshot, *next;
    struct lt_server_sets *sets;
};

static char folder[] = "/tmp/lt_server_sets_XXXXXX";

static const char *file(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void put_text(const char *name, const char *text)
{
    FILE *f = fopen(file(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char config[] =
    "lintel: 1\n"
    "listen: [{name: a, address: '127.0.0.1:0'}]\n"
    "admin: {listen: 'unix:admin.sock', state_file: state}\n"
    "upstreams: {app: ['10.0.0.1:80', {address: '10.0.0.2:80', weight: 2}]}\n"
    "sites: [{hosts: [x], routes: [{match: '/*', to: app}]}]\n";

static struct lt_snapshot *build_snapshot(struct fixture *f, unsigned number)
{
    struct lt_gateway *g = &f->gateway;
    struct lt_buf errors;
    unsigned n_errors;
    const struct lt_build_env env = {.shm = g->shm,
                                     .registry = g->registry,
                                     .upstreams = g->upstreams,
                                     .metrics = g->metrics,
                                     .slots = &f->slots,
                                     .n_workers = 1};
    lt_buf_init(&errors, 1 << 16);
    struct lt_snapshot *snapshot = lt_build(file("lintel.yaml"), number, &env, &errors, &n_errors);
    lt_buf_fini(&errors);
    return snapshot;
}

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    struct lt_gateway *g = &f.gateway;
    g->shm = lt_shm_create(0);
    g->loop = lt_loop_new(0);
    g->registry = lt_server_registry_new(g->shm, 1);
    g->upstreams = lt_upstream_registry_new(*lt_shm_seed(g->shm));
    g->metrics = lt_metrics_new(1, 10, 10);
    g->sets = f.sets = lt_server_sets_new(g);
    put_text("lintel.yaml", config);
    f.snapshot = build_snapshot(&f, 1);
    *state = &f;
    return f.snapshot != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lt_server_sets_free(f->sets);
    if (f->next != NULL) {
        lt_snapshot_free(f->next);
    }
    lt_snapshot_free(f->snapshot);
    lt_metrics_free(f->gateway.metrics);
    lt_server_registry_free(f->gateway.registry);
    lt_upstream_registry_free(f->gateway.upstreams);
    lt_loop_free(f->gateway.loop);
    lt_shm_close(f->gateway.shm);
    unlink(file("state"));
    return 0;
}

static struct lt_server_entry entry(const char *address, uint32_t weight)
{
    struct lt_server_entry e = {.weight = weight};
    const char *why;
    assert_int_equal(lt_addr_parse(lt_str_c(address), &e.address, &why), LT_OK);
    return e;
}

static void put(struct fixture *f, const char *source, unsigned n, const char *const *addresses)
{
    struct lt_server_entry v[4] = {{.weight = 0}};
    for (unsigned i = 0; i < n; i++) {
        v[i] = entry(addresses[i], 5);
    }
    assert_int_equal(lt_server_sets_put(f->sets, LT_STR("app"), lt_str_c(source), v, n), LT_OK);
}

/* The set as text: address*weight and a letter for its state. */
static const char *built(struct fixture *f, struct lt_snapshot *snapshot)
{
    static char text[512];
    lt_server_sets_build(f->sets, snapshot);
    const struct lt_server_set *set = lt_upstream_set(&snapshot->upstreams[0]);
    text[0] = '\0';
    for (unsigned i = 0; i < set->n; i++) {
        const struct lt_server *s = &set->v[i];
        assert_int_equal(s->index, i);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s*%u%c", i > 0 ? " " : "",
                 LT_STR_ARG(s->name), s->weight,
                 lt_server_admin_name(lt_server_admin(s->state))[0]);
    }
    return text;
}

static const char *now(struct fixture *f)
{
    return built(f, f->snapshot);
}

/* From here on the configuration serves. */
static void serve(struct fixture *f)
{
    (void)now(f);
    f->gateway.current = f->snapshot;
}

static struct lt_addr addr(const char *address)
{
    return entry(address, 1).address;
}

static void sources_come_after_the_configuration(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(now(f), "10.0.0.1:80*1r 10.0.0.2:80*2r");
    put(f, "file", 2, (const char *const[]){"10.0.0.3:80", "10.0.0.2:80"});
    put(f, "dns", 2, (const char *const[]){"10.0.0.4:80", "10.0.0.3:80"});
    assert_string_equal(now(f), "10.0.0.1:80*1r 10.0.0.2:80*2r 10.0.0.3:80*5r 10.0.0.4:80*5r");
    put(f, "file", 0, NULL);
    assert_string_equal(now(f), "10.0.0.1:80*1r 10.0.0.2:80*2r 10.0.0.4:80*5r 10.0.0.3:80*5r");
    lt_server_sets_drop(f->sets, LT_STR("app"), LT_STR("dns"));
    lt_server_sets_drop(f->sets, LT_STR("app"), LT_STR("nobody"));
    lt_server_sets_drop(f->sets, LT_STR("nobody"), LT_STR("dns"));
    assert_string_equal(now(f), "10.0.0.1:80*1r 10.0.0.2:80*2r");
}

static void the_operator_has_the_last_word(void **state)
{
    struct fixture *f = *state;
    struct lt_addr one = addr("10.0.0.1:80"), two = addr("10.0.0.2:80"),
                   three = addr("10.0.0.3:80");
    struct lt_server_entry added = entry("10.0.0.3:80", 7);
    struct lt_str app = LT_STR("app");
    serve(f);
    assert_int_equal(lt_server_sets_add(f->sets, app, &added), LT_SETS_OK);
    assert_int_equal(lt_server_sets_remove(f->sets, app, &one), LT_SETS_OK);
    assert_int_equal(lt_server_sets_weigh(f->sets, app, &two, 9), LT_SETS_OK);
    assert_int_equal(lt_server_sets_admin(f->sets, app, &two, LT_SERVER_DRAIN), LT_SETS_OK);
    assert_string_equal(now(f), "10.0.0.2:80*9d 10.0.0.3:80*7r");
    assert_int_equal(lt_server_sets_add(f->sets, app, &added), LT_SETS_EXISTS);
    assert_int_equal(lt_server_sets_remove(f->sets, app, &one), LT_SETS_NO_SERVER);
    assert_int_equal(lt_server_sets_weigh(f->sets, app, &two, 0), LT_SETS_OK);
    assert_int_equal(lt_server_sets_admin(f->sets, app, &two, LT_SERVER_READY), LT_SETS_OK);
    assert_int_equal(lt_server_sets_remove(f->sets, app, &three), LT_SETS_OK);
    added = entry("10.0.0.1:80", 0);
    assert_int_equal(lt_server_sets_add(f->sets, app, &added), LT_SETS_OK);
    f->next = build_snapshot(f, 2);
    assert_non_null(f->next);
    assert_string_equal(built(f, f->next), "10.0.0.1:80*1r 10.0.0.2:80*2r"); /* as configured */
    assert_int_equal(lt_server_sets_remove(f->sets, app, &one), LT_SETS_OK);
    added.weight = 4;
    added.max = 6;
    added.backup = true;
    assert_int_equal(lt_server_sets_add(f->sets, app, &added), LT_SETS_OK);
    assert_string_equal(now(f), "10.0.0.1:80*4r 10.0.0.2:80*2r"); /* as asked */
    assert_int_equal(lt_upstream_set(&f->snapshot->upstreams[0])->v[0].max, 6);
    assert_true(lt_upstream_set(&f->snapshot->upstreams[0])->v[0].backup);
    assert_int_equal(lt_server_sets_remove(f->sets, app, &one), LT_SETS_OK);
    assert_string_equal(now(f), "10.0.0.2:80*2r"); /* not as configured before */
    assert_int_equal(lt_server_sets_add(f->sets, LT_STR("no"), &added), LT_SETS_NO_UPSTREAM);
    assert_int_equal(lt_server_sets_pause(f->sets, LT_STR("no"), true), LT_SETS_NO_UPSTREAM);
}

static void what_nobody_names_any_more_waits(void **state)
{
    struct fixture *f = *state;
    struct lt_addr three = addr("10.0.0.3:80");
    put(f, "dns", 1, (const char *const[]){"10.0.0.3:80"});
    serve(f);
    assert_int_equal(lt_server_sets_admin(f->sets, LT_STR("app"), &three, LT_SERVER_MAINTENANCE),
                     LT_SETS_OK);
    put(f, "dns", 0, NULL);
    assert_string_equal(now(f), "10.0.0.1:80*1r 10.0.0.2:80*2r");
    put(f, "dns", 1, (const char *const[]){"10.0.0.3:80"});
    assert_string_equal(now(f), "10.0.0.1:80*1r 10.0.0.2:80*2r 10.0.0.3:80*5m");
}

static void there_are_limits(void **state)
{
    struct fixture *f = *state;
    struct lt_server_entry *many = lt_calloc(LT_SETS_SERVERS_MAX + 1, sizeof(*many));
    char text[32];
    for (unsigned i = 0; i <= LT_SETS_SERVERS_MAX; i++) {
        snprintf(text, sizeof(text), "10.1.%u.%u:80", i / 256, i % 256);
        many[i] = entry(text, 1);
    }
    struct lt_str app = LT_STR("app");
    assert_int_equal(lt_server_sets_put(f->sets, app, LT_STR("dns"), many, LT_SETS_SERVERS_MAX + 1),
                     LT_ERR_LIMIT);
    assert_int_equal(lt_server_sets_put(f->sets, app, LT_STR("dns"), many, LT_SETS_SERVERS_MAX),
                     LT_OK);
    lt_server_sets_build(f->sets, f->snapshot);
    assert_int_equal(lt_upstream_set(&f->snapshot->upstreams[0])->n, LT_SETS_SERVERS_MAX);
    put(f, "dns", 0, NULL);
    f->snapshot->root->conf->admin.state_file = LT_STR_NONE; /* would be written each time */
    serve(f);
    for (unsigned i = 0; i < LT_SETS_SERVERS_MAX; i++) {
        assert_int_equal(lt_server_sets_add(f->sets, app, &many[i]), LT_SETS_OK);
    }
    assert_int_equal(lt_server_sets_add(f->sets, app, &many[LT_SETS_SERVERS_MAX]), LT_SETS_LIMIT);
    /* What is removed makes room, in whatever order. */
    struct lt_addr gone = many[7].address;
    put(f, "file", 1, (const char *const[]){"10.9.0.1:80"});
    lt_server_sets_build(f->sets, f->snapshot);
    const struct lt_server_set *set = lt_upstream_set(&f->snapshot->upstreams[0]);
    assert_int_equal(set->n, LT_SETS_SERVERS_MAX);
    assert_int_equal(lt_server_sets_remove(f->sets, app, &gone), LT_SETS_OK);
    lt_server_sets_build(f->sets, f->snapshot);
    set = lt_upstream_set(&f->snapshot->upstreams[0]);
    assert_int_equal(set->n, LT_SETS_SERVERS_MAX);
    for (unsigned i = 0; i < set->n; i++) {
        assert_false(lt_addr_eq(&set->v[i].addr, &gone));
    }
    lt_free(many);
}

static void without_memory_nothing_changes(void **state)
{
    struct fixture *f = *state;
    struct lt_server_entry e = entry("10.0.0.3:80", 5);
    e.host = LT_STR("app.internal");
    enum lt_err err = LT_ERR_NOMEM;
    for (unsigned n = 1; err != LT_OK; n++) {
        lt_mem_fail_at(n);
        err = lt_server_sets_put(f->sets, LT_STR("app"), LT_STR("dns"), &e, 1);
        lt_mem_fail_at(0);
        assert_string_equal(now(f), err == LT_OK ? "10.0.0.1:80*1r 10.0.0.2:80*2r 10.0.0.3:80*5r"
                                                 : "10.0.0.1:80*1r 10.0.0.2:80*2r");
    }
    serve(f);
    struct lt_addr one = addr("10.0.0.1:80");
    lt_mem_fail_at(1);
    assert_int_equal(lt_server_sets_weigh(f->sets, LT_STR("app"), &one, 3), LT_SETS_NO_MEMORY);
    lt_mem_fail_at(0);
    /* A set that can't be made leaves the one that is there. */
    put(f, "dns", 0, NULL);
    lt_mem_fail_at(1);
    assert_string_equal(now(f), "10.0.0.1:80*1r 10.0.0.2:80*2r 10.0.0.3:80*5r");
    lt_mem_fail_at(0);
    assert_string_equal(now(f), "10.0.0.1:80*1r 10.0.0.2:80*2r");
}

/* A set that can't be made takes the change back with it. */
static void what_is_refused_is_not_kept(void **state)
{
    struct fixture *f = *state;
    struct lt_addr one = addr("10.0.0.1:80"), two = addr("10.0.0.2:80");
    struct lt_server_entry three = entry("10.0.0.3:80", 5);
    struct lt_str app = LT_STR("app");
    const char *before = "10.0.0.1:80*1d 10.0.0.2:80*2r";
    serve(f);
    assert_int_equal(lt_server_sets_admin(f->sets, app, &one, LT_SERVER_DRAIN), LT_SETS_OK);
    assert_string_equal(now(f), before);
    f->gateway.n_workers = 1; /* sets are to be published; none is that can't be made */
    for (unsigned n = 1; n <= 2; n++) {
        lt_mem_fail_at(n);
        assert_int_equal(lt_server_sets_add(f->sets, app, &three), LT_SETS_NO_MEMORY);
        lt_mem_fail_at(n);
        assert_int_equal(lt_server_sets_weigh(f->sets, app, &two, 3), LT_SETS_NO_MEMORY);
        lt_mem_fail_at(n);
        assert_int_equal(lt_server_sets_remove(f->sets, app, &two), LT_SETS_NO_MEMORY);
        lt_mem_fail_at(0);
        assert_string_equal(now(f), before);
    }
    lt_mem_fail_at(1);
    assert_int_equal(lt_server_sets_admin(f->sets, app, &one, LT_SERVER_READY), LT_SETS_NO_MEMORY);
    lt_mem_fail_at(0);
    assert_string_equal(now(f), before);
    for (unsigned n = 1; n <= 5; n++) {
        lt_mem_fail_at(n);
        assert_int_equal(lt_server_sets_put(f->sets, app, LT_STR("dns"), &three, 1), LT_ERR_NOMEM);
        lt_mem_fail_at(0);
        assert_string_equal(now(f), before);
    }
    f->gateway.n_workers = 0;
    put(f, "dns", 1, (const char *const[]){"10.0.0.4:80"});
    f->gateway.n_workers = 1;
    lt_mem_fail_at(3);
    assert_int_equal(lt_server_sets_put(f->sets, app, LT_STR("dns"), &three, 1), LT_ERR_NOMEM);
    lt_mem_fail_at(0);
    f->gateway.n_workers = 0;
    assert_string_equal(now(f), "10.0.0.1:80*1d 10.0.0.2:80*2r 10.0.0.4:80*5r");
}

/* Takes all counts that the shared memory keeps. */
static void use_up_counts(struct fixture *f)
{
    struct lt_server_state *state;
    char text[32];
    enum lt_err err = LT_OK;
    for (unsigned i = 0; err == LT_OK; i++) {
        snprintf(text, sizeof(text), "10.2.%u.%u:80", i / 256, i % 256);
        err = lt_server_registry_get(f->gateway.registry, LT_STR("other"), lt_str_c(text), true,
                                     &state);
    }
    assert_int_equal(err, LT_ERR_LIMIT);
}

/* The configuration's own set lacks what sources name. */
static void a_snapshot_without_its_set_has_the_servers_before(void **state)
{
    struct fixture *f = *state;
    struct lt_str app = LT_STR("app");
    struct lt_server_entry named = entry("10.0.0.4:80", 6), more = entry("10.0.0.5:80", 1);
    struct lt_addr one = addr("10.0.0.1:80");
    const char *before = "10.0.0.1:80*3r 10.0.0.2:80*2r 10.0.0.4:80*6r";
    named.host = LT_STR("app.internal");
    named.max = more.max = 2;
    assert_int_equal(lt_server_sets_put(f->sets, app, LT_STR("dns"), &named, 1), LT_OK);
    serve(f);
    assert_int_equal(lt_server_sets_weigh(f->sets, app, &one, 3), LT_SETS_OK);
    assert_string_equal(now(f), before);
    use_up_counts(f);
    assert_int_equal(lt_server_sets_put(f->sets, app, LT_STR("file"), &more, 1), LT_OK);
    f->next = build_snapshot(f, 2);
    assert_non_null(f->next);
    assert_string_equal(built(f, f->next), before);
    assert_str(lt_upstream_set(&f->next->upstreams[0])->v[2].ip, "app.internal");
    assert_int_equal(lt_upstream_set(&f->next->upstreams[0])->v[2].max, 2);
    /* At the start there are none before: the operator's changes are left out. */
    lt_server_sets_drop(f->sets, app, LT_STR("file"));
    assert_int_equal(lt_server_sets_add(f->sets, app, &more), LT_SETS_OK);
    f->gateway.current = NULL;
    assert_string_equal(now(f), "10.0.0.1:80*1r 10.0.0.2:80*2r 10.0.0.4:80*6r");
    /* Without memory for either the snapshot is as it was. */
    f->gateway.current = f->snapshot;
    lt_mem_fail_at(1);
    assert_string_equal(built(f, f->next), before);
    lt_mem_fail_at(0);
}

/* Exchanges of older snapshots have sets that still name it. */
static void a_removed_server_takes_nothing_until_it_is_back(void **state)
{
    struct fixture *f = *state;
    struct lt_addr one = addr("10.0.0.1:80");
    struct lt_server_entry back = entry("10.0.0.1:80", 0);
    struct lt_str app = LT_STR("app");
    serve(f);
    struct lt_server_state *pinned = lt_upstream_set(&f->snapshot->upstreams[0])->v[0].state;
    lt_server_state_hold(pinned);
    assert_int_equal(lt_server_sets_remove(f->sets, app, &one), LT_SETS_OK);
    assert_int_equal(lt_server_admin(pinned), LT_SERVER_DRAIN);
    assert_string_equal(now(f), "10.0.0.2:80*2r");
    assert_int_equal(lt_server_admin(pinned), LT_SERVER_DRAIN);
    assert_int_equal(lt_server_sets_add(f->sets, app, &back), LT_SETS_OK);
    /* Nothing is remembered of it now, so the configuration's own set is used. */
    f->next = build_snapshot(f, 2);
    assert_non_null(f->next);
    assert_string_equal(built(f, f->next), "10.0.0.1:80*1r 10.0.0.2:80*2r");
    assert_int_equal(lt_server_admin(pinned), LT_SERVER_READY);
    lt_server_state_drop(pinned);
}

static void changes_are_written_and_read(void **state)
{
    struct fixture *f = *state;
    struct lt_addr one = addr("10.0.0.1:80"), two = addr("10.0.0.2:80");
    struct lt_server_entry added = entry("unix:/run/\"a\".sock", 7);
    struct lt_str app = LT_STR("app");
    char before[512];
    serve(f);
    assert_int_equal(lt_server_sets_add(f->sets, app, &added), LT_SETS_OK);
    assert_int_equal(lt_server_sets_remove(f->sets, app, &one), LT_SETS_OK);
    assert_int_equal(lt_server_sets_admin(f->sets, app, &two, LT_SERVER_MAINTENANCE), LT_SETS_OK);
    assert_int_equal(lt_server_sets_pause(f->sets, app, true), LT_SETS_OK);
    snprintf(before, sizeof(before), "%s", now(f));
    assert_string_equal(before, "10.0.0.2:80*2m unix:/run/\"a\".sock*7r");
    lt_server_sets_free(f->sets);
    f->gateway.current = NULL;
    f->gateway.sets = f->sets = lt_server_sets_new(&f->gateway);
    assert_string_equal(now(f), before);
    assert_true(lt_upstream_paused(f->snapshot->upstreams[0].state));
}

static void on_round(void *arg)
{
    ++*(unsigned *)arg;
}

static void a_round_without_workers_is_over_at_once(void **state)
{
    struct fixture *f = *state;
    unsigned told = 0;
    struct lt_server_sets_waiter waiter = {.fn = on_round, .arg = &told};
    lt_server_sets_round(f->sets, &waiter);
    assert_int_equal(told, 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(sources_come_after_the_configuration),
        T(the_operator_has_the_last_word),
        T(what_nobody_names_any_more_waits),
        T(there_are_limits),
        T(without_memory_nothing_changes),
        T(changes_are_written_and_read),
        T(a_round_without_workers_is_over_at_once),
        T(what_is_refused_is_not_kept),
        T(a_snapshot_without_its_set_has_the_servers_before),
        T(a_removed_server_takes_nothing_until_it_is_back),
    };
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(file("lintel.yaml"));
    rmdir(folder);
    return failed;
}
