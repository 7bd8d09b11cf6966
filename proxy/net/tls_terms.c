/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, ciphers and groups: the profiles, and the lists that are written instead. Loader
 * thread. */
#include "net/tls_conf.h"

#include <stdio.h>

#include <openssl/err.h>

#include "config/load.h"

#define NAME_MAX_LEN 100u

/* Mozilla's "intermediate" without finite-field Diffie-Hellman: all forward secret and
 * authenticated. The order is ours; clients that put ChaCha20 first, because they have no AES in
 * hardware, get it. */
#define CIPHERS                                                                                    \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

static const struct lt_tls_terms profiles[] = {
    [LT_TLS_PROFILE_MODERN] = {TLS1_3_VERSION, TLS1_3_VERSION, CIPHERS, SUITES, GROUPS},
    [LT_TLS_PROFILE_INTERMEDIATE] = {TLS1_2_VERSION, TLS1_3_VERSION, CIPHERS, SUITES, GROUPS},
};

/* ---- Names ---- */

/* Whether the list has this cipher and no other of its versions. */
static bool has_just(SSL_CTX *ctx, const char *name)
{
    STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
    unsigned others = 0;
    bool found = false;
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
        bool same = strcmp(SSL_CIPHER_get_name(cipher), name) == 0;
        found |= same;
        others += !same && strcmp(SSL_CIPHER_get_version(cipher), "TLSv1.3") != 0;
    }
    return found && others == 0;
}

static bool knows_cipher(SSL_CTX *ctx, const char *name)
{
    return SSL_CTX_set_cipher_list(ctx, name) == 1 && has_just(ctx, name);
}

static bool knows_suite(SSL_CTX *ctx, const char *name)
{
    return SSL_CTX_set_ciphersuites(ctx, name) == 1;
}

static bool knows_group(SSL_CTX *ctx, const char *name)
{
    return SSL_CTX_set1_groups_list(ctx, name) == 1;
}

static void check_names(struct lt_schema_load *load, const struct lt_node *node, const void *value,
                        bool (*knows)(SSL_CTX *ctx, const char *name), const char *what,
                        const char *hint)
{
    const struct lt_conf_list *list = value;
    const struct lt_str *names = list->items;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    load->nomem |= ctx == NULL;
    for (size_t i = 0; ctx != NULL && i < list->n; i++) {
        bool plain = names[i].len <= NAME_MAX_LEN && lt_str_chr(names[i], ':', 0) == SIZE_MAX;
        if (!plain || !knows(ctx, names[i].p)) {
            lt_diag_error(load->diags, i < node->n_items ? node->items[i]->pos : node->pos, hint,
                          "\"%.*s\" is no %s that can be used",
                          LT_STR_ARG(lt_str_sub(names[i], 0, NAME_MAX_LEN)), what);
        }
    }
    SSL_CTX_free(ctx);
    ERR_clear_error();
}

void lt_tls_check_ciphers(struct lt_schema_load *load, const struct lt_node *node,
                          const void *value)
{
    check_names(load, node, value, knows_cipher, "cipher of TLS 1.2",
                "`openssl ciphers -s -tls1_2` lists them; those of TLS 1.3 stand in ciphersuites");
}

void lt_tls_check_suites(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    check_names(load, node, value, knows_suite, "cipher of TLS 1.3",
                "`openssl ciphers -s -tls1_3` lists them; those of TLS 1.2 stand in ciphers");
}

void lt_tls_check_groups(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    check_names(load, node, value, knows_group, "group", "use X25519, P-256, P-384 or P-521");
}

/* ---- What holds ---- */

/* The names as OpenSSL reads them, or what is there already when the list isn't set. */
static bool join(struct lt_arena *arena, const struct lt_conf_list *list, bool set,
                 const char **text)
{
    const struct lt_str *names = list->items;
    size_t len = 0;
    if (!set) {
        return true;
    }
    for (size_t i = 0; i < list->n; i++) {
        len += names[i].len + 1;
    }
    char *p = lt_arena_chars(arena, len + 1), *at = p;
    for (size_t i = 0; p != NULL && i < list->n; i++) {
        if (i > 0) {
            *at++ = ':';
        }
        memcpy(at, names[i].p, names[i].len);
        at += names[i].len;
    }
    if (p == NULL) {
        return false;
    }
    *at = '\0';
    *text = p;
    return true;
}

static int version_of(int choice)
{
    return choice == 1 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

/* obj has `terms` at this offset. */
static bool add(struct lt_arena *arena, const void *obj, size_t at,
                const struct lt_tls_terms_conf *conf, struct lt_tls_terms *out)
{
#define SET(member) lt_schema_is_set(obj, at + offsetof(struct lt_tls_terms_conf, member))
    if (SET(profile)) {
        *out = profiles[conf->profile];
    }
    if (SET(min_version)) {
        out->min_version = version_of(conf->min_version);
    }
    if (SET(max_version)) {
        out->max_version = version_of(conf->max_version);
    }
    return join(arena, &conf->ciphers, SET(ciphers), &out->ciphers) &&
           join(arena, &conf->ciphersuites, SET(ciphersuites), &out->suites) &&
           join(arena, &conf->groups, SET(groups), &out->groups);
#undef SET
}

bool lt_tls_terms_resolve(struct lt_arena *arena, const struct lt_tls_conf *top,
                          const struct lt_tls_site_conf *site, struct lt_tls_terms *out)
{
    *out = profiles[LT_TLS_PROFILE_INTERMEDIATE];
    return add(arena, top, offsetof(struct lt_tls_conf, terms), &top->terms, out) &&
           (site == NULL ||
            add(arena, site, offsetof(struct lt_tls_site_conf, terms), &site->terms, out));
}
