/* SPDX-License-Identifier: Apache-2.0 */
/* What servers take of a request's head: the rows, and the judgement. */
#include "upstream/takes.h"

#define LINE_EXTRA 10u /* of a request line beside method and target: two spaces, HTTP/1.1 */
#define FIELD_EXTRA 4u /* of a field beside name and value: ": " and CRLF */

#define PSEUDO_NAMES                                                                               \
    30u /* ":method", ":scheme", ":path", "https", and what ":authority" is longer                 \
           than "host" */

#define AT(member) offsetof(struct lt_takes_conf, member)

static const struct lt_row rows[] = {
    {.name = "line",
     .type = LT_T_SIZE,
     .offset = AT(line),
     .min = "128",
     .max = "1M",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Bytes of a request line, without its line end.",
     .since = "0.1"},
    {.name = "fields",
     .type = LT_T_INT,
     .offset = AT(fields),
     .min = "20",
     .max = "10000",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Header fields, those that Lintel adds included.",
     .since = "0.1"},
    {.name = "field",
     .type = LT_T_SIZE,
     .offset = AT(field),
     .min = "128",
     .max = "1M",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Bytes of one header field: name, value, and 4 for what is around them.",
     .since = "0.1"},
    {.name = "head",
     .type = LT_T_SIZE,
     .offset = AT(head),
     .min = "1K",
     .max = "1M",
     .flags = LT_ROW_ABSENT_OK,
     .doc =
         "Bytes of target, names and values together; over HTTP/2 with 32 more for each field, as "
         "its SETTINGS count them. A server of HTTP/2 that announces less gets less.",
     .since = "0.1"},
};

const struct lt_schema lt_takes_schema = {
    .name = "takes",
    .doc = "Limits of the servers for the head of a request. A larger one is answered with 431 "
           "(`server_head_limit`), and the access log names the largest field; the servers' own "
           "answer would say less. What is absent has no limit here.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_takes_conf),
};

struct lt_takes lt_takes_of(const struct lt_takes_conf *conf)
{
    return (struct lt_takes){.may = {[LT_TAKES_LINE] = conf->line,
                                     [LT_TAKES_FIELDS] = (size_t)conf->fields,
                                     [LT_TAKES_FIELD] = conf->field,
                                     [LT_TAKES_HEAD] = conf->head}};
}

static bool any(const struct lt_takes *takes)
{
    size_t all = 0;
    for (unsigned i = 0; i < LT_TAKES_COUNT; i++) {
        all |= takes->may[i];
    }
    return all != 0;
}

bool lt_takes_ours(enum lt_header_id id)
{
    return id == LT_HEADER_VIA || id == LT_HEADER_TRACEPARENT ||
           (id != LT_HEADER_OTHER &&
            (lt_header_flags(id) & (LT_HEADER_F_OURS | LT_HEADER_F_SEALED)) != 0);
}

struct lt_takes_excess lt_takes_judge(const struct lt_takes *takes, const struct lt_request *req,
                                      struct lt_str target, bool h2)
{
    struct lt_takes_excess e = {.row = LT_TAKES_COUNT};
    struct lt_str largest = LT_STR_NONE;
    if (!any(takes)) {
        return e;
    }
    size_t line = lt_method_name(req->method).len + target.len + LINE_EXTRA, field = 0;
    size_t head = target.len;
    if (h2) {
        head += lt_method_name(req->method).len + PSEUDO_NAMES + 3 * LT_TAKES_H2_FIELD;
    }
    for (unsigned i = 0; i < req->headers.n; i++) {
        const struct lt_header *h = &req->headers.v[i];
        size_t bytes = h->name.len + h->value.len;
        head += bytes + (h2 ? LT_TAKES_H2_FIELD : 0);
        if (bytes + FIELD_EXTRA > field) {
            field = bytes + FIELD_EXTRA;
            largest = h->name;
        }
        if (bytes + FIELD_EXTRA > e.field_size && !lt_takes_ours(h->id)) {
            e.field_size = bytes + FIELD_EXTRA;
            e.field = h->name;
        }
    }
    const size_t is[LT_TAKES_COUNT] = {[LT_TAKES_LINE] = line,
                                       [LT_TAKES_FIELDS] = req->headers.n,
                                       [LT_TAKES_FIELD] = field,
                                       [LT_TAKES_HEAD] = head};
    for (unsigned i = 0; i < LT_TAKES_COUNT && e.row == LT_TAKES_COUNT; i++) {
        if (takes->may[i] > 0 && is[i] > takes->may[i]) {
            e.row = (enum lt_takes_row)i;
            e.is = is[i];
            e.may = takes->may[i];
        }
    }
    if (e.row == LT_TAKES_FIELD || e.field_size == 0) {
        e.field = largest;
        e.field_size = field;
    }
    return e;
}
