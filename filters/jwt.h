/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens (RFC 7519) in compact form: parsed strictly, verified by a key set, judged by
 * rules. The defaults are those of RFC 8725. No Lua in here. Private to filters/. */
#ifndef LT_FILTERS_JWT_H
#define LT_FILTERS_JWT_H

#include "filters/jose_keys.h"

#include <jansson.h>

/* Longest token, unless rules say less, and at all. */
#define LT_JWT_MAX ((size_t)16 << 10)
#define LT_JWT_MAX_MAX ((size_t)64 << 10)
/* Objects and arrays within each other. */
#define LT_JWT_DEPTH_MAX 16u

enum lt_jwt_reason {
#define X(id, name) LT_JWT_##id,
#include "filters/jwt.def"
#undef X
};

const char *lt_jwt_reason_name(enum lt_jwt_reason reason);

/* Texts, borrowed. */
struct lt_jwt_texts {
    const struct lt_str *at;
    unsigned n;
};

/* A claim that has to be there, and to be or hold one of these values if there are any. */
struct lt_jwt_claim_rule {
    struct lt_str name;         /* a claim; or members within each other, as in "a.b" */
    struct lt_jwt_texts values; /* of strings, whole numbers, true and false */
    bool all;                   /* it has to hold each of them */
};

struct lt_jwt_rules {
    size_t max;                    /* bytes of a token */
    unsigned algs;                 /* bit per enum lt_jose_alg: narrows what the keys say */
    struct lt_jwt_texts issuers;   /* none: not checked */
    struct lt_jwt_texts audiences; /* none: a token with `aud` is refused (RFC 7519 §4.1.3) */
    bool any_audience;
    struct lt_jwt_texts scopes;    /* all have to be there */
    struct lt_jwt_texts any_scope; /* one of them has to be there; none: not checked */
    const struct lt_jwt_claim_rule *claims;
    unsigned n_claims;
    struct lt_str type;   /* `typ`, without "application/"; empty: any */
    bool needs_no_expiry; /* `exp` may be missing */
    double now_s, leeway_s;
};

/* Gives LT_JWT_OK and the claims, owned, or the first thing that is wrong with the token. */
enum lt_jwt_reason lt_jwt_verify(struct lt_crypto *crypto, struct lt_jose_keys *keys,
                                 const struct lt_jwt_rules *rules, struct lt_str token,
                                 json_t **claims) LT_MUST_CHECK;

/* The rules alone, for the text of claims that came from where they are believed: RFC 7662. As
 * lt_jwt_verify. */
enum lt_jwt_reason lt_jwt_read(const struct lt_jwt_rules *rules, struct lt_str text,
                               json_t **claims) LT_MUST_CHECK;

/* The rules alone, for claims whose signature is verified. */
enum lt_jwt_reason lt_jwt_judge(const struct lt_jwt_rules *rules,
                                const json_t *claims) LT_MUST_CHECK;

#endif
