/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: 128 bits of HMAC-SHA256 over the names, found again by an open hash table over their
 * first bits, which are as good as random. */
#include "upstream/sticky.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define KEY_LABEL "lintel sticky"

struct lt_sticky_table {
    unsigned n;
    uint32_t mask;   /* slots - 1, a power of two */
    uint32_t *slots; /* server + 1; 0: free */
    char (*tokens)[LT_STICKY_TOKEN_LEN];
};

/* Fails only for lack of memory within OpenSSL. */
static bool digest(const void *key, size_t key_len, const void *text, size_t len,
                   unsigned char out[32])
{
    unsigned n = 0;
    return HMAC(EVP_sha256(), key, (int)key_len, text, len, out, &n) != NULL && n == 32;
}

enum lt_err lt_sticky_set_key(struct lt_sticky_options *options, struct lt_str secret,
                              const struct lt_hash_seed *seed)
{
    bool ok = secret.len > 0
                  ? digest(secret.p, secret.len, KEY_LABEL, strlen(KEY_LABEL), options->key)
                  : digest(seed, sizeof(*seed), KEY_LABEL, strlen(KEY_LABEL), options->key);
    return ok ? LT_OK : LT_ERR_NOMEM;
}

static bool make_token(const struct lt_sticky_options *options, struct lt_str upstream,
                       struct lt_str server, char token[LT_STICKY_TOKEN_LEN])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char text[1024], mac[32];
    if (upstream.len + 1 + server.len > sizeof(text)) {
        return false;
    }
    memcpy(text, upstream.p, upstream.len);
    text[upstream.len] = '\0';
    memcpy(text + upstream.len + 1, server.p, server.len);
    if (!digest(options->key, sizeof(options->key), text, upstream.len + 1 + server.len, mac)) {
        return false;
    }
    for (unsigned i = 0; i < LT_STICKY_TOKEN_LEN / 2; i++) {
        token[2 * i] = digits[mac[i] >> 4];
        token[2 * i + 1] = digits[mac[i] & 15];
    }
    return true;
}

static uint32_t slot_of(const char *token)
{
    uint32_t slot = 0;
    for (unsigned i = 0; i < 8; i++) {
        slot = slot << 4 | (uint32_t)(lt_char_hex(token[i]) & 15);
    }
    return slot;
}

enum lt_err lt_sticky_table_new(struct lt_arena *arena, const struct lt_sticky_options *options,
                                struct lt_str upstream, const struct lt_str *servers, unsigned n,
                                const struct lt_sticky_table **out)
{
    uint32_t size = 4;
    while (size < 2 * n) {
        size *= 2;
    }
    struct lt_sticky_table *t = lt_arena_zalloc(arena, 1, sizeof(*t));
    if (t == NULL || (t->slots = lt_arena_zalloc(arena, size, sizeof(*t->slots))) == NULL ||
        (t->tokens = lt_arena_zalloc(arena, n, sizeof(*t->tokens))) == NULL) {
        return LT_ERR_NOMEM;
    }
    t->n = n;
    t->mask = size - 1;
    for (unsigned i = 0; i < n; i++) {
        if (!make_token(options, upstream, servers[i], t->tokens[i])) {
            return LT_ERR_NOMEM;
        }
        uint32_t slot = slot_of(t->tokens[i]) & t->mask;
        while (t->slots[slot] != 0) {
            slot = (slot + 1) & t->mask;
        }
        t->slots[slot] = i + 1;
    }
    *out = t;
    return LT_OK;
}

int lt_sticky_find(const struct lt_sticky_table *t, struct lt_str value)
{
    if (value.len != LT_STICKY_TOKEN_LEN) {
        return -1;
    }
    uint32_t slot = slot_of(value.p) & t->mask;
    for (; t->slots[slot] != 0; slot = (slot + 1) & t->mask) {
        unsigned i = t->slots[slot] - 1;
        if (CRYPTO_memcmp(t->tokens[i], value.p, LT_STICKY_TOKEN_LEN) == 0) {
            return (int)i;
        }
    }
    return -1;
}

struct lt_str lt_sticky_token(const struct lt_sticky_table *t, unsigned server)
{
    return lt_str(t->tokens[server], LT_STICKY_TOKEN_LEN);
}

bool lt_sticky_cookie(struct lt_arena *arena, const struct lt_sticky_options *o,
                      struct lt_str token, bool https, struct lt_str *out)
{
    char age[40] = "";
    if (o->ttl_s > 0) {
        snprintf(age, sizeof(age), "; Max-Age=%llu", (unsigned long long)o->ttl_s);
    }
    return lt_arena_printf(arena, out, "%.*s=%.*s; Path=%.*s; HttpOnly; SameSite=%.*s%s%s",
                           LT_STR_ARG(o->name), LT_STR_ARG(token), LT_STR_ARG(o->path),
                           LT_STR_ARG(o->same_site), https ? "; Secure" : "", age);
}
