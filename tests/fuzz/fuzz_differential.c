/* SPDX-License-Identifier: Apache-2.0 */
/* What goes in and what goes out: a message that is accepted is made ready for the other side,
 * written, and read again by the project's own parser and by a strict one that knows nothing of it.
 * Both must read the same message: first line, path, fields, framing, body and trailers. The first
 * byte says what the rest is: 0 a request, 1 a response to GET, 2 one to HEAD. */
#include "http/hop.h"
#include "tests/fuzz/strict_reader.h"
#include "tests/unit/h1_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The message as bytes: head, then the body as its framing has it. */
static void put_body(struct lt_buf *out, struct reader *r, bool chunked)
{
    struct lt_str body = lt_buf_view(&r->body), end;
    char line[LT_H1_CHUNK_LINE_MAX];
    if (!chunked) {
        lt_buf_str(out, body);
        return;
    }
    for (size_t at = 0, n; at < body.len; at += n) {
        n = lt_min(body.len - at, at % 19 + 1);
        lt_buf_add(out, line, lt_h1_chunk_line(line, n));
        lt_buf_add(out, body.p + at, n);
        lt_buf_str(out, LT_STR("\r\n"));
    }
    lt_hop_trailers(&r->trailers);
    require(lt_h1_write_end(&r->arena, &r->trailers, &end) == LT_OK);
    lt_buf_str(out, end);
}

static void same_fields(const struct lt_headers *ours, const struct strict_field *theirs, size_t n)
{
    require(ours->n == n);
    for (size_t i = 0; i < n; i++) {
        require(lt_str_eq(ours->v[i].name, theirs[i].name));
        require(lt_str_eq(lt_str_trim(ours->v[i].value), theirs[i].value));
    }
}

static void same_list(const struct lt_headers *a, const struct lt_headers *b)
{
    require(a->n == b->n);
    for (unsigned i = 0; i < a->n; i++) {
        require(lt_str_eq(a->v[i].name, b->v[i].name));
        require(lt_str_eq(lt_str_trim(a->v[i].value), b->v[i].value));
        require(a->v[i].id == b->v[i].id);
    }
}

/* The body that `s` stands before, which has to end where the text ends. */
static void read_strictly(struct strict *s, const struct reader *r, bool chunked)
{
    require(s->chunked == chunked);
    if (chunked) {
        strict_chunks(s, lt_buf_view(&r->body), false);
        same_fields(&r->trailers, s->trailers, s->n_trailers);
    } else {
        strict_bytes(s, lt_buf_view(&r->body));
    }
    require(s->at == s->end);
}

/* Reads `text` with the project's parser, as a message whose body and trailers are those of r. */
static void read_back(struct reader *again, const struct reader *r, struct lt_str text,
                      bool response, enum lt_method method)
{
    static const struct lt_h1_limits wide = {.head = 1 << 18, .headers = 200, .target = 1 << 15};
    reader_init(again);
    reader_run(again, text.p, text.len, SIZE_MAX, &wide, response, method);
    require(again->complete && again->used == text.len);
    require(lt_str_eq(lt_buf_view(&again->body), lt_buf_view(&r->body)));
    same_list(&r->trailers, &again->trailers);
}

/* ---- requests ---- */

static void make_ready(struct reader *r)
{
    struct lt_rand rand = {{1, 2, 3, 4}};
    struct lt_addr peer;
    struct lt_client_info client;
    struct lt_hop_ids ids;
    const char *why;
    require(lt_addr_parse(LT_STR("10.0.0.1:80"), &peer, &why) == LT_OK);
    require(lt_hop_client(&r->arena, &r->req.headers, &peer, true, 443, NULL, 0, &client) == LT_OK);
    require(lt_hop_ids(&r->arena, &rand, &r->req.headers, client.trusted, &ids) == LT_OK);
    if (r->req.authority.len == 0) {
        r->req.authority = r->req.host = LT_STR("none"); /* HTTP/1.0 without Host */
    }
    require(lt_hop_request(&r->req, r->req.authority, &client, &ids) == LT_OK);
}

