/* SPDX-License-Identifier: Apache-2.0 */
/* The options of an upstream that say which failures of its servers are made good before a client
 * sees them: `retry` and `hold`. Read by the loader; immutable afterwards. */
#ifndef LT_UPSTREAM_RETRY_CONF_H
#define LT_UPSTREAM_RETRY_CONF_H

#include "config/schema.h"

/* What another try is made for; bits. */
enum lt_retry_when {
    LT_RETRY_CONNECT = 1 << 0,        /* no connection could be made */
    LT_RETRY_RESET = 1 << 1,          /* it ended before the response did */
    LT_RETRY_REFUSED_STREAM = 1 << 2, /* HTTP/2: the server says that it hasn't looked at it */
    LT_RETRY_TIMEOUT = 1 << 3         /* no response head within first_byte_ms */
};

#define LT_RETRY_STATUS_FIRST 400u
#define LT_RETRY_STATUSES 200u

struct lt_retry_options {
    unsigned attempts;                             /* tries in all, >= 1 */
    unsigned when;                                 /* enum lt_retry_when */
    uint64_t statuses[LT_RETRY_STATUSES / 64 + 1]; /* a bit each, from 400 on */
    bool reset_new;  /* a new connection's reset, too, says that the request was not read whole */
    bool unsafe;     /* also what may have had an effect already */
    uint32_t budget; /* hundredths of a percent of the exchanges */
    unsigned budget_min; /* tries that are within any budget */
    uint64_t per_try_ms; /* until a response head that another try may give; 0: no limit */
};

/* Responses that are kept until they are whole. */
struct lt_hold_options {
    size_t size;      /* bytes of a body; 0: none */
    uint64_t wait_ms; /* at most */
};

struct lt_retry_conf {
    struct lt_conf conf;
    int64_t attempts;
    struct lt_conf_list when; /* struct lt_str */
    bool reset_new;
    bool unsafe;
    uint32_t budget;
    int64_t budget_min;
    uint64_t per_try_ms;
};

struct lt_hold_conf {
    struct lt_conf conf;
    uint64_t size;
    uint64_t wait_ms;
};

extern const struct lt_schema lt_retry_schema, lt_hold_schema;

/* What conf says; it was checked. */
void lt_retry_conf_options(const struct lt_retry_conf *conf, struct lt_retry_options *out);

static inline bool lt_retry_has_status(const struct lt_retry_options *o, unsigned status)
{
    unsigned i = status - LT_RETRY_STATUS_FIRST;
    return i < LT_RETRY_STATUSES && (o->statuses[i / 64] >> (i % 64) & 1) != 0;
}

#endif
