/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.jwks: when keys are fetched, from where, how long they serve, and who waits for them. */
#include "filter_bed.h"

#include <openssl/evp.h>

#include "base/base64.h"
#include "base/mem.h"
#include "filters/jwks.h"

#define URL "https://id.test/keys"
#define ISSUER "https://id.test/"

/* ---- the issuer ---- */

static struct issuer {
    unsigned asked; /* requests that came */
    unsigned status;
    const char *body, *cache; /* of the key set; Cache-Control */
    const char *document;     /* of discovery */
    bool deaf;                /* never answers */
    enum lt_fetch_error error;
    char url[200]; /* what was asked for last */
} issuer;

static void on_fetch(void *arg, struct lt_fetch *f)
{
    (void)arg;
    issuer.asked++;
    snprintf(issuer.url, sizeof(issuer.url), "%.*s%.*s", LT_STR_ARG(f->url.authority),
             LT_STR_ARG(f->url.target));
    if (issuer.deaf) {
        return;
    }
    if (issuer.error != LT_FETCH_OK) {
        lt_fetch_fail(f, issuer.error, LT_STR("as told"));
        return;
    }
    struct lt_response *res = lt_arena_new(&f->arena, struct lt_response);
    if (res == NULL) {
        lt_fetch_fail(f, LT_FETCH_BUSY, LT_STR("no memory"));
        return;
    }
    *res = (struct lt_response){.status = issuer.status, .version = 11};
    lt_headers_init(&res->headers, &f->arena, 10);
    if (issuer.cache != NULL) {
        assert_int_equal(
            lt_headers_add(&res->headers, LT_STR("Cache-Control"), lt_str_c(issuer.cache)), LT_OK);
    }
    bool document = lt_str_find(f->url.target, LT_STR("well-known")) != SIZE_MAX;
    lt_fetch_answer(f, res, lt_str_c(document ? issuer.document : issuer.body));
}

/* Keys of the issuer: each signs, and is published as a JWK. */
static EVP_PKEY *private_keys[2];
static char sets[4][800]; /* the first key, the second, both; a key that can't be used */

static int setup(void **state)
{
    char x[2][64];
    for (unsigned i = 0; i < 2; i++) {
        unsigned char raw[32];
        size_t n = sizeof(raw);
        private_keys[i] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        assert_int_equal(EVP_PKEY_get_raw_public_key(private_keys[i], raw, &n), 1);
        x[i][lt_base64_encode(LT_BASE64_URL, lt_str((char *)raw, n), x[i])] = '\0';
        snprintf(sets[i], sizeof(sets[i]),
                 "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%u\",\"x\":\"%s\"}]}",
                 i, x[i]);
    }
    int first = (int)strlen(sets[0]) - 11;
    snprintf(sets[2], sizeof(sets[2]), "{\"keys\":[%.*s,%.200s", first, sets[0] + 9, sets[1] + 9);
    snprintf(sets[3], sizeof(sets[3]), "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}");
    issuer = (struct issuer){.status = 200, .body = sets[0]};
    int made = bed_setup(state);
    lt_origins_mock(bed->origins, on_fetch, NULL);
    return made;
}

static int teardown(void **state)
{
    int done = bed_teardown(state);
    EVP_PKEY_free(private_keys[0]);
    EVP_PKEY_free(private_keys[1]);
    return done;
}

static void moves(uint64_t seconds)
{
    bed->loop->now_us += seconds * 1000000;
}

static void settle(void)
{
    for (unsigned i = 0; i < 8; i++) {
        lt_loop_end_turn(bed->loop);
    }
}

/* ---- without Lua: one object stands for one worker ---- */

static struct lt_jose_keys *keys[2];
static struct lt_jwks *workers[2];
static const struct lt_jwks_terms terms = {.url = {URL, sizeof(URL) - 1},
                                           .refresh_ms = 600000,
                                           .retry_ms = 10000,
                                           .stale_ms = 3600000,
                                           .timeout_ms = 1000,
                                           .wait_ms = 1000,
                                           .max = 65536};

