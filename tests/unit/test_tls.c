/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_env.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

/* ---- Memory of OpenSSL: live blocks that are as large as a record ---- */

#define BIG_BLOCK 16384u

static atomic_int big_blocks;

struct block_head {
    size_t n;
    max_align_t align;
};

static void *count_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    struct block_head *h = malloc(sizeof(*h) + n);
    if (h == NULL) {
        return NULL;
    }
    h->n = n;
    big_blocks += n >= BIG_BLOCK;
    return h + 1;
}

static void count_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    if (p != NULL) {
        struct block_head *h = (struct block_head *)p - 1;
        big_blocks -= h->n >= BIG_BLOCK;
        free(h);
    }
}

static void *count_realloc(void *p, size_t n, const char *file, int line)
{
    void *to = count_malloc(n, file, line);
    if (to != NULL && p != NULL) {
        memcpy(to, p, lt_min(n, ((struct block_head *)p - 1)->n));
        count_free(p, file, line);
    }
    return to;
}

/* ---- What all tests use ---- */

static char folder[] = "/tmp/lt_tls_XXXXXX";
static struct lt_tls_cert *exact_cert, *wild_cert, *rsa_cert;
static struct lt_tls_store *store;  /* first.test, *.wild.test, *.deep.wild.test */
static struct lt_tls_policy *usual; /* of both versions */
static char big[600000];

/* The server's end of one connection. */
struct side {
    struct lt_loop *loop;
    struct lt_stream s;
    unsigned readables, drains, handshakes;
    enum lt_err shaken, last;
    char error[64]; /* lt_tls_error after a failed handshake */
    char *in;
    size_t in_len, in_max;
    size_t cap;     /* of one recv; 0: all there is room for */
    size_t stop_at; /* pauses when so much came; 0: never */
    bool close_on_handshake, close_on_readable, pause_on_handshake;
};

static void on_readable(void *owner)
{
    struct side *side = owner;
    size_t n;
    side->readables++;
    if (side->close_on_readable) {
        lt_stream_close(&side->s);
        return;
    }
    while (side->s.pause_reasons == 0) {
        size_t room = side->in_max - side->in_len;
        side->last = lt_stream_recv(&side->s, side->in + side->in_len,
                                    side->cap > 0 ? lt_min(side->cap, room) : room, &n);
        if (side->last != LT_OK) {
            return;
        }
        side->in_len += n;
        if (side->stop_at > 0 && side->in_len >= side->stop_at) {
            lt_stream_pause(&side->s, 1);
        }
    }
}

static void on_drained(void *owner)
{
    ((struct side *)owner)->drains++;
}

static void on_handshake(void *owner, enum lt_err err)
{
    struct side *side = owner;
    side->handshakes++;
    side->shaken = err;
    if (err != LT_OK) {
        snprintf(side->error, sizeof(side->error), "%s", lt_tls_error(side->s.tls));
    }
    if (side->close_on_handshake) {
        lt_stream_close(&side->s);
    } else if (side->pause_on_handshake) {
        lt_stream_pause(&side->s, 1);
    }
}

static const struct lt_stream_ops ops = {
    .on_readable = on_readable, .on_drained = on_drained, .on_handshake = on_handshake};

static struct lt_tls_options make_options(struct keys *keys)
{
    struct lt_tls_options options = {.ticket_life_s = 7200};
    if (keys != NULL) {
        options.ticket = find_key;
        options.ticket_keys = keys;
    }
    return options;
}

static struct lt_tls_server *new_server(const struct lt_tls_options *options)
{
    const char *why = "";
    struct lt_tls_server *server = lt_tls_server_new(options, store, &why);
    if (server == NULL) {
        fail_msg("%s", why);
    }
    return server;
}

/* A server with a store of one certificate, whose policy is policy (taken). */
static struct lt_tls_server *server_of(const struct lt_tls_options *options,
                                       struct lt_tls_policy *policy)
{
    const struct lt_tls_cert *cert = exact_cert;
    const char *why = "";
    struct lt_tls_store *own = lt_tls_store_new();
    assert_int_equal(lt_tls_store_add(own, LT_STR("first.test"), policy, &cert, 1), LT_OK);
    struct lt_tls_server *server = lt_tls_server_new(options, own, &why);
    assert_non_null(server);
    lt_tls_store_free(own);
    lt_tls_policy_free(policy);
    return server;
}

/* One connection: server side, client and what they talk over. */
struct link {
    struct side side;
    struct client client;
};

static void link_open(struct link *l, struct lt_tls_server *server, int version, const char *sni,
                      SSL_SESSION *session)
{
    int fds[2];
    memset(l, 0, sizeof(*l));
    make_tcp_pair(fds);
    l->side.loop = lt_loop_new(BLOCKS_MAX);
    l->side.in_max = sizeof(big) + 1000;
    l->side.in = malloc(l->side.in_max);
    assert_non_null(l->side.loop);
    struct lt_tls *tls = lt_tls_accept(server);
    assert_non_null(tls);
    lt_stream_open(&l->side.s, l->side.loop, fds[0], &ops, &l->side);
    lt_stream_start_tls(&l->side.s, tls);
    client_init(&l->client, fds[1], version, sni, session);
}

static void link_close(struct link *l)
{
    client_fini(&l->client);
    lt_stream_close(&l->side.s);
    assert_int_equal(l->side.loop->blocks.in_use, 0);
    lt_loop_free(l->side.loop);
    free(l->side.in);
}

