/* SPDX-License-Identifier: Apache-2.0 */
/* Names against a DNS server on the same loop that says what the test wants. */
#include "net_env.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "dns_env.h"
#include "net/names.h"

enum { NXDOMAIN = 3, SERVFAIL = 2, SILENT = 100 };

/* What the server says about one name and type. */
struct fact {
    const char *name;
    unsigned type, rcode;
    uint32_t ttl;
    const char *values[4]; /* addresses; SRV: targets */
    unsigned asked;
};

static struct fact facts[16];
static unsigned n_facts, asked_all, on_their_way_max;
static struct lt_loop *loop;
static struct lt_names *names;
static struct lt_names_options options;
static int server = -1;
static ev_io server_io;
static unsigned changes;
static char folder[] = "/tmp/lt_names_XXXXXX";
static char resolv_conf[64], hosts[64];

static struct fact *say(const char *name, unsigned type, unsigned rcode, const char *a,
                        const char *b)
{
    struct fact *f = NULL;
    for (unsigned i = 0; i < n_facts; i++) {
        if (strcmp(facts[i].name, name) == 0 && facts[i].type == type) {
            f = &facts[i];
        }
    }
    f = f != NULL ? f : &facts[n_facts++];
    *f = (struct fact){
        .name = name, .type = type, .rcode = rcode, .values = {a, b}, .asked = f->asked};
    return f;
}

static void put_values(struct message *m, const struct fact *f)
{
    for (unsigned i = 0; f->values[i] != NULL; i++) {
        if (f->type == LT_DNS_A) {
            put_a(m, f->values[i], f->ttl);
        } else if (f->type == LT_DNS_AAAA) {
            put_aaaa(m, f->values[i], f->ttl);
        } else {
            put_srv(m, i, 1, 8000, f->values[i]);
        }
    }
}

static void answer(const unsigned char *query, const struct sockaddr_in *peer)
{
    static struct message m;
    char name[256] = "";
    const unsigned char *p = query + 12;
    for (; *p != 0; p += *p + 1) {
        snprintf(name + strlen(name), sizeof(name) - strlen(name), "%s%.*s",
                 name[0] != '\0' ? "." : "", *p, (const char *)p + 1);
    }
    unsigned type = (unsigned)p[1] << 8 | p[2];
    const struct fact *found = NULL;
    asked_all++;
    for (unsigned i = 0; i < n_facts; i++) {
        if (strcmp(facts[i].name, name) == 0 && facts[i].type == type) {
            found = &facts[i];
            facts[i].asked++;
        }
    }
    begin(&m, name, type);
    memcpy(m.p, query, 2);
    if (found == NULL) {
        m.p[3] |= NXDOMAIN;
    } else if (found->rcode == SILENT) {
        return;
    } else {
        m.p[3] |= (unsigned char)found->rcode;
        put_values(&m, found);
    }
    assert_int_equal(sendto(server, m.p, m.len, 0, (const struct sockaddr *)peer, sizeof(*peer)),
                     m.len);
}

static void on_query(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)w, (void)revents;
    unsigned char query[512];
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);
    unsigned n = 0;
    while (recvfrom(server, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&peer, &len) >
           12) {
        n++;
        answer(query, &peer);
    }
    on_their_way_max = lt_max(on_their_way_max, n);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void on_change(void *owner, struct lt_name *name)
{
    assert_ptr_equal(owner, &changes);
    assert_non_null(name);
    changes++;
}

static int setup(void **state)
{
    (void)state;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    memset(facts, 0, sizeof(facts));
    n_facts = changes = asked_all = on_their_way_max = 0;
    server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&addr, &len), 0);
    loop = lt_loop_new(BLOCKS_MAX);
    ev_io_init(&server_io, on_query, server, EV_READ);
    ev_io_start(loop->ev, &server_io);
    write_file(resolv_conf, "nameserver 127.0.0.1\nsearch corp.internal\noptions ndots:1\n");
    write_file(hosts, "10.9.0.1 known.internal\n");
    options = (struct lt_names_options){.ttl_min_ms = 100,
                                        .ttl_max_ms = 10000,
                                        .retry_ms = 100,
                                        .retry_max_ms = 400,
                                        .addresses_max = 8};
    options.resolver = (struct lt_resolver_options){.n_servers = 1,
                                                    .resolv_conf = lt_str_c(resolv_conf),
                                                    .hosts = lt_str_c(hosts),
                                                    .timeout_ms = 100,
                                                    .tries = 1,
                                                    .queries_max = 16};
    options.resolver.servers[0].in = addr;
    options.resolver.servers[0].len = sizeof(addr);
    names = lt_names_new(loop, on_change, &changes);
    assert_non_null(names);
    assert_int_equal(lt_names_set_options(names, &options), LT_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lt_names_free(names);
    ev_io_stop(loop->ev, &server_io);
    lt_loop_free(loop);
    close(server);
    return 0;
}