static void make_workers(const struct lt_jwks_terms *wanted)
{
    load_one("return {request = function() end}", "");
    for (unsigned i = 0; i < 2; i++) {
        keys[i] = lt_jose_keys_new();
        assert_non_null(keys[i]);
        workers[i] = lt_jwks_new(bed->filters->units[0], keys[i], wanted);
        assert_non_null(workers[i]);
    }
}

static void free_workers(void)
{
    for (unsigned i = 0; i < 2; i++) {
        lt_jwks_free(workers[i]);
        lt_jose_keys_free(keys[i]);
    }
    lt_jwks_free(NULL);
}

static void refresh(unsigned worker)
{
    lt_jwks_refresh(workers[worker]);
    settle();
}

static void one_worker_fetches_and_the_others_take_it_over(void **state)
{
    (void)state;
    make_workers(&terms);
    assert_false(lt_jwks_usable(workers[0]));
    refresh(0);
    assert_true(lt_jwks_usable(workers[0]));
    assert_int_equal(keys[0]->n, 1);
    assert_string_equal(issuer.url, "id.test/keys");
    refresh(1);
    assert_true(lt_jwks_usable(workers[1]));
    assert_int_equal(keys[1]->n, 1);
    assert_int_equal(issuer.asked, 1);
    /* The second one is the first to find them old. */
    issuer.body = sets[2];
    moves(500);
    refresh(1);
    assert_int_equal(issuer.asked, 2);
    assert_int_equal(keys[1]->n, 2);
    refresh(0);
    assert_int_equal(issuer.asked, 2);
    assert_int_equal(keys[0]->n, 2);
    free_workers();
}

static void two_timers_at_once_make_one_fetch(void **state)
{
    (void)state;
    make_workers(&terms);
    lt_jwks_refresh(workers[0]);
    refresh(0);
    assert_int_equal(issuer.asked, 1);
    assert_int_equal(lt_jwks_miss(workers[1]), LT_JWKS_CHANGED);
    assert_int_equal(keys[1]->n, 1);
    lt_jwks_refresh(workers[1]); /* it is freed while it fetches */
    free_workers();
    settle();
}

static void old_keys_serve_while_the_issuer_is_down(void **state)
{
    (void)state;
    make_workers(&terms);
    refresh(0);
    moves(601);
    issuer.error = LT_FETCH_CONNECT_REFUSED;
    refresh(0);
    assert_true(lt_jwks_failed(workers[0]));
    assert_true(lt_jwks_usable(workers[0]));
    assert_non_null(strstr(logged, "keys_not_fetched"));
    assert_non_null(strstr(logged, "connect_refused"));
    moves(3600);
    assert_false(lt_jwks_usable(workers[0]));
    refresh(1); /* what another worker had is too old as well */
    assert_false(lt_jwks_usable(workers[1]));
    issuer.error = LT_FETCH_OK;
    refresh(0);
    assert_true(lt_jwks_usable(workers[0]));
    assert_false(lt_jwks_failed(workers[0]));
    assert_non_null(strstr(logged, "keys_fetched_again"));
    free_workers();
}

/* How long keys are fresh: nothing is stale here. */
static void assert_fresh(const char *cache, uint64_t seconds)
{
    struct lt_jwks_terms exact = terms;
    exact.stale_ms = 0;
    issuer.cache = cache;
    make_workers(&exact);
    refresh(0);
    moves(seconds - 1);
    if (!lt_jwks_usable(workers[0])) {
        fail_msg("%s: less than %u s", cache, (unsigned)seconds);
    }
    moves(2);
    if (lt_jwks_usable(workers[0])) {
        fail_msg("%s: more than %u s", cache, (unsigned)seconds);
    }
    free_workers();
}

static void cache_control_says_how_long_within_bounds(void **state)
{
    (void)state;
    assert_fresh(NULL, 600);
    assert_fresh("public, Max-Age=300, must-revalidate", 300);
    assert_fresh("max-age=86400", 600);
    assert_fresh("max-age=99999999999999999999", 600);
    assert_fresh("max-age=1", 60);
    assert_fresh("no-store", 60);
    assert_fresh("private,no-cache", 60);
    assert_fresh("max-age=", 600);
    assert_fresh("s-maxage=100", 600);
}