static void link_shake(struct link *l)
{
    RUN_UNTIL(l->side.loop, shake(&l->client) && l->side.handshakes == 1);
    if (l->side.shaken != LT_OK) {
        fail_msg("handshake: %s", l->side.error);
    }
}

/* One small request and its answer, so that tickets have arrived. */
static void link_talk(struct link *l)
{
    char got[16];
    size_t len = 0;
    size_t before = l->side.in_len;
    client_write(&l->client, "ping", 4);
    RUN_UNTIL(l->side.loop, l->side.in_len == before + 4);
    assert_int_equal(lt_stream_put(&l->side.s, "po", 2), LT_OK);
    assert_int_equal(lt_stream_put(&l->side.s, "ng", 2), LT_OK);
    assert_int_equal(lt_stream_flush(&l->side.s), LT_OK);
    RUN_UNTIL(l->side.loop, (client_read(&l->client, got, sizeof(got), &len), len == 4));
    assert_memory_equal(got, "pong", 4);
}

/* The common name of the certificate that the client was shown. */
static const char *shown_name(struct client *c)
{
    static char name[64];
    X509 *cert = SSL_get1_peer_certificate(c->ssl);
    assert_non_null(cert);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof(name));
    X509_free(cert);
    return name;
}

/* ---- Certificates ---- */

static struct lt_str load_error(const char *cert_file, const char *key_file)
{
    static struct lt_arena arena;
    struct lt_tls_wrong wrong;
    lt_arena_fini(&arena);
    lt_arena_init(&arena, NULL, 0, 65536);
    assert_null(lt_tls_cert_load(NULL, &arena, lt_str_c(cert_file), lt_str_c(key_file), &wrong));
    bool of_key = wrong.certificate.why.len == 0;
    struct lt_str why = of_key ? wrong.key.why : wrong.certificate.why;
    assert_non_null(of_key ? wrong.key.hint : wrong.certificate.hint);
    char *text = malloc(why.len + 1); /* the test's arena dies with the next call */
    memcpy(text, why.p, why.len);
    text[why.len] = '\0';
    lt_arena_fini(&arena);
    arena = (struct lt_arena){0};
    return lt_str(text, why.len);
}

static void expect_load_error(const char *cert_file, const char *key_file, const char *what)
{
    struct lt_str why = load_error(cert_file, key_file);
    if (lt_str_find(why, lt_str_c(what)) == SIZE_MAX) {
        fail_msg("got \"%.*s\", expected \"%s\"", LT_STR_ARG(why), what);
    }
    free((char *)why.p);
}

static void bad_files_are_named_with_their_reason(void **state)
{
    (void)state;
    char cert[64], key[64], other[64];
    snprintf(cert, sizeof(cert), "%s/c.pem", folder);
    snprintf(key, sizeof(key), "%s/k.pem", folder);
    snprintf(other, sizeof(other), "%s/o.pem", folder);
    struct made m = make_cert(EVP_EC_gen("P-256"), "a.test", 30);
    struct made n = make_cert(EVP_EC_gen("P-256"), "b.test", -1);
    struct made weak = make_cert(EVP_RSA_gen(1024), "c.test", 30);
    write_pem(cert, &m, false, NULL);
    write_pem(key, &m, true, NULL);

    expect_load_error("/no/such.pem", key, "/no/such.pem: No such file or directory");
    struct lt_arena arena;
    struct lt_tls_wrong wrong;
    lt_arena_init(&arena, NULL, 0, 65536);
    assert_null(lt_tls_cert_load(NULL, &arena, LT_STR("/no/c"), LT_STR("/no/k"), &wrong));
    assert_true(lt_str_eq_c(wrong.certificate.why, "/no/c: No such file or directory"));
    assert_true(lt_str_eq_c(wrong.key.why, "/no/k: No such file or directory"));
    lt_arena_fini(&arena);
    expect_load_error(cert, folder, "Is a directory");
    expect_load_error(key, key, "k.pem: holds no certificate in PEM form");
    expect_load_error(cert, cert, "c.pem: holds no private key in PEM form");
    write_pem(other, &n, true, NULL);
    expect_load_error(cert, other, "o.pem: the key doesn't belong to the certificate");
    write_pem(key, &m, true, "secret");
    expect_load_error(cert, key, "k.pem: the key is encrypted with a pass phrase");
    write_pem(other, &weak, false, NULL);
    write_pem(key, &weak, true, NULL);
    expect_load_error(other, key, "k.pem: a key of 1024 bits is too weak");

    assert_int_equal(chmod(key, 0), 0);
    bool root = geteuid() == 0;
    assert_true(!root || seteuid(65534) == 0);
    expect_load_error(cert, key, "k.pem: permission denied (owner uid ");
    assert_true(!root || seteuid(0) == 0);
    unlink(cert);
    unlink(key);
    unlink(other);
    made_free(&m);
    made_free(&n);
    made_free(&weak);
}

