/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as a whole: what forgers try, and what claims have to say. */
#include "jwt_forge.h"

#include "base/mem.h"

#define NOW 1700000000.0
/* A secret as well as a JWK of it. */
#define SECRET "0123456789abcdef0123456789abcdef"
#define FAR "\"exp\":1700003600"

static struct lt_jose_keys *keys;
static EVP_PKEY *rsa;
static char *rsa_pem;
static struct lt_jwt_rules rules;

static int setup(void **state)
{
    keys = lt_jose_keys_new();
    rules = (struct lt_jwt_rules){.max = LT_JWT_MAX, .algs = LT_JOSE_ALL, .now_s = NOW};
    assert_int_equal(forge_setup(state), 0);
    assert_true(lt_jose_add_secret(keys, LT_STR(SECRET)));
    assert_true(lt_jose_add_pem(keys, lt_str_c(rsa_pem)));
    return 0;
}

static int teardown(void **state)
{
    lt_jose_keys_free(keys);
    return forge_teardown(state);
}

static const char *judge(const char *token)
{
    json_t *claims;
    enum lt_jwt_reason reason = lt_jwt_verify(crypto, keys, &rules, lt_str_c(token), &claims);
    assert_true((claims != NULL) == (reason == LT_JWT_OK));
    json_decref(claims);
    return lt_jwt_reason_name(reason);
}

/* A token by the secret. */
static const char *secret_token(const char *header, const char *payload)
{
    return forge(LT_JOSE_HS256, NULL, LT_STR(SECRET), header, payload);
}

static const char *rsa_token(const char *header, const char *payload)
{
    return forge(LT_JOSE_RS256, rsa, LT_STR_NONE, header, payload);
}

#define HS "{\"alg\":\"HS256\"}"
#define RS "{\"alg\":\"RS256\"}"
#define OK_CLAIMS "{\"sub\":\"alice\"," FAR "}"

static void a_good_token_gives_its_claims(void **state)
{
    (void)state;
    json_t *claims;
    assert_int_equal(
        lt_jwt_verify(crypto, keys, &rules, lt_str_c(rsa_token(RS, OK_CLAIMS)), &claims),
        LT_JWT_OK);
    assert_string_equal(json_string_value(json_object_get(claims, "sub")), "alice");
    json_decref(claims);
    assert_string_equal(judge(secret_token(HS, OK_CLAIMS)), "ok");
}

/* RFC 7519 §3.1 expired in 2011; §6.1 is signed by nobody. */
static void the_examples_of_the_rfc(void **state)
{
    (void)state;
    lt_jose_keys_free(keys);
    keys = lt_jose_keys_new();
    assert_true(lt_jose_add_jwks(
        keys,
        LT_STR("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr"
               "_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}")));
    const char *signed_one =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogI"
        "mh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert_string_equal(judge(signed_one), "expired");
    rules.now_s = 1300819379;
    assert_string_equal(judge(signed_one), "ok");
    assert_string_equal(
        judge("eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogI"
              "mh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."),
        "unsigned_token");
}

struct row {
    const char *header, *payload, *wanted;
};

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *got = judge(secret_token(rows[i].header, rows[i].payload));
        if (strcmp(got, rows[i].wanted) != 0) {
            fail_msg("%s %s: is %s, should be %s", rows[i].header, rows[i].payload, got,
                     rows[i].wanted);
        }
    }
}

/* What forgers write into headers. All of these are signed with the right secret, so that only the
 * header is to blame. */
