/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to ACME's HTTP challenges (RFC 8555 section 8.3): a file of a folder that any ACME client
 * fills. Workers touch no disk, so main reads it (server/acme.c).
 *
 *   route step: path is a challenge's -> ask (message to main) -> WAIT
 *      main: reads the file -> message back -> the route step again: the answer, or on to the
 * routes
 */
#ifndef LT_EXCHANGE_CHALLENGE_H
#define LT_EXCHANGE_CHALLENGE_H

#include "exchange/exchange.h"
#include "net/mailbox.h"

#define LT_CHALLENGE_TOKEN_MAX 128u /* bytes of a name */
#define LT_CHALLENGE_TEXT_MAX 1024u /* of a file; a key authorization has about 90 */

/* One question; belongs to whoever got the message last. */
struct lt_challenge {
    struct lt_message message;
    struct lt_exchange_env *env; /* who asks */
    struct lt_exchange *x;       /* the worker's alone; NULL: it is gone */
    bool answered;               /* the worker's alone */
    bool found;                  /* set by main */
    char token[LT_CHALLENGE_TOKEN_MAX + 1];
    size_t len;
    char text[LT_CHALLENGE_TEXT_MAX];
};

/* First in the route step. NEXT: this is no challenge that is known here. */
enum lt_step_result lt_challenge_step(struct lt_exchange *x);

/* The answer is there, or will never be (found false): on the worker's thread. */
void lt_challenge_answer(struct lt_challenge *c);

/* x waits no more. */
void lt_challenge_forget(struct lt_exchange *x);

#endif
