/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching of key sets (jwks.h). */
#include "filters/jwks.h"

#include <jansson.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "upstream/fetch.h"

#define MAGIC 0x4a4b5365u
#define WELL_KNOWN "/.well-known/openid-configuration"
/* The timer fires earlier than keys end by up to so many parts of a hundred, so that one worker
 * fetches and the others find what it has got. */
#define EARLY 20
/* Sets the keys of shared values apart from those of the filter's own. */
#define SCOPE UINT64_C(0x6a776b732e6a776b)

struct lt_jwks {
    uint32_t magic;
    struct lt_filters *host;
    struct lt_filter_unit *unit;
    struct lt_jose_keys *keys;
    struct lt_jwks_terms terms;
    struct lt_timer timer;   /* until the next fetch by itself */
    struct lt_deferred turn; /* what came is looked at outside of the fetch's own callback */
    struct lt_list waiters;  /* struct waiter */
    struct lt_fetch fetch;
    bool fetching;             /* fetch is in use */
    bool discovering;          /* ... for the document that says where the keys are */
    uint64_t fresh_us;         /* monotonic: until then the keys are fresh; 0: there are none */
    uint64_t began_us;         /* the last fetch; 0: none yet */
    uint64_t missed_us;        /* the last one because of a key that was not there; 0: none yet */
    unsigned failures;         /* in a row */
    char why[200];             /* what was wrong with an answer */
    char url[LT_URL_MAX + 64]; /* what is fetched; terms.url in its beginning */
};

struct waiter {
    struct lt_async wait;
    struct lt_list link;
};

static struct lt_loop *loop_of(const struct lt_jwks *j)
{
    return j->host->spec.loop;
}

/* ---- what workers tell each other ---- */

/* name: "t" the text, "f" until when it is fresh. */
static struct lt_value_op shared_op(const struct lt_jwks *j, const char *name)
{
    char text[LT_URL_MAX + 8];
    int n = snprintf(text, sizeof(text), "%s%d %.*s", name, j->terms.discover,
                     LT_STR_ARG(j->terms.url));
    uint64_t scope = j->unit->scope ^ SCOPE;
    return (struct lt_value_op){
        .key = lt_value_key(j->host->spec.values, scope, lt_str(text, (size_t)n)),
        .now_us = loop_of(j)->now_us};
}

/* A text that is too large for the table is fetched by each worker. */
static void publish(struct lt_jwks *j, struct lt_str text)
{
    const struct lt_value body = {.type = LT_VALUE_TEXT, .text = text};
    const struct lt_value fresh = {.type = LT_VALUE_INT, .integer = (int64_t)j->fresh_us};
    uint64_t until = j->fresh_us + j->terms.stale_ms * 1000;
    struct lt_value_op op = shared_op(j, "t");
    if (lt_value_set(j->host->spec.values, &op, &body, until) == LT_VALUE_DONE) {
        op = shared_op(j, "f");
        (void)!lt_value_set(j->host->spec.values, &op, &fresh, until);
    }
}

/* Whether another worker, or this one before a reload, had newer keys. */
static bool take_over(struct lt_jwks *j)
{
    struct lt_value_table *values = j->host->spec.values;
    struct lt_value_op op = shared_op(j, "f");
    struct lt_value value;
    char *text;
    lt_value_get(values, &op, NULL, &value, NULL);
    if (value.type != LT_VALUE_INT || (uint64_t)value.integer <= j->fresh_us) {
        return false;
    }
    uint64_t fresh_us = (uint64_t)value.integer;
    text = lt_malloc(LT_VALUE_MAX);
    op = shared_op(j, "t");
    if (text == NULL) {
        return false;
    }
    lt_value_get(values, &op, text, &value, NULL);
    bool taken = value.type == LT_VALUE_TEXT && lt_jose_replace_jwks(j->keys, value.text);
    lt_free(text);
    if (taken) {
        j->fresh_us = fresh_us;
        j->failures = 0;
    }
    return taken;
}

