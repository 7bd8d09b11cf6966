/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted lists. Any thread. */
#include "http/accept.h"

#define WEIGHT_MAX 1000
#define WEIGHT_NONE (-1)

struct lt_str lt_coding_name(enum lt_coding coding)
{
    static const struct lt_str names[LT_CODING_COUNT] = {
        [LT_CODING_IDENTITY] = LT_STR_INIT("identity"),
        [LT_CODING_GZIP] = LT_STR_INIT("gzip"),
        [LT_CODING_BR] = LT_STR_INIT("br"),
        [LT_CODING_ZSTD] = LT_STR_INIT("zstd"),
    };
    return names[coding];
}

/* Cuts the text before the next sep outside of quotes off *rest, trimmed. False when *rest is used
 * up. */
static bool next_part(struct lt_str *rest, char sep, struct lt_str *part)
{
    bool quoted = false;
    size_t end = 0;
    if (rest->len == 0) {
        return false;
    }
    for (; end < rest->len && (quoted || rest->p[end] != sep); end++) {
        if (rest->p[end] == '"') {
            quoted = !quoted;
        } else if (quoted && rest->p[end] == '\\') {
            end++;
        }
    }
    end = lt_min(end, rest->len);
    *part = lt_str_trim(lt_str_sub(*rest, 0, end));
    *rest = lt_str_sub(*rest, end + 1, rest->len);
    return true;
}

/* A qvalue in thousandths: 0 to 1 with at most three digits after the point; else NONE. */
static int parse_weight(struct lt_str s)
{
    int weight = 0, unit = WEIGHT_MAX;
    if (s.len == 0 || s.len > 5 || (s.len > 1 && s.p[1] != '.')) {
        return WEIGHT_NONE;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (i == 1) {
            continue;
        }
        if (!lt_char_is_digit(s.p[i])) {
            return WEIGHT_NONE;
        }
        weight += (s.p[i] - '0') * unit;
        unit /= 10;
    }
    return weight <= WEIGHT_MAX ? weight : WEIGHT_NONE;
}

/* One element: its value in *name, its weight as the result; NONE when it is to be passed over. */
static int parse_element(struct lt_str element, struct lt_str *name)
{
    struct lt_str part;
    int weight = WEIGHT_MAX;
    if (!next_part(&element, ';', name) || name->len == 0) {
        return WEIGHT_NONE;
    }
    while (weight != WEIGHT_NONE && next_part(&element, ';', &part)) {
        if (part.len >= 2 && lt_char_lower(part.p[0]) == 'q' && part.p[1] == '=') {
            weight = parse_weight(lt_str_sub(part, 2, part.len));
        }
    }
    return weight;
}

/* Walks over the elements of all fields with one id. */
struct walk {
    const struct lt_headers *headers;
    enum lt_header_id id;
    unsigned next;      /* field to look at */
    bool present;       /* there was a field */
    struct lt_str rest; /* of the current field */
};

static bool next_element(struct walk *w, struct lt_str *name, int *weight)
{
    struct lt_str element;
    for (;;) {
        while (next_part(&w->rest, ',', &element)) {
            *weight = parse_element(element, name);
            if (*weight != WEIGHT_NONE) {
                return true;
            }
        }
        while (w->next < w->headers->n && w->headers->v[w->next].id != w->id) {
            w->next++;
        }
        if (w->next == w->headers->n) {
            return false;
        }
        w->present = true;
        w->rest = w->headers->v[w->next++].value;
    }
}

/* How specific a media range is that has type: 1 for all, 2 for its main type, 3 for itself; 0 when
 * it doesn't have it. */
static unsigned range_fits(struct lt_str range, struct lt_str type)
{
    if (lt_str_eq_c(range, "*/*")) {
        return 1;
    }
    if (lt_str_eq_nocase(range, type)) {
        return 3;
    }
    size_t slash = lt_str_chr(type, '/', 0);
    return slash != SIZE_MAX && range.len == slash + 2 && range.p[slash + 1] == '*' &&
                   lt_str_eq_nocase(lt_str_sub(range, 0, slash + 1), lt_str_sub(type, 0, slash + 1))
               ? 2
               : 0;
}

unsigned lt_accept_type(const struct lt_headers *headers, struct lt_str type)
{
    struct walk w = {.headers = headers, .id = LT_HEADER_ACCEPT};
    struct lt_str range;
    unsigned best = 0;
    int weight, result = 0;
    while (next_element(&w, &range, &weight)) {
        unsigned fits = range_fits(range, type);
        if (fits > best || (fits == best && fits > 0 && weight > result)) {
            best = fits;
            result = weight;
        }
    }
    return w.present ? (unsigned)result : WEIGHT_MAX;
}

static enum lt_coding find_coding(struct lt_str name)
{
    /* Another name of gzip, RFC 9110 §8.4.1.3. */
    if (lt_str_eq_nocase(name, LT_STR("x-gzip"))) {
        return LT_CODING_GZIP;
    }
    for (unsigned i = 0; i < LT_CODING_COUNT; i++) {
        if (lt_str_eq_nocase(name, lt_coding_name((enum lt_coding)i))) {
            return (enum lt_coding)i;
        }
    }
    return LT_CODING_COUNT;
}

enum lt_coding lt_accept_coding(const struct lt_headers *headers, const enum lt_coding *order,
                                size_t n)
{
    struct walk w = {.headers = headers, .id = LT_HEADER_ACCEPT_ENCODING};
    /* One more for codings that we don't know. */
    int weights[LT_CODING_COUNT + 1], weight, others = WEIGHT_NONE;
    struct lt_str name;
    for (size_t i = 0; i < lt_countof(weights); i++) {
        weights[i] = WEIGHT_NONE;
    }
    while (next_element(&w, &name, &weight)) {
        int *at = lt_str_eq_c(name, "*") ? &others : &weights[find_coding(name)];
        *at = lt_max(*at, weight);
    }
    enum lt_coding best = LT_CODING_IDENTITY;
    int best_weight = 0;
    for (size_t i = 0; i < n; i++) {
        weight = weights[order[i]] != WEIGHT_NONE ? weights[order[i]] : others;
        if (weight > best_weight) {
            best = order[i];
            best_weight = weight;
        }
    }
    int identity =
        weights[LT_CODING_IDENTITY] != WEIGHT_NONE ? weights[LT_CODING_IDENTITY] : others;
    return identity > best_weight ? LT_CODING_IDENTITY : best;
}
