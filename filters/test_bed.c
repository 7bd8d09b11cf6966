/* SPDX-License-Identifier: Apache-2.0 */
/* Filters without a server (test_bed.h). */
#include "filters/test_bed.h"

#include <stdlib.h>

#include "base/mem.h"
#include "exchange/flow.h"
#include "filters/every.h"
#include "filters/host_impl.h"
#include "http/uri.h"

#define RATE_BYTES 65536u
#define HOLD_BYTES 4096u
#define START_US UINT64_C(1000000000)
#define START_WALL_US UINT64_C(1750000000000000)
#define HEADERS_MAX 200u
#define BLOCKS_MAX ((size_t)64 << 20)

static void on_unpinned(struct lt_view *view)
{
    (void)view; /* lives as long as the bed */
}

static void on_fail(struct lt_exchange *x, enum lt_cause cause)
{
    struct lt_test_bed *bed = lt_container_of(x->env, struct lt_test_bed, env);
    bed->failed = true;
    x->cause = cause;
    lt_flow_release(x);
}

static void on_wake(struct lt_exchange *x)
{
    struct lt_test_bed *bed = lt_container_of(x->env, struct lt_test_bed, env);
    x->hooks_waiting = false;
    bed->woken |= x == bed->x;
}

static void on_fetch(void *arg, struct lt_fetch *f)
{
    (void)arg;
    lt_fetch_fail(f, LT_FETCH_CONNECT_REFUSED, LT_STR("there is no network here"));
}

static void on_redis(void *arg, struct lt_redis_call *call)
{
    (void)arg;
    lt_redis_call_fail(call, LT_REDIS_UNREACHABLE, LT_STR("there is no network here"));
}

struct lt_test_bed *lt_test_bed_new(void)
{
    static const struct lt_hash_seed seed = {1, 2};
    struct lt_test_bed *bed = lt_calloc(1, sizeof(*bed));
    if (bed == NULL) {
        return NULL;
    }
    lt_budget_init(&bed->budget);
    bed->loop = lt_loop_new(BLOCKS_MAX);
    bed->metrics = lt_metrics_new(1, 4, 4);
    bed->rate_mem = aligned_alloc(LT_CACHE_LINE, RATE_BYTES);
    bed->hold_mem = aligned_alloc(LT_CACHE_LINE, HOLD_BYTES);
    bed->origins = bed->loop != NULL ? lt_origins_new(bed->loop, NULL, NULL) : NULL;
    bed->redis = bed->loop != NULL ? lt_redis_new(bed->loop, NULL, NULL) : NULL;
    if (bed->loop == NULL || bed->origins == NULL || bed->redis == NULL || bed->metrics == NULL ||
        bed->rate_mem == NULL || !lt_rate_init(&bed->rate, bed->rate_mem, RATE_BYTES, &seed) ||
        !lt_value_table_init(&bed->values, LT_VALUE_TABLE_MIN) || bed->hold_mem == NULL ||
        (bed->limits = lt_limits_new(&bed->rate, 1)) == NULL) {
        lt_test_bed_free(bed);
        return NULL;
    }
    lt_hold_init(lt_limits_holds(bed->limits), bed->hold_mem, HOLD_BYTES, 1);
    lt_origins_mock(bed->origins, on_fetch, NULL);
    lt_redis_mock(bed->redis, on_redis, NULL);
    bed->view = (struct lt_view){.listeners = &bed->listener,
                                 .n_listeners = 1,
                                 .spool = {.memory = BLOCKS_MAX},
                                 .response_ahead = BLOCKS_MAX,
                                 .request_ahead = BLOCKS_MAX,
                                 .upstreams = bed->upstreams,
                                 .n_upstreams = 1,
                                 .on_unpinned = on_unpinned};
    bed->upstreams[0].name = LT_STR("app");
    bed->env = (struct lt_exchange_env){
        .loop = bed->loop,
        .view = &bed->view,
        .hooks = &lt_filter_hooks,
        .metrics = lt_metrics_for_worker(bed->metrics, 0),
    };
    lt_slab_init(&bed->env.exchanges_slab, sizeof(struct lt_exchange), 4);
    lt_list_init(&bed->env.exchanges);
    lt_spool_env_init(&bed->env.spools, &bed->loop->blocks, NULL, NULL);
    bed->env.heads.max = SIZE_MAX;
    bed->bodies = &bed->own;
    bed->route = (struct lt_route){.name = LT_STR("/*"), .site = LT_STR("test")};
    lt_test_bed_reset(bed);
    return bed;
}

