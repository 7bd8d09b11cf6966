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
    const struct lt_tls_cert_conf *items = conf->certificates.items;
    assert_null(lt_tls_cert_conf_load(&e.load, &items[0]));
    assert_null(lt_tls_cert_conf_load(&e.load, &items[1]));
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
    char yaml[512], path[128];
    struct made a = make_cert(EVP_EC_gen("P-256"), "a.test", 30);
    snprintf(path, sizeof(path), "%s/a.pem", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    PEM_write_X509(f, a.cert);
    PEM_write_PrivateKey(f, a.key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    snprintf(yaml, sizeof(yaml), "certificates: [{certificate: %s, key: %s}]", path, path);
    const struct lt_tls_site_conf *conf = read_site(yaml);
    struct lt_tls_cert *cert = lt_tls_cert_conf_load(&e.load, conf->certificates.items);
    assert_non_null(cert);
    assert_true(lt_tls_cert_not_after(cert) > 0);
    lt_tls_cert_free(cert);
    unlink(path);
    made_free(&a);
}

/* ---- Versions, ciphers, groups ---- */

static const struct lt_tls_conf *read_top(const char *yaml)
{
    struct lt_tls_conf *conf = lt_arena_new(&e.arena, struct lt_tls_conf);
    lt_schema_read(&e.load, &lt_tls_schema, yaml != NULL ? env_read(&e, yaml) : NULL, 0, conf);
    lt_schema_finish(&e.load, conf);
    return conf;
}

#define CERT "certificates: [{certificate: a, key: b}]\n"

static void a_profile_says_what_is_not_written(void **state)
{
    (void)state;
    struct lt_tls_terms terms;
    assert_true(lt_tls_terms_resolve(&e.arena, read_top(NULL), NULL, &terms));
    assert_int_equal(terms.min_version, TLS1_2_VERSION);
    assert_int_equal(terms.max_version, TLS1_3_VERSION);
    assert_string_equal(terms.groups, "X25519:P-256:P-384");
    assert_true(lt_tls_terms_resolve(&e.arena, read_top("profile: modern"), NULL, &terms));
    assert_int_equal(terms.min_version, TLS1_3_VERSION);
    assert_true(lt_tls_terms_resolve(
        &e.arena, read_top("ciphers: [ECDHE-RSA-AES256-GCM-SHA384, AES128-SHA]\ngroups: [P-384]"),
        NULL, &terms));
    assert_string_equal(terms.ciphers, "ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA");
    assert_string_equal(terms.groups, "P-384");
    assert_true(lt_load_ok(&e.load));
}

static void a_site_changes_what_stands_at_the_top(void **state)
{
    (void)state;
    struct lt_tls_terms terms;
    const struct lt_tls_conf *top = read_top("min_version: 1.3\ngroups: [P-384]");
    const struct lt_tls_site_conf *site = read_site(CERT "ciphersuites: [TLS_AES_256_GCM_SHA384]");
    assert_true(lt_tls_terms_resolve(&e.arena, top, site, &terms));
    assert_int_equal(terms.min_version, TLS1_3_VERSION);
    assert_string_equal(terms.groups, "P-384");
    assert_string_equal(terms.suites, "TLS_AES_256_GCM_SHA384");
    /* A profile starts anew. */
    site = read_site(CERT "profile: intermediate\nmax_version: 1.2");
    assert_true(lt_tls_terms_resolve(&e.arena, top, site, &terms));
    assert_int_equal(terms.min_version, TLS1_2_VERSION);
    assert_int_equal(terms.max_version, TLS1_2_VERSION);
    assert_string_equal(terms.groups, "X25519:P-256:P-384");
    assert_true(lt_load_ok(&e.load));
}

static void names_that_openssl_does_not_know_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *said;
    } cases[] = {
        {"ciphers: [ECDHE-RSA-AES128-GCM-SHA256, NONSENSE]", "t.yaml:1:40: error"},
        {"ciphers: [ALL]", "\"ALL\" is no cipher of TLS 1.2"},
        {"ciphers: [\"ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA\"]", "is no cipher of TLS 1.2"},
        {"ciphers: [TLS_AES_128_GCM_SHA256]", "is no cipher of TLS 1.2"},
        {"ciphersuites: [ECDHE-RSA-AES128-GCM-SHA256]", "is no cipher of TLS 1.3"},
        {"groups: [P-256, P-1]", "t.yaml:1:17: error: \"P-1\" is no group"},
        {"groups: []", "groups"},
        {"min_version: 1.1", "min_version"},
        {"min_version: 1.3\nmax_version: 1.2", "max_version is older than min_version"},
        {"profile: old", "profile"},
        {"unknown_names: maybe", "unknown_names"},
        {"tickets: {rotate: 10m, lifetime: 1h}", "tickets would live longer"},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        env_fini(&e);
        env_init(&e);
        read_top(cases[i].yaml);
        assert_false(lt_load_ok(&e.load));
        env_expect(&e, cases[i].said);
    }
}

