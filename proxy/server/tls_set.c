/* SPDX-License-Identifier: Apache-2.0 */
/* Builds sets. The loader's thread, or the watcher's. */
#include "server/tls_set.h"

#include <stdatomic.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/mem.h"
#include "config/load.h"

#define ARENA_MAX ((size_t)64 << 20)
#define PAIRS_MAX 100000u

struct build {
    const struct lt_tls_set_spec *spec;
    struct lt_tls_set *set;
};

static void no_memory(struct build *b)
{
    b->spec->load->nomem = true;
}

/* ---- Certificates. ---- */

static bool pair_key(struct lt_arena *arena, const struct lt_tls_cert_conf *conf,
                     struct lt_str *key)
{
    return lt_arena_printf(arena, key, "%.*s%c%.*s", LT_STR_ARG(conf->certificate), 0,
                           LT_STR_ARG(conf->key));
}

/* The certificate as it is on the disk, or as it was there before. NULL: neither. */
static struct lt_tls_cert *fetch(struct build *b, const struct lt_tls_cert_conf *conf,
                                 struct lt_str key, struct lt_tls_pair *pair)
{
    const struct lt_tls_set *old = b->spec->old;
    const struct lt_tls_pair *before = old != NULL ? lt_map_get(&old->pairs, key) : NULL;
    pair->stamps[0] = lt_tls_stamp(conf->certificate.p);
    pair->stamps[1] = lt_tls_stamp(conf->key.p);
    if (before != NULL && lt_tls_stamp_eq(&before->stamps[0], &pair->stamps[0]) &&
        lt_tls_stamp_eq(&before->stamps[1], &pair->stamps[1])) {
        return lt_tls_cert_ref(before->cert);
    }
    struct lt_tls_cert *cert = NULL;
    if (before == NULL || lt_tls_cert_is_temporary(before->cert)) {
        cert = lt_tls_cert_conf_stand_in(b->spec->load, conf); /* else there was a better one */
    }
    if (cert == NULL) {
        cert = lt_tls_cert_conf_load(b->spec->load, conf);
    }
    if (b->spec->stale || cert == NULL) {
        memset(pair->stamps, 0, sizeof(pair->stamps)); /* of other files than those read */
    }
    return cert == NULL && before != NULL ? lt_tls_cert_ref(before->cert) : cert;
}

/* Borrowed from the set; NULL: it can't be had, which was said. */
static struct lt_tls_cert *get_cert(struct build *b, const struct lt_tls_cert_conf *conf)
{
    struct lt_tls_set *set = b->set;
    struct lt_str key;
    if (conf->certificate.len == 0 || conf->key.len == 0) {
        return NULL; /* which was said */
    }
    if (!pair_key(&set->arena, conf, &key)) {
        no_memory(b);
        return NULL;
    }
    struct lt_tls_pair *pair = lt_map_get(&set->pairs, key);
    if (pair != NULL) {
        return pair->cert;
    }
    pair = lt_arena_new(&set->arena, struct lt_tls_pair);
    if (pair == NULL) {
        no_memory(b);
        return NULL;
    }
    pair->cert = fetch(b, conf, key, pair);
    if (pair->cert == NULL) {
        return NULL;
    }
    pair->certificate = lt_str(key.p, conf->certificate.len);
    pair->key = lt_str(key.p + conf->certificate.len + 1, conf->key.len);
    if (lt_map_set(&set->pairs, key, pair) != LT_OK) {
        lt_tls_cert_free(pair->cert);
        no_memory(b);
        return NULL;
    }
    return pair->cert;
}

/* ---- Sites. ---- */

static bool answers_on(const struct lt_site_conf *site, struct lt_str listener)
{
    const struct lt_str *names = site->listeners.items;
    for (size_t i = 0; i < site->listeners.n; i++) {
        if (lt_str_eq(names[i], listener)) {
            return true;
        }
    }
    return site->listeners.n == 0;
}

static void note(struct build *b, const struct lt_site_conf *site, enum lt_err err)
{
    if (err == LT_ERR_NOMEM) {
        no_memory(b);
    } else if (err == LT_ERR_LIMIT) {
        lt_diag_error(b->spec->load->diags, lt_schema_pos(site, "tls"),
                      "let several sites have the same options",
                      "the sites of a listener have more than %u different TLS policies",
                      LT_TLS_POLICIES_MAX);
    }
    /* LT_ERR_EXISTS: two sites have that host, which was said. */
}

