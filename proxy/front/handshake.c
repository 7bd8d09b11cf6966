/* SPDX-License-Identifier: Apache-2.0 */
/* The ends of TLS handshakes, counted and told. The worker's thread. */
#include "front/handshake.h"

#include "base/log.h"

#define LOG_INTERVAL_US UINT64_C(10000000)

/* What the world does to every open port is no reason to look up. */
static enum lt_log_level level_of(enum lt_refusal refusal)
{
    switch (refusal) {
    case LT_REFUSAL_CLIENT_GONE:
    case LT_REFUSAL_TIMEOUT:
    case LT_REFUSAL_NOT_TLS:
    case LT_REFUSAL_UNKNOWN_NAME:
    case LT_REFUSAL_MALFORMED:
        return LT_LOG_INFO;
    case LT_REFUSAL_NO_COMMON_VERSION:
    case LT_REFUSAL_NO_COMMON_CIPHER:
    case LT_REFUSAL_NO_COMMON_GROUP:
    case LT_REFUSAL_NO_COMMON_ALPN:
    case LT_REFUSAL_CERTIFICATE_MISSING:
    case LT_REFUSAL_CERTIFICATE_INVALID:
    case LT_REFUSAL_REFUSED_BY_CLIENT:
    case LT_REFUSAL_INTERNAL:
    case LT_REFUSAL_NONE:
    case LT_REFUSAL_COUNT:
        break;
    }
    return LT_LOG_WARN;
}

static void tell(struct lt_exchange_env *env, const struct lt_addr *peer, const struct lt_tls *tls,
                 enum lt_refusal refusal)
{
    struct lt_handshake_log *log = &env->handshakes[refusal];
    const struct lt_refusal_info *info = lt_refusal_info(refusal);
    uint64_t now = env->loop->now_us;
    char ip[LT_ADDR_TEXT_MAX];
    if (log->logged_us != 0 && now - log->logged_us <= LOG_INTERVAL_US) {
        log->untold++;
        return;
    }
    lt_log_at(level_of(refusal), "tls", "handshake_failed", LT_KV_CSTR("reason", info->name),
              LT_KV_STR("client", lt_str(ip, lt_addr_print_ip(peer, ip))),
              LT_KV_CSTR("text", info->text), LT_KV_CSTR("detail", lt_tls_error(tls)),
              LT_KV_CSTR("hint", info->hint), LT_KV_INT("untold", log->untold));
    log->logged_us = now;
    log->untold = 0;
}

void lt_front_tls_done(struct lt_exchange_env *env, const struct lt_addr *peer,
                       const struct lt_tls *tls, enum lt_err err)
{
    if (err != LT_OK) {
        enum lt_refusal refusal = lt_tls_refusal(tls, err);
        lt_metrics_add_refusal(env->metrics, refusal);
        tell(env, peer, tls, refusal);
        return;
    }
    lt_metrics_add(env->metrics, LT_COUNTER_TLS_HANDSHAKES, 1);
    if (lt_tls_info(tls)->resumed) {
        lt_metrics_add(env->metrics, LT_COUNTER_TLS_RESUMED, 1);
    }
}