static void unload(struct lt_test_bed *bed)
{
    lt_test_bed_end(bed);
    lt_list_each(it, tmp, &bed->env.exchanges) /* of a test that failed in their midst */
    {
        bed->x = lt_container_of(it, struct lt_exchange, link);
        lt_test_bed_end(bed);
    }
    bed->bodies = &bed->own;
    lt_filters_free(bed->filters);
    bed->filters = NULL;
    bed->view.filters = NULL;
    bed->route.chain = NULL;
    if (bed->loaded) {
        lt_arena_fini(&bed->arena);
        bed->loaded = false;
    }
}

void lt_test_bed_free(struct lt_test_bed *bed)
{
    if (bed == NULL) {
        return;
    }
    unload(bed);
    lt_budget_detach(&bed->budget);
    lt_spool_env_fini(&bed->env.spools);
    if (bed->env.loop != NULL) {
        lt_slab_fini(&bed->env.exchanges_slab);
    }
    lt_origins_free(bed->origins);
    lt_redis_free(bed->redis);
    if (bed->loop != NULL) {
        lt_loop_free(bed->loop);
    }
    lt_metrics_free(bed->metrics);
    lt_value_table_fini(&bed->values);
    lt_limits_free(bed->limits);
    free(bed->hold_mem);
    free(bed->rate_mem);
    lt_free(bed);
}

void lt_test_bed_reset(struct lt_test_bed *bed)
{
    memset(bed->rate_mem, 0, RATE_BYTES);
    memset(bed->hold_mem, 0, HOLD_BYTES);
    lt_value_table_clear(&bed->values);
    bed->start_us = START_US;
    bed->start_wall_us = START_WALL_US;
    bed->loop->now_us = START_US;
    bed->loop->wall_us = START_WALL_US;
}

void lt_test_bed_begin_load(struct lt_test_bed *bed)
{
    unload(bed);
    lt_arena_init(&bed->arena, NULL, 0, LT_LOAD_ARENA_MAX);
    lt_diags_init(&bed->diags, &bed->arena);
    lt_load_init(&bed->load, &bed->arena, &bed->diags);
    bed->loaded = true;
}

/* The instances as the root of a configuration has them. */
static bool read_instances(struct lt_test_bed *bed, const struct lt_node *map,
                           struct lt_conf_map *out, struct lt_str **names)
{
    *names = lt_arena_array(&bed->arena, struct lt_str, map->n_pairs + 1);
    out->entries = lt_arena_array(&bed->arena, struct lt_conf_entry, map->n_pairs + 1);
    if (*names == NULL || out->entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->n_pairs; i++) {
        struct lt_filter_conf *conf = lt_arena_new(&bed->arena, struct lt_filter_conf);
        if (conf == NULL) {
            return false;
        }
        lt_schema_read(&bed->load, &lt_filter_schema, map->pairs[i].value, 0, conf);
        lt_schema_finish(&bed->load, conf);
        (*names)[i] = map->pairs[i].key->text;
        out->entries[out->n++] = (struct lt_conf_entry){
            .key = map->pairs[i].key->text, .key_node = map->pairs[i].key, .value = conf};
    }
    return true;
}

