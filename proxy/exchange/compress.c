/* SPDX-License-Identifier: Apache-2.0 */
/* Which responses are compressed, what that changes in their heads, and the way of their bytes
 * through the encoder. The worker's thread. */
#include "exchange/compress.h"

#include "exchange/body.h"
#include "exchange/internal.h"
#include "route/compress_options.h"

/* ---- the decision ---- */

/* The length of the body that GET has got or would get; false: not known. */
static bool known_length(const struct lt_exchange *x, uint64_t *length)
{
    if (x->req.method == LT_METHOD_HEAD) {
        struct lt_str text = lt_headers_value(&x->res.headers, LT_HEADER_CONTENT_LENGTH);
        return text.len > 0 && lt_str_to_u64(text, length);
    }
    *length = x->res.content_length;
    return x->res.body == LT_BODY_LENGTH;
}

/* Whether the response would be compressed for a client that accepts it. */
static bool is_candidate(const struct lt_exchange *x, const struct lt_compress_options *options)
{
    const struct lt_headers *h = &x->res.headers;
    unsigned status = x->res.status;
    uint64_t length;
    /* 205 and 206: there is no body, or it is a part of one. */
    if (lt_status_bodiless(status) || status == 205 || status == 206 ||
        !lt_compress_type_fits(options, lt_headers_value(h, LT_HEADER_CONTENT_TYPE)) ||
        (known_length(x, &length) && (length < options->min || length == 0))) {
        return false;
    }
    return lt_headers_get(h, LT_HEADER_CONTENT_ENCODING) == NULL &&
           lt_headers_get_name(h, LT_STR("content-range")) == NULL &&
           !lt_headers_has_token(h, LT_HEADER_CACHE_CONTROL, LT_STR("no-transform")) &&
           !lt_body_is_digested(h);
}

/* ---- fields ---- */

/* Caches must know that the answer depends on what the client accepts, also where it went out as it
 * was (RFC 9110 §12.5.5). */
static enum lt_err add_vary(struct lt_exchange *x)
{
    struct lt_headers *h = &x->res.headers;
    struct lt_header *vary = lt_headers_get(h, LT_HEADER_VARY);
    struct lt_str value;
    if (vary == NULL) {
        return lt_headers_add_id(h, LT_HEADER_VARY, LT_STR("Accept-Encoding"));
    }
    if (lt_headers_has_token(h, LT_HEADER_VARY, LT_STR("accept-encoding")) ||
        lt_headers_has_token(h, LT_HEADER_VARY, LT_STR("*"))) {
        return LT_OK;
    }
    if (!lt_arena_printf(&x->arena, &value, "%.*s%sAccept-Encoding", LT_STR_ARG(vary->value),
                         vary->value.len > 0 ? ", " : "")) {
        return LT_ERR_NOMEM;
    }
    vary->value = value;
    return LT_OK;
}

static enum lt_err set_fields(struct lt_exchange *x, enum lt_coding coding)
{
    enum lt_err err = lt_body_changed_fields(x);
    return err == LT_OK ? lt_headers_add_id(&x->res.headers, LT_HEADER_CONTENT_ENCODING,
                                            lt_coding_name(coding))
                        : err;
}

enum lt_err lt_compress_decide(struct lt_exchange *x)
{
    const struct lt_compress_options *options = x->route->options[x->listener].compress;
    if (x->res.status == 304) {
        bool weakened;
        enum lt_err err = lt_body_confirm(x, &weakened);
        return err == LT_OK && weakened ? add_vary(x) : err;
    }
    if (!is_candidate(x, options)) {
        return LT_OK;
    }
    enum lt_err err = add_vary(x);
    enum lt_coding coding = lt_accept_coding(x->accepts != NULL ? x->accepts : &x->req.headers,
                                             options->order, options->n_order);
    if (err != LT_OK || coding == LT_CODING_IDENTITY) {
        return err;
    }
    if (x->req.method == LT_METHOD_HEAD) {
        return set_fields(x, coding);
    }
    struct lt_encoders *pool = &x->env->encoders;
    pool->max = x->view->encoders_max;
    x->compress.encoder = lt_encoder_get(pool, coding, options->level);
    if (x->compress.encoder == NULL) {
        lt_metrics_add(x->env->metrics, LT_COUNTER_COMPRESS_REFUSED, 1);
        return LT_OK;
    }
    lt_metrics_add(x->env->metrics, LT_COUNTER_COMPRESSED, 1);
    x->compress.stream = x->res.body != LT_BODY_LENGTH;
    x->res.body = LT_BODY_CHUNKED;
    return set_fields(x, coding);
}

/* ---- bytes ---- */

/* The encoder has one buffer: what it gave before has to leave the front before it is asked for
 * more. */
static enum lt_err encode(struct lt_exchange *x, struct lt_str in, enum lt_encoder_op op)
{
    const struct lt_front_ops *front = x->front->ops;
    enum lt_err err = LT_OK;
    bool more = true;
    while (more && err == LT_OK) {
        struct lt_str out;
        if (x->compress.put) {
            x->compress.put = false;
            err = front->flush(x->front);
            if (err != LT_OK) {
                return err;
            }
        }
        err = lt_encoder_run(x->compress.encoder, &in, op, &out, &more);
        if (err != LT_OK) {
            x->cause = LT_CAUSE_OUT_OF_MEMORY;
        } else if (out.len > 0) {
            x->bytes_out += out.len;
            x->compress.put = true;
            err = front->send_body(x->front, out.p, out.len);
        }
    }
    return err;
}

enum lt_err lt_compress_feed(struct lt_exchange *x, const char *p, size_t n)
{
    return encode(x, lt_str(p, n), LT_ENCODER_FEED);
}

enum lt_err lt_compress_flush(struct lt_exchange *x)
{
    return encode(x, LT_STR(""), LT_ENCODER_FLUSH);
}

enum lt_err lt_compress_end(struct lt_exchange *x)
{
    if (LT_LIKELY(x->compress.encoder == NULL)) {
        return LT_OK;
    }
    enum lt_err err = lt_body_strip_trailers(x);
    return err == LT_OK ? encode(x, LT_STR(""), LT_ENCODER_END) : err;
}

void lt_compress_release(struct lt_exchange *x)
{
    lt_encoder_put(&x->env->encoders, x->compress.encoder);
    x->compress = (struct lt_compress){.encoder = NULL};
}
