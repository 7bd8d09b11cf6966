/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the hosts file. Main thread. */
#include "net/hosts.h"

#include "base/mem.h"

/* More addresses of one name are left out. */
#define ADDRESSES_MAX LT_DNS_RECORDS_MAX

/* The next word of a line; false at its end. */
static bool next_word(struct lt_str *rest, struct lt_str *word)
{
    size_t i = 0, from;
    while (i < rest->len && (lt_char_is_space(rest->p[i]) || rest->p[i] == '\r')) {
        i++;
    }
    from = i;
    while (i < rest->len && !lt_char_is_space(rest->p[i]) && rest->p[i] != '\r') {
        i++;
    }
    *word = lt_str_sub(*rest, from, i);
    *rest = lt_str_sub(*rest, i, rest->len);
    return word->len > 0;
}

/* Whether the line gives an address to name. */
static bool line_names(struct lt_str line, struct lt_str name, struct lt_addr *addr)
{
    struct lt_str word;
    line = lt_str_sub(line, 0, lt_str_chr(line, '#', 0));
    if (!next_word(&line, &word) || lt_addr_parse_ip(word, addr) != LT_OK) {
        return false;
    }
    while (next_word(&line, &word)) {
        if (lt_str_eq_nocase(word, name)) {
            return true;
        }
    }
    return false;
}

static enum lt_err add(struct lt_dns_records *out, const struct lt_addr *addr)
{
    struct lt_dns_record *v = lt_realloc(out->v, out->n + 1, sizeof(*v));
    if (v == NULL) {
        return LT_ERR_NOMEM;
    }
    out->v = v;
    v[out->n] = (struct lt_dns_record){.addr = *addr};
    lt_addr_unmap(&v[out->n++].addr);
    return LT_OK;
}

/* Names that mean this machine whatever DNS says (RFC 6761 §6.3), and where a file lacks them. */
static bool is_localhost(struct lt_str name)
{
    static const struct lt_str localhost = {.p = "localhost", .len = 9};
    size_t n = localhost.len;
    return lt_str_eq_nocase(name, localhost) ||
           (name.len > n && name.p[name.len - n - 1] == '.' &&
            lt_str_eq_nocase(lt_str_sub(name, name.len - n, name.len), localhost));
}

static enum lt_err add_loopback(struct lt_dns_records *out, int family)
{
    struct lt_addr addr;
    struct lt_str ip = family == AF_INET ? LT_STR("127.0.0.1") : LT_STR("::1");
    return lt_addr_parse_ip(ip, &addr) == LT_OK ? add(out, &addr) : LT_ERR_INVALID;
}

enum lt_err lt_hosts_find(struct lt_str text, struct lt_str name, int family,
                          struct lt_dns_records *out, bool *known)
{
    struct lt_addr addr;
    *out = (struct lt_dns_records){.v = NULL};
    *known = false;
    if (lt_str_ends(name, LT_STR("."))) {
        name = lt_str_sub(name, 0, name.len - 1);
    }
    for (size_t from = 0; from < text.len && out->n < ADDRESSES_MAX;) {
        size_t end = lt_min(lt_str_chr(text, '\n', from), text.len);
        bool ours = line_names(lt_str_sub(text, from, end), name, &addr);
        from = end + 1;
        *known |= ours;
        if (ours && addr.sa.sa_family == family && add(out, &addr) != LT_OK) {
            lt_dns_records_fini(out);
            return LT_ERR_NOMEM;
        }
    }
    if (!*known && is_localhost(name)) {
        *known = true;
        return add_loopback(out, family);
    }
    lt_dns_records_sort(out);
    return LT_OK;
}
