/* SPDX-License-Identifier: Apache-2.0 */
/* TLS towards servers against an OpenSSL server that the test pumps by hand. What comes out of a
 * whole gateway is in tests/http/test_upstream_tls.py. */
#include "tls_env.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/tls_client.h"

static char folder[] = "/tmp/lt_tls_client_XXXXXX";
static struct made server_cert, other_cert;
static struct lt_tls_trust *trust; /* of server_cert, which is its own authority */
static struct lt_arena arena;

/* ---- The server ---- */

struct server {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static int choose(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
                  unsigned in_len, void *arg)
{
    (void)ssl;
    const char *want = arg;
    for (unsigned i = 0; i < in_len; i += in[i] + 1u) {
        if (in[i] == strlen(want) && memcmp(in + i + 1, want, in[i]) == 0) {
            *out = in + i + 1;
            *len = in[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static void server_init(struct server *s, const struct made *cert, int version, const char *alpn)
{
    s->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(s->ctx, version);
    SSL_CTX_set_max_proto_version(s->ctx, version);
    SSL_CTX_set_session_id_context(s->ctx, (const unsigned char *)"s", 1);
    assert_int_equal(SSL_CTX_use_certificate(s->ctx, cert->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, cert->key), 1);
    if (alpn != NULL) {
        SSL_CTX_set_alpn_select_cb(s->ctx, choose, (void *)(uintptr_t)alpn);
    }
}

static void server_fini(struct server *s)
{
    SSL_CTX_free(s->ctx);
}

/* ---- Our end ---- */

struct side {
    struct lt_loop *loop;
    struct lt_stream s;
    struct server *server;
    unsigned handshakes, readables;
    enum lt_err shaken, last;
    char in[100];
    size_t in_len;
};

static void on_readable(void *owner)
{
    struct side *side = owner;
    size_t n;
    side->readables++;
    while ((side->last = lt_stream_recv(&side->s, side->in + side->in_len,
                                        sizeof(side->in) - side->in_len, &n)) == LT_OK) {
        side->in_len += n;
    }
}

static void on_drained(void *owner)
{
    (void)owner;
}

static void on_handshake(void *owner, enum lt_err err)
{
    struct side *side = owner;
    side->handshakes++;
    side->shaken = err;
}

static const struct lt_stream_ops ops = {
    .on_readable = on_readable, .on_drained = on_drained, .on_handshake = on_handshake};

/* One step of the server; true when its handshake is over. */
static bool serve(struct side *side)
{
    ERR_clear_error();
    return SSL_do_handshake(side->server->ssl) == 1;
}

/* Opens a connection to server by peer and shakes hands: how that ended. */
static enum lt_err shake_hands(struct side *side, struct server *server, struct lt_tls_peer *peer,
                               const char *name)
{
    int fds[2];
    memset(side, 0, sizeof(*side));
    make_pair(fds);
    side->loop = lt_loop_new(BLOCKS_MAX);
    assert_non_null(side->loop);
    side->server = server;
    server->fd = fds[1];
    server->ssl = SSL_new(server->ctx);
    SSL_set_fd(server->ssl, fds[1]);
    SSL_set_accept_state(server->ssl);
    struct lt_tls *tls = lt_tls_connect(peer, lt_str_c(name));
    assert_non_null(tls);
    lt_stream_open(&side->s, side->loop, fds[0], &ops, side);
    lt_stream_start_tls(&side->s, tls);
    lt_stream_look(&side->s);
    RUN_UNTIL(side->loop, (serve(side), side->handshakes == 1));
    if (side->shaken == LT_OK) {
        RUN_UNTIL(side->loop, serve(side));
    }
    return side->shaken;
}

static void part(struct side *side)
{
    lt_stream_close(&side->s);
    one_turn(side->loop);
    SSL_set_shutdown(side->server->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(side->server->ssl);
    close(side->server->fd);
    lt_loop_free(side->loop);
}

/* The server sends something, so that tickets before it are read too. */
static void hear(struct side *side)
{
    side->in_len = 0;
    assert_int_equal(SSL_write(side->server->ssl, "hello", 5), 5);
    RUN_UNTIL(side->loop, side->in_len == 5);
}

/* ---- Policies ---- */

static struct lt_tls_client_spec plain_spec(void)
{
    return (struct lt_tls_client_spec){.trust = trust,
                                       .name = LT_STR("app.test"),
                                       .min_version = TLS1_2_VERSION,
                                       .offer = LT_TLS_OFFER_H1,
                                       .sessions = 2};
}

/* A peer that is spoken to by spec. */
static void use(struct lt_tls_peer *peer, struct lt_list *list,
                const struct lt_tls_client_spec *spec)
{
    const char *why = "";
    struct lt_tls_client_policy *policy = lt_tls_client_policy_new(spec);
    assert_non_null(policy);
    assert_true(lt_tls_peer_use(peer, list, policy, &why));
    lt_tls_client_policy_free(policy);
}

static struct lt_tls_trust *load_trust(const char *name, const struct made *cert)
{
    char path[256];
    struct lt_tls_complaint complaint;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    write_pem(path, cert, false, NULL);
    struct lt_tls_trust *made = lt_tls_trust_load(NULL, &arena, lt_str_c(path), &complaint);
    assert_non_null(made);
    unlink(path);
    return made;
}

static void both_versions_talk_and_agree_on_a_protocol(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    static const struct {
        unsigned offer;
        const char *chooses, *agreed;
    } cases[] = {
        {LT_TLS_OFFER_H1, "http/1.1", "http/1.1"},
        {LT_TLS_OFFER_H2, "h2", "h2"},
        {LT_TLS_OFFER_H1 | LT_TLS_OFFER_H2, "h2", "h2"},
        {LT_TLS_OFFER_H1, "h2", ""},
        {LT_TLS_OFFER_H1, NULL, ""},
        {0, "http/1.1", ""},
    };
    for (size_t i = 0; i < 2 * lt_countof(cases); i++) {
        struct server server;
        struct side side;
        struct lt_list list;
        struct lt_tls_peer peer = {.client = NULL};
        struct lt_tls_client_spec spec = plain_spec();
        spec.offer = cases[i / 2].offer;
        lt_list_init(&list);
        server_init(&server, &server_cert, versions[i % 2], cases[i / 2].chooses);
        use(&peer, &list, &spec);
        assert_int_equal(shake_hands(&side, &server, &peer, ""), LT_OK);
        assert_str(lt_tls_alpn(side.s.tls), cases[i / 2].agreed);
        assert_string_equal(SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name), "app.test");
        hear(&side);
        part(&side);
        lt_tls_peer_fini(&peer);
        assert_true(lt_list_empty(&list));
        server_fini(&server);
    }
}

/* How the handshake with a server that shows cert ends. */
static enum lt_tls_fault fault(const struct lt_tls_client_spec *spec, const struct made *cert,
                               const char *name)
{
    struct server server;
    struct side side;
    struct lt_list list;
    struct lt_tls_peer peer = {.client = NULL};
    lt_list_init(&list);
    server_init(&server, cert, TLS1_3_VERSION, NULL);
    use(&peer, &list, spec);
    enum lt_err err = shake_hands(&side, &server, &peer, name);
    enum lt_tls_fault found = lt_tls_fault(side.s.tls);
    assert_int_equal(err, found == LT_TLS_FAULT_NONE ? LT_OK : LT_ERR_TLS);
    part(&side);
    lt_tls_peer_fini(&peer);
    server_fini(&server);
    return found;
}

static void what_is_asked_of_a_certificate(void **state)
{
    (void)state;
    struct lt_tls_client_spec spec = plain_spec();
    assert_int_equal(fault(&spec, &server_cert, ""), LT_TLS_FAULT_NONE);
    assert_int_equal(fault(&spec, &other_cert, ""), LT_TLS_FAULT_UNTRUSTED);
    spec.name = LT_STR("other.test");
    assert_int_equal(fault(&spec, &server_cert, ""), LT_TLS_FAULT_NAME);
    spec.name = LT_STR("10.0.0.1");
    assert_int_equal(fault(&spec, &server_cert, ""), LT_TLS_FAULT_NAME);
    spec.name = LT_STR_NONE; /* each by its own */
    assert_int_equal(fault(&spec, &server_cert, "app.test"), LT_TLS_FAULT_NONE);
    assert_int_equal(fault(&spec, &server_cert, "10.0.0.1"), LT_TLS_FAULT_NAME);
    struct made old = make_cert(EVP_EC_gen("P-256"), "app.test", -1);
    struct lt_tls_trust *trusts_old = load_trust("old.pem", &old);
    spec = plain_spec();
    spec.trust = trusts_old;
    assert_int_equal(fault(&spec, &old, ""), LT_TLS_FAULT_EXPIRED);
    lt_tls_trust_free(trusts_old);
    spec.trust = NULL; /* nothing is verified */
    assert_int_equal(fault(&spec, &old, ""), LT_TLS_FAULT_NONE);
    assert_int_equal(fault(&spec, &other_cert, ""), LT_TLS_FAULT_NONE);
    made_free(&old);
}

static void pin_of(const struct made *cert, unsigned char *pin)
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert->cert), &der);
    assert_true(len > 0);
    assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)len, pin, NULL), 1);
    OPENSSL_free(der);
}

