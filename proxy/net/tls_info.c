/* SPDX-License-Identifier: Apache-2.0 */
/* What a handshake agreed on. Texts that come from certificates are made of printable ASCII here,
 * so that whoever logs them or sends them on needs no second look. */
#include "net/tls_info.h"

#include <stdio.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

/* Digits of a serial number; RFC 5280 §4.1.2.2 allows 40. */
#define SERIAL_MAX 128u

/* All texts of one certificate while they are gathered. */
struct texts {
    char subject[LT_TLS_SUBJECT_MAX], issuer[LT_TLS_SUBJECT_MAX];
    char serial[SERIAL_MAX];
    struct lt_buf san;
    char san_space[LT_TLS_SAN_MAX];
    char fingerprint[64];
    unsigned char *der; /* owned */
    int der_len;
    size_t subject_len, issuer_len, serial_len;
    int64_t not_after;
};

/* A name into out, which has LT_TLS_SUBJECT_MAX bytes. */
static bool put_dn(char *out, size_t *len, const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    /* Everything beyond printable ASCII comes escaped. */
    bool ok = bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0;
    long n = ok ? BIO_get_mem_data(bio, &text) : 0;
    ok = ok && n >= 0 && (size_t)n <= LT_TLS_SUBJECT_MAX;
    if (ok && n > 0) {
        memcpy(out, text, (size_t)n);
        *len = (size_t)n;
    }
    BIO_free(bio);
    return ok;
}

static bool put_serial(struct texts *t, const X509 *cert)
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *text = n != NULL ? BN_bn2hex(n) : NULL;
    bool ok = text != NULL && strlen(text) <= sizeof(t->serial);
    if (ok) {
        t->serial_len = strlen(text);
        memcpy(t->serial, text, t->serial_len);
    }
    OPENSSL_free(text);
    BN_free(n);
    return ok;
}

static bool put_end(struct texts *t, const X509 *cert)
{
    struct tm tm;
    bool ok = ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1;
    t->not_after = ok ? timegm(&tm) : 0;
    return ok;
}

/* One name: what isn't plain, or could end the list, is written as %XX. */
static void put_name(struct lt_buf *out, const char *kind, const unsigned char *p, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    if (out->len > 0) {
        lt_buf_char(out, ',');
    }
    lt_buf_str(out, lt_str_c(kind));
    for (size_t i = 0; i < n; i++) {
        if (p[i] > 0x20 && p[i] < 0x7f && p[i] != ',' && p[i] != '%' && p[i] != '"') {
            lt_buf_char(out, (char)p[i]);
        } else {
            char escaped[3] = {'%', digits[p[i] >> 4], digits[p[i] & 15]};
            lt_buf_add(out, escaped, sizeof(escaped));
        }
    }
}

static void put_address(struct lt_buf *out, const ASN1_OCTET_STRING *ip)
{
    const unsigned char *p = ASN1_STRING_get0_data(ip);
    char text[64];
    size_t at = 0;
    if (ASN1_STRING_length(ip) == 4) {
        at = (size_t)snprintf(text, sizeof(text), "%u.%u.%u.%u", p[0], p[1], p[2], p[3]);
    } else if (ASN1_STRING_length(ip) == 16) {
        for (size_t i = 0; i < 16; i += 2) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%x", i > 0 ? ":" : "",
                                   (unsigned)p[i] << 8 | p[i + 1]);
        }
    }
    if (at > 0) {
        put_name(out, "IP:", (const unsigned char *)text, at);
    }
}

/* Host names, URIs, mail and IP addresses; other kinds are left out. */
static void put_alt_name(struct lt_buf *out, const GENERAL_NAME *name)
{
    int type;
    const void *value = GENERAL_NAME_get0_value(name, &type);
    const char *kind = type == GEN_DNS     ? "DNS:"
                       : type == GEN_URI   ? "URI:"
                       : type == GEN_EMAIL ? "email:"
                                           : NULL;
    if (kind != NULL) {
        const ASN1_STRING *text = value;
        put_name(out, kind, ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
    } else if (type == GEN_IPADD) {
        put_address(out, value);
    }
}

static bool put_alt_names(struct texts *t, const X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    lt_buf_init_fixed(&t->san, t->san_space, sizeof(t->san_space));
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        put_alt_name(&t->san, sk_GENERAL_NAME_value(names, i));
    }
    GENERAL_NAMES_free(names);
    return !t->san.truncated;
}

static bool put_fingerprint(struct texts *t, const X509 *cert)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &n) != 1 || n != 32) {
        return false;
    }
    for (size_t i = 0; i < sizeof(t->fingerprint); i++) {
        t->fingerprint[i] = digits[digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    }
    return true;
}

