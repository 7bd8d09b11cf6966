/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses and address blocks as values: parse, print, compare. No sockets are made here.
 */
#ifndef LT_BASE_ADDR_H
#define LT_BASE_ADDR_H

#include "base/err.h"
#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct lt_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len; /* 0: no address */
};

/* Longest text of an address, NUL included. */
#define LT_ADDR_TEXT_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) + 8)

/* ":443" (all IPv6 and IPv4 addresses), "*:443", "127.0.0.1:80", "[::1]:443", "unix:/path",
 * "unix:@abstract". IPv4 in IPv6 becomes IPv4. Names are refused. *why gets a static text on error.
 */
enum lt_err lt_addr_parse(struct lt_str text, struct lt_addr *out, const char **why) LT_MUST_CHECK;

/* Makes an IPv4 address of an IPv4-mapped IPv6 one, so that what is reached by both has one name.
 */
void lt_addr_unmap(struct lt_addr *addr);

/* As parse would read it; writes at most LT_ADDR_TEXT_MAX bytes, gives the length without NUL. */
size_t lt_addr_print(const struct lt_addr *addr, char out[LT_ADDR_TEXT_MAX]);

/* Only the IP (or "unix"), without brackets and port; IPv4 in IPv6 is printed as IPv4. */
size_t lt_addr_print_ip(const struct lt_addr *addr, char out[LT_ADDR_TEXT_MAX]);

/* An IP without port ("10.0.0.1", "2001:db8::1"); port becomes 0. */
enum lt_err lt_addr_parse_ip(struct lt_str text, struct lt_addr *out) LT_MUST_CHECK;

/* Port in host order; 0 for Unix sockets. */
unsigned lt_addr_port(const struct lt_addr *addr);
void lt_addr_set_port(struct lt_addr *addr, unsigned port);

/* Why nothing can be connected to there, whatever the machine: port 0, all addresses. NULL: it can.
 */
const char *lt_addr_no_target(const struct lt_addr *addr);

bool lt_addr_eq(const struct lt_addr *a, const struct lt_addr *b);

static inline bool lt_addr_is_unix(const struct lt_addr *addr)
{
    return addr->sa.sa_family == AF_UNIX;
}

/* addr as 16 bytes, IPv4 as IPv4-mapped IPv6; false for other families. */
bool lt_addr_to_v6(const struct lt_addr *addr, unsigned char ip[16]) LT_MUST_CHECK;

/* A block of addresses; IPv4 is kept as IPv4-mapped IPv6. */
struct lt_cidr {
    unsigned char ip[16];
    unsigned bits; /* 0 to 128 */
};

/* "10.0.0.0/8", "::1", "fd00::/8"; host bits must be zero (*why says so). */
enum lt_err lt_cidr_parse(struct lt_str text, struct lt_cidr *out, const char **why) LT_MUST_CHECK;

/* Whether addr (not its port) lies in the block; Unix sockets lie in none. */
bool lt_cidr_has(const struct lt_cidr *cidr, const struct lt_addr *addr);

/* Whether addr is this machine's own (127.0.0.0/8, ::1). */
bool lt_addr_is_loopback(const struct lt_addr *addr);

size_t lt_cidr_print(const struct lt_cidr *cidr, char out[LT_ADDR_TEXT_MAX]);

#endif
