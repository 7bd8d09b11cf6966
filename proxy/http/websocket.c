/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket handshakes. No state; any thread. */
#include "http/websocket.h"

#include <openssl/evp.h>

#define DIGEST_LEN 20 /* SHA-1 */
#define BASE64_LEN 28 /* of it */

bool lt_websocket_accept(struct lt_arena *arena, struct lt_str key, struct lt_str *accept)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[DIGEST_LEN], text[BASE64_LEN + 1];
    struct lt_str all;
    if (!lt_arena_printf(arena, &all, "%.*s%s", LT_STR_ARG(key), guid) ||
        EVP_Q_digest(NULL, "SHA1", NULL, all.p, all.len, digest, NULL) != 1) {
        return false;
    }
    EVP_EncodeBlock(text, digest, DIGEST_LEN);
    return lt_arena_dup(arena, lt_str((char *)text, BASE64_LEN), accept);
}