bool lt_test_bed_load(struct lt_test_bed *bed, const struct lt_node *instances, char *why,
                      size_t why_size)
{
    struct lt_conf_map *map = &bed->map;
    struct lt_str *names;
    size_t bad;
    why[0] = '\0';
    *map = (struct lt_conf_map){.n = 0};
    if (!read_instances(bed, instances, map, &names)) {
        return false;
    }
    bed->program = lt_filter_program_new(&bed->load, map, false);
    if (bed->program == NULL || !lt_load_ok(&bed->load) ||
        lt_filter_chain_new(&bed->arena, bed->program, names, map->n, &bed->route.chain, &bad) !=
            LT_OK) {
        return false;
    }
    const struct lt_filters_spec spec = {
        .program = bed->program,
        .budget = &bed->budget,
        .rate = &bed->rate,
        .limits = bed->limits,
        .values = &bed->values,
        .loop = bed->loop,
        .metrics = bed->env.metrics,
        .origins = bed->origins,
        .redis = bed->redis,
        .wake = on_wake,
        .fail = on_fail,
        .failed = bed->filter_failed,
        .open_more = bed->open_more,
    };
    bed->filters = lt_filters_new(&spec, why, why_size);
    bed->view.filters = bed->filters;
    return bed->filters != NULL;
}

/* One reference is the arena's: the exchange never frees it. */
static bool fill_tls(struct lt_exchange *x, const struct lt_test_request *r)
{
    struct lt_tls_info *tls = r->tls ? lt_arena_new(&x->arena, struct lt_tls_info) : NULL;
    if (tls != NULL) {
        *tls = r->cert;
        tls->refs = 1;
        tls->version = "TLSv1.3";
        x->tls = lt_tls_info_ref(tls);
    }
    return tls != NULL || !r->tls;
}

static bool fill_request(struct lt_exchange *x, const struct lt_test_request *r)
{
    size_t query = lt_str_chr(r->target, '?', 0);
    x->req.method = lt_method_find(r->method);
    x->req.target = x->req_target = r->target;
    x->req.query =
        query == SIZE_MAX ? LT_STR_NONE : lt_str_sub(r->target, query + 1, r->target.len);
    x->req.authority = x->req.host = r->host;
    x->req.version = 11;
    x->req.keep_alive = true;
    lt_headers_init(&x->req.headers, &x->arena, HEADERS_MAX);
    x->client.ip = r->client_ip;
    x->client.scheme = r->tls ? LT_STR("https") : LT_STR("http");
    x->ids.request_id = LT_STR("00000000000000000000000000000001");
    x->ids.trace_id = LT_STR("00000000000000000000000000000002");
    x->request_done = true;
    return x->req.method != LT_METHOD_UNKNOWN && r->target.len > 0 && r->target.p[0] == '/' &&
           lt_path_normalise(&x->arena, lt_str_sub(r->target, 0, query), LT_PATH_SLASHES,
                             &x->req.path) == LT_OK &&
           lt_addr_parse_ip(r->client_ip, &x->client.peer) == LT_OK;
}

struct lt_exchange *lt_test_bed_begin(struct lt_test_bed *bed,
                                      const struct lt_test_request *request)
{
    struct lt_exchange *x = lt_exchange_new(&bed->env, NULL, 0);
    if (x == NULL) {
        return NULL;
    }
    bed->x = x;
    bed->slept_us = 0;
    bed->failed = false;
    bed->gone = bed->busy = false;
    bed->leaves_us = 0;
    for (int side = 0; side < 2; side++) {
        bed->bodies->n_pieces[side] = bed->bodies->n_left[side] = 0;
        bed->bodies->leave_after[side] = 0;
    }
    x->route = &bed->route;
    if (!fill_tls(x, request) || !fill_request(x, request)) {
        lt_test_bed_end(bed);
        return NULL;
    }
    return x;
}

