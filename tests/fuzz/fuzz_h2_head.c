/* SPDX-License-Identifier: Apache-2.0 */
/* HPACK blocks as heads: the first byte says of what kind, blocks follow with their length before
 * them and share one dynamic table, as those of a connection do. What is accepted reads as the same
 * message when it is written for a server of HTTP/1 and of HTTP/2. */
#include "http/h2.h"
#include "http/hop.h"
#include "tests/unit/h1_reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENDED 1u /* bits of the first byte */
#define KIND(first) ((first) >> 1 & 3u)

enum { REQUEST, RESPONSE, TRAILERS };

static const struct lt_h2_limits limits = {.head = 32768, .headers = 100, .target = 8192};
static const struct lt_h2_limits wide = {.head = 1 << 18, .headers = 200, .target = 1 << 15};

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void begin(struct lt_h2_block *b, struct lt_headers *headers, struct lt_arena *arena,
                  const struct lt_h2_limits *l)
{
    lt_headers_init(headers, arena, l->headers + LT_H2_SPARE);
    lt_h2_begin(b, headers, l);
}

/* Hands the fields of a block over; false when it isn't HPACK, which ends a connection. */
static bool decode(nghttp2_hd_inflater *inflater, struct lt_h2_block *b, const uint8_t *in,
                   size_t len)
{
    int flags = 0;
    while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
        nghttp2_nv nv;
        ssize_t used = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, in, len, 1);
        if (used < 0) {
            return false;
        }
        in += used;
        len -= (size_t)used;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            lt_h2_field(b, lt_str((const char *)nv.name, nv.namelen),
                        lt_str((const char *)nv.value, nv.valuelen));
        } else if (len == 0 && (flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
            return false;
        }
    }
    return nghttp2_hd_inflate_end_headers(inflater) == 0;
}

/* What is sent is lower case, without a field of the connection, pseudo-headers first. */
static void check_fields(const struct lt_h2_fields *fields, const struct lt_h2_limits *l,
                         struct lt_h2_block *again)
{
    for (size_t i = 0; i < fields->n; i++) {
        struct lt_str name = lt_str((const char *)fields->v[i].name, fields->v[i].namelen);
        enum lt_header_id id = lt_header_find_id(name);
        require((lt_header_flags(id) & LT_HEADER_F_HOP) == 0 || id == LT_HEADER_TE);
        lt_h2_field(again, name, lt_str((const char *)fields->v[i].value, fields->v[i].valuelen));
    }
    require(again->size <= l->head);
    require(again->rule == LT_CAUSE_NONE);
}

static void as_h2(const struct lt_request *req, struct lt_arena *arena, bool ended)
{
    struct lt_rand rand = {{1, 2, 3, 4}};
    struct lt_h2_fields fields;
    struct lt_h2_block block;
    struct lt_request again = {.version = 0};
    begin(&block, &again.headers, arena, &wide);
    require(lt_h2_write_request(arena, lt_method_name(req->method), LT_STR("https"), req->target,
                                LT_STR_NONE, &req->headers, &fields) == LT_OK);
    for (size_t i = 0; i < fields.n; i++) { /* :authority says it */
        require(fields.v[i].namelen != 4 || memcmp(fields.v[i].name, "host", 4) != 0);
    }
    check_fields(&fields, &wide, &block);
    require(lt_h2_request(&block, ended, &rand, &again) == LT_CAUSE_NONE);
    require(again.method == req->method && again.body == req->body);
    require(lt_str_eq(again.target, req->target) && lt_str_eq(again.path, req->path));
    require(lt_str_eq(again.host, req->host));
}

static void as_h1(const struct lt_request *req, struct lt_arena *arena)
{
    static const struct lt_h1_limits room = {.head = 1 << 18, .headers = 200, .target = 1 << 15};
    struct lt_str out;
    struct reader again;
    require(lt_h1_write_request(arena, lt_method_name(req->method), req->target, &req->headers,
                                &out) == LT_OK);
    reader_init(&again);
    reader_run(&again, out.p, out.len, SIZE_MAX, &room, false, LT_METHOD_UNKNOWN);
    require(again.head_done);
    require(again.req.method == req->method && again.req.body == req->body);
    require(req->body != LT_BODY_LENGTH || again.req.content_length == req->content_length);
    require(lt_str_eq(again.req.target, req->target) && lt_str_eq(again.req.path, req->path));
    require(lt_str_eq(again.req.host, req->host));
    require(again.req.headers.n == req->headers.n);
    reader_fini(&again);
}

