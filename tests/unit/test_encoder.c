/* SPDX-License-Identifier: Apache-2.0 */
/* Encoders, read back by the libraries' decoders. */
#include "http/encoder.h"

#include <malloc.h>
#include <stdlib.h>

#include <zlib.h>
#ifdef __SANITIZE_ADDRESS__
/* Its header isn't everywhere. */
size_t __sanitizer_get_current_allocated_bytes(void);
#endif
#if LT_HAVE_BROTLI
#include <brotli/decode.h>
#endif
#if LT_HAVE_ZSTD
#include <zstd.h>
#endif

#include "base/mem.h"
#include "tests/unit/unit.h"

#define TEXT_LEN ((size_t)3 << 20)

static char text[TEXT_LEN], coded[TEXT_LEN * 2], plain[TEXT_LEN + 1];
static size_t coded_len;

/* Half of it repeats, half of it can't be made smaller. */
static int make_text(void **state)
{
    (void)state;
    unsigned x = 1;
    for (size_t i = 0; i < sizeof(text); i++) {
        x = x * 1103515245u + 12345u;
        text[i] = i / 5000 % 2 == 0 ? "{\"name\": \"something\", \"n\": "[i % 27] : (char)(x >> 16);
    }
    return 0;
}

static void run(struct lt_encoder *e, const char *p, size_t n, enum lt_encoder_op op)
{
    struct lt_str in = lt_str(p, n), out;
    bool more = true;
    while (more) {
        assert_int_equal(lt_encoder_run(e, &in, op, &out, &more), LT_OK);
        assert_true(out.len <= LT_ENCODER_OUT && coded_len + out.len <= sizeof(coded));
        memcpy(coded + coded_len, out.p, out.len);
        coded_len += out.len;
    }
    assert_int_equal(in.len, 0);
}

/* Decodes what is in coded. *ended: the stream has its end. */
static size_t decode_gzip(bool *ended)
{
    z_stream z = {.next_in = (Bytef *)coded,
                  .avail_in = (uInt)coded_len,
                  .next_out = (Bytef *)plain,
                  .avail_out = sizeof(plain)};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    int result = inflate(&z, Z_SYNC_FLUSH);
    assert_true(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR);
    *ended = result == Z_STREAM_END;
    assert_int_equal(z.avail_in, 0);
    inflateEnd(&z);
    return z.total_out;
}

#if LT_HAVE_BROTLI
static size_t decode_br(bool *ended)
{
    BrotliDecoderState *d = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    size_t avail_in = coded_len, avail_out = sizeof(plain), total = 0;
    const uint8_t *in = (const uint8_t *)coded;
    uint8_t *out = (uint8_t *)plain;
    BrotliDecoderResult r =
        BrotliDecoderDecompressStream(d, &avail_in, &in, &avail_out, &out, &total);
    assert_true(r == BROTLI_DECODER_RESULT_SUCCESS || r == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT);
    *ended = r == BROTLI_DECODER_RESULT_SUCCESS;
    assert_int_equal(avail_in, 0);
    BrotliDecoderDestroyInstance(d);
    return total;
}
#endif

#if LT_HAVE_ZSTD
static size_t decode_zstd(bool *ended)
{
    ZSTD_DCtx *d = ZSTD_createDCtx();
    ZSTD_inBuffer in = {coded, coded_len, 0};
    ZSTD_outBuffer out = {plain, sizeof(plain), 0};
    size_t left = 1;
    while (in.pos < in.size) {
        left = ZSTD_decompressStream(d, &out, &in);
        assert_false(ZSTD_isError(left));
    }
    *ended = left == 0;
    ZSTD_freeDCtx(d);
    return out.pos;
}
#endif

static const struct {
    enum lt_coding coding;
    size_t (*decode)(bool *ended);
} codings[] = {
    {LT_CODING_GZIP, decode_gzip},
#if LT_HAVE_BROTLI
    {LT_CODING_BR, decode_br},
#endif
#if LT_HAVE_ZSTD
    {LT_CODING_ZSTD, decode_zstd},
#endif
};

static void assert_decoded(size_t coding, size_t n, bool whole)
{
    bool ended = false;
    assert_int_equal(codings[coding].decode(&ended), n);
    assert_int_equal(ended, whole);
    assert_memory_equal(plain, text, n);
}

static struct lt_encoder *get(struct lt_encoders *pool, size_t coding, enum lt_encoder_level level)
{
    struct lt_encoder *e = lt_encoder_get(pool, codings[coding].coding, level);
    assert_non_null(e);
    coded_len = 0;
    return e;
}

