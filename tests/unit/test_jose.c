/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of tokens and signatures by them: the vectors of RFC 7515 and RFC 8037, and what is no key.
 */
#include "jwt_forge.h"

#include "base/mem.h"
#include "filters/jose_verify.h"

static struct lt_jose_keys *keys;

static int setup(void **state)
{
    keys = lt_jose_keys_new();
    assert_non_null(keys);
    return forge_setup(state);
}

static int teardown(void **state)
{
    lt_jose_keys_free(keys);
    return forge_teardown(state);
}

static void add_jwk(const char *jwk)
{
    char set[4096];
    snprintf(set, sizeof(set), "{\"keys\":[%s]}", jwk);
    if (!lt_jose_add_jwks(keys, lt_str_c(set))) {
        fail_msg("%s: %s", jwk, keys->why);
    }
}

/* Whether the last key fits the token, as its header says. */
static bool fits(enum lt_jose_alg alg, const char *token)
{
    unsigned char sig[1200];
    size_t n, dot = lt_str_rchr(lt_str_c(token), '.');
    assert_true(lt_base64_decode(LT_BASE64_URL, lt_str_c(token + dot + 1), sig, &n));
    return lt_jose_verify(crypto, &keys->at[keys->n - 1], alg, lt_str(token, dot),
                          lt_str((char *)sig, n));
}

static void check_vector(const char *jwk, enum lt_jose_alg alg, const char *token)
{
    char *changed = strdup(token);
    add_jwk(jwk);
    for (unsigned again = 0; again < 3; again++) { /* what was set up is used again */
        assert_true(fits(alg, token));
        changed[30] = changed[30] == 'A' ? 'B' : 'A';
        assert_false(fits(alg, changed));
        memcpy(changed, token, strlen(token));
        size_t in_signature = strlen(token) - 20;
        changed[in_signature] = changed[in_signature] == 'A' ? 'B' : 'A';
        assert_false(fits(alg, changed));
        memcpy(changed, token, strlen(token));
    }
    for (unsigned other = 0; other < LT_JOSE_ALGS; other++) {
        assert_true(other == (unsigned)alg || !fits(other, token));
    }
    free(changed);
}

#define PAYLOAD                                                                                    \
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"    \
    "cnVlfQ."

