/* SPDX-License-Identifier: Apache-2.0 */
/* One table of functions for each coding, and the pool. One thread.
 *
 * Windows are small, 32 to 128 KB: what a gateway sends is mostly text of some tens of KB, and
 * memory per response is what limits how many can be coded at once. */
#include "http/encoder.h"

#include <assert.h>
#include <setjmp.h>

#define ZLIB_CONST
#include <zlib.h>
#if LT_HAVE_BROTLI
#include <brotli/encode.h>
#endif
#if LT_HAVE_ZSTD
#include <zstd.h>
#endif

#include "base/list.h"
#include "base/mem.h"
#include "base/obj.h"

#define MAGIC 0xe4c0de12u
#define KEPT_MAX 8u /* of each coding */

struct lt_encoder {
    uint32_t magic;
    enum lt_coding coding;
    struct lt_encoder *next; /* in kept */
    bool fed;                /* since the last flush */
    size_t len;              /* of out */
    union {
        z_stream gzip;
#if LT_HAVE_BROTLI
        struct brotli {
            BrotliEncoderState *state;
            struct lt_list blocks; /* all memory of state, and state itself */
            jmp_buf out_of_memory; /* where the allocator leaves to */
        } br;
#endif
#if LT_HAVE_ZSTD
        ZSTD_CCtx *zstd;
#endif
    } u;
    char out[LT_ENCODER_OUT];
};

/* What a coding does. step works until its input is taken and op is done (*done), or the buffer is
 * full. */
struct coding {
    size_t cost; /* bytes; test_encoder measures that this is enough */
    bool (*open)(struct lt_encoder *e, enum lt_encoder_level level);
    void (*close)(struct lt_encoder *e);
    /* Back to the beginning; NULL: can't be used again. */
    bool (*reset)(struct lt_encoder *e, enum lt_encoder_level level);
    bool (*step)(struct lt_encoder *e, struct lt_str *in, enum lt_encoder_op op, bool *done);
};

static size_t room(const struct lt_encoder *e)
{
    return sizeof(e->out) - e->len;
}

/* ---- gzip ---- */

static void *zlib_alloc(void *opaque LT_UNUSED, uInt n, uInt size)
{
    return lt_calloc(n, size);
}

static void zlib_free(void *opaque LT_UNUSED, void *p)
{
    lt_free(p);
}

static const int gzip_levels[] = {
    [LT_ENCODER_FAST] = 1, [LT_ENCODER_BALANCED] = 4, [LT_ENCODER_SMALL] = 9};

static bool gzip_open(struct lt_encoder *e, enum lt_encoder_level level)
{
    e->u.gzip = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free};
    /* 15 + 16: the whole window, with the header of gzip. Memory level 7 makes it 198 KB. */
    return deflateInit2(&e->u.gzip, gzip_levels[level], Z_DEFLATED, 15 + 16, 7,
                        Z_DEFAULT_STRATEGY) == Z_OK;
}

static void gzip_close(struct lt_encoder *e)
{
    deflateEnd(&e->u.gzip);
}

static bool gzip_reset(struct lt_encoder *e, enum lt_encoder_level level)
{
    return deflateReset(&e->u.gzip) == Z_OK &&
           deflateParams(&e->u.gzip, gzip_levels[level], Z_DEFAULT_STRATEGY) == Z_OK;
}

static bool gzip_step(struct lt_encoder *e, struct lt_str *in, enum lt_encoder_op op, bool *done)
{
    static const int ops[] = {[LT_ENCODER_FEED] = Z_NO_FLUSH,
                              [LT_ENCODER_FLUSH] = Z_SYNC_FLUSH,
                              [LT_ENCODER_END] = Z_FINISH};
    z_stream *z = &e->u.gzip;
    size_t take = lt_min(in->len, (size_t)1 << 30);
    z->next_in = (const Bytef *)in->p;
    z->avail_in = (uInt)take;
    z->next_out = (Bytef *)e->out + e->len;
    z->avail_out = (uInt)room(e);
    int result = deflate(z, ops[op]);
    /* BUF_ERROR: there was nothing left to do. */
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return false;
    }
    *in = lt_str_sub(*in, take - z->avail_in, in->len);
    e->len = sizeof(e->out) - z->avail_out;
    *done = op == LT_ENCODER_END ? result == Z_STREAM_END : in->len == 0 && z->avail_out > 0;
    return true;
}

/* ---- brotli ---- */

#if LT_HAVE_BROTLI
/* The library ends the process when memory is short, as it is usually built. So its allocator
 * leaves it by longjmp instead, and what it had allocated is freed here: hence the list. */
struct brotli_block {
    struct lt_list link; /* in brotli.blocks */
    _Alignas(16) char data[];
};

static void *brotli_alloc(void *opaque, size_t n)
{
    struct brotli *b = opaque;
    struct brotli_block *block =
        n <= SIZE_MAX - sizeof(*block) ? lt_malloc(sizeof(*block) + n) : NULL;
    if (block == NULL) {
        longjmp(b->out_of_memory, 1);
    }
    lt_list_push_back(&b->blocks, &block->link);
    return block->data;
}

