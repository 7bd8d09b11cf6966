/* SPDX-License-Identifier: Apache-2.0 */
/* What a reload makes of the upstream that an exchange asks for a server of. An exchange goes by
 * the configuration that it began with, but for this: it has no server yet, its old ones may be
 * gone, and it stands in one line with requests of the new configuration, which it would hold up if
 * it waited for others than they. So each pick goes by the upstream of that name in the present
 * view, and who waits while a view is taken up follows at once. An upstream that is gone stays what
 * it was: nobody new asks for it. docs/decisions/023-the-queue.md. The worker's thread. */
#include "base/obj.h"
#include "exchange/internal.h"

/* The upstream of that name, as view has it; NULL: it has none. */
static struct lt_upstream *find(const struct lt_view *view, const struct lt_upstream_state *state)
{
    for (unsigned i = 0; i < view->n_upstreams; i++) {
        if (view->upstreams[i].state == state) {
            return &view->upstreams[i];
        }
    }
    return NULL;
}

void lt_follow(struct lt_exchange *x)
{
    struct lt_view *view = x->env->view;
    if (LT_LIKELY(view == (x->upstream_view != NULL ? x->upstream_view : x->view))) {
        return;
    }
    struct lt_upstream *upstream = find(view, x->upstream->state);
    if (upstream == NULL) {
        return;
    }
    if (x->upstream_view != NULL) {
        lt_exchange_take_server(x, NULL); /* one that failed it, of the view that goes */
        lt_follow_end(x);
    }
    x->upstream_view = lt_view_pin(view);
    x->upstream = upstream;
    x->pick.asked = false;
    lt_choose_ask(x);
}

void lt_follow_end(struct lt_exchange *x)
{
    if (x->upstream_view != NULL) {
        lt_view_unpin(x->upstream_view);
        x->upstream_view = NULL;
    }
}

void lt_waits_reload(struct lt_exchange_env *env)
{
    lt_list_each(it, tmp, &env->exchanges)
    {
        struct lt_exchange *x = lt_container_of(it, struct lt_exchange, link);
        LT_OBJ_CHECK(x, LT_EXCHANGE_MAGIC);
        if (x->waiter.queue != NULL) {
            lt_follow(x);
        }
    }
    lt_queues_look(env->pools);
}