/* RFC 7515 A.1, which is the example of RFC 7519 §3.1 too. */
static void vector_hs256(void **state)
{
    (void)state;
    check_vector("{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aK"
                 "tMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}",
                 LT_JOSE_HS256,
                 "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" PAYLOAD
                 "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

#define RSA_N                                                                                      \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"

/* RFC 7515 A.2. */
static void vector_rs256(void **state)
{
    (void)state;
    check_vector("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}", LT_JOSE_RS256,
                 "eyJhbGciOiJSUzI1NiJ9" PAYLOAD
                 "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5"
                 "YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h"
                 "6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZE"
                 "Sc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
                 "cN_IoypGlUPQGe77Rw");
}

#define P256                                                                                       \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","      \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""

/* RFC 7515 A.3. */
static void vector_es256(void **state)
{
    (void)state;
    check_vector("{" P256 "}", LT_JOSE_ES256,
                 "eyJhbGciOiJFUzI1NiJ9" PAYLOAD
                 "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDx"
                 "w5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
}

/* RFC 7515 A.4. */
static void vector_es512(void **state)
{
    (void)state;
    check_vector(
        "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTj"
        "xrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87"
        "cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}",
        LT_JOSE_ES512,
        "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOY"
        "aRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEH"
        "wJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn");
}

/* RFC 8037 A.4, A.5. */
static void vector_ed25519(void **state)
{
    (void)state;
    check_vector(
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
        "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        LT_JOSE_EDDSA,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPO"
        "t7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
}

/* Every other algorithm with a fresh key that comes as PEM. */
static void what_was_signed_is_verified(void **state)
{
    (void)state;
    EVP_PKEY *made[] = {EVP_RSA_gen(2048),
                        EVP_EC_gen("P-256"),
                        EVP_EC_gen("P-384"),
                        EVP_EC_gen("P-521"),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED448")};
    unsigned verified = 0;
    for (size_t i = 0; i < lt_countof(made); i++) {
        char *pem = public_pem(made[i]);
        assert_true(lt_jose_add_pem(keys, lt_str_c(pem)));
        free(pem);
        for (unsigned alg = LT_JOSE_RS256; alg < LT_JOSE_ALGS; alg++) {
            if ((keys->at[i].algs & 1u << alg) != 0) {
                for (unsigned again = 0; again < 20; again++) { /* also numbers with zeros first */
                    assert_true(fits(alg, forge(alg, made[i], LT_STR_NONE, "{}", "{}")));
                }
                verified++;
            }
        }
        EVP_PKEY_free(made[i]);
    }
    assert_int_equal(verified, 6 + 3 + 2);
    char secret[64] = {1};
    assert_true(lt_jose_add_secret(keys, lt_str(secret, 64)));
    for (unsigned alg = LT_JOSE_HS256; alg <= LT_JOSE_HS512; alg++) {
        assert_true(fits(alg, forge(alg, NULL, lt_str(secret, 64), "{}", "{}")));
    }
}

/* RFC 7518 §3.2. */
static void a_secret_is_as_long_as_its_digest(void **state)
{
    (void)state;
    char secret[64];
    memset(secret, 's', sizeof(secret));
    assert_false(lt_jose_add_secret(keys, lt_str(secret, 31)));
    assert_non_null(strstr(keys->why, "at least 32 bytes"));
    static const struct {
        size_t len;
        unsigned algs;
    } rows[] = {{32, 1u << LT_JOSE_HS256},
                {47, 1u << LT_JOSE_HS256},
                {48, 1u << LT_JOSE_HS256 | 1u << LT_JOSE_HS384},
                {64, 1u << LT_JOSE_HS256 | 1u << LT_JOSE_HS384 | 1u << LT_JOSE_HS512}};
    for (size_t i = 0; i < lt_countof(rows); i++) {
        assert_true(lt_jose_add_secret(keys, lt_str(secret, rows[i].len)));
        assert_int_equal(keys->at[i].algs, rows[i].algs);
    }
}

static void a_public_key_is_no_secret(void **state)
{
    (void)state;
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    char *pem = public_pem(rsa);
    assert_false(lt_jose_add_secret(keys, lt_str_c(pem)));
    assert_non_null(strstr(keys->why, "PEM"));
    assert_true(lt_jose_add_pem(keys, lt_str_c(pem)));
    assert_null(keys->at[0].secret);
    for (unsigned alg = LT_JOSE_HS256; alg <= LT_JOSE_HS512; alg++) {
        assert_int_equal(keys->at[0].algs & 1u << alg, 0);
        assert_false(fits(alg, forge(alg, NULL, lt_str_c(pem), "{}", "{}")));
    }
    free(pem);
    EVP_PKEY_free(rsa);
}

static void refuse_pem(EVP_PKEY *pkey, const char *why)
{
    char *pem = public_pem(pkey);
    assert_false(lt_jose_add_pem(keys, lt_str_c(pem)));
    if (strstr(keys->why, why) == NULL) {
        fail_msg("\"%s\" does not have \"%s\"", keys->why, why);
    }
    free(pem);
    EVP_PKEY_free(pkey);
}

static void what_is_no_key_in_pem_form(void **state)
{
    (void)state;
    refuse_pem(EVP_RSA_gen(1024), "at least 2048 bits");
    refuse_pem(EVP_EC_gen("secp256k1"), "P-256, P-384 or P-521");
    refuse_pem(EVP_EC_gen("brainpoolP256r1"), "P-256, P-384 or P-521");
    refuse_pem(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), "RSA, EC, Ed25519 or Ed448");
    static const char *const bad[][2] = {
        {"", "nothing in PEM form"},
        {"secret", "nothing in PEM form"},
        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "can be read"},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "can be read"},
        {"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "can be read"},
        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "a private key"},
        {"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", "a private key"},
        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
         "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
         "more than one"},
    };
    for (size_t i = 0; i < lt_countof(bad); i++) {
        assert_false(lt_jose_add_pem(keys, lt_str_c(bad[i][0])));
        assert_non_null(strstr(keys->why, bad[i][1]));
    }
    assert_int_equal(keys->n, 0);
}

static void a_certificate_is_its_key(void **state)
{
    (void)state;
    char *text;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 60);
    assert_int_equal(X509_set_pubkey(cert, pkey), 1);
    assert_true(X509_sign(cert, pkey, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    long n = BIO_get_mem_data(bio, &text);
    assert_true(lt_jose_add_pem(keys, lt_str(text, (size_t)n)));
    assert_true(fits(LT_JOSE_ES256, forge(LT_JOSE_ES256, pkey, LT_STR_NONE, "{}", "{}")));
    BIO_free(bio);
    X509_free(cert);
    EVP_PKEY_free(pkey);
}

/* ---- JWK Sets ---- */

#define GOOD "{" P256 ",\"kid\":\"good\"}"

static void what_is_wrong_in_a_jwk_set(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "no JSON"},
        {"[]", "a JWK Set is"},
        {"{}", "a JWK Set is"},
        {"{\"keys\":{}}", "a JWK Set is"},
        {"{\"keys\":[]}", "no key of the JWK Set is of use"},
        {"{\"keys\":[],\"keys\":[]}", "no JSON: line 1: duplicate"},
        {"{\"keys\":[" GOOD ",7]}", "key 2 of the JWK Set: this is no key"},
        {"{\"keys\":[{" P256 ",\"kid\":7}]}", "this is no key"},
        {"{\"keys\":[{" P256 ",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}]}",
         "a private key"},
        {"{\"keys\":[{" P256 ",\"alg\":\"ES384\"}]}", "none that such a key"},
        {"{\"keys\":[{" P256 ",\"alg\":\"HS256\"}]}", "none that such a key"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
         "missing or malformed"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
         "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
         "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}",
         "missing or malformed"}, /* not on the curve */
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":"
         "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
         "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
         "missing or malformed"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "at least 2048"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}]}", "malformed"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAA\"}]}", "malformed"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"" RSA_N "=\",\"e\":\"AQAB\"}]}", "malformed"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}", "malformed"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}", "malformed"},
        {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", "at least 32 bytes"},
        {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
         "\"alg\":\"HS512\"}]}",
         "or one of this length"},
        {"{\"keys\":[{\"kty\":\"oct\"}]}", "`k` is no secret"},
        /* Those that are for something else. */
        {"{\"keys\":[{" P256 ",\"use\":\"enc\"}]}", "of use"},
        {"{\"keys\":[{" P256 ",\"key_ops\":[\"sign\"]}]}", "of use"},
        {"{\"keys\":[{" P256 ",\"alg\":\"ECDH-ES\"}]}", "of use"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"secp256k1\"}]}", "of use"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\"}]}", "of use"},
        {"{\"keys\":[{\"kty\":\"new\"}]}", "of use"},
        {"{\"keys\":[{}]}", "of use"},
    };
    for (size_t i = 0; i < lt_countof(bad); i++) {
        if (lt_jose_add_jwks(keys, lt_str_c(bad[i][0])) || strstr(keys->why, bad[i][1]) == NULL) {
            fail_msg("%s: \"%s\" should have \"%s\"", bad[i][0], keys->why, bad[i][1]);
        }
        assert_int_equal(keys->n, 0);
    }
    assert_false(lt_jose_add_jwks(keys, lt_str(RSA_N, LT_JOSE_TEXT_MAX + 1)));
    assert_non_null(strstr(keys->why, "256 KB"));
}

