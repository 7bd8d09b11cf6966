/* SPDX-License-Identifier: Apache-2.0 */
/* Loader thread. */
#include "filters/filter_tls.h"

#include "config/load.h"

static bool names(struct lt_str text)
{
    return lt_str_find(text, LT_STR("lintel.http")) != SIZE_MAX ||
           lt_str_find(text, LT_STR("lintel.redis")) != SIZE_MAX ||
           lt_str_find(text, LT_STR("lintel.jwks")) != SIZE_MAX;
}

bool lt_filter_asks(const struct lt_filter_file *file)
{
    bool found = names(file->text);
    for (const struct lt_filter_module *m = file->modules; m != NULL && !found; m = m->next) {
        found = names(m->text);
    }
    return found;
}

static void forget(void *policy)
{
    lt_tls_client_policy_free(policy);
}

struct lt_tls_client_policy *lt_filter_tls_load(struct lt_schema_load *load,
                                                const struct lt_filter_file *file,
                                                const struct lt_filter_conf *conf,
                                                struct lt_tls_trust_cache *cache)
{
    bool written = lt_schema_is_set(conf, offsetof(struct lt_filter_conf, tls));
    if (!written && (!file->asks || lt_tls_trust_system(load->files).len == 0)) {
        return NULL;
    }
    struct lt_tls_client_policy *policy =
        lt_tls_client_conf_load(load, &conf->tls, LT_STR_NONE, LT_TLS_OFFER_H1, cache);
    if (policy != NULL && !lt_arena_on_fini(load->arena, forget, policy)) {
        load->nomem = true;
        forget(policy);
        return NULL;
    }
    return policy;
}
