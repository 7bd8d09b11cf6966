/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens from their three parts to a verified payload (jwt.h); what the payload has to say is
 * judged by jwt_claims.c. Nothing of a token is used before its signature is found good, but for
 * `alg`, `kid` and `crit`, which say what to verify it with. */
#include "filters/jwt.h"

#include "base/base64.h"
#include "base/mem.h"
#include "filters/jose_verify.h"

struct parts {
    struct lt_str header, payload, signature; /* decoded */
    struct lt_str signed_text;
};

struct header {
    enum lt_jose_alg alg;
    struct lt_str kid;  /* p is NULL: none */
    struct lt_str type; /* likewise */
};

const char *lt_jwt_reason_name(enum lt_jwt_reason reason)
{
    static const char *const names[] = {
#define X(id, name) name,
#include "filters/jwt.def"
#undef X
    };
    return names[reason];
}

/* Decodes one part to *at, which moves behind it. */
static bool decode(struct lt_str digits, unsigned char **at, struct lt_str *out)
{
    size_t n;
    if (!lt_base64_decode(LT_BASE64_URL, digits, *at, &n)) {
        return false;
    }
    *out = lt_str((const char *)*at, n);
    *at += LT_BASE64_DECODED(digits.len);
    return true;
}

/* Exactly two dots; memory has room for all that is decoded. */
static bool split(struct lt_str token, unsigned char *memory, struct parts *parts)
{
    size_t first = lt_str_chr(token, '.', 0);
    size_t second = first != SIZE_MAX ? lt_str_chr(token, '.', first + 1) : SIZE_MAX;
    if (second == SIZE_MAX) {
        return false;
    }
    parts->signed_text = lt_str_sub(token, 0, second);
    return decode(lt_str_sub(token, 0, first), &memory, &parts->header) &&
           decode(lt_str_sub(token, first + 1, second), &memory, &parts->payload) &&
           decode(lt_str_sub(token, second + 1, token.len), &memory, &parts->signature);
}

/* jansson's parser recurses, and refuses at 2048 levels by itself. */
static bool is_flat_enough(const json_t *json, unsigned depth)
{
    const char *name;
    json_t *value;
    size_t i;
    if (!json_is_object(json) && !json_is_array(json)) {
        return true;
    }
    if (depth == LT_JWT_DEPTH_MAX) {
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        if (!is_flat_enough(value, depth + 1)) {
            return false;
        }
    }
    json_array_foreach(json, i, value)
    {
        if (!is_flat_enough(value, depth + 1)) {
            return false;
        }
    }
    return true;
}