static void keys_know_their_ids_and_algorithms(void **state)
{
    (void)state;
    add_jwk(GOOD ",{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"alg\":\"PS384\",\"use\":"
                 "\"sig\",\"key_ops\":[\"verify\"],\"x5u\":\"http://evil.test/\"},"
                 "{\"kty\":\"new\"}");
    assert_int_equal(keys->n, 2);
    assert_true(lt_str_eq_c(keys->at[0].kid, "good"));
    assert_int_equal(keys->at[0].algs, 1u << LT_JOSE_ES256);
    assert_null(keys->at[1].kid.p);
    assert_int_equal(keys->at[1].algs, 1u << LT_JOSE_PS384);
}

static void a_set_is_bounded(void **state)
{
    (void)state;
    char secret[32] = {1};
    for (unsigned i = 0; i < LT_JOSE_TRIES_MAX; i++) {
        assert_true(lt_jose_add_secret(keys, lt_str(secret, 32)));
    }
    assert_false(lt_jose_add_secret(keys, lt_str(secret, 32)));
    assert_non_null(strstr(keys->why, "without an id"));
    assert_int_equal(keys->n, LT_JOSE_TRIES_MAX);
    for (unsigned i = LT_JOSE_TRIES_MAX; i < LT_JOSE_KEYS_MAX; i++) {
        add_jwk(GOOD);
    }
    assert_false(lt_jose_add_jwks(keys, LT_STR("{\"keys\":[" GOOD "]}")));
    assert_non_null(strstr(keys->why, "more than 64"));
}

