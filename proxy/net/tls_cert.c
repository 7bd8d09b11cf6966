/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates from PEM files, and the store that finds them by server name. Loaded by the loader
 * thread, then only read, by all workers. */
#include "net/tls_impl.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

#define PEM_FILE_MAX (1024 * 1024)
#define STORE_MAX 1000000 /* host patterns */
/* Bits of strength that OpenSSL's security level 2 asks for; weaker ones fail in each handshake. */
#define SECURITY_BITS_MIN 112

/* ---- Certificates ---- */

static const struct lt_tls_complaint no_memory = {LT_STR_INIT("out of memory"), NULL};

/* What goes wrong ends up as one sentence, with what may help. */
static void complain(struct lt_arena *arena, struct lt_tls_complaint *out, struct lt_str file,
                     const char *reason, const char *hint)
{
    out->hint = hint;
    if (!lt_arena_printf(arena, &out->why, "%.*s: %s", LT_STR_ARG(file), reason)) {
        *out = no_memory;
    }
}

static void complain_errno(struct lt_arena *arena, struct lt_tls_complaint *out, struct lt_str file,
                           int error)
{
    struct stat st;
    if (error == EACCES && stat(file.p, &st) == 0) {
        out->hint = "let the user that Lintel runs as read it, by its owner, group or mode";
        if (!lt_arena_printf(arena, &out->why,
                             "%.*s: permission denied (owner uid %u, mode %04o; running as uid %u)",
                             LT_STR_ARG(file), (unsigned)st.st_uid, (unsigned)st.st_mode & 07777u,
                             (unsigned)geteuid())) {
            *out = no_memory;
        }
        return;
    }
    complain(arena, out, file, strerror(error),
             error == ENOENT   ? "a relative path starts at the folder of this file"
             : error == EACCES ? "a folder on its path is closed to the user that Lintel runs as"
             : error == EISDIR ? "name the PEM file in it"
                               : NULL);
}

void lt_tls_complain(struct lt_arena *arena, struct lt_tls_complaint *out, struct lt_str file,
                     const char *what, const char *hint)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    char text[200];
    snprintf(text, sizeof(text), "%s (%s)", what, reason != NULL ? reason : "no reason given");
    complain(arena, out, file, text, hint);
    ERR_clear_error();
}

static bool add_piece(void *bio, const char *p, size_t n)
{
    return BIO_write(bio, p, (int)n) == (int)n;
}

BIO *lt_tls_read_pem(struct lt_files *files, struct lt_arena *arena, struct lt_str file,
                     const BIO_METHOD *memory, struct lt_tls_complaint *out)
{
    struct stat st;
    BIO *bio = BIO_new(memory);
    enum lt_err err = bio != NULL ? lt_files_read(files, file.p, PEM_FILE_MAX, &st, add_piece, bio)
                                  : LT_ERR_NOMEM;
    if (err == LT_OK) {
        return bio;
    }
    int error = errno;
    BIO_free(bio);
    if (err == LT_ERR_NOMEM || err == LT_ERR_LIMIT) {
        complain(arena, out, file, err == LT_ERR_LIMIT ? "larger than 1 MB" : "out of memory",
                 err == LT_ERR_LIMIT ? "name a file of certificates and keys alone" : NULL);
    } else if (error == ENODEV) {
        complain(arena, out, file, "not a regular file", "name a PEM file");
    } else {
        complain_errno(arena, out, file, error);
    }
    return NULL;
}

/* Nobody can be asked for a pass phrase here. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag;
    *(bool *)arg = true;
    return -1;
}

static bool load_chain(struct lt_tls_cert *cert, struct lt_files *files, struct lt_arena *arena,
                       struct lt_str file, struct lt_tls_complaint *out)
{
    bool asked = false, ok = false;
    BIO *bio = lt_tls_read_pem(files, arena, file, BIO_s_secmem(), out);
    if (bio == NULL) {
        return false;
    }
    cert->chain = sk_X509_new_null();
    cert->leaf = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, &asked);
    if (cert->chain == NULL || cert->leaf == NULL) {
        lt_tls_complain(arena, out, file, "holds no certificate in PEM form",
                        "it begins with -----BEGIN CERTIFICATE-----; from DER: openssl x509 "
                        "-inform DER -in FILE -out FILE.pem");
        goto out;
    }
    for (;;) {
        X509 *next = PEM_read_bio_X509(bio, NULL, no_passphrase, &asked);
        if (next == NULL) {
            break;
        }
        if (sk_X509_push(cert->chain, next) == 0) {
            X509_free(next);
            *out = no_memory;
            goto out;
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        lt_tls_complain(arena, out, file, "a certificate of the chain can't be read",
                        "the file is cut off or damaged: get it again from who issued it");
        goto out;
    }
    ERR_clear_error();
    ok = true;
out:
    BIO_free(bio);
    return ok;
}

static bool load_key(struct lt_tls_cert *cert, struct lt_files *files, struct lt_arena *arena,
                     struct lt_str file, struct lt_tls_complaint *out)
{
    bool asked = false;
    BIO *bio = lt_tls_read_pem(files, arena, file, BIO_s_secmem(), out);
    if (bio == NULL) {
        return false;
    }
    cert->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
    BIO_free(bio);
    if (cert->key != NULL) {
        return true;
    }
    if (asked) {
        ERR_clear_error();
        complain(arena, out, file, "the key is encrypted with a pass phrase; store it without one",
                 "openssl pkey -in FILE -out NEW-FILE");
    } else {
        lt_tls_complain(arena, out, file, "holds no private key in PEM form",
                        "is it the certificate's file? From DER: openssl pkey -inform DER -in FILE "
                        "-out FILE.pem");
    }
    return false;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* What would make each handshake fail, found now. */
