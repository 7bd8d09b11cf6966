/* SPDX-License-Identifier: Apache-2.0 */
/* What balancing asks of a request and gives back with its response: the key that is hashed, the
 * cookie that keeps a client at its server, how long the server took. The worker's thread. */
#include "exchange/internal.h"
#include "http/uri.h"
#include "upstream/hash_ring.h"
#include "upstream/latency.h"
#include "upstream/server_groups.h"

void lt_choose_ask(struct lt_exchange *x)
{
    const struct lt_balance_options *o = &x->upstream->balance;
    struct lt_pick *pick = &x->pick;
    char scratch[32];
    struct lt_str key;
    pick->upstream = x->upstream;
    if (pick->asked) {
        return;
    }
    pick->asked = true;
    pick->sticky = LT_STR_NONE;
    pick->hashed = pick->keyed;
    if (!pick->keyed && o->hash != NULL &&
        lt_expr_text(o->hash, lt_exchange_expr_get, x, scratch, &key)) {
        pick->hashed = true;
        pick->hash = lt_hash_ring_key(key);
    }
    if (o->sticky.enabled && !lt_cookie_get(lt_headers_value(&x->req.headers, LT_HEADER_COOKIE),
                                            o->sticky.name, &pick->sticky)) {
        pick->sticky = LT_STR_NONE;
    }
}

void lt_choose_tell(struct lt_exchange *x, bool ok)
{
    lt_latency_tell(x->env->pools, x->server, x->env->loop->now_us - x->try_us, ok);
}

enum lt_err lt_choose_answer(struct lt_exchange *x)
{
    const struct lt_sticky_options *o = &x->upstream->balance.sticky;
    struct lt_str value;
    if (!o->enabled || !x->pick.strange) {
        return LT_OK;
    }
    const struct lt_server_groups *groups = x->server->set->groups;
    bool https = lt_str_eq_c(x->client.scheme, "https");
    if (!lt_sticky_cookie(&x->arena, o, lt_sticky_token(groups->sticky, x->server->index), https,
                          &value)) {
        return LT_ERR_NOMEM;
    }
    return lt_headers_add_id(&x->res.headers, LT_HEADER_SET_COOKIE, value);
}
