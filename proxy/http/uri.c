/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets, hosts, paths, queries and cookies. Any thread. */
#include "http/uri.h"

#include "base/addr.h"

static const unsigned char unreserved[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['-'] = 1,
    ['.'] = 1,         ['_'] = 1,         ['~'] = 1,
};

/* What may stand in a segment and means the same there encoded or not (RFC 3986 §3.3): unreserved
 * characters and sub-delimiters. '+' and ';' are missing: some servers read a space out of the one
 * and a parameter out of the other. */
static const unsigned char path_chars[256] = {
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['-'] = 1, ['.'] = 1,  ['_'] = 1,
    ['~'] = 1,         ['!'] = 1,         ['$'] = 1,         ['&'] = 1, ['\''] = 1, ['('] = 1,
    [')'] = 1,         ['*'] = 1,         [','] = 1,         [':'] = 1, ['='] = 1,  ['@'] = 1,
};

bool lt_path_char_ok(char c)
{
    return path_chars[(unsigned char)c] != 0;
}

/* Graphic ASCII but '#': a fragment has no place in a target (RFC 9112 §3.2). */
static bool target_bytes_ok(struct lt_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == '#') {
            return false; /* char may be signed: then bytes above 127 are below 0x20 */
        }
    }
    return s.len > 0;
}

static void split_query(struct lt_str s, struct lt_target *out)
{
    size_t mark = lt_str_chr(s, '?', 0);
    if (mark == SIZE_MAX) {
        out->path = s;
    } else {
        out->path = lt_str(s.p, mark);
        out->query = lt_str(s.p + mark + 1, s.len - mark - 1);
    }
}

static bool parse_absolute(struct lt_str target, struct lt_target *out)
{
    size_t colon = lt_str_chr(target, ':', 0);
    if (colon == SIZE_MAX) {
        return false;
    }
    out->scheme = lt_str(target.p, colon);
    struct lt_str rest = lt_str(target.p + colon + 1, target.len - colon - 1);
    if ((!lt_str_eq_nocase(out->scheme, LT_STR("http")) &&
         !lt_str_eq_nocase(out->scheme, LT_STR("https"))) ||
        !lt_str_starts(rest, LT_STR("//"))) {
        return false;
    }
    rest = lt_str_sub(rest, 2, rest.len);
    size_t end = 0;
    while (end < rest.len && rest.p[end] != '/' && rest.p[end] != '?') {
        end++;
    }
    out->authority = lt_str(rest.p, end);
    split_query(lt_str_sub(rest, end, rest.len), out);
    struct lt_str host;
    unsigned port;
    return lt_authority_parse(out->authority, &host, &port);
}

bool lt_target_parse(struct lt_str target, struct lt_target *out)
{
    *out = (struct lt_target){.query = LT_STR_NONE};
    if (!target_bytes_ok(target)) {
        return false;
    }
    if (target.p[0] == '/') {
        split_query(target, out);
        return true;
    }
    if (lt_str_eq_c(target, "*")) {
        out->path = target;
        return true;
    }
    return parse_absolute(target, out);
}

/* Names and IPv4 addresses. Percent-encoding and sub-delimiters, which RFC 3986 would allow, are
 * refused: no host has them, and servers disagree about what they mean. So are empty labels, but
 * for the dot that a full name may end with. */
static bool host_name_ok(struct lt_str host)
{
    for (size_t i = 0; i < host.len; i++) {
        bool empty = host.p[i] == '.' && (i == 0 || host.p[i - 1] == '.');
        if (empty || !unreserved[(unsigned char)host.p[i]]) {
            return false;
        }
    }
    return host.len > 0;
}

static bool host_literal_ok(struct lt_str host)
{
    struct lt_addr addr;
    return lt_addr_parse_ip(lt_str_sub(host, 1, host.len - 1), &addr) == LT_OK &&
           addr.sa.sa_family == AF_INET6;
}