/* Adds a site's certificates to one listener's store; the default site's also for names that nobody
 * has. */
static void add_to_store(struct build *b, struct lt_tls_store *store,
                         const struct lt_site_conf *site, struct lt_tls_policy *policy,
                         struct lt_tls_cert **certs, size_t n)
{
    const struct lt_str *hosts = site->hosts.items;
    const struct lt_tls_cert *const *list = (const struct lt_tls_cert *const *)certs;
    for (size_t i = 0; i < site->hosts.n; i++) {
        note(b, site, lt_tls_store_add(store, hosts[i], policy, list, n));
    }
    if (site->is_default) {
        note(b, site, lt_tls_store_add_fallback(store, policy, list, n));
    }
}

static struct lt_tls_policy *get_policy(struct build *b, unsigned number,
                                        const struct lt_site_conf *site)
{
    const struct lt_tls_set *old = b->spec->old;
    struct lt_tls_crl *crl = &b->set->crls[number];
    struct lt_tls_policy *policy =
        lt_tls_policy_load(b->spec->load, &b->spec->conf->tls, &site->tls, &crl->ends);
    if (policy == NULL && old != NULL && old->policies[number] != NULL) {
        *crl = old->crls[number];
        policy = lt_tls_policy_ref(old->policies[number]);
    }
    if (crl->ends != INT64_MAX && !lt_arena_dup(&b->set->arena, site->tls.client.crl, &crl->file)) {
        no_memory(b);
    }
    return policy;
}

static void build_site(struct build *b, unsigned number, const struct lt_site_conf *site)
{
    const struct lt_tls_cert_conf *items = site->tls.certificates.items;
    size_t n = 0;
    struct lt_tls_policy *policy = b->set->policies[number] = get_policy(b, number, site);
    struct lt_tls_cert **certs =
        lt_arena_array(&b->set->arena, struct lt_tls_cert *, site->tls.certificates.n);
    if (certs == NULL) {
        no_memory(b);
        return;
    }
    for (size_t i = 0; i < site->tls.certificates.n; i++) {
        certs[n] = get_cert(b, &items[i]);
        n += certs[n] != NULL;
    }
    for (unsigned i = 0; policy != NULL && n > 0 && i < b->spec->n_listeners; i++) {
        if (b->set->stores[i] != NULL && answers_on(site, b->spec->listeners[i].name)) {
            add_to_store(b, b->set->stores[i], site, policy, certs, n);
        }
    }
}

static void build_sites(struct build *b)
{
    const struct lt_site_conf *sites = b->spec->conf->sites.items;
    for (unsigned i = 0; i < b->set->n_sites; i++) {
        if (lt_schema_is_set(&sites[i], offsetof(struct lt_site_conf, tls)) &&
            sites[i].tls.conf.schema != NULL) {
            build_site(b, i, &sites[i]);
        }
    }
}

/* ---- Ticket keys. ---- */

static void read_keys(struct build *b)
{
    const struct lt_tls_tickets_conf *conf = &b->spec->conf->tls.tickets;
    struct lt_schema_load *load = b->spec->load;
    struct lt_tls_complaint complaint;
    if (conf->file.len == 0 || !conf->enabled ||
        lt_ticket_file_read(load->files, load->arena, conf->file, b->set->keys, &b->set->n_keys,
                            &complaint)) {
        return;
    }
    lt_diag_error(load->diags, lt_schema_pos(conf, "file"), complaint.hint, "%.*s",
                  LT_STR_ARG(complaint.why));
    if (b->spec->old != NULL) {
        memcpy(b->set->keys, b->spec->old->keys, sizeof(b->set->keys));
        b->set->n_keys = b->spec->old->n_keys;
    }
}

/* ---- The files. ---- */

static bool add_stamp(EVP_MD_CTX *md, struct lt_str file)
{
    if (file.len == 0) {
        return true;
    }
    struct lt_tls_stamp stamp = lt_tls_stamp(file.p);
    return EVP_DigestUpdate(md, &stamp, sizeof(stamp)) == 1;
}

static bool add_site_stamps(EVP_MD_CTX *md, const struct lt_tls_site_conf *tls)
{
    const struct lt_tls_cert_conf *items = tls->certificates.items;
    bool ok = add_stamp(md, tls->client.ca) && add_stamp(md, tls->client.crl);
    for (size_t i = 0; i < tls->certificates.n; i++) {
        ok = ok && add_stamp(md, items[i].certificate) && add_stamp(md, items[i].key);
    }
    return ok;
}

