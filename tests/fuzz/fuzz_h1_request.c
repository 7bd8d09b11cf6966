/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as bytes: the verdict doesn't depend on how they arrive, and what is written of an
 * accepted one reads as the same message. */
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

static bool same_list(const struct lt_headers *a, const struct lt_headers *b)
{
    bool same = a->n == b->n;
    for (unsigned i = 0; same && i < a->n; i++) {
        same = lt_str_eq(a->v[i].name, b->v[i].name) && lt_str_eq(a->v[i].value, b->v[i].value);
    }
    return same;
}

/* Byte by byte a refusal may come before the bytes that another rule would have refused. */
static void compare(const struct reader *a, const struct reader *b)
{
    require((a->cause == LT_CAUSE_NONE) == (b->cause == LT_CAUSE_NONE) || !b->head_done);
    require(a->complete == b->complete);
    if (a->complete) {
        require(a->used == b->used);
        require(a->req.body == b->req.body);
        require(lt_str_eq(a->req.path, b->req.path));
        require(lt_str_eq(lt_buf_view(&a->body), lt_buf_view(&b->body)));
        require(same_list(&a->req.headers, &b->req.headers));
        require(same_list(&a->trailers, &b->trailers));
    }
}

/* What is written may be longer than what came: fields were added, bytes encoded. */
static void read_back(struct reader *r)
{
    static const struct lt_h1_limits wide = {.head = 1 << 18, .headers = 200, .target = 1 << 15};
    struct lt_str out;
    struct reader again;
    require(lt_h1_write_request(&r->arena, lt_method_name(r->req.method), r->req.target,
                                &r->req.headers, &out) == LT_OK);
    reader_init(&again);
    reader_run(&again, out.p, out.len, SIZE_MAX, &wide, false, LT_METHOD_UNKNOWN);
    require(again.head_done);
    require(again.req.method == r->req.method);
    require(again.req.body == r->req.body && again.req.content_length == r->req.content_length);
    require(lt_str_eq(again.req.target, r->req.target));
    require(lt_str_eq(again.req.path, r->req.path));
    require(lt_str_eq(again.req.host, r->req.host));
    reader_fini(&again);
}

/* What a server gets is a request again, with exactly the framing that was judged. */
static void pass_on(struct reader *r)
{
    static const char trusted[] = "10.0.0.0/8";
    struct lt_rand rand = {{1, 2, 3, 4}};
    struct lt_addr peer;
    struct lt_cidr trust;
    struct lt_client_info client;
    struct lt_hop_ids ids;
    const char *why;
    require(lt_addr_parse(LT_STR("10.0.0.1:80"), &peer, &why) == LT_OK);
    require(lt_cidr_parse(lt_str_c(trusted), &trust, &why) == LT_OK);
    require(lt_hop_client(&r->arena, &r->req.headers, &peer, true, 443, &trust, 1, &client) ==
            LT_OK);
    require(lt_hop_ids(&r->arena, &rand, &r->req.headers, client.trusted, &ids) == LT_OK);
    if (r->req.authority.len == 0) {
        r->req.authority = r->req.host = LT_STR("none"); /* HTTP/1.0 without Host */
    }
    require(lt_hop_request(&r->req, r->req.authority, &client, &ids) == LT_OK);
    for (unsigned i = 0; i < r->req.headers.n; i++) {
        const struct lt_header *h = &r->req.headers.v[i];
        bool framing = h->id == LT_HEADER_TRANSFER_ENCODING;
        require(framing || (lt_header_flags(h->id) & LT_HEADER_F_HOP) == 0);
        require(lt_str_chr(h->name, '_', 0) == SIZE_MAX);
    }
    read_back(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *in = (const char *)data;
    struct reader whole, bytes;
    reader_init(&whole);
    reader_init(&bytes);
    reader_run(&whole, in, size, SIZE_MAX, NULL, false, LT_METHOD_UNKNOWN);
    reader_run(&bytes, in, size, 1, NULL, false, LT_METHOD_UNKNOWN);
    compare(&whole, &bytes);
    if (whole.head_done) {
        if (whole.req.version == 11) {
            read_back(&whole);
        }
        pass_on(&whole);
    }
    reader_fini(&bytes);
    reader_fini(&whole);
    return 0;
}