static void headers_of_forgers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"alg\":\"none\"}", OK_CLAIMS, "unsigned_token"},
        {"{\"alg\":\"None\"}", OK_CLAIMS, "unsigned_token"},
        {"{\"alg\":\"nOnE\"}", OK_CLAIMS, "unsigned_token"},
        {"{\"alg\":\"\"}", OK_CLAIMS, "malformed_token"},
        {"{\"alg\":null}", OK_CLAIMS, "malformed_token"},
        {"{\"alg\":[\"HS256\"]}", OK_CLAIMS, "malformed_token"},
        {"{}", OK_CLAIMS, "malformed_token"},
        {"{\"alg\":\"hs256\"}", OK_CLAIMS, "wrong_algorithm"},
        {"{\"alg\":\"HS256 \"}", OK_CLAIMS, "wrong_algorithm"},
        {"{\"alg\":\"HS1\"}", OK_CLAIMS, "wrong_algorithm"},
        {"{\"alg\":\"HS384\"}", OK_CLAIMS, "wrong_algorithm"}, /* too short a secret for it */
        {"{\"alg\":\"ES256\"}", OK_CLAIMS, "wrong_algorithm"},
        {"{\"alg\":\"RS256\"}", OK_CLAIMS, "bad_signature"},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", OK_CLAIMS, "malformed_token"},
        {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", OK_CLAIMS, "malformed_token"},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", OK_CLAIMS, "unknown_critical"},
        {"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", OK_CLAIMS, "unknown_critical"},
        {"{\"alg\":\"HS256\",\"crit\":[]}", OK_CLAIMS, "unknown_critical"},
        {"{\"alg\":\"HS256\",\"crit\":null}", OK_CLAIMS, "unknown_critical"},
        {"{\"alg\":\"HS256\",\"kid\":7}", OK_CLAIMS, "malformed_token"},
        {"{\"alg\":\"HS256\",\"typ\":{}}", OK_CLAIMS, "malformed_token"},
        {"{\"alg\":\"HS256\",\"kid\":\"a\\u0000b\"}", OK_CLAIMS, "malformed_token"},
        {"{\"alg\":\"HS256\"} {}", OK_CLAIMS, "malformed_token"},
        {"[\"alg\",\"HS256\"]", OK_CLAIMS, "malformed_token"},
        {"\"HS256\"", OK_CLAIMS, "malformed_token"},
        {"", OK_CLAIMS, "malformed_token"},
        {"\xef\xbb\xbf{\"alg\":\"HS256\"}", OK_CLAIMS, "malformed_token"},
        {"{\"alg\":\"HS256\",\"x\":\"\xff\"}", OK_CLAIMS, "malformed_token"},
        /* Names that could lead to another key lead nowhere: the secret still decides. */
        {"{\"alg\":\"HS256\",\"jku\":\"https://evil.test/\",\"x5u\":\"https://evil.test/\","
         "\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"x5c\":[\"AA\"]}",
         OK_CLAIMS, "ok"},
        {"{\"alg\":\"HS256\",\"kid\":\"../../../../dev/null\"}", OK_CLAIMS, "ok"},
        {"{\"alg\":\"HS256\",\"kid\":\"x' UNION SELECT 'k\"}", OK_CLAIMS, "ok"},
    };
    check_rows(rows, lt_countof(rows));
}

/* The public key as the secret of an HMAC: its text, with and without what ends its lines. */
static void a_public_key_does_not_sign(void **state)
{
    (void)state;
    struct lt_str texts[] = {lt_str_c(rsa_pem), lt_str_trim(lt_str_c(rsa_pem)),
                             lt_str(rsa_pem, strlen(rsa_pem) - 1)};
    for (size_t i = 0; i < lt_countof(texts); i++) {
        const char *token = forge(LT_JOSE_HS256, NULL, texts[i], HS, OK_CLAIMS);
        assert_string_equal(judge(token), "bad_signature");
    }
    lt_jose_keys_free(keys);
    keys = lt_jose_keys_new();
    assert_true(lt_jose_add_pem(keys, lt_str_c(rsa_pem)));
    assert_string_equal(judge(forge(LT_JOSE_HS256, NULL, texts[0], HS, OK_CLAIMS)),
                        "wrong_algorithm");
}

/* A key in the header, which signed the token. */
static void an_embedded_key_is_not_used(void **state)
{
    (void)state;
    const char *header = "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":"
                         "\"YXR0YWNrZXJhdHRhY2tlcmF0dGFja2VyYXR0YWNrZXI\"}}";
    assert_string_equal(judge(forge(LT_JOSE_HS256, NULL, LT_STR("attackerattackerattackerattacker"),
                                    header, OK_CLAIMS)),
                        "bad_signature");
}

static void the_rules_narrow_the_algorithms(void **state)
{
    (void)state;
    rules.algs = 1u << LT_JOSE_PS256;
    assert_string_equal(judge(rsa_token(RS, OK_CLAIMS)), "wrong_algorithm");
    assert_string_equal(judge(secret_token(HS, OK_CLAIMS)), "wrong_algorithm");
    assert_string_equal(
        judge(forge(LT_JOSE_PS256, rsa, LT_STR_NONE, "{\"alg\":\"PS256\"}", OK_CLAIMS)), "ok");
    /* Signed by one, named as the other. */
    assert_string_equal(
        judge(forge(LT_JOSE_RS256, rsa, LT_STR_NONE, "{\"alg\":\"PS256\"}", OK_CLAIMS)),
        "bad_signature");
}

