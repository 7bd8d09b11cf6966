/* SPDX-License-Identifier: Apache-2.0 */
/* Responses as bytes, after one byte that selects the method of the request: the verdict doesn't
 * depend on how they arrive, and what is written of an accepted one reads as the same message. */
#include "http/blame.h"
#include "http/hop.h"
#include "tests/unit/h1_reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void compare(const struct reader *a, const struct reader *b)
{
    require((a->cause == LT_CAUSE_NONE) == (b->cause == LT_CAUSE_NONE) || !b->head_done);
    require(a->complete == b->complete);
    if (a->complete) {
        require(a->used == b->used);
        require(a->res.status == b->res.status && a->res.body == b->res.body);
        require(a->res.keep_alive == b->res.keep_alive);
        require(a->res.headers.n == b->res.headers.n && a->trailers.n == b->trailers.n);
        require(lt_str_eq(lt_buf_view(&a->body), lt_buf_view(&b->body)));
    }
}

static void read_back(struct reader *r, enum lt_method method)
{
    struct lt_str out;
    struct reader again;
    require(lt_h1_write_response(&r->arena, r->res.version, r->res.status, &r->res.headers, &out) ==
            LT_OK);
    reader_init(&again);
    reader_run(&again, out.p, out.len, SIZE_MAX, NULL, true, method);
    require(again.head_done);
    require(again.res.status == r->res.status);
    require(again.res.body == r->res.body);
    require(again.res.content_length == r->res.content_length);
    require(again.res.headers.n == r->res.headers.n);
    reader_fini(&again);
}

/* Nothing about the connection is left, and a client could read it. */
static void pass_on(struct reader *r)
{
    struct lt_str out;
    require(lt_hop_response(&r->res) == LT_OK);
    for (unsigned i = 0; i < r->res.headers.n; i++) {
        require((lt_header_flags(r->res.headers.v[i].id) & LT_HEADER_F_HOP) == 0);
    }
    require(lt_h1_write_response(&r->arena, 11, r->res.status, &r->res.headers, &out) == LT_OK);
}

/* Whatever came, what is told of it is a name or none, and a line that is there. */
static void blame(struct lt_str head)
{
    for (unsigned i = 0; i < LT_CAUSE_COUNT; i++) {
        struct lt_blame b = i == 0 ? lt_blame_largest(head) : lt_blame_rule(head, (enum lt_cause)i);
        require(b.bytes <= head.len && b.name.len <= b.bytes);
        require(b.name.len == 0 || lt_header_name_ok(b.name));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    enum lt_method method = data[0] % 2 == 0 ? LT_METHOD_GET : LT_METHOD_HEAD;
    const char *in = (const char *)data + 1;
    struct reader whole, bytes;
    reader_init(&whole);
    reader_init(&bytes);
    reader_run(&whole, in, size - 1, SIZE_MAX, NULL, true, method);
    reader_run(&bytes, in, size - 1, 1, NULL, true, method);
    compare(&whole, &bytes);
    blame(lt_str(in, size - 1));
    if (whole.head_done) {
        read_back(&whole, method);
        pass_on(&whole);
    }
    reader_fini(&bytes);
    reader_fini(&whole);
    return 0;
}
