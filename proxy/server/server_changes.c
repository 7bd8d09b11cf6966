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

void lt_sets_tidy(struct lt_sets_record *record, struct lt_sets_change *change)
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

/* A change while it is made. */
struct edit {
    struct lt_sets_record *record;
    struct lt_sets_change *change;
    struct lt_sets_change before; /* what it said */
    bool named;                   /* by others than the operator */
};

/* Whether the upstream is to have the server: its set may be about to follow. */
static bool is_there(const struct lt_sets_change *change, bool named)
{
    return change != NULL ? change->added || (named && !change->removed) : named;
}

/* The change of one address that is about to be made, which exists or doesn't yet. */
static enum lt_server_sets_result begin(struct lt_server_sets *sets, struct lt_str upstream,
                                        const struct lt_addr *address, bool exists,
                                        struct edit *edit)
{
    if (lt_server_sets_upstream(sets, upstream) == NULL) {
        return LT_SETS_NO_UPSTREAM;
    }
    struct lt_sets_record *record = lt_sets_record_of(sets, upstream);
    if (record == NULL) {
        return LT_SETS_NO_MEMORY;
    }
    struct lt_sets_change *change = lt_sets_change_of(record, address);
    bool named = lt_sets_named(sets, record, address);
    if (is_there(change, named) != exists) {
        return exists ? LT_SETS_NO_SERVER : LT_SETS_EXISTS;
    }
    if (change == NULL) {
        bool full = record->n_changes >= LT_SETS_SERVERS_MAX;
        change = lt_sets_new_change(record, address);
        if (change == NULL) {
            return full ? LT_SETS_LIMIT : LT_SETS_NO_MEMORY;
        }
    }
    *edit = (struct edit){.record = record, .change = change, .before = *change, .named = named};
    return LT_SETS_OK;
}

static void undo(struct edit *edit)
{
    struct lt_list link = edit->change->link;
    *edit->change = edit->before;
    edit->change->link = link;
    lt_sets_tidy(edit->record, edit->change);
}

/* Publishes the change; one that can't be is undone. */
static enum lt_server_sets_result finish(struct lt_server_sets *sets, struct edit *edit,
                                         const char *event, const char *state)
{
    char text[LT_ADDR_TEXT_MAX];
    size_t n = lt_addr_print(&edit->change->address, text);
    enum lt_err err = lt_sets_publish(sets, edit->record);
    if (err != LT_OK) {
        undo(edit);
        return err == LT_ERR_LIMIT ? LT_SETS_LIMIT : LT_SETS_NO_MEMORY;
    }
    lt_sets_tidy(edit->record, edit->change);
    lt_log_info("upstream", event, LT_KV_STR("upstream", edit->record->name),
                LT_KV_STR("server", lt_str(text, n)), LT_KV_CSTR("state", state));
    lt_sets_remember(sets);
    return LT_SETS_OK;
}

enum lt_server_sets_result lt_server_sets_add(struct lt_server_sets *sets, struct lt_str upstream,
                                              const struct lt_server_entry *entry)
{
    struct edit edit;
    enum lt_server_sets_result result = begin(sets, upstream, &entry->address, false, &edit);
    if (result != LT_SETS_OK) {
        return result;
    }
    bool asks = entry->weight > 0 || entry->max > 0 || entry->backup;
    edit.change->removed = false;
    edit.change->added = asks || !edit.named;
    edit.change->entry = *entry;
    edit.change->entry.host = LT_STR_NONE;
    edit.change->weight = 0;
    edit.change->admin = LT_SERVER_READY;
    return finish(sets, &edit, "server_added", "ready");
}

/* The state of the server, held; NULL: no set that is published has it. */
static struct lt_server_state *hold_state(const struct lt_server_sets *sets, struct lt_str upstream,
                                          const struct lt_addr *address)
{
    const struct lt_server *server = find_server(lt_server_sets_upstream(sets, upstream), address);
    if (server != NULL) {
        lt_server_state_hold(server->state);
    }
    return server != NULL ? server->state : NULL;
}

enum lt_server_sets_result lt_server_sets_remove(struct lt_server_sets *sets,
                                                 struct lt_str upstream,
                                                 const struct lt_addr *address)
{
    struct edit edit;
    enum lt_server_sets_result result = begin(sets, upstream, address, true, &edit);
    if (result != LT_SETS_OK) {
        return result;
    }
    edit.change->added = false;
    edit.change->removed = edit.named; /* else there is nothing to remember */
    edit.change->weight = 0;
    edit.change->admin = LT_SERVER_READY;
    /* Exchanges of an older snapshot have a set of their own that nobody replaces. Before the set
     * is published, whose round proves that all workers have seen it; relaxed for that. */
    struct lt_server_state *state = hold_state(sets, upstream, address);
    int before = LT_SERVER_READY;
    if (state != NULL) {
        before = atomic_exchange_explicit(&state->admin_state, (int)LT_SERVER_DRAIN,
                                          memory_order_relaxed);
    }
    result = finish(sets, &edit, "server_removed", "removed");
    if (state != NULL) {
        if (result != LT_SETS_OK) {
            atomic_store_explicit(&state->admin_state, before, memory_order_relaxed);
        }
        lt_server_state_drop(state);
    }
    return result;
}

enum lt_server_sets_result lt_server_sets_weigh(struct lt_server_sets *sets, struct lt_str upstream,
                                                const struct lt_addr *address, uint32_t weight)
{
    struct edit edit;
    enum lt_server_sets_result result = begin(sets, upstream, address, true, &edit);
    if (result != LT_SETS_OK) {
        return result;
    }
    edit.change->weight = weight;
    return finish(sets, &edit, "server_weighed", lt_server_admin_name(edit.change->admin));
}

enum lt_server_sets_result lt_server_sets_admin(struct lt_server_sets *sets, struct lt_str upstream,
                                                const struct lt_addr *address,
                                                enum lt_server_admin admin)
{
    struct edit edit;
    enum lt_server_sets_result result = begin(sets, upstream, address, true, &edit);
    if (result != LT_SETS_OK) {
        return result;
    }
    if (edit.change->admin == LT_SERVER_READY || admin == LT_SERVER_READY) {
        edit.change->empty = false;
        edit.change->counts_from = sets->rounds + 1; /* one under way has seen some worker before */
    }
    edit.change->admin = admin;
    return finish(sets, &edit, "server_state", lt_server_admin_name(admin));
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
