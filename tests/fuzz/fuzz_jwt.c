/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, and what is signed in them. The first byte says how the rest is read:
 * 0: as a token; 1: as the header, 2: as the payload of one that is well signed; 3: as a JWK Set. A
 * token is taken only if its parts, encoded again, are the token. */
#include "filters/jwt.h"

#include <stdlib.h>

#include "base/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "0123456789abcdef0123456789abcdef"
#define TEXT_MAX 8000u

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static struct lt_crypto *crypto;
static struct lt_jose_keys *keys;

static void make_keys(void)
{
    crypto = lt_crypto_new();
    keys = lt_jose_keys_new();
    require(crypto != NULL && keys != NULL && lt_jose_add_secret(keys, LT_STR(SECRET)));
    require(lt_jose_add_jwks(
        keys, LT_STR("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":"
                     "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
                     "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
                     "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
                     "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}")));
}

static const struct lt_str issuers[] = {LT_STR_INIT("i"), LT_STR_INIT("j")};
static const struct lt_str values[] = {LT_STR_INIT("admin"), LT_STR_INIT("7"), LT_STR_INIT("true")};
static const struct lt_jwt_claim_rule rule = {.name = {"role", 4}, .values = {values, 3}};

static bool judge(struct lt_str token, bool strict)
{
    struct lt_jwt_rules rules = {
        .max = LT_JWT_MAX, .algs = LT_JOSE_ALL, .now_s = 1e9, .any_audience = true};
    json_t *claims;
    if (strict) {
        rules.issuers = rules.audiences = rules.scopes = (struct lt_jwt_texts){issuers, 2};
        rules.claims = &rule;
        rules.n_claims = 1;
        rules.any_audience = false;
    }
    rules.needs_no_expiry = !strict;
    enum lt_jwt_reason reason = lt_jwt_verify(crypto, keys, &rules, token, &claims);
    require((reason == LT_JWT_OK) == (claims != NULL) && reason != LT_JWT_NO_MEMORY);
    json_decref(claims);
    return reason == LT_JWT_OK;
}

/* HEADER.PAYLOAD.HMAC */
static struct lt_str sign(struct lt_str header, struct lt_str payload)
{
    static char token[2 * LT_BASE64_ENCODED(TEXT_MAX) + 200];
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t n, len = lt_base64_encode(LT_BASE64_URL, header, token);
    token[len++] = '.';
    len += lt_base64_encode(LT_BASE64_URL, payload, token + len);
    require(lt_crypto_hmac(crypto, LT_HASH_SHA256, LT_STR(SECRET), lt_str(token, len), mac, &n));
    token[len++] = '.';
    len += lt_base64_encode(LT_BASE64_URL, lt_str((char *)mac, n), token + len);
    return lt_str(token, len);
}

/* A token that is taken has one form. */
static void check_form(struct lt_str token)
{
    unsigned char bytes[LT_BASE64_DECODED(LT_JWT_MAX)];
    char again[LT_JWT_MAX + 4];
    struct lt_str rest = token, part;
    size_t n;
    for (unsigned i = 0; i < 3; i++) {
        require(lt_str_next(&rest, '.', &part));
        require(lt_base64_decode(LT_BASE64_URL, part, bytes, &n));
        n = lt_base64_encode(LT_BASE64_URL, lt_str((char *)bytes, n), again);
        require(lt_str_eq(lt_str(again, n), part));
    }
    require(rest.p == NULL);
}

static void try_keys(struct lt_str text)
{
    for (unsigned local = 0; local < 2; local++) {
        struct lt_jose_keys *set = lt_jose_keys_new();
        require(set != NULL);
        bool ok = local ? lt_jose_add_jwks(set, text) : lt_jose_replace_jwks(set, text);
        require(ok == (set->n > 0));
        require(ok || set->why[0] != '\0');
        lt_jose_keys_free(set);
        set = lt_jose_keys_new();
        require(set != NULL);
        ok = local ? lt_jose_add_pem(set, text) : lt_jose_add_secret(set, text);
        require(ok == (set->n == 1));
        lt_jose_keys_free(set);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (keys == NULL) {
        make_keys(); /* for all inputs */
    }
    struct lt_str text = lt_str((const char *)data + 1, size - 1);
    for (unsigned strict = 0; strict < 2; strict++) {
        struct lt_str token = text;
        switch (data[0] % 4) {
        case 0:
            break;
        case 1:
            token = sign(lt_str_sub(text, 0, TEXT_MAX), LT_STR("{\"exp\":2000000000}"));
            break;
        case 2:
            token = sign(LT_STR("{\"alg\":\"HS256\"}"), lt_str_sub(text, 0, TEXT_MAX));
            break;
        default: /* a digit, not an enum */
            try_keys(text);
            return 0;
        }
        if (judge(token, strict)) {
            check_form(token);
        }
    }
    return 0;
}
