/* SPDX-License-Identifier: Apache-2.0 */
/* Asking around where things are: sentinels for the master, servers of a cluster for its slots.
 * One after another is asked until one knows; who knew is asked first the next time. A worker's
 * thread. */
#include "upstream/redis_impl.h"

#include <stdio.h>

#include "base/mem.h"

#define TIMEOUT_MIN_MS 50u

static void ask_next(struct lt_redis_service *s);

bool lt_redis_is_error(struct lt_str records, struct lt_str *text)
{
    size_t at = 0;
    struct lt_redis_value v = lt_redis_value_next(records, &at);
    *text = v.text;
    return v.type == LT_REDIS_ERROR_TEXT;
}

/* ---- sentinels ---- */

/* The answer: host and port of the master, or nil. NULL: fine; else what is wrong with it. */
static const char *take_master(struct lt_redis_service *s, struct lt_str records)
{
    char space[LT_DNS_NAME_MAX + 1];
    struct lt_redis_place place;
    size_t at = 0;
    uint64_t port;
    struct lt_redis_value v = lt_redis_value_next(records, &at);
    if (v.type == LT_REDIS_NIL) {
        return "it knows no master of this name";
    }
    if (v.type != LT_REDIS_LIST || v.integer != 2) {
        return "its answer about the master is malformed";
    }
    struct lt_redis_value host = lt_redis_value_next(records, &at);
    struct lt_redis_value number = lt_redis_value_next(records, &at);
    if (host.type != LT_REDIS_STRING || number.type != LT_REDIS_STRING ||
        !lt_str_to_u64(number.text, &port) ||
        !lt_redis_place_read(host.text, (unsigned)lt_min(port, UINT64_C(65536)), space, &place)) {
        return "its answer about the master is malformed";
    }
    lt_redis_node_move(s->main, &place);
    return NULL;
}

/* ---- asking ---- */

static void found(struct lt_redis_service *s)
{
    if (s->url.kind == LT_REDIS_CLUSTER) {
        lt_redis_cluster_found(s);
    } else if (s->main->opening != NULL) {
        lt_redis_node_dial(s->main);
    }
}

static void not_found(struct lt_redis_service *s)
{
    if (s->url.kind == LT_REDIS_CLUSTER) {
        lt_redis_cluster_lost(s);
    } else if (s->main->opening != NULL) {
        lt_redis_node_failed(s->main, lt_str_c(s->why));
    }
}

/* The end of a turn: the asked one has answered, or there is no answer. */
static void on_answer(void *owner)
{
    struct lt_redis_service *s = owner;
    struct lt_redis_node *node = s->query.node;
    struct lt_str detail = s->query.detail, text;
    const char *wrong = "";
    if (s->query.error == LT_REDIS_OK) {
        struct lt_str records = lt_redis_call_reply(&s->query, 0);
        if (lt_redis_is_error(records, &text)) {
            detail = text;
        } else {
            wrong = s->url.kind == LT_REDIS_CLUSTER ? lt_redis_cluster_take(s, node, records)
                                                    : take_master(s, records);
            detail = lt_str_c(wrong);
        }
    }
    if (wrong != NULL) {
        bool named = lt_str_find(detail, lt_str_c(node->name)) != SIZE_MAX;
        snprintf(s->why, sizeof(s->why), "%s%s%.*s", named ? "" : node->name, named ? "" : ": ",
                 LT_STR_ARG(lt_str_cut(detail, 200)));
    }
    lt_redis_call_fini(&s->query);
    s->asking = false;
    lt_list_remove(&node->link);
    if (wrong == NULL) {
        lt_list_push_front(&s->nodes, &node->link);
        found(s);
    } else {
        lt_list_push_back(&s->nodes, &node->link);
        ask_next(s);
    }
}

static void ask_next(struct lt_redis_service *s)
{
    struct lt_redis_node *node = NULL;
    while (node == NULL && s->to_ask > 0) {
        node = lt_container_of(s->nodes.next, struct lt_redis_node, link);
        s->to_ask--;
        if (node == s->main) {
            lt_list_remove(&node->link);
            lt_list_push_back(&s->nodes, &node->link);
            node = NULL;
        }
    }
    if (node == NULL) {
        not_found(s);
        return;
    }
    s->asking = true;
    lt_redis_call_init(&s->query, s->redis);
    s->query.node = node;
    s->query.text = s->question;
    s->query.n = 1;
    s->query.connect_ms = s->connect_ms;
    s->query.timeout_ms = lt_max(s->connect_ms / 3, (uint64_t)TIMEOUT_MIN_MS);
    lt_redis_call_start(&s->query, on_answer, s);
}

void lt_redis_ask(struct lt_redis_service *s)
{
    if (!s->asking) {
        s->asked_us = s->redis->loop->now_us;
        s->to_ask = s->n_nodes;
        ask_next(s);
    }
}

bool lt_redis_discover_init(struct lt_redis_service *s)
{
    const struct lt_redis_url *url = &s->url;
    struct lt_buf out;
    lt_buf_init_fixed(&out, s->question_space, sizeof(s->question_space));
    if (url->kind == LT_REDIS_CLUSTER) {
        lt_buf_str(&out, LT_STR("*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"));
    } else {
        lt_buf_printf(&out,
                      "*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$%zu\r\n%.*s\r\n",
                      url->master.len, LT_STR_ARG(url->master));
    }
    s->question = lt_buf_view(&out);
    return !out.truncated;
}

void lt_redis_discover_fini(struct lt_redis_service *s)
{
    if (s->asking) {
        lt_redis_call_fini(&s->query);
        s->asking = false;
    }
}
