/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of Redis and the services that they go to (redis.h). Services are kept for as long as there
 * is room: the one unused for longest makes room for a new one. */
#include "upstream/redis_impl.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/obj.h"

#define MAGIC 0x72656469u /* "redi" */
#define KEY_MAX (LT_REDIS_URL_MAX + LT_TLS_ID_LEN)

static const char *const names[] = {
    "",
#define X(id, name, doc) name,
#include "upstream/redis.def"
#undef X
};

const char *lt_redis_error_name(enum lt_redis_error error)
{
    return names[error];
}

enum lt_redis_error lt_redis_error_find(struct lt_str name)
{
    for (int i = 1; i < LT_REDIS_ERRORS; i++) {
        if (lt_str_eq_c(name, names[i])) {
            return (enum lt_redis_error)i;
        }
    }
    return LT_REDIS_OK;
}

/* Whether an argument of command is option, before what are keys. */
static bool has_option(struct lt_str command, struct lt_str option)
{
    unsigned n = lt_redis_command_args(command);
    for (unsigned i = 1; i < n; i++) {
        struct lt_str arg = lt_redis_command_arg(command, i);
        if (lt_str_eq_nocase(arg, LT_STR("STREAMS"))) {
            return false;
        }
        if (lt_str_eq_nocase(arg, option)) {
            return true;
        }
    }
    return false;
}

const char *lt_redis_refused(struct lt_str command)
{
    static const struct {
        struct lt_str name, option;
        const char *why;
    } refused[] = {
#define X(name, option, why) {LT_STR_INIT(name), LT_STR_INIT(option), why},
#include "upstream/redis_refused.def"
#undef X
    };
    struct lt_str name = lt_redis_command_arg(command, 0);
    for (size_t i = 0; i < lt_countof(refused); i++) {
        if (lt_str_eq_nocase(name, refused[i].name) &&
            (refused[i].option.len == 0 || has_option(command, refused[i].option))) {
            return refused[i].why;
        }
    }
    return NULL;
}

/* ---- services ---- */

static void service_free(struct lt_redis_service *s)
{
    lt_redis_discover_fini(s);
    lt_redis_cluster_fini(s);
    lt_list_each(it, tmp, &s->nodes)
    {
        lt_redis_node_free(lt_container_of(it, struct lt_redis_node, link));
    }
    (void)lt_map_remove(&s->redis->by_key, s->key);
    lt_list_remove(&s->link);
    lt_tls_client_policy_free(s->tls);
    lt_free((char *)(uintptr_t)s->key.p);
    lt_free(s);
}

/* The one unused for longest goes. False: all are in use. */
static bool make_room(struct lt_redis *r)
{
    for (struct lt_list *it = r->services.prev; it != &r->services; it = it->prev) {
        struct lt_redis_service *s = lt_container_of(it, struct lt_redis_service, link);
        if (s->n_calls == 0) {
            service_free(s);
            return true;
        }
    }
    return false;
}

/* The servers that the URL names; the master that sentinels know is nowhere yet. */
static bool add_seeds(struct lt_redis_service *s)
{
    static const struct lt_redis_place nowhere = {.host = LT_STR_INIT("master")};
    const struct lt_redis_url *url = &s->url;
    bool sentinels = url->kind == LT_REDIS_SENTINEL, ok = true;
    for (unsigned i = 0; ok && i < url->n_seeds; i++) {
        struct lt_redis_node *node =
            lt_redis_node_new(s, &url->seeds[i], sentinels ? LT_REDIS_WATCHER : LT_REDIS_SERVER);
        ok = node != NULL;
        if (ok) {
            node->seed = true;
            s->main = url->kind == LT_REDIS_SINGLE ? node : NULL;
        }
    }
    if (ok && sentinels) {
        s->main = lt_redis_node_new(s, &nowhere, LT_REDIS_SERVER);
        ok = s->main != NULL;
    }
    return ok && lt_redis_discover_init(s);
}

static struct lt_redis_service *service_new(struct lt_redis *r, struct lt_str key,
                                            const struct lt_redis_call *call)
{
    const char *why;
    if (r->by_key.live >= LT_REDIS_SERVICES_MAX && !make_room(r)) {
        return NULL;
    }
    struct lt_redis_service *s = lt_calloc(1, sizeof(*s));
    char *copy = lt_malloc(key.len);
    if (s == NULL || copy == NULL) {
        lt_free(copy);
        lt_free(s);
        return NULL;
    }
    memcpy(copy, key.p, key.len);
    s->key = lt_str(copy, key.len);
    s->redis = r;
    s->tls = call->url->tls && call->tls != NULL ? lt_tls_client_policy_ref(call->tls) : NULL;
    lt_list_init(&s->nodes);
    lt_redis_cluster_init(s);
    lt_list_push_front(&r->services, &s->link);
    enum lt_err err =
        lt_redis_url_parse(lt_str(call->url->text, call->url->text_len), &s->url, &why);
    if (err != LT_OK || lt_map_set(&r->by_key, s->key, s) != LT_OK || !add_seeds(s)) {
        service_free(s);
        return NULL;
    }
    return s;
}

