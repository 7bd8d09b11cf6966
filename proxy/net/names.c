/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are looked up again and again. Main thread. */
#include "net/names.h"

#include "base/log.h"
#include "base/mem.h"

struct lt_names {
    struct lt_loop *loop;
    struct lt_names_options options;
    struct lt_resolver *resolver; /* NULL: no options yet */
    struct lt_map all;            /* struct lt_name by key */
    lt_names_fn on_change;
    void *owner;
};

static void look_up(void *arg);

struct lt_names *lt_names_new(struct lt_loop *loop, lt_names_fn on_change, void *owner)
{
    struct lt_names *names = lt_calloc(1, sizeof(*names));
    if (names != NULL) {
        names->loop = loop;
        names->on_change = on_change;
        names->owner = owner;
        lt_map_init(&names->all, lt_hash_seed_random(), LT_NAMES_MAX);
    }
    return names;
}

static void forget(struct lt_name *name)
{
    lt_lookup_cancel(&name->lookup);
    lt_timer_fini(&name->timer);
    lt_dns_records_fini(&name->records);
    for (int i = 0; i < LT_LOOKUP_PARTS; i++) {
        lt_dns_records_fini(&name->parts[i]);
    }
    lt_free((char *)(uintptr_t)name->key);
    lt_free(name);
}

void lt_names_free(struct lt_names *names)
{
    struct lt_name *name;
    if (names == NULL) {
        return;
    }
    for (size_t at = 0; (name = lt_names_next(names, &at)) != NULL;) {
        forget(name);
    }
    lt_map_fini(&names->all);
    lt_resolver_free(names->resolver);
    lt_free(names);
}

struct lt_name *lt_names_next(const struct lt_names *names, size_t *at)
{
    const struct lt_map_entry *entry = lt_map_next(&names->all, at);
    return entry != NULL ? entry->value : NULL;
}

enum lt_err lt_names_set_options(struct lt_names *names, const struct lt_names_options *options)
{
    struct lt_name *name;
    if (names->resolver != NULL && lt_resolver_obeys(names->resolver, &options->resolver)) {
        names->options = *options;
        return LT_OK;
    }
    struct lt_resolver *resolver = lt_resolver_new(names->loop, &options->resolver);
    if (resolver == NULL) {
        return LT_ERR_NOMEM;
    }
    struct lt_resolver *old = names->resolver;
    names->resolver = resolver;
    names->options = *options;
    for (size_t at = 0; (name = lt_names_next(names, &at)) != NULL;) {
        lt_lookup_cancel(&name->lookup);
        look_up(name);
    }
    lt_resolver_free(old);
    return LT_OK;
}

/* ---- When to look up again. ---- */

/* ms, up to an eighth more or less, so that names that began together don't stay together. */
static uint64_t jitter(struct lt_names *names, uint64_t ms)
{
    uint32_t span = (uint32_t)lt_min(ms / 4, (uint64_t)UINT32_MAX - 1);
    return ms - span / 2 + lt_rand_below(&names->loop->rand, span + 1);
}

static uint64_t ttl_ms(const struct lt_name *name)
{
    const struct lt_names_options *o = &name->names->options;
    return lt_min(lt_max((uint64_t)name->ttl_s * 1000, o->ttl_min_ms), o->ttl_max_ms);
}

static uint64_t retry_ms(const struct lt_name *name)
{
    const struct lt_names_options *o = &name->names->options;
    unsigned doublings = lt_min(name->failures - 1, 20u);
    return lt_min(o->retry_ms << doublings, o->retry_max_ms);
}

/* ---- Answers. ---- */

/* All types together, cut to the limit: always the same ones, since they are sorted. */
static bool join(struct lt_name *name, struct lt_dns_records *out)
{
    unsigned n = name->parts[0].n + name->parts[1].n;
    unsigned max = name->names->options.addresses_max;
    *out = (struct lt_dns_records){.v = lt_calloc(lt_max(n, 1u), sizeof(*out->v))};
    if (out->v == NULL) {
        return false;
    }
    for (int i = 0; i < LT_LOOKUP_PARTS; i++) {
        for (unsigned j = 0; j < name->parts[i].n; j++) {
            out->v[out->n++] = name->parts[i].v[j];
        }
    }
    out->absent = name->parts[0].absent;
    name->left_out = n > max ? n - max : 0;
    out->n = lt_min(n, max);
    return true;
}

static void log_change(const struct lt_name *name, const struct lt_dns_records *now)
{
    lt_log_info("resolver", "dns_changed", LT_KV_STR("dns_name", name->text),
                LT_KV_INT("before", name->records.n), LT_KV_INT("now", now->n),
                LT_KV_INT("ttl_s", name->ttl_s));
    if (now->absent) {
        lt_log_warn("resolver", "dns_service_absent", LT_KV_STR("dns_name", name->text),
                    LT_KV_INT("targets_dropped", name->records.n),
                    LT_KV_CSTR("hint", "its SRV record has the target \".\": the domain says that "
                                       "there is no such service (RFC 2782)"));
    }
    if (name->left_out > 0) {
        lt_log_warn("resolver", "dns_too_many_addresses", LT_KV_STR("dns_name", name->text),
                    LT_KV_INT("left_out", name->left_out), LT_KV_INT("max", now->n),
                    LT_KV_CSTR("hint", "resolver.max_addresses"));
    }
}