static struct lt_name *watch(enum lt_lookup_kind kind, const char *text)
{
    lt_loop_update_time(loop);
    struct lt_name *name = lt_names_watch(names, kind, lt_str_c(text));
    assert_non_null(name);
    return name;
}

static bool has(const struct lt_name *name, unsigned i, const char *ip)
{
    char text[LT_ADDR_TEXT_MAX];
    if (i >= name->records.n) {
        return false;
    }
    lt_addr_print_ip(&name->records.v[i].addr, text);
    return strcmp(text, ip) == 0;
}

static void both_families_are_found_and_followed(void **state)
{
    (void)state;
    say("app.internal", LT_DNS_A, 0, "10.0.0.2", "10.0.0.1");
    say("app.internal", LT_DNS_AAAA, 0, "fd00::1", NULL);
    struct lt_name *name = watch(LT_LOOKUP_HOST, "App.Internal");
    RUN_UNTIL(loop, name->known);
    assert_true(name->records.n == 3 && has(name, 0, "10.0.0.1") && has(name, 2, "fd00::1"));
    assert_int_equal(changes, 1);
    say("app.internal", LT_DNS_A, 0, "10.0.0.3", NULL);
    RUN_UNTIL(loop, has(name, 0, "10.0.0.3"));
    assert_int_equal(name->records.n, 2);
    assert_int_equal(changes, 2);
    say("app.internal", LT_DNS_AAAA, 0, NULL, NULL);
    RUN_UNTIL(loop, name->records.n == 1);
    assert_int_equal(name->failures, 0);
}