/* What a server gets. */
static void pass_on(struct lt_request *req, struct lt_arena *arena, bool ended)
{
    struct lt_rand rand = {{1, 2, 3, 4}};
    struct lt_addr peer;
    struct lt_client_info client;
    struct lt_hop_ids ids;
    const char *why;
    require(lt_addr_parse(LT_STR("10.0.0.1:80"), &peer, &why) == LT_OK);
    require(lt_hop_client(arena, &req->headers, &peer, true, 443, NULL, 0, &client) == LT_OK);
    require(lt_hop_ids(arena, &rand, &req->headers, client.trusted, &ids) == LT_OK);
    require(lt_hop_request(req, req->authority, &client, &ids) == LT_OK);
    as_h1(req, arena);
    as_h2(req, arena, ended || req->must_switch);
}

static void request(struct lt_h2_block *b, struct lt_headers *headers, bool ended)
{
    struct lt_rand rand = {{1, 2, 3, 4}};
    struct lt_request req = {.headers = *headers};
    b->headers = &req.headers;
    if (lt_h2_request(b, ended, &rand, &req) == LT_CAUSE_NONE) {
        require(req.host.len > 0 && (req.path.p[0] == '/' || lt_str_eq_c(req.path, "*")));
        require(req.body == LT_BODY_NONE || !ended ||
                (req.body == LT_BODY_LENGTH && req.content_length == 0));
        pass_on(&req, headers->arena, ended);
    }
}

static void response(struct lt_h2_block *b, struct lt_headers *headers, bool ended)
{
    struct lt_response res = {.headers = *headers}, again = {.status = 0};
    struct lt_h2_fields fields;
    struct lt_h2_block block;
    b->headers = &res.headers;
    if (lt_h2_response(b, ended, LT_METHOD_GET, &res) != LT_CAUSE_NONE) {
        return;
    }
    require(lt_hop_response(&res) == LT_OK);
    require(lt_h2_write_response(headers->arena, res.status, &res.headers, &fields) == LT_OK);
    begin(&block, &again.headers, headers->arena, &wide);
    check_fields(&fields, &wide, &block);
    require(lt_h2_response(&block, ended, LT_METHOD_GET, &again) == LT_CAUSE_NONE);
    require(again.status == res.status && again.body == res.body);
}

static void trailers(struct lt_h2_block *b, struct lt_headers *headers)
{
    struct lt_h2_fields fields;
    struct lt_h2_block block;
    struct lt_headers again;
    if (lt_h2_trailers(b) != LT_CAUSE_NONE) {
        return;
    }
    require(lt_h2_write_trailers(headers->arena, headers, &fields) == LT_OK);
    begin(&block, &again, headers->arena, &wide);
    check_fields(&fields, &wide, &block);
    require(lt_h2_trailers(&block) == LT_CAUSE_NONE && again.n == headers->n);
}

static void message(struct lt_h2_block *b, struct lt_headers *headers, uint8_t first)
{
    switch (KIND(first)) {
    case RESPONSE:
        response(b, headers, (first & ENDED) != 0);
        break;
    case TRAILERS:
        trailers(b, headers);
        break;
    default:
        request(b, headers, (first & ENDED) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nghttp2_hd_inflater *inflater;
    require(nghttp2_hd_inflate_new(&inflater) == 0);
    /* Each block: what it is, its length in two bytes, itself. */
    for (bool ok = true; ok && size >= 3;) {
        size_t len = lt_min((size_t)data[1] << 8 | data[2], size - 3);
        struct lt_arena arena;
        struct lt_headers headers;
        struct lt_h2_block block;
        lt_arena_init(&arena, NULL, 0, 16 << 20);
        begin(&block, &headers, &arena, &limits);
        ok = decode(inflater, &block, data + 3, len);
        if (ok) {
            message(&block, &headers, data[0]);
        }
        lt_arena_fini(&arena);
        data += 3 + len;
        size -= 3 + len;
    }
    nghttp2_hd_inflate_del(inflater);
    return 0;
}