/* ---- Clients' certificates ---- */

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct lt_tls_policy *policy_of(const char *client)
{
    char yaml[1024];
    int64_t ends;
    snprintf(yaml, sizeof(yaml), CERT "client: {%s}", client);
    return lt_tls_policy_load(&e.load, read_top(NULL), read_site(yaml), &ends);
}

static void authorities_and_lists_are_read(void **state)
{
    (void)state;
    char ca[128], other[128], crl[128], text[512];
    struct made a = make_cert(EVP_EC_gen("P-256"), "one", 30);
    struct made b = make_cert(EVP_EC_gen("P-256"), "two", 30);
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    snprintf(other, sizeof(other), "%s/other.pem", folder);
    snprintf(crl, sizeof(crl), "%s/crl.pem", folder);
    write_pem(ca, &a, false, NULL);
    write_pem(other, &b, false, NULL);
    write_crl(crl, &a, 5);

    snprintf(text, sizeof(text), "ca: %s", ca);
    struct lt_tls_policy *plain = policy_of(text), *again = policy_of(text);
    assert_int_equal(plain->spec.verify, LT_TLS_VERIFY_REQUIRED);
    assert_memory_equal(plain->id, again->id, sizeof(plain->id));
    snprintf(text, sizeof(text), "ca: %s, verify: optional, tell: [san, subject]", ca);
    struct lt_tls_policy *optional = policy_of(text);
    assert_int_equal(optional->spec.tell, LT_TLS_TELL_SAN | LT_TLS_TELL_SUBJECT);
    assert_memory_not_equal(plain->id, optional->id, sizeof(plain->id));
    snprintf(text, sizeof(text), "ca: %s, crl: %s", ca, crl);
    struct lt_tls_policy *listed = policy_of(text);
    assert_memory_not_equal(plain->id, listed->id, sizeof(plain->id));
    snprintf(text, sizeof(text), "ca: %s", other);
    struct lt_tls_policy *elsewhere = policy_of(text);
    assert_memory_not_equal(plain->id, elsewhere->id, sizeof(plain->id));
    assert_true(lt_load_ok(&e.load));
    lt_tls_policy_free(plain);
    lt_tls_policy_free(again);
    lt_tls_policy_free(optional);
    lt_tls_policy_free(listed);
    lt_tls_policy_free(elsewhere);

    snprintf(text, sizeof(text), "ca: %s, crl: %s", other, crl);
    assert_null(policy_of(text));
    env_expect(&e, "crl.pem: none of the authorities in `ca` has signed a revocation list in it");
    write_text(crl, "nothing");
    snprintf(text, sizeof(text), "ca: %s, crl: %s", ca, crl);
    assert_null(policy_of(text));
    env_expect(&e, "crl.pem: holds no revocation list in PEM form");
    write_text(other, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    snprintf(text, sizeof(text), "ca: %s", other);
    assert_null(policy_of(text));
    env_expect(&e, "other.pem: a certificate of an authority can't be read");
    assert_null(policy_of("ca: /no/such.pem"));
    env_expect(&e, "t.yaml:2:14: error: /no/such.pem: No such file or directory");
    assert_null(policy_of("verify: optional"));
    env_expect(&e, "\"ca\"");
    unlink(ca);
    unlink(other);
    unlink(crl);
    made_free(&a);
    made_free(&b);
}

static void an_old_list_is_a_warning(void **state)
{
    (void)state;
    char ca[128], crl[128], text[512];
    struct made a = make_cert(EVP_EC_gen("P-256"), "one", 30);
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    snprintf(crl, sizeof(crl), "%s/crl.pem", folder);
    write_pem(ca, &a, false, NULL);
    write_crl(crl, &a, -1);
    snprintf(text, sizeof(text), "ca: %s, crl: %s", ca, crl);
    lt_tls_policy_free(policy_of(text));
    assert_true(lt_load_ok(&e.load));
    env_expect(&e, "a revocation list is out of date");
    unlink(ca);
    unlink(crl);
    made_free(&a);
}

static void no_version_may_be_left(void **state)
{
    (void)state;
    int64_t ends;
    assert_null(lt_tls_policy_load(&e.load, read_top("profile: modern"),
                                   read_site(CERT "max_version: 1.2"), &ends));
    env_expect(&e, "no version of TLS is left for this site");
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
        cmocka_unit_test_setup_teardown(a_profile_says_what_is_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(a_site_changes_what_stands_at_the_top, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_openssl_does_not_know_are_errors, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(authorities_and_lists_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(an_old_list_is_a_warning, setup, teardown),
        cmocka_unit_test_setup_teardown(no_version_may_be_left, setup, teardown),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
