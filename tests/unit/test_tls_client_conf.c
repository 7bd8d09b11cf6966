/* SPDX-License-Identifier: Apache-2.0 */
#include "config_env.h"

#include <stdlib.h>

#include "net/tls_client_conf.h"
#include "tls_env.h"

#define PIN "sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

static struct env e;
static char folder[] = "/tmp/lt_tls_client_conf_XXXXXX";
static char cert_file[64], key_file[64];

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

static struct lt_tls_client_conf *read_conf(const char *yaml)
{
    struct lt_tls_client_conf *conf = lt_arena_new(&e.arena, struct lt_tls_client_conf);
    lt_schema_read(&e.load, &lt_tls_client_schema, env_read(&e, yaml), 0, conf);
    lt_schema_finish(&e.load, conf);
    return conf;
}

static struct lt_tls_client_policy *load(const struct lt_tls_client_conf *conf, struct lt_str name)
{
    struct lt_tls_trust_cache cache;
    lt_tls_trust_cache_init(&cache, &e.load);
    struct lt_tls_client_policy *policy =
        lt_tls_client_conf_load(&e.load, conf, name, LT_TLS_OFFER_H1, &cache);
    lt_tls_trust_cache_fini(&cache);
    return policy;
}

static void verifies_unless_told_otherwise(void **state)
{
    (void)state;
    const struct lt_tls_client_conf *conf = read_conf("ca: ca.pem");
    assert_true(lt_load_ok(&e.load));
    assert_true(conf->verify);
    assert_str(conf->ca, "/etc/lintel/ca.pem");
    assert_int_equal(conf->min_version, LT_TLS_CLIENT_1_2);
    assert_int_equal(conf->sessions, 4);
    assert_int_equal(e.diags.warnings, 0);
}

static void no_verification_is_warned_of(void **state)
{
    (void)state;
    read_conf("{enabled: true, verify: false}");
    env_expect(&e, "t.yaml:1:25: warning: nothing is verified");
    assert_true(lt_load_ok(&e.load));
}

static void a_pin_alone_is_no_reason_to_warn(void **state)
{
    (void)state;
    const struct lt_tls_client_conf *conf =
        read_conf("{enabled: true, verify: false, pin: [" PIN "]}");
    assert_true(lt_load_ok(&e.load));
    assert_int_equal(e.diags.warnings, 0);
    struct lt_tls_client_policy *policy = load(conf, LT_STR_NONE);
    assert_non_null(policy);
    lt_tls_client_policy_free(policy);
}

static void what_is_no_pin_is_said(void **state)
{
    (void)state;
    read_conf("pin:\n"
              "  - AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"
              "  - " PIN "\n"
              "  - sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw==\n"
              "  - sha256/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e*yA=\n"
              "  - sha1/AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n");
    env_expect(&e, "t.yaml:2:5: error: a pin is");
    env_expect(&e, "t.yaml:4:5: error: a pin is");
    env_expect(&e, "t.yaml:5:5: error: a pin is");
    env_expect(&e, "t.yaml:6:5: error: a pin is");
    assert_int_equal(e.diags.errors, 4);
}

static void names_and_addresses_are_names(void **state)
{
    (void)state;
    static const char *const good[] = {"app.internal", "10.0.0.1", "'::1'", "a_b-c"};
    static const char *const bad[] = {"https://app", "app:443", "'[::1]'", "a b"};
    for (size_t i = 0; i < lt_countof(good); i++) {
        char yaml[64];
        snprintf(yaml, sizeof(yaml), "server_name: %s", good[i]);
        read_conf(yaml);
        assert_int_equal(e.diags.errors, 0);
    }
    for (unsigned i = 0; i < lt_countof(bad); i++) {
        char yaml[64];
        snprintf(yaml, sizeof(yaml), "server_name: %s", bad[i]);
        read_conf(yaml);
        assert_int_equal(e.diags.errors, i + 1);
    }
}

static void certificate_and_key_belong_together(void **state)
{
    (void)state;
    read_conf("{certificate: a.pem}");
    env_expect(&e, "there is a certificate but no key");
    read_conf("{key: a.pem}");
    env_expect(&e, "there is a key but no certificate");
    read_conf("{verify: false, pin: [" PIN "], ca: a.pem}");
    env_expect(&e, "no authority is asked");
}

static void files_are_loaded_and_what_is_wrong_is_said_at_its_place(void **state)
{
    (void)state;
    char yaml[300];
    snprintf(yaml, sizeof(yaml), "{ca: %s, certificate: %s, key: %s}", cert_file, cert_file,
             key_file);
    struct lt_tls_client_policy *policy = load(read_conf(yaml), LT_STR("app.test"));
    assert_non_null(policy);
    assert_str(lt_tls_client_policy_name(policy), "app.test");
    lt_tls_client_policy_free(policy);
    assert_true(lt_load_ok(&e.load));
    snprintf(yaml, sizeof(yaml), "{ca: %s, certificate: %s, key: /no/such.key}", key_file,
             cert_file);
    assert_null(load(read_conf(yaml), LT_STR_NONE));
    env_expect(&e, "t.yaml:1:6: error: ");
    env_expect(&e, "holds no certificate in PEM form");
    env_expect(&e, "/no/such.key: No such file or directory");
}

static void the_name_that_is_written_comes_first(void **state)
{
    (void)state;
    struct lt_tls_client_policy *policy =
        load(read_conf("{verify: false, server_name: own.test}"), LT_STR("host.test"));
    assert_str(lt_tls_client_policy_name(policy), "own.test");
    lt_tls_client_policy_free(policy);
}

static void upstreams_share_what_they_trust(void **state)
{
    (void)state;
    char yaml[300];
    struct lt_tls_trust_cache cache;
    snprintf(yaml, sizeof(yaml), "ca: %s", cert_file);
    const struct lt_tls_client_conf *conf = read_conf(yaml);
    lt_tls_trust_cache_init(&cache, &e.load);
    for (unsigned i = 0; i < 3; i++) {
        struct lt_tls_client_policy *policy =
            lt_tls_client_conf_load(&e.load, conf, LT_STR_NONE, 0, &cache);
        assert_non_null(policy);
        lt_tls_client_policy_free(policy);
    }
    assert_int_equal(cache.map.live, 1);
    lt_tls_trust_cache_fini(&cache);
}

static int group_setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    struct made made = make_cert(EVP_EC_gen("P-256"), "app.test", 30);
    snprintf(cert_file, sizeof(cert_file), "%s/cert.pem", folder);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
    write_pem(cert_file, &made, false, NULL);
    write_pem(key_file, &made, true, NULL);
    made_free(&made);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    unlink(cert_file);
    unlink(key_file);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(verifies_unless_told_otherwise, setup, teardown),
        cmocka_unit_test_setup_teardown(no_verification_is_warned_of, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pin_alone_is_no_reason_to_warn, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_pin_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(names_and_addresses_are_names, setup, teardown),
        cmocka_unit_test_setup_teardown(certificate_and_key_belong_together, setup, teardown),
        cmocka_unit_test_setup_teardown(files_are_loaded_and_what_is_wrong_is_said_at_its_place,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_name_that_is_written_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(upstreams_share_what_they_trust, setup, teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
