/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/password.h"

#include <crypt.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

/* Costs that one attempt may have: about four seconds, and LT_PASSWORD_MEMORY (128 * N * r). */
#define BCRYPT_COST_MAX 16u
#define SHA_ROUNDS_MAX 5000000u
#define YESCRYPT_LOG2_N_MAX 13
#define YESCRYPT_R_MAX 32
#define APR1_SALT_MAX 8u
#define MD5_LEN 16u

/* The alphabet of all these hashes, by value. */
static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static int digit_value(char c)
{
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static bool is_apr1(struct lt_str hash)
{
    return lt_str_starts(hash, LT_STR("$apr1$"));
}

/* ---- which ones, and at what cost ---- */

/* $2y$12$ and 53 digits. */
static const char *check_bcrypt(struct lt_str hash)
{
    uint64_t cost;
    if (hash.len != 60 || (hash.p[2] != 'b' && hash.p[2] != 'y' && hash.p[2] != 'a') ||
        !lt_str_to_u64(lt_str_sub(hash, 4, 6), &cost)) {
        return "is no hash of bcrypt: $2y$, $2b$ or $2a$, a cost, 53 letters";
    }
    return cost <= BCRYPT_COST_MAX ? NULL : "has a cost of bcrypt over 16";
}

/* $6$salt$..., $6$rounds=5000$salt$... */
static const char *check_sha_crypt(struct lt_str hash)
{
    const struct lt_str key = LT_STR("rounds=");
    struct lt_str rest = lt_str_sub(hash, 3, hash.len);
    uint64_t rounds;
    if (!lt_str_starts(rest, key)) {
        return NULL;
    }
    rest = lt_str_sub(rest, key.len, rest.len);
    if (!lt_str_to_u64(lt_str_sub(rest, 0, lt_str_chr(rest, '$', 0)), &rounds)) {
        return "has no number of rounds after `rounds=`";
    }
    return rounds <= SHA_ROUNDS_MAX ? NULL : "has more than 5,000,000 rounds";
}

/* $y$j9T$salt$...: a flavour, log2 of N, r; nothing else. */
static const char *check_yescrypt(struct lt_str hash)
{
    struct lt_str settings = lt_str_sub(hash, 3, lt_str_chr(hash, '$', 3));
    if (settings.len != 3 || settings.p[0] != 'j' || digit_value(settings.p[1]) < 0 ||
        digit_value(settings.p[2]) < 0) {
        return "has settings of yescrypt that Lintel does not know: only such as j9T";
    }
    return digit_value(settings.p[1]) + 1 <= YESCRYPT_LOG2_N_MAX &&
                   digit_value(settings.p[2]) + 1 <= YESCRYPT_R_MAX
               ? NULL
               : "takes more than 32 MB for one attempt of yescrypt";
}

/* $apr1$salt$22 digits */
static const char *check_apr1(struct lt_str hash)
{
    struct lt_str salt = lt_str_sub(hash, 6, lt_str_chr(hash, '$', 6));
    bool ok = salt.len >= 1 && salt.len <= APR1_SALT_MAX && hash.len == 6 + salt.len + 1 + 22;
    return ok ? NULL : "is no hash of $apr1$: a salt of 1 to 8 letters, 22 more";
}

static const char *check_form(struct lt_str hash)
{
    if (hash.len > LT_PASSWORD_HASH_MAX || memchr(hash.p, '\0', hash.len) != NULL) {
        return "is too long or holds a NUL byte";
    }
    if (is_apr1(hash)) {
        return check_apr1(hash);
    }
    if (lt_str_starts(hash, LT_STR("$2"))) {
        return check_bcrypt(hash);
    }
    if (lt_str_starts(hash, LT_STR("$5$")) || lt_str_starts(hash, LT_STR("$6$"))) {
        return check_sha_crypt(hash);
    }
    if (lt_str_starts(hash, LT_STR("$y$"))) {
        return check_yescrypt(hash);
    }
    return lt_str_starts(hash, LT_STR("{SHA}"))
               ? "is a plain SHA-1 digest, which is found by trying billions a second: make a new "
                 "one with htpasswd -B"
               : "is none of bcrypt ($2y$), SHA-crypt ($5$, $6$), yescrypt ($y$) and $apr1$";
}

bool lt_password_check(struct lt_str hash, const char **why)
{
    *why = hash.len > 0 ? check_form(hash) : "is empty";
    return *why == NULL;
}

/* ---- $apr1$ ---- */

/* MD5 of pieces; a failure is remembered. */
struct md5 {
    EVP_MD *md;
    EVP_MD_CTX *sum;
    bool failed;
};

static void begin(struct md5 *m)
{
    m->failed |= EVP_DigestInit_ex2(m->sum, m->md, NULL) != 1;
}

static void add(struct md5 *m, const void *p, size_t n)
{
    m->failed |= EVP_DigestUpdate(m->sum, p, n) != 1;
}

static void end(struct md5 *m, unsigned char out[MD5_LEN])
{
    m->failed |= EVP_DigestFinal_ex(m->sum, out, NULL) != 1;
}

static void apr1_first(struct md5 *m, struct lt_str password, struct lt_str salt,
                       unsigned char out[MD5_LEN])
{
    begin(m);
    add(m, password.p, password.len);
    add(m, salt.p, salt.len);
    add(m, password.p, password.len);
    end(m, out);
    begin(m);
    add(m, password.p, password.len);
    add(m, "$apr1$", 6);
    add(m, salt.p, salt.len);
    for (size_t left = password.len; left > 0; left -= lt_min(left, MD5_LEN)) {
        add(m, out, lt_min(left, MD5_LEN));
    }
    for (size_t bits = password.len; bits > 0; bits >>= 1) {
        add(m, (bits & 1) != 0 ? "" : password.p, 1);
    }
    end(m, out);
}

static void apr1_round(struct md5 *m, unsigned round, struct lt_str password, struct lt_str salt,
                       unsigned char sum[MD5_LEN])
{
    bool odd = round % 2 != 0;
    begin(m);
    add(m, odd ? password.p : (const char *)sum, odd ? password.len : MD5_LEN);
    if (round % 3 != 0) {
        add(m, salt.p, salt.len);
    }
    if (round % 7 != 0) {
        add(m, password.p, password.len);
    }
    add(m, odd ? (const char *)sum : password.p, odd ? MD5_LEN : password.len);
    end(m, sum);
}

/* The digits of the sum, in the order that crypt's MD5 has them. */
static void apr1_write(const unsigned char sum[MD5_LEN], char out[22])
{
    static const unsigned char order[5][3] = {
        {0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}};
    for (unsigned i = 0; i < 5; i++) {
        uint32_t v =
            (uint32_t)sum[order[i][0]] << 16 | (uint32_t)sum[order[i][1]] << 8 | sum[order[i][2]];
        for (unsigned k = 0; k < 4; k++, v >>= 6) {
            *out++ = digits[v & 63];
        }
    }
    *out++ = digits[sum[11] & 63];
    *out = digits[sum[11] >> 6];
}

static bool verify_apr1(struct lt_str password, struct lt_str hash)
{
    struct lt_str salt = lt_str_sub(hash, 6, lt_str_chr(hash, '$', 6));
    struct md5 m = {.md = EVP_MD_fetch(NULL, "MD5", NULL), .sum = EVP_MD_CTX_new()};
    unsigned char sum[MD5_LEN] = {0};
    char wanted[22] = {0};
    m.failed = m.md == NULL || m.sum == NULL;
    if (!m.failed) {
        apr1_first(&m, password, salt, sum);
        for (unsigned i = 0; i < 1000; i++) {
            apr1_round(&m, i, password, salt, sum);
        }
        apr1_write(sum, wanted);
    }
    EVP_MD_CTX_free(m.sum);
    EVP_MD_free(m.md);
    ERR_clear_error();
    return !m.failed &&
           CRYPTO_memcmp(wanted, hash.p + hash.len - sizeof(wanted), sizeof(wanted)) == 0;
}

/* ---- the others ---- */

static bool verify_crypt(const char *password, const char *hash, size_t len)
{
    struct crypt_data data;
    memset(&data, 0, sizeof(data));
    const char *made = crypt_rn(password, hash, &data, (int)sizeof(data));
    bool same = made != NULL && strlen(made) == len && CRYPTO_memcmp(made, hash, len) == 0;
    OPENSSL_cleanse(&data, sizeof(data));
    return same;
}

bool lt_password_verify(struct lt_str password, struct lt_str hash)
{
    char text[LT_PASSWORD_MAX + 1], setting[LT_PASSWORD_HASH_MAX + 1];
    const char *why;
    if (!lt_password_check(hash, &why) || password.len > LT_PASSWORD_MAX ||
        (password.len > 0 && memchr(password.p, '\0', password.len) != NULL)) {
        return false;
    }
    if (password.len > 0) {
        memcpy(text, password.p, password.len);
    }
    text[password.len] = '\0';
    memcpy(setting, hash.p, hash.len);
    setting[hash.len] = '\0';
    bool same = is_apr1(hash) ? verify_apr1(lt_str(text, password.len), hash)
                              : verify_crypt(text, setting, hash.len);
    OPENSSL_cleanse(text, sizeof(text));
    return same;
}
