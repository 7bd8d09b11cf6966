/* SPDX-License-Identifier: Apache-2.0 */
/* Which field of a refused head it was. */
#include "http/blame.h"

#include "http/framing.h"

/* Cuts the next line off *rest, its line end included. */
static struct lt_str cut(struct lt_str *rest)
{
    size_t lf = lt_str_chr(*rest, '\n', 0);
    size_t end = lf == SIZE_MAX ? rest->len : lf + 1;
    struct lt_str line = lt_str_sub(*rest, 0, end);
    *rest = lt_str_sub(*rest, end, rest->len);
    return line;
}

static struct lt_blame blame(struct lt_str line, unsigned number)
{
    struct lt_str name = lt_str_sub(line, 0, lt_str_chr(line, ':', 0));
    bool told = name.len < line.len && lt_header_name_ok(name);
    return (struct lt_blame){.name = told ? name : LT_STR_NONE, .bytes = line.len, .line = number};
}

struct lt_blame lt_blame_largest(struct lt_str head)
{
    struct lt_blame largest = {.line = 0};
    cut(&head);
    for (unsigned number = 2; head.len > 0; number++) {
        struct lt_str line = cut(&head);
        if (line.len > largest.bytes) {
            largest = blame(line, number);
        }
    }
    return largest;
}

static bool is_field(struct lt_str line, const char *name)
{
    size_t colon = lt_str_chr(line, ':', 0);
    return colon != SIZE_MAX && lt_str_eq_nocase(lt_str_sub(line, 0, colon), lt_str_c(name));
}

/* A CR or a LF that is not part of the one CRLF at the end. */
static bool ends_badly(struct lt_str line)
{
    size_t cr = lt_str_chr(line, '\r', 0);
    return cr != line.len - 2 || line.p[line.len - 1] != '\n';
}

static bool is_bad_field(struct lt_str line)
{
    size_t colon = lt_str_chr(line, ':', 0);
    struct lt_str text = lt_str_trim(line);
    while (text.len > 0 && (text.p[text.len - 1] == '\r' || text.p[text.len - 1] == '\n')) {
        text.len--;
    }
    return text.len > 0 &&
           (colon == SIZE_MAX ||
            lt_framing_field(LT_HEADER_OTHER, lt_str_sub(line, 0, colon),
                             lt_str_trim(lt_str_sub(text, colon + 1, text.len))) != LT_CAUSE_NONE);
}

static bool breaks(struct lt_str line, enum lt_cause rule)
{
    switch (rule) { /* a default on purpose: few rules are about one line */
    case LT_CAUSE_HEADER_INVALID:
        return is_bad_field(line);
    case LT_CAUSE_HEADER_FOLDED:
        return line.len > 0 && lt_char_is_space(line.p[0]);
    case LT_CAUSE_LINE_END_INVALID:
        return ends_badly(line);
    case LT_CAUSE_CONTENT_LENGTH_INVALID:
        return is_field(line, "content-length");
    case LT_CAUSE_TRANSFER_ENCODING_INVALID:
    case LT_CAUSE_FRAMING_CONFLICT:
        return is_field(line, "transfer-encoding");
    default:
        return false;
    }
}

struct lt_blame lt_blame_rule(struct lt_str head, enum lt_cause rule)
{
    bool several = rule == LT_CAUSE_CONTENT_LENGTH_INVALID ||
                   rule == LT_CAUSE_TRANSFER_ENCODING_INVALID || rule == LT_CAUSE_FRAMING_CONFLICT;
    struct lt_blame found = {.line = 0};
    if (rule == LT_CAUSE_REQUEST_LINE_INVALID || rule == LT_CAUSE_VERSION_UNSUPPORTED) {
        return (struct lt_blame){.bytes = cut(&head).len, .line = 1};
    }
    cut(&head);
    for (unsigned number = 2; head.len > 0 && (several || found.line == 0); number++) {
        struct lt_str line = cut(&head);
        if (breaks(line, rule)) {
            found = blame(line, number);
        }
    }
    return found;
}
