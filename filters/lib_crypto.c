/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.crypto: digests, HMAC, comparison in constant time, base64, hex, random bytes. The OpenSSL
 * objects are fetched once per Lua state: fetching costs more than hashing a key. */
#include "filters/lib_crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/mem.h"
#include "base/rand.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

#define RANDOM_MAX 1024
#define TEXT_MAX ((size_t)1 << 20)

struct lt_crypto {
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    EVP_MAC *hmac;
    EVP_MAC_CTX *mac; /* with SHA-256 set */
};

void lt_crypto_free(struct lt_crypto *crypto)
{
    if (crypto != NULL) {
        EVP_MAC_CTX_free(crypto->mac);
        EVP_MAC_free(crypto->hmac);
        EVP_MD_CTX_free(crypto->digest);
        EVP_MD_free(crypto->sha256);
        lt_free(crypto);
    }
}

static struct lt_crypto *make(void)
{
    struct lt_crypto *c = lt_calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    c->digest = EVP_MD_CTX_new();
    c->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    c->mac = EVP_MAC_CTX_new(c->hmac);
    if (c->sha256 == NULL || c->digest == NULL || c->mac == NULL ||
        !EVP_MAC_CTX_set_params(c->mac, params)) {
        lt_crypto_free(c);
        return NULL;
    }
    return c;
}

static struct lt_crypto *crypto_of(lua_State *L)
{
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    if (LT_UNLIKELY(fvm->crypto == NULL)) {
        fvm->crypto = make();
        if (fvm->crypto == NULL) {
            luaL_error(L, "the crypto library has no SHA-256");
        }
    }
    return fvm->crypto;
}

static void push_hex(lua_State *L, const unsigned char *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, 2 * n);
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    luaL_pushresultsize(&b, 2 * n);
}

static unsigned digest(lua_State *L, unsigned char md[EVP_MAX_MD_SIZE])
{
    struct lt_crypto *c = crypto_of(L);
    struct lt_str s = lt_lua_check_str(L, 1);
    unsigned n = 0;
    if (!EVP_DigestInit_ex2(c->digest, c->sha256, NULL) ||
        !EVP_DigestUpdate(c->digest, s.p, s.len) || !EVP_DigestFinal_ex(c->digest, md, &n)) {
        luaL_error(L, "SHA-256 failed");
    }
    return n;
}

static int sha256(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = digest(L, md);
    lua_pushlstring(L, (const char *)md, n);
    return 1;
}

static int sha256_hex(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    push_hex(L, md, digest(L, md));
    return 1;
}

static size_t hmac(lua_State *L, unsigned char md[EVP_MAX_MD_SIZE])
{
    struct lt_crypto *c = crypto_of(L);
    struct lt_str key = lt_lua_check_str(L, 1), s = lt_lua_check_str(L, 2);
    size_t n = 0;
    if (!EVP_MAC_init(c->mac, (const unsigned char *)key.p, key.len, NULL) ||
        !EVP_MAC_update(c->mac, (const unsigned char *)s.p, s.len) ||
        !EVP_MAC_final(c->mac, md, &n, EVP_MAX_MD_SIZE)) {
        luaL_error(L, "HMAC failed");
    }
    return n;
}

/* hmac_sha256(key, text) */
static int hmac_sha256(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t n = hmac(L, md);
    lua_pushlstring(L, (const char *)md, n);
    return 1;
}

static int hmac_sha256_hex(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t n = hmac(L, md);
    push_hex(L, md, n);
    return 1;
}

/* Lengths are no secret, contents are. */
static int constant_time_equal(lua_State *L)
{
    struct lt_str a = lt_lua_check_str(L, 1), b = lt_lua_check_str(L, 2);
    lua_pushboolean(L, a.len == b.len && CRYPTO_memcmp(a.p, b.p, a.len) == 0);
    return 1;
}

static int random_bytes(lua_State *L)
{
    char bytes[RANDOM_MAX];
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 1 && n <= RANDOM_MAX, 1, "1 to 1024 bytes");
    lt_rand_bytes(bytes, (size_t)n);
    lua_pushlstring(L, bytes, (size_t)n);
    return 1;
}

/* ---- text forms ---- */

