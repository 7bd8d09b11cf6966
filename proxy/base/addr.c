/* SPDX-License-Identifier: Apache-2.0 */
/* Socket addresses and address blocks as values. Any thread. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>

static enum lt_err fail(const char **why, const char *text)
{
    *why = text;
    return LT_ERR_INVALID;
}

static enum lt_err parse_unix(struct lt_str path, struct lt_addr *out, const char **why)
{
    if (path.len == 0) {
        return fail(why, "a path must follow \"unix:\"");
    }
    if (path.len >= sizeof(out->un.sun_path)) {
        return fail(why, "the path of a Unix socket has at most 107 bytes");
    }
    if (path.p[0] != '/' && path.p[0] != '@') {
        return fail(why, "the path of a Unix socket must be absolute");
    }
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, path.p, path.len);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    if (path.p[0] == '@') {
        out->un.sun_path[0] = '\0';
        out->len--;
    }
    return LT_OK;
}

enum lt_err lt_addr_parse_ip(struct lt_str text, struct lt_addr *out)
{
    char ip[INET6_ADDRSTRLEN];
    memset(out, 0, sizeof(*out));
    if (text.len == 0 || text.len >= sizeof(ip) || memchr(text.p, '\0', text.len) != NULL) {
        return LT_ERR_INVALID; /* inet_pton would stop at a NUL and take what is before it */
    }
    memcpy(ip, text.p, text.len);
    ip[text.len] = '\0';
    if (inet_pton(AF_INET, ip, &out->in.sin_addr) == 1) {
        out->in.sin_family = AF_INET;
        out->len = sizeof(out->in);
        return LT_OK;
    }
    if (inet_pton(AF_INET6, ip, &out->in6.sin6_addr) == 1) {
        out->in6.sin6_family = AF_INET6;
        out->len = sizeof(out->in6);
        return LT_OK;
    }
    return LT_ERR_INVALID;
}

enum lt_err lt_addr_parse(struct lt_str text, struct lt_addr *out, const char **why)
{
    memset(out, 0, sizeof(*out));
    if (lt_str_starts(text, LT_STR("unix:"))) {
        return parse_unix(lt_str_sub(text, 5, text.len), out, why);
    }
    size_t colon = lt_str_rchr(text, ':');
    uint64_t port;
    if (colon == SIZE_MAX) {
        return fail(why, "a port must follow the address, as in 127.0.0.1:8000");
    }
    if (!lt_str_to_u64(lt_str_sub(text, colon + 1, text.len), &port) || port > 65535) {
        return fail(why, "the port must be a number from 0 to 65535");
    }
    struct lt_str host = lt_str(text.p, colon);
    if (host.len == 0 || lt_str_eq_c(host, "*")) {
        out->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
        out->len = sizeof(out->in6);
    } else if (host.p[0] == '[') {
        if (host.p[host.len - 1] != ']' ||
            lt_addr_parse_ip(lt_str(host.p + 1, host.len - 2), out) != LT_OK ||
            out->sa.sa_family != AF_INET6) {
            return fail(why, "not an IPv6 address in brackets");
        }
    } else if (lt_addr_parse_ip(host, out) != LT_OK) {
        return fail(why, lt_str_find(host, LT_STR("//")) != SIZE_MAX
                             ? "not an IP address: leave the scheme out, as in 127.0.0.1:8000"
                             : "not an IP address: names are not looked up, so that localhost is "
                               "127.0.0.1");
    } else if (out->sa.sa_family == AF_INET6) {
        return fail(why, "an IPv6 address with a port needs brackets, as in \"[::1]:443\"");
    }
    lt_addr_unmap(out);
    lt_addr_set_port(out, (unsigned)port);
    return LT_OK;
}

/* The IPv4 address inside an IPv4-mapped IPv6 one, or NULL. */
static const unsigned char *mapped_v4(const struct in6_addr *a)
{
    return IN6_IS_ADDR_V4MAPPED(a) ? a->s6_addr + 12 : NULL;
}

void lt_addr_unmap(struct lt_addr *addr)
{
    const unsigned char *v4 =
        addr->sa.sa_family == AF_INET6 ? mapped_v4(&addr->in6.sin6_addr) : NULL;
    if (v4 != NULL) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = addr->in6.sin6_port};
        memcpy(&in.sin_addr, v4, sizeof(in.sin_addr));
        memset(addr, 0, sizeof(*addr));
        addr->in = in;
        addr->len = sizeof(addr->in);
    }
}

/* inet_ntop goes through printf; this runs once per request. */
static size_t print_v4(const unsigned char *ip, char *out)
{
    char *at = out;
    for (int i = 0; i < 4; i++) {
        unsigned v = ip[i];
        if (v >= 100) {
            *at++ = (char)('0' + v / 100);
        }
        if (v >= 10) {
            *at++ = (char)('0' + v / 10 % 10);
        }
        *at++ = (char)('0' + v % 10);
        *at++ = '.';
    }
    *--at = '\0';
    return (size_t)(at - out);
}

size_t lt_addr_print_ip(const struct lt_addr *addr, char out[LT_ADDR_TEXT_MAX])
{
    const void *v4 = NULL;
    out[0] = '\0';
    if (addr->sa.sa_family == AF_INET) {
        v4 = &addr->in.sin_addr;
    } else if (addr->sa.sa_family == AF_INET6) {
        v4 = mapped_v4(&addr->in6.sin6_addr);
    } else {
        memcpy(out, "unix", 5);
        return 4;
    }
    if (v4 != NULL) {
        return print_v4(v4, out);
    }
    inet_ntop(AF_INET6, &addr->in6.sin6_addr, out, LT_ADDR_TEXT_MAX);
    return strlen(out);
}

