/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted lists. Each line is a field. Weights stay in their range, a coding is one of those that
 * were offered, and what a client excludes by name is never taken. */
#include "http/accept.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_codings(const struct lt_headers *h)
{
    static const enum lt_coding order[] = {LT_CODING_ZSTD, LT_CODING_GZIP};
    enum lt_coding two = lt_accept_coding(h, order, 2), one = lt_accept_coding(h, order, 1);
    require(two == LT_CODING_IDENTITY || two == LT_CODING_ZSTD || two == LT_CODING_GZIP);
    require(one == LT_CODING_IDENTITY || one == LT_CODING_ZSTD);
    /* One offer more never makes the first one win. */
    require(two != LT_CODING_ZSTD || one == LT_CODING_ZSTD);
    require(lt_accept_coding(h, order, 0) == LT_CODING_IDENTITY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lt_arena arena;
    struct lt_headers codings, types;
    struct lt_str rest = lt_str((const char *)data, size), line;
    enum lt_err err = LT_OK;
    lt_arena_init(&arena, NULL, 0, 16 << 20);
    lt_headers_init(&codings, &arena, 100);
    lt_headers_init(&types, &arena, 100);
    while (err == LT_OK && lt_str_next(&rest, '\n', &line)) {
        err = lt_headers_add_id(&codings, LT_HEADER_ACCEPT_ENCODING, line);
        if (err == LT_OK) {
            err = lt_headers_add_id(&types, LT_HEADER_ACCEPT, line);
        }
    }
    check_codings(&codings);
    require(lt_accept_type(&types, LT_STR("text/html")) <= 1000);
    require(lt_accept_type(&types, LT_STR("application/json")) <= 1000);
    lt_arena_fini(&arena);
    return 0;
}
