/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets, hosts and paths (RFC 3986, RFC 9112 §3.2). */
#ifndef LT_HTTP_URI_H
#define LT_HTTP_URI_H

#include "base/arena.h"
#include "base/err.h"

/* A target taken apart; all point into it. */
struct lt_target {
    struct lt_str scheme;    /* absolute-form only */
    struct lt_str authority; /* absolute-form only */
    struct lt_str path;      /* raw; "*" for asterisk-form */
    struct lt_str query;     /* p == NULL: none */
};

/* origin-form, absolute-form (http, https) or "*". False on anything that isn't. */
bool lt_target_parse(struct lt_str target, struct lt_target *out) LT_MUST_CHECK;

/* Whether s is uri-host [":" port] without userinfo; gives the host (IPv6 with brackets) and the
 * port (0 = none). */
bool lt_authority_parse(struct lt_str s, struct lt_str *host, unsigned *port) LT_MUST_CHECK;

/* Whether c stands as it is in the segments of a path in normal form. */
bool lt_path_char_ok(char c);

enum {
    LT_PATH_SLASHES = 1, /* an encoded slash is data of its segment, not an error */
    LT_PATH_CLAMP = 2,   /* ".." above the root is the root, not an error */
    LT_PATH_BRACES = 4   /* '{' and '}' stay as they are: those of a template */
};

/* One normal form of a path (RFC 3986 §6.2.2): what means the same encoded or not stands decoded,
 * all else but '+' and ';' encoded, hex digits upper case, dot segments resolved, "//" merged. A
 * '+' or ';' stays as it came, encoded or not. LT_ERR_INVALID for a bad percent sequence, a
 * backslash, control or overlong UTF-8, encoded or not, an encoded slash, a dot segment with
 * parameters or between encoded slashes, or ".." above the root. flags: see above. A path that is
 * normal already is given back as it is, without a copy. */
enum lt_err lt_path_normalise(struct lt_arena *arena, struct lt_str path, unsigned flags,
                              struct lt_str *out) LT_MUST_CHECK;

/* Whether a path in normal form has an encoded slash. */
bool lt_path_has_encoded_slash(struct lt_str path);

/* The decoded value of the first query parameter called key; false when there is none. */
bool lt_query_get(struct lt_arena *arena, struct lt_str query, struct lt_str key,
                  struct lt_str *out);

/* The query without the parameters called key: query itself when there is none, with p == NULL when
 * nothing is left. False without memory. */
bool lt_query_remove(struct lt_arena *arena, struct lt_str query, struct lt_str key,
                     struct lt_str *out) LT_MUST_CHECK;

/* The value of the cookie called name in one Cookie field value (RFC 6265 §5.4); false when none.
 */
bool lt_cookie_get(struct lt_str field, struct lt_str name, struct lt_str *out);

#endif
