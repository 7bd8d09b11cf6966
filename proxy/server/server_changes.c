/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator changes about servers while the gateway runs. Main thread. */
#include "base/log.h"
#include "base/mem.h"
#include "server/server_sets_impl.h"
#include "upstream/server_set.h"

/* How often servers that are to become empty are looked at. */
#define LOOK_MS 100u

struct lt_sets_change *lt_sets_change_of(const struct lt_sets_record *record,
                                         const struct lt_addr *address)
{
    lt_list_each(it, tmp, &record->changes)
    {
        struct lt_sets_change *change = lt_container_of(it, struct lt_sets_change, link);
        if (lt_addr_eq(&change->address, address)) {
            return change;
        }
    }
    return NULL;
}

struct lt_sets_change *lt_sets_new_change(struct lt_sets_record *record,
                                          const struct lt_addr *address)
{
    struct lt_sets_change *change =
        record->n_changes < LT_SETS_SERVERS_MAX ? lt_calloc(1, sizeof(*change)) : NULL;
    if (change != NULL) {
        change->address = *address;
        lt_list_push_back(&record->changes, &change->link);
        record->n_changes++;
    }
    return change;
}

static void free_change(struct lt_sets_record *record, struct lt_sets_change *change)
{
    lt_list_remove(&change->link);
    record->n_changes--;
    lt_free(change);
}

void lt_sets_free_changes(struct lt_sets_record *record)
{
    lt_list_each(it, tmp, &record->changes)
    {
        free_change(record, lt_container_of(it, struct lt_sets_change, link));
    }
}

/* What takes back all there was is no change. */
static void tidy(struct lt_sets_record *record, struct lt_sets_change *change)
{
    if (!change->added && !change->removed && change->weight == 0 &&
        change->admin == LT_SERVER_READY) {
        free_change(record, change);
    }
}

static const struct lt_server *find_server(const struct lt_upstream *u,
                                           const struct lt_addr *address)
{
    const struct lt_server_set *set = lt_upstream_set(u);
    for (unsigned i = 0; i < set->n; i++) {
        if (lt_addr_eq(&set->v[i].addr, address)) {
            return &set->v[i];
        }
    }
    return NULL;
}

/* The change of one address that is about to be made; NULL and *result when it can't be. */
static struct lt_sets_change *begin(struct lt_server_sets *sets, struct lt_str upstream,
                                    const struct lt_addr *address, bool exists,
                                    struct lt_sets_record **record,
                                    enum lt_server_sets_result *result)
{
    const struct lt_upstream *u = lt_server_sets_upstream(sets, upstream);
    if (u == NULL) {
        *result = LT_SETS_NO_UPSTREAM;
        return NULL;
    }
    if ((find_server(u, address) != NULL) != exists) {
        *result = exists ? LT_SETS_NO_SERVER : LT_SETS_EXISTS;
        return NULL;
    }
    *result = LT_SETS_NO_MEMORY;
    *record = lt_sets_record_of(sets, upstream);
    struct lt_sets_change *change = *record != NULL ? lt_sets_change_of(*record, address) : NULL;
    if (*record == NULL || change != NULL) {
        return change;
    }
    if ((*record)->n_changes >= LT_SETS_SERVERS_MAX) {
        *result = LT_SETS_LIMIT;
        return NULL;
    }
    return lt_sets_new_change(*record, address);
}

static enum lt_server_sets_result finish(struct lt_server_sets *sets, struct lt_sets_record *record,
                                         const char *event, const struct lt_addr *address,
                                         const char *state)
{
    char text[LT_ADDR_TEXT_MAX];
    lt_log_info("upstream", event, LT_KV_STR("upstream", record->name),
                LT_KV_STR("server", lt_str(text, lt_addr_print(address, text))),
                LT_KV_CSTR("state", state));
    lt_sets_remember(sets);
    switch (lt_sets_publish(sets, record)) {
    case LT_OK:
        return LT_SETS_OK;
    case LT_ERR_LIMIT:
        return LT_SETS_LIMIT;
    default:
        return LT_SETS_NO_MEMORY;
    }
}

enum lt_server_sets_result lt_server_sets_add(struct lt_server_sets *sets, struct lt_str upstream,
                                              const struct lt_server_entry *entry)
{
    struct lt_sets_record *record = NULL;
    enum lt_server_sets_result result;
    struct lt_sets_change *change = begin(sets, upstream, &entry->address, false, &record, &result);
    if (change == NULL) {
        return result;
    }
    change->removed = false;
    change->added = true;
    change->entry = *entry;
    change->entry.host = LT_STR_NONE;
    change->weight = 0;
    change->admin = LT_SERVER_READY;
    return finish(sets, record, "server_added", &entry->address, "ready");
}

/* Whether nobody but the operator names the server. */
static bool is_ours(const struct lt_server_sets *sets, struct lt_str upstream,
                    const struct lt_addr *address)
{
    const struct lt_upstream *u = lt_server_sets_upstream(sets, upstream);
    const struct lt_server *server = u != NULL ? find_server(u, address) : NULL;
    return server != NULL && lt_str_eq_c(server->source, LT_SETS_OPERATOR);
}