static void brotli_free(void *opaque LT_UNUSED, void *p)
{
    if (p != NULL) {
        struct brotli_block *block = lt_container_of(p, struct brotli_block, data);
        lt_list_remove(&block->link);
        lt_free(block);
    }
}

static bool brotli_open(struct lt_encoder *e, enum lt_encoder_level level)
{
    /* 0 and 1 code each piece of input by itself, so that small ones grow. */
    static const unsigned qualities[] = {
        [LT_ENCODER_FAST] = 2, [LT_ENCODER_BALANCED] = 4, [LT_ENCODER_SMALL] = 5};
    struct brotli *b = &e->u.br;
    lt_list_init(&b->blocks);
    if (setjmp(b->out_of_memory) != 0) {
        return false;
    }
    b->state = BrotliEncoderCreateInstance(brotli_alloc, brotli_free, b);
    return b->state != NULL &&
           BrotliEncoderSetParameter(b->state, BROTLI_PARAM_QUALITY, qualities[level]) &&
           BrotliEncoderSetParameter(b->state, BROTLI_PARAM_LGWIN, 16);
}

/* Not by the library: it may have been left half-way. All that it holds are its blocks. */
static void brotli_close(struct lt_encoder *e)
{
    lt_list_each(it, tmp, &e->u.br.blocks)
    {
        lt_free(lt_container_of(it, struct brotli_block, link));
    }
}

static bool brotli_step(struct lt_encoder *e, struct lt_str *in, enum lt_encoder_op op, bool *done)
{
    static const BrotliEncoderOperation ops[] = {[LT_ENCODER_FEED] = BROTLI_OPERATION_PROCESS,
                                                 [LT_ENCODER_FLUSH] = BROTLI_OPERATION_FLUSH,
                                                 [LT_ENCODER_END] = BROTLI_OPERATION_FINISH};
    size_t avail_in = in->len, avail_out = room(e);
    const uint8_t *next_in = (const uint8_t *)in->p;
    uint8_t *next_out = (uint8_t *)e->out + e->len;
    if (setjmp(e->u.br.out_of_memory) != 0) {
        return false;
    }
    if (!BrotliEncoderCompressStream(e->u.br.state, ops[op], &avail_in, &next_in, &avail_out,
                                     &next_out, NULL)) {
        return false;
    }
    *in = lt_str_sub(*in, in->len - avail_in, in->len);
    e->len = sizeof(e->out) - avail_out;
    *done = in->len == 0 && (op == LT_ENCODER_END ? BrotliEncoderIsFinished(e->u.br.state)
                                                  : !BrotliEncoderHasMoreOutput(e->u.br.state));
    return true;
}
#endif

/* ---- zstd ---- */

#if LT_HAVE_ZSTD
static bool zstd_reset(struct lt_encoder *e, enum lt_encoder_level level)
{
    static const struct {
        int level, window, hash, chain; /* the last three: powers of two */
    } params[] = {[LT_ENCODER_FAST] = {1, 16, 14, 14},
                  [LT_ENCODER_BALANCED] = {3, 17, 15, 15},
                  [LT_ENCODER_SMALL] = {6, 17, 15, 15}};
    ZSTD_CCtx *c = e->u.zstd;
    const size_t results[] = {
        ZSTD_CCtx_reset(c, ZSTD_reset_session_only),
        ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, params[level].level),
        ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, params[level].window),
        ZSTD_CCtx_setParameter(c, ZSTD_c_hashLog, params[level].hash),
        ZSTD_CCtx_setParameter(c, ZSTD_c_chainLog, params[level].chain),
    };
    bool ok = true;
    for (size_t i = 0; i < lt_countof(results); i++) {
        ok &= !ZSTD_isError(results[i]);
    }
    return ok;
}

static bool zstd_open(struct lt_encoder *e, enum lt_encoder_level level)
{
    e->u.zstd = ZSTD_createCCtx();
    return e->u.zstd != NULL && zstd_reset(e, level);
}

static void zstd_close(struct lt_encoder *e)
{
    ZSTD_freeCCtx(e->u.zstd);
}

static bool zstd_step(struct lt_encoder *e, struct lt_str *in, enum lt_encoder_op op, bool *done)
{
    static const ZSTD_EndDirective ops[] = {[LT_ENCODER_FEED] = ZSTD_e_continue,
                                            [LT_ENCODER_FLUSH] = ZSTD_e_flush,
                                            [LT_ENCODER_END] = ZSTD_e_end};
    ZSTD_inBuffer from = {.src = in->p, .size = in->len};
    ZSTD_outBuffer to = {.dst = e->out + e->len, .size = room(e)};
    size_t left = ZSTD_compressStream2(e->u.zstd, &to, &from, ops[op]);
    if (ZSTD_isError(left)) {
        return false;
    }
    *in = lt_str_sub(*in, from.pos, in->len);
    e->len += to.pos;
    *done = in->len == 0 && (op == LT_ENCODER_FEED ? room(e) > 0 : left == 0);
    return true;
}
#endif