void lt_tls_set_look(const struct lt_root_conf *conf, unsigned char digest[LT_TLS_DIGEST_LEN])
{
    const struct lt_site_conf *sites = conf->sites.items;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              add_stamp(md, conf->tls.tickets.file);
    for (size_t i = 0; i < conf->sites.n; i++) {
        ok = ok && add_site_stamps(md, &sites[i].tls);
    }
    if (!ok || EVP_DigestFinal_ex(md, digest, NULL) != 1) {
        memset(digest, 0, LT_TLS_DIGEST_LEN); /* looks like a change, once */
    }
    EVP_MD_CTX_free(md);
}

bool lt_tls_set_same_policies(const struct lt_tls_set *a, const struct lt_tls_set *b)
{
    for (unsigned i = 0; i < a->n_sites && i < b->n_sites; i++) {
        const struct lt_tls_policy *x = a->policies[i], *y = b->policies[i];
        if ((x == NULL) != (y == NULL) || (x != NULL && memcmp(x->id, y->id, sizeof(x->id)) != 0)) {
            return false;
        }
    }
    return a->n_sites == b->n_sites;
}

/* What the policies of all sites have in common. */
static void summarise(struct lt_tls_set *set)
{
    bool differ = false;
    for (unsigned i = 0; i < set->n_sites; i++) {
        const struct lt_tls_policy *policy = set->policies[i];
        if (policy != NULL) {
            set->sole = set->sole != NULL ? set->sole : policy;
            differ |= memcmp(set->sole->id, policy->id, sizeof(policy->id)) != 0;
            set->asks |= policy->spec.verify != LT_TLS_VERIFY_NONE;
        }
    }
    set->any = set->sole != NULL;
    set->sole = differ || set->asks ? NULL : set->sole;
}

/* ---- Life. ---- */

static bool prepare(struct build *b)
{
    struct lt_tls_set *set = b->set;
    set->n_sites = (unsigned)b->spec->conf->sites.n;
    set->policies = lt_arena_array(&set->arena, struct lt_tls_policy *, set->n_sites);
    set->crls = lt_arena_array(&set->arena, struct lt_tls_crl, set->n_sites);
    bool ok = set->policies != NULL && set->crls != NULL;
    for (unsigned i = 0; ok && i < set->n_sites; i++) {
        set->crls[i].ends = INT64_MAX;
    }
    for (unsigned i = 0; ok && i < b->spec->n_listeners; i++) {
        if (b->spec->listeners[i].tls) {
            set->stores[i] = lt_tls_store_new();
            ok = set->stores[i] != NULL;
        }
    }
    return ok;
}

struct lt_tls_set *lt_tls_set_new(const struct lt_tls_set_spec *spec)
{
    struct lt_tls_set *set = lt_calloc(1, sizeof(*set));
    if (set == NULL) {
        spec->load->nomem = true;
        return NULL;
    }
    atomic_init(&set->refs, 1);
    lt_arena_init(&set->arena, NULL, 0, ARENA_MAX);
    lt_map_init(&set->pairs, spec->load->seed, PAIRS_MAX);
    struct build b = {.spec = spec, .set = set};
    if (!prepare(&b)) {
        spec->load->nomem = true;
        set->n_sites = set->policies != NULL ? set->n_sites : 0;
        lt_tls_set_free(set);
        return NULL;
    }
    if (!spec->stale) {
        lt_tls_set_look(spec->conf, set->digest);
    }
    build_sites(&b);
    read_keys(&b);
    summarise(set);
    return set;
}

struct lt_tls_set *lt_tls_set_ref(struct lt_tls_set *set)
{
    /* Relaxed: who takes a reference has one already. */
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void lt_tls_set_free(struct lt_tls_set *set)
{
    /* Release what this owner did with it, acquire what the others did before the memory goes. */
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    const struct lt_map_entry *e;
    for (size_t at = 0; (e = lt_map_next(&set->pairs, &at)) != NULL;) {
        lt_tls_cert_free(((struct lt_tls_pair *)e->value)->cert);
    }
    for (unsigned i = 0; i < LT_SLOTS_MAX; i++) {
        lt_tls_store_free(set->stores[i]);
    }
    for (unsigned i = 0; i < set->n_sites; i++) {
        lt_tls_policy_free(set->policies[i]);
    }
    OPENSSL_cleanse(set->keys, sizeof(set->keys));
    lt_map_fini(&set->pairs);
    lt_arena_fini(&set->arena);
    lt_free(set);
}