/* Texts that differ from a good token a little. */
static void bytes_that_do_not_belong_there(void **state)
{
    (void)state;
    char good[1000], bad[1100];
    snprintf(good, sizeof(good), "%s", secret_token(HS, OK_CLAIMS));
    size_t n = strlen(good), dot = lt_str_rchr(lt_str_c(good), '.');
    static const char *const around[][2] = {{"", "="},  {"", "=="}, {"", "\n"}, {"", "."},
                                            {"", ".x"}, {" ", ""},  {".", ""},  {"", " "}};
    assert_string_equal(judge(good), "ok");
    for (size_t i = 0; i < lt_countof(around); i++) {
        snprintf(bad, sizeof(bad), "%s%s%s", around[i][0], good, around[i][1]);
        assert_string_equal(judge(bad), "malformed_token");
    }
    static const char *const whole[] = {
        "", ".", "..", "a", "a.b", "e30.e30", "e30..", "..AA", "e30.e30.e30.e30.e30", "{}.{}.{}"};
    for (size_t i = 0; i < lt_countof(whole); i++) {
        assert_string_equal(judge(whole[i]), "malformed_token");
    }
    /* The signature taken off, cut, and with bits beyond its last byte. */
    snprintf(bad, sizeof(bad), "%.*s", (int)dot + 1, good);
    assert_string_equal(judge(bad), "bad_signature");
    snprintf(bad, sizeof(bad), "%.*s", (int)dot, good);
    assert_string_equal(judge(bad), "malformed_token");
    snprintf(bad, sizeof(bad), "%.*s", (int)n - 3, good);
    assert_string_equal(judge(bad), "bad_signature");
    snprintf(bad, sizeof(bad), "%s", good);
    bad[n - 1]++;
    assert_string_not_equal(judge(bad), "ok");
    for (size_t i = 0; i < n; i++) { /* each byte counts */
        snprintf(bad, sizeof(bad), "%s", good);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_string_not_equal(judge(bad), "ok");
    }
}

static void huge_tokens_are_refused_unread(void **state)
{
    (void)state;
    static char huge[LT_JWT_MAX + 2];
    memset(huge, 'A', LT_JWT_MAX + 1);
    assert_string_equal(judge(huge), "token_too_large");
    huge[LT_JWT_MAX] = '\0';
    assert_string_equal(judge(huge), "malformed_token");
    rules.max = 10;
    assert_string_equal(judge(secret_token(HS, OK_CLAIMS)), "token_too_large");
}

static void depth_is_limited(void **state)
{
    (void)state;
    char payload[9000], *at = payload + snprintf(payload, sizeof(payload), "{" FAR ",\"a\":");
    memset(at, '[', 15);
    memset(at + 15, ']', 15);
    memcpy(at + 30, "}", 2);
    assert_string_equal(judge(secret_token(HS, payload)), "ok");
    memset(at, '[', 16);
    memset(at + 16, ']', 16);
    memcpy(at + 32, "}", 2);
    assert_string_equal(judge(secret_token(HS, payload)), "malformed_token");
    memset(at, '[', 4000);
    memset(at + 4000, ']', 4000);
    memcpy(at + 8000, "}", 2);
    assert_string_equal(judge(secret_token(HS, payload)), "malformed_token");
}

/* ---- keys ---- */

static void the_kid_picks_the_key(void **state)
{
    (void)state;
    lt_jose_keys_free(keys);
    keys = lt_jose_keys_new();
    assert_true(
        lt_jose_add_jwks(keys, LT_STR("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":"
                                      "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"},"
                                      "{\"kty\":\"oct\",\"kid\":\"b\",\"k\":"
                                      "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}")));
    static const struct row rows[] = {
        {"{\"alg\":\"HS256\",\"kid\":\"a\"}", OK_CLAIMS, "ok"},
        {"{\"alg\":\"HS256\",\"kid\":\"b\"}", OK_CLAIMS, "bad_signature"},
        {"{\"alg\":\"HS256\",\"kid\":\"c\"}", OK_CLAIMS, "unknown_key"},
        {"{\"alg\":\"HS256\",\"kid\":\"\"}", OK_CLAIMS, "unknown_key"},
        {"{\"alg\":\"RS256\",\"kid\":\"a\"}", OK_CLAIMS, "wrong_algorithm"},
        {"{\"alg\":\"HS256\"}", OK_CLAIMS, "ok"},
    };
    check_rows(rows, lt_countof(rows));
}

