/* SPDX-License-Identifier: Apache-2.0 */
#include "config_env.h"

#include <stdlib.h>

#include "net/tls_conf.h"
#include "tls_env.h"

static struct env e;
static char folder[] = "/tmp/lt_tls_conf_XXXXXX";

static int setup(void **state)
{
    (void)state;
    env_init(&e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    env_fini(&e);
    return 0;
}

static const struct lt_tls_site_conf *read_site(const char *yaml)
{
    struct lt_tls_site_conf *conf = lt_arena_new(&e.arena, struct lt_tls_site_conf);
    lt_schema_read(&e.load, &lt_tls_site_schema, env_read(&e, yaml), 0, conf);
    lt_schema_finish(&e.load, conf);
    return conf;
}

static void reads_the_files_of_each_certificate(void **state)
{
    (void)state;
    const struct lt_tls_site_conf *conf = read_site(
        "certificates:\n  - {certificate: a.pem, key: /k/a.key}\n  - {certificate: b.pem, key: b}");
    assert_true(lt_load_ok(&e.load));
    const struct lt_tls_cert_conf *items = conf->certificates.items;
    assert_int_equal(conf->certificates.n, 2);
    assert_str(items[0].certificate, "/etc/lintel/a.pem");
    assert_str(items[0].key, "/k/a.key");
    assert_str(items[1].key, "/etc/lintel/b");
}

static void certificates_are_required(void **state)
{
    (void)state;
    read_site("certificates: []");
    env_expect(&e, "certificates");
    assert_false(lt_load_ok(&e.load));
}

static void what_does_not_load_is_said_at_its_place(void **state)
{
    (void)state;
    struct lt_tls_cert *out[2];
    char yaml[512], path[128];
    struct made a = make_cert(EVP_EC_gen("P-256"), "a.test", 30);
    struct made b = make_cert(EVP_EC_gen("P-256"), "b.test", 30);
    snprintf(path, sizeof(path), "%s/a.pem", folder);
    write_pem(path, &a, false, NULL);
    snprintf(path, sizeof(path), "%s/b.key", folder);
    write_pem(path, &b, true, NULL);
    snprintf(yaml, sizeof(yaml),
             "certificates:\n  - {certificate: /no/such.pem, key: /no/such.key}\n"
             "  - certificate: %s/a.pem\n    key: %s/b.key\n",
             folder, folder);
    const struct lt_tls_site_conf *conf = read_site(yaml);
    assert_true(lt_load_ok(&e.load));
    struct lt_tls_cert_cache cache;
    lt_tls_cert_cache_init(&cache, &e.load);
    assert_false(lt_tls_conf_load(&e.load, conf, &cache, out));
    lt_tls_cert_cache_fini(&cache);
    env_expect(&e, "t.yaml:2:19: error: /no/such.pem: No such file or directory");
    env_expect(&e, "t.yaml:4:10: error: ");
    env_expect(&e, "b.key: the key doesn't belong to the certificate");
    unlink(path);
    snprintf(path, sizeof(path), "%s/a.pem", folder);
    unlink(path);
    made_free(&a);
    made_free(&b);
}

static void good_certificates_load(void **state)
{
    (void)state;
    struct lt_tls_cert *out[1] = {NULL}, *again[1] = {NULL};
    char yaml[512], path[128];
    struct made a = make_cert(EVP_EC_gen("P-256"), "a.test", 30);
    snprintf(path, sizeof(path), "%s/a.pem", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    PEM_write_X509(f, a.cert);
    PEM_write_PrivateKey(f, a.key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    snprintf(yaml, sizeof(yaml), "certificates: [{certificate: %s, key: %s}]", path, path);
    struct lt_tls_cert_cache cache;
    lt_tls_cert_cache_init(&cache, &e.load);
    const struct lt_tls_site_conf *conf = read_site(yaml);
    assert_true(lt_tls_conf_load(&e.load, conf, &cache, out));
    /* Another site with the same files has the same certificate. */
    assert_true(lt_tls_conf_load(&e.load, conf, &cache, again));
    assert_ptr_equal(out[0], again[0]);
    lt_tls_cert_cache_fini(&cache);
    lt_tls_cert_free(again[0]);
    assert_true(lt_tls_cert_not_after(out[0]) > 0);
    lt_tls_cert_free(out[0]);
    unlink(path);
    made_free(&a);
}

static void the_oldest_version_is_an_option(void **state)
{
    (void)state;
    struct lt_tls_conf conf = {0}, unset = {0}, bad = {0};
    lt_schema_read(&e.load, &lt_tls_schema, env_read(&e, "min_version: 1.3"), 0, &conf);
    lt_schema_finish(&e.load, &conf);
    lt_schema_read(&e.load, &lt_tls_schema, NULL, 0, &unset);
    lt_schema_finish(&e.load, &unset);
    assert_true(lt_load_ok(&e.load));
    assert_int_equal(lt_tls_conf_version(&conf), TLS1_3_VERSION);
    assert_int_equal(lt_tls_conf_version(&unset), TLS1_2_VERSION);
    lt_schema_read(&e.load, &lt_tls_schema, env_read(&e, "min_version: 1.1"), 0, &bad);
    assert_false(lt_load_ok(&e.load));
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_the_files_of_each_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(certificates_are_required, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_load_is_said_at_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(good_certificates_load, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_version_is_an_option, setup, teardown),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
