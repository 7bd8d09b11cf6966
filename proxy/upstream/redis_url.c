/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/redis_url.h"

#include "http/uri.h"

#define PORT 6379u
#define SENTINEL_PORT 26379u

static const char *const usage =
    "write a URL, as in \"redis://:password@127.0.0.1:6379/0\", \"rediss://host\", "
    "\"unix:///run/redis.sock\", \"redis+sentinel://host1,host2/mymaster\" or "
    "\"redis+cluster://host1,host2\"";

struct reader {
    struct lt_redis_url *url;
    struct lt_str rest; /* of the text */
    size_t used;        /* of url->parts */
};

/* ---- parts ---- */

/* Takes what precedes the first of the stops, or all. */
static struct lt_str take_until(struct reader *r, const char *stops)
{
    size_t n = 0;
    while (n < r->rest.len && strchr(stops, r->rest.p[n]) == NULL) {
        n++;
    }
    struct lt_str part = lt_str_sub(r->rest, 0, n);
    r->rest = lt_str_sub(r->rest, n, r->rest.len);
    return part;
}

static bool take(struct reader *r, const char *prefix)
{
    bool there = lt_str_starts(r->rest, lt_str_c(prefix));
    if (there) {
        r->rest = lt_str_sub(r->rest, strlen(prefix), r->rest.len);
    }
    return there;
}

/* Keeps text with %XX decoded. False: a sequence is malformed or holds NUL. */
static bool decode(struct reader *r, struct lt_str text, struct lt_str *out)
{
    char *begin = r->url->parts + r->used, *to = begin;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (c == '%') {
            int high = i + 2 < text.len ? lt_char_hex(text.p[i + 1]) : -1;
            int low = i + 2 < text.len ? lt_char_hex(text.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0') {
            return false;
        }
        *to++ = c;
    }
    *to = '\0';
    *out = lt_str(begin, (size_t)(to - begin));
    r->used += out->len + 1;
    return true;
}

static bool take_db(struct reader *r, const char **why)
{
    uint64_t db;
    *why = "the database in the URL of Redis is a number, as in \"/0\"";
    if (!lt_str_to_u64(r->rest, &db) || db > LT_REDIS_DB_MAX) {
        return false;
    }
    r->url->db = (unsigned)db;
    return true;
}

/* "user:password@", ":password@" or nothing. */
static bool take_login(struct reader *r, const char **why)
{
    size_t slash = lt_min(lt_str_chr(r->rest, '/', 0), r->rest.len);
    struct lt_str login = lt_str_sub(r->rest, 0, slash);
    size_t at = lt_str_rchr(login, '@');
    *why = "in the URL of Redis, user and password are written as in \"redis://user:p%40ss@host\": "
           "other than letters, digits and -._~ as %XX";
    if (at == SIZE_MAX) {
        return true;
    }
    login = lt_str_sub(login, 0, at);
    r->rest = lt_str_sub(r->rest, at + 1, r->rest.len);
    size_t colon = lt_str_chr(login, ':', 0);
    return colon != SIZE_MAX && decode(r, lt_str_sub(login, 0, colon), &r->url->user) &&
           decode(r, lt_str_sub(login, colon + 1, login.len), &r->url->password) &&
           r->url->password.len > 0;
}

bool lt_redis_place_read(struct lt_str host, unsigned port, char *space, struct lt_redis_place *out)
{
    *out = (struct lt_redis_place){.port = port};
    if (host.len == 0 || host.len > LT_DNS_NAME_MAX || port == 0 || port > 65535) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        space[i] = lt_char_lower(host.p[i]);
    }
    space[host.len] = '\0';
    out->host = lt_str(space, host.len);
    if (lt_addr_parse_ip(out->host, &out->addr) == LT_OK) {
        lt_addr_set_port(&out->addr, port);
        return lt_addr_no_target(&out->addr) == NULL;
    }
    out->addr.len = 0;
    return lt_dns_name_ok(out->host);
}