static void a_pinned_key_is_the_only_one(void **state)
{
    (void)state;
    unsigned char pins[2][LT_TLS_PIN_LEN];
    struct lt_tls_client_spec spec = plain_spec();
    pin_of(&other_cert, pins[0]);
    pin_of(&server_cert, pins[1]);
    spec.pins = (const unsigned char(*)[LT_TLS_PIN_LEN])pins;
    spec.n_pins = 1;
    assert_int_equal(fault(&spec, &server_cert, ""), LT_TLS_FAULT_PIN);
    spec.n_pins = 2;
    assert_int_equal(fault(&spec, &server_cert, ""), LT_TLS_FAULT_NONE);
    assert_int_equal(fault(&spec, &other_cert, ""), LT_TLS_FAULT_UNTRUSTED);
    spec.trust = NULL;
    spec.n_pins = 1;
    assert_int_equal(fault(&spec, &other_cert, ""), LT_TLS_FAULT_NONE);
    assert_int_equal(fault(&spec, &server_cert, ""), LT_TLS_FAULT_PIN);
}

static void sessions_are_few_and_tickets_of_1_3_used_once(void **state)
{
    (void)state;
    struct server server;
    struct side side;
    struct lt_list list;
    struct lt_tls_peer peer = {.client = NULL};
    struct lt_tls_client_spec spec = plain_spec();
    lt_list_init(&list);
    use(&peer, &list, &spec);
    server_init(&server, &server_cert, TLS1_3_VERSION, NULL);
    SSL_CTX_set_num_tickets(server.ctx, 5);
    assert_int_equal(shake_hands(&side, &server, &peer, ""), LT_OK);
    assert_false(lt_tls_resumed(side.s.tls));
    hear(&side);
    assert_int_equal(peer.n, 2); /* of five */
    part(&side);
    SSL_CTX_set_num_tickets(server.ctx, 0);
    for (unsigned left = 2; left > 0; left--) {
        assert_int_equal(shake_hands(&side, &server, &peer, ""), LT_OK);
        assert_true(lt_tls_resumed(side.s.tls));
        assert_int_equal(peer.n, left - 1);
        part(&side);
    }
    assert_int_equal(shake_hands(&side, &server, &peer, ""), LT_OK);
    assert_false(lt_tls_resumed(side.s.tls));
    part(&side);
    lt_tls_peer_fini(&peer);
    server_fini(&server);
}

