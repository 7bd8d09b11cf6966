/* SPDX-License-Identifier: Apache-2.0 */
/* What a gateway has to know of gRPC: which requests are calls, how long they may take, and how an
 * error of ours looks to their clients (grpc/doc/PROTOCOL-HTTP2.md). The messages themselves pass
 * unread. */
#ifndef LT_HTTP_GRPC_H
#define LT_HTTP_GRPC_H

#include "http/message.h"

/* Status codes of gRPC that the gateway gives. */
enum lt_grpc_status {
    LT_GRPC_CANCELLED = 1,
    LT_GRPC_UNKNOWN = 2,
    LT_GRPC_DEADLINE_EXCEEDED = 4,
    LT_GRPC_PERMISSION_DENIED = 7,
    LT_GRPC_RESOURCE_EXHAUSTED = 8,
    LT_GRPC_UNIMPLEMENTED = 12,
    LT_GRPC_INTERNAL = 13,
    LT_GRPC_UNAVAILABLE = 14,
    LT_GRPC_UNAUTHENTICATED = 16
};

/* Whether req is a call: HTTP/2 with a Content-Type of application/grpc or application/grpc+CODEC.
 * gRPC-Web is not one: it has its own errors. */
bool lt_grpc_is_call(const struct lt_request *req);

/* The value of a grpc-timeout in microseconds, at least 1. False: it is none. */
bool lt_grpc_timeout(struct lt_str value, uint64_t *us);

/* Writes at least 1 and at most 99999999 s as a grpc-timeout, not longer than us; gives its length.
 */
#define LT_GRPC_TIMEOUT_MAX 9
size_t lt_grpc_write_timeout(uint64_t us, char out[LT_GRPC_TIMEOUT_MAX + 1]);

/* What a client gets for an answer with this HTTP status. */
enum lt_grpc_status lt_grpc_status_of(unsigned status);

/* text as a grpc-message: what isn't graphic ASCII, and '%', is percent-encoded; in arena. False
 * without memory. */
bool lt_grpc_message(struct lt_arena *arena, struct lt_str text, struct lt_str *out) LT_MUST_CHECK;

#endif