static void a_chain_is_sent_whole(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "%s/all.pem", folder);
    struct made leaf = make_cert(EVP_EC_gen("P-256"), "leaf.test", 30);
    struct made ca = make_cert(EVP_EC_gen("P-256"), "ca.test", 30);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    PEM_write_X509(f, leaf.cert);
    PEM_write_X509(f, ca.cert);
    PEM_write_PrivateKey(f, leaf.key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    struct lt_arena arena;
    struct lt_tls_wrong wrong;
    lt_arena_init(&arena, NULL, 0, 65536);
    struct lt_tls_cert *cert =
        lt_tls_cert_load(NULL, &arena, lt_str_c(path), lt_str_c(path), &wrong);
    assert_non_null(cert);
    lt_arena_fini(&arena);
    int64_t left = lt_tls_cert_not_after(cert) - (int64_t)(lt_clock_wall_us() / 1000000);
    assert_true(left > 29 * 86400 && left <= 30 * 86400);

    struct lt_tls_store *own = lt_tls_store_new();
    assert_int_equal(lt_tls_store_add(own, LT_STR("leaf.test"), usual,
                                      (const struct lt_tls_cert *const *)&cert, 1),
                     LT_OK);
    lt_tls_cert_free(cert); /* the store holds it */
    struct lt_tls_options options = make_options(NULL);
    const char *why_not;
    struct lt_tls_server *server = lt_tls_server_new(&options, own, &why_not);
    lt_tls_store_free(own); /* the server holds it */
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    lt_tls_server_free(server); /* the connection holds it */
    link_shake(&l);
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(l.client.ssl)), 2);
    link_talk(&l);
    link_close(&l);
    unlink(path);
    made_free(&leaf);
    made_free(&ca);
}

static void a_name_is_added_once(void **state)
{
    (void)state;
    const struct lt_tls_cert *cert = exact_cert;
    assert_int_equal(lt_tls_store_add(store, LT_STR("First.TEST"), usual, &cert, 1), LT_ERR_EXISTS);
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    const struct lt_tls_cert *cert = exact_cert;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    const char *why;
    lt_mem_fail_at(1);
    assert_null(lt_tls_store_new());
    lt_mem_fail_at(1);
    assert_int_equal(lt_tls_store_add(store, LT_STR("new.test"), usual, &cert, 1), LT_ERR_NOMEM);
    lt_mem_fail_at(1);
    assert_null(lt_tls_server_new(&options, store, &why));
    lt_mem_fail_at(1);
    assert_null(lt_tls_accept(server));
    lt_mem_fail_at(0);
    /* The loop's shared buffers: the handshake fails, nothing else. */
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    lt_free(l.side.loop->tls_io);
    l.side.loop->tls_io = NULL;
    RUN_UNTIL(l.side.loop, (shake(&l.client), l.side.handshakes == 1));
    assert_int_equal(l.side.shaken, LT_ERR_NOMEM);
    link_close(&l);
    lt_tls_server_free(server);
}

/* ---- Handshakes ---- */

static void both_versions_talk(void **state)
{
    (void)state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct link l;
        link_open(&l, server, versions[i], "First.Test", NULL);
        link_shake(&l);
        const struct lt_tls_info *info = lt_tls_info(l.side.s.tls);
        assert_string_equal(info->version, i == 0 ? "TLSv1.2" : "TLSv1.3");
        assert_true(strlen(info->cipher) > 10);
        assert_str(info->sni, "first.test");
        assert_str(lt_tls_alpn(l.side.s.tls), "");
        assert_false(info->resumed);
        assert_false(info->asks || info->verified);
        link_talk(&l);
        link_talk(&l);
        assert_null(l.client.session); /* no ticket keys, no tickets */
        link_close(&l);
    }
    lt_tls_server_free(server);
}

static void the_server_name_picks_the_certificate(void **state)
{
    (void)state;
    static const struct {
        const char *sni, *shown;
    } cases[] = {
        {"first.test", "first.test"},
        {"a.wild.test", "*.wild.test"},
        {"a.b.wild.test", "*.wild.test"},
        {"x.deep.wild.test", "rsa"},
        {"wild.test", "first.test"}, /* no match for the suffix alone: the default */
        {"unknown.test", "first.test"},
        {"first.test.", "first.test"},
        {NULL, "first.test"},
    };
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    for (unsigned i = 0; i < lt_countof(cases); i++) {
        struct link l;
        link_open(&l, server, TLS1_3_VERSION, cases[i].sni, NULL);
        link_shake(&l);
        assert_string_equal(shown_name(&l.client), cases[i].shown);
        link_close(&l);
    }
    lt_tls_server_free(server);
}

static void a_star_stands_for_all_other_names(void **state)
{
    (void)state;
    const struct lt_tls_cert *first = exact_cert, *star = wild_cert;
    struct lt_tls_store *own = lt_tls_store_new();
    assert_int_equal(lt_tls_store_add(own, LT_STR("first.test"), usual, &first, 1), LT_OK);
    assert_int_equal(lt_tls_store_add(own, LT_STR("*"), usual, &star, 1), LT_OK);
    struct lt_tls_options options = make_options(NULL);
    options.refuse_unknown = true;
    const char *why;
    struct lt_tls_server *server = lt_tls_server_new(&options, own, &why);
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, "other.test", NULL);
    link_shake(&l);
    assert_string_equal(shown_name(&l.client), "*.wild.test");
    link_close(&l);
    lt_tls_server_free(server);
    lt_tls_store_free(own);
}

static int alert_seen;

static void on_info(const SSL *ssl, int where, int value)
{
    (void)ssl;
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) {
        alert_seen = value & 0xff;
    }
}