static void a_session_of_1_2_survives_a_connection_that_was_cut(void **state)
{
    (void)state;
    struct server server;
    struct side side;
    struct lt_list list;
    struct lt_tls_peer peer = {.client = NULL};
    struct lt_tls_client_spec spec = plain_spec();
    lt_list_init(&list);
    use(&peer, &list, &spec);
    server_init(&server, &server_cert, TLS1_2_VERSION, NULL);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(shake_hands(&side, &server, &peer, ""), LT_OK);
        assert_int_equal(lt_tls_resumed(side.s.tls), i > 0);
        lt_stream_reset(&side.s);
        part(&side);
    }
    lt_tls_peer_fini(&peer);
    server_fini(&server);
}

static void other_settings_have_other_sessions(void **state)
{
    (void)state;
    struct server server;
    struct side side;
    struct lt_list list;
    struct lt_tls_peer peer = {.client = NULL};
    struct lt_tls_client_spec spec = plain_spec();
    lt_list_init(&list);
    use(&peer, &list, &spec);
    server_init(&server, &server_cert, TLS1_3_VERSION, NULL);
    assert_int_equal(shake_hands(&side, &server, &peer, ""), LT_OK);
    struct lt_tls_client *first = peer.client;
    use(&peer, &list, &spec); /* the same in another configuration */
    assert_ptr_equal(peer.client, first);
    struct lt_tls_client_policy *policy = lt_tls_client_policy_new(&spec);
    assert_true(lt_tls_obeys(side.s.tls, policy));
    lt_tls_client_policy_free(policy);
    spec.name = LT_STR("other.test");
    use(&peer, &list, &spec);
    assert_ptr_not_equal(peer.client, first);
    policy = lt_tls_client_policy_new(&spec);
    assert_false(lt_tls_obeys(side.s.tls, policy));
    lt_tls_client_policy_free(policy);
    hear(&side); /* with tickets for the settings that are gone */
    assert_int_equal(peer.n, 0);
    part(&side);
    lt_tls_peer_fini(&peer);
    assert_true(lt_list_empty(&list));
    server_fini(&server);
}

