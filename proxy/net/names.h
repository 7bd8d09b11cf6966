/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are looked up again and again: each as its TTL says, one query at a time, with jitter,
 * and more and more rarely while it fails. The last good answer is kept whatever happens to the
 * name. Main thread.
 *
 *   watch -> look-up -> good:  keep it, tell if it changed, again after the TTL
 *                   '-> bad:   keep the old one, warn once, again after retry, 2 * retry ... */
#ifndef LT_NET_NAMES_H
#define LT_NET_NAMES_H

#include "base/map.h"
#include "net/resolve.h"

#define LT_NAMES_MAX 20000u

struct lt_names_options {
    struct lt_resolver_options resolver;
    uint64_t ttl_min_ms, ttl_max_ms; /* what TTLs are raised and lowered to */
    uint64_t retry_ms, retry_max_ms; /* after a failure: at first, at most */
    unsigned addresses_max;          /* of one name; further ones are left out */
};

struct lt_names;

/* A name that is watched. Read by its owner, on main. */
struct lt_name {
    struct lt_names *names;
    enum lt_lookup_kind kind;
    struct lt_str text;       /* lower case */
    const char *key;          /* owned: kind and text */
    unsigned users;           /* watches */
    uint64_t watched_us;      /* monotonic; since when it is looked up */
    bool known;               /* there was a good answer */
    bool denied;              /* failures > 0: the last answer was that it isn't there, for sure */
    unsigned left_out;        /* addresses over the limit */
    uint32_t ttl_s;           /* as the answer says */
    uint64_t answered_us;     /* monotonic; the last good answer */
    unsigned failures;        /* in a row since; 0: the last look-up went well */
    uint64_t failing_us;      /* failures > 0: when the first one was */
    const char *why;          /* static; failures > 0: the last one, for people */
    uint64_t answers, failed; /* look-ups in all */
    struct lt_dns_records records; /* of the last good answers, all types together */
    struct lt_dns_records parts[LT_LOOKUP_PARTS];
    struct lt_lookup lookup;
    struct lt_timer timer;
};

/* Another answer than before, or the first one; or, while the name was never known, another failure
 * than before. */
typedef void (*lt_names_fn)(void *owner, struct lt_name *name);

/* Returns owned; NULL without memory. */
struct lt_names *lt_names_new(struct lt_loop *loop, lt_names_fn on_change,
                              void *owner) LT_MUST_CHECK;
/* Forgets all names. NULL is fine. */
void lt_names_free(struct lt_names *names);

/* How to look up from now on, before the first watch. If others are asked than before, or in
 * another way, all names are looked up anew. LT_ERR_NOMEM: all is as before. */
enum lt_err lt_names_set_options(struct lt_names *names,
                                 const struct lt_names_options *options) LT_MUST_CHECK;

/* One more user of a name (copied), which is looked up at once if it is new. NULL without memory,
 * or with LT_NAMES_MAX of them. */
struct lt_name *lt_names_watch(struct lt_names *names, enum lt_lookup_kind kind,
                               struct lt_str text) LT_MUST_CHECK;
/* One less; the last one forgets it. Not from on_change of this name: it is freed at once. */
void lt_names_unwatch(struct lt_name *name);

/* All of them: start with *at = 0; NULL at the end. */
struct lt_name *lt_names_next(const struct lt_names *names, size_t *at);

#endif
