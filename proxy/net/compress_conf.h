/* SPDX-License-Identifier: Apache-2.0 */
/* The options of compression, which may stand at every level of the client's side. Here they are
 * only rows; route/compress_options.h makes of them what holds for a route. Loader thread. */
#ifndef LT_NET_COMPRESS_CONF_H
#define LT_NET_COMPRESS_CONF_H

#include "config/schema.h"

struct lt_compress_conf {
    struct lt_conf conf;
    bool enabled;
    struct lt_conf_list types;     /* struct lt_str: "text/html", types, beginnings and endings */
    uint64_t min;                  /* bytes */
    int level;                     /* enum lt_encoder_level */
    struct lt_conf_list encodings; /* int: index in lt_compress_encodings, the best first */
};

/* Names for `encodings`: NULL-terminated, in the order of enum lt_coding from gzip on. */
extern const char *const lt_compress_encodings[];

/* With the built-in defaults, for listeners and `defaults`; and without, for sites and routes,
 * where what isn't set stays unset. */
extern const struct lt_schema lt_compress_schema;
extern const struct lt_schema lt_compress_unset_schema;

/* The row of listeners and `defaults`; holder has the member `compress`. */
#define LT_COMPRESS_ROW(holder, its_schema, its_levels)                                            \
    {                                                                                              \
        .name = "compress", .type = LT_T_OBJECT, .offset = offsetof(holder, compress),             \
        .levels = (its_levels), .sub = &(its_schema),                                              \
        .doc = "Whether and how responses of servers are compressed. `compress: true` is the "     \
               "short form.",                                                                      \
        .since = "0.1"                                                                             \
    }

#endif