static void each_setting_makes_another_policy(void **state)
{
    (void)state;
    static const unsigned char pins[1][LT_TLS_PIN_LEN] = {{1}};
    const struct lt_tls_client_spec base = plain_spec();
    struct lt_tls_client_spec specs[] = {base, base, base, base, base, base, base};
    struct lt_tls_cert *cert = load_made(folder, EVP_EC_gen("P-256"), "us.test");
    struct lt_tls_client *clients[lt_countof(specs)];
    struct lt_list list;
    const char *why;
    specs[1].trust = NULL;
    specs[2].cert = cert;
    specs[3].name = LT_STR_NONE;
    specs[4].min_version = TLS1_3_VERSION;
    specs[5].offer = LT_TLS_OFFER_H2;
    specs[6].pins = pins;
    specs[6].n_pins = 1;
    lt_list_init(&list);
    for (size_t i = 0; i < lt_countof(specs); i++) {
        struct lt_tls_client_policy *policy = lt_tls_client_policy_new(&specs[i]);
        clients[i] = lt_tls_client_get(&list, policy, &why);
        assert_non_null(clients[i]);
        struct lt_tls_client *again = lt_tls_client_get(&list, policy, &why);
        assert_ptr_equal(again, clients[i]);
        lt_tls_client_free(again);
        lt_tls_client_policy_free(policy);
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(clients[i], clients[j]);
        }
    }
    for (size_t i = 0; i < lt_countof(specs); i++) {
        lt_tls_client_free(clients[i]);
    }
    assert_true(lt_list_empty(&list));
    lt_tls_cert_free(cert);
}

static void tickets_are_silence_and_bytes_are_not(void **state)
{
    (void)state;
    struct server server;
    struct side side;
    struct lt_list list;
    struct lt_tls_peer peer = {.client = NULL};
    struct lt_tls_client_spec spec = plain_spec();
    lt_list_init(&list);
    use(&peer, &list, &spec);
    server_init(&server, &server_cert, TLS1_3_VERSION, NULL);
    assert_int_equal(shake_hands(&side, &server, &peer, ""), LT_OK);
    wait_readable(side.s.fd); /* the tickets */
    assert_true(lt_stream_is_silent(&side.s));
    assert_int_equal(peer.n, 2);
    assert_true(lt_stream_is_silent(&side.s));
    assert_int_equal(SSL_write(server.ssl, "x", 1), 1);
    wait_readable(side.s.fd);
    assert_false(lt_stream_is_silent(&side.s));
    part(&side);
    lt_tls_peer_fini(&peer);
    server_fini(&server);
}

