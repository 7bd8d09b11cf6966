/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of TLS: made by the loader, read by all workers. */
#include "net/tls_policy.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "base/mem.h"

/* ---- The id ---- */

/* A digest of one certificate or CRL. */
struct item {
    unsigned char digest[32];
};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct item));
}

static bool digest_object(X509_OBJECT *object, struct item *out)
{
    unsigned n = sizeof(out->digest);
    X509 *cert = X509_OBJECT_get0_X509(object);
    X509_CRL *crl = X509_OBJECT_get0_X509_CRL(object);
    return cert != NULL ? X509_digest(cert, EVP_sha256(), out->digest, &n) == 1
                        : crl != NULL && X509_CRL_digest(crl, EVP_sha256(), out->digest, &n) == 1;
}

/* All of store, whatever the order it has them in. */
static bool add_trust(EVP_MD_CTX *md, X509_STORE *store)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    size_t n = (size_t)sk_X509_OBJECT_num(objects);
    struct item *items = lt_calloc(lt_max(n, (size_t)1), sizeof(*items));
    bool ok = items != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        ok = digest_object(sk_X509_OBJECT_value(objects, (int)i), &items[i]);
    }
    if (ok) {
        qsort(items, n, sizeof(*items), compare);
        ok = EVP_DigestUpdate(md, items, n * sizeof(*items)) == 1;
    }
    lt_free(items);
    return ok;
}

static bool add_text(EVP_MD_CTX *md, const char *text)
{
    return EVP_DigestUpdate(md, text, strlen(text) + 1) == 1;
}

static bool make_id(struct lt_tls_policy *policy)
{
    const struct lt_tls_policy_spec *spec = &policy->spec;
    const int numbers[] = {1 /* of this form */, spec->terms.min_version, spec->terms.max_version,
                           (int)spec->verify, (int)spec->depth};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, numbers, sizeof(numbers)) == 1 &&
              add_text(md, spec->terms.ciphers) && add_text(md, spec->terms.suites) &&
              add_text(md, spec->terms.groups) &&
              (spec->trust == NULL || add_trust(md, spec->trust)) &&
              EVP_DigestFinal_ex(md, policy->id, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

/* ---- Life ---- */

static const char *copy_text(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = lt_malloc(n);
    if (copy != NULL) {
        memcpy(copy, text, n);
    }
    return copy;
}

static bool copy_terms(struct lt_tls_terms *terms)
{
    terms->ciphers = copy_text(terms->ciphers);
    terms->suites = copy_text(terms->suites);
    terms->groups = copy_text(terms->groups);
    return terms->ciphers != NULL && terms->suites != NULL && terms->groups != NULL;
}

/* The subjects of the authorities. */
static bool collect_names(struct lt_tls_policy *policy)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(policy->spec.trust);
    policy->names = sk_X509_NAME_new_null();
    for (int i = 0; policy->names != NULL && i < sk_X509_OBJECT_num(objects); i++) {
        X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        X509_NAME *name = cert != NULL ? X509_NAME_dup(X509_get_subject_name(cert)) : NULL;
        if (cert != NULL && (name == NULL || sk_X509_NAME_push(policy->names, name) == 0)) {
            X509_NAME_free(name);
            return false;
        }
    }
    return policy->names != NULL;
}

struct lt_tls_policy *lt_tls_policy_new(const struct lt_tls_policy_spec *spec)
{
    struct lt_tls_policy *policy = lt_calloc(1, sizeof(*policy));
    if (policy == NULL) {
        return NULL;
    }
    atomic_init(&policy->refs, 1);
    policy->spec = *spec;
    if (spec->trust != NULL) {
        X509_STORE_up_ref(spec->trust);
    }
    if (!copy_terms(&policy->spec.terms) || (spec->trust != NULL && !collect_names(policy)) ||
        !make_id(policy)) {
        lt_tls_policy_free(policy);
        return NULL;
    }
    return policy;
}

struct lt_tls_policy *lt_tls_policy_ref(struct lt_tls_policy *policy)
{
    /* Relaxed: who takes a reference has one already. */
    atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);
    return policy;
}

void lt_tls_policy_free(struct lt_tls_policy *policy)
{
    /* Release what this owner did with it, acquire what the others did before the memory goes. */
    if (policy != NULL && atomic_fetch_sub_explicit(&policy->refs, 1, memory_order_acq_rel) == 1) {
        lt_free((char *)policy->spec.terms.ciphers);
        lt_free((char *)policy->spec.terms.suites);
        lt_free((char *)policy->spec.terms.groups);
        X509_STORE_free(policy->spec.trust);
        sk_X509_NAME_pop_free(policy->names, X509_NAME_free);
        lt_free(policy);
    }
}

/* ---- Use ---- */

static int verify_mode(const struct lt_tls_policy *policy)
{
    switch (policy->spec.verify) {
    case LT_TLS_VERIFY_NONE:
        break;
    case LT_TLS_VERIFY_OPTIONAL:
        return SSL_VERIFY_PEER;
    case LT_TLS_VERIFY_REQUIRED:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    return SSL_VERIFY_NONE;
}

static bool ask_clients(const struct lt_tls_policy *policy, SSL_CTX *ctx)
{
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(policy->names);
    if (names == NULL) {
        return false;
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set1_cert_store(ctx, policy->spec.trust);
    SSL_CTX_set_verify_depth(ctx, (int)policy->spec.depth);
    SSL_CTX_set_max_cert_list(ctx, LT_TLS_CLIENT_CHAIN_MAX);
    return true;
}

bool lt_tls_policy_apply(const struct lt_tls_policy *policy, SSL_CTX *ctx)
{
    const struct lt_tls_terms *t = &policy->spec.terms;
    SSL_CTX_set_verify(ctx, verify_mode(policy), NULL);
    return SSL_CTX_set_min_proto_version(ctx, t->min_version) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, t->max_version) == 1 &&
           SSL_CTX_set_cipher_list(ctx, t->ciphers) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, t->suites) == 1 &&
           SSL_CTX_set1_groups_list(ctx, t->groups) == 1 &&
           SSL_CTX_set_session_id_context(ctx, policy->id, sizeof(policy->id)) == 1 &&
           (policy->spec.trust == NULL || ask_clients(policy, ctx));
}

/* SSL_set_SSL_CTX takes over the authorities, the list of ciphers of TLS 1.2 and the callbacks;
 * what SSL_new copied stays as it was and is set again. */
bool lt_tls_policy_switch(const struct lt_tls_policy *policy, SSL *ssl, SSL_CTX *ctx)
{
    const struct lt_tls_terms *t = &policy->spec.terms;
    if (SSL_set_SSL_CTX(ssl, ctx) != ctx) {
        return false;
    }
    SSL_set_verify(ssl, verify_mode(policy), NULL);
    if (policy->spec.trust != NULL) {
        SSL_set_verify_depth(ssl, (int)policy->spec.depth);
        SSL_set_max_cert_list(ssl, LT_TLS_CLIENT_CHAIN_MAX);
    }
    return SSL_set_min_proto_version(ssl, t->min_version) == 1 &&
           SSL_set_max_proto_version(ssl, t->max_version) == 1 &&
           SSL_set_ciphersuites(ssl, t->suites) == 1 && SSL_set1_groups_list(ssl, t->groups) == 1 &&
           SSL_set_session_id_context(ssl, policy->id, sizeof(policy->id)) == 1;
}