/* A handshake that has to fail, with this alert and this reason. */
static void expect_refusal(struct link *l, int alert, const char *reason)
{
    alert_seen = -1;
    SSL_set_info_callback(l->client.ssl, on_info);
    RUN_UNTIL(l->side.loop, (shake(&l->client), l->side.handshakes == 1));
    RUN_UNTIL(l->side.loop, (shake(&l->client), alert_seen != -1));
    assert_int_equal(l->side.shaken, LT_ERR_TLS);
    assert_int_equal(alert_seen, alert);
    assert_string_equal(l->side.error, reason);
    assert_true(run_for(l->side.loop, 20) < 10);
    assert_int_equal(l->side.handshakes, 1);
    link_close(l);
}

static void unknown_names_are_refused_if_wanted(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    options.refuse_unknown = true;
    struct lt_tls_server *server = new_server(&options);
    struct link l;
    link_open(&l, server, TLS1_2_VERSION, "unknown.test", NULL);
    expect_refusal(&l, SSL_AD_UNRECOGNIZED_NAME, "unknown server name");
    link_open(&l, server, TLS1_3_VERSION, "unknown.test", NULL);
    expect_refusal(&l, SSL_AD_UNRECOGNIZED_NAME, "unknown server name");
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    link_close(&l);
    lt_tls_server_free(server);
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = server_of(&options, make_policy(TLS1_3_VERSION));
    struct link l;
    link_open(&l, server, TLS1_2_VERSION, NULL, NULL);
    expect_refusal(&l, SSL_AD_PROTOCOL_VERSION, "unsupported protocol");
    lt_tls_server_free(server);
}

static void each_client_gets_a_key_it_understands(void **state)
{
    (void)state;
    const struct lt_tls_cert *both[] = {exact_cert, rsa_cert};
    struct lt_tls_store *own = lt_tls_store_new();
    assert_int_equal(lt_tls_store_add(own, LT_STR("both.test"), usual, both, 2), LT_OK);
    struct lt_tls_options options = make_options(NULL);
    const char *why;
    struct lt_tls_server *server = lt_tls_server_new(&options, own, &why);
    const char *const lists[] = {"ECDSA+SHA256", "RSA-PSS+SHA256"};
    for (unsigned i = 0; i < 2; i++) {
        struct link l;
        link_open(&l, server, TLS1_3_VERSION, "both.test", NULL);
        assert_int_equal(SSL_set1_sigalgs_list(l.client.ssl, lists[i]), 1);
        link_shake(&l);
        assert_string_equal(shown_name(&l.client), i == 0 ? "first.test" : "rsa");
        link_close(&l);
    }
    lt_tls_server_free(server);
    lt_tls_store_free(own);
}

static void the_application_protocol_is_agreed(void **state)
{
    (void)state;
    static const unsigned char both[] = "\x08http/1.1\x02h2", other[] = "\x04smtp";
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *plain = new_server(&options);
    options.h2 = true;
    struct lt_tls_server *h2 = new_server(&options);
    struct link l;
    link_open(&l, plain, TLS1_3_VERSION, NULL, NULL);
    SSL_set_alpn_protos(l.client.ssl, both, sizeof(both) - 1);
    link_shake(&l);
    assert_str(lt_tls_alpn(l.side.s.tls), "http/1.1");
    link_close(&l);
    link_open(&l, h2, TLS1_2_VERSION, NULL, NULL);
    SSL_set_alpn_protos(l.client.ssl, both, sizeof(both) - 1);
    link_shake(&l);
    assert_str(lt_tls_alpn(l.side.s.tls), "h2");
    link_close(&l);
    link_open(&l, h2, TLS1_3_VERSION, NULL, NULL);
    SSL_set_alpn_protos(l.client.ssl, other, sizeof(other) - 1);
    expect_refusal(&l, SSL_AD_NO_APPLICATION_PROTOCOL, "no application protocol in common");
    lt_tls_server_free(plain);
    lt_tls_server_free(h2);
}

/* The client's bytes come one at a time, and its request right behind the handshake. */
static void bytes_may_come_one_by_one(void **state)
{
    (void)state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct link l;
        link_open(&l, server, versions[i], "first.test", NULL);
        l.client.drip = 1;
        RUN_UNTIL(l.side.loop, (one_turn(l.side.loop), shake(&l.client)));
        client_write(&l.client, "request", 7);
        RUN_UNTIL(l.side.loop, (one_turn(l.side.loop), pump(&l.client), l.side.in_len == 7));
        assert_int_equal(l.side.handshakes, 1);
        assert_memory_equal(l.side.in, "request", 7);
        link_close(&l);
    }
    lt_tls_server_free(server);
}

/* The end of the handshake and the first request arrive together: no event comes for the latter. */
static void a_request_behind_the_handshake_is_read(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    for (unsigned paused = 0; paused < 2; paused++) {
        struct link l;
        size_t written;
        link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
        l.side.pause_on_handshake = paused;
        SSL_do_handshake(l.client.ssl);
        RUN_UNTIL(l.side.loop, (pump(&l.client), BIO_pending(l.client.in) > 0));
        run_for(l.side.loop, 10);
        pump(&l.client);
        assert_int_equal(SSL_do_handshake(l.client.ssl), 1);
        assert_int_equal(SSL_write_ex(l.client.ssl, "early", 5, &written), 1);
        pump(&l.client); /* Finished and the request in one send */
        RUN_UNTIL(l.side.loop, l.side.handshakes == 1);
        if (paused) {
            run_for(l.side.loop, 10);
            assert_int_equal(l.side.in_len, 0);
            lt_stream_resume(&l.side.s, 1);
        }
        RUN_UNTIL(l.side.loop, l.side.in_len == 5);
        link_close(&l);
    }
    lt_tls_server_free(server);
}

