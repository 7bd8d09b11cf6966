/* SPDX-License-Identifier: Apache-2.0 */
/* A self-signed certificate to start with before the first one is issued: clients refuse it, but
 * the listener is there, and the challenges of ACME are answered. Loader and main thread. */
#include "net/tls_impl.h"

#include <stdatomic.h>
#include <time.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

#define DAYS 90L
#define NAME "temporary.invalid" /* RFC 2606: nobody has it */

static bool set_serial(X509 *leaf)
{
    uint64_t serial;
    return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(leaf), serial >> 1) == 1;
}

static bool set_name(X509 *leaf)
{
    X509_NAME *name = X509_get_subject_name(leaf);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:" NAME);
    bool ok = san != NULL && X509_add_ext(leaf, san, -1) == 1 &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)NAME, -1,
                                         -1, 0) == 1 &&
              X509_set_issuer_name(leaf, name) == 1;
    X509_EXTENSION_free(san);
    return ok;
}

static bool fill(struct lt_tls_cert *cert)
{
    X509 *leaf = cert->leaf;
    time_t now = time(NULL);
    cert->not_before = (int64_t)now;
    cert->not_after = (int64_t)now + DAYS * 86400;
    return leaf != NULL && cert->chain != NULL && cert->key != NULL &&
           X509_set_version(leaf, X509_VERSION_3) == 1 && set_serial(leaf) && set_name(leaf) &&
           ASN1_TIME_set(X509_getm_notBefore(leaf), now) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(leaf), DAYS, 0, &now) != NULL &&
           X509_set_pubkey(leaf, cert->key) == 1 && X509_sign(leaf, cert->key, EVP_sha256()) > 0;
}

struct lt_tls_cert *lt_tls_cert_temporary(void)
{
    struct lt_tls_cert *cert = lt_calloc(1, sizeof(*cert));
    if (cert == NULL) {
        return NULL;
    }
    atomic_init(&cert->refs, 1);
    cert->temporary = true;
    cert->leaf = X509_new();
    cert->chain = sk_X509_new_null();
    cert->key = EVP_EC_gen("P-256");
    if (!fill(cert)) {
        ERR_clear_error();
        lt_tls_cert_free(cert);
        return NULL;
    }
    X509_check_purpose(cert->leaf, -1, 0); /* fills its caches before threads share it */
    return cert;
}

bool lt_tls_cert_is_temporary(const struct lt_tls_cert *cert)
{
    return cert->temporary;
}
