/* SPDX-License-Identifier: Apache-2.0 */
/* Content codings: bytes in, coded bytes out, over zlib (always), brotli and zstd (when built in).
 * Encoders are lent by a pool with a limit in bytes; each counts with what its coding needs at
 * most. One thread.
 *
 *   get -> run(FEED)... run(FLUSH)... run(FEED)... run(END) -> put
 */
#ifndef LT_HTTP_ENCODER_H
#define LT_HTTP_ENCODER_H

#include "base/err.h"
#include "http/accept.h"

/* How much work is spent on making the result small. */
enum lt_encoder_level { LT_ENCODER_FAST, LT_ENCODER_BALANCED, LT_ENCODER_SMALL };

enum lt_encoder_op {
    LT_ENCODER_FEED,  /* takes input; gives output when its buffer is full */
    LT_ENCODER_FLUSH, /* gives all: the reader can decode whatever was fed so far */
    LT_ENCODER_END    /* as FLUSH, and ends the coded stream */
};

#define LT_ENCODER_OUT 16384u /* bytes of output given at once */

struct lt_encoder;

/* A zeroed pool with a limit is ready. */
struct lt_encoders {
    size_t max;    /* limit for in_use, bytes; may be changed at any time */
    size_t in_use; /* of all encoders, lent and kept */
    unsigned lent;
    struct lt_encoder *kept[LT_CODING_COUNT]; /* ready for the next one, by coding */
    unsigned n_kept[LT_CODING_COUNT];
};

/* Frees what is kept; every encoder must have been put back. */
void lt_encoders_fini(struct lt_encoders *pool);

/* Whether this build has the coding; true for identity. */
bool lt_encoder_built_in(enum lt_coding coding);

/* The bytes that one encoder counts with. */
size_t lt_encoder_cost(enum lt_coding coding);

/* An encoder at its beginning. coding is built in and not identity. Returns owned: give it back
 * with put, at any point of its stream. NULL at the limit or without memory. */
struct lt_encoder *lt_encoder_get(struct lt_encoders *pool, enum lt_coding coding,
                                  enum lt_encoder_level level) LT_MUST_CHECK;
/* Takes encoder; NULL is fine. */
void lt_encoder_put(struct lt_encoders *pool, struct lt_encoder *encoder);

/* Takes bytes off *in (none are left once *more is false) and does op with them. What comes out is
 * *out, maybe nothing; it stays valid until the next call with this encoder. *more: call again with
 * the same op, with what is left of *in. LT_ERR_NOMEM: the stream can't be gone on with. */
enum lt_err lt_encoder_run(struct lt_encoder *encoder, struct lt_str *in, enum lt_encoder_op op,
                           struct lt_str *out, bool *more) LT_MUST_CHECK;

#endif