/* "host[:port]", or several behind commas. */
static bool take_seeds(struct reader *r, const char **why)
{
    struct lt_redis_url *url = r->url;
    struct lt_str all = take_until(r, "/?#"), one;
    unsigned usual = url->kind == LT_REDIS_SENTINEL ? SENTINEL_PORT : PORT;
    *why = "in the URL of Redis, a server is written host or host:port";
    do {
        size_t n = lt_min(lt_str_chr(all, ',', 0), all.len);
        struct lt_str host;
        unsigned port = 0;
        one = lt_str_sub(all, 0, n);
        all = lt_str_sub(all, lt_min(n + 1, all.len), all.len);
        if (url->n_seeds == LT_REDIS_SEEDS_MAX) {
            *why = "the URL of Redis names more than 16 servers";
            return false;
        }
        if (!lt_authority_parse(one, &host, &port) || host.len == 0) {
            return false;
        }
        bool bracket = host.p[0] == '[';
        host = bracket ? lt_str_sub(host, 1, host.len - 1) : host;
        if (!lt_redis_place_read(host, port != 0 ? port : usual, url->parts + r->used,
                                 &url->seeds[url->n_seeds]) ||
            (bracket && url->seeds[url->n_seeds].addr.len == 0)) {
            return false;
        }
        r->used += host.len + 1;
        url->n_seeds++;
    } while (all.len > 0);
    if (url->kind == LT_REDIS_SINGLE && url->n_seeds > 1) {
        *why = "several servers are written redis+sentinel://... or redis+cluster://...";
        return false;
    }
    return true;
}

/* ---- kinds ---- */

static bool read_socket(struct reader *r, const char **why)
{
    char text[LT_ADDR_TEXT_MAX];
    struct lt_str path = take_until(r, "?"), decoded;
    struct lt_redis_place *seed = &r->url->seeds[0];
    *why = "a socket of Redis is written unix:///path/sock or unix:///path/sock?db=1";
    if (path.len == 0 || path.p[0] != '/' || !decode(r, path, &decoded) ||
        decoded.len + 6 > sizeof(text)) {
        return false;
    }
    memcpy(text, "unix:", 5);
    memcpy(text + 5, decoded.p, decoded.len);
    r->url->n_seeds = 1;
    return lt_addr_parse(lt_str(text, decoded.len + 5), &seed->addr, why) == LT_OK &&
           (r->rest.len == 0 || (take(r, "?db=") && take_db(r, why)));
}

static bool read_servers(struct reader *r, const char **why)
{
    struct lt_redis_url *url = r->url;
    if (!take_login(r, why) || !take_seeds(r, why)) {
        return false;
    }
    bool slash = take(r, "/");
    if (url->kind == LT_REDIS_SENTINEL) {
        *why = "behind the sentinels stands the name of the master, as in "
               "\"redis+sentinel://host1,host2/mymaster\"";
        if (!slash || !decode(r, take_until(r, "/"), &url->master) || url->master.len == 0) {
            return false;
        }
        slash = take(r, "/");
    }
    if (!slash || (r->rest.len == 0 && url->kind != LT_REDIS_SENTINEL)) {
        *why = "a URL of Redis has no \"?\" and no \"#\": write them in passwords as %3F and %23";
        return r->rest.len == 0;
    }
    if (url->kind == LT_REDIS_CLUSTER) {
        *why = "a cluster of Redis has one database only: leave it out";
        return false;
    }
    return take_db(r, why);
}

enum lt_err lt_redis_url_parse(struct lt_str text, struct lt_redis_url *out, const char **why)
{
    static const struct {
        const char *scheme;
        enum lt_redis_kind kind;
        bool tls;
    } schemes[] = {
        {"redis://", LT_REDIS_SINGLE, false},
        {"rediss://", LT_REDIS_SINGLE, true},
        {"redis+sentinel://", LT_REDIS_SENTINEL, false},
        {"rediss+sentinel://", LT_REDIS_SENTINEL, true},
        {"redis+cluster://", LT_REDIS_CLUSTER, false},
        {"rediss+cluster://", LT_REDIS_CLUSTER, true},
    };
    memset(out, 0, sizeof(*out));
    *why = "the URL of Redis is longer than 1024 bytes";
    if (text.len > LT_REDIS_URL_MAX) {
        return LT_ERR_INVALID;
    }
    memcpy(out->text, text.p != NULL ? text.p : "", text.len);
    out->text_len = text.len;
    struct reader r = {.url = out, .rest = lt_str(out->text, text.len)};
    if (take(&r, "unix://")) {
        return read_socket(&r, why) ? LT_OK : LT_ERR_INVALID;
    }
    for (size_t i = 0; i < lt_countof(schemes); i++) {
        if (take(&r, schemes[i].scheme)) {
            out->kind = schemes[i].kind;
            out->tls = schemes[i].tls;
            return read_servers(&r, why) ? LT_OK : LT_ERR_INVALID;
        }
    }
    *why = usage;
    return LT_ERR_INVALID;
}
