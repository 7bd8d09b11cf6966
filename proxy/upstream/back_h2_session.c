/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 back's nghttp2 session: what we tell servers about ourselves, and the limits within
 * the library. The worker's thread. */
#include "upstream/back_h2_conn.h"

#include "base/mem.h"

/* The window of a connection is that of so many streams: its bytes are taken at once. */
#define WINDOW_STREAMS 16u
/* Acknowledgements that may wait in a server's socket. */
#define ACKS_MAX 100
/* Of a request; listeners allow less (max_head). */
#define REQUEST_HEAD_MAX ((size_t)2 << 20)
/* CONTINUATION frames that a response head may come in: so many, and one for each piece of it. */
#define CONTINUATIONS 8u
#define CONTINUATION_LEN 8192u

/* nghttp2 allocates as we do, so that tests can make any of it fail. */
static void *h2_malloc(size_t n, void *arg LT_UNUSED)
{
    return lt_malloc(n);
}

static void *h2_calloc(size_t n, size_t size, void *arg LT_UNUSED)
{
    return lt_calloc(n, size);
}

static void *h2_realloc(void *p, size_t n, void *arg LT_UNUSED)
{
    return lt_realloc(p, n, 1);
}

static void h2_free(void *p, void *arg LT_UNUSED)
{
    lt_free(p);
}

/* Our SETTINGS, and the connection's window. */
static bool submit_settings(struct lt_back_h2_conn *c)
{
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, lt_min(c->options.window, LT_BACK_H2_WINDOW_FIRST)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)lt_min(c->head_max, (size_t)UINT32_MAX)},
    };
    uint64_t window = lt_min((uint64_t)c->options.window * WINDOW_STREAMS, (uint64_t)INT32_MAX);
    return nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, entries, lt_countof(entries)) ==
               0 &&
           nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)window) == 0;
}

bool lt_back_h2_start_session(struct lt_back_h2_conn *c)
{
    static const nghttp2_mem mem_ops = {NULL, h2_malloc, h2_free, h2_calloc, h2_realloc};
    nghttp2_mem mem = mem_ops;
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    bool ok = nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0;
    if (ok) {
        lt_back_h2_set_callbacks(callbacks);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_peer_max_concurrent_streams(option, LT_BACK_H2_STREAMS_FIRST);
        nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
        nghttp2_option_set_max_send_header_block_length(option, REQUEST_HEAD_MAX);
        nghttp2_option_set_max_continuations(option,
                                             CONTINUATIONS + c->head_max / CONTINUATION_LEN);
        ok = nghttp2_session_client_new3(&c->session, callbacks, c, option, &mem) == 0 &&
             submit_settings(c);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return ok;
}