static void a_name_is_asked_once_a_ttl(void **state)
{
    (void)state;
    struct fact *a = say("app.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
    struct lt_name *one = watch(LT_LOOKUP_HOST, "app.internal");
    struct lt_name *two = watch(LT_LOOKUP_HOST, "APP.internal");
    assert_ptr_equal(one, two);
    RUN_UNTIL(loop, one->known);
    run_for(loop, 450);
    /* at once, then after 100 ms, an eighth more or less */
    assert_true(a->asked >= 3 && a->asked <= 6);
    assert_int_equal(changes, 1);
    a->ttl = 3600;
    unsigned before = a->asked;
    RUN_UNTIL(loop, a->asked > before);
    run_for(loop, 300);
    assert_int_equal(a->asked, before + 1);
    lt_names_unwatch(one);
    lt_names_unwatch(two);
    size_t at = 0;
    assert_null(lt_names_next(names, &at));
}

static void the_last_good_answer_outlives_the_name(void **state)
{
    (void)state;
    static const unsigned ends[] = {NXDOMAIN, SERVFAIL, SILENT};
    for (size_t i = 0; i < lt_countof(ends); i++) {
        struct fact *a = say("app.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
        struct lt_name *name = watch(LT_LOOKUP_HOST, "app.internal");
        RUN_UNTIL(loop, name->known);
        say("app.internal", LT_DNS_A, ends[i], NULL, NULL);
        RUN_UNTIL(loop, name->failures >= 3);
        assert_true(has(name, 0, "10.0.0.1"));
        assert_non_null(name->why);
        assert_true(name->failing_us > name->answered_us);
        unsigned before = a->asked;
        run_for(loop, 700); /* every 400 ms and a bit by now */
        assert_in_range(a->asked - before, 1, 4);
        say("app.internal", LT_DNS_A, 0, "10.0.0.2", NULL);
        RUN_UNTIL(loop, has(name, 0, "10.0.0.2"));
        assert_int_equal(name->failures, 0);
        assert_null(name->why);
        lt_names_unwatch(name);
    }
}

static void half_an_answer_takes_nothing_away(void **state)
{
    (void)state;
    say("app.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
    say("app.internal", LT_DNS_AAAA, 0, "fd00::1", NULL);
    struct lt_name *name = watch(LT_LOOKUP_HOST, "app.internal");
    RUN_UNTIL(loop, name->known);
    say("app.internal", LT_DNS_AAAA, SERVFAIL, NULL, NULL);
    say("app.internal", LT_DNS_A, 0, "10.0.0.2", NULL);
    RUN_UNTIL(loop, has(name, 0, "10.0.0.2"));
    assert_true(has(name, 1, "fd00::1"));
    say("app.internal", LT_DNS_A, NXDOMAIN, NULL, NULL);
    RUN_UNTIL(loop, name->failures > 0);
    assert_int_equal(name->records.n, 2);
}

static void a_name_never_known_is_told_once(void **state)
{
    (void)state;
    struct lt_name *name = watch(LT_LOOKUP_HOST, "nobody.internal");
    RUN_UNTIL(loop, name->failures >= 2);
    assert_int_equal(changes, 1);
    assert_false(name->known);
    assert_true(name->denied);
    assert_string_equal(name->why, "no such name (NXDOMAIN)");
    say("nobody.internal", LT_DNS_A, SERVFAIL, NULL, NULL);
    RUN_UNTIL(loop, !name->denied);
    assert_int_equal(changes, 2); /* nobody knows, now */
    say("nobody.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
    RUN_UNTIL(loop, name->known);
    assert_int_equal(changes, 3);
}

static void the_search_list_is_gone_through(void **state)
{
    (void)state;
    say("app.corp.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
    struct lt_name *name = watch(LT_LOOKUP_HOST, "app");
    struct lt_name *absolute = watch(LT_LOOKUP_HOST, "app.");
    RUN_UNTIL(loop, name->known && absolute->failures > 0);
    /* Whoever doesn't know isn't asked for another machine. */
    say("app.corp.internal", LT_DNS_A, SERVFAIL, NULL, NULL);
    say("app", LT_DNS_A, 0, "10.0.0.66", NULL);
    RUN_UNTIL(loop, name->failures > 0);
    assert_true(has(name, 0, "10.0.0.1"));
}

static void a_changed_resolv_conf_is_read(void **state)
{
    (void)state;
    say("app.corp.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
    say("app.other.internal", LT_DNS_A, 0, "10.0.0.2", NULL);
    struct lt_name *name = watch(LT_LOOKUP_HOST, "app");
    RUN_UNTIL(loop, name->known);
    write_file(resolv_conf, "nameserver 127.0.0.1\nsearch first.internal other.internal\n");
    RUN_UNTIL(loop, has(name, 0, "10.0.0.2"));
}

static void the_hosts_file_comes_first(void **state)
{
    (void)state;
    say("known.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
    struct lt_name *name = watch(LT_LOOKUP_HOST, "known.internal");
    RUN_UNTIL(loop, name->known);
    assert_true(has(name, 0, "10.9.0.1"));
    assert_int_equal(asked_all, 0);
    write_file(hosts, "10.9.0.2 known.internal\n10.9.0.3 known.internal\n");
    RUN_UNTIL(loop, name->records.n == 2);
    assert_true(has(name, 0, "10.9.0.2"));
    unlink(hosts);
    RUN_UNTIL(loop, has(name, 0, "10.0.0.1"));
}

static void services_are_found(void **state)
{
    (void)state;
    say("_http._tcp.app.internal", LT_DNS_SRV, 0, "a.internal", "b.internal");
    struct lt_name *name = watch(LT_LOOKUP_SRV, "_http._tcp.app.internal");
    RUN_UNTIL(loop, name->known);
    assert_int_equal(name->records.n, 2);
    assert_string_equal(name->records.v[0].target, "a.internal");
    assert_int_equal(name->records.v[0].port, 8000);
}

static void the_limit_of_addresses_leaves_out_the_same_ones(void **state)
{
    (void)state;
    options.addresses_max = 1;
    assert_int_equal(lt_names_set_options(names, &options), LT_OK);
    struct fact *a = say("app.internal", LT_DNS_A, 0, "10.0.0.2", "10.0.0.1");
    struct lt_name *name = watch(LT_LOOKUP_HOST, "app.internal");
    RUN_UNTIL(loop, name->known);
    assert_true(name->records.n == 1 && has(name, 0, "10.0.0.1"));
    assert_int_equal(name->left_out, 1);
    unsigned before = a->asked;
    say("app.internal", LT_DNS_A, 0, "10.0.0.1", "10.0.0.2");
    RUN_UNTIL(loop, a->asked > before + 1);
    assert_int_equal(changes, 1);
}

static void few_queries_are_on_their_way_at_once(void **state)
{
    (void)state;
    options.resolver.queries_max = 4;
    assert_int_equal(lt_names_set_options(names, &options), LT_OK);
    struct lt_name *all[50];
    for (unsigned i = 0; i < lt_countof(all); i++) {
        char text[32];
        snprintf(text, sizeof(text), "n%u.internal.", i);
        all[i] = watch(LT_LOOKUP_HOST, text);
    }
    for (unsigned i = 0; i < lt_countof(all); i++) {
        RUN_UNTIL(loop, all[i]->failures > 0);
    }
    assert_in_range(on_their_way_max, 1, 4);
}

static void new_options_begin_look_ups_anew(void **state)
{
    (void)state;
    say("app.internal", LT_DNS_A, SILENT, NULL, NULL);
    options.resolver.timeout_ms = 5000;
    assert_int_equal(lt_names_set_options(names, &options), LT_OK);
    struct lt_name *name = watch(LT_LOOKUP_HOST, "app.internal");
    RUN_UNTIL(loop, asked_all >= 1);
    say("app.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
    options.resolver.timeout_ms = 4000;
    assert_int_equal(lt_names_set_options(names, &options), LT_OK);
    RUN_UNTIL(loop, name->known);
    /* Another one that began before its time isn't begun again when the time has come. */
    struct fact *a = say("app.internal", LT_DNS_A, SILENT, NULL, NULL);
    unsigned before = a->asked;
    options.resolver.timeout_ms = 3000;
    assert_int_equal(lt_names_set_options(names, &options), LT_OK);
    run_for(loop, 300);
    assert_int_equal(a->asked, before + 1);
}

/* Whatever comes in place of an answer: the name fails, and is found when the server is well. */
static void noise_is_no_answer(void **state)
{
    (void)state;
    ev_io_stop(loop->ev, &server_io);
    struct lt_name *name = watch(LT_LOOKUP_HOST, "app.internal");
    uint64_t end = lt_clock_us() + 5000000;
    struct lt_rand rand;
    lt_rand_init(&rand);
    while (name->failures < 3 && lt_clock_us() < end) {
        unsigned char query[512], noise[512];
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        ssize_t n =
            recvfrom(server, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&peer, &len);
        if (n > 0) {
            for (size_t i = 0; i < sizeof(noise); i++) {
                noise[i] = (unsigned char)lt_rand_u64(&rand);
            }
            memcpy(noise, query, (size_t)n);
            noise[2] = 0x81;
            noise[3] = 0x80;
            noise[7] = noise[(size_t)n]; /* so many answers */
            (void)sendto(server, noise, sizeof(noise), 0, (struct sockaddr *)&peer, len);
        }
        one_turn(loop);
    }
    assert_true(name->failures >= 3);
    say("app.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
    ev_io_start(loop->ev, &server_io);
    RUN_UNTIL(loop, has(name, 0, "10.0.0.1"));
}

static void memory_that_is_short_is_a_failed_look_up(void **state)
{
    (void)state;
    say("app.internal", LT_DNS_A, 0, "10.0.0.1", NULL);
    lt_loop_update_time(loop);
    for (unsigned n = 1; n < 40; n++) {
        lt_mem_fail_at(n);
        struct lt_name *name = lt_names_watch(names, LT_LOOKUP_HOST, LT_STR("app.internal"));
        for (int i = 0; i < 20 && name != NULL && !name->known && name->failures == 0; i++) {
            one_turn(loop);
            usleep(1000);
        }
        lt_mem_fail_at(0);
        if (name != NULL) {
            RUN_UNTIL(loop, name->known);
            lt_names_unwatch(name);
        }
    }
    options.resolver.tries = 2;
    lt_mem_fail_at(1);
    assert_null(lt_names_new(loop, on_change, &changes));
    assert_int_equal(lt_names_set_options(names, &options), LT_ERR_NOMEM);
    lt_mem_fail_at(0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(both_families_are_found_and_followed),
        T(a_name_is_asked_once_a_ttl),
        T(the_last_good_answer_outlives_the_name),
        T(half_an_answer_takes_nothing_away),
        T(a_name_never_known_is_told_once),
        T(the_search_list_is_gone_through),
        T(a_changed_resolv_conf_is_read),
        T(the_hosts_file_comes_first),
        T(services_are_found),
        T(the_limit_of_addresses_leaves_out_the_same_ones),
        T(few_queries_are_on_their_way_at_once),
        T(new_options_begin_look_ups_anew),
        T(noise_is_no_answer),
        T(memory_that_is_short_is_a_failed_look_up),
    };
    assert_non_null(mkdtemp(folder));
    snprintf(resolv_conf, sizeof(resolv_conf), "%s/resolv.conf", folder);
    snprintf(hosts, sizeof(hosts), "%s/hosts", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(resolv_conf);
    unlink(hosts);
    rmdir(folder);
    return failed;
}