static void a_bounded_number_of_keys_is_tried(void **state)
{
    (void)state;
    char set[4096], *at = set;
    lt_jose_keys_free(keys);
    keys = lt_jose_keys_new();
    at += snprintf(at, 20, "{\"keys\":[");
    for (unsigned i = 0; i <= LT_JOSE_TRIES_MAX; i++) { /* the good one is the last */
        at += snprintf(at, 200, "%s{\"kty\":\"oct\",\"kid\":\"%u\",\"k\":\"%s\"}", i > 0 ? "," : "",
                       i,
                       i == LT_JOSE_TRIES_MAX ? "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
                                              : "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    }
    snprintf(at, 20, "]}");
    assert_true(lt_jose_add_jwks(keys, lt_str_c(set)));
    assert_string_equal(judge(secret_token(HS, OK_CLAIMS)), "bad_signature");
    assert_string_equal(judge(secret_token("{\"alg\":\"HS256\",\"kid\":\"8\"}", OK_CLAIMS)), "ok");
}

/* ---- claims ---- */

static void times(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {HS, "{}", "missing_claim"},
        {HS, "{\"exp\":1700000001}", "ok"},
        {HS, "{\"exp\":1700000000}", "expired"},
        {HS, "{\"exp\":1700000000.5}", "ok"},
        {HS, "{\"exp\":0}", "expired"},
        {HS, "{\"exp\":\"1700003600\"}", "bad_claim"},
        {HS, "{\"exp\":-1}", "bad_claim"},
        {HS, "{\"exp\":1e300}", "bad_claim"},
        {HS, "{\"exp\":1e999}", "malformed_token"},
        {HS, "{\"exp\":99999999999999999999}", "malformed_token"},
        {HS, "{\"exp\":NaN}", "malformed_token"},
        {HS, "{\"exp\":true}", "bad_claim"},
        {HS, "{\"exp\":null}", "bad_claim"},
        {HS, "{\"exp\":[1700003600]}", "bad_claim"},
        {HS, "{\"exp\":1700003600,\"exp\":1800000000}", "malformed_token"},
        {HS, "{\"exp\":1,\"e\\u0078p\":1800000000}", "malformed_token"},
        {HS, "{" FAR ",\"nbf\":1700000000}", "ok"},
        {HS, "{" FAR ",\"nbf\":1700000001}", "not_yet_valid"},
        {HS, "{" FAR ",\"nbf\":\"x\"}", "bad_claim"},
        {HS, "{" FAR ",\"iat\":1700000001}", "not_yet_valid"},
        {HS, "{" FAR ",\"iat\":{}}", "bad_claim"},
        {HS, "{" FAR ",\"sub\":7}", "bad_claim"},
        {HS, "[]", "malformed_token"},
        {HS, "null", "malformed_token"},
        {HS, "", "malformed_token"},
        {HS, "{" FAR "}x", "malformed_token"},
    };
    check_rows(rows, lt_countof(rows));
    rules.leeway_s = 30;
    static const struct row lenient[] = {
        {HS, "{\"exp\":1699999971}", "ok"},
        {HS, "{\"exp\":1699999970}", "expired"},
        {HS, "{" FAR ",\"nbf\":1700000030}", "ok"},
        {HS, "{" FAR ",\"nbf\":1700000031}", "not_yet_valid"},
    };
    check_rows(lenient, lt_countof(lenient));
    rules.needs_no_expiry = true;
    assert_string_equal(judge(secret_token(HS, "{}")), "ok");
    assert_string_equal(judge(secret_token(HS, "{\"exp\":1}")), "expired");
}

static void issuers_and_audiences(void **state)
{
    (void)state;
    const struct lt_str issuers[] = {LT_STR("https://id.test/"), LT_STR("other")};
    const struct lt_str audiences[] = {LT_STR("orders"), LT_STR("stock")};
    /* Nobody has said who we are: a token for somebody is not for us (RFC 7519 §4.1.3). */
    assert_string_equal(judge(secret_token(HS, "{" FAR ",\"aud\":\"orders\"}")), "wrong_audience");
    rules.any_audience = true;
    assert_string_equal(judge(secret_token(HS, "{" FAR ",\"aud\":\"orders\"}")), "ok");
    assert_string_equal(judge(secret_token(HS, "{" FAR ",\"aud\":[7]}")), "bad_claim");
    rules.any_audience = false;
    rules.issuers = (struct lt_jwt_texts){issuers, 2};
    rules.audiences = (struct lt_jwt_texts){audiences, 2};
#define ISS FAR ",\"iss\":\"other\""
    static const struct row rows[] = {
        {HS, "{" FAR ",\"aud\":\"orders\"}", "missing_claim"},
        {HS, "{" FAR ",\"aud\":\"orders\",\"iss\":\"evil\"}", "wrong_issuer"},
        {HS, "{" FAR ",\"aud\":\"orders\",\"iss\":\"https://id.test\"}", "wrong_issuer"},
        {HS, "{" FAR ",\"aud\":\"orders\",\"iss\":[\"other\"]}", "bad_claim"},
        {HS, "{" ISS "}", "missing_claim"},
        {HS, "{" ISS ",\"aud\":\"orders\"}", "ok"},
        {HS, "{" ISS ",\"aud\":\"Orders\"}", "wrong_audience"},
        {HS, "{" ISS ",\"aud\":\"\"}", "wrong_audience"},
        {HS, "{" ISS ",\"aud\":[\"billing\",\"stock\"]}", "ok"},
        {HS, "{" ISS ",\"aud\":[\"billing\"]}", "wrong_audience"},
        {HS, "{" ISS ",\"aud\":[]}", "wrong_audience"},
        {HS, "{" ISS ",\"aud\":[\"orders\",null]}", "bad_claim"},
        {HS, "{" ISS ",\"aud\":{\"orders\":1}}", "bad_claim"},
    };
    check_rows(rows, lt_countof(rows));
}

static void claims_and_scopes(void **state)
{
    (void)state;
    const struct lt_str scopes[] = {LT_STR("read"), LT_STR("orders:write")};
    const struct lt_str roles[] = {LT_STR("admin"), LT_STR("7"), LT_STR("true")};
    const struct lt_jwt_claim_rule claims[] = {{.name = LT_STR("tenant")},
                                               {.name = LT_STR("role"), .values = {roles, 3}}};
    rules.claims = claims;
    rules.n_claims = 2;
#define TENANT FAR ",\"tenant\":\"t\","
    static const struct row rows[] = {
        {HS, "{" FAR ",\"role\":\"admin\"}", "missing_claim"},
        {HS, "{" FAR ",\"tenant\":null,\"role\":\"admin\"}", "missing_claim"},
        {HS, "{" TENANT "\"role\":\"admin\"}", "ok"},
        {HS, "{" TENANT "\"role\":7}", "ok"},
        {HS, "{" TENANT "\"role\":true}", "ok"},
        {HS, "{" TENANT "\"role\":[\"user\",\"admin\"]}", "ok"},
        {HS, "{" TENANT "\"role\":[\"user\",7]}", "ok"},
        {HS, "{" TENANT "\"role\":\"user\"}", "wrong_claim"},
        {HS, "{" TENANT "\"role\":7.5}", "wrong_claim"},
        {HS, "{" TENANT "\"role\":{\"admin\":true}}", "wrong_claim"},
        {HS, "{" TENANT "\"role\":[[\"admin\"]]}", "wrong_claim"},
        {HS, "{" TENANT "\"role\":[]}", "wrong_claim"},
    };
    check_rows(rows, lt_countof(rows));
    rules.n_claims = 0;
    rules.scopes = (struct lt_jwt_texts){scopes, 2};
    static const struct row with_scopes[] = {
        {HS, "{" FAR "}", "insufficient_scope"},
        {HS, "{" FAR ",\"scope\":\"read\"}", "insufficient_scope"},
        {HS, "{" FAR ",\"scope\":\"read orders:write\"}", "ok"},
        {HS, "{" FAR ",\"scope\":\"orders:write  x read\"}", "ok"},
        {HS, "{" FAR ",\"scope\":\"reads orders:write\"}", "insufficient_scope"},
        {HS, "{" FAR ",\"scope\":[\"read\",\"orders:write\"]}", "ok"},
        {HS, "{" FAR ",\"scp\":\"read orders:write\"}", "ok"},
        {HS, "{" FAR ",\"scope\":\"\",\"scp\":\"read orders:write\"}", "insufficient_scope"},
        {HS, "{" FAR ",\"scope\":{\"read\":1}}", "insufficient_scope"},
        {HS, "{\"exp\":1}", "expired"}, /* not told to those who have no valid token */
    };
    check_rows(with_scopes, lt_countof(with_scopes));
    rules.scopes.n = 0;
    rules.any_scope = (struct lt_jwt_texts){scopes, 2};
    static const struct row with_one[] = {
        {HS, "{" FAR "}", "insufficient_scope"},
        {HS, "{" FAR ",\"scope\":\"x\"}", "insufficient_scope"},
        {HS, "{" FAR ",\"scope\":\"x read\"}", "ok"},
        {HS, "{" FAR ",\"scp\":[\"orders:write\"]}", "ok"},
    };
    check_rows(with_one, lt_countof(with_one));
}

static void claims_within_claims(void **state)
{
    (void)state;
    const struct lt_str roles[] = {LT_STR("admin"), LT_STR("staff")};
    const struct lt_str one[] = {LT_STR("7")};
    const char longest[] =
        "a.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    struct lt_jwt_claim_rule claim = {
        .name = LT_STR("realm.roles"), .values = {roles, 2}, .all = true};
    rules.claims = &claim;
    rules.n_claims = 1;
    static const struct row all[] = {
        {HS, "{" FAR "}", "missing_claim"},
        {HS, "{" FAR ",\"realm\":7}", "missing_claim"},
        {HS, "{" FAR ",\"realm\":{}}", "missing_claim"},
        {HS, "{" FAR ",\"realm\":{\"roles\":null}}", "missing_claim"},
        {HS, "{" FAR ",\"realm\":{\"roles\":[\"admin\"]}}", "wrong_claim"},
        {HS, "{" FAR ",\"realm\":{\"roles\":\"admin\"}}", "wrong_claim"},
        {HS, "{" FAR ",\"realm\":{\"roles\":[\"staff\",\"x\",\"admin\"]}}", "ok"},
        /* A name with dots in it goes before a path. */
        {HS, "{" FAR ",\"realm.roles\":[\"staff\",\"admin\"]}", "ok"},
        {HS, "{" FAR ",\"realm.roles\":[],\"realm\":{\"roles\":[\"staff\",\"admin\"]}}",
         "wrong_claim"},
    };
    check_rows(all, lt_countof(all));
    claim = (struct lt_jwt_claim_rule){.name = LT_STR("a.b.c"), .values = {one, 1}};
    static const struct row deep[] = {
        {HS, "{" FAR ",\"a\":{\"b\":{\"c\":7}}}", "ok"},
        {HS, "{" FAR ",\"a\":{\"b\":{\"c\":8}}}", "wrong_claim"},
        {HS, "{" FAR ",\"a\":{\"b.c\":7}}", "missing_claim"},
    };
    check_rows(deep, lt_countof(deep));
    claim.name = lt_str_c(longest);
    static const struct row too_long[] = {{HS, "{" FAR ",\"a\":{}}", "missing_claim"}};
    check_rows(too_long, 1);
}

