/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_env.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/tls_ca.h"
#include "net/tls_impl.h"

static char folder[] = "/tmp/lt_tls_policy_XXXXXX";
static struct lt_tls_cert *cert;
static struct made ca, partner, stranger;
static X509_STORE *trust;

/* ---- A handshake ---- */

struct side {
    struct lt_loop *loop;
    struct lt_stream s;
    bool over;
    enum lt_err err;
};

static void on_nothing(void *owner)
{
    (void)owner;
}

static void on_handshake(void *owner, enum lt_err err)
{
    struct side *side = owner;
    side->over = true;
    side->err = err;
}

static const struct lt_stream_ops ops = {
    .on_readable = on_nothing, .on_drained = on_nothing, .on_handshake = on_handshake};

struct link {
    struct side side;
    struct client client;
};

static void link_open(struct link *l, struct lt_tls_server *server, int version, const char *sni,
                      const struct made *shown)
{
    int fds[2];
    memset(l, 0, sizeof(*l));
    make_tcp_pair(fds);
    l->side.loop = lt_loop_new((size_t)1 << 20);
    struct lt_tls *tls = lt_tls_accept(server);
    assert_non_null(tls);
    lt_stream_open(&l->side.s, l->side.loop, fds[0], &ops, &l->side);
    lt_stream_start_tls(&l->side.s, tls);
    client_init(&l->client, fds[1], version, sni, NULL);
    if (shown != NULL) {
        assert_int_equal(SSL_use_cert_and_key(l->client.ssl, shown->cert, shown->key, NULL, 1), 1);
    }
}

static enum lt_err link_shake(struct link *l)
{
    RUN_UNTIL(l->side.loop, (shake(&l->client), l->side.over));
    return l->side.err;
}

static const struct lt_tls_info *info_of(const struct link *l)
{
    return lt_tls_info(l->side.s.tls);
}

static void link_close(struct link *l)
{
    client_fini(&l->client);
    lt_stream_close(&l->side.s);
    lt_loop_free(l->side.loop);
}

/* ---- Policies ---- */

static struct lt_tls_policy *asking(enum lt_tls_verify verify)
{
    struct lt_tls_policy *plain = make_policy(TLS1_2_VERSION);
    struct lt_tls_policy_spec spec = plain->spec;
    spec.verify = verify;
    spec.trust = trust;
    spec.tell = LT_TLS_TELL_CERTIFICATE;
    struct lt_tls_policy *policy = lt_tls_policy_new(&spec);
    assert_non_null(policy);
    lt_tls_policy_free(plain);
    return policy;
}

static void add(struct lt_tls_store *store, const char *host, struct lt_tls_policy *policy)
{
    const struct lt_tls_cert *list = cert;
    assert_int_equal(lt_tls_store_add(store, lt_str_c(host), policy, &list, 1), LT_OK);
    lt_tls_policy_free(policy);
}

/* open.test asks nobody, wanted.test and needed.test do, new.test speaks 1.3 alone. */
static struct lt_tls_store *make_store(void)
{
    struct lt_tls_store *store = lt_tls_store_new();
    add(store, "open.test", make_policy(TLS1_2_VERSION));
    add(store, "wanted.test", asking(LT_TLS_VERIFY_OPTIONAL));
    add(store, "needed.test", asking(LT_TLS_VERIFY_REQUIRED));
    add(store, "new.test", make_policy(TLS1_3_VERSION));
    return store;
}

static struct lt_tls_server *make_server(struct lt_tls_store *store)
{
    const struct lt_tls_options options = {.ticket_life_s = 60};
    const char *why = "";
    struct lt_tls_server *server = lt_tls_server_new(&options, store, &why);
    assert_non_null(server);
    return server;
}

static void the_server_name_chooses_the_policy(void **state)
{
    (void)state;
    static const struct {
        const char *sni;
        const struct made *shown;
        int version;
        bool fine, verified;
    } cases[] = {
        {"open.test", NULL, TLS1_2_VERSION, true, false},
        {"open.test", &partner, TLS1_3_VERSION, true, false}, /* nobody asked */
        {"wanted.test", NULL, TLS1_2_VERSION, true, false},
        {"wanted.test", &partner, TLS1_2_VERSION, true, true},
        {"wanted.test", &partner, TLS1_3_VERSION, true, true},
        {"wanted.test", &stranger, TLS1_3_VERSION, false, false},
        {"needed.test", NULL, TLS1_2_VERSION, false, false},
        {"needed.test", NULL, TLS1_3_VERSION, false, false},
        {"needed.test", &partner, TLS1_3_VERSION, true, true},
        {"needed.test", &stranger, TLS1_2_VERSION, false, false},
        {"new.test", NULL, TLS1_2_VERSION, false, false},
        {"new.test", NULL, TLS1_3_VERSION, true, false},
        {NULL, NULL, TLS1_2_VERSION, true, false},
    };
    struct lt_tls_store *store = make_store();
    struct lt_tls_server *server = make_server(store);
    for (unsigned i = 0; i < lt_countof(cases); i++) {
        struct link l;
        link_open(&l, server, cases[i].version, cases[i].sni, cases[i].shown);
        assert_int_equal(link_shake(&l) == LT_OK, cases[i].fine);
        assert_int_equal(info_of(&l) != NULL, cases[i].fine);
        if (cases[i].fine) {
            assert_int_equal(info_of(&l)->verified, cases[i].verified);
            assert_true(lt_tls_server_fits(server, info_of(&l)));
        }
        link_close(&l);
    }
    lt_tls_server_free(server);
    lt_tls_store_free(store);
}

