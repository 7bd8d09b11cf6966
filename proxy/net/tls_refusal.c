/* SPDX-License-Identifier: Apache-2.0 */
/* From OpenSSL's errors to the kinds of failure that operators can tell apart. */
#include "net/tls_impl.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>

/* The reasons that concern one kind. */
static enum lt_refusal by_reason(int reason)
{
    static const struct {
        int reason;
        enum lt_refusal refusal;
    } known[] = {
        {SSL_R_HTTP_REQUEST, LT_REFUSAL_NOT_TLS},
        {SSL_R_HTTPS_PROXY_REQUEST, LT_REFUSAL_NOT_TLS},
        {SSL_R_WRONG_VERSION_NUMBER, LT_REFUSAL_NOT_TLS},
        {SSL_R_UNSUPPORTED_PROTOCOL, LT_REFUSAL_NO_COMMON_VERSION},
        {SSL_R_UNSUPPORTED_SSL_VERSION, LT_REFUSAL_NO_COMMON_VERSION},
        {SSL_R_VERSION_TOO_LOW, LT_REFUSAL_NO_COMMON_VERSION},
        {SSL_R_INAPPROPRIATE_FALLBACK, LT_REFUSAL_NO_COMMON_VERSION},
        {SSL_R_NO_SHARED_CIPHER, LT_REFUSAL_NO_COMMON_CIPHER},
        {SSL_R_NO_CIPHERS_AVAILABLE, LT_REFUSAL_NO_COMMON_CIPHER},
        {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, LT_REFUSAL_NO_COMMON_CIPHER},
        {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, LT_REFUSAL_NO_COMMON_CIPHER},
        {SSL_R_NO_SUITABLE_KEY_SHARE, LT_REFUSAL_NO_COMMON_GROUP},
        {SSL_R_NO_SUITABLE_GROUPS, LT_REFUSAL_NO_COMMON_GROUP},
        {SSL_R_NO_SHARED_GROUPS, LT_REFUSAL_NO_COMMON_GROUP},
        {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, LT_REFUSAL_CERTIFICATE_MISSING},
        {SSL_R_CERTIFICATE_VERIFY_FAILED, LT_REFUSAL_CERTIFICATE_INVALID},
        {SSL_R_EXCESSIVE_MESSAGE_SIZE, LT_REFUSAL_MALFORMED},
        {ERR_R_MALLOC_FAILURE, LT_REFUSAL_INTERNAL},
        {ERR_R_INTERNAL_ERROR, LT_REFUSAL_INTERNAL},
    };
    if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
        return LT_REFUSAL_REFUSED_BY_CLIENT;
    }
    for (size_t i = 0; i < lt_countof(known); i++) {
        if (known[i].reason == reason) {
            return known[i].refusal;
        }
    }
    return LT_REFUSAL_MALFORMED;
}

enum lt_refusal lt_tls_refusal(const struct lt_tls *tls, enum lt_err err)
{
    if (tls->refusal != LT_REFUSAL_NONE) {
        return tls->refusal;
    }
    switch (err) {
    case LT_ERR_TIMEOUT:
        return LT_REFUSAL_TIMEOUT;
    case LT_ERR_NOMEM:
        return LT_REFUSAL_INTERNAL;
    case LT_ERR_TLS:
        return by_reason(ERR_GET_REASON(tls->code));
    default:
        return LT_REFUSAL_CLIENT_GONE; /* a default on purpose: whatever the socket said */
    }
}