static void what_is_no_key_set_changes_nothing(void **state)
{
    (void)state;
    make_workers(&terms);
    refresh(0);
    static const struct {
        unsigned status;
        const char *body;
    } bad[] = {{500, sets[1]},         {404, ""},      {204, ""}, {200, "<html>"}, {200, "{}"},
               {200, "{\"keys\":[]}"}, {200, sets[3]}, {200, ""}};
    for (unsigned i = 0; i < lt_countof(bad); i++) {
        issuer.status = bad[i].status;
        issuer.body = bad[i].body;
        moves(601);
        refresh(0);
        assert_true(lt_jwks_failed(workers[0]));
        assert_int_equal(keys[0]->n, 1);
    }
    assert_int_equal(issuer.asked, 1 + lt_countof(bad));
    free_workers();
}

static void a_large_set_is_not_shared(void **state)
{
    (void)state;
    static char large[100000];
    size_t n = (size_t)snprintf(large, sizeof(large), "{\"pad\":\"");
    memset(large + n, 'x', 80000);
    snprintf(large + n + 80000, sizeof(large) - n - 80000, "\",%s", sets[0] + 1);
    issuer.body = large;
    struct lt_jwks_terms wide = terms;
    wide.max = 100000;
    make_workers(&wide);
    refresh(0);
    refresh(1);
    assert_true(lt_jwks_usable(workers[1]));
    assert_int_equal(issuer.asked, 2);
    free_workers();
}

static void a_miss_asks_again_at_most_once_in_a_while(void **state)
{
    (void)state;
    make_workers(&terms);
    assert_int_equal(lt_jwks_miss(workers[0]), LT_JWKS_COMING);
    assert_int_equal(lt_jwks_miss(workers[0]), LT_JWKS_COMING); /* the same fetch */
    settle();
    assert_int_equal(issuer.asked, 1);
    assert_int_equal(lt_jwks_miss(workers[0]), LT_JWKS_COMING);
    settle();
    assert_int_equal(issuer.asked, 2);
    moves(9);
    assert_int_equal(lt_jwks_miss(workers[0]), LT_JWKS_NONE);
    moves(2);
    assert_int_equal(lt_jwks_miss(workers[0]), LT_JWKS_COMING);
    settle();
    assert_int_equal(issuer.asked, 3);
    free_workers();
}

static void without_keys_they_are_asked_for_once_a_second(void **state)
{
    (void)state;
    make_workers(&terms);
    issuer.error = LT_FETCH_TIMEOUT;
    refresh(0);
    assert_int_equal(lt_jwks_miss(workers[0]), LT_JWKS_NONE);
    moves(1);
    assert_int_equal(lt_jwks_miss(workers[0]), LT_JWKS_COMING);
    settle();
    assert_int_equal(issuer.asked, 2);
    free_workers();
}

static void discovery_says_where_the_keys_are(void **state)
{
    (void)state;
    struct lt_jwks_terms found = terms;
    found.url = LT_STR(ISSUER);
    found.discover = true;
    static const struct {
        const char *document, *why; /* NULL: there are keys */
    } rows[] = {
        {"{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://keys.test/a\"}", NULL},
        {"{\"issuer\":\"https://id.test\",\"jwks_uri\":\"https://keys.test/a\"}", "`issuer`"},
        {"{\"issuer\":\"https://evil.test/\",\"jwks_uri\":\"https://keys.test/a\"}", "`issuer`"},
        {"{\"issuer\":7,\"jwks_uri\":\"https://keys.test/a\"}", "`issuer`"},
        {"<html>", "`issuer`"},
        {"", "`issuer`"},
        {"{\"issuer\":\"" ISSUER "\"}", "no `jwks_uri`"},
        {"{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"http://keys.test/a\"}", "from https"},
        {"{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://a b/\"}", "spaces"},
    };
    for (unsigned i = 0; i < lt_countof(rows); i++) {
        issuer.document = rows[i].document;
        logged[0] = '\0';
        lt_value_table_clear(&bed->values);
        make_workers(&found);
        refresh(0);
        assert_int_equal(lt_jwks_usable(workers[0]), rows[i].why == NULL);
        if (rows[i].why == NULL) {
            assert_string_equal(issuer.url, "keys.test/a");
        } else if (strstr(logged, rows[i].why) == NULL) {
            fail_msg("%s: logged %s", rows[i].document, logged);
        } else {
            assert_string_equal(issuer.url, "id.test/.well-known/openid-configuration");
        }
        free_workers();
    }
}

/* ---- tokens ---- */

static const char *token(const char *kid, unsigned key)
{
    static char text[600];
    char header[100];
    unsigned char sig[64];
    size_t n = sizeof(sig), len;
    const struct lt_str payload = LT_STR("{\"sub\":\"alice\",\"exp\":4000000000}");
    int head = snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", kid);
    len = lt_base64_encode(LT_BASE64_URL, lt_str(header, (size_t)head), text);
    text[len++] = '.';
    len += lt_base64_encode(LT_BASE64_URL, payload, text + len);
    EVP_MD_CTX *make = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(make, NULL, NULL, NULL, private_keys[key]), 1);
    assert_int_equal(EVP_DigestSign(make, sig, &n, (unsigned char *)text, len), 1);
    EVP_MD_CTX_free(make);
    text[len++] = '.';
    len += lt_base64_encode(LT_BASE64_URL, lt_str((char *)sig, n), text + len);
    text[len] = '\0';
    return text;
}