static void what_the_certificate_says_is_plain_text(void **state)
{
    (void)state;
    struct lt_tls_store *store = make_store();
    struct lt_tls_server *server = make_server(store);
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, "needed.test", &partner);
    assert_int_equal(link_shake(&l), LT_OK);
    struct lt_tls_info *info = lt_tls_info_ref(lt_tls_info(l.side.s.tls));
    link_close(&l); /* it outlives the connection */
    assert_str(info->subject, "CN=a\\,b\\0D\\0AX: y\\C3\\A9");
    assert_str(info->san, "DNS:p.test%2C%0D%0A,URI:spiffe://p/x,IP:10.0.0.1,"
                          "IP:fe80:0:0:0:0:0:0:1,email:me@p.test");
    assert_int_equal(info->fingerprint.len, 64);
    assert_true(lt_str_starts(info->issuer, LT_STR("CN=")));
    assert_true(info->serial.len > 0);
    assert_true(info->not_after > time(NULL));
    assert_true(lt_str_starts(info->certificate, LT_STR(":MII")));
    assert_int_equal(info->certificate.p[info->certificate.len - 1], ':');
    assert_int_equal((info->certificate.len - 2) % 4, 0);
    for (size_t i = 0; i < info->certificate.len; i++) {
        assert_true(info->certificate.p[i] > 0x20);
    }
    lt_tls_info_free(info);
    lt_tls_info_free(NULL);
    assert_null(lt_tls_info_ref(NULL));
    lt_tls_server_free(server);
    lt_tls_store_free(store);
}

/* ---- Another store ---- */

static void contexts_of_the_same_policy_stay(void **state)
{
    (void)state;
    const char *why = "";
    struct lt_tls_store *store = make_store(), *other = lt_tls_store_new();
    add(other, "late.test", make_policy(TLS1_3_VERSION));
    add(other, "open.test", make_policy(TLS1_2_VERSION));
    struct lt_tls_server *server = make_server(store);
    SSL_CTX *open = server->contexts[0], *new = server->contexts[3];
    assert_true(lt_tls_server_update(server, other, &why));
    assert_ptr_equal(server->contexts[0], new);
    assert_ptr_equal(server->contexts[1], open);
    lt_mem_fail_at(1);
    assert_false(lt_tls_server_update(server, store, &why));
    lt_mem_fail_at(0);
    assert_string_equal(why, "out of memory");
    assert_ptr_equal(server->contexts[1], open); /* all as it was */
    lt_tls_server_free(server);
    lt_tls_store_free(store);
    lt_tls_store_free(other);
}

/* A handshake has begun when the store is replaced: it ends with what it began with. */
static void a_handshake_ends_with_what_it_began_with(void **state)
{
    (void)state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (unsigned i = 0; i < 4; i++) {
        const char *why = "";
        struct lt_tls_store *store = make_store(), *other = lt_tls_store_new();
        add(other, "wanted.test", make_policy(TLS1_2_VERSION));
        struct lt_tls_server *server = make_server(store);
        lt_tls_store_free(store);
        struct link l;
        link_open(&l, server, versions[i % 2], "wanted.test", &partner);
        if (i / 2 == 1) { /* after the hello, else before it */
            shake(&l.client);
            run_for(l.side.loop, 20);
        }
        assert_true(lt_tls_server_update(server, other, &why));
        lt_tls_store_free(other);
        assert_int_equal(link_shake(&l), LT_OK);
        assert_int_equal(info_of(&l)->verified, i / 2 == 1);
        assert_int_equal(lt_tls_server_fits(server, info_of(&l)), i / 2 == 0);
        link_close(&l);
        lt_tls_server_free(server);
    }
}

