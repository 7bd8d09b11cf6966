/* SPDX-License-Identifier: Apache-2.0 */
/* Causes: why an exchange ended the way it did. */
#ifndef LT_BASE_CAUSE_H
#define LT_BASE_CAUSE_H

#include "base/str.h"

enum lt_cause {
#define X(id, name, status, stage, text, hint) LT_CAUSE_##id,
#include "base/cause.def"
#undef X
    LT_CAUSE_COUNT
};

/* Where in an exchange a cause arises. */
enum lt_stage {
    LT_STAGE_ACCEPT,
    LT_STAGE_HEAD,
    LT_STAGE_BODY,
    LT_STAGE_ROUTE,
    LT_STAGE_REQUEST_HOOKS,
    LT_STAGE_PICK,
    LT_STAGE_CONNECT,
    LT_STAGE_SEND,
    LT_STAGE_RESPONSE_HEAD,
    LT_STAGE_RELAY,
    LT_STAGE_DONE
};

struct lt_cause_info {
    const char *name; /* stable id, for logs, metrics and bodies */
    unsigned status;  /* default status of Lintel's own answer, 0 = none */
    enum lt_stage stage;
    const char *text; /* one sentence, safe for clients */
    const char *hint; /* what an operator should look at; empty for NONE alone */
};

const struct lt_cause_info *lt_cause_info(enum lt_cause cause);

struct lt_buf;

/* Appends the manual's page of causes, docs/causes.md, to out. */
void lt_cause_manual(struct lt_buf *out);

/* Appends what there is to say about the cause of this name. False: there is none, out is as it
 * was.
 */
bool lt_cause_help(const char *name, struct lt_buf *out);

/* The name of a cause that resembles word, or NULL. */
const char *lt_cause_closest(const char *word);

/* "accept", "head" ... */
const char *lt_stage_name(enum lt_stage stage);

#endif