/* ---- the end of a fetch ---- */

static void set_timer(struct lt_jwks *j)
{
    struct lt_loop *loop = loop_of(j);
    uint64_t ms;
    if (j->failures > 0) {
        ms = lt_min(LT_JWKS_AGAIN_MS << lt_min(j->failures - 1, 6u), LT_JWKS_AGAIN_MAX_MS);
        ms = lt_min(ms, lt_max(j->terms.refresh_ms, LT_JWKS_AGAIN_MS));
    } else {
        ms = j->fresh_us > loop->now_us ? (j->fresh_us - loop->now_us) / 1000 : 0;
    }
    uint32_t early = (uint32_t)lt_min(ms * EARLY / 100, (uint64_t)UINT32_MAX - 1);
    lt_timer_set(&j->timer, ms - lt_rand_below(&loop->rand, early + 1));
}

static void wake(struct lt_jwks *j)
{
    lt_list_each(it, tmp, &j->waiters)
    {
        struct waiter *w = lt_container_of(it, struct waiter, link);
        lt_list_remove(&w->link);
        lt_async_done(&w->wait);
    }
}

/* The fetch is over; reason NULL: it brought keys. */
static void finish(struct lt_jwks *j, const char *reason, struct lt_str detail)
{
    if (reason != NULL) {
        j->failures++;
        lt_log_warn("filter", "keys_not_fetched", LT_KV_STR("filter", j->unit->instance->name),
                    LT_KV_CSTR("url", j->url), LT_KV_CSTR("reason", reason),
                    LT_KV_STR("detail", detail), LT_KV_BOOL("keys_left", lt_jwks_usable(j)));
    } else {
        if (j->failures > 0) {
            lt_log_info("filter", "keys_fetched_again",
                        LT_KV_STR("filter", j->unit->instance->name), LT_KV_CSTR("url", j->url));
        }
        j->failures = 0;
    }
    lt_fetch_fini(&j->fetch);
    j->fetching = false;
    set_timer(j);
    wake(j);
}

static void fail(struct lt_jwks *j, const char *why)
{
    snprintf(j->why, sizeof(j->why), "%s", why);
    finish(j, "malformed", lt_str_c(j->why));
}

/* For how long the answer says that it is fresh (RFC 9111 §5.2.2), within our bounds. */
static uint64_t fresh_ms(const struct lt_jwks *j)
{
    const struct lt_headers *headers = &j->fetch.res->headers;
    uint64_t most = j->terms.refresh_ms, least = lt_min(most, LT_JWKS_FRESH_MIN_MS), ms = most;
    for (unsigned i = 0; i < headers->n; i++) {
        struct lt_str rest = headers->v[i].value, token;
        bool ours = headers->v[i].id == LT_HEADER_CACHE_CONTROL;
        while (ours && lt_str_next(&rest, ',', &token)) {
            const struct lt_str max_age = LT_STR("max-age=");
            uint64_t s;
            token = lt_str_trim(token);
            if (lt_str_eq_nocase(token, LT_STR("no-store")) ||
                lt_str_eq_nocase(token, LT_STR("no-cache"))) {
                ms = least;
            } else if (lt_str_eq_nocase(lt_str_sub(token, 0, lt_min(token.len, max_age.len)),
                                        max_age) &&
                       lt_str_to_u64(lt_str_sub(token, max_age.len, token.len), &s)) {
                ms = lt_min(ms, lt_min(s, most) * 1000);
            }
        }
    }
    return lt_max(ms, least);
}

static void take_keys(struct lt_jwks *j)
{
    struct lt_str text = lt_buf_view(&j->fetch.received);
    if (!lt_jose_replace_jwks(j->keys, text)) {
        fail(j, j->keys->why);
        return;
    }
    j->fresh_us = loop_of(j)->now_us + fresh_ms(j) * 1000;
    publish(j, text);
    finish(j, NULL, LT_STR_NONE);
}

static void begin(struct lt_jwks *j);