static void policies_of_one_store_have_a_limit(void **state)
{
    (void)state;
    const struct lt_tls_cert *list = cert;
    struct lt_tls_store *store = lt_tls_store_new();
    struct lt_tls_policy *plain = make_policy(TLS1_2_VERSION);
    for (unsigned i = 0; i <= LT_TLS_POLICIES_MAX; i++) {
        char host[16];
        struct lt_tls_policy_spec spec = plain->spec;
        snprintf(host, sizeof(host), "%u.test", i);
        spec.depth = i;
        struct lt_tls_policy *policy = lt_tls_policy_new(&spec);
        assert_int_equal(lt_tls_store_add(store, lt_str_c(host), policy, &list, 1),
                         i < LT_TLS_POLICIES_MAX ? LT_OK : LT_ERR_LIMIT);
        lt_tls_policy_free(policy);
    }
    lt_tls_policy_free(plain);
    lt_tls_store_free(store);
}

static void the_fallback_is_for_names_that_nothing_fits(void **state)
{
    (void)state;
    const struct lt_tls_cert *list = cert;
    struct lt_tls_store *store = lt_tls_store_new();
    struct lt_tls_policy *star = asking(LT_TLS_VERIFY_REQUIRED);
    struct lt_tls_policy *rest = make_policy(TLS1_2_VERSION);
    assert_int_equal(lt_tls_store_add_fallback(store, rest, &list, 1), LT_OK);
    assert_int_equal(lt_tls_store_add_fallback(store, rest, &list, 1), LT_ERR_EXISTS);
    struct lt_tls_server *server = make_server(store);
    assert_ptr_equal(lt_tls_server_choose(server, LT_STR("any.test"))->policy, rest);
    assert_ptr_equal(lt_tls_server_choose(server, LT_STR_NONE)->policy, rest);
    server->options.refuse_unknown = true;
    assert_null(lt_tls_server_choose(server, LT_STR("any.test")));
    assert_ptr_equal(lt_tls_server_choose(server, LT_STR_NONE)->policy, rest);
    lt_tls_server_free(server);
    /* A "*" is a name that a site has: it goes first. */
    assert_int_equal(lt_tls_store_add(store, LT_STR("*"), star, &list, 1), LT_OK);
    server = make_server(store);
    assert_ptr_equal(lt_tls_server_choose(server, LT_STR("any.test"))->policy, star);
    assert_ptr_equal(lt_tls_server_choose(server, LT_STR_NONE)->policy, star);
    lt_tls_server_free(server);
    lt_tls_store_free(store);
    lt_tls_policy_free(star);
    lt_tls_policy_free(rest);
}

/* ---- Failures ---- */

static void without_memory_nothing_is_half_made(void **state)
{
    (void)state;
    struct lt_tls_policy *policy = asking(LT_TLS_VERIFY_REQUIRED);
    for (unsigned i = 1; i <= 5; i++) { /* the object, three texts, the digests */
        lt_mem_fail_at(i);
        assert_null(lt_tls_policy_new(&policy->spec));
    }
    lt_mem_fail_at(0);
    lt_tls_policy_free(policy);
    lt_tls_policy_free(NULL);
}

static void each_failure_has_its_kind(void **state)
{
    (void)state;
    static const struct {
        enum lt_err err;
        int reason;
        enum lt_refusal refusal;
    } cases[] = {
        {LT_EOF, 0, LT_REFUSAL_CLIENT_GONE},
        {LT_ERR_RESET, 0, LT_REFUSAL_CLIENT_GONE},
        {LT_ERR_TIMEOUT, 0, LT_REFUSAL_TIMEOUT},
        {LT_ERR_NOMEM, 0, LT_REFUSAL_INTERNAL},
        {LT_ERR_TLS, SSL_R_HTTP_REQUEST, LT_REFUSAL_NOT_TLS},
        {LT_ERR_TLS, SSL_R_UNSUPPORTED_PROTOCOL, LT_REFUSAL_NO_COMMON_VERSION},
        {LT_ERR_TLS, SSL_R_NO_SHARED_CIPHER, LT_REFUSAL_NO_COMMON_CIPHER},
        {LT_ERR_TLS, SSL_R_NO_SUITABLE_KEY_SHARE, LT_REFUSAL_NO_COMMON_GROUP},
        {LT_ERR_TLS, SSL_R_CERTIFICATE_VERIFY_FAILED, LT_REFUSAL_CERTIFICATE_INVALID},
        {LT_ERR_TLS, SSL_R_TLSV1_ALERT_UNKNOWN_CA, LT_REFUSAL_REFUSED_BY_CLIENT},
        {LT_ERR_TLS, SSL_R_BAD_EXTENSION, LT_REFUSAL_MALFORMED},
        {LT_ERR_TLS, ERR_R_MALLOC_FAILURE, LT_REFUSAL_INTERNAL},
    };
    for (unsigned i = 0; i < lt_countof(cases); i++) {
        const struct lt_tls tls = {.code = ERR_PACK(ERR_LIB_SSL, 0, cases[i].reason)};
        assert_int_equal(lt_tls_refusal(&tls, cases[i].err), cases[i].refusal);
    }
    const struct lt_tls known = {.refusal = LT_REFUSAL_UNKNOWN_NAME};
    assert_int_equal(lt_tls_refusal(&known, LT_ERR_TLS), LT_REFUSAL_UNKNOWN_NAME);
}