static void load_filter(const char *options)
{
    char text[1000];
    snprintf(text, sizeof(text),
             "local keys return {init = function() keys = lintel.jwks('" URL "', {%s}) end, "
             "request = function(ctx) local claims, why = "
             "lintel.jwt.verify(ctx.req.headers['x-token'], keys) "
             "ctx.req.headers['x-r'] = claims and claims.sub or why end}",
             options);
    load_one(text, ", on_error: closed, budget: {wall: 5s}");
}

/* What the filter says to a token; `failed` when it failed. */
static const char *judged(const char *text)
{
    static char result[300];
    struct lt_exchange *x = begin();
    with_header(x, "x-token", text);
    if (lt_test_bed_run(bed, LT_FILTER_REQUEST) != LT_STEP_NEXT) {
        snprintf(result, sizeof(result), "%.*s", LT_STR_ARG(x->detail));
    } else {
        snprintf(result, sizeof(result), "%.*s", LT_STR_ARG(req_header(x, "x-r")));
    }
    lt_test_bed_end(bed);
    return result;
}

static void the_first_token_waits_for_the_keys(void **state)
{
    (void)state;
    load_filter("");
    assert_string_equal(judged(token("0", 0)), "alice");
    assert_int_equal(issuer.asked, 1);
    assert_string_equal(judged(token("0", 0)), "alice");
    assert_int_equal(issuer.asked, 1);
}

static void a_new_key_costs_no_token(void **state)
{
    (void)state;
    load_filter("");
    assert_string_equal(judged(token("0", 0)), "alice");
    issuer.body = sets[2];
    assert_string_equal(judged(token("1", 1)), "alice");
    assert_string_equal(judged(token("0", 0)), "alice");
    assert_int_equal(issuer.asked, 2);
    /* An issuer that gives the new key the old one's id. */
    char renamed[800];
    snprintf(renamed, sizeof(renamed), "%s", sets[1]);
    *strstr(renamed, "\"kid\":\"1\"") = '"';
    strstr(renamed, "\"kid\":\"1\"")[7] = '0';
    issuer.body = renamed;
    moves(11);
    assert_string_equal(judged(token("0", 1)), "alice");
    assert_string_equal(judged(token("0", 0)), "bad_signature");
    assert_int_equal(issuer.asked, 3);
}

static void made_up_ids_cost_the_issuer_little(void **state)
{
    (void)state;
    load_filter("retry = '1m'");
    assert_string_equal(judged(token("0", 0)), "alice");
    for (unsigned i = 0; i < 50; i++) {
        char kid[16];
        snprintf(kid, sizeof(kid), "made-up-%u", i);
        assert_string_equal(judged(token(kid, 0)), "unknown_key");
        moves(1);
    }
    assert_int_equal(issuer.asked, 2);
    moves(20);
    assert_string_equal(judged(token("x", 0)), "unknown_key");
    assert_int_equal(issuer.asked, 3);
    /* A token that is wrong in itself asks for nothing. */
    moves(100);
    assert_string_equal(judged("x"), "malformed_token");
    assert_int_equal(issuer.asked, 3);
}

