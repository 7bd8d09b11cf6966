/* SPDX-License-Identifier: Apache-2.0 */
/* What a token that was really signed has to say (RFC 7519 §4.1, RFC 8693 §4.2 for scope). */
#include "filters/jwt.h"

#include <stdio.h>

/* Longest name of a member on a path. */
#define MEMBER_MAX 128u
/* Whole seconds that a double holds exactly. */
#define TIME_MAX 9007199254740992.0

static struct lt_str text_of(const json_t *value)
{
    return json_is_string(value) ? lt_str(json_string_value(value), json_string_length(value))
                                 : LT_STR_NONE;
}

static bool is_among(struct lt_str text, struct lt_jwt_texts texts)
{
    for (unsigned i = 0; i < texts.n; i++) {
        if (lt_str_eq(text, texts.at[i])) {
            return true;
        }
    }
    return false;
}

/* A NumericDate or nothing; false: something else. */
static bool get_time(const json_t *claims, const char *name, bool *there, double *out)
{
    const json_t *value = json_object_get(claims, name);
    *there = value != NULL;
    *out = json_number_value(value);
    return value == NULL || (json_is_number(value) && *out >= 0 && *out <= TIME_MAX);
}

static enum lt_jwt_reason judge_times(const struct lt_jwt_rules *rules, const json_t *claims)
{
    bool has_exp, has_nbf, has_iat;
    double exp, nbf, iat;
    if (!get_time(claims, "exp", &has_exp, &exp) || !get_time(claims, "nbf", &has_nbf, &nbf) ||
        !get_time(claims, "iat", &has_iat, &iat)) {
        return LT_JWT_BAD_CLAIM;
    }
    if (!has_exp && !rules->needs_no_expiry) {
        return LT_JWT_MISSING_CLAIM;
    }
    if (has_exp && rules->now_s >= exp + rules->leeway_s) {
        return LT_JWT_EXPIRED;
    }
    double soonest = rules->now_s + rules->leeway_s;
    return (has_nbf && nbf > soonest) || (has_iat && iat > soonest) ? LT_JWT_NOT_YET_VALID
                                                                    : LT_JWT_OK;
}

static enum lt_jwt_reason judge_issuer(const struct lt_jwt_rules *rules, const json_t *claims)
{
    const json_t *iss = json_object_get(claims, "iss");
    if (iss != NULL && !json_is_string(iss)) {
        return LT_JWT_BAD_CLAIM;
    }
    if (rules->issuers.n == 0) {
        return LT_JWT_OK;
    }
    return iss == NULL                              ? LT_JWT_MISSING_CLAIM
           : is_among(text_of(iss), rules->issuers) ? LT_JWT_OK
                                                    : LT_JWT_WRONG_ISSUER;
}

static enum lt_jwt_reason judge_audience(const struct lt_jwt_rules *rules, const json_t *claims)
{
    const json_t *aud = json_object_get(claims, "aud"), *one;
    bool found = json_is_string(aud) && is_among(text_of(aud), rules->audiences);
    size_t i;
    if (aud == NULL) {
        return rules->audiences.n > 0 ? LT_JWT_MISSING_CLAIM : LT_JWT_OK;
    }
    if (!json_is_string(aud) && !json_is_array(aud)) {
        return LT_JWT_BAD_CLAIM;
    }
    json_array_foreach(aud, i, one)
    {
        if (!json_is_string(one)) {
            return LT_JWT_BAD_CLAIM;
        }
        found |= is_among(text_of(one), rules->audiences);
    }
    return found || rules->any_audience ? LT_JWT_OK : LT_JWT_WRONG_AUDIENCE;
}

/* Whether a list separated by spaces, or an array of strings as some issuers write it, has it. */
static bool has_scope(const json_t *scope, struct lt_str wanted)
{
    struct lt_str rest = text_of(scope), token;
    const json_t *one;
    size_t i;
    while (lt_str_next(&rest, ' ', &token)) {
        if (lt_str_eq(token, wanted)) {
            return true;
        }
    }
    json_array_foreach(scope, i, one)
    {
        if (json_is_string(one) && lt_str_eq(text_of(one), wanted)) {
            return true;
        }
    }
    return false;
}