/* ---- Files ---- */

static void a_stamp_tells_files_apart(void **state)
{
    (void)state;
    char path[64], other[64];
    snprintf(path, sizeof(path), "%s/a", folder);
    snprintf(other, sizeof(other), "%s/b", folder);
    struct lt_tls_stamp none = lt_tls_stamp(path);
    write_pem(path, &partner, false, NULL);
    write_pem(other, &partner, false, NULL);
    struct lt_tls_stamp first = lt_tls_stamp(path), same = lt_tls_stamp(path);
    assert_true(lt_tls_stamp_eq(&first, &same));
    assert_false(lt_tls_stamp_eq(&first, &none));
    assert_int_equal(rename(other, path), 0);
    same = lt_tls_stamp(path);
    assert_false(lt_tls_stamp_eq(&first, &same));
    unlink(path);
}

/* ---- Made before all ---- */

/* One that may issue others. */
static struct made make_authority(void)
{
    struct made m = make_cert(EVP_EC_gen("P-256"), "ca", 30);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");
    assert_non_null(ext);
    X509_add_ext(m.cert, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(m.cert, m.key, EVP_sha256()) > 0);
    return m;
}

/* A certificate for clients that ca has issued; the subject and names are meant to hurt. */
static struct made make_partner(const struct made *issuer)
{
    static const char subject[] = "a,b\r\nX: y\xc3\xa9";
    struct made m = make_cert(EVP_EC_gen("P-256"), "plain", 30);
    X509_NAME *name = X509_NAME_new();
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)subject,
                               sizeof(subject) - 1, -1, 0);
    X509_set_subject_name(m.cert, name);
    X509_set_issuer_name(m.cert, X509_get_subject_name(issuer->cert));
    X509_NAME_free(name);
    X509_EXTENSION_free(X509_delete_ext(m.cert, 0));
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *dns = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, "p.test,\r\n", -1);
    GENERAL_NAME_set0_value(dns, GEN_DNS, text);
    sk_GENERAL_NAME_push(names, dns);
    static const struct {
        int kind;
        const char *value;
    } more[] = {{GEN_URI, "spiffe://p/x"},
                {GEN_IPADD, "10.0.0.1"},
                {GEN_IPADD, "fe80::1"},
                {GEN_EMAIL, "me@p.test"}};
    for (unsigned i = 0; i < lt_countof(more); i++) {
        sk_GENERAL_NAME_push(names,
                             a2i_GENERAL_NAME(NULL, NULL, NULL, more[i].kind, more[i].value, 0));
    }
    assert_int_equal(X509_add1_ext_i2d(m.cert, NID_subject_alt_name, names, 0, 0), 1);
    GENERAL_NAMES_free(names);
    assert_true(X509_sign(m.cert, issuer->key, EVP_sha256()) > 0);
    return m;
}

static int setup(void **state)
{
    (void)state;
    char path[64];
    struct lt_arena arena;
    struct lt_tls_complaint complaint;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    cert = load_made(folder, EVP_EC_gen("P-256"), "server.test");
    ca = make_authority();
    partner = make_partner(&ca);
    stranger = make_cert(EVP_EC_gen("P-256"), "stranger", 30);
    snprintf(path, sizeof(path), "%s/ca.pem", folder);
    write_pem(path, &ca, false, NULL);
    lt_arena_init(&arena, NULL, 0, 65536);
    trust = lt_tls_ca_load(NULL, &arena, lt_str_c(path), &complaint);
    lt_arena_fini(&arena);
    unlink(path);
    return trust == NULL;
}

static int teardown(void **state)
{
    (void)state;
    X509_STORE_free(trust);
    lt_tls_cert_free(cert);
    made_free(&ca);
    made_free(&partner);
    made_free(&stranger);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_name_chooses_the_policy),
        cmocka_unit_test(what_the_certificate_says_is_plain_text),
        cmocka_unit_test(contexts_of_the_same_policy_stay),
        cmocka_unit_test(a_handshake_ends_with_what_it_began_with),
        cmocka_unit_test(policies_of_one_store_have_a_limit),
        cmocka_unit_test(the_fallback_is_for_names_that_nothing_fits),
        cmocka_unit_test(without_memory_nothing_is_half_made),
        cmocka_unit_test(each_failure_has_its_kind),
        cmocka_unit_test(a_stamp_tells_files_apart),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
