/* SPDX-License-Identifier: Apache-2.0 */
/* Two readers for one request: this project's, and a second one that knows nothing of it, splits at
 * CRLF and is stricter than any server. Whatever the first accepts the second must read
 * with the same framing: a difference would be a way to smuggle. The input is what follows a good
 * request line and Host, so that the fuzzer spends its time on framing. */
#include "tests/fuzz/strict_reader.h"
#include "tests/unit/h1_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define START "POST /p HTTP/1.1\r\nHost: a\r\n"

static void read_again(const struct reader *r, const char *in, size_t len)
{
    struct strict s;
    strict_head(&s, in, len);
    require(s.chunked == (r->req.body == LT_BODY_CHUNKED));
    require(s.length_given == (r->req.body == LT_BODY_LENGTH));
    require(s.length == r->req.content_length);
    if (!r->complete) {
        return;
    }
    if (s.chunked) {
        strict_chunks(&s, lt_buf_view(&r->body), true);
    } else {
        require(r->body.len == s.length);
        strict_bytes(&s, lt_buf_view(&r->body));
    }
    require(s.at == in + r->used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = sizeof(START) - 1 + size;
    char *in = malloc(len);
    struct reader r;
    if (in == NULL) {
        return 0;
    }
    memcpy(in, START, sizeof(START) - 1);
    memcpy(in + sizeof(START) - 1, data, size);
    reader_init(&r);
    reader_run(&r, in, len, 5, NULL, false, LT_METHOD_UNKNOWN);
    if (r.head_done) {
        read_again(&r, in, len);
    }
    reader_fini(&r);
    free(in);
    return 0;
}