static struct lt_str check_text(lua_State *L)
{
    struct lt_str s = lt_lua_check_str(L, 1);
    luaL_argcheck(L, s.len <= TEXT_MAX, 1, "more than 1 MB");
    return s;
}

static int hex_encode(lua_State *L)
{
    struct lt_str s = check_text(L);
    push_hex(L, (const unsigned char *)s.p, s.len);
    return 1;
}

/* nil when it is not hex. */
static int hex_decode(lua_State *L)
{
    struct lt_str s = check_text(L);
    luaL_Buffer b;
    if (s.len % 2 != 0) {
        return lt_lua_nil(L);
    }
    char *out = luaL_buffinitsize(L, &b, s.len / 2);
    for (size_t i = 0; i < s.len; i += 2) {
        int high = lt_char_hex(s.p[i]), low = lt_char_hex(s.p[i + 1]);
        if (high < 0 || low < 0) {
            return lt_lua_nil(L);
        }
        out[i / 2] = (char)(high << 4 | low);
    }
    luaL_pushresultsize(&b, s.len / 2);
    return 1;
}

static const char base64_plain[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int encode(lua_State *L, const char *digits, bool pad)
{
    struct lt_str s = check_text(L);
    luaL_Buffer b;
    size_t n = 0;
    char *out = luaL_buffinitsize(L, &b, (s.len + 2) / 3 * 4);
    for (size_t i = 0; i < s.len; i += 3) {
        size_t left = lt_min(s.len - i, (size_t)3);
        uint32_t v = (uint32_t)(unsigned char)s.p[i] << 16;
        v |= left > 1 ? (uint32_t)(unsigned char)s.p[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)(unsigned char)s.p[i + 2] : 0;
        for (size_t k = 0; k < 4; k++) {
            if (k <= left) {
                out[n++] = digits[v >> (18 - 6 * k) & 63];
            } else if (pad) {
                out[n++] = '=';
            }
        }
    }
    luaL_pushresultsize(&b, n);
    return 1;
}

static int digit_value(const char *digits, char c)
{
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* nil when it is not base64: a stray byte, a wrong length, bits left over (RFC 4648 §3.5). */
static int decode(lua_State *L, const char *digits, bool padded)
{
    struct lt_str s = check_text(L);
    luaL_Buffer b;
    uint32_t v = 0;
    unsigned bits = 0;
    size_t n = 0;
    if (padded && s.len % 4 != 0) {
        return lt_lua_nil(L);
    }
    for (unsigned i = 0; padded && i < 2 && s.len > 0 && s.p[s.len - 1] == '='; i++) {
        s.len--;
    }
    if (s.len % 4 == 1) {
        return lt_lua_nil(L);
    }
    char *out = luaL_buffinitsize(L, &b, s.len / 4 * 3 + 3);
    for (size_t i = 0; i < s.len; i++) {
        int d = digit_value(digits, s.p[i]);
        if (d < 0) {
            return lt_lua_nil(L);
        }
        v = (v << 6 | (uint32_t)d) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (char)(v >> bits & 255);
        }
    }
    if ((v & ((1u << bits) - 1)) != 0) {
        return lt_lua_nil(L);
    }
    luaL_pushresultsize(&b, n);
    return 1;
}

static int base64_encode(lua_State *L)
{
    return encode(L, base64_plain, true);
}

static int base64_decode(lua_State *L)
{
    return decode(L, base64_plain, true);
}

static int base64url_encode(lua_State *L)
{
    return encode(L, base64_url, false);
}

static int base64url_decode(lua_State *L)
{
    return decode(L, base64_url, false);
}

void lt_lua_open_crypto(lua_State *L)
{
    static const luaL_Reg lib[] = {
        {"sha256", sha256},
        {"sha256_hex", sha256_hex},
        {"hmac_sha256", hmac_sha256},
        {"hmac_sha256_hex", hmac_sha256_hex},
        {"constant_time_equal", constant_time_equal},
        {"random_bytes", random_bytes},
        {"hex_encode", hex_encode},
        {"hex_decode", hex_decode},
        {"base64_encode", base64_encode},
        {"base64_decode", base64_decode},
        {"base64url_encode", base64url_encode},
        {"base64url_decode", base64url_decode},
        {NULL, NULL},
    };
    luaL_newlib(L, lib);
}