static bool check_pair(struct lt_tls_cert *cert, struct lt_arena *arena, struct lt_str cert_file,
                       struct lt_str key_file, struct lt_tls_wrong *wrong)
{
    int bits = 0;
    char text[160];
    X509_check_purpose(cert->leaf, -1, 0); /* fills its caches before threads share it */
    cert->not_before = seconds_of(X509_get0_notBefore(cert->leaf));
    cert->not_after = seconds_of(X509_get0_notAfter(cert->leaf));
    if (X509_check_private_key(cert->leaf, cert->key) != 1) {
        ERR_clear_error();
        complain(arena, &wrong->key, key_file, "the key doesn't belong to the certificate",
                 "of a pair, `openssl x509 -noout -pubkey -in CERTIFICATE` and `openssl pkey "
                 "-pubout -in KEY` print the same; the site's own certificate comes first in its "
                 "file");
        return false;
    }
    if (EVP_PKEY_get_security_bits(cert->key) < SECURITY_BITS_MIN) {
        snprintf(text, sizeof(text), "a key of %d bits is too weak", EVP_PKEY_get_bits(cert->key));
        complain(arena, &wrong->key, key_file, text, "use ECDSA P-256 or RSA 2048");
        return false;
    }
    if ((X509_get_extension_flags(cert->leaf) & EXFLAG_SS) == 0 &&
        X509_get_signature_info(cert->leaf, NULL, NULL, &bits, NULL) == 1 &&
        bits < SECURITY_BITS_MIN) {
        complain(arena, &wrong->certificate, cert_file,
                 "its signature uses a hash that is too weak", "have it issued with SHA-256");
        return false;
    }
    return true;
}

struct lt_tls_cert *lt_tls_cert_load(struct lt_files *files, struct lt_arena *arena,
                                     struct lt_str cert_file, struct lt_str key_file,
                                     struct lt_tls_wrong *wrong)
{
    struct lt_tls_cert *cert = NULL;
    *wrong = (struct lt_tls_wrong){.certificate = {.hint = NULL}};
    if (!lt_arena_dup(arena, cert_file, &cert_file) || !lt_arena_dup(arena, key_file, &key_file) ||
        (cert = lt_calloc(1, sizeof(*cert))) == NULL) {
        wrong->certificate = no_memory;
        return NULL;
    }
    atomic_init(&cert->refs, 1);
    bool chain = load_chain(cert, files, arena, cert_file, &wrong->certificate);
    bool key = load_key(cert, files, arena, key_file, &wrong->key);
    if (chain && key && check_pair(cert, arena, cert_file, key_file, wrong)) {
        return cert;
    }
    lt_tls_cert_free(cert);
    return NULL;
}

void lt_tls_cert_free(struct lt_tls_cert *cert)
{
    if (cert != NULL && atomic_fetch_sub_explicit(&cert->refs, 1, memory_order_acq_rel) == 1) {
        X509_free(cert->leaf);
        sk_X509_pop_free(cert->chain, X509_free);
        EVP_PKEY_free(cert->key);
        lt_free(cert);
    }
}

int64_t lt_tls_cert_not_before(const struct lt_tls_cert *cert)
{
    return cert->not_before;
}

struct lt_tls_cert *lt_tls_cert_ref(struct lt_tls_cert *cert)
{
    atomic_fetch_add_explicit(&cert->refs, 1, memory_order_relaxed);
    return cert;
}

int64_t lt_tls_cert_not_after(const struct lt_tls_cert *cert)
{
    return cert->not_after;
}

/* ---- The store ---- */

struct lt_tls_store *lt_tls_store_new(void)
{
    struct lt_tls_store *store = lt_calloc(1, sizeof(*store));
    if (store != NULL) {
        atomic_init(&store->refs, 1);
        lt_map_init(&store->hosts, lt_hash_seed_random(), STORE_MAX);
    }
    return store;
}

