/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol as HAProxy's proxy-protocol.txt describes it. Version 1 is a line, version 2 a
 * binary block: signature, command, family, length, addresses, TLVs. Of these only the checksum is
 * looked at. */
#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdio.h>

#define V1_MAX 107u /* with its CRLF */
#define V2_FIXED 16u
#define V2_TCP4 12u  /* bytes of addresses and ports */
#define V2_TCP6 36u  /* ... */
#define V2_UNIX 216u /* ... */
#define TLV_CRC32C 0x03u

static const char v1_signature[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";
#define V1_SIGNATURE_LEN (sizeof(v1_signature) - 1)
#define V2_SIGNATURE_LEN (sizeof(v2_signature) - 1)

static enum lt_err invalid(const char **why, const char *text)
{
    *why = text;
    return LT_ERR_INVALID;
}

/* ---- Version 1 ---- */

/* Cuts the next field off, which one space ends. */
static struct lt_str next_field(struct lt_str *rest)
{
    size_t space = lt_str_chr(*rest, ' ', 0);
    struct lt_str field = lt_str_sub(*rest, 0, space == SIZE_MAX ? rest->len : space);
    *rest = lt_str_sub(*rest, space == SIZE_MAX ? rest->len : space + 1, rest->len);
    return field;
}

static bool read_port(struct lt_str text, struct lt_addr *addr)
{
    uint64_t port;
    if (!lt_str_to_u64(text, &port) || port > 65535 || (text.len > 1 && text.p[0] == '0')) {
        return false;
    }
    lt_addr_set_port(addr, (unsigned)port);
    return true;
}

/* The line without signature and CRLF: "TCP4 192.0.2.1 198.51.100.2 4711 443". */
static enum lt_err read_line(struct lt_str line, struct lt_proxy_header *out, const char **why)
{
    struct lt_str protocol = next_field(&line);
    if (lt_str_eq_c(protocol, "UNKNOWN")) {
        return LT_OK; /* whatever follows is to be ignored */
    }
    bool tcp4 = lt_str_eq_c(protocol, "TCP4");
    if (!tcp4 && !lt_str_eq_c(protocol, "TCP6")) {
        return invalid(why, "its protocol is not TCP4, TCP6 or UNKNOWN");
    }
    sa_family_t family = tcp4 ? AF_INET : AF_INET6;
    struct lt_str source = next_field(&line), target = next_field(&line);
    if (lt_addr_parse_ip(source, &out->source) != LT_OK || out->source.sa.sa_family != family ||
        lt_addr_parse_ip(target, &out->target) != LT_OK || out->target.sa.sa_family != family) {
        return invalid(why, "an address is not one of its protocol");
    }
    struct lt_str source_port = next_field(&line);
    if (!read_port(source_port, &out->source) || !read_port(line, &out->target)) {
        return invalid(why, "a port is not a number from 0 to 65535");
    }
    out->given = true;
    return LT_OK;
}

static enum lt_err parse_v1(const char *p, size_t n, struct lt_proxy_header *out, size_t *used,
                            const char **why)
{
    const char *lf = memchr(p, '\n', lt_min(n, (size_t)V1_MAX));
    if (lf == NULL && n >= V1_MAX) {
        *why = "its line is longer than 107 bytes";
        return LT_ERR_LIMIT;
    }
    if (lf == NULL) {
        *used = n;
        return LT_AGAIN;
    }
    size_t len = (size_t)(lf - p);
    if (p[len - 1] != '\r') {
        return invalid(why, "its line does not end with CRLF");
    }
    *used = len + 1;
    return read_line(lt_str(p + V1_SIGNATURE_LEN, len - 1 - V1_SIGNATURE_LEN), out, why);
}

/* ---- Version 2 ---- */

static unsigned be16(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* One more byte of a CRC-32C (RFC 3309), reflected. */
static uint32_t crc_byte(uint32_t crc, unsigned char byte)
{
    crc ^= byte;
    for (int i = 0; i < 8; i++) {
        crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    }
    return crc;
}

/* Over the whole header, its own four bytes counted as zero. */
static bool checksum_ok(const unsigned char *p, size_t n, size_t at)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc = crc_byte(crc, i >= at && i < at + 4 ? 0 : p[i]);
    }
    uint32_t said = (uint32_t)be16(p + at) << 16 | be16(p + at + 2);
    return ~crc == said;
}

