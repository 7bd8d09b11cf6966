/* SPDX-License-Identifier: Apache-2.0 */
/* Ticket keys that a fleet shares, from a file of lines in base64. Loader or watcher thread. */
#include "server/tls_set.h"

#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/mem.h"

/* The three parts of a key one after the other. */
#define KEY_LEN 80u
#define LINE_LEN 108u /* in base64 */
#define FILE_MAX ((size_t)4096)

_Static_assert(sizeof(struct lt_ticket_key) == KEY_LEN, "a line is one key");

static bool add_piece(void *arg, const char *p, size_t n)
{
    lt_buf_add(arg, p, n);
    return !((struct lt_buf *)arg)->truncated;
}

static bool decode(struct lt_str line, struct lt_ticket_key *key)
{
    unsigned char bytes[LINE_LEN / 4 * 3];
    /* 80 bytes end with one "=". */
    bool ok = line.len == LINE_LEN && line.p[LINE_LEN - 1] == '=' &&
              EVP_DecodeBlock(bytes, (const unsigned char *)line.p, LINE_LEN) == sizeof(bytes);
    if (ok) {
        memcpy(key, bytes, sizeof(*key));
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return ok;
}

static const char *parse(struct lt_str text, struct lt_ticket_key keys[LT_TICKETS_KEPT],
                         unsigned *n)
{
    struct lt_str line;
    *n = 0;
    while (lt_str_next(&text, '\n', &line)) {
        if (line.len == 0) {
            continue;
        }
        if (*n == LT_TICKETS_KEPT) {
            return "has more than four keys";
        }
        if (!decode(line, &keys[*n])) {
            return "has a line that is not 80 bytes in base64";
        }
        for (unsigned i = 0; i < *n; i++) {
            if (CRYPTO_memcmp(keys[i].name, keys[*n].name, LT_TICKET_NAME_LEN) == 0) {
                return "has the same key twice";
            }
        }
        (*n)++;
    }
    return *n > 0 ? NULL : "has no key";
}

bool lt_ticket_file_read(struct lt_files *files, struct lt_arena *arena, struct lt_str file,
                         struct lt_ticket_key keys[LT_TICKETS_KEPT], unsigned *n,
                         struct lt_tls_complaint *out)
{
    char memory[FILE_MAX];
    struct lt_buf text;
    struct stat st;
    lt_buf_init_fixed(&text, memory, sizeof(memory));
    out->hint = "make a key: openssl rand -base64 80 | tr -d '\\n'";
    enum lt_err err = lt_files_read(files, file.p, sizeof(memory), &st, add_piece, &text);
    const char *wrong = err == LT_OK          ? parse(lt_buf_view(&text), keys, n)
                        : err == LT_ERR_LIMIT ? "is too large"
                        : err == LT_ERR_NOMEM ? "out of memory"
                                              : strerror(errno);
    OPENSSL_cleanse(memory, sizeof(memory));
    if (wrong != NULL) {
        *n = 0;
        OPENSSL_cleanse(keys, LT_TICKETS_KEPT * sizeof(*keys));
        if (!lt_arena_printf(arena, &out->why, "%.*s: %s", LT_STR_ARG(file), wrong)) {
            out->why = LT_STR("out of memory");
        }
    }
    return wrong == NULL;
}
