/* SPDX-License-Identifier: Apache-2.0 */
/* Names that workers ask for are looked up once for each question: workers keep the answers. */
#include "server/lookups.h"

#include "base/log.h"
#include "base/mem.h"
#include "server/gateway.h"

struct lt_lookups {
    struct lt_gateway *gateway;
    struct lt_names_options options;
    struct lt_resolver *resolver; /* NULL: nobody has asked yet */
    struct lt_list asked;         /* struct lt_address_question */
};

struct lt_lookups *lt_lookups_new(struct lt_gateway *gateway)
{
    struct lt_lookups *lookups = lt_calloc(1, sizeof(*lookups));
    if (lookups != NULL) {
        lookups->gateway = gateway;
        lt_list_init(&lookups->asked);
    }
    return lookups;
}

void lt_lookups_free(struct lt_lookups *lookups)
{
    if (lookups == NULL) {
        return;
    }
    lt_list_each(it, tmp, &lookups->asked)
    {
        struct lt_address_question *q = lt_container_of(it, struct lt_address_question, link);
        lt_lookup_cancel(&q->lookup);
        lt_free(q);
    }
    lt_resolver_free(lookups->resolver);
    lt_free(lookups);
}

/* ---- Answering. ---- */

static void on_answer(struct lt_message *message, void *owner LT_UNUSED)
{
    lt_addresses_answer(lt_container_of(message, struct lt_address_question, message));
}

static void answer(struct lt_address_question *q)
{
    const struct lt_worker *worker = q->asker;
    q->message.fn = on_answer;
    lt_mailbox_post(worker->box, &q->message);
}

static void on_lookup(void *owner, struct lt_lookup_part parts[LT_LOOKUP_PARTS])
{
    struct lt_address_question *q = owner;
    const struct lt_worker *worker = q->asker;
    const struct lt_names_options *o = &worker->shared->lookups->options;
    uint64_t ttl_s = UINT32_MAX;
    for (int i = 0; i < LT_LOOKUP_PARTS; i++) {
        for (unsigned j = 0; j < parts[i].records.n && q->n < LT_ADDRESSES_MAX; j++) {
            q->v[q->n++] = parts[i].records.v[j].addr;
        }
        if (parts[i].status == LT_LOOKUP_OK) {
            ttl_s = lt_min(ttl_s, (uint64_t)parts[i].records.ttl_s);
        } else if (q->why == NULL || parts[i].status == LT_LOOKUP_FAILED) {
            q->why = parts[i].why;
        }
    }
    q->ttl_ms = q->n > 0 ? lt_min(lt_max(ttl_s * 1000, o->ttl_min_ms), o->ttl_max_ms) : o->retry_ms;
    if (q->n == 0) {
        /* The filter is told; names may be chosen by clients, who must not fill the log. */
        lt_log_debug("resolver", "dns_failed", LT_KV_CSTR("dns_name", q->name),
                     LT_KV_CSTR("why", q->why), LT_KV_CSTR("for", "filters"));
    }
    lt_list_remove(&q->link);
    answer(q);
}

/* ---- Asking. ---- */

/* Looks up by the options as they are now. When they have changed, what is on its way begins anew.
 */
static bool set_options(struct lt_lookups *lookups)
{
    struct lt_gateway *g = lookups->gateway;
    /* A worker may serve a configuration before main has taken note of it. */
    const struct lt_snapshot *s = g->current != NULL ? g->current : g->reload.next;
    if (s == NULL) {
        return lookups->resolver != NULL;
    }
    lt_resolver_conf_options(&s->root->conf->resolver, &lookups->options);
    if (lookups->resolver != NULL &&
        lt_resolver_obeys(lookups->resolver, &lookups->options.resolver)) {
        return true;
    }
    struct lt_resolver *resolver = lt_resolver_new(g->loop, &lookups->options.resolver);
    if (resolver == NULL) {
        return false;
    }
    lt_list_each(it, tmp, &lookups->asked)
    {
        struct lt_address_question *q = lt_container_of(it, struct lt_address_question, link);
        lt_lookup_cancel(&q->lookup);
        lt_lookup_start(&q->lookup, resolver, LT_LOOKUP_HOST, lt_str_c(q->name), on_lookup, q);
    }
    lt_resolver_free(lookups->resolver);
    lookups->resolver = resolver;
    return true;
}

static void on_question(struct lt_message *message, void *owner)
{
    struct lt_gateway *g = owner;
    struct lt_address_question *q = lt_container_of(message, struct lt_address_question, message);
    struct lt_lookups *lookups = g->shared.lookups;
    if (g->n_workers == 0) {
        lt_free(q); /* the end: nobody waits any more */
        return;
    }
    if (!set_options(lookups)) {
        q->why = "the resolver can't be set up";
        q->ttl_ms = 1000;
        answer(q);
        return;
    }
    lt_list_push_back(&lookups->asked, &q->link);
    lt_lookup_start(&q->lookup, lookups->resolver, LT_LOOKUP_HOST, lt_str_c(q->name), on_lookup, q);
}

void lt_lookups_ask(struct lt_address_question *q)
{
    const struct lt_worker *worker = q->asker;
    q->message.fn = on_question;
    lt_mailbox_post(worker->shared->main, &q->message);
}
