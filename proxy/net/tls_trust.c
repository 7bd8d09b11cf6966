/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities as one upstream trusts them. Loader thread. */
#include "net/tls_trust.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/mem.h"
#include "net/tls_ca.h"
#include "net/tls_impl.h"

struct lt_tls_trust *lt_tls_trust_ref(struct lt_tls_trust *trust)
{
    atomic_fetch_add_explicit(&trust->refs, 1, memory_order_relaxed);
    return trust;
}

void lt_tls_trust_free(struct lt_tls_trust *trust)
{
    if (trust != NULL && atomic_fetch_sub_explicit(&trust->refs, 1, memory_order_acq_rel) == 1) {
        X509_STORE_free(trust->store);
        lt_free(trust);
    }
}

/* In the order of the file: nothing has been looked up yet, which sorts. */
static bool set_id(struct lt_tls_trust *trust)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(trust->store);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    for (int i = 0; ok && i < sk_X509_OBJECT_num(objects); i++) {
        X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        ok = X509_digest(cert, EVP_sha256(), digest, &len) == 1 &&
             EVP_DigestUpdate(md, digest, len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(md, trust->id, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

struct lt_tls_trust *lt_tls_trust_load(struct lt_files *files, struct lt_arena *arena,
                                       struct lt_str file, struct lt_tls_complaint *out)
{
    *out = (struct lt_tls_complaint){.hint = NULL};
    if (!lt_arena_dup(arena, file, &file)) {
        return NULL;
    }
    X509_STORE *store = lt_tls_ca_load(files, arena, file, out);
    struct lt_tls_trust *trust = store != NULL ? lt_calloc(1, sizeof(*trust)) : NULL;
    if (trust == NULL) {
        X509_STORE_free(store);
        return NULL;
    }
    atomic_init(&trust->refs, 1);
    trust->store = store;
    if (!set_id(trust)) {
        ERR_clear_error();
        lt_tls_trust_free(trust);
        return NULL;
    }
    return trust;
}

struct lt_str lt_tls_trust_system(struct lt_files *files)
{
    static const char *const usual[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Alpine, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, Red Hat */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
        "/etc/ssl/cert.pem",                  /* the BSDs */
    };
    const char *told = getenv("SSL_CERT_FILE");
    struct stat st;
    if (told != NULL && told[0] != '\0') {
        return lt_str_c(told);
    }
    for (size_t i = 0; i < lt_countof(usual); i++) {
        if (lt_files_stat(files, usual[i], &st)) {
            return lt_str_c(usual[i]);
        }
    }
    return LT_STR_NONE;
}
