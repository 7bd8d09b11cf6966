/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for the compression of responses of one route on one listener. Made by the loader,
 * immutable afterwards. */
#ifndef LT_ROUTE_COMPRESS_OPTIONS_H
#define LT_ROUTE_COMPRESS_OPTIONS_H

#include "config/load.h"
#include "http/encoder.h"
#include "net/compress_conf.h"

struct lt_compress_options {
    const struct lt_str *types; /* as written, each checked */
    size_t n_types;
    uint64_t min; /* bytes */
    enum lt_encoder_level level;
    enum lt_coding order[LT_CODING_COUNT]; /* built in, the best first */
    size_t n_order;                        /* may be 0 */
};

/* Whether one of its rows is written. conf may be of a part that could not be read. */
bool lt_compress_conf_any(const struct lt_compress_conf *conf);

/* Joins n levels, the most special first; each row comes from the first that has it, and the last
 * one has them all (n >= 1). Gives *options in the load's arena, NULL where compression is off.
 * What is wrong is said in the load's diags. False without memory. */
bool lt_compress_options_make(struct lt_schema_load *load,
                              const struct lt_compress_conf *const *levels, size_t n,
                              const struct lt_compress_options **options) LT_MUST_CHECK;

/* Whether a Content-Type is one of the types. */
bool lt_compress_type_fits(const struct lt_compress_options *options, struct lt_str content_type);

#endif
