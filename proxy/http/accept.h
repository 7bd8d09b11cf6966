/* SPDX-License-Identifier: Apache-2.0 */
/* What a client says that it accepts, with its weights: Accept and Accept-Encoding (RFC 9110
 * §12.4.2, §12.5.1, §12.5.3). An element that breaks the grammar counts as not written. Any thread.
 */
#ifndef LT_HTTP_ACCEPT_H
#define LT_HTTP_ACCEPT_H

#include "http/headers.h"

/* Content codings, RFC 9110 §8.4.1, RFC 7932, RFC 8878. */
enum lt_coding {
    LT_CODING_IDENTITY, /* none */
    LT_CODING_GZIP,
    LT_CODING_BR,
    LT_CODING_ZSTD,
    LT_CODING_COUNT
};

/* As in Content-Encoding; static storage. */
struct lt_str lt_coding_name(enum lt_coding coding);

/* The weight of a media type ("text/html", without parameters) in thousandths, 0 to 1000: that of
 * the most specific range which has it. 1000 when the client sent no Accept, 0 when it sent some
 * without this type. Parameters of ranges other than q are not looked at. */
unsigned lt_accept_type(const struct lt_headers *headers, struct lt_str type);

/* The best of the n codings in `order`: the one with the highest weight, the first of those that
 * have the same. IDENTITY when the client sent no Accept-Encoding, accepts none of them, or gives
 * identity a higher weight than any. */
enum lt_coding lt_accept_coding(const struct lt_headers *headers, const enum lt_coding *order,
                                size_t n);

#endif