struct lt_tls_store *lt_tls_store_ref(const struct lt_tls_store *store)
{
    struct lt_tls_store *s = (struct lt_tls_store *)store; /* const but for its count */
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static void entry_free(struct lt_tls_entry *entry)
{
    if (entry != NULL) {
        for (size_t i = 0; i < entry->n; i++) {
            lt_tls_cert_free(entry->certs[i]);
        }
        lt_tls_policy_free(entry->policy);
        lt_free(entry);
    }
}

void lt_tls_store_free(struct lt_tls_store *store)
{
    if (store == NULL || atomic_fetch_sub_explicit(&store->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    size_t at = 0;
    const struct lt_map_entry *e;
    while ((e = lt_map_next(&store->hosts, &at)) != NULL) {
        entry_free(e->value);
    }
    entry_free(store->fallback);
    lt_map_fini(&store->hosts);
    for (unsigned i = 0; i < store->n_policies; i++) {
        lt_tls_policy_free(store->policies[i]);
    }
    lt_free(store);
}

/* The number of the policy with this one's id in the store, where it is put if it isn't there;
 * LT_TLS_POLICIES_MAX: no room. */
static unsigned number_of(struct lt_tls_store *store, struct lt_tls_policy *policy)
{
    unsigned i = 0;
    while (i < store->n_policies &&
           memcmp(store->policies[i]->id, policy->id, sizeof(policy->id)) != 0) {
        i++;
    }
    if (i == store->n_policies && i < LT_TLS_POLICIES_MAX) {
        store->policies[store->n_policies++] = lt_tls_policy_ref(policy);
    }
    return i;
}

static enum lt_err entry_new(struct lt_tls_store *store, struct lt_str host,
                             struct lt_tls_policy *policy, const struct lt_tls_cert *const *certs,
                             size_t n, struct lt_tls_entry **out)
{
    unsigned number = number_of(store, policy);
    if (number == LT_TLS_POLICIES_MAX) {
        return LT_ERR_LIMIT;
    }
    struct lt_tls_entry *entry =
        lt_calloc(1, sizeof(*entry) + n * sizeof(entry->certs[0]) + host.len);
    if (entry == NULL) {
        return LT_ERR_NOMEM;
    }
    char *name = (char *)&entry->certs[n];
    for (size_t i = 0; i < host.len; i++) {
        name[i] = lt_char_lower(host.p[i]);
    }
    if (host.len > 1 && host.p[host.len - 1] == '.') {
        host.len--; /* the root's dot, as in server names and hosts of requests */
    }
    entry->host = lt_str(name, host.len);
    entry->policy = lt_tls_policy_ref(policy);
    entry->policy_index = number;
    for (size_t i = 0; i < n; i++) {
        entry->certs[i] = lt_tls_cert_ref((struct lt_tls_cert *)certs[i]); /* const but for that */
    }
    entry->n = n;
    *out = entry;
    return LT_OK;
}

enum lt_err lt_tls_store_add(struct lt_tls_store *store, struct lt_str host,
                             struct lt_tls_policy *policy, const struct lt_tls_cert *const *certs,
                             size_t n)
{
    struct lt_tls_entry *entry;
    enum lt_err err = entry_new(store, host, policy, certs, n, &entry);
    if (err != LT_OK) {
        return err;
    }
    err = lt_map_get(&store->hosts, entry->host) != NULL
              ? LT_ERR_EXISTS
              : lt_map_set(&store->hosts, entry->host, entry);
    if (err != LT_OK) {
        entry_free(entry);
        return err;
    }
    if (store->first == NULL) {
        store->first = entry;
    }
    return LT_OK;
}

enum lt_err lt_tls_store_add_fallback(struct lt_tls_store *store, struct lt_tls_policy *policy,
                                      const struct lt_tls_cert *const *certs, size_t n)
{
    if (store->fallback != NULL) {
        return LT_ERR_EXISTS;
    }
    enum lt_err err = entry_new(store, LT_STR_NONE, policy, certs, n, &store->fallback);
    if (err == LT_OK && store->first == NULL) {
        store->first = store->fallback;
    }
    return err;
}

const struct lt_tls_entry *lt_tls_store_find(const struct lt_tls_store *store, struct lt_str name)
{
    char pattern[256];
    const struct lt_tls_entry *found = lt_map_get(&store->hosts, name);
    size_t dot = lt_str_chr(name, '.', 0);
    while (found == NULL && dot != SIZE_MAX && name.len - dot + 1 < sizeof(pattern)) {
        pattern[0] = '*';
        memcpy(pattern + 1, name.p + dot, name.len - dot);
        found = lt_map_get(&store->hosts, lt_str(pattern, name.len - dot + 1));
        dot = lt_str_chr(name, '.', dot + 1);
    }
    return found != NULL ? found : lt_map_get(&store->hosts, LT_STR("*"));
}

/* ---- Files that may change ---- */

struct lt_tls_stamp lt_tls_stamp(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return (struct lt_tls_stamp){.inode = 0};
    }
    return (struct lt_tls_stamp){
        .device = (uint64_t)st.st_dev,
        .inode = (uint64_t)st.st_ino,
        .size = (uint64_t)st.st_size,
        .changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec,
        .modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
}

bool lt_tls_stamp_eq(const struct lt_tls_stamp *a, const struct lt_tls_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed_ns == b->changed_ns && a->modified_ns == b->modified_ns;
}