/* TLVs are p[at, n): they must fill it, and a checksum must be right. */
static enum lt_err read_tlvs(const unsigned char *p, size_t n, size_t at, const char **why)
{
    size_t checksum = 0;
    while (at < n) {
        if (n - at < 3 || be16(p + at + 1) > n - at - 3) {
            return invalid(why, "a field reaches beyond its end");
        }
        size_t len = be16(p + at + 1);
        if (p[at] == TLV_CRC32C) {
            if (len != 4 || checksum != 0) {
                return invalid(why, "its checksum is not four bytes, once");
            }
            checksum = at + 3;
        }
        at += 3 + len;
    }
    return checksum == 0 || checksum_ok(p, n, checksum) ? LT_OK
                                                        : invalid(why, "its checksum is wrong");
}

static void set_v4(struct lt_addr *addr, const unsigned char *ip, const unsigned char *port)
{
    memset(addr, 0, sizeof(*addr));
    addr->in.sin_family = AF_INET;
    memcpy(&addr->in.sin_addr, ip, 4);
    memcpy(&addr->in.sin_port, port, 2);
    addr->len = sizeof(addr->in);
}

static void set_v6(struct lt_addr *addr, const unsigned char *ip, const unsigned char *port)
{
    memset(addr, 0, sizeof(*addr));
    addr->in6.sin6_family = AF_INET6;
    memcpy(&addr->in6.sin6_addr, ip, 16);
    memcpy(&addr->in6.sin6_port, port, 2);
    addr->len = sizeof(addr->in6);
}

/* The whole header is p[0, n). */
static enum lt_err read_addresses(const unsigned char *p, size_t n, struct lt_proxy_header *out,
                                  const char **why)
{
    const unsigned char *at = p + V2_FIXED;
    size_t len = n - V2_FIXED, taken;
    switch (p[13]) {
    case 0x00: /* unspecified */
        return LT_OK;
    case 0x11: /* TCP over IPv4 */
        taken = V2_TCP4;
        break;
    case 0x21: /* TCP over IPv6 */
        taken = V2_TCP6;
        break;
    case 0x31: /* Unix sockets */
        taken = V2_UNIX;
        break;
    default:
        return invalid(why, "its address family is none that a TCP connection can have");
    }
    if (len < taken) {
        return invalid(why, "it is too short for its addresses");
    }
    if (p[13] == 0x11) {
        set_v4(&out->source, at, at + 8);
        set_v4(&out->target, at + 4, at + 10);
    } else if (p[13] == 0x21) {
        set_v6(&out->source, at, at + 32);
        set_v6(&out->target, at + 16, at + 34);
    }
    enum lt_err err = read_tlvs(p, n, V2_FIXED + taken, why);
    out->given = err == LT_OK && p[13] != 0x31;
    return err;
}

static enum lt_err parse_v2(const char *text, size_t n, struct lt_proxy_header *out, size_t *used,
                            const char **why)
{
    const unsigned char *p = (const unsigned char *)text;
    if (n > 12 && p[12] != 0x20 && p[12] != 0x21) {
        return invalid(why, "its version and command are unknown");
    }
    size_t len = n >= V2_FIXED ? V2_FIXED + be16(p + 14) : V2_FIXED;
    if (len > LT_PROXY_HEADER_MAX) {
        *why = "it is longer than 2048 bytes";
        return LT_ERR_LIMIT;
    }
    if (n < len) {
        *used = n;
        return LT_AGAIN;
    }
    *used = len;
    return p[12] == 0x20 ? LT_OK : read_addresses(p, len, out, why);
}