/* ---- the pool ---- */

static const struct coding codings[LT_CODING_COUNT] = {
    [LT_CODING_GZIP] = {256u << 10, gzip_open, gzip_close, gzip_reset, gzip_step},
#if LT_HAVE_BROTLI
    [LT_CODING_BR] = {2u << 20, brotli_open, brotli_close, NULL, brotli_step},
#endif
#if LT_HAVE_ZSTD
    [LT_CODING_ZSTD] = {1280u << 10, zstd_open, zstd_close, zstd_reset, zstd_step},
#endif
};

bool lt_encoder_built_in(enum lt_coding coding)
{
    return coding == LT_CODING_IDENTITY || codings[coding].step != NULL;
}

size_t lt_encoder_cost(enum lt_coding coding)
{
    return codings[coding].cost;
}

static void destroy(struct lt_encoders *pool, struct lt_encoder *e)
{
    pool->in_use -= codings[e->coding].cost;
    codings[e->coding].close(e);
    LT_OBJ_FINI(e);
    lt_free(e);
}

static struct lt_encoder *take_kept(struct lt_encoders *pool, enum lt_coding coding)
{
    struct lt_encoder *e = pool->kept[coding];
    if (e != NULL) {
        pool->kept[coding] = e->next;
        pool->n_kept[coding]--;
    }
    return e;
}

/* Frees kept encoders until cost more bytes are within the limit. */
static bool make_room(struct lt_encoders *pool, size_t cost)
{
    for (unsigned i = 0; i < LT_CODING_COUNT; i++) {
        while (pool->in_use + cost > pool->max && pool->kept[i] != NULL) {
            destroy(pool, take_kept(pool, (enum lt_coding)i));
        }
    }
    return pool->in_use + cost <= pool->max;
}

static struct lt_encoder *create(struct lt_encoders *pool, enum lt_coding coding,
                                 enum lt_encoder_level level)
{
    struct lt_encoder *e = make_room(pool, codings[coding].cost) ? lt_malloc(sizeof(*e)) : NULL;
    if (e == NULL) {
        return NULL;
    }
    memset(e, 0, offsetof(struct lt_encoder, out));
    LT_OBJ_INIT(e, MAGIC);
    e->coding = coding;
    pool->in_use += codings[coding].cost;
    if (!codings[coding].open(e, level)) {
        destroy(pool, e);
        return NULL;
    }
    return e;
}

struct lt_encoder *lt_encoder_get(struct lt_encoders *pool, enum lt_coding coding,
                                  enum lt_encoder_level level)
{
    assert(coding != LT_CODING_IDENTITY && lt_encoder_built_in(coding));
    struct lt_encoder *e = take_kept(pool, coding);
    if (e != NULL && (pool->in_use > pool->max || !codings[coding].reset(e, level))) {
        destroy(pool, e);
        e = NULL;
    }
    if (e == NULL) {
        e = create(pool, coding, level);
    }
    if (e != NULL) {
        e->len = 0;
        e->fed = false;
        pool->lent++;
    }
    return e;
}

void lt_encoder_put(struct lt_encoders *pool, struct lt_encoder *e)
{
    if (e == NULL) {
        return;
    }
    LT_OBJ_CHECK(e, MAGIC);
    enum lt_coding coding = e->coding;
    pool->lent--;
    if (codings[coding].reset == NULL || pool->n_kept[coding] == KEPT_MAX) {
        destroy(pool, e);
        return;
    }
    e->next = pool->kept[coding];
    pool->kept[coding] = e;
    pool->n_kept[coding]++;
}

void lt_encoders_fini(struct lt_encoders *pool)
{
    for (unsigned i = 0; i < LT_CODING_COUNT; i++) {
        while (pool->kept[i] != NULL) {
            destroy(pool, take_kept(pool, (enum lt_coding)i));
        }
    }
    assert(pool->lent == 0 && pool->in_use == 0);
}

enum lt_err lt_encoder_run(struct lt_encoder *e, struct lt_str *in, enum lt_encoder_op op,
                           struct lt_str *out, bool *more)
{
    LT_OBJ_CHECK(e, MAGIC);
    bool done = op == LT_ENCODER_FLUSH && !e->fed;
    size_t had = in->len, held = e->len;
    *out = LT_STR("");
    *more = false;
    if (done) {
        return LT_OK; /* a second flush would add bytes that say nothing */
    }
    e->fed |= in->len > 0;
    if (!codings[e->coding].step(e, in, op, &done)) {
        return LT_ERR_NOMEM;
    }
    if (room(e) == 0 || (done && op != LT_ENCODER_FEED)) {
        *out = lt_str(e->out, e->len);
        e->len = 0;
    }
    if (done) {
        e->fed &= op == LT_ENCODER_FEED;
        return LT_OK;
    }
    *more = true;
    /* A library that neither takes nor gives would be called for ever. */
    return out->len > 0 || in->len < had || e->len > held ? LT_OK : LT_ERR_NOMEM;
}