/* Nothing is said about a key while the issuer can't be asked. */
static void without_an_answer_no_token_is_called_wrong(void **state)
{
    (void)state;
    load_filter("");
    issuer.error = LT_FETCH_CONNECT_REFUSED;
    assert_string_equal(judged(token("0", 0)), "keys_unavailable");
    assert_string_equal(judged(token("0", 0)), "keys_unavailable");
    assert_int_equal(issuer.asked, 1);
    issuer.error = LT_FETCH_OK;
    moves(2);
    assert_string_equal(judged(token("0", 0)), "alice");
    issuer.error = LT_FETCH_TIMEOUT;
    assert_string_equal(judged(token("1", 1)), "keys_unavailable");
    assert_string_equal(judged(token("0", 0)), "alice");
    assert_string_equal(judged(token("0", 1)), "bad_signature");
}

static void a_call_waits_only_so_long(void **state)
{
    (void)state;
    load_filter("wait = '2s', timeout = '30s'");
    issuer.deaf = true;
    uint64_t before = bed->loop->now_us;
    assert_string_equal(judged(token("0", 0)), "keys_unavailable");
    assert_true(bed->loop->now_us - before >= 1900000);
    assert_true(bed->loop->now_us - before <= 4900000);
    assert_int_equal(issuer.asked, 1);
    /* The client leaves meanwhile; then the configuration goes. */
    struct lt_exchange *x = begin();
    with_header(x, "x-token", token("0", 0));
    assert_int_equal(lt_test_bed_step(bed, LT_FILTER_REQUEST), LT_STEP_WAIT);
    lt_test_bed_end(bed);
    load_one("return {request = function() end}", "");
}

/* Less than the call's own time: the filter hears of it and can answer. */
static void a_wait_ends_before_the_call_does(void **state)
{
    (void)state;
    load_filter("wait = '1m', timeout = '1m'");
    issuer.deaf = true;
    assert_string_equal(judged(token("0", 0)), "keys_unavailable");
}

static void a_reload_begins_with_what_was_fetched(void **state)
{
    (void)state;
    load_filter("");
    assert_string_equal(judged(token("0", 0)), "alice");
    issuer.error = LT_FETCH_CONNECT_REFUSED;
    load_filter("refresh = '1h'");
    assert_string_equal(judged(token("0", 0)), "alice");
    assert_int_equal(issuer.asked, 1);
}

static void what_is_written_wrongly_raises(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"lintel.jwks()", "string expected"},
        {"lintel.jwks('ftp://x/')", "http"},
        {"lintel.jwks('https://u:p@x/')", "user"},
        {"lintel.jwks('https://x/', 7)", "table expected"},
        {"lintel.jwks('https://x/', {refesh = 1})", "did you mean `refresh`"},
        {"lintel.jwks('https://x/', {refresh = '0s'})", "`refresh` is a time"},
        {"lintel.jwks('https://x/', {retry = 'x'})", "`retry` is a time"},
        {"lintel.jwks('https://x/', {max = '1M'})", "at most 256K"},
        {"lintel.jwks('https://x/', {max = 0})", "at most 256K"},
        {"lintel.jwks('https://x/', {max = {}})", "at most 256K"},
        {"lintel.jwks('https://x/', {discover = 1})", "true or false"},
        {"lintel.jwks('https://x/', {max = 1000}):replace('x')", "are fetched"},
    };
    for (unsigned i = 0; i < lt_countof(rows); i++) {
        char text[300], yaml[100];
        snprintf(text, sizeof(text), "return {init = function() %s end, request = function() end}",
                 rows[i][0]);
        write_file("a.lua", text);
        snprintf(yaml, sizeof(yaml), "a: {filter: \"@/a.lua\"}\n");
        const char *said = load_yaml(yaml);
        if (said == NULL || strstr(said, rows[i][1]) == NULL) {
            fail_msg("%s: %s", rows[i][0], said != NULL ? said : "loaded");
        }
    }
    load_one("return {request = function() lintel.jwks('https://x/') end}", ", on_error: closed");
    struct lt_exchange *x = begin();
    assert_int_not_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    assert_true(lt_str_find(x->detail, LT_STR("make keys in `init`")) != SIZE_MAX);
    lt_test_bed_end(bed);
}