static enum lt_step_result call_hook(struct lt_test_bed *bed, enum lt_filter_hook hook)
{
    switch (hook) {
    case LT_FILTER_REQUEST:
        return lt_filter_hooks.request(bed->x);
    case LT_FILTER_UPSTREAM:
        if (bed->x->upstream == NULL) {
            bed->x->upstream = &bed->upstreams[0];
        }
        return lt_filter_hooks.upstream(bed->x);
    case LT_FILTER_RESPONSE:
        return lt_filter_hooks.response(bed->x);
    case LT_FILTER_LOG:
        return lt_filter_hooks.log(bed->x);
    case LT_FILTER_REQUEST_BODY:
    case LT_FILTER_RESPONSE_BODY:
    case LT_FILTER_HOOKS:
        break;
    }
    return LT_STEP_NEXT;
}

enum lt_step_result lt_test_bed_step(struct lt_test_bed *bed, enum lt_filter_hook hook)
{
    bed->filters->spec.busy = bed->busy;
    enum lt_step_result result = call_hook(bed, hook);
    bed->x->hooks_waiting = result == LT_STEP_WAIT;
    return result;
}

/* The end of a turn in which no time passes: deferred calls are made, exchanges freed. */
static void turn(struct lt_loop *loop)
{
    lt_loop_end_turn(loop); /* tasks go on at our time */
}

void lt_test_bed_turn(struct lt_test_bed *bed)
{
    turn(bed->loop);
}

static struct lt_timer *next_timer(const struct lt_test_bed *bed)
{
    struct lt_timer *first = NULL;
    lt_list_each(it, tmp, &bed->filters->parked)
    {
        struct lt_timer *timer = &lt_container_of(it, struct lt_parked, link)->timer;
        if (timer->deadline_us != 0 && (first == NULL || timer->deadline_us < first->deadline_us)) {
            first = timer;
        }
    }
    return first;
}

uint64_t lt_test_bed_next_us(const struct lt_test_bed *bed)
{
    const struct lt_timer *timer = next_timer(bed);
    return timer != NULL ? lt_max(timer->deadline_us, bed->loop->now_us) : UINT64_MAX;
}

void lt_test_bed_wait_until(struct lt_test_bed *bed, uint64_t us)
{
    struct lt_loop *loop = bed->loop;
    uint64_t until = lt_max(us, loop->now_us);
    bed->slept_us += until - loop->now_us;
    loop->wall_us += until - loop->now_us;
    loop->now_us = until;
}

void lt_test_bed_go_on(struct lt_test_bed *bed)
{
    struct lt_timer *timer = next_timer(bed);
    lt_test_bed_wait_until(bed, timer->deadline_us);
    lt_timer_clear(timer);
    timer->fn(timer->arg);
}

/* Moves the clock to when the first task that waits goes on. False: none does. */
static bool move_clock(struct lt_test_bed *bed)
{
    if (next_timer(bed) == NULL) {
        return false;
    }
    lt_test_bed_go_on(bed);
    return true;
}

size_t lt_test_bed_memory(const struct lt_test_bed *bed)
{
    size_t sum = 0;
    const struct lt_filter_edition *e = bed->filters != NULL ? bed->filters->edition : NULL;
    for (unsigned i = 0; e != NULL && i < e->n_vms; i++) {
        sum += e->vms[i]->vm->peak;
    }
    return sum;
}

enum lt_step_result lt_test_bed_run(struct lt_test_bed *bed, enum lt_filter_hook hook)
{
    bed->woken = false;
    enum lt_step_result result = lt_test_bed_step(bed, hook);
    while (result == LT_STEP_WAIT) {
        turn(bed->loop);
        if (!bed->woken && !move_clock(bed)) {
            break; /* nothing would ever wake it */
        }
        if (bed->woken) {
            bed->woken = false;
            result = lt_test_bed_step(bed, hook);
        }
    }
    return result;
}

const struct lt_every *lt_test_bed_every(struct lt_test_bed *bed, struct lt_str period)
{
    bed->slept_us = 0;
    const struct lt_filter_vm *fvm = bed->filters->units[0]->fvm;
    for (unsigned i = 0; i < fvm->n_every; i++) {
        struct lt_every *e = &fvm->every[i];
        if (e->unit == bed->filters->units[0] && lt_str_eq(e->period->text, period)) {
            lt_every_run(e);
            while (e->job != NULL) {
                turn(bed->loop);
                if (e->job != NULL && !move_clock(bed)) {
                    break; /* nothing would ever wake it */
                }
            }
            return e;
        }
    }
    return NULL;
}