static bool parse_port(struct lt_str s, unsigned *port)
{
    uint64_t v;
    if (s.len > 5 || !lt_str_to_u64(s, &v) || v == 0 || v > 65535) {
        return false;
    }
    *port = (unsigned)v;
    return true;
}

bool lt_authority_parse(struct lt_str s, struct lt_str *host, unsigned *port)
{
    *port = 0;
    bool literal = s.len > 0 && s.p[0] == '[';
    size_t end = lt_str_chr(s, literal ? ']' : ':', 0);
    if (literal) {
        if (end == SIZE_MAX) {
            return false;
        }
        end++;
    } else if (end == SIZE_MAX) {
        end = s.len;
    }
    *host = lt_str_sub(s, 0, end);
    if (!(literal ? host_literal_ok(*host) : host_name_ok(*host))) {
        return false;
    }
    if (end == s.len) {
        return true;
    }
    return s.p[end] == ':' && parse_port(lt_str_sub(s, end + 1, s.len), port);
}

/* The byte that the percent sequence at s[i] stands for, or -1. */
static int percent_byte(struct lt_str s, size_t i)
{
    if (s.len - i < 3) {
        return -1;
    }
    int high = lt_char_hex(s.p[i + 1]), low = lt_char_hex(s.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool is_lower_hex(char c)
{
    return c >= 'a' && c <= 'f';
}

enum form { NORMAL, NOT_NORMAL, REFUSED };

/* Whether the percent sequences at path[i] are more bytes of UTF-8 than a character needs: the way
 * to hide a slash or a dot from everybody but a sloppy decoder. */
static bool is_overlong(struct lt_str path, size_t i, int c)
{
    int next = path.len - i >= 6 && path.p[i + 3] == '%' ? percent_byte(path, i + 3) : -1;
    return ((c == 0xc0 || c == 0xc1) && next >= 0x80 && next < 0xc0) ||
           (c == 0xe0 && next >= 0x80 && next < 0xa0) || (c == 0xf0 && next >= 0x80 && next < 0x90);
}

static enum form percent_form(struct lt_str path, size_t i, unsigned flags)
{
    int c = percent_byte(path, i);
    if (c < 0x20 || c == 0x7f || c == '\\' || (c == '/' && (flags & LT_PATH_SLASHES) == 0) ||
        is_overlong(path, i, c)) {
        return REFUSED;
    }
    return lt_path_char_ok((char)c) || is_lower_hex(path.p[i + 1]) || is_lower_hex(path.p[i + 2])
               ? NOT_NORMAL
               : NORMAL;
}

/* Whether c, which is no slash and begins no percent sequence, stays as it is. */
static bool stays(char c, unsigned flags)
{
    bool brace = c == '{' || c == '}';
    return lt_path_char_ok(c) || c == '+' || c == ';' || (brace && (flags & LT_PATH_BRACES) != 0);
}

/* How many dots the segment is made of, parameters left aside: 1, 2, or 0 when it is anything else.
 */
static unsigned dots(struct lt_str segment, bool *params)
{
    size_t end = lt_str_chr(segment, ';', 0);
    *params = end != SIZE_MAX;
    struct lt_str name = *params ? lt_str(segment.p, end) : segment;
    if (lt_str_eq_c(name, ".")) {
        return 1;
    }
    return lt_str_eq_c(name, "..") ? 2 : 0;
}

/* What of the segment that starts at path[at] shows before it is decoded. */
static enum form segment_form(struct lt_str path, size_t at)
{
    bool params;
    if (at >= path.len || (path.p[at] != '/' && path.p[at] != '.')) {
        return NORMAL;
    }
    size_t end = lt_min(lt_str_chr(path, '/', at), path.len);
    return end == at || dots(lt_str_sub(path, at, end), &params) > 0 ? NOT_NORMAL : NORMAL;
}

static enum form path_form(struct lt_str path, unsigned flags)
{
    enum form form = NORMAL;
    if (path.len == 0 || path.p[0] != '/') {
        return REFUSED;
    }
    for (size_t i = 0; i < path.len; i++) {
        char c = path.p[i];
        enum form here = NORMAL;
        if (c == '/') {
            here = segment_form(path, i + 1);
        } else if (c == '%') {
            here = percent_form(path, i, flags);
            i += 2;
        } else if (c == '\\' || c <= 0x20 || c >= 0x7f) {
            here = REFUSED; /* char may be signed */
        } else if (!stays(c, flags)) {
            here = NOT_NORMAL;
        }
        if (here == REFUSED) {
            return REFUSED;
        }
        form = lt_max(form, here);
    }
    return form;
}

static size_t put_percent(char *out, int c)
{
    static const char digits[] = "0123456789ABCDEF";
    out[0] = '%';
    out[1] = digits[c >> 4];
    out[2] = digits[c & 15];
    return 3;
}

/* Writes one segment in normal form; gives its length. */
static size_t put_segment(char *out, struct lt_str segment, unsigned flags)
{
    size_t n = 0;
    for (size_t i = 0; i < segment.len; i++) {
        char raw = segment.p[i];
        if (raw != '%' && stays(raw, flags)) {
            out[n++] = raw;
            continue;
        }
        int c = raw == '%' ? percent_byte(segment, i) : (unsigned char)raw;
        i += raw == '%' ? 2 : 0;
        if (lt_path_char_ok((char)c)) {
            out[n++] = (char)c;
        } else {
            n += put_percent(out + n, c);
        }
    }
    return n;
}

/* Whether a server that decodes slashes would find a dot segment within this one. */
static bool hides_dots(struct lt_str segment)
{
    bool params, slash = false;
    unsigned found = 0;
    for (size_t at = 0; at <= segment.len;) {
        size_t end = at;
        while (end < segment.len &&
               !lt_str_starts(lt_str_sub(segment, end, segment.len), LT_STR("%2F"))) {
            end++;
        }
        found += dots(lt_str_sub(segment, at, end), &params);
        slash |= end < segment.len;
        at = end + 3;
    }
    return slash && found > 0;
}

static bool hides_dots_somewhere(struct lt_str path)
{
    for (size_t at = 1; at <= path.len;) {
        size_t end = lt_min(lt_str_chr(path, '/', at), path.len);
        if (hides_dots(lt_str_sub(path, at, end))) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

bool lt_path_has_encoded_slash(struct lt_str path)
{
    for (size_t at = lt_str_chr(path, '%', 0); at != SIZE_MAX; at = lt_str_chr(path, '%', at + 1)) {
        if (lt_str_starts(lt_str_sub(path, at, path.len), LT_STR("%2F"))) {
            return true;
        }
    }
    return false;
}

/* out[0, *n) ends with '/'; takes its last segment away. */
static bool drop_segment(const char *out, size_t *n)
{
    if (*n == 1) {
        return false;
    }
    do {
        --*n;
    } while (out[*n - 1] != '/');
    return true;
}

/* path is not in normal form; makes it from segment to segment. out has room for three bytes for
 * each of path and one more. */
static bool make_normal(struct lt_str path, unsigned flags, char *out, size_t *len)
{
    size_t n = 0, at = 1;
    out[n++] = '/';
    while (at <= path.len) {
        size_t slash = lt_str_chr(path, '/', at);
        size_t end = slash == SIZE_MAX ? path.len : slash;
        size_t used = put_segment(out + n, lt_str(path.p + at, end - at), flags);
        bool params;
        unsigned dot_count = dots(lt_str(out + n, used), &params);
        if (dot_count > 0 && params) {
            return false; /* some servers read "..;x" as ".." */
        }
        if (dot_count == 2 && !drop_segment(out, &n) && (flags & LT_PATH_CLAMP) == 0) {
            return false;
        }
        if (dot_count == 0 && used > 0) {
            n += used;
            if (slash != SIZE_MAX) {
                out[n++] = '/';
            }
        }
        at = end + 1;
    }
    *len = n;
    return true;
}

enum lt_err lt_path_normalise(struct lt_arena *arena, struct lt_str path, unsigned flags,
                              struct lt_str *out)
{
    enum form form = path_form(path, flags);
    *out = path;
    if (form == REFUSED) {
        return LT_ERR_INVALID;
    }
    if (form == NOT_NORMAL) {
        size_t n, grows = 0;
        for (size_t i = 0; i < path.len; i++) {
            char c = path.p[i];
            grows += c == '/' || c == '%' || stays(c, flags) ? 0 : 2;
        }
        char *p = lt_arena_chars(arena, path.len + grows + 1);
        if (p == NULL) {
            return LT_ERR_NOMEM;
        }
        if (!make_normal(path, flags, p, &n)) {
            return LT_ERR_INVALID;
        }
        *out = lt_str(p, n);
    }
    return (flags & LT_PATH_SLASHES) != 0 && lt_path_has_encoded_slash(*out) &&
                   hides_dots_somewhere(*out)
               ? LT_ERR_INVALID
               : LT_OK;
}

/* s with "%XX" and '+' decoded; a percent sign that starts no sequence stays. */
static bool decode_form(struct lt_arena *arena, struct lt_str s, struct lt_str *out)
{
    if (lt_str_chr(s, '%', 0) == SIZE_MAX && lt_str_chr(s, '+', 0) == SIZE_MAX) {
        *out = s;
        return true;
    }
    char *p = lt_arena_chars(arena, s.len);
    if (p == NULL) {
        return false;
    }
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        int c = s.p[i] == '%' ? percent_byte(s, i) : -1;
        if (c >= 0) {
            i += 2;
            p[n++] = (char)c;
        } else {
            p[n++] = s.p[i] == '+' ? ' ' : s.p[i];
        }
    }
    *out = lt_str(p, n);
    return true;
}

bool lt_query_get(struct lt_arena *arena, struct lt_str query, struct lt_str key,
                  struct lt_str *out)
{
    while (query.len > 0) {
        size_t end = lt_min(lt_str_chr(query, '&', 0), query.len);
        struct lt_str pair = lt_str(query.p, end), name;
        query = lt_str_sub(query, end + 1, query.len);
        size_t equals = lt_min(lt_str_chr(pair, '=', 0), pair.len);
        if (pair.len == 0 || !decode_form(arena, lt_str(pair.p, equals), &name)) {
            continue;
        }
        if (lt_str_eq(name, key)) {
            return decode_form(arena, lt_str_sub(pair, equals + 1, pair.len), out);
        }
    }
    return false;
}

bool lt_query_remove(struct lt_arena *arena, struct lt_str query, struct lt_str key,
                     struct lt_str *out)
{
    struct lt_str rest = query, value, name;
    *out = query;
    if (!lt_query_get(arena, query, key, &value)) {
        return true;
    }
    char *p = lt_arena_chars(arena, query.len);
    size_t n = 0;
    if (p == NULL) {
        return false;
    }
    while (rest.len > 0) {
        size_t end = lt_min(lt_str_chr(rest, '&', 0), rest.len);
        struct lt_str pair = lt_str(rest.p, end);
        rest = lt_str_sub(rest, end + 1, rest.len);
        if (!decode_form(arena, lt_str_sub(pair, 0, lt_min(lt_str_chr(pair, '=', 0), end)),
                         &name)) {
            return false;
        }
        if (pair.len > 0 && lt_str_eq(name, key)) {
            continue;
        }
        if (n > 0) {
            p[n++] = '&';
        }
        memcpy(p + n, pair.p, pair.len);
        n += pair.len;
    }
    *out = n > 0 ? lt_str(p, n) : LT_STR_NONE;
    return true;
}

bool lt_cookie_get(struct lt_str field, struct lt_str name, struct lt_str *out)
{
    struct lt_str pair;
    while (lt_str_next(&field, ';', &pair)) {
        size_t equals = lt_str_chr(pair, '=', 0);
        if (equals != SIZE_MAX && lt_str_eq(lt_str_trim(lt_str(pair.p, equals)), name)) {
            *out = lt_str_trim(lt_str_sub(pair, equals + 1, pair.len));
            return true;
        }
    }
    return false;
}