static struct lt_str target_of(struct reader *r)
{
    struct lt_str target = r->req.path;
    if (r->req.query.p != NULL) {
        require(lt_arena_printf(&r->arena, &target, "%.*s?%.*s", LT_STR_ARG(r->req.path),
                                LT_STR_ARG(r->req.query)));
    }
    return target;
}

static void request(const char *in, size_t size)
{
    struct reader r, again;
    struct lt_str head;
    struct lt_buf out;
    lt_buf_init(&out, 64 << 20);
    reader_init(&r);
    reader_run(&r, in, size, SIZE_MAX, NULL, false, LT_METHOD_UNKNOWN);
    if (r.complete) {
        make_ready(&r);
        struct lt_str method = lt_method_name(r.req.method), target = target_of(&r);
        bool chunked = r.req.body == LT_BODY_CHUNKED;
        require(lt_h1_write_request(&r.arena, method, target, &r.req.headers, &head) == LT_OK);
        lt_buf_str(&out, head);
        put_body(&out, &r, chunked);

        read_back(&again, &r, lt_buf_view(&out), false, LT_METHOD_UNKNOWN);
        require(again.req.method == r.req.method && again.req.body == r.req.body);
        require(again.req.content_length == r.req.content_length);
        require(lt_str_eq(again.req.path, r.req.path) && lt_str_eq(again.req.host, r.req.host));
        same_list(&r.req.headers, &again.req.headers);
        reader_fini(&again);

        struct strict s;
        strict_head(&s, out.p, out.len);
        require(lt_str_eq(s.words[0], method) && lt_str_eq(s.words[1], target));
        require(lt_str_eq_c(s.words[2], "HTTP/1.1"));
        require(s.length_given == (r.req.body == LT_BODY_LENGTH));
        require(s.length == r.req.content_length);
        same_fields(&r.req.headers, s.fields, s.n_fields);
        read_strictly(&s, &r, chunked);
    }
    lt_buf_fini(&out);
    reader_fini(&r);
}

/* ---- responses ---- */

static void response(const char *in, size_t size, enum lt_method method)
{
    struct reader r, again;
    struct lt_str head;
    struct lt_buf out;
    lt_buf_init(&out, 64 << 20);
    reader_init(&r);
    reader_run(&r, in, size, SIZE_MAX, NULL, true, method);
    if (r.complete) {
        bool chunked = r.res.body == LT_BODY_CHUNKED;
        unsigned status = r.res.status;
        require(lt_hop_response(&r.res) == LT_OK);
        require(!chunked || lt_headers_add_id(&r.res.headers, LT_HEADER_TRANSFER_ENCODING,
                                              LT_STR("chunked")) == LT_OK);
        require(lt_h1_write_response(&r.arena, 11, status, &r.res.headers, &head) == LT_OK);
        lt_buf_str(&out, head);
        put_body(&out, &r, chunked);

        read_back(&again, &r, lt_buf_view(&out), true, method);
        require(again.res.status == status && again.res.body == r.res.body);
        require(again.res.content_length == r.res.content_length);
        same_list(&r.res.headers, &again.res.headers);
        reader_fini(&again);

        struct strict s;
        uint64_t code;
        strict_head(&s, out.p, out.len);
        require(lt_str_eq_c(s.words[0], "HTTP/1.1"));
        require(s.words[1].len == 3 && lt_str_to_u64(s.words[1], &code) && code == status);
        same_fields(&r.res.headers, s.fields, s.n_fields);
        read_strictly(&s, &r, chunked);
        require(r.res.body != LT_BODY_LENGTH || s.length == r.body.len);
    }
    lt_buf_fini(&out);
    reader_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const char *in = (const char *)data + 1;
    if (data[0] % 3 == 0) {
        request(in, size - 1);
    } else {
        response(in, size - 1, data[0] % 3 == 1 ? LT_METHOD_GET : LT_METHOD_HEAD);
    }
    return 0;
}
