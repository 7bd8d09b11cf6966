/* SPDX-License-Identifier: Apache-2.0 */
/* From what configuration, sources and operator say of an upstream to its servers. They are found
 * by hash: a service has thousands of addresses, which change several times a second. Main thread.
 */
#include "base/mem.h"
#include "server/server_sets_impl.h"
#include "upstream/server_set.h"

struct merge {
    struct lt_server_spec *v;
    bool *gone;               /* of those in v: removed by the operator */
    unsigned n, live;         /* entered, and not removed since */
    struct lt_map by_address; /* to struct lt_server_spec; the keys lie in v */
    bool cut;                 /* there were too many */
    bool nomem;
};

static struct lt_str key_of(const struct lt_addr *address)
{
    return lt_str((const char *)&address->sa, address->len);
}

/* The n-th spec was filled in. */
static void enter(struct merge *m)
{
    struct lt_server_spec *spec = &m->v[m->n];
    if (lt_map_set(&m->by_address, key_of(&spec->address), spec) != LT_OK) {
        m->nomem = true;
        return;
    }
    m->n++;
    m->live++;
}

static void add_entry(struct merge *m, const struct lt_server_entry *e, struct lt_str source)
{
    if (lt_map_get(&m->by_address, key_of(&e->address)) != NULL) {
        return;
    }
    if (m->live == LT_SETS_SERVERS_MAX) {
        m->cut = true;
        return;
    }
    m->v[m->n] = (struct lt_server_spec){.address = e->address,
                                         .max = e->max,
                                         .max_connections = e->max_connections,
                                         .weight = e->weight,
                                         .backup = e->backup,
                                         .host = e->host,
                                         .source = source};
    enter(m);
}

/* One that others name too is as they say, but for what the operator gave. */
static void add_by_operator(struct merge *m, const struct lt_server_entry *e)
{
    struct lt_server_spec *spec = lt_map_get(&m->by_address, key_of(&e->address));
    if (spec == NULL) {
        struct lt_server_entry entry = *e;
        entry.weight = lt_max(e->weight, 1u);
        add_entry(m, &entry, LT_STR(LT_SETS_OPERATOR));
        return;
    }
    spec->weight = e->weight > 0 ? e->weight : spec->weight;
    spec->max = e->max > 0 ? e->max : spec->max;
    spec->backup |= e->backup;
}

/* A change for an address that nobody names waits until somebody does. */
static void apply(struct merge *m, const struct lt_sets_change *change)
{
    if (change->added) {
        add_by_operator(m, &change->entry);
    }
    struct lt_server_spec *spec = lt_map_get(&m->by_address, key_of(&change->address));
    if (spec == NULL) {
        return;
    }
    if (change->removed) {
        lt_map_remove(&m->by_address, key_of(&change->address));
        m->gone[spec - m->v] = true;
        m->live--;
        return;
    }
    if (change->weight > 0) {
        spec->weight = change->weight;
    }
    spec->admin = change->admin;
}

/* All that was said, in order. */
static void say_all(struct merge *m, const struct lt_upstream_conf *conf,
                    const struct lt_sets_record *record, bool with_changes)
{
    unsigned own = lt_build_specs(conf, m->v);
    for (unsigned i = 0; i < own && !m->nomem; i++) {
        enter(m);
    }
    lt_list_each(it, tmp, &record->sources)
    {
        const struct lt_sets_source *source = lt_container_of(it, struct lt_sets_source, link);
        for (unsigned i = 0; i < source->n && !m->nomem; i++) {
            add_entry(m, &source->v[i], source->name);
        }
    }
    lt_list_each(it, tmp, &record->changes)
    {
        if (with_changes && !m->nomem) {
            apply(m, lt_container_of(it, struct lt_sets_change, link));
        }
    }
}

enum lt_err lt_sets_merge(const struct lt_upstream_conf *conf, const struct lt_sets_record *record,
                          struct lt_hash_seed seed, bool with_changes, struct lt_sets_merged *out)
{
    unsigned room = LT_SETS_SERVERS_MAX + record->n_changes; /* with those that were removed */
    struct merge m = {.v = lt_calloc(room, sizeof(*m.v)), .gone = lt_calloc(room, sizeof(*m.gone))};
    lt_map_init(&m.by_address, seed, room);
    m.nomem = m.v == NULL || m.gone == NULL;
    if (!m.nomem) {
        say_all(&m, conf, record, with_changes);
    }
    *out = (struct lt_sets_merged){.v = m.v, .cut = m.cut};
    for (unsigned i = 0; i < m.n; i++) {
        if (!m.gone[i]) {
            m.v[out->n++] = m.v[i];
        }
    }
    lt_map_fini(&m.by_address);
    lt_free(m.gone);
    if (m.nomem) {
        lt_free(m.v);
        return LT_ERR_NOMEM;
    }
    return LT_OK;
}