static struct lt_redis_service *service_get(struct lt_redis *r, const struct lt_redis_call *call)
{
    char space[KEY_MAX];
    struct lt_buf key;
    lt_buf_init_fixed(&key, space, sizeof(space));
    lt_buf_add(&key, call->url->text, call->url->text_len);
    if (call->url->tls && call->tls != NULL) {
        lt_buf_add(&key, lt_tls_client_policy_id(call->tls), LT_TLS_ID_LEN);
    }
    struct lt_redis_service *s = lt_map_get(&r->by_key, lt_buf_view(&key));
    if (s == NULL) {
        return service_new(r, lt_buf_view(&key), call);
    }
    lt_list_remove(&s->link);
    lt_list_push_front(&r->services, &s->link);
    return s;
}

/* ---- a worker's part ---- */

struct lt_redis *lt_redis_new(struct lt_loop *loop, struct lt_addresses *addresses,
                              struct lt_metrics_worker *metrics)
{
    struct lt_redis *r = lt_calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    r->loop = loop;
    r->addresses = addresses;
    r->metrics = metrics;
    lt_list_init(&r->services);
    lt_list_init(&r->closed);
    lt_map_init(&r->by_key, lt_hash_seed_random(), LT_REDIS_SERVICES_MAX);
    r->pools = lt_pools_new(loop, NULL); /* whose counters are of application servers */
    if (r->pools == NULL) {
        lt_free(r);
        return NULL;
    }
    return r;
}

void lt_redis_free(struct lt_redis *r)
{
    if (r == NULL) {
        return;
    }
    lt_list_each(it, tmp, &r->services)
    {
        service_free(lt_container_of(it, struct lt_redis_service, link));
    }
    assert(r->n_calls == 0);
    lt_loop_cancel(&r->bury);
    lt_redis_bury(r);
    lt_pools_free(r->pools);
    lt_map_fini(&r->by_key);
    lt_free(r);
}

void lt_redis_mock(struct lt_redis *r, void (*answer)(void *arg, struct lt_redis_call *call),
                   void *arg)
{
    r->mock = answer;
    r->mock_arg = arg;
}

bool lt_redis_mocked(const struct lt_redis *r)
{
    return r->mock != NULL;
}

size_t lt_redis_memory(void)
{
    /* Replies as they come, as records, and in the calls. */
    return 3 * LT_REDIS_HELD_MAX + LT_REDIS_CONNS_ALL_MAX * sizeof(struct lt_redis_conn) +
           LT_REDIS_NODES_MAX * sizeof(struct lt_redis_node) +
           LT_REDIS_CALLS_MAX * sizeof(struct lt_redis_command);
}

unsigned lt_redis_connections(const struct lt_redis *r)
{
    return r->n_conns;
}

/* ---- the end of a call ---- */

static struct lt_redis_call *from_owner(void *owner)
{
    struct lt_redis_call *call = owner;
    LT_OBJ_CHECK(call, MAGIC);
    return call;
}

static void tell(void *arg)
{
    struct lt_redis_call *call = from_owner(arg);
    struct lt_metrics_worker *metrics = call->redis->metrics;
    if (metrics != NULL && call->node == NULL) {
        lt_metrics_add(metrics, LT_COUNTER_REDIS_CALLS, 1);
        lt_metrics_add(metrics, LT_COUNTER_REDIS_ERRORS, call->error != LT_REDIS_OK);
        lt_metrics_add(metrics, LT_COUNTER_REDIS_MS,
                       (call->redis->loop->now_us - call->began_us) / 1000);
    }
    call->fn(call->owner);
}

/* Lets go of all but what came. */
static void stop(struct lt_redis_call *call, bool late)
{
    lt_timer_clear(&call->timer);
    for (unsigned i = 0; call->commands != NULL && i < call->n; i++) {
        lt_redis_command_drop(&call->commands[i], late);
    }
    if (call->service != NULL) {
        call->service->n_calls--;
        call->redis->n_calls--;
        call->service = NULL;
    }
}

static void end(struct lt_redis_call *call, bool late)
{
    call->over = true;
    stop(call, late);
    lt_loop_defer(call->redis->loop, &call->deferred, tell, call);
}

static void fail(struct lt_redis_call *call, enum lt_redis_error error, struct lt_str detail,
                 bool late)
{
    if (call->over) {
        return;
    }
    size_t n = lt_min(detail.len, sizeof(call->why) - 1);
    memcpy(call->why, detail.p != NULL ? detail.p : "", n);
    call->detail = lt_str(call->why, n);
    call->error = error;
    end(call, late);
}

void lt_redis_call_fail(struct lt_redis_call *call, enum lt_redis_error error, struct lt_str detail)
{
    fail(call, error, detail, false);
}

