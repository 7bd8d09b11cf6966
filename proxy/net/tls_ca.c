/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities and revocation lists from PEM files. */
#include "net/tls_ca.h"

#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/tls_impl.h"

/* Whether all of the file was read: what ended it is that nothing more began. */
static bool at_end(void)
{
    bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (end) {
        ERR_clear_error();
    }
    return end;
}

X509_STORE *lt_tls_ca_load(struct lt_files *files, struct lt_arena *arena, struct lt_str file,
                           struct lt_tls_complaint *out)
{
    BIO *bio = lt_tls_read_pem(files, arena, file, BIO_s_mem(), out);
    if (bio == NULL) {
        return NULL;
    }
    X509_STORE *store = X509_STORE_new();
    X509 *cert = NULL;
    unsigned n = 0;
    bool ok = store != NULL;
    while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        ok = X509_STORE_add_cert(store, cert) == 1;
        X509_check_purpose(cert, -1, 0); /* fills its caches before threads share it */
        X509_free(cert);
        n++;
    }
    if (!ok || !at_end()) {
        lt_tls_complain(arena, out, file, "a certificate of an authority can't be read",
                        "the file is cut off or damaged");
        ok = false;
    } else if (n == 0) {
        lt_tls_complain(arena, out, file, "holds no certificate in PEM form",
                        "name a PEM file with the certificates of the authorities");
        ok = false;
    }
    BIO_free(bio);
    if (!ok) {
        X509_STORE_free(store);
    }
    return ok ? store : NULL;
}

static int64_t ends_at(const X509_CRL *crl)
{
    struct tm tm;
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    return next != NULL && ASN1_TIME_to_tm(next, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MAX;
}

/* Whether an authority of store has signed it. */
static bool is_ours(X509_STORE *store, X509_CRL *crl)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    bool ours = false;
    for (int i = 0; !ours && i < sk_X509_OBJECT_num(objects); i++) {
        X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        ours = ca != NULL &&
               X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(crl)) == 0 &&
               X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1;
    }
    ERR_clear_error();
    return ours;
}

/* False: *what says why it can't be used. */
static bool add_crl(X509_STORE *store, X509_CRL *crl, int64_t *next_update, const char **what,
                    const char **hint)
{
    if (!is_ours(store, crl)) {
        *what = "none of the authorities in `ca` has signed a revocation list in it";
        *hint = "give the list of the authority that issues the clients' certificates";
        return false;
    }
    *next_update = lt_min(*next_update, ends_at(crl));
    *what = "a revocation list can't be used";
    return X509_STORE_add_crl(store, crl) == 1;
}

bool lt_tls_crl_load(X509_STORE *store, struct lt_files *files, struct lt_arena *arena,
                     struct lt_str file, int64_t *next_update, struct lt_tls_complaint *out)
{
    BIO *bio = lt_tls_read_pem(files, arena, file, BIO_s_mem(), out);
    if (bio == NULL) {
        return false;
    }
    X509_CRL *crl = NULL;
    const char *what = "holds no revocation list in PEM form";
    const char *hint = "it begins with -----BEGIN X509 CRL-----; from DER: openssl crl -inform DER "
                       "-in FILE -out FILE.pem";
    unsigned n = 0;
    bool ok = true;
    *next_update = INT64_MAX;
    while (ok && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        ok = add_crl(store, crl, next_update, &what, &hint);
        X509_CRL_free(crl);
        n++;
    }
    if (ok && !at_end()) {
        what = "a revocation list can't be read";
        hint = "the file is cut off or damaged";
        ok = false;
    }
    ok = ok && n > 0;
    if (!ok) {
        lt_tls_complain(arena, out, file, what, hint);
    }
    BIO_free(bio);
    return ok && X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}
