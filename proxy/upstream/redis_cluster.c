/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster of Redis: which server has which slot, and what to do when that has changed.
 *
 *   send -> slot -> node            no map yet: waiting, until somebody has said it
 *   MOVED                           the slot is elsewhere: there, and all are asked for anew
 *   ASK                             this once there, behind ASKING
 *   TRYAGAIN, CLUSTERDOWN ...       later
 *
 * A worker's thread. */
#include "upstream/redis_impl.h"

#include "base/mem.h"

#define NODES_MAX 128u       /* of one cluster */
#define REDIRECTED_MAX 5u    /* of one command */
#define LATER_MS 50u         /* until it is tried once more */
#define TRIED_MAX 10u        /* of one command */
#define ASK_MS UINT64_C(500) /* between two questions for the map, at least */

/* ---- servers ---- */

static struct lt_redis_node *node_at(struct lt_redis_service *s, struct lt_str host, unsigned port)
{
    char space[LT_DNS_NAME_MAX + 1];
    struct lt_redis_place place;
    if (!lt_redis_place_read(host, port, space, &place)) {
        return NULL;
    }
    lt_list_each(it, tmp, &s->nodes)
    {
        struct lt_redis_node *node = lt_container_of(it, struct lt_redis_node, link);
        if (node->place.port == port && lt_str_eq(node->place.host, place.host)) {
            return node;
        }
    }
    return s->n_nodes < NODES_MAX ? lt_redis_node_new(s, &place, LT_REDIS_SERVER) : NULL;
}

/* Any that is not down, else any. */
static struct lt_redis_node *any_node(struct lt_redis_service *s)
{
    lt_list_each(it, tmp, &s->nodes)
    {
        struct lt_redis_node *node = lt_container_of(it, struct lt_redis_node, link);
        if (!node->down) {
            return node;
        }
    }
    return lt_container_of(s->nodes.next, struct lt_redis_node, link);
}

/* ---- the map ---- */

static void skip_value(struct lt_str records, size_t *at)
{
    for (int64_t left = 1; left > 0; left--) {
        struct lt_redis_value v = lt_redis_value_next(records, at);
        left += v.type == LT_REDIS_LIST ? v.integer : 0;
    }
}

/* A range: [from, to, [host, port, ...], replicas ...]. */
static bool take_range(struct lt_redis_service *s, const struct lt_redis_node *from,
                       struct lt_str records, size_t *at)
{
    struct lt_redis_value range = lt_redis_value_next(records, at);
    if (range.type != LT_REDIS_LIST || range.integer < 3) {
        return false;
    }
    struct lt_redis_value first = lt_redis_value_next(records, at);
    struct lt_redis_value last = lt_redis_value_next(records, at);
    size_t master = *at;
    struct lt_redis_value server = lt_redis_value_next(records, at);
    if (first.type != LT_REDIS_INTEGER || last.type != LT_REDIS_INTEGER || first.integer < 0 ||
        last.integer >= LT_REDIS_SLOTS || server.type != LT_REDIS_LIST || server.integer < 2) {
        return false;
    }
    struct lt_redis_value host = lt_redis_value_next(records, at);
    struct lt_redis_value port = lt_redis_value_next(records, at);
    if (port.type != LT_REDIS_INTEGER || port.integer <= 0 || port.integer > 65535) {
        return false;
    }
    /* A server that doesn't know its own address means the one by which it was asked. */
    struct lt_redis_node *node =
        node_at(s, host.text.len > 0 ? host.text : from->place.host, (unsigned)port.integer);
    if (node == NULL) {
        return false;
    }
    node->marked = true;
    for (int64_t slot = first.integer; slot <= last.integer; slot++) {
        s->slots[slot] = node;
    }
    *at = master;
    for (int64_t i = 2; i < range.integer; i++) {
        skip_value(records, at);
    }
    return true;
}

/* Servers that are in no map any more and aren't used go, but for those of the URL. */
static void prune(struct lt_redis_service *s)
{
    lt_list_each(it, tmp, &s->nodes)
    {
        struct lt_redis_node *node = lt_container_of(it, struct lt_redis_node, link);
        if (!node->marked && !node->seed && node != s->query.node && node->n_conns == 0 &&
            lt_list_empty(&node->waiting)) {
            lt_redis_node_free(node);
        } else {
            node->marked = false;
        }
    }
}

const char *lt_redis_cluster_take(struct lt_redis_service *s, const struct lt_redis_node *from,
                                  struct lt_str records)
{
    size_t at = 0;
    struct lt_redis_value list = lt_redis_value_next(records, &at);
    if (s->slots == NULL) {
        s->slots = lt_calloc(LT_REDIS_SLOTS, sizeof(struct lt_redis_node *));
    }
    if (s->slots == NULL) {
        return "no memory for the slots";
    }
    memset(s->slots, 0, LT_REDIS_SLOTS * sizeof(struct lt_redis_node *));
    s->mapped = list.type == LT_REDIS_LIST && list.integer > 0;
    for (int64_t i = 0; s->mapped && i < list.integer; i++) {
        s->mapped = take_range(s, from, records, &at);
    }
    if (!s->mapped) {
        memset(s->slots, 0, LT_REDIS_SLOTS * sizeof(struct lt_redis_node *));
    }
    prune(s);
    return s->mapped ? NULL : "what it says about the slots is malformed, empty or too much";
}

void lt_redis_cluster_found(struct lt_redis_service *s)
{
    struct lt_list *link;
    while (s->mapped && (link = lt_list_pop_front(&s->waiting)) != NULL) {
        lt_redis_cluster_send(lt_container_of(link, struct lt_redis_command, link));
    }
}