void lt_redis_call_end(struct lt_redis_call *call)
{
    if (!call->over) {
        end(call, false);
    }
}

void lt_redis_call_fini(struct lt_redis_call *call)
{
    LT_OBJ_CHECK(call, MAGIC);
    stop(call, false);
    lt_loop_cancel(&call->deferred);
    lt_timer_fini(&call->timer);
    call->redis->held -= call->counted;
    lt_buf_fini(&call->received);
    lt_free(call->commands);
    LT_OBJ_FINI(call);
}

static void on_timeout(void *arg)
{
    struct lt_redis_call *call = from_owner(arg);
    char text[80];
    int n = snprintf(text, sizeof(text), "%s after %llu ms",
                     call->sent ? "no reply" : "no connection had room",
                     (unsigned long long)call->timeout_ms);
    fail(call, call->sent ? LT_REDIS_TIMEOUT : LT_REDIS_UNREACHABLE, lt_str(text, (size_t)n), true);
}

/* ---- replies ---- */

void lt_redis_take_reply(struct lt_redis_command *command, struct lt_redis_node *node,
                         struct lt_str records)
{
    struct lt_redis_call *call = command->call;
    struct lt_redis *r = call->redis;
    if (lt_redis_again(command, node, records)) {
        return;
    }
    if (r->held + records.len > LT_REDIS_HELD_MAX) {
        lt_redis_call_fail(call, LT_REDIS_BUSY, LT_STR("replies hold too much memory"));
        return;
    }
    size_t before = call->received.len;
    lt_buf_str(&call->received, records);
    r->held += call->received.len - before;
    call->counted += call->received.len - before;
    if (call->received.truncated) {
        lt_redis_call_fail(call, LT_REDIS_BUSY, LT_STR("out of memory"));
        return;
    }
    command->reply = before;
    command->answered = true;
    if (--call->left == 0) {
        end(call, false);
    }
}

struct lt_str lt_redis_call_reply(const struct lt_redis_call *call, unsigned i)
{
    size_t from = call->commands[i].reply;
    return lt_str(call->received.p + from, call->received.len - from);
}

void lt_redis_call_begin(struct lt_redis_call *call, unsigned i)
{
    call->commands[i].reply = call->received.len;
}

/* ---- the beginning ---- */

void lt_redis_call_init(struct lt_redis_call *call, struct lt_redis *redis)
{
    memset(call, 0, sizeof(*call));
    LT_OBJ_INIT(call, MAGIC);
    call->redis = redis;
    lt_timer_init(&call->timer, redis->loop, on_timeout, call);
    lt_buf_init(&call->received, LT_REDIS_HELD_MAX);
}

static void mock(void *arg)
{
    struct lt_redis_call *call = from_owner(arg);
    call->redis->mock(call->redis->mock_arg, call);
}

static bool split(struct lt_redis_call *call)
{
    struct lt_str rest = call->text;
    call->commands = lt_calloc(call->n, sizeof(*call->commands));
    for (unsigned i = 0; call->commands != NULL && i < call->n; i++) {
        call->commands[i].call = call;
        bool more = lt_redis_command_next(&rest, &call->commands[i].text);
        assert(more);
        (void)more;
    }
    call->left = call->n;
    return call->commands != NULL;
}

void lt_redis_send(struct lt_redis_command *command)
{
    struct lt_redis_call *call = command->call;
    struct lt_redis_node *node = call->node != NULL ? call->node : call->service->main;
    if (node == NULL) {
        lt_redis_cluster_send(command);
    } else {
        lt_redis_node_send(node, command);
    }
}

void lt_redis_call_start(struct lt_redis_call *call, lt_redis_fn fn, void *owner)
{
    struct lt_redis *r = call->redis;
    call->fn = fn;
    call->owner = owner;
    call->began_us = r->loop->now_us;
    if (!split(call)) {
        lt_redis_call_fail(call, LT_REDIS_BUSY, LT_STR("out of memory"));
        return;
    }
    if (r->mock != NULL) {
        lt_loop_defer(r->loop, &call->deferred, mock, call);
        return;
    }
    if (r->n_calls >= LT_REDIS_CALLS_MAX || r->held >= LT_REDIS_HELD_MAX) {
        lt_redis_call_fail(call, LT_REDIS_BUSY, LT_STR("too many calls are under way"));
        return;
    }
    assert(call->node != NULL || !call->url->tls || call->tls != NULL);
    struct lt_redis_service *s = call->node != NULL ? call->node->service : service_get(r, call);
    if (s == NULL) {
        lt_redis_call_fail(call, LT_REDIS_BUSY, LT_STR("too many servers are spoken to"));
        return;
    }
    call->service = s;
    s->n_calls++;
    r->n_calls++;
    s->connect_ms = call->connect_ms;
    lt_timer_set(&call->timer, call->timeout_ms);
    for (unsigned i = 0; i < call->n && !call->over; i++) {
        lt_redis_send(&call->commands[i]); /* a failure ends the call */
    }
}