static enum lt_jwt_reason judge_scope(const struct lt_jwt_rules *rules, const json_t *claims)
{
    const json_t *scope = json_object_get(claims, "scope");
    if (scope == NULL) {
        scope = json_object_get(claims, "scp");
    }
    for (unsigned i = 0; i < rules->scopes.n; i++) {
        if (!has_scope(scope, rules->scopes.at[i])) {
            return LT_JWT_INSUFFICIENT_SCOPE;
        }
    }
    bool found = rules->any_scope.n == 0;
    for (unsigned i = 0; i < rules->any_scope.n && !found; i++) {
        found = has_scope(scope, rules->any_scope.at[i]);
    }
    return found ? LT_JWT_OK : LT_JWT_INSUFFICIENT_SCOPE;
}

/* Whether a plain value is one of these. */
static bool is_value(const json_t *value, struct lt_jwt_texts values)
{
    char number[24];
    if (json_is_integer(value)) {
        int n = snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        return is_among(lt_str(number, (size_t)n), values);
    }
    if (json_is_boolean(value)) {
        return is_among(json_is_true(value) ? LT_STR("true") : LT_STR("false"), values);
    }
    return json_is_string(value) && is_among(text_of(value), values);
}

/* Whether it is, or holds, one of these. */
static bool holds(const json_t *value, struct lt_jwt_texts values)
{
    const json_t *one;
    size_t i;
    json_array_foreach(value, i, one)
    {
        if (is_value(one, values)) {
            return true;
        }
    }
    return is_value(value, values);
}

/* The claim of that name, which may have dots in it; else by members within each other. */
static const json_t *find_claim(const json_t *claims, struct lt_str name)
{
    const json_t *at = json_object_get(claims, name.p);
    struct lt_str member;
    if (at != NULL) {
        return at;
    }
    at = claims;
    while (at != NULL && lt_str_next(&name, '.', &member)) {
        char text[MEMBER_MAX];
        if (member.len >= sizeof(text)) {
            return NULL;
        }
        memcpy(text, member.p, member.len);
        text[member.len] = '\0';
        at = json_object_get(at, text);
    }
    return at;
}

static enum lt_jwt_reason judge_claim(const struct lt_jwt_claim_rule *rule, const json_t *claims)
{
    const json_t *value = find_claim(claims, rule->name);
    bool ok = rule->all || rule->values.n == 0 || (value != NULL && holds(value, rule->values));
    if (value == NULL || json_is_null(value)) {
        return LT_JWT_MISSING_CLAIM;
    }
    for (unsigned i = 0; i < rule->values.n && rule->all; i++) {
        ok = ok && holds(value, (struct lt_jwt_texts){&rule->values.at[i], 1});
    }
    return ok ? LT_JWT_OK : LT_JWT_WRONG_CLAIM;
}

enum lt_jwt_reason lt_jwt_judge(const struct lt_jwt_rules *rules, const json_t *claims)
{
    const json_t *sub = json_object_get(claims, "sub");
    enum lt_jwt_reason reason = judge_times(rules, claims);
    if (reason == LT_JWT_OK && sub != NULL && !json_is_string(sub)) {
        reason = LT_JWT_BAD_CLAIM;
    }
    if (reason == LT_JWT_OK) {
        reason = judge_issuer(rules, claims);
    }
    if (reason == LT_JWT_OK) {
        reason = judge_audience(rules, claims);
    }
    for (unsigned i = 0; i < rules->n_claims && reason == LT_JWT_OK; i++) {
        reason = judge_claim(&rules->claims[i], claims);
    }
    return reason == LT_JWT_OK ? judge_scope(rules, claims) : reason;
}