static void on_failure(struct lt_name *name, const char *why, bool denied)
{
    uint64_t now = name->names->loop->now_us;
    bool first = name->failures == 0;
    bool news = name->why != why;
    name->failed++;
    name->why = why;
    name->denied = denied;
    if (first) {
        name->failing_us = now;
        lt_log_warn(
            "resolver", "dns_failed", LT_KV_STR("dns_name", name->text), LT_KV_CSTR("why", why),
            LT_KV_INT("addresses_kept", name->records.n),
            LT_KV_INT("answer_age_s", name->known ? (now - name->answered_us) / 1000000 : 0));
    }
    name->failures = lt_min(name->failures + 1, 1000000u);
    lt_timer_set(&name->timer, jitter(name->names, retry_ms(name)));
    if (news && !name->known) {
        name->names->on_change(name->names->owner, name);
    }
}

static void on_success(struct lt_name *name, uint64_t again_ms)
{
    uint64_t now = name->names->loop->now_us;
    struct lt_dns_records joined;
    if (!join(name, &joined)) {
        on_failure(name, "out of memory", false);
        return;
    }
    if (name->failures > 0) {
        lt_log_info("resolver", "dns_recovered", LT_KV_STR("dns_name", name->text),
                    LT_KV_INT("failed_s", (now - name->failing_us) / 1000000),
                    LT_KV_INT("failures", name->failures));
    }
    bool changed = !name->known || !lt_dns_records_eq(&name->records, &joined);
    if (changed) {
        log_change(name, &joined);
    }
    lt_dns_records_fini(&name->records);
    name->records = joined;
    name->known = true;
    name->answered_us = now;
    name->failures = 0;
    name->denied = false;
    name->why = NULL;
    lt_timer_set(&name->timer, jitter(name->names, again_ms));
    if (changed) {
        name->names->on_change(name->names->owner, name);
    }
}

/* Takes over what is new. A type whose look-up failed keeps what it had, so that a name doesn't
 * lose half of its servers because one of two answers got lost. */
static void on_lookup(void *owner, struct lt_lookup_part parts[LT_LOOKUP_PARTS])
{
    struct lt_name *name = owner;
    int n = name->kind == LT_LOOKUP_HOST ? 2 : 1, good = -1;
    const char *why = parts[0].why;
    bool kept = false, denied = true;
    name->answers++;
    for (int i = 0; i < n; i++) {
        if (parts[i].status == LT_LOOKUP_OK) {
            good = i;
        } else if (parts[i].status == LT_LOOKUP_FAILED) {
            why = parts[i].why;
            denied = false;
            kept |= name->parts[i].n > 0;
        }
    }
    if (good < 0) {
        on_failure(name, why, denied);
        return;
    }
    name->ttl_s = UINT32_MAX;
    for (int i = 0; i < n; i++) {
        if (parts[i].status == LT_LOOKUP_OK) {
            name->ttl_s = lt_min(name->ttl_s, parts[i].records.ttl_s);
        }
        if (parts[i].status != LT_LOOKUP_FAILED) {
            lt_dns_records_fini(&name->parts[i]);
            name->parts[i] = parts[i].records;
            parts[i].records = (struct lt_dns_records){.v = NULL};
        }
    }
    on_success(name, kept ? lt_min(name->names->options.retry_max_ms, ttl_ms(name)) : ttl_ms(name));
}

static void look_up(void *arg)
{
    struct lt_name *name = arg;
    lt_timer_clear(&name->timer); /* it is set again when this one is over */
    lt_lookup_start(&name->lookup, name->names->resolver, name->kind, name->text, on_lookup, name);
}

/* ---- Watching. ---- */

static const char *new_key(enum lt_lookup_kind kind, struct lt_str text)
{
    char *key = lt_malloc(text.len + 3);
    if (key != NULL) {
        key[0] = kind == LT_LOOKUP_SRV ? 's' : 'h';
        key[1] = ':';
        for (size_t i = 0; i < text.len; i++) {
            key[i + 2] = lt_char_lower(text.p[i]);
        }
        key[text.len + 2] = '\0';
    }
    return key;
}

static struct lt_name *add(struct lt_names *names, enum lt_lookup_kind kind, const char *key)
{
    struct lt_name *name = lt_calloc(1, sizeof(*name));
    if (name == NULL || lt_map_set(&names->all, lt_str_c(key), name) != LT_OK) {
        lt_free(name);
        return NULL;
    }
    name->names = names;
    name->kind = kind;
    name->key = key;
    name->text = lt_str_c(key + 2);
    name->watched_us = names->loop->now_us;
    lt_timer_init(&name->timer, names->loop, look_up, name);
    return name;
}

struct lt_name *lt_names_watch(struct lt_names *names, enum lt_lookup_kind kind, struct lt_str text)
{
    const char *key = new_key(kind, text);
    if (key == NULL) {
        return NULL;
    }
    struct lt_name *name = lt_map_get(&names->all, lt_str_c(key));
    if (name != NULL) {
        lt_free((char *)(uintptr_t)key);
        name->users++;
        return name;
    }
    name = add(names, kind, key);
    if (name == NULL) {
        lt_free((char *)(uintptr_t)key);
        return NULL;
    }
    name->users = 1;
    look_up(name);
    return name;
}

void lt_names_unwatch(struct lt_name *name)
{
    if (--name->users == 0) {
        (void)lt_map_remove(&name->names->all, lt_str_c(name->key));
        forget(name);
    }
}
