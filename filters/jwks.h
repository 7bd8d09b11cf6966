/* SPDX-License-Identifier: Apache-2.0 */
/* A JWK Set that an issuer publishes (RFC 7517), fetched by the worker itself and not by a call of
 * the filter: kept fresh by a timer, and asked for again when a token names a key that is not in
 * it.
 *
 *   timer, or a token without its key -> what another worker has fetched since is taken over
 *        '-> [discovery ->] key set -> keys replaced, told to the other workers -> waiters go on
 *
 * What was fetched last is also in the table of shared values, under the instance's name, so that a
 * reload begins with it. No Lua in here. A worker's thread. Private to filters/. */
#ifndef LT_FILTERS_JWKS_H
#define LT_FILTERS_JWKS_H

#include "filters/jose_keys.h"
#include "filters/task.h"

/* The shortest time for which keys are fresh, whatever Cache-Control says, unless refresh is less.
 */
#define LT_JWKS_FRESH_MIN_MS UINT64_C(60000)
/* Between two attempts while there are no keys; doubled with each failure when there are some. */
#define LT_JWKS_AGAIN_MS UINT64_C(1000)
#define LT_JWKS_AGAIN_MAX_MS UINT64_C(60000)

struct lt_jwks_terms {
    struct lt_str url;   /* of the key set; with discover the issuer's */
    bool discover;       /* url + /.well-known/openid-configuration says where the keys are */
    uint64_t refresh_ms; /* how long keys are fresh; Cache-Control may say less */
    uint64_t retry_ms;   /* between two fetches because of keys that are not there */
    uint64_t stale_ms;   /* how long they are used beyond that while the issuer doesn't answer */
    uint64_t timeout_ms; /* of one fetch */
    uint64_t wait_ms;    /* for which a call waits for one */
    size_t max;          /* bytes of an answer */
};

struct lt_jwks;

/* For a unit whose init runs; the first fetch begins at the end of the turn. terms
 * are copied, unit and keys are borrowed. Returns owned, NULL without memory. */
struct lt_jwks *lt_jwks_new(struct lt_filter_unit *unit, struct lt_jose_keys *keys,
                            const struct lt_jwks_terms *terms) LT_MUST_CHECK;
/* Nobody waits any more. NULL is fine. */
void lt_jwks_free(struct lt_jwks *j);

/* What happens from time to time: newer keys are taken over from another worker, or fetched. */
void lt_jwks_refresh(struct lt_jwks *j);

/* Whether the keys may be used: they are there and not older than terms allow. */
bool lt_jwks_usable(const struct lt_jwks *j);
/* Whether the last fetch failed, so that nothing is known of what the issuer has by now. */
bool lt_jwks_failed(const struct lt_jwks *j);

enum lt_jwks_hope {
    LT_JWKS_NONE,    /* what there is now is all for the moment */
    LT_JWKS_CHANGED, /* other keys are here already */
    LT_JWKS_COMING   /* a fetch is under way */
};

/* A token's key is not there, or no key is. Begins a fetch unless one is under way or was asked for
 * within retry_ms. */
enum lt_jwks_hope lt_jwks_miss(struct lt_jwks *j) LT_MUST_CHECK;

/* Waits for the end of the fetch that is under way, wait_ms at most and a little less than what is
 * left of the call's time. Its context is the struct lt_async of the
 * wait, whose task is NULL unless the time was over before. What a C function returns;
 * raises where nothing may wait. */
int lt_jwks_wait(lua_State *L, struct lt_jwks *j, lua_KFunction k);

#endif