static void an_end_without_notice_is_a_cut(void **state)
{
    (void)state;
    for (unsigned notified = 0; notified < 2; notified++) {
        struct server server;
        struct side side;
        struct lt_list list;
        struct lt_tls_peer peer = {.client = NULL};
        struct lt_tls_client_spec spec = plain_spec();
        lt_list_init(&list);
        use(&peer, &list, &spec);
        server_init(&server, &server_cert, TLS1_3_VERSION, NULL);
        assert_int_equal(shake_hands(&side, &server, &peer, ""), LT_OK);
        hear(&side);
        if (notified == 1) {
            SSL_shutdown(server.ssl);
        }
        shutdown(server.fd, SHUT_WR);
        RUN_UNTIL(side.loop, side.last == LT_EOF);
        assert_int_equal(lt_stream_was_cut(&side.s), notified == 0);
        part(&side);
        lt_tls_peer_fini(&peer);
        server_fini(&server);
    }
}

static void rubbish_and_plain_text_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        enum lt_tls_fault fault;
        enum lt_err err;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", LT_TLS_FAULT_NO_TLS, LT_ERR_TLS},
        {"\x15\x03\x03\x00\x02\x02\x28", LT_TLS_FAULT_ALERT, LT_ERR_TLS},
        {"\x15\x03\x03\x00\x02\x02\x2a", LT_TLS_FAULT_OUR_CERT, LT_ERR_TLS},
        {"\x16\x03\x03\x00\x04\x63\x00\x00\x00", LT_TLS_FAULT_PROTOCOL, LT_ERR_TLS},
        {"", LT_TLS_FAULT_GONE, LT_EOF},
    };
    static const size_t lengths[] = {28, 7, 7, 9, 0};
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct lt_list list;
        struct lt_tls_peer peer = {.client = NULL};
        struct lt_tls_client_spec spec = plain_spec();
        struct side side = {.loop = lt_loop_new(BLOCKS_MAX)};
        int fds[2];
        make_pair(fds);
        lt_list_init(&list);
        use(&peer, &list, &spec);
        lt_stream_open(&side.s, side.loop, fds[0], &ops, &side);
        lt_stream_start_tls(&side.s, lt_tls_connect(&peer, LT_STR_NONE));
        lt_stream_look(&side.s);
        assert_int_equal(send(fds[1], cases[i].says, lengths[i], 0), lengths[i]);
        shutdown(fds[1], SHUT_WR);
        RUN_UNTIL(side.loop, side.handshakes == 1);
        assert_int_equal(side.shaken, cases[i].err);
        assert_int_equal(lt_tls_fault(side.s.tls), cases[i].fault);
        lt_stream_close(&side.s);
        lt_tls_peer_fini(&peer);
        close(fds[1]);
        lt_loop_free(side.loop);
    }
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    struct lt_tls_client_spec spec = plain_spec();
    struct lt_list list;
    struct lt_tls_peer peer = {.client = NULL};
    const char *why;
    lt_list_init(&list);
    struct lt_tls_client_policy *policy = lt_tls_client_policy_new(&spec);
    lt_mem_fail_at(1);
    assert_null(lt_tls_client_policy_new(&spec));
    lt_mem_fail_at(1);
    assert_null(lt_tls_client_get(&list, policy, &why));
    lt_mem_fail_at(1);
    assert_false(lt_tls_peer_use(&peer, &list, policy, &why));
    lt_mem_fail_at(0);
    assert_true(lt_tls_peer_use(&peer, &list, policy, &why));
    lt_mem_fail_at(1);
    assert_null(lt_tls_connect(&peer, LT_STR_NONE));
    lt_mem_fail_at(1);
    assert_null(lt_tls_cert_temporary());
    lt_mem_fail_at(0);
    lt_tls_peer_fini(&peer);
    lt_tls_client_policy_free(policy);
    assert_true(lt_list_empty(&list));
}