enum lt_err lt_proxy_parse(const char *p, size_t n, struct lt_proxy_header *out, size_t *used,
                           const char **why)
{
    size_t v1 = lt_min(n, V1_SIGNATURE_LEN), v2 = lt_min(n, V2_SIGNATURE_LEN);
    memset(out, 0, sizeof(*out));
    *used = 0;
    *why = "";
    if (n == 0) {
        return LT_AGAIN;
    }
    if (memcmp(p, v1_signature, v1) == 0) {
        return v1 < V1_SIGNATURE_LEN ? LT_AGAIN : parse_v1(p, n, out, used, why);
    }
    if (memcmp(p, v2_signature, v2) == 0) {
        return v2 < V2_SIGNATURE_LEN ? LT_AGAIN : parse_v2(p, n, out, used, why);
    }
    return LT_ERR_NOTFOUND;
}

/* ---- Writing ---- */

static bool is_v4(const struct lt_addr *addr)
{
    return addr->sa.sa_family == AF_INET ||
           (addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr));
}

static bool is_internet(const struct lt_addr *addr)
{
    return addr->len > 0 && (addr->sa.sa_family == AF_INET || addr->sa.sa_family == AF_INET6);
}

/* The address as 16 bytes, IPv4 mapped (its own 4 are the last ones), zeros for none. */
static void to_bytes(const struct lt_addr *addr, bool v4, unsigned char ip[16])
{
    memset(ip, 0, 16);
    if (!is_internet(addr)) {
        return;
    }
    if (addr->sa.sa_family == AF_INET6) {
        memcpy(ip, &addr->in6.sin6_addr, 16);
        return;
    }
    memcpy(ip + 12, &addr->in.sin_addr, 4);
    if (!v4) {
        ip[10] = ip[11] = 0xff;
    }
}

static size_t write_v1(bool v4, const unsigned char *source, const unsigned char *target,
                       unsigned source_port, unsigned target_port, char *out)
{
    char from[INET6_ADDRSTRLEN] = "", to[INET6_ADDRSTRLEN] = "";
    int family = v4 ? AF_INET : AF_INET6;
    inet_ntop(family, source + (v4 ? 12 : 0), from, sizeof(from));
    inet_ntop(family, target + (v4 ? 12 : 0), to, sizeof(to));
    return (size_t)snprintf(out, LT_PROXY_WRITE_MAX, "PROXY TCP%c %s %s %u %u\r\n", v4 ? '4' : '6',
                            from, to, source_port, target_port);
}

static size_t write_v2(bool v4, const unsigned char *source, const unsigned char *target,
                       unsigned source_port, unsigned target_port, char *out)
{
    size_t ip = v4 ? 4 : 16, len = v4 ? V2_TCP4 : V2_TCP6;
    char *at = out + V2_FIXED;
    out[13] = v4 ? 0x11 : 0x21;
    out[15] = (char)len;
    memcpy(at, source + 16 - ip, ip);
    memcpy(at + ip, target + 16 - ip, ip);
    at += 2 * ip;
    at[0] = (char)(source_port >> 8);
    at[1] = (char)(source_port & 0xff);
    at[2] = (char)(target_port >> 8);
    at[3] = (char)(target_port & 0xff);
    return V2_FIXED + len;
}

size_t lt_proxy_write(enum lt_proxy_version version, const struct lt_addr *source,
                      const struct lt_addr *target, char out[LT_PROXY_WRITE_MAX])
{
    unsigned char from[16], to[16];
    bool known = is_internet(source);
    bool v4 = known && is_v4(source) && (!is_internet(target) || is_v4(target));
    unsigned source_port = known ? lt_addr_port(source) : 0;
    unsigned target_port = is_internet(target) ? lt_addr_port(target) : 0;
    to_bytes(source, v4, from);
    to_bytes(target, v4, to);
    if (version == LT_PROXY_V1) {
        if (!known) {
            return (size_t)snprintf(out, LT_PROXY_WRITE_MAX, "PROXY UNKNOWN\r\n");
        }
        return write_v1(v4, from, to, source_port, target_port, out);
    }
    memcpy(out, v2_signature, V2_SIGNATURE_LEN);
    out[12] = 0x21;
    out[13] = out[14] = out[15] = 0;
    return known ? write_v2(v4, from, to, source_port, target_port, out) : V2_FIXED;
}