/* Bytes that have left the filters. */
static size_t flown(const struct lt_exchange *x, enum lt_side side)
{
    const struct lt_flow *flow = x->flow[side];
    if (side == LT_SIDE_RESPONSE) {
        return x->held.len;
    }
    return (size_t)lt_spool_len(&x->spool) + (flow != NULL ? flow->out.len : 0);
}

/* Until all tasks wait for what doesn't come by itself; false: the exchange has ended. */
static bool run_flow(struct lt_test_bed *bed, enum lt_side side)
{
    struct lt_test_bodies *b = bed->bodies;
    size_t before = flown(bed->x, side);
    lt_flow_moved(bed->x, side);
    do {
        turn(bed->loop);
        uint64_t next = lt_test_bed_next_us(bed);
        bed->gone =
            !bed->failed && bed->leaves_us != 0 && next != UINT64_MAX && bed->leaves_us < next;
        if (bed->gone) {
            lt_test_bed_wait_until(bed, bed->leaves_us);
        }
    } while (!bed->failed && !bed->gone && move_clock(bed));
    if (!bed->failed && flown(bed->x, side) > before && b->n_left[side] < LT_TEST_PIECES_MAX) {
        b->left[side][b->n_left[side]++] = flown(bed->x, side) - before;
    }
    return !bed->failed && !bed->gone;
}

/* Gives the filters a piece of so many bytes of rest. False: there is no memory. */
static bool give_piece(struct lt_flow *flow, struct lt_chain *rest, size_t size)
{
    struct iovec iov;
    size_t left = lt_min(size, rest->len);
    while (left > 0 && lt_chain_peek(rest, &iov, 1) > 0) {
        size_t part = lt_min(left, iov.iov_len);
        if (!lt_flow_add(flow, iov.iov_base, part)) {
            return false;
        }
        lt_chain_consume(rest, part);
        left -= part;
    }
    return true;
}

enum lt_step_result lt_test_bed_flow(struct lt_test_bed *bed, enum lt_side side)
{
    const struct lt_test_bodies *b = bed->bodies;
    unsigned n = b->n_pieces[side];
    struct lt_exchange *x = bed->x;
    enum lt_step_result result =
        side == LT_SIDE_REQUEST ? lt_flow_begin_request(x) : lt_flow_begin_response(x);
    struct lt_flow *flow = x->flow[side];
    struct lt_chain rest;
    if (result != LT_STEP_NEXT || flow == NULL) {
        bed->gone = result == LT_STEP_NEXT && b->leave_after[side] > 0;
        return bed->gone ? LT_STEP_FAIL : result;
    }
    lt_chain_init(&rest, flow->in.pool);
    lt_chain_move(&rest, &flow->in);
    flow->in_ended = false;
    bool lives = run_flow(bed, side);
    for (unsigned i = 0; lives && (i < n || rest.len > 0); i++) {
        lives =
            give_piece(flow, &rest, i < n ? b->pieces[side][i] : rest.len) && run_flow(bed, side);
        bed->gone |= lives && i + 1 == b->leave_after[side];
        lives = lives && !bed->gone;
    }
    lt_chain_clear(&rest);
    if (lives) {
        flow->in_ended = true;
        lives = run_flow(bed, side);
    }
    return lives ? LT_STEP_NEXT : LT_STEP_FAIL;
}

void lt_test_bed_end(struct lt_test_bed *bed)
{
    struct lt_exchange *x = bed->x;
    if (x == NULL) {
        return;
    }
    bed->x = NULL;
    lt_filter_hooks.cancel(x);
    lt_exchange_front_gone(x, LT_CAUSE_NONE);
    turn(bed->loop);
}
