/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.crypto: digests, HMAC, comparison in constant time, base64, hex, random bytes, hashes of
 * passwords (crypt.h). */
#include "filters/api.h"
#include "filters/crypto.h"

#include <openssl/crypto.h>

#include "base/base64.h"
#include "base/rand.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

#define RANDOM_MAX 1024
#define TEXT_MAX ((size_t)1 << 20)

struct lt_crypto *lt_lua_crypto(lua_State *L)
{
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    if (LT_UNLIKELY(fvm->crypto == NULL)) {
        fvm->crypto = lt_crypto_new();
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

/* The name of a hash at arg. */
static enum lt_hash_name check_hash(lua_State *L, int arg)
{
    enum lt_hash_name hash = lt_hash_find(lt_lua_check_str(L, arg));
    luaL_argcheck(L, hash != LT_HASHES, arg, "\"sha1\", \"sha256\", \"sha384\" or \"sha512\"");
    return hash;
}

static size_t digest_of(lua_State *L, enum lt_hash_name hash, int text,
                        unsigned char md[EVP_MAX_MD_SIZE])
{
    struct lt_str s = lt_lua_check_str(L, text);
    size_t n;
    if (!lt_crypto_digest(lt_lua_crypto(L), hash, s, md, &n)) {
        luaL_error(L, "the crypto library does not give this digest");
    }
    return n;
}

/* The text's index is key + 1. */
static size_t hmac_of(lua_State *L, enum lt_hash_name hash, int key,
                      unsigned char md[EVP_MAX_MD_SIZE])
{
    struct lt_str k = lt_lua_check_str(L, key), s = lt_lua_check_str(L, key + 1);
    size_t n;
    if (!lt_crypto_hmac(lt_lua_crypto(L), hash, k, s, md, &n)) {
        luaL_error(L, "the crypto library does not give this HMAC");
    }
    return n;
}

/* digest(hash, text) */
static int digest(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t n = digest_of(L, check_hash(L, 1), 2, md);
    lua_pushlstring(L, (const char *)md, n);
    return 1;
}

static int sha256(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t n = digest_of(L, LT_HASH_SHA256, 1, md);
    lua_pushlstring(L, (const char *)md, n);
    return 1;
}

static int sha256_hex(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t n = digest_of(L, LT_HASH_SHA256, 1, md);
    push_hex(L, md, n);
    return 1;
}

/* hmac_sha256(key, text) */
static int hmac_sha256(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t n = hmac_of(L, LT_HASH_SHA256, 1, md);
    lua_pushlstring(L, (const char *)md, n);
    return 1;
}

static int hmac_sha256_hex(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t n = hmac_of(L, LT_HASH_SHA256, 1, md);
    push_hex(L, md, n);
    return 1;
}

/* sign(hash, key, text): the HMAC, raw. */
static int sign(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t n = hmac_of(L, check_hash(L, 1), 2, md);
    lua_pushlstring(L, (const char *)md, n);
    return 1;
}

/* verify(hash, key, text, signature): whether it is that HMAC, raw; in constant time. */
static int verify(lua_State *L)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t n = hmac_of(L, check_hash(L, 1), 2, md);
    struct lt_str signature = lt_lua_check_str(L, 4);
    lua_pushboolean(L, signature.len == n && CRYPTO_memcmp(signature.p, md, n) == 0);
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

static int encode(lua_State *L, enum lt_base64 form)
{
    struct lt_str s = check_text(L);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, LT_BASE64_ENCODED(s.len));
    luaL_pushresultsize(&b, lt_base64_encode(form, s, out));
    return 1;
}

/* nil when it is not base64. */
static int decode(lua_State *L, enum lt_base64 form)
{
    struct lt_str s = check_text(L);
    luaL_Buffer b;
    size_t n;
    char *out = luaL_buffinitsize(L, &b, LT_BASE64_DECODED(s.len));
    if (!lt_base64_decode(form, s, (unsigned char *)out, &n)) {
        return lt_lua_nil(L);
    }
    luaL_pushresultsize(&b, n);
    return 1;
}

static int base64_encode(lua_State *L)
{
    return encode(L, LT_BASE64_PLAIN);
}

static int base64_decode(lua_State *L)
{
    return decode(L, LT_BASE64_PLAIN);
}

static int base64url_encode(lua_State *L)
{
    return encode(L, LT_BASE64_URL);
}

static int base64url_decode(lua_State *L)
{
    return decode(L, LT_BASE64_URL);
}

#define HASH "\"sha1\"|\"sha256\"|\"sha384\"|\"sha512\""
#define CODE "(text: string): string"
#define DECODE "(text: string): string?"

static const struct lt_api_row rows[] = {
    {"sha256", CODE, "The digest, raw.", sha256},
    {"sha256_hex", CODE, "The digest in hexadecimal.", sha256_hex},
    {"hmac_sha256", "(key: string, text: string): string", "The HMAC, raw.", hmac_sha256},
    {"hmac_sha256_hex", "(key: string, text: string): string", "The HMAC in hexadecimal.",
     hmac_sha256_hex},
    {"digest", "(hash: " HASH ", text: string): string", "A digest, raw.", digest},
    {"sign", "(hash: " HASH ", key: string, text: string): string", "An HMAC, raw.", sign},
    {"verify", "(hash: " HASH ", key: string, text: string, signature: string): boolean",
     "Whether `signature`, raw, is that HMAC, in constant time.", verify},
    {"constant_time_equal", "(a: string, b: string): boolean",
     "Compares secrets: how long it takes doesn't tell where they differ.", constant_time_equal},
    {"crypt_check", "(hash: string): true?, string? reason, string? why",
     "For `init`: whether `crypt_verify` takes that hash of a password; else nil, "
     "`unsupported_hash` and why.",
     lt_lua_crypt_check},
    {"crypt_verify", "(password: string, hash: string): boolean?, string? reason",
     "Waits while a thread computes the hash; else nil and `busy` or `unsupported_hash`.",
     lt_lua_crypt_verify},
    {"random_bytes", "(n: integer): string", "1 to 1024 bytes, fit for keys.", random_bytes},
    {"hex_encode", CODE, "", hex_encode},
    {"hex_decode", DECODE, "Nil for what is malformed.", hex_decode},
    {"base64_encode", CODE, "", base64_encode},
    {"base64_decode", DECODE, "Nil for what is malformed.", base64_decode},
    {"base64url_encode", CODE, "Without padding.", base64url_encode},
    {"base64url_decode", DECODE, "Nil for what is malformed.", base64url_decode},
    LT_API_END,
};

const struct lt_api lt_api_crypto = {
    .name = "lintel.crypto",
    .as = "lintel.crypto",
    .doc = "Digests, HMACs, passwords, encodings.",
    .page = "tokens.md",
    .rows = rows,
};