static void types(void **state)
{
    (void)state;
    rules.type = LT_STR("at+jwt");
    static const struct row rows[] = {
        {HS, OK_CLAIMS, "wrong_type"},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", OK_CLAIMS, "wrong_type"},
        {"{\"alg\":\"HS256\",\"typ\":\"AT+jwt\"}", OK_CLAIMS, "ok"},
        {"{\"alg\":\"HS256\",\"typ\":\"application/at+jwt\"}", OK_CLAIMS, "ok"},
        {"{\"alg\":\"HS256\",\"typ\":\"application/\"}", OK_CLAIMS, "wrong_type"},
    };
    check_rows(rows, lt_countof(rows));
}

static void memory_that_fails_is_said(void **state)
{
    (void)state;
    const char *token = secret_token(HS, OK_CLAIMS);
    lt_mem_fail_at(1);
    const char *got = judge(token);
    lt_mem_fail_at(0);
    assert_string_equal(got, "out_of_memory");
}

static int group_setup(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    rsa_pem = public_pem(rsa);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    free(rsa_pem);
    EVP_PKEY_free(rsa);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_good_token_gives_its_claims),
        TEST(the_examples_of_the_rfc),
        TEST(headers_of_forgers),
        TEST(a_public_key_does_not_sign),
        TEST(an_embedded_key_is_not_used),
        TEST(the_rules_narrow_the_algorithms),
        TEST(bytes_that_do_not_belong_there),
        TEST(huge_tokens_are_refused_unread),
        TEST(depth_is_limited),
        TEST(the_kid_picks_the_key),
        TEST(a_bounded_number_of_keys_is_tried),
        TEST(times),
        TEST(issuers_and_audiences),
        TEST(claims_and_scopes),
        TEST(claims_within_claims),
        TEST(types),
        TEST(memory_that_fails_is_said),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