void lt_redis_cluster_lost(struct lt_redis_service *s)
{
    struct lt_list *link;
    while ((link = s->waiting.next) != &s->waiting) {
        struct lt_redis_command *command = lt_container_of(link, struct lt_redis_command, link);
        lt_redis_call_fail(command->call, LT_REDIS_UNREACHABLE, lt_str_c(s->why));
    }
}

void lt_redis_cluster_renew(struct lt_redis_service *s)
{
    if (s->redis->loop->now_us >= s->asked_us + ASK_MS * 1000) {
        lt_redis_ask(s);
    }
}

/* ---- sending ---- */

void lt_redis_cluster_send(struct lt_redis_command *command)
{
    struct lt_redis_service *s = command->call->service;
    if (!s->mapped) {
        lt_list_push_back(&s->waiting, &command->link);
        lt_redis_ask(s);
        return;
    }
    unsigned slot = lt_redis_command_slot(command->text);
    struct lt_redis_node *node = slot < LT_REDIS_SLOTS ? s->slots[slot] : NULL;
    if (node == NULL) {
        node = any_node(s);
    }
    if (node->down) {
        lt_redis_cluster_renew(s);
    }
    lt_redis_node_send(node, command);
}

static void on_later(void *arg)
{
    struct lt_redis_service *s = arg;
    struct lt_list *link;
    struct lt_list due;
    lt_list_init(&due);
    while ((link = lt_list_pop_front(&s->later)) != NULL) {
        lt_list_push_back(&due, link);
    }
    while ((link = lt_list_pop_front(&due)) != NULL) {
        lt_redis_send(lt_container_of(link, struct lt_redis_command, link));
    }
}

/* Sends it once more in a moment; false: that was done often enough. */
static bool send_later(struct lt_redis_service *s, struct lt_redis_command *command)
{
    if (command->tried >= TRIED_MAX) {
        return false;
    }
    command->tried++;
    if (lt_list_empty(&s->later)) {
        lt_timer_set(&s->later_timer, LATER_MS);
    }
    lt_list_push_back(&s->later, &command->link);
    return true;
}

/* "12182 10.0.0.1:6381" behind MOVED or ASK; without a host the one that says so. */
static struct lt_redis_node *target(struct lt_redis_service *s, const struct lt_redis_node *from,
                                    struct lt_str text, uint64_t *slot)
{
    uint64_t port;
    size_t space = lt_str_chr(text, ' ', 0), colon = lt_str_rchr(text, ':');
    if (space == SIZE_MAX || colon == SIZE_MAX || colon < space ||
        !lt_str_to_u64(lt_str_sub(text, 0, space), slot) || *slot >= LT_REDIS_SLOTS ||
        !lt_str_to_u64(lt_str_sub(text, colon + 1, text.len), &port) || port > 65535) {
        return NULL;
    }
    struct lt_str host = lt_str_sub(text, space + 1, colon);
    return node_at(s, host.len > 0 ? host : from->place.host, (unsigned)port);
}

/* MOVED or ASK; false: it can't be followed, and is the reply. */
static bool redirect(struct lt_redis_command *command, const struct lt_redis_node *from,
                     struct lt_str text, bool ask)
{
    struct lt_redis_service *s = command->call->service;
    uint64_t slot;
    struct lt_redis_node *node =
        command->redirected < REDIRECTED_MAX
            ? target(s, from, lt_str_sub(text, ask ? 4 : 6, text.len), &slot)
            : NULL;
    if (node == NULL) {
        return false;
    }
    command->redirected++;
    command->asking = ask;
    if (!ask && s->mapped) {
        s->slots[slot] = node;
    }
    lt_redis_node_send(node, command);
    if (!ask) {
        lt_redis_cluster_renew(s);
    }
    return true;
}

bool lt_redis_again(struct lt_redis_command *command, struct lt_redis_node *from,
                    struct lt_str records)
{
    static const struct lt_str later[] = {LT_STR_INIT("TRYAGAIN "), LT_STR_INIT("CLUSTERDOWN "),
                                          LT_STR_INIT("MASTERDOWN "), LT_STR_INIT("LOADING "),
                                          LT_STR_INIT("READONLY ")};
    struct lt_redis_service *s = command->call->service;
    struct lt_str text;
    if (s->url.kind == LT_REDIS_SINGLE || command->call->node != NULL ||
        !lt_redis_is_error(records, &text)) {
        return false;
    }
    if (s->url.kind == LT_REDIS_CLUSTER && lt_str_starts(text, LT_STR("MOVED "))) {
        return redirect(command, from, text, false);
    }
    if (s->url.kind == LT_REDIS_CLUSTER && lt_str_starts(text, LT_STR("ASK "))) {
        return redirect(command, from, text, true);
    }
    for (size_t i = 0; i < lt_countof(later); i++) {
        if (lt_str_starts(text, later[i])) {
            if (s->url.kind == LT_REDIS_SENTINEL) {
                lt_redis_node_renew(from); /* it is the master no more */
            } else if (i > 0) {
                lt_redis_cluster_renew(s);
            }
            return send_later(s, command);
        }
    }
    return false;
}

void lt_redis_cluster_init(struct lt_redis_service *s)
{
    lt_list_init(&s->waiting);
    lt_list_init(&s->later);
    lt_timer_init(&s->later_timer, s->redis->loop, on_later, s);
}

void lt_redis_cluster_fini(struct lt_redis_service *s)
{
    lt_timer_fini(&s->later_timer);
    lt_free(s->slots);
}