static void authorities_that_can_not_be_read_are_named(void **state)
{
    (void)state;
    struct lt_tls_complaint complaint;
    char path[256];
    assert_null(lt_tls_trust_load(NULL, &arena, LT_STR("/no/such.pem"), &complaint));
    assert_str(complaint.why, "/no/such.pem: No such file or directory");
    snprintf(path, sizeof(path), "%s/bad.pem", folder);
    static const char *const texts[] = {"", "junk\n",
                                        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END "
                                        "CERTIFICATE-----\n"};
    for (size_t i = 0; i < lt_countof(texts); i++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(texts[i], f);
        fclose(f);
        assert_null(lt_tls_trust_load(NULL, &arena, lt_str_c(path), &complaint));
        assert_true(complaint.why.len > 0 && complaint.hint != NULL);
    }
    /* One that is fine and one that isn't: half a list is none. */
    write_pem(path, &server_cert, false, NULL);
    FILE *f = fopen(path, "a");
    fputs(texts[2], f);
    fclose(f);
    assert_null(lt_tls_trust_load(NULL, &arena, lt_str_c(path), &complaint));
    assert_non_null(strstr(complaint.why.p, "a certificate of an authority can't be read"));
    unlink(path);
}

static void the_systems_authorities_may_be_told_by_the_environment(void **state)
{
    (void)state;
    setenv("SSL_CERT_FILE", "/else/where.pem", 1);
    assert_str(lt_tls_trust_system(NULL), "/else/where.pem");
    unsetenv("SSL_CERT_FILE");
    struct lt_str found = lt_tls_trust_system(NULL);
    assert_true(found.len == 0 || found.p[0] == '/');
}

static void a_temporary_certificate_is_another_each_time(void **state)
{
    (void)state;
    struct lt_tls_cert *a = lt_tls_cert_temporary(), *b = lt_tls_cert_temporary();
    struct lt_tls_cert *real = load_made(folder, EVP_EC_gen("P-256"), "us.test");
    assert_non_null(a);
    assert_non_null(b);
    assert_true(lt_tls_cert_is_temporary(a) && !lt_tls_cert_is_temporary(real));
    assert_true(lt_tls_cert_not_after(a) > lt_tls_cert_not_before(a) + 89 * 86400);
    lt_tls_cert_free(a);
    lt_tls_cert_free(b);
    lt_tls_cert_free(real);
}

static int setup(void **state)
{
    (void)state;
    lt_arena_init(&arena, NULL, 0, 1 << 20);
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    server_cert = make_cert(EVP_EC_gen("P-256"), "app.test", 30);
    other_cert = make_cert(EVP_EC_gen("P-256"), "app.test", 30);
    trust = load_trust("trust.pem", &server_cert);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lt_tls_trust_free(trust);
    made_free(&server_cert);
    made_free(&other_cert);
    lt_arena_fini(&arena);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_talk_and_agree_on_a_protocol),
        cmocka_unit_test(what_is_asked_of_a_certificate),
        cmocka_unit_test(a_pinned_key_is_the_only_one),
        cmocka_unit_test(sessions_are_few_and_tickets_of_1_3_used_once),
        cmocka_unit_test(a_session_of_1_2_survives_a_connection_that_was_cut),
        cmocka_unit_test(other_settings_have_other_sessions),
        cmocka_unit_test(each_setting_makes_another_policy),
        cmocka_unit_test(tickets_are_silence_and_bytes_are_not),
        cmocka_unit_test(an_end_without_notice_is_a_cut),
        cmocka_unit_test(rubbish_and_plain_text_are_told_apart),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(authorities_that_can_not_be_read_are_named),
        cmocka_unit_test(the_systems_authorities_may_be_told_by_the_environment),
        cmocka_unit_test(a_temporary_certificate_is_another_each_time),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
