/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a head while bytes arrive: one search for LF per line, and the rules about line ends
 * that have to be judged before there is a head. Whoever owns the connection, one thread. */
#include "http/h1.h"

#include "http/framing.h"

#define REQUEST_LINE_EXTRA 64u /* bytes beside the target */

static enum lt_err refuse_scan(struct lt_h1_scan *scan, enum lt_cause rule, enum lt_cause *cause)
{
    scan->rule = rule;
    *cause = scan->response ? lt_framing_server_cause(rule) : rule;
    return LT_ERR_INVALID;
}

/* Whether a complete first line may be one: without a version it is HTTP/0.9, whose head has no
 * end. */
static bool first_line_ok(const char *line, size_t len, bool response)
{
    if (response) {
        return len >= 5 && memcmp(line, "HTTP/", 5) == 0;
    }
    const char *space = len > 0 ? memrchr(line, ' ', len) : NULL;
    size_t rest = space != NULL ? len - (size_t)(space + 1 - line) : 0;
    return rest >= 5 && memcmp(space + 1, "HTTP/", 5) == 0;
}

/* Whether the first bytes may become a first line. */
static bool first_bytes_ok(const char *line, size_t len, bool response)
{
    if (response) {
        return memcmp(line, "HTTP/", lt_min(len, 5u)) == 0;
    }
    return lt_header_name_ok(lt_str(line, 1));
}

/* buf[line, len) has no LF yet. */
static enum lt_cause judge_partial_line(const struct lt_h1_scan *scan, const char *buf, size_t len,
                                        const struct lt_h1_limits *limits)
{
    size_t from = lt_max(scan->line, scan->seen > 0 ? scan->seen - 1 : 0);
    const char *cr = from < len ? memchr(buf + from, '\r', len - from) : NULL;
    bool first = scan->line == scan->begin;
    if (first && len > scan->line && buf[scan->line] != '\r' &&
        !first_bytes_ok(buf + scan->line, len - scan->line, scan->response)) {
        return LT_CAUSE_REQUEST_LINE_INVALID;
    }
    if (cr != NULL && cr + 1 < buf + len) {
        return LT_CAUSE_LINE_END_INVALID;
    }
    if (first && !scan->response && len - scan->line > limits->target + REQUEST_LINE_EXTRA) {
        return LT_CAUSE_TARGET_TOO_LONG;
    }
    return len > limits->head ? LT_CAUSE_HEAD_TOO_LARGE : LT_CAUSE_NONE;
}

/* buf[scan->line, end) is a line, its CRLF at the end. *last: it is the empty one after a head. */
static enum lt_cause judge_line(struct lt_h1_scan *scan, const char *buf, size_t end, bool *last)
{
    const char *line = buf + scan->line;
    size_t len = end - scan->line;
    bool first = scan->line == scan->begin;
    *last = false;
    if (len < 2 || line[len - 2] != '\r') {
        return LT_CAUSE_LINE_END_INVALID;
    }
    if (len == 2) {
        bool allowed = !first || (!scan->response && scan->begin == 0);
        scan->begin = first ? end : scan->begin;
        *last = !first;
        return allowed ? LT_CAUSE_NONE : LT_CAUSE_REQUEST_LINE_INVALID;
    }
    if (line[0] == '\r') {
        return LT_CAUSE_LINE_END_INVALID; /* CR CR LF ends nothing, and is waited behind in vain */
    }
    if (first) {
        return first_line_ok(line, len - 2, scan->response) ? LT_CAUSE_NONE
                                                            : LT_CAUSE_REQUEST_LINE_INVALID;
    }
    return lt_char_is_space(line[0]) ? LT_CAUSE_HEADER_FOLDED : LT_CAUSE_NONE;
}

enum lt_err lt_h1_scan(struct lt_h1_scan *scan, const char *buf, size_t len,
                       const struct lt_h1_limits *limits, size_t *head_len, enum lt_cause *cause)
{
    while (scan->seen < len) {
        const char *lf = memchr(buf + scan->seen, '\n', len - scan->seen);
        if (lf == NULL) {
            break;
        }
        size_t end = (size_t)(lf - buf) + 1;
        bool last;
        enum lt_cause rule = judge_line(scan, buf, end, &last);
        if (rule == LT_CAUSE_NONE && end > limits->head) {
            rule = LT_CAUSE_HEAD_TOO_LARGE;
        }
        if (rule != LT_CAUSE_NONE) {
            return refuse_scan(scan, rule, cause);
        }
        scan->seen = scan->line = end;
        if (last) {
            *head_len = end;
            return LT_OK;
        }
    }
    enum lt_cause rule = judge_partial_line(scan, buf, len, limits);
    scan->seen = len;
    return rule == LT_CAUSE_NONE ? LT_AGAIN : refuse_scan(scan, rule, cause);
}
