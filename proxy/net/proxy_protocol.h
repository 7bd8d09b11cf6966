/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol, versions 1 and 2: what a balancer says in front of a connection's first byte
 * about who opened it. Bytes only, no sockets; any thread. */
#ifndef LT_NET_PROXY_PROTOCOL_H
#define LT_NET_PROXY_PROTOCOL_H

#include "base/addr.h"

enum lt_proxy_version { LT_PROXY_NONE, LT_PROXY_V1, LT_PROXY_V2 };

/* Bytes of the largest header that is read, further fields of version 2 (TLVs) included. */
#define LT_PROXY_HEADER_MAX 2048u
/* Bytes of the largest one that is written. */
#define LT_PROXY_WRITE_MAX 108u

struct lt_proxy_header {
    /* False: the balancer opened the connection for itself (LOCAL), or says nothing that is an
     * address on the Internet (UNKNOWN, a Unix socket): those of the socket hold. */
    bool given;
    struct lt_addr source, target; /* with ports, if given */
};

/* Reads a header at p[0, n). LT_OK: it is the first *used bytes. LT_AGAIN: what is there begins
 * one; the first *used bytes are certain to belong to it, which is 0 as long as it could be
 * something else, "P" of a POST say. LT_ERR_NOTFOUND: no header begins here. LT_ERR_INVALID,
 * LT_ERR_LIMIT: it is malformed or too long, *why (static) says how. What is said does not depend
 * on how many bytes are there beyond the header, nor on how it is cut into pieces. */
enum lt_err lt_proxy_parse(const char *p, size_t n, struct lt_proxy_header *out, size_t *used,
                           const char **why) LT_MUST_CHECK;

/* Writes a header of version 1 or 2 for a TCP connection from source to target; gives its length.
 * A source that is no Internet address (or len 0) is said to be unknown; such a target is written
 * as zeros. Where only one of the two is IPv4 both are written as IPv6. */
size_t lt_proxy_write(enum lt_proxy_version version, const struct lt_addr *source,
                      const struct lt_addr *target, char out[LT_PROXY_WRITE_MAX]);

#endif
