/* SPDX-License-Identifier: Apache-2.0 */
/* What a WebSocket handshake of HTTP/1 has and one of HTTP/2 hasn't. */
#ifndef LT_HTTP_WEBSOCKET_H
#define LT_HTTP_WEBSOCKET_H

#include "base/arena.h"

/* The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 §4.2.2), in arena. False
 * without memory. */
bool lt_websocket_accept(struct lt_arena *arena, struct lt_str key,
                         struct lt_str *accept) LT_MUST_CHECK;

#endif