enum lt_server_sets_result lt_server_sets_remove(struct lt_server_sets *sets,
                                                 struct lt_str upstream,
                                                 const struct lt_addr *address)
{
    struct lt_sets_record *record = NULL;
    enum lt_server_sets_result result;
    struct lt_addr gone = *address;
    bool ours = is_ours(sets, upstream, address);
    struct lt_sets_change *change = begin(sets, upstream, address, true, &record, &result);
    if (change == NULL) {
        return result;
    }
    /* Of one that somebody else names too it has to be remembered. */
    change->added = false;
    change->removed = !ours;
    change->weight = 0;
    change->admin = LT_SERVER_READY;
    tidy(record, change);
    return finish(sets, record, "server_removed", &gone, "removed");
}

enum lt_server_sets_result lt_server_sets_weigh(struct lt_server_sets *sets, struct lt_str upstream,
                                                const struct lt_addr *address, uint32_t weight)
{
    struct lt_sets_record *record = NULL;
    enum lt_server_sets_result result;
    struct lt_addr at = *address;
    struct lt_sets_change *change = begin(sets, upstream, address, true, &record, &result);
    if (change == NULL) {
        return result;
    }
    change->weight = weight;
    enum lt_server_admin admin = change->admin;
    tidy(record, change);
    return finish(sets, record, "server_weighed", &at, lt_server_admin_name(admin));
}

enum lt_server_sets_result lt_server_sets_admin(struct lt_server_sets *sets, struct lt_str upstream,
                                                const struct lt_addr *address,
                                                enum lt_server_admin admin)
{
    struct lt_sets_record *record = NULL;
    enum lt_server_sets_result result;
    struct lt_addr at = *address;
    struct lt_sets_change *change = begin(sets, upstream, address, true, &record, &result);
    if (change == NULL) {
        return result;
    }
    if (change->admin == LT_SERVER_READY || admin == LT_SERVER_READY) {
        change->empty = false;
        change->counts_from = sets->rounds + 1; /* one under way has seen some worker before this */
    }
    change->admin = admin;
    tidy(record, change);
    return finish(sets, record, "server_state", &at, lt_server_admin_name(admin));
}

enum lt_server_sets_result lt_server_sets_pause(struct lt_server_sets *sets, struct lt_str upstream,
                                                bool paused)
{
    const struct lt_upstream *u = lt_server_sets_upstream(sets, upstream);
    struct lt_sets_record *record = u != NULL ? lt_sets_record_of(sets, upstream) : NULL;
    if (record == NULL) {
        return u == NULL ? LT_SETS_NO_UPSTREAM : LT_SETS_NO_MEMORY;
    }
    if (record->paused != paused) {
        record->paused = paused;
        atomic_store_explicit(&u->state->paused, paused, memory_order_relaxed);
        lt_log_info("upstream", paused ? "paused" : "resumed", LT_KV_STR("upstream", u->name));
        lt_sets_remember(sets);
        lt_server_sets_round(sets, NULL); /* workers look at what waits */
    }
    return LT_SETS_OK;
}

/* ---- Servers that are to become empty. ---- */

bool lt_server_sets_empty(const struct lt_server_sets *sets, const struct lt_server *server)
{
    const struct lt_sets_record *record = lt_map_get(&sets->records, server->upstream->name);
    const struct lt_sets_change *change =
        record != NULL ? lt_sets_change_of(record, &server->addr) : NULL;
    return change != NULL && change->empty;
}

/* True: it has to be looked at again. */
static bool look_at(struct lt_server_sets *sets, const struct lt_sets_record *record,
                    struct lt_sets_change *change)
{
    const struct lt_upstream *u = lt_server_sets_upstream(sets, record->name);
    const struct lt_server *server = u != NULL ? find_server(u, &change->address) : NULL;
    if (change->admin == LT_SERVER_READY || change->empty || server == NULL) {
        return false;
    }
    if (sets->rounds < change->counts_from ||
        lt_server_sets_count(sets, server->state).active > 0) {
        return true;
    }
    change->empty = true;
    lt_log_info("upstream", "server_empty", LT_KV_STR("upstream", record->name),
                LT_KV_STR("server", server->name));
    return false;
}

void lt_sets_look_for_empty(struct lt_server_sets *sets)
{
    bool again = false;
    size_t at = 0;
    for (const struct lt_map_entry *e; (e = lt_map_next(&sets->records, &at)) != NULL;) {
        const struct lt_sets_record *record = e->value;
        lt_list_each(it, tmp, &record->changes)
        {
            again |= look_at(sets, record, lt_container_of(it, struct lt_sets_change, link));
        }
    }
    if (again) {
        lt_timer_set(&sets->look, LOOK_MS);
    } else {
        lt_timer_clear(&sets->look);
    }
}