/* The rules alone, for answers of RFC 7662. */
static void claims_are_judged_without_a_signature(void **state)
{
    (void)state;
    load_one("local j = lintel.jwt.judge return {request = function(ctx) "
             "local function say(text, rules) local c, why = j(text, rules) "
             "return c and c.sub or why end "
             "ctx.req.headers['x-r'] = table.concat({say('{\"sub\":\"a\",\"exp\":4000000000}'), "
             "say('{\"sub\":\"a\"}'), say('{\"sub\":\"a\"}', {require_exp = false}), say('x'), "
             "say('{\"a\":1,\"a\":2}'), say('{\"exp\":1}'), "
             "say('{\"sub\":\"aaaa\"}', {max = 5}), "
             "say('{\"sub\":\"a\",\"scope\":\"x\"}', {require_exp = false, scope_any = {'x', "
             "'y'}}), "
             "say('{\"sub\":\"a\",\"scope\":\"z\"}', {require_exp = false, scope_any = {'x', "
             "'y'}})}, ' ') end}",
             ", on_error: closed");
    struct lt_exchange *x = begin();
    (void)lt_test_bed_run(bed, LT_FILTER_REQUEST);
    assert_str(req_header(x, "x-r"),
               "a missing_claim a malformed_token malformed_token expired token_too_large a "
               "insufficient_scope");
    lt_test_bed_end(bed);
}

static void without_memory_nothing_breaks(void **state)
{
    (void)state;
    bool made = false;
    unsigned i;
    for (i = 1; !made && i < 3000; i++) {
        lt_value_table_clear(&bed->values);
        load_filter("");
        struct lt_exchange *x = begin();
        with_header(x, "x-token", token("0", 0));
        lt_mem_fail_at(i);
        enum lt_step_result result = lt_test_bed_run(bed, LT_FILTER_REQUEST);
        lt_mem_fail_at(0);
        made = result == LT_STEP_NEXT && lt_str_eq_c(req_header(x, "x-r"), "alice");
        assert_true(result == LT_STEP_NEXT || x->cause != LT_CAUSE_NONE);
        lt_test_bed_end(bed);
    }
    assert_true(made && i > 5);
    /* A worker that can't keep another one's keys fetches them. */
    make_workers(&terms);
    refresh(0);
    for (i = 1; i < 10; i++) {
        lt_mem_fail_at(i);
        (void)!lt_jwks_miss(workers[1]);
        lt_mem_fail_at(0);
        settle();
    }
    assert_true(lt_jwks_usable(workers[1]));
    for (i = 1; i <= 2; i++) {
        lt_mem_fail_at(i);
        assert_null(lt_jwks_new(bed->filters->units[0], keys[0], &terms));
        lt_mem_fail_at(0);
    }
    free_workers();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_worker_fetches_and_the_others_take_it_over),
        TEST(two_timers_at_once_make_one_fetch),
        TEST(old_keys_serve_while_the_issuer_is_down),
        TEST(cache_control_says_how_long_within_bounds),
        TEST(what_is_no_key_set_changes_nothing),
        TEST(a_large_set_is_not_shared),
        TEST(a_miss_asks_again_at_most_once_in_a_while),
        TEST(without_keys_they_are_asked_for_once_a_second),
        TEST(discovery_says_where_the_keys_are),
        TEST(the_first_token_waits_for_the_keys),
        TEST(a_new_key_costs_no_token),
        TEST(made_up_ids_cost_the_issuer_little),
        TEST(without_an_answer_no_token_is_called_wrong),
        TEST(a_call_waits_only_so_long),
        TEST(a_wait_ends_before_the_call_does),
        TEST(a_reload_begins_with_what_was_fetched),
        TEST(what_is_written_wrongly_raises),
        TEST(claims_are_judged_without_a_signature),
        TEST(without_memory_nothing_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