size_t lt_addr_print(const struct lt_addr *addr, char out[LT_ADDR_TEXT_MAX])
{
    if (addr->len == 0) {
        out[0] = '\0';
        return 0;
    }
    if (lt_addr_is_unix(addr)) {
        size_t n = addr->len - offsetof(struct sockaddr_un, sun_path);
        bool abstract = n > 0 && addr->un.sun_path[0] == '\0';
        size_t len = abstract ? n : strnlen(addr->un.sun_path, n);
        memcpy(out, "unix:", 5);
        memcpy(out + 5, addr->un.sun_path, len);
        if (abstract) {
            out[5] = '@';
        }
        out[5 + len] = '\0';
        return 5 + len;
    }
    char ip[LT_ADDR_TEXT_MAX];
    lt_addr_print_ip(addr, ip);
    bool brackets = strchr(ip, ':') != NULL;
    return (size_t)snprintf(out, LT_ADDR_TEXT_MAX, brackets ? "[%.60s]:%u" : "%.60s:%u", ip,
                            lt_addr_port(addr));
}

unsigned lt_addr_port(const struct lt_addr *addr)
{
    switch (addr->sa.sa_family) {
    case AF_INET:
        return ntohs(addr->in.sin_port);
    case AF_INET6:
        return ntohs(addr->in6.sin6_port);
    default:
        return 0;
    }
}

void lt_addr_set_port(struct lt_addr *addr, unsigned port)
{
    if (addr->sa.sa_family == AF_INET) {
        addr->in.sin_port = htons((uint16_t)port);
    } else if (addr->sa.sa_family == AF_INET6) {
        addr->in6.sin6_port = htons((uint16_t)port);
    }
}

const char *lt_addr_no_target(const struct lt_addr *addr)
{
    if (lt_addr_is_unix(addr)) {
        return NULL;
    }
    if (lt_addr_port(addr) == 0) {
        return "a server has a port from 1 to 65535";
    }
    bool all = addr->sa.sa_family == AF_INET ? addr->in.sin_addr.s_addr == INADDR_ANY
                                             : IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
    return all ? "0.0.0.0 and [::] are no address of a server: write the one it listens on, such "
                 "as "
                 "127.0.0.1:8000"
               : NULL;
}

bool lt_addr_eq(const struct lt_addr *a, const struct lt_addr *b)
{
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

bool lt_addr_to_v6(const struct lt_addr *addr, unsigned char ip[16])
{
    if (addr->sa.sa_family == AF_INET6) {
        memcpy(ip, &addr->in6.sin6_addr, 16);
        return true;
    }
    if (addr->sa.sa_family != AF_INET) {
        return false;
    }
    memset(ip, 0, 10);
    ip[10] = ip[11] = 0xff;
    memcpy(ip + 12, &addr->in.sin_addr, 4);
    return true;
}

enum lt_err lt_cidr_parse(struct lt_str text, struct lt_cidr *out, const char **why)
{
    struct lt_addr addr;
    size_t slash = lt_str_chr(text, '/', 0);
    struct lt_str ip = lt_str_sub(text, 0, slash == SIZE_MAX ? text.len : slash);
    if (lt_addr_parse_ip(ip, &addr) != LT_OK || !lt_addr_to_v6(&addr, out->ip)) {
        return fail(why, "not an IP address or block, as in 10.0.0.0/8 or fd00::/8");
    }
    unsigned width = addr.sa.sa_family == AF_INET ? 32 : 128;
    uint64_t bits = width;
    if (slash != SIZE_MAX &&
        (!lt_str_to_u64(lt_str_sub(text, slash + 1, text.len), &bits) || bits > width)) {
        return fail(why, width == 32 ? "the prefix length must be 0 to 32"
                                     : "the prefix length must be 0 to 128");
    }
    out->bits = (unsigned)bits + (128 - width);
    for (unsigned i = out->bits; i < 128; i++) {
        if ((out->ip[i / 8] >> (7 - i % 8)) & 1) {
            return fail(why, "bits after the prefix length must be zero");
        }
    }
    return LT_OK;
}

bool lt_cidr_has(const struct lt_cidr *cidr, const struct lt_addr *addr)
{
    unsigned char ip[16];
    if (!lt_addr_to_v6(addr, ip)) {
        return false;
    }
    unsigned whole = cidr->bits / 8, rest = cidr->bits % 8;
    if (memcmp(ip, cidr->ip, whole) != 0) {
        return false;
    }
    return rest == 0 || ((ip[whole] ^ cidr->ip[whole]) >> (8 - rest)) == 0;
}

bool lt_addr_is_loopback(const struct lt_addr *addr)
{
    static const struct lt_cidr blocks[] = {
        {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127}, .bits = 104},
        {.ip = {[15] = 1}, .bits = 128},
    };
    return lt_cidr_has(&blocks[0], addr) || lt_cidr_has(&blocks[1], addr);
}

size_t lt_cidr_print(const struct lt_cidr *cidr, char out[LT_ADDR_TEXT_MAX])
{
    struct lt_addr addr = {.in6 = {.sin6_family = AF_INET6}, .len = sizeof(addr.in6)};
    memcpy(&addr.in6.sin6_addr, cidr->ip, 16);
    bool v4 = cidr->bits >= 96 && mapped_v4(&addr.in6.sin6_addr) != NULL;
    size_t n = lt_addr_print_ip(&addr, out);
    return n + (size_t)snprintf(out + n, LT_ADDR_TEXT_MAX - n, "/%u",
                                v4 ? cidr->bits - 96 : cidr->bits);
}