/* One object without duplicate members, as owned; NULL: it is none. */
static json_t *parse_object(struct lt_str text)
{
    json_t *json = json_loadb(text.len > 0 ? text.p : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    if (json != NULL && (!json_is_object(json) || !is_flat_enough(json, 0))) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* A string or nothing; false: something else. */
static bool get_text(const json_t *object, const char *name, struct lt_str *out)
{
    const json_t *value = json_object_get(object, name);
    *out = LT_STR_NONE;
    if (value != NULL && json_is_string(value)) {
        *out = lt_str(json_string_value(value), json_string_length(value));
    }
    return value == NULL || json_is_string(value);
}

/* What of the header counts; texts live as long as json. jwk, jku, x5u and x5c are not looked at.
 */
static enum lt_jwt_reason read_header(const json_t *json, struct header *header)
{
    struct lt_str alg;
    if (!get_text(json, "alg", &alg) || alg.len == 0 || !get_text(json, "kid", &header->kid) ||
        !get_text(json, "typ", &header->type)) {
        return LT_JWT_MALFORMED;
    }
    if (lt_str_eq_nocase(alg, LT_STR("none"))) {
        return LT_JWT_UNSIGNED;
    }
    if (json_object_get(json, "crit") != NULL) {
        return LT_JWT_UNKNOWN_CRITICAL; /* RFC 7515 §4.1.11: we know no extension */
    }
    header->alg = lt_jose_alg_find(alg);
    return header->alg == LT_JOSE_ALGS ? LT_JWT_WRONG_ALGORITHM : LT_JWT_OK;
}

/* Tries the keys that the header can mean: those of its kid and those without one; without kid all.
 * Only keys that are for its algorithm count. */
static enum lt_jwt_reason check_signature(struct lt_crypto *crypto, struct lt_jose_keys *keys,
                                          const struct header *header, const struct parts *parts)
{
    unsigned tried = 0;
    bool known = false;
    for (unsigned i = 0; i < keys->n && tried < LT_JOSE_TRIES_MAX; i++) {
        struct lt_jose_key *key = &keys->at[i];
        if (header->kid.p != NULL && key->kid.p != NULL && !lt_str_eq(header->kid, key->kid)) {
            continue;
        }
        known = true;
        if ((key->algs & 1u << header->alg) == 0) {
            continue;
        }
        tried++;
        if (lt_jose_verify(crypto, key, header->alg, parts->signed_text, parts->signature)) {
            return LT_JWT_OK;
        }
    }
    return tried > 0 ? LT_JWT_BAD_SIGNATURE : known ? LT_JWT_WRONG_ALGORITHM : LT_JWT_UNKNOWN_KEY;
}

/* "application/" may be left out, case does not count (RFC 7515 §4.1.9). */
static bool is_type(struct lt_str type, struct lt_str wanted)
{
    const struct lt_str media = LT_STR("application/");
    if (type.len > media.len && lt_str_eq_nocase(lt_str_sub(type, 0, media.len), media)) {
        type = lt_str_sub(type, media.len, type.len);
    }
    return wanted.len == 0 || lt_str_eq_nocase(type, wanted);
}

static enum lt_jwt_reason check(struct lt_crypto *crypto, struct lt_jose_keys *keys,
                                const struct lt_jwt_rules *rules, const json_t *json,
                                const struct parts *parts)
{
    struct header header;
    enum lt_jwt_reason reason = read_header(json, &header);
    if (reason == LT_JWT_OK && (rules->algs & 1u << header.alg) == 0) {
        reason = LT_JWT_WRONG_ALGORITHM;
    }
    if (reason == LT_JWT_OK) {
        reason = check_signature(crypto, keys, &header, parts);
    }
    return reason == LT_JWT_OK && !is_type(header.type, rules->type) ? LT_JWT_WRONG_TYPE : reason;
}

enum lt_jwt_reason lt_jwt_read(const struct lt_jwt_rules *rules, struct lt_str text,
                               json_t **claims)
{
    json_t *payload = parse_object(text);
    *claims = NULL;
    if (payload == NULL) {
        return LT_JWT_MALFORMED;
    }
    enum lt_jwt_reason reason = lt_jwt_judge(rules, payload);
    if (reason == LT_JWT_OK) {
        *claims = payload;
    } else {
        json_decref(payload);
    }
    return reason;
}

static enum lt_jwt_reason verify(struct lt_crypto *crypto, struct lt_jose_keys *keys,
                                 const struct lt_jwt_rules *rules, struct lt_str token,
                                 unsigned char *memory, json_t **claims)
{
    struct parts parts;
    json_t *header = split(token, memory, &parts) ? parse_object(parts.header) : NULL;
    if (header == NULL) {
        return LT_JWT_MALFORMED;
    }
    enum lt_jwt_reason reason = check(crypto, keys, rules, header, &parts);
    json_decref(header);
    if (reason != LT_JWT_OK) {
        return reason;
    }
    return lt_jwt_read(rules, parts.payload, claims);
}

enum lt_jwt_reason lt_jwt_verify(struct lt_crypto *crypto, struct lt_jose_keys *keys,
                                 const struct lt_jwt_rules *rules, struct lt_str token,
                                 json_t **claims)
{
    *claims = NULL;
    if (token.len > rules->max) {
        return LT_JWT_TOO_LARGE;
    }
    unsigned char *memory = lt_malloc(LT_BASE64_DECODED(token.len) + 9);
    if (memory == NULL) {
        return LT_JWT_NO_MEMORY;
    }
    enum lt_jwt_reason reason = verify(crypto, keys, rules, token, memory, claims);
    lt_free(memory);
    return reason;
}
