/* SPDX-License-Identifier: Apache-2.0 */
/* The table of causes, made from cause.def. */
#include "base/cause.h"

#include "base/buf.h"

#define CLOSE_ENOUGH 3u /* edits between a word and the name that it may mean */

static const struct lt_cause_info causes[LT_CAUSE_COUNT] = {
#define X(id, name, status, stage, text, hint)                                                     \
    [LT_CAUSE_##id] = {name, status, LT_STAGE_##stage, text, hint},
#include "base/cause.def"
#undef X
};

const struct lt_cause_info *lt_cause_info(enum lt_cause cause)
{
    return &causes[cause];
}

const char *lt_stage_name(enum lt_stage stage)
{
    switch (stage) {
    case LT_STAGE_ACCEPT:
        return "accept";
    case LT_STAGE_HEAD:
        return "head";
    case LT_STAGE_BODY:
        return "body";
    case LT_STAGE_ROUTE:
        return "route";
    case LT_STAGE_REQUEST_HOOKS:
        return "request_hooks";
    case LT_STAGE_PICK:
        return "pick";
    case LT_STAGE_CONNECT:
        return "connect";
    case LT_STAGE_SEND:
        return "send";
    case LT_STAGE_RESPONSE_HEAD:
        return "response_head";
    case LT_STAGE_RELAY:
        return "relay";
    case LT_STAGE_DONE:
        return "done";
    }
    return "done";
}

bool lt_cause_help(const char *name, struct lt_buf *out)
{
    for (unsigned i = LT_CAUSE_NONE + 1; i < LT_CAUSE_COUNT; i++) {
        const struct lt_cause_info *c = &causes[i];
        if (strcmp(c->name, name) != 0) {
            continue;
        }
        lt_buf_printf(out, "%s\n    a cause; stage %s; ", c->name, lt_stage_name(c->stage));
        if (c->status != 0) {
            lt_buf_printf(out, "answered with %u\n", c->status);
        } else {
            lt_buf_str(out, LT_STR("no answer is made\n"));
        }
        lt_buf_printf(out, "    What happened: %s.\n    What to look at: %s.\n", c->text, c->hint);
        return true;
    }
    return false;
}

const char *lt_cause_closest(const char *word)
{
    const char *close = NULL;
    unsigned distance = CLOSE_ENOUGH + 1;
    for (unsigned i = LT_CAUSE_NONE + 1; i < LT_CAUSE_COUNT; i++) {
        unsigned d = lt_str_distance(lt_str_c(word), lt_str_c(causes[i].name), distance);
        if (d < distance) {
            distance = d;
            close = causes[i].name;
        }
    }
    return close;
}

/* Text of a table's cell: a bar would end it. */
static void put_cell(struct lt_buf *out, struct lt_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        lt_buf_str(out, text.p[i] == '|' ? LT_STR("\\|") : lt_str(text.p + i, 1));
    }
}

void lt_cause_manual(struct lt_buf *out)
{
    lt_buf_str(out,
               LT_STR("# Causes\n"
                      "\n"
                      "<!-- Made by `lintel show causes` from the list in the source; do not edit. "
                      "-->\n"
                      "\n"
                      "Why an exchange ended the way it did. The name is in the access log "
                      "(`cause`), in `Proxy-Status`, in the body of the answer and in the "
                      "metric `causes_total`; it never changes its meaning. Status 0: the "
                      "connection is cut, or the response was another's and is on its way.\n"
                      "\n"
                      "| cause | status | stage | what happened | what to look at |\n"
                      "|---|---|---|---|---|\n"));
    for (unsigned i = LT_CAUSE_NONE + 1; i < LT_CAUSE_COUNT; i++) {
        const struct lt_cause_info *c = &causes[i];
        lt_buf_printf(out, "| `%s` | %u | %s | ", c->name, c->status, lt_stage_name(c->stage));
        put_cell(out, lt_str_c(c->text));
        lt_buf_str(out, LT_STR(" | "));
        put_cell(out, lt_str_c(c->hint));
        lt_buf_str(out, LT_STR(" |\n"));
    }
}