static void garbage_is_a_tls_error(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    assert_int_equal(write(l.client.fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    RUN_UNTIL(l.side.loop, l.side.handshakes == 1);
    assert_int_equal(l.side.shaken, LT_ERR_TLS);
    assert_string_equal(l.side.error, "http request");
    link_close(&l);
    lt_tls_server_free(server);
}

static void the_peer_may_vanish_in_the_handshake(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    for (unsigned reset = 0; reset < 2; reset++) {
        struct link l;
        struct linger now = {.l_onoff = 1};
        link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
        l.client.drip = 50;
        shake(&l.client);
        run_for(l.side.loop, 10);
        assert_int_equal(l.side.handshakes, 0);
        if (reset) {
            setsockopt(l.client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        }
        close(l.client.fd);
        l.client.fd = -1;
        RUN_UNTIL(l.side.loop, l.side.handshakes == 1);
        assert_int_equal(l.side.shaken, reset ? LT_ERR_RESET : LT_EOF);
        assert_string_equal(l.side.error,
                            reset ? "connection reset" : "the peer closed the connection");
        assert_true(run_for(l.side.loop, 20) < 10);
        link_close(&l);
    }
    lt_tls_server_free(server);
}

/* ---- Tickets ---- */

/* Connects with session (may be NULL), talks, and gives the newest ticket. */
static SSL_SESSION *visit(struct lt_tls_server *server, int version, SSL_SESSION *session,
                          bool *resumed)
{
    struct link l;
    link_open(&l, server, version, "first.test", session);
    link_shake(&l);
    link_talk(&l);
    *resumed = lt_tls_info(l.side.s.tls)->resumed;
    assert_int_equal(SSL_session_reused(l.client.ssl), *resumed);
    SSL_SESSION *next = l.client.session;
    l.client.session = NULL;
    if (version == TLS1_2_VERSION) { /* a renewed ticket is not given to the callback */
        SSL_SESSION_free(next);
        next = SSL_get1_session(l.client.ssl);
    }
    link_close(&l);
    return next;
}

static void tickets_resume_at_any_worker(void **state)
{
    (void)state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct keys keys;
    keys_init(&keys, 2);
    struct lt_tls_options options = make_options(&keys);
    struct lt_tls_server *a = new_server(&options), *b = new_server(&options);
    for (unsigned v = 0; v < 2; v++) {
        bool resumed;
        SSL_SESSION *session = visit(a, versions[v], NULL, &resumed);
        assert_false(resumed);
        assert_non_null(session);
        for (unsigned i = 0; i < 5; i++) { /* each time, also by tickets got when resuming */
            SSL_SESSION *next = visit(i % 2 ? a : b, versions[v], session, &resumed);
            assert_true(resumed);
            assert_non_null(next);
            SSL_SESSION_free(session);
            session = next;
        }
        SSL_SESSION_free(session);
    }
    lt_tls_server_free(a);
    lt_tls_server_free(b);
}

static void tickets_of_another_policy_do_not_resume(void **state)
{
    (void)state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct keys keys;
    keys_init(&keys, 1);
    struct lt_tls_options options = make_options(&keys);
    struct lt_tls_server *a = new_server(&options);
    struct lt_tls_policy_spec spec = usual->spec;
    spec.terms.groups = "P-256";
    struct lt_tls_server *b = server_of(&options, lt_tls_policy_new(&spec));
    for (unsigned v = 0; v < 2; v++) {
        bool resumed;
        SSL_SESSION *session = visit(a, versions[v], NULL, &resumed);
        SSL_SESSION *next = visit(b, versions[v], session, &resumed);
        assert_false(resumed);
        SSL_SESSION_free(next);
        SSL_SESSION_free(session);
    }
    lt_tls_server_free(a);
    lt_tls_server_free(b);
}

static void old_keys_decrypt_and_renew_until_they_are_gone(void **state)
{
    (void)state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (unsigned v = 0; v < 2; v++) {
        struct keys keys;
        bool resumed;
        keys_init(&keys, 2);
        struct lt_tls_options options = make_options(&keys);
        struct lt_tls_server *server = new_server(&options);
        SSL_SESSION *first = visit(server, versions[v], NULL, &resumed);
        keys.current = 1;
        SSL_SESSION *second = visit(server, versions[v], first, &resumed);
        assert_true(resumed);
        assert_non_null(second); /* by the new key */
        memset(keys.ring[0].name, 0, sizeof(keys.ring[0].name));
        SSL_SESSION *third = visit(server, versions[v], second, &resumed);
        assert_true(resumed);
        SSL_SESSION_free(third);
        SSL_SESSION_free(visit(server, versions[v], first, &resumed));
        assert_false(resumed);
        SSL_SESSION_free(first);
        SSL_SESSION_free(second);
        lt_tls_server_free(server);
    }
}

/* ---- Data ---- */

static void head_and_body_share_a_record(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    struct link l;
    unsigned char raw[4096];
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    link_talk(&l);
    assert_int_equal(lt_stream_put(&l.side.s, big, 300), LT_OK);
    assert_int_equal(lt_stream_put(&l.side.s, big + 300, 1024), LT_OK);
    assert_int_equal(lt_stream_flush(&l.side.s), LT_OK);
    wait_readable(l.client.fd);
    ssize_t n = recv(l.client.fd, raw, sizeof(raw), 0);
    assert_int_equal(n, 5 + 1324 + 1 + 16); /* one record: header, bytes, type, tag */
    assert_int_equal(raw[3] << 8 | raw[4], n - 5);
    link_close(&l);
    lt_tls_server_free(server);
}

static void large_bodies_arrive_whole(void **state)
{
    (void)state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    const size_t caps[] = {0, 1000, 65536};
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    for (unsigned i = 0; i < 6; i++) {
        struct link l;
        size_t written;
        link_open(&l, server, versions[i % 2], NULL, NULL);
        link_shake(&l);
        l.side.cap = caps[i / 2];
        assert_int_equal(SSL_write_ex(l.client.ssl, big, sizeof(big), &written), 1);
        RUN_UNTIL(l.side.loop,
                  (one_turn(l.side.loop), pump(&l.client), l.side.in_len == sizeof(big)));
        assert_memory_equal(l.side.in, big, sizeof(big));
        assert_int_equal(l.side.s.bytes_in, sizeof(big));
        link_close(&l);
    }
    lt_tls_server_free(server);
}

static void a_slow_reader_makes_output_wait(void **state)
{
    (void)state;
    static char got[sizeof(big)];
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct link l;
        size_t len = 0, head = 123;
        link_open(&l, server, versions[i], NULL, NULL);
        link_shake(&l);
        l.client.deaf = true;
        assert_int_equal(lt_stream_put(&l.side.s, big, head), LT_OK);
        assert_int_equal(lt_stream_put(&l.side.s, big + head, 40000), LT_OK);
        assert_int_equal(lt_stream_put(&l.side.s, big + head + 40000, sizeof(big) - head - 40000),
                         LT_OK);
        assert_int_equal(lt_stream_flush(&l.side.s), LT_OK);
        size_t waits = lt_stream_unsent(&l.side.s);
        assert_true(waits > 0 && waits < sizeof(big) + sizeof(big) / 50);
        assert_true(run_for(l.side.loop, 30) < 10);
        assert_int_equal(l.side.drains, 0);
        l.client.deaf = false;
        RUN_UNTIL(l.side.loop,
                  (client_read(&l.client, got, sizeof(got), &len), len == sizeof(got)));
        assert_memory_equal(got, big, sizeof(big));
        RUN_UNTIL(l.side.loop, l.side.drains == 1);
        assert_int_equal(l.side.s.bytes_out, sizeof(big));
        assert_int_equal(lt_stream_unsent(&l.side.s), 0);
        link_close(&l);
    }
    lt_tls_server_free(server);
}

static void output_is_bounded_by_the_pool(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    l.side.loop->blocks.max = 100000;
    l.client.deaf = true;
    enum lt_err err = LT_OK;
    for (unsigned i = 0; i < 20 && err == LT_OK; i++) {
        err = lt_stream_put(&l.side.s, big, 50000);
        err = err == LT_OK ? lt_stream_flush(&l.side.s) : err;
    }
    assert_int_equal(err, LT_ERR_LIMIT);
    assert_int_equal(lt_stream_flush(&l.side.s), LT_ERR_LIMIT);
    link_close(&l);
    lt_tls_server_free(server);
}

/* Decrypted bytes are left inside TLS when the owner pauses; no event of the socket comes for them.
 */
static void what_a_pause_leaves_is_read_later(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    l.side.cap = 10;
    l.side.stop_at = 10;
    client_write(&l.client, big, 5000);
    RUN_UNTIL(l.side.loop, l.side.in_len == 10);
    run_for(l.side.loop, 20);
    assert_int_equal(l.side.in_len, 10);
    l.side.stop_at = 20; /* once more */
    lt_stream_resume(&l.side.s, 1);
    assert_int_equal(l.side.in_len, 10); /* not from within resume */
    RUN_UNTIL(l.side.loop, l.side.in_len == 20);
    lt_stream_resume(&l.side.s, 1); /* resumed and paused again: nothing comes */
    lt_stream_pause(&l.side.s, 2);
    run_for(l.side.loop, 20);
    assert_int_equal(l.side.in_len, 20);
    l.side.stop_at = 0;
    lt_stream_resume(&l.side.s, 2);
    RUN_UNTIL(l.side.loop, l.side.in_len == 5000);
    assert_memory_equal(l.side.in, big, 5000);
    assert_int_equal(l.side.last, LT_AGAIN);
    assert_true(run_for(l.side.loop, 20) < 10);
    link_close(&l);
    lt_tls_server_free(server);
}

static void an_idle_connection_holds_no_record_buffers(void **state)
{
    (void)state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct keys keys;
    keys_init(&keys, 1);
    struct lt_tls_options options = make_options(&keys);
    struct lt_tls_server *server = new_server(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct link l;
        size_t written;
        int before = big_blocks;
        link_open(&l, server, versions[i], NULL, NULL);
        link_shake(&l);
        SSL_free_buffers(l.client.ssl);
        assert_int_equal(big_blocks - before, 0);
        link_talk(&l);
        SSL_free_buffers(l.client.ssl);
        assert_int_equal(big_blocks - before, 0);
        assert_int_equal(SSL_write_ex(l.client.ssl, "cut short", 9, &written), 1);
        l.client.drip = 10; /* a record that isn't whole has to be kept */
        pump(&l.client);
        run_for(l.side.loop, 10);
        assert_int_equal(l.side.in_len, 4);
        SSL_free_buffers(l.client.ssl);
        assert_int_equal(big_blocks - before, 1);
        link_close(&l);
    }
    lt_tls_server_free(server);
}

static void key_updates_are_answered_but_not_without_end(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(SSL_key_update(l.client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        link_talk(&l);
    }
    l.client.deaf = true;
    assert_int_equal(lt_stream_put(&l.side.s, big, sizeof(big)), LT_OK);
    assert_int_equal(lt_stream_flush(&l.side.s), LT_OK);
    for (unsigned i = 0; i < 1000 && l.side.last != LT_ERR_LIMIT; i++) {
        assert_int_equal(SSL_key_update(l.client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(l.client.ssl), 1);
        pump(&l.client);
        run_for(l.side.loop, 1);
    }
    assert_int_equal(l.side.last, LT_ERR_LIMIT);
    link_close(&l);
    lt_tls_server_free(server);
}

/* They cost us more than the peer, who needs no answer: neither many at once nor many in a row. */
static void records_that_hold_nothing_are_bounded(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    for (unsigned round = 0; round < 3; round++) { /* what is told in between pays for them */
        for (unsigned i = 0; i < 1000; i++) {
            assert_int_equal(SSL_key_update(l.client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            assert_int_equal(SSL_do_handshake(l.client.ssl), 1);
            pump(&l.client);
        }
        link_talk(&l);
    }
    for (unsigned i = 0; i < 5000 && l.side.last != LT_ERR_LIMIT; i++) {
        assert_int_equal(SSL_key_update(l.client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(l.client.ssl), 1);
        pump(&l.client);
        if (i % 100 == 0) {
            run_for(l.side.loop, 1);
        }
    }
    assert_int_equal(l.side.last, LT_ERR_LIMIT);
    link_close(&l);
    lt_tls_server_free(server);
}

/* ---- Ends ---- */

static void the_end_is_the_end_with_and_without_notice(void **state)
{
    (void)state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    for (unsigned i = 0; i < 4; i++) {
        struct link l;
        link_open(&l, server, versions[i % 2], NULL, NULL);
        link_shake(&l);
        client_write(&l.client, "last", 4);
        if (i / 2 == 0) {
            SSL_shutdown(l.client.ssl);
            pump(&l.client);
        }
        shutdown(l.client.fd, SHUT_WR);
        RUN_UNTIL(l.side.loop, l.side.last == LT_EOF);
        assert_int_equal(l.side.in_len, 4);
        assert_true(run_for(l.side.loop, 20) < 10);
        assert_int_equal(lt_stream_put(&l.side.s, "x", 1), LT_OK);
        assert_int_equal(lt_stream_flush(&l.side.s), LT_OK);
        link_close(&l);
    }
    lt_tls_server_free(server);
}

static void closing_says_so(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    char got[16];
    size_t len = 0;
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    lt_stream_close(&l.side.s);
    RUN_UNTIL(l.side.loop, (pump(&l.client), l.client.closed));
    assert_int_equal(client_read(&l.client, got, sizeof(got), &len), SSL_ERROR_ZERO_RETURN);
    link_close(&l);

    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    lt_stream_reset(&l.side.s);
    wait_readable(l.client.fd);
    assert_int_not_equal(client_read(&l.client, got, sizeof(got), &len), SSL_ERROR_ZERO_RETURN);
    assert_int_equal(l.client.error, ECONNRESET);
    link_close(&l);

    link_open(&l, server, TLS1_3_VERSION, NULL, NULL); /* our direction only, behind what waits */
    link_shake(&l);
    static char much[sizeof(big) + 1];
    assert_int_equal(lt_stream_put(&l.side.s, big, sizeof(big)), LT_OK);
    lt_stream_shutdown(&l.side.s);
    lt_stream_shutdown(&l.side.s);
    RUN_UNTIL(l.side.loop,
              client_read(&l.client, much, sizeof(much), &len) == SSL_ERROR_ZERO_RETURN);
    assert_int_equal(len, sizeof(big));
    RUN_UNTIL(l.side.loop, (pump(&l.client), l.client.closed));
    client_write(&l.client, "still", 5);
    RUN_UNTIL(l.side.loop, l.side.in_len == 5);
    link_close(&l);
    lt_tls_server_free(server);
}

static void may_be_closed_in_its_callbacks(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    struct link l;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    l.side.close_on_handshake = true;
    RUN_UNTIL(l.side.loop, (shake(&l.client), l.side.handshakes == 1));
    assert_int_equal(l.side.s.fd, -1);
    run_for(l.side.loop, 10);
    link_close(&l);

    link_open(&l, server, TLS1_3_VERSION, NULL, NULL); /* also when it failed */
    l.side.close_on_handshake = true;
    assert_int_equal(write(l.client.fd, "rubbish, not a hello", 20), 20);
    RUN_UNTIL(l.side.loop, l.side.handshakes == 1);
    assert_int_equal(l.side.shaken, LT_ERR_TLS);
    link_close(&l);

    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    l.side.close_on_readable = true;
    client_write(&l.client, big, 5000);
    RUN_UNTIL(l.side.loop, l.side.readables == 1);
    run_for(l.side.loop, 10);
    assert_int_equal(l.side.readables, 1);
    link_close(&l);
    lt_tls_server_free(server);
}

static void a_broken_record_is_a_tls_error(void **state)
{
    (void)state;
    struct lt_tls_options options = make_options(NULL);
    struct lt_tls_server *server = new_server(&options);
    struct link l;
    char *p;
    size_t written;
    link_open(&l, server, TLS1_3_VERSION, NULL, NULL);
    link_shake(&l);
    assert_int_equal(SSL_write_ex(l.client.ssl, "good", 4, &written), 1);
    long good = BIO_get_mem_data(l.client.out, &p);
    assert_int_equal(SSL_write_ex(l.client.ssl, "evil", 4, &written), 1);
    BIO_get_mem_data(l.client.out, &p);
    p[good + 10] ^= 1;
    pump(&l.client);
    RUN_UNTIL(l.side.loop, l.side.last == LT_ERR_TLS);
    assert_int_equal(l.side.in_len, 4); /* what came before it was given out */
    assert_memory_equal(l.side.in, "good", 4);
    assert_int_equal(lt_stream_put(&l.side.s, "x", 1), LT_OK);
    assert_int_equal(lt_stream_flush(&l.side.s), LT_ERR_TLS);
    link_close(&l);
    lt_tls_server_free(server);
}

/* ---- Threads: workers share certificates, the store and ticket keys ---- */

static void *be_a_worker(void *arg)
{
    struct lt_tls_options options = make_options(arg);
    struct lt_tls_server *server = new_server(&options);
    SSL_SESSION *session = NULL;
    for (unsigned i = 0; i < 10; i++) {
        bool resumed;
        SSL_SESSION *next = visit(server, TLS1_3_VERSION, session, &resumed);
        assert_int_equal(resumed, session != NULL);
        SSL_SESSION_free(session);
        session = next;
    }
    SSL_SESSION_free(session);
    lt_tls_server_free(server);
    return NULL;
}

static void workers_share_certificates_and_tickets(void **state)
{
    (void)state;
    struct keys keys;
    pthread_t threads[3];
    keys_init(&keys, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, be_a_worker, &keys), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (char)(i * 31 + i / 253);
    }
    exact_cert = load_made(folder, EVP_EC_gen("P-256"), "first.test");
    wild_cert = load_made(folder, EVP_EC_gen("P-256"), "*.wild.test");
    rsa_cert = load_made(folder, EVP_RSA_gen(2048), "rsa");
    const struct lt_tls_cert *certs[] = {exact_cert, wild_cert, rsa_cert};
    store = lt_tls_store_new();
    usual = make_policy(TLS1_2_VERSION);
    return lt_tls_store_add_fallback(store, usual, &certs[0], 1) != LT_OK ||
           lt_tls_store_add(store, LT_STR("first.test"), usual, &certs[0], 1) != LT_OK ||
           lt_tls_store_add(store, LT_STR("*.Wild.test"), usual, &certs[1], 1) != LT_OK ||
           lt_tls_store_add(store, LT_STR("*.deep.wild.test"), usual, &certs[2], 1) != LT_OK;
}

static int teardown(void **state)
{
    (void)state;
    lt_tls_store_free(store);
    lt_tls_policy_free(usual);
    lt_tls_cert_free(exact_cert);
    lt_tls_cert_free(wild_cert);
    lt_tls_cert_free(rsa_cert);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files_are_named_with_their_reason),
        cmocka_unit_test(a_chain_is_sent_whole),
        cmocka_unit_test(a_name_is_added_once),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(both_versions_talk),
        cmocka_unit_test(the_server_name_picks_the_certificate),
        cmocka_unit_test(a_star_stands_for_all_other_names),
        cmocka_unit_test(unknown_names_are_refused_if_wanted),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(each_client_gets_a_key_it_understands),
        cmocka_unit_test(the_application_protocol_is_agreed),
        cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(a_request_behind_the_handshake_is_read),
        cmocka_unit_test(garbage_is_a_tls_error),
        cmocka_unit_test(the_peer_may_vanish_in_the_handshake),
        cmocka_unit_test(tickets_resume_at_any_worker),
        cmocka_unit_test(tickets_of_another_policy_do_not_resume),
        cmocka_unit_test(old_keys_decrypt_and_renew_until_they_are_gone),
        cmocka_unit_test(head_and_body_share_a_record),
        cmocka_unit_test(large_bodies_arrive_whole),
        cmocka_unit_test(a_slow_reader_makes_output_wait),
        cmocka_unit_test(output_is_bounded_by_the_pool),
        cmocka_unit_test(what_a_pause_leaves_is_read_later),
        cmocka_unit_test(an_idle_connection_holds_no_record_buffers),
        cmocka_unit_test(key_updates_are_answered_but_not_without_end),
        cmocka_unit_test(records_that_hold_nothing_are_bounded),
        cmocka_unit_test(the_end_is_the_end_with_and_without_notice),
        cmocka_unit_test(closing_says_so),
        cmocka_unit_test(may_be_closed_in_its_callbacks),
        cmocka_unit_test(a_broken_record_is_a_tls_error),
        cmocka_unit_test(workers_share_certificates_and_tickets),
    };
    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1) {
        return 1;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
