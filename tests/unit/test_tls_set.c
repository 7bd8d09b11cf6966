/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_env.h"

#include <stdlib.h>

#include "base/mem.h"
#include "server/certs.h"

#define DAY INT64_C(86400)

static char folder[] = "/tmp/lt_tls_set_XXXXXX";
static struct lt_root_load *root;
static const struct lt_tls_set_listener listeners[] = {{.tls = true, .name = LT_STR_INIT("a")},
                                                       {.name = LT_STR_INIT("plain")},
                                                       {.tls = true, .name = LT_STR_INIT("b")}};

/* ---- Files ---- */

static const char *file(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

/* A fresh pair NAME.pem and NAME.key that ends in so many days. */
static void put_pair(const char *name, int days)
{
    char cert[32], key[32];
    struct made m = make_cert(EVP_EC_gen("P-256"), name, days);
    snprintf(cert, sizeof(cert), "%s.pem", name);
    snprintf(key, sizeof(key), "%s.key", name);
    write_pem(file(cert), &m, false, NULL);
    write_pem(file(key), &m, true, NULL);
    made_free(&m);
}

static void put_text(const char *name, const char *text)
{
    FILE *f = fopen(file(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void put_keys(unsigned n)
{
    char text[512];
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        char line[109];
        unsigned char bytes[80];
        memset(bytes, 'a' + (int)i, sizeof(bytes));
        EVP_EncodeBlock((unsigned char *)line, bytes, sizeof(bytes));
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n", line);
    }
    put_text("tickets", text);
}

/* ---- Sets ---- */

static const struct lt_root_conf *read_conf(void)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "lintel: 1\n"
             "listen: [{name: a, address: \":1\", tls: true}, {name: plain, address: \":2\"},"
             " {name: b, address: \":3\", tls: true}]\n"
             "tls: {tickets: {file: %s/tickets}}\n"
             "sites:\n"
             "  - hosts: [one.test]\n"
             "    tls: {certificates: [{certificate: %s/one.pem, key: %s/one.key}]}\n"
             "    routes: [{match: /, respond: {status: 200}}]\n"
             "  - hosts: [two.test]\n"
             "    listeners: [b]\n"
             "    tls:\n"
             "      certificates: [{certificate: %s/two.pem, key: %s/two.key}]\n"
             "      client: {ca: %s/one.pem}\n"
             "    routes: [{match: /, respond: {status: 200}}]\n"
             "  - hosts: [bare.test]\n"
             "    routes: [{match: /, respond: {status: 200}}]\n",
             folder, folder, folder, folder, folder, folder);
    lt_root_load_free(root);
    root = lt_root_load_text(LT_STR("t.yaml"), LT_STR("/"), lt_str_c(text));
    assert_non_null(root->conf);
    return root->conf;
}

/* One more load, of the files alone. */
struct again {
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_schema_load load;
};

static struct lt_tls_set *build(struct again *a, const struct lt_tls_set *old, bool stale)
{
    lt_arena_init(&a->arena, NULL, 0, (size_t)1 << 20);
    lt_diags_init(&a->diags, &a->arena);
    lt_load_init(&a->load, &a->arena, &a->diags);
    const struct lt_tls_set_spec spec = {.load = &a->load,
                                         .conf = root->conf,
                                         .listeners = listeners,
                                         .n_listeners = lt_countof(listeners),
                                         .old = old,
                                         .stale = stale};
    struct lt_tls_set *set = lt_tls_set_new(&spec);
    assert_non_null(set);
    return set;
}

static void done(struct again *a, unsigned errors)
{
    assert_int_equal(a->diags.errors, errors);
    lt_arena_fini(&a->arena);
}

static int64_t end_of(const struct lt_tls_set *set, const char *name)
{
    const struct lt_map_entry *e;
    for (size_t at = 0; (e = lt_map_next(&set->pairs, &at)) != NULL;) {
        const struct lt_tls_pair *pair = e->value;
        if (lt_str_eq_c(pair->certificate, file(name))) {
            return lt_tls_cert_not_after(pair->cert);
        }
    }
    fail_msg("%s is not in the set", name);
    return 0;
}

static bool in_days(int64_t when, int days)
{
    int64_t left = when - (int64_t)(lt_clock_wall_us() / 1000000);
    return left > (days - 1) * DAY && left <= days * DAY;
}

static void a_set_has_all_that_its_files_say(void **state)
{
    (void)state;
    struct again a;
    unsigned char now[LT_TLS_DIGEST_LEN];
    struct lt_tls_set *set = build(&a, NULL, false);
    done(&a, 0);
    assert_int_equal(set->n_sites, 3);
    assert_int_equal(set->policies[0]->spec.verify, LT_TLS_VERIFY_NONE);
    assert_int_equal(set->policies[1]->spec.verify, LT_TLS_VERIFY_REQUIRED);
    assert_null(set->policies[2]);
    assert_non_null(set->stores[0]);
    assert_null(set->stores[1]);
    assert_non_null(set->stores[2]);
    assert_int_equal(set->n_keys, 2);
    assert_int_equal(set->keys[0].name[0], 'a');
    lt_tls_set_look(root->conf, now);
    assert_memory_equal(now, set->digest, sizeof(now));
    lt_tls_set_free(set);
    set = build(&a, NULL, true); /* not the files of the disk: these look new */
    done(&a, 0);
    assert_memory_not_equal(now, set->digest, sizeof(now));
    lt_tls_set_free(set);
    lt_tls_set_free(NULL);
}

static void what_has_not_changed_is_the_same_object(void **state)
{
    (void)state;
    struct again a;
    struct lt_tls_set *first = build(&a, NULL, false);
    done(&a, 0);
    put_pair("two", 50);
    struct lt_tls_set *second = build(&a, first, false);
    done(&a, 0);
    assert_memory_not_equal(first->digest, second->digest, sizeof(first->digest));
    assert_true(lt_tls_set_same_policies(first, second));
    assert_int_equal(end_of(first, "one.pem"), end_of(second, "one.pem"));
    assert_true(in_days(end_of(first, "two.pem"), 40) && in_days(end_of(second, "two.pem"), 50));
    lt_tls_set_free(first);
    put_pair("one", 40); /* also who may show certificates */
    first = build(&a, second, false);
    done(&a, 0);
    assert_false(lt_tls_set_same_policies(first, second));
    lt_tls_set_free(first);
    lt_tls_set_free(second);
}

static void what_is_bad_stays_as_it_was(void **state)
{
    (void)state;
    struct again a;
    struct lt_tls_set *first = build(&a, NULL, false);
    done(&a, 0);
    put_text("one.pem", "junk");
    put_text("tickets", "junk");
    put_pair("two", 60);
    struct lt_tls_set *second = build(&a, first, false);
    done(&a, 3); /* the certificate, the authority, the keys */
    assert_true(in_days(end_of(second, "one.pem"), 40));
    assert_true(in_days(end_of(second, "two.pem"), 60));
    assert_true(lt_tls_set_same_policies(first, second));
    assert_int_equal(second->n_keys, 2);
    lt_tls_set_free(first);
    first = build(&a, second, false); /* it is still bad, and said again */
    done(&a, 3);
    lt_tls_set_free(second);
    second = build(&a, NULL, false); /* without anything before there is nothing to keep */
    done(&a, 3);
    assert_null(second->policies[1]);
    assert_int_equal(second->n_keys, 0);
    lt_tls_set_free(first);
    lt_tls_set_free(second);
}

static void what_ends_soon_is_counted(void **state)
{
    (void)state;
    struct again a;
    int64_t now = (int64_t)(lt_clock_wall_us() / 1000000);
    struct lt_tls_set *set = build(&a, NULL, false); /* both in 40 days */
    done(&a, 0);
    assert_int_equal(lt_certs_warn(set, now), 0);
    assert_int_equal(lt_certs_warn(set, now + 18 * DAY), 0);
    assert_int_equal(lt_certs_warn(set, now + 20 * DAY), 2);
    assert_int_equal(lt_certs_warn(set, now + 50 * DAY), 2);
    lt_tls_set_free(set);
}

static void metrics_say_when_each_ends(void **state)
{
    (void)state;
    struct again a;
    char memory[4096], expected[256];
    struct lt_buf out;
    struct lt_certs certs = {.set = build(&a, NULL, false)};
    done(&a, 0);
    lt_buf_init_fixed(&out, memory, sizeof(memory));
    lt_certs_write_metrics(&certs, &out);
    snprintf(expected, sizeof(expected),
             "lintel_certificate_expiry_timestamp_seconds{file=\"%s\"} %lld\n", file("one.pem"),
             (long long)end_of(certs.set, "one.pem"));
    assert_true(lt_str_find(lt_buf_view(&out), lt_str_c(expected)) != SIZE_MAX);
    lt_tls_set_free(certs.set);
}

static void without_memory_there_is_no_set(void **state)
{
    (void)state;
    struct again a;
    lt_arena_init(&a.arena, NULL, 0, (size_t)1 << 20);
    lt_diags_init(&a.diags, &a.arena);
    lt_load_init(&a.load, &a.arena, &a.diags);
    const struct lt_tls_set_spec spec = {.load = &a.load,
                                         .conf = root->conf,
                                         .listeners = listeners,
                                         .n_listeners = lt_countof(listeners)};
    for (unsigned i = 1; i < 30; i++) {
        a.load.nomem = false;
        lt_mem_fail_at(i);
        lt_tls_set_free(lt_tls_set_new(&spec));
        lt_mem_fail_at(0);
        assert_true(a.load.nomem || a.diags.errors > 0 || i > 12);
    }
    lt_arena_fini(&a.arena);
}

static int setup(void **state)
{
    (void)state;
    put_pair("one", 40);
    put_pair("two", 40);
    put_keys(2);
    return read_conf() == NULL;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"one.pem", "one.key", "two.pem", "two.key", "tickets"};
    for (size_t i = 0; i < lt_countof(names); i++) {
        unlink(file(names[i]));
    }
    lt_root_load_free(root);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_set_has_all_that_its_files_say, setup),
        cmocka_unit_test_setup(what_has_not_changed_is_the_same_object, setup),
        cmocka_unit_test_setup(what_is_bad_stays_as_it_was, setup),
        cmocka_unit_test_setup(what_ends_soon_is_counted, setup),
        cmocka_unit_test_setup(metrics_say_when_each_ends, setup),
        cmocka_unit_test_setup(without_memory_there_is_no_set, setup),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
