/* SPDX-License-Identifier: Apache-2.0 */
/* ACME challenges, the worker's part. They come before sites and filters: whoever renews a
 * certificate depends on no route. What isn't in the folder goes on to the routes, where an
 * application may answer it. */
#include "exchange/challenge.h"

#include "base/mem.h"
#include "exchange/internal.h"

#define PREFIX "/.well-known/acme-challenge/"

/* Questions of one worker that are on their way. Beyond, requests are answered as if there were no
 * folder: whoever floods us with them must not fill main's mailbox. */
#define ASKED_MAX 64u

/* How long main may take. */
#define WAIT_MS 3000

/* The file's name, if the path has the form of a challenge's: base64url (RFC 8555 section 8.3), so
 * that it can't lead out of the folder. */
static bool token_of(const struct lt_request *req, struct lt_str *token)
{
    struct lt_str prefix = LT_STR(PREFIX);
    if ((req->method != LT_METHOD_GET && req->method != LT_METHOD_HEAD) ||
        !lt_str_starts(req->path, prefix)) {
        return false;
    }
    *token = lt_str_sub(req->path, prefix.len, req->path.len);
    for (size_t i = 0; i < token->len; i++) {
        char c = lt_char_lower(token->p[i]);
        if (!((c >= 'a' && c <= 'z') || lt_char_is_digit(c) || c == '-' || c == '_')) {
            return false;
        }
    }
    return token->len > 0 && token->len <= LT_CHALLENGE_TOKEN_MAX;
}

/* NEXT: nobody was asked. */
static enum lt_step_result ask(struct lt_exchange *x, struct lt_str token)
{
    struct lt_exchange_env *env = x->env;
    /* Not of a slab: the answer may find its worker gone. It is rare enough. */
    struct lt_challenge *c = env->challenges < ASKED_MAX ? lt_calloc(1, sizeof(*c)) : NULL;
    if (c == NULL) {
        return LT_STEP_NEXT;
    }
    c->env = env;
    c->x = x;
    memcpy(c->token, token.p, token.len);
    x->challenge = c;
    env->challenges++;
    lt_exchange_set_timer(x, WAIT_MS);
    env->challenge_ask(c);
    return LT_STEP_WAIT;
}

static enum lt_step_result answer(struct lt_exchange *x, const struct lt_challenge *c)
{
    struct lt_reply *reply = lt_exchange_reply(x, 200, LT_STR("acme_challenge"));
    if (reply == NULL || !lt_arena_dup(&x->arena, lt_str(c->text, c->len), &reply->body)) {
        x->reply.ready = false;
        x->cause = LT_CAUSE_OUT_OF_MEMORY;
        return LT_STEP_FAIL;
    }
    reply->content_type = LT_STR("application/octet-stream");
    x->detail = LT_STR("acme_challenge"); /* for the log: no route is there to tell */
    lt_metrics_add(x->env->metrics, LT_COUNTER_ACME_CHALLENGES, 1);
    return LT_STEP_FAIL;
}

enum lt_step_result lt_challenge_step(struct lt_exchange *x)
{
    struct lt_challenge *c = x->challenge;
    struct lt_str token;
    if (c == NULL) {
        bool ours = x->view->challenges && !x->challenged && token_of(&x->req, &token);
        x->challenged = true;
        return ours ? ask(x, token) : LT_STEP_NEXT;
    }
    if (!c->answered) {
        return LT_STEP_WAIT;
    }
    enum lt_step_result result = c->found ? answer(x, c) : LT_STEP_NEXT;
    lt_challenge_forget(x);
    lt_exchange_set_timer(x, 0);
    return result;
}

void lt_challenge_answer(struct lt_challenge *c)
{
    struct lt_exchange *x = c->x;
    c->env->challenges--;
    if (x == NULL) {
        lt_free(c);
        return;
    }
    c->answered = true;
    if (x->step == LT_STEP_ROUTE) { /* else it has failed meanwhile */
        lt_exchange_wake(x);
    }
}

void lt_challenge_forget(struct lt_exchange *x)
{
    struct lt_challenge *c = x->challenge;
    x->challenge = NULL;
    if (c != NULL && c->answered) {
        lt_free(c);
    } else if (c != NULL) {
        c->x = NULL;
    }
}
