/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for keys that sound secret, without parsing: the text may be no YAML at all. A line belongs
 * to the lines above it that are indented less. */
#include "config/redact.h"

/* Lines above that are looked at. */
#define LOOK_BACK 2000u

/* Parts of names that hold a secret wherever they stand. */
static const char *const parts[] = {"passw",      "passphrase", "secret",  "token",
                                    "credential", "private",    "api_key", "apikey"};
/* Whole names that may hold one in the settings of filters; more of them in a file that nobody
 * could read. */
static const char *const in_filters[] = {"keys", "auth", "hmac", "salt", "users", "login"};
static const char *const when_wary[] = {"key", "hash", "user", "signature"};

/* How many names are taken for those of secrets. */
enum doubt { SURE, FILTER, WARY };

static bool is_name_char(char c)
{
    c = lt_char_lower(c);
    return (c >= 'a' && c <= 'z') || lt_char_is_digit(c) || c == '_' || c == '-';
}

static bool has_part(struct lt_str name, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= name.len; i++) {
        if (lt_str_eq_nocase(lt_str_sub(name, i, i + n), lt_str_c(part))) {
            return true;
        }
    }
    return false;
}

static bool is_one_of(struct lt_str name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (lt_str_eq_nocase(name, lt_str_c(list[i]))) {
            return true;
        }
    }
    return false;
}

static bool sounds_secret(struct lt_str name, enum doubt doubt)
{
    for (size_t i = 0; i < lt_countof(parts); i++) {
        if (has_part(name, parts[i])) {
            return true;
        }
    }
    return (doubt >= FILTER && is_one_of(name, in_filters, lt_countof(in_filters))) ||
           (doubt >= WARY && is_one_of(name, when_wary, lt_countof(when_wary)));
}

/* Whether the value at from is only the name of a variable or file. */
static bool is_reference(struct lt_str line, size_t from)
{
    while (from < line.len && strchr(" \t\"'", line.p[from]) != NULL) {
        from++;
    }
    struct lt_str value = lt_str_sub(line, from, line.len);
    size_t end = lt_str_chr(value, '}', 0);
    if (!lt_str_starts(value, LT_STR("${")) || end == SIZE_MAX ||
        lt_str_find(lt_str_sub(value, 0, end), LT_STR(":-")) != SIZE_MAX) {
        return false;
    }
    for (end++; end < value.len && strchr(" \t\"'", value.p[end]) != NULL; end++) {
    }
    return end == value.len;
}

/* The next key of the line from *at on, with *at behind its colon. Empty: there is none. */
static struct lt_str next_key(struct lt_str line, size_t *at)
{
    for (size_t i = *at; i < line.len; i++) {
        if (line.p[i] != ':') {
            continue;
        }
        size_t end = i, from;
        while (end > *at && strchr(" \t\"'", line.p[end - 1]) != NULL) {
            end--;
        }
        for (from = end; from > *at && is_name_char(line.p[from - 1]); from--) {
        }
        *at = i + 1;
        if (from < end) {
            return lt_str_sub(line, from, end);
        }
    }
    *at = line.len;
    return LT_STR_NONE;
}

/* Bytes of the line up to the colon of its first key that sounds secret, SIZE_MAX: there is none.
 */
static size_t secret_on(struct lt_str line, enum doubt doubt)
{
    size_t at = 0;
    struct lt_str key;
    while ((key = next_key(line, &at)).len > 0) {
        if (sounds_secret(key, doubt) && !is_reference(line, at)) {
            return at;
        }
    }
    return SIZE_MAX;
}

static bool has_filters(struct lt_str line)
{
    size_t at = 0;
    struct lt_str key;
    while ((key = next_key(line, &at)).len > 0) {
        if (lt_str_eq_c(key, "filters") || lt_str_eq_c(key, "filter")) {
            return true;
        }
    }
    return false;
}

/* Blanks before the first character; SIZE_MAX: there is none. The dash of a list counts as one. */
static size_t indent_of(struct lt_str line)
{
    size_t n = 0;
    while (n < line.len && (line.p[n] == ' ' || line.p[n] == '\t')) {
        n++;
    }
    return n == line.len || line.p[n] == '#' ? SIZE_MAX : n;
}

/* What ends user and password: they are written without blanks, quotes and slashes. */
static bool ends_userinfo(char c)
{
    return (unsigned char)c <= ' ' || c == '"' || c == '\'' || c == '/';
}

bool lt_redact_userinfo(struct lt_str text, size_t *from, size_t *to)
{
    for (size_t start = *from; start < text.len;) {
        size_t end = start, colon = SIZE_MAX, at = SIZE_MAX;
        for (; end < text.len && !ends_userinfo(text.p[end]); end++) {
            if (text.p[end] == ':' && colon == SIZE_MAX) {
                colon = end;
            } else if (text.p[end] == '@') {
                at = end; /* the last one: a password may hold some */
            }
        }
        /* Neither is empty: unix:@name is no password. */
        if (colon != SIZE_MAX && at != SIZE_MAX && colon > start && at > colon + 1) {
            *from = start;
            *to = at;
            return true;
        }
        start = end + 1;
    }
    return false;
}

size_t lt_redact_shown(const struct lt_source *source, unsigned line, bool wary)
{
    struct lt_str text = lt_source_line(source, line);
    size_t indent = indent_of(text);
    bool filters = has_filters(text);
    bool below[] = {[SURE] = false, [FILTER] = false, [WARY] = false};
    /* Closing brackets and lists stand as far left as what they belong to. */
    indent = indent != SIZE_MAX && strchr("-]}", text.p[indent]) != NULL ? indent + 1 : indent;
    for (unsigned i = line; i-- > 1 && line - i < LOOK_BACK && indent > 0;) {
        struct lt_str above = lt_source_line(source, i);
        size_t its = indent_of(above);
        if (its == SIZE_MAX || its >= indent) {
            continue;
        }
        indent = its;
        filters |= has_filters(above);
        for (int d = SURE; d <= WARY; d++) {
            below[d] |= secret_on(above, (enum doubt)d) != SIZE_MAX;
        }
    }
    enum doubt doubt = wary ? WARY : filters ? FILTER : SURE;
    if (wary && below[doubt]) {
        return 0; /* even what looks like a key may be a part of the value */
    }
    size_t shown = secret_on(text, doubt);
    if (shown == SIZE_MAX && below[doubt]) {
        size_t colon = lt_str_chr(text, ':', 0);
        shown = colon != SIZE_MAX ? colon + 1 : 0;
    }
    size_t from = 0, to;
    if (lt_redact_userinfo(text, &from, &to)) {
        shown = lt_min(shown, from);
    }
    return lt_min(shown, text.len);
}
