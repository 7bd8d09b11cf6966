/* SPDX-License-Identifier: Apache-2.0 */
/* The table of causes, made from cause.def. */
#include "base/cause.h"

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