static void test_round_trip_in_pieces_of_many_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 1000, 16384, 65536, TEXT_LEN};
    struct lt_encoders pool = {.max = (size_t)64 << 20};
    for (size_t c = 0; c < lt_countof(codings); c++) {
        for (size_t s = 0; s < lt_countof(sizes); s++) {
            for (unsigned level = LT_ENCODER_FAST; level <= LT_ENCODER_SMALL; level++) {
                struct lt_encoder *e = get(&pool, c, (enum lt_encoder_level)level);
                size_t n = lt_min(sizes[s] * 3000, sizeof(text));
                for (size_t at = 0; at < n; at += sizes[s]) {
                    run(e, text + at, lt_min(sizes[s], n - at), LT_ENCODER_FEED);
                }
                run(e, "", 0, LT_ENCODER_END);
                assert_decoded(c, n, true);
                assert_true(coded_len < n * 3 / 4);
                lt_encoder_put(&pool, e);
            }
        }
    }
    lt_encoders_fini(&pool);
}

static void test_nothing_at_all_is_a_whole_stream(void **state)
{
    (void)state;
    struct lt_encoders pool = {.max = (size_t)64 << 20};
    for (size_t c = 0; c < lt_countof(codings); c++) {
        struct lt_encoder *e = get(&pool, c, LT_ENCODER_BALANCED);
        run(e, "", 0, LT_ENCODER_END);
        assert_true(coded_len > 0);
        assert_decoded(c, 0, true);
        lt_encoder_put(&pool, e);
    }
    lt_encoders_fini(&pool);
}

static void test_a_flush_gives_all_that_was_fed(void **state)
{
    (void)state;
    struct lt_encoders pool = {.max = (size_t)64 << 20};
    for (size_t c = 0; c < lt_countof(codings); c++) {
        struct lt_encoder *e = get(&pool, c, LT_ENCODER_BALANCED);
        size_t fed = 0, sizes[] = {1, 20, 300, 40000, 5, 200000, 16384};
        for (size_t i = 0; i < lt_countof(sizes); i++) {
            run(e, text + fed, sizes[i], LT_ENCODER_FEED);
            fed += sizes[i];
            run(e, "", 0, LT_ENCODER_FLUSH);
            assert_decoded(c, fed, false);
            size_t before = coded_len;
            run(e, "", 0, LT_ENCODER_FLUSH);
            assert_int_equal(coded_len, before); /* nothing to say, nothing said */
        }
        run(e, "", 0, LT_ENCODER_END);
        assert_decoded(c, fed, true);
        lt_encoder_put(&pool, e);
    }
    lt_encoders_fini(&pool);
}

static void test_one_given_back_half_way_begins_anew(void **state)
{
    (void)state;
    struct lt_encoders pool = {.max = (size_t)64 << 20};
    for (size_t c = 0; c < lt_countof(codings); c++) {
        struct lt_encoder *e = get(&pool, c, LT_ENCODER_SMALL);
        run(e, text + 12345, 100000, LT_ENCODER_FEED);
        lt_encoder_put(&pool, e);
        e = get(&pool, c, LT_ENCODER_FAST);
        run(e, text, 1000, LT_ENCODER_END);
        assert_decoded(c, 1000, true);
        lt_encoder_put(&pool, e);
    }
    lt_encoders_fini(&pool);
}

static void test_the_limit(void **state)
{
    (void)state;
    size_t gzip = lt_encoder_cost(LT_CODING_GZIP);
    struct lt_encoders pool = {.max = 2 * gzip};
    struct lt_encoder *e[2];
    e[0] = lt_encoder_get(&pool, LT_CODING_GZIP, LT_ENCODER_FAST);
    e[1] = lt_encoder_get(&pool, LT_CODING_GZIP, LT_ENCODER_FAST);
    assert_true(e[0] != NULL && e[1] != NULL && pool.in_use == 2 * gzip && pool.lent == 2);
    assert_null(lt_encoder_get(&pool, LT_CODING_GZIP, LT_ENCODER_FAST));
    lt_encoder_put(&pool, e[0]);
    assert_int_equal(pool.in_use, 2 * gzip); /* kept */
    assert_ptr_equal(lt_encoder_get(&pool, LT_CODING_GZIP, LT_ENCODER_FAST), e[0]);
    lt_encoder_put(&pool, e[0]);
    lt_encoder_put(&pool, e[1]);
    pool.max = 0; /* lowered: what is kept goes */
    assert_null(lt_encoder_get(&pool, LT_CODING_GZIP, LT_ENCODER_FAST));
    assert_int_equal(pool.in_use, 0);
    lt_encoder_put(&pool, NULL);
    lt_encoders_fini(&pool);
}