static bool replace_with(const char *entries)
{
    char set[4096];
    snprintf(set, sizeof(set), "{\"keys\":[%s]}", entries);
    return lt_jose_replace_jwks(keys, lt_str_c(set));
}

static void a_set_can_be_replaced(void **state)
{
    (void)state;
    char secret[32] = {1};
    assert_true(lt_jose_add_secret(keys, lt_str(secret, 32)));
    add_jwk(GOOD);
    /* What is of no use is passed over, secrets that anybody could fetch too. */
    assert_true(replace_with("{" P256 ",\"kid\":\"new\"},{\"kty\":\"RSA\"},7,"
                             "{\"kty\":\"oct\",\"k\":"
                             "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"));
    assert_int_equal(keys->n, 2);
    assert_non_null(keys->at[0].secret);
    assert_true(lt_str_eq_c(keys->at[1].kid, "new"));
    /* What has no key changes nothing. */
    assert_false(replace_with(""));
    assert_false(lt_jose_replace_jwks(keys, LT_STR("<html>")));
    assert_non_null(strstr(keys->why, "no JSON"));
    assert_int_equal(keys->n, 2);
    assert_true(lt_str_eq_c(keys->at[1].kid, "new"));
}

static void memory_that_fails_is_said(void **state)
{
    (void)state;
    char secret[32] = {1};
    lt_mem_fail_at(1);
    assert_null(lt_jose_keys_new());
    assert_false(lt_jose_add_secret(keys, lt_str(secret, 32)));
    assert_false(lt_jose_replace_jwks(keys, LT_STR("{\"keys\":[" GOOD "]}")));
    assert_false(lt_jose_add_jwks(keys, LT_STR("{\"keys\":[" GOOD "]}")));
    assert_null(lt_crypto_new());
    lt_mem_fail_at(0);
    assert_int_equal(keys->n, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(vector_hs256),
        TEST(vector_rs256),
        TEST(vector_es256),
        TEST(vector_es512),
        TEST(vector_ed25519),
        TEST(what_was_signed_is_verified),
        TEST(a_secret_is_as_long_as_its_digest),
        TEST(a_public_key_is_no_secret),
        TEST(what_is_no_key_in_pem_form),
        TEST(a_certificate_is_its_key),
        TEST(what_is_wrong_in_a_jwk_set),
        TEST(keys_know_their_ids_and_algorithms),
        TEST(a_set_is_bounded),
        TEST(a_set_can_be_replaced),
        TEST(memory_that_fails_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