/* OpenID Connect Discovery 1.0 §4.3: the document has to be the issuer's own. */
static void take_document(struct lt_jwks *j)
{
    struct lt_str text = lt_buf_view(&j->fetch.received);
    json_t *json = json_loadb(text.len > 0 ? text.p : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *issuer = json_object_get(json, "issuer");
    const char *uri = json_string_value(json_object_get(json, "jwks_uri"));
    bool tls = j->fetch.url.tls;
    if (!json_is_string(issuer) ||
        !lt_str_eq(j->terms.url, lt_str(json_string_value(issuer), json_string_length(issuer)))) {
        fail(j, "the document's `issuer` is not the URL that was asked for");
    } else if (uri == NULL || strlen(uri) > LT_URL_MAX) {
        fail(j, "the document has no `jwks_uri`");
    } else if (tls && !lt_str_starts(lt_str_c(uri), LT_STR("https://"))) {
        fail(j, "`jwks_uri` leads from https to something else");
    } else {
        snprintf(j->url, sizeof(j->url), "%s", uri);
        lt_fetch_fini(&j->fetch);
        j->fetching = false;
        j->discovering = false;
        begin(j);
    }
    json_decref(json);
}

static void look(void *arg)
{
    struct lt_jwks *j = arg;
    LT_OBJ_CHECK(j, MAGIC);
    const struct lt_fetch *f = &j->fetch;
    if (f->error != LT_FETCH_OK) {
        finish(j, lt_fetch_error_name(f->error), f->detail);
    } else if (f->res->status != 200) {
        snprintf(j->why, sizeof(j->why), "status %u", f->res->status);
        finish(j, "malformed", lt_str_c(j->why));
    } else if (j->discovering) {
        take_document(j);
    } else {
        take_keys(j);
    }
}

/* ---- beginning one ---- */

static void on_fetched(void *owner)
{
    struct lt_jwks *j = owner;
    lt_loop_defer(loop_of(j), &j->turn, look, j);
}

static enum lt_err fill(struct lt_jwks *j, const char **why)
{
    struct lt_fetch *f = &j->fetch;
    struct lt_headers *headers = &f->req.headers;
    enum lt_err err = lt_url_parse(&f->arena, lt_str_c(j->url), &f->url, why);
    f->req.method = LT_METHOD_GET;
    f->timeout_ms = f->connect_ms = j->terms.timeout_ms;
    f->body_max = j->terms.max;
    f->tls = j->unit->instance->tls;
    err = err == LT_OK ? lt_headers_add_id(headers, LT_HEADER_HOST, f->url.authority) : err;
    err = err == LT_OK ? lt_headers_add_id(headers, LT_HEADER_USER_AGENT, LT_STR("lintel")) : err;
    return err == LT_OK ? lt_headers_add_id(headers, LT_HEADER_ACCEPT, LT_STR("application/json"))
                        : err;
}

/* Asks for j->url. */
static void begin(struct lt_jwks *j)
{
    struct lt_origins *origins = j->host->spec.origins;
    const char *why = "no memory for the request's head";
    lt_fetch_init(&j->fetch, origins);
    j->fetching = true;
    if (fill(j, &why) != LT_OK) {
        fail(j, why);
    } else if (j->fetch.url.tls && j->fetch.tls == NULL && !lt_origins_mocked(origins)) {
        fail(j, "nobody is trusted: write `lintel.jwks` in the filter's file, install "
                "ca-certificates, or name a file with tls.ca");
    } else {
        lt_fetch_start(&j->fetch, on_fetched, j);
    }
}

static void start(struct lt_jwks *j)
{
    struct lt_str base = j->terms.url;
    if (j->terms.discover && lt_str_ends(base, LT_STR("/"))) {
        base.len--;
    }
    snprintf(j->url, sizeof(j->url), "%.*s%s", LT_STR_ARG(base),
             j->terms.discover ? WELL_KNOWN : "");
    j->discovering = j->terms.discover;
    j->began_us = loop_of(j)->now_us;
    lt_timer_clear(&j->timer);
    begin(j);
}

void lt_jwks_refresh(struct lt_jwks *j)
{
    LT_OBJ_CHECK(j, MAGIC);
    if (j->fetching) {
        return; /* its end sets the timer */
    }
    if (take_over(j) && j->fresh_us > loop_of(j)->now_us) {
        set_timer(j);
    } else {
        start(j);
    }
}

static void on_timer(void *arg)
{
    lt_jwks_refresh(arg);
}

/* ---- functions ---- */

struct lt_jwks *lt_jwks_new(struct lt_filter_unit *unit, struct lt_jose_keys *keys,
                            const struct lt_jwks_terms *terms)
{
    struct lt_jwks *j = lt_calloc(1, sizeof(*j));
    char *url = lt_malloc(terms->url.len + 1);
    if (j == NULL || url == NULL) {
        lt_free(j);
        lt_free(url);
        return NULL;
    }
    LT_OBJ_INIT(j, MAGIC);
    memcpy(url, terms->url.p, terms->url.len);
    url[terms->url.len] = '\0';
    j->host = unit->fvm->host;
    j->unit = unit;
    j->keys = keys;
    j->terms = *terms;
    j->terms.url.p = url;
    lt_list_init(&j->waiters);
    lt_timer_init(&j->timer, loop_of(j), on_timer, j);
    lt_timer_set(&j->timer, 0);
    return j;
}

void lt_jwks_free(struct lt_jwks *j)
{
    if (j == NULL) {
        return;
    }
    LT_OBJ_CHECK(j, MAGIC);
    lt_loop_cancel(&j->turn);
    lt_timer_fini(&j->timer);
    if (j->fetching) {
        lt_fetch_fini(&j->fetch);
    }
    lt_free((char *)(uintptr_t)j->terms.url.p);
    LT_OBJ_FINI(j);
    lt_free(j);
}

bool lt_jwks_usable(const struct lt_jwks *j)
{
    return j->fresh_us != 0 && loop_of(j)->now_us < j->fresh_us + j->terms.stale_ms * 1000;
}

bool lt_jwks_failed(const struct lt_jwks *j)
{
    return j->failures > 0;
}

enum lt_jwks_hope lt_jwks_miss(struct lt_jwks *j)
{
    uint64_t now = loop_of(j)->now_us;
    if (j->fetching) {
        return LT_JWKS_COMING;
    }
    if (take_over(j)) {
        set_timer(j);
        return LT_JWKS_CHANGED;
    }
    bool none = !lt_jwks_usable(j);
    uint64_t last = none ? j->began_us : j->missed_us;
    if (last != 0 && now < last + (none ? LT_JWKS_AGAIN_MS : j->terms.retry_ms) * 1000) {
        return LT_JWKS_NONE;
    }
    j->missed_us = none ? j->missed_us : now;
    start(j);
    return j->fetching ? LT_JWKS_COMING : LT_JWKS_NONE;
}

static void on_end(struct lt_async *wait)
{
    struct waiter *w = lt_container_of(wait, struct waiter, wait);
    lt_list_remove(&w->link);
    lt_free(w);
}

int lt_jwks_wait(lua_State *L, struct lt_jwks *j, lua_KFunction k)
{
    struct lt_task *task = lt_task_check(L);
    uint64_t now = loop_of(j)->now_us, wait_us = j->terms.wait_ms * 1000;
    struct waiter *w = lt_calloc(1, sizeof(*w));
    if (w == NULL) {
        return luaL_error(L, "not enough memory");
    }
    if (task->wall_us != UINT64_MAX) {
        uint64_t left = task->wall_us > now ? task->wall_us - now : 0;
        wait_us = lt_min(wait_us, left - left / 20);
    }
    w->wait.end = on_end;
    lt_list_push_back(&j->waiters, &w->link);
    task->wake_us = now + wait_us;
    return lt_task_wait(L, &w->wait, k);
}