static void test_a_kept_one_makes_room_for_another_coding(void **state)
{
    (void)state;
    for (size_t c = 1; c < lt_countof(codings); c++) {
        size_t cost = lt_encoder_cost(codings[c].coding);
        struct lt_encoders pool = {.max = cost};
        struct lt_encoder *e = lt_encoder_get(&pool, LT_CODING_GZIP, LT_ENCODER_FAST);
        assert_null(lt_encoder_get(&pool, codings[c].coding, LT_ENCODER_FAST));
        lt_encoder_put(&pool, e);
        e = lt_encoder_get(&pool, codings[c].coding, LT_ENCODER_FAST);
        assert_non_null(e);
        assert_int_equal(pool.in_use, cost);
        lt_encoder_put(&pool, e);
        lt_encoders_fini(&pool);
    }
}

static void test_memory_may_fail_at_any_point(void **state)
{
    (void)state;
    struct lt_encoders pool = {.max = (size_t)64 << 20};
    for (size_t c = 0; c < lt_countof(codings); c++) {
        for (unsigned n = 1; n < 20; n++) {
            lt_mem_fail_at(n);
            struct lt_encoder *e = lt_encoder_get(&pool, codings[c].coding, LT_ENCODER_SMALL);
            enum lt_err err = LT_OK;
            struct lt_str in = lt_str(text, 100000), out;
            bool more = e != NULL;
            while (more && err == LT_OK) {
                err = lt_encoder_run(e, &in, LT_ENCODER_END, &out, &more);
            }
            lt_mem_fail_at(0);
            assert_true(err == LT_OK || err == LT_ERR_NOMEM);
            lt_encoder_put(&pool, e);
            pool.max = 0; /* the next one is made anew */
            assert_null(lt_encoder_get(&pool, codings[c].coding, LT_ENCODER_SMALL));
            assert_int_equal(pool.in_use, 0);
            pool.max = (size_t)64 << 20;
        }
    }
    lt_encoders_fini(&pool);
}

/* Bytes of the heap in use. */
static size_t heap(void)
{
#ifdef __SANITIZE_ADDRESS__
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

static void test_an_encoder_needs_no_more_than_it_counts_with(void **state)
{
    (void)state;
    struct lt_encoders pool = {.max = (size_t)64 << 20};
    for (size_t c = 0; c < lt_countof(codings); c++) {
        for (unsigned level = LT_ENCODER_FAST; level <= LT_ENCODER_SMALL; level++) {
            size_t before = heap(), peak = 0;
            struct lt_encoder *e = get(&pool, c, (enum lt_encoder_level)level);
            for (size_t at = 0; at < sizeof(text); at += 50000) {
                run(e, text + at, lt_min(sizeof(text) - at, (size_t)50000), LT_ENCODER_FEED);
                peak = lt_max(peak, heap());
            }
            run(e, "", 0, LT_ENCODER_END);
            peak = lt_max(peak, heap());
            size_t cost = lt_encoder_cost(codings[c].coding);
            if (peak > before + cost) {
                fail_msg("%s, level %u: %zu bytes", lt_coding_name(codings[c].coding).p, level,
                         peak - before);
            }
            lt_encoder_put(&pool, e);
            pool.max = 0; /* so that the next one is made anew */
            assert_null(lt_encoder_get(&pool, codings[c].coding, LT_ENCODER_FAST));
            pool.max = (size_t)64 << 20;
        }
    }
    lt_encoders_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_in_pieces_of_many_sizes),
        cmocka_unit_test(test_nothing_at_all_is_a_whole_stream),
        cmocka_unit_test(test_a_flush_gives_all_that_was_fed),
        cmocka_unit_test(test_one_given_back_half_way_begins_anew),
        cmocka_unit_test(test_the_limit),
        cmocka_unit_test(test_a_kept_one_makes_room_for_another_coding),
        cmocka_unit_test(test_memory_may_fail_at_any_point),
        cmocka_unit_test(test_an_encoder_needs_no_more_than_it_counts_with),
    };
    return cmocka_run_group_tests(tests, make_text, NULL);
}
