/* SPDX-License-Identifier: Apache-2.0 */
/* Targets, authorities, queries and cookies. A normalised path is normal, holds nothing that could
 * be walked around, and means the same when it is read again. */
#include "base/members.h"
#include "http/uri.h"
#include "http/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_segments(struct lt_str path)
{
    struct lt_str rest = lt_str_sub(path, 1, path.len), segment;
    require(path.len > 0 && path.p[0] == '/');
    while (rest.len > 0) {
        size_t end = lt_min(lt_str_chr(rest, '/', 0), rest.len);
        segment = lt_str(rest.p, end);
        require(segment.len > 0);
        require(!lt_str_eq_c(segment, ".") && !lt_str_eq_c(segment, ".."));
        rest = lt_str_sub(rest, end + 1, rest.len);
    }
    require(lt_str_chr(path, '\\', 0) == SIZE_MAX && lt_str_chr(path, '\0', 0) == SIZE_MAX);
}

/* Only what may stand there does; percent sequences are whole, in upper case, and of what may not.
 */
static void check_bytes(struct lt_str path, unsigned flags)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.p[i];
        bool brace = c == '{' || c == '}';
        if (c != '%') {
            require(lt_path_char_ok(c) || c == '/' || c == '+' || c == ';' ||
                    (brace && (flags & LT_PATH_BRACES) != 0));
            continue;
        }
        require(path.len - i >= 3);
        int high = lt_char_hex(path.p[i + 1]), low = lt_char_hex(path.p[i + 2]);
        require(high >= 0 && low >= 0 && path.p[i + 1] < 'a' && path.p[i + 2] < 'a');
        int byte = high * 16 + low;
        require(byte >= 0x20 && byte != 0x7f && byte != '\\' && !lt_path_char_ok((char)byte));
        require(byte != '/' || (flags & LT_PATH_SLASHES) != 0);
    }
}

static void check_path(struct lt_arena *arena, struct lt_str path)
{
    struct lt_str normal, again;
    for (unsigned flags = 0; flags < 8; flags++) {
        if (lt_path_normalise(arena, path, flags, &normal) == LT_OK) {
            require(normal.len <= 3 * path.len);
            check_segments(normal);
            check_bytes(normal, flags);
            require(lt_path_normalise(arena, normal, flags, &again) == LT_OK);
            require(again.p == normal.p && again.len == normal.len);
        }
    }
}

static void check_authority(struct lt_str text)
{
    struct lt_str host;
    unsigned port;
    if (lt_authority_parse(text, &host, &port)) {
        require(host.len > 0 && host.p == text.p && host.len <= text.len && port <= 65535);
        require(lt_str_chr(text, '@', 0) == SIZE_MAX && lt_str_chr(text, '/', 0) == SIZE_MAX);
    }
}

/* What is fetched is one host, and nothing that could end a line of a head. */
static void check_url(struct lt_arena *arena, struct lt_str text)
{
    struct lt_url url, again;
    struct lt_target target;
    struct lt_str host, whole;
    unsigned port;
    const char *why = NULL;
    if (lt_url_parse(arena, text, &url, &why) != LT_OK) {
        require(why != NULL);
        return;
    }
    require(url.host.len > 0 && url.port > 0 && url.port <= 65535);
    require(lt_authority_parse(url.authority, &host, &port));
    require(url.target.p[0] == '/' && lt_target_parse(url.target, &target));
    for (size_t i = 0; i < url.target.len; i++) {
        require(url.target.p[i] > 0x20 && url.target.p[i] < 0x7f && url.target.p[i] != '#');
    }
    require(lt_arena_printf(arena, &whole, "%s://%.*s%.*s", url.tls ? "https" : "http",
                            LT_STR_ARG(url.authority), LT_STR_ARG(url.target)));
    if (whole.len <= LT_URL_MAX) {
        require(lt_url_parse(arena, whole, &again, &why) == LT_OK);
        require(lt_str_eq(again.host, url.host) && again.port == url.port);
        require(lt_str_eq(again.target, url.target) && again.tls == url.tls);
    }
}

/* What was removed is gone, and nothing else has moved. */
static void check_removal(struct lt_arena *arena, struct lt_str query, struct lt_str key)
{
    struct lt_str left, again, value;
    require(lt_query_remove(arena, query, key, &left) && left.len <= query.len);
    require(!lt_query_get(arena, left, key, &value));
    require(lt_query_remove(arena, left, key, &again) && again.p == left.p);
}

/* A member of a list is what its text decodes to, and that text has a form that comes back. */
static void check_members(struct lt_arena *arena, struct lt_str list)
{
    struct lt_str rest = list, member;
    while (lt_members_next(&rest, &member)) {
        char *text = lt_arena_chars(arena, member.len);
        char *form = lt_arena_chars(arena, LT_MEMBER_BYTES_MAX(member.len));
        if (text == NULL || form == NULL) {
            return;
        }
        struct lt_str plain = lt_str(text, lt_member_decode(member, text));
        struct lt_str written = lt_str(form, lt_members_put(form, 0, plain));
        require(lt_members_have(list, plain) && lt_members_have(written, plain));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lt_arena arena;
    struct lt_target target;
    struct lt_str text = lt_str((const char *)data, size), value;
    size_t split = lt_min(lt_str_chr(text, '\n', 0), size);
    lt_arena_init(&arena, NULL, 0, 16 << 20);
    check_path(&arena, text);
    check_authority(text);
    check_url(&arena, text);
    if (lt_target_parse(text, &target)) {
        check_path(&arena, target.path);
        require((target.scheme.len > 0) == (target.authority.len > 0));
    }
    if (lt_query_get(&arena, text, lt_str_sub(text, split + 1, size), &value)) {
        require(value.len <= size);
    }
    check_removal(&arena, lt_str_sub(text, 0, split), lt_str_sub(text, split + 1, size));
    check_members(&arena, text);
    if (lt_cookie_get(text, lt_str_sub(text, split + 1, size), &value)) {
        require(value.len <= size);
    }
    lt_arena_fini(&arena);
    return 0;
}