/* A session that is resumed was verified when it began; its certificate may have ended since. */
static bool is_in_time(const X509 *cert)
{
    time_t now = (time_t)(lt_clock_wall_us() / 1000000);
    return X509_cmp_time(X509_get0_notAfter(cert), &now) > 0;
}

static const char *gather(struct texts *t, X509 *cert, unsigned tell)
{
    if (!is_in_time(cert)) {
        return "the client's certificate has expired";
    }
    if (!put_dn(t->subject, &t->subject_len, X509_get_subject_name(cert)) ||
        !put_dn(t->issuer, &t->issuer_len, X509_get_issuer_name(cert)) || !put_serial(t, cert) ||
        !put_alt_names(t, cert)) {
        return "the names in the client's certificate are too long";
    }
    if ((tell & LT_TLS_TELL_CERTIFICATE) != 0) {
        t->der_len = i2d_X509(cert, &t->der);
    }
    return !put_fingerprint(t, cert) || !put_end(t, cert) || t->der_len < 0
               ? "the client's certificate can't be written"
               : NULL;
}

/* Copies s to *at, which moves on. */
static struct lt_str place(char **at, const char *p, size_t n)
{
    char *to = *at;
    if (n > 0) {
        memcpy(to, p, n);
    }
    *at = to + n;
    return lt_str(to, n);
}

static struct lt_str place_base64(char **at, const unsigned char *p, size_t n)
{
    char *from = *at;
    *from = ':';
    size_t len = (size_t)EVP_EncodeBlock((unsigned char *)from + 1, p, (int)n) + 1;
    from[len++] = ':';
    *at = from + len + 1; /* EVP_EncodeBlock ends with a NUL, the colon lies there */
    return lt_str(from, len);
}

static struct lt_tls_info *make(struct lt_str sni, const struct texts *t)
{
    size_t der = t->der_len > 0 ? ((size_t)t->der_len + 2) / 3 * 4 + 4 : 0;
    struct lt_tls_info *info =
        lt_calloc(1, sizeof(*info) + sni.len + t->subject_len + t->issuer_len + t->serial_len +
                         t->san.len + 64 + der);
    if (info == NULL) {
        return NULL;
    }
    char *at = (char *)(info + 1);
    info->refs = 1;
    info->sni = place(&at, sni.p, sni.len);
    if (t->san.p != NULL) {
        info->subject = place(&at, t->subject, t->subject_len);
        info->issuer = place(&at, t->issuer, t->issuer_len);
        info->serial = place(&at, t->serial, t->serial_len);
        info->not_after = t->not_after;
        info->san = place(&at, t->san.p, t->san.len);
        info->fingerprint = place(&at, t->fingerprint, sizeof(t->fingerprint));
    }
    if (der > 0) {
        info->certificate = place_base64(&at, t->der, (size_t)t->der_len);
    }
    return info;
}

struct lt_tls_info *lt_tls_info_new(SSL *ssl, const struct lt_tls_policy *policy, struct lt_str sni,
                                    const char **why)
{
    struct texts t;
    X509 *cert = policy->spec.verify != LT_TLS_VERIFY_NONE ? SSL_get0_peer_certificate(ssl) : NULL;
    t.der = NULL;
    t.der_len = 0;
    t.subject_len = t.issuer_len = t.serial_len = 0;
    t.not_after = 0;
    t.san = (struct lt_buf){0};
    *why = NULL;
    if (cert != NULL) {
        *why = SSL_get_verify_result(ssl) != X509_V_OK ? "the client's certificate is not verified"
                                                       : gather(&t, cert, policy->spec.tell);
    } else if (policy->spec.verify == LT_TLS_VERIFY_REQUIRED) {
        *why = "the client has shown no certificate";
    }
    struct lt_tls_info *info = *why == NULL ? make(sni, &t) : NULL;
    OPENSSL_free(t.der);
    if (info == NULL) {
        return NULL;
    }
    info->resumed = SSL_session_reused(ssl);
    info->asks = policy->spec.verify != LT_TLS_VERIFY_NONE;
    info->verified = cert != NULL;
    info->version = SSL_get_version(ssl);
    info->cipher = SSL_get_cipher_name(ssl);
    info->tell = policy->spec.tell;
    memcpy(info->policy, policy->id, sizeof(info->policy));
    return info;
}

struct lt_tls_info *lt_tls_info_ref(struct lt_tls_info *info)
{
    if (info != NULL) {
        info->refs++;
    }
    return info;
}

void lt_tls_info_free(struct lt_tls_info *info)
{
    if (info != NULL && --info->refs == 0) {
        lt_free(info);
    }
}
