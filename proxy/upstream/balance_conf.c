/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of `balance:`. Loader thread. */
#include "upstream/balance_conf.h"

#include "config/load.h"
#include "http/headers.h"

static const char *const same_sites[] = {"lax", "strict", "none", NULL};
static const char *const same_site_values[] = {"Lax", "Strict", "None"};
static const char *const balances[] = {
    "p2c", "round_robin", "least_requests", "peak_ewma", "hash", "random", NULL};

/* ---- sticky ---- */

#define AT(member) offsetof(struct lt_sticky_cookie_conf, member)

static void check_name(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    if (!lt_header_name_ok(*(const struct lt_str *)value)) {
        lt_diag_error(load->diags, node->pos, "write letters, digits, - and _",
                      "name: this can't be the name of a cookie");
    }
}

static void check_path(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    struct lt_str path = *(const struct lt_str *)value;
    bool ok = path.len > 0 && path.p[0] == '/';
    for (size_t i = 0; i < path.len; i++) {
        ok = ok && path.p[i] > ' ' && path.p[i] < 0x7f && path.p[i] != ';';
    }
    if (!ok) {
        lt_diag_error(load->diags, node->pos,
                      "write a path that begins with /, without ; or spaces",
                      "path: this can't be the path of a cookie");
    }
}

static const struct lt_row sticky_rows[] = {
    {.name = "enabled",
     .type = LT_T_BOOL,
     .offset = AT(enabled),
     .def = "false",
     .doc =
         "Whether clients get the cookie. `sticky: true` and `sticky: false` are short for this; "
         "any other key of `sticky` switches it on.",
     .since = "0.1"},
    {.name = "name",
     .type = LT_T_STRING,
     .offset = AT(name),
     .def = "lintel_server",
     .max = "64",
     .flags = LT_ROW_NONEMPTY,
     .check = check_name,
     .doc = "Name of the cookie. Upstreams that share hosts and paths need different ones.",
     .since = "0.1"},
    {.name = "path",
     .type = LT_T_STRING,
     .offset = AT(path),
     .def = "/",
     .max = "256",
     .check = check_path,
     .doc = "Path of the cookie: below it clients send it back.",
     .since = "0.1"},
    {.name = "ttl",
     .type = LT_T_DURATION,
     .offset = AT(ttl_ms),
     .min = "1s",
     .max = "400d",
     .flags = LT_ROW_ABSENT_OK,
     .doc =
         "How long a client keeps the cookie, counted from when it got it. Without it, until its "
         "browser ends.",
     .since = "0.1"},
    {.name = "same_site",
     .type = LT_T_ENUM,
     .offset = AT(same_site),
     .def = "lax",
     .choices = same_sites,
     .doc = "SameSite of the cookie. `none` is for pages that others embed and wants HTTPS.",
     .since = "0.1"},
    {.name = "secret",
     .type = LT_T_SECRET,
     .offset = AT(secret),
     .min = "16",
     .max = "1024",
     .flags = LT_ROW_ABSENT_OK,
     .doc =
         "What the cookie is signed with, at least 16 characters. Without it, random bytes in "
         "memory that survive reloads, crashes and upgrades, but not `lintel run` being stopped. "
         "Set it where several gateways share clients.",
     .since = "0.1"},
};

static const struct lt_schema sticky_schema = {
    .name = "sticky",
    .doc = "A cookie that keeps a client at its server.",
    .rows = sticky_rows,
    .n_rows = lt_countof(sticky_rows),
    .size = sizeof(struct lt_sticky_cookie_conf),
    .shorthand = "enabled",
};

/* ---- balance ---- */

#undef AT
#define AT(member) offsetof(struct lt_balance_conf, member)

static const struct lt_row rows[] = {
    {.name = "by",
     .type = LT_T_ENUM,
     .offset = AT(by),
     .def = "p2c",
     .choices = balances,
     .doc = "How a server is chosen; `balance: WORD` is short for this. `p2c` draws two by lot and "
            "takes the one with fewer requests times shorter answers. `peak_ewma` as that, but "
            "believes the longest answer of late. `least_requests` takes the one with the fewest, "
            "`round_robin` takes them in turn, `random` by lot. `hash` keeps equal keys at one "
            "server. All heed `weight`.",
     .since = "0.1"},
    {.name = "hash",
     .type = LT_T_EXPR,
     .offset = AT(hash),
     .flags = LT_ROW_ABSENT_OK,
     .doc = "The key that chooses the server: `header.x-user or client.ip`. Requests with the same "
            "key go to the same server while it is up; when one leaves, only its keys move. A "
            "request without a key goes to the less busy of two. Implies `by: hash`.",
     .since = "0.1"},
    {.name = "bound",
     .type = LT_T_PERCENT,
     .offset = AT(bound),
     .min = "101%",
     .max = "1000%",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "With `hash`: most requests at once that a server may have, compared with the average "
            "of all, in each worker. Keys of a server that has more go to others meanwhile. "
            "Without it a key that everybody asks for can overload its server.",
     .since = "0.1"},
    {.name = "slow_start",
     .type = LT_T_DURATION,
     .offset = AT(slow_start_ms),
     .min = "100ms",
     .max = "1h",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "A server that came back or was added gets a share that grows to the whole one over "
            "this time. Absent: the whole share at once.",
     .since = "0.1"},
    {.name = "panic",
     .type = LT_T_PERCENT,
     .offset = AT(panic),
     .def = "0%",
     .doc = "When less than this share of the servers is up, all get requests, also those that "
            "failed their checks: the others would only be overloaded. 0%: never.",
     .since = "0.1"},
    {.name = "half_life",
     .type = LT_T_DURATION,
     .offset = AT(half_life_ms),
     .def = "5s",
     .min = "100ms",
     .max = "10m",
     .doc =
         "With `p2c` and `peak_ewma`: after this time what is known of a server's latency counts "
         "half.",
     .since = "0.1"},
    {.name = "sticky",
     .type = LT_T_OBJECT,
     .offset = AT(sticky),
     .sub = &sticky_schema,
     .doc = "A cookie that keeps a client at the server that it got first. While that is down the "
            "client's requests go to another one, and come back with it.",
     .since = "0.1"},
};

static void check(struct lt_schema_load *load, void *obj)
{
    const struct lt_balance_conf *conf = obj;
    if (conf->by == LT_BALANCE_HASH && conf->hash == NULL) {
        lt_diag_error(load->diags, lt_schema_pos(conf, "by"),
                      "write balance: {hash: header.x-user or client.ip}",
                      "balance: nothing says what is hashed");
    }
    /* One of defaults.upstream is no mistake of who chooses otherwise. */
    if (conf->by != LT_BALANCE_HASH && conf->conf.node != NULL &&
        conf->conf.node->kind == LT_NODE_MAP && lt_node_get(conf->conf.node, "hash") != NULL) {
        lt_diag_error(load->diags, lt_schema_pos(conf, "hash"), "leave `by` out",
                      "hash: works only by: hash");
    }
    if (conf->bound > 0 && conf->hash == NULL) {
        lt_diag_error(load->diags, lt_schema_pos(conf, "bound"), "leave it out",
                      "bound: works only together with \"hash\"");
    }
}

const struct lt_schema lt_balance_schema = {
    .name = "balance",
    .doc = "How the servers of an upstream share the requests.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_balance_conf),
    .shorthand = "by",
    .check = check,
};

void lt_balance_conf_imply(struct lt_schema_load *load, struct lt_balance_conf *conf)
{
    if (lt_schema_is_set(conf, AT(hash))) {
        lt_schema_preset(load, conf, "by", "hash", "hash is written");
    }
    if (lt_schema_is_set(conf, AT(sticky))) {
        lt_schema_preset(load, conf, "sticky.enabled", "true", "sticky is written");
    }
}

enum lt_err lt_balance_conf_set(struct lt_balance_options *o, const struct lt_balance_conf *conf,
                                const struct lt_hash_seed *seed)
{
    o->by = (enum lt_balance)conf->by;
    o->hash = conf->by == LT_BALANCE_HASH ? conf->hash : NULL;
    o->bound = conf->bound;
    o->panic = conf->panic;
    o->slow_start_us = conf->slow_start_ms * 1000;
    o->half_life_us = conf->half_life_ms * 1000;
    o->sticky.enabled = conf->sticky.enabled;
    o->sticky.name = conf->sticky.name;
    o->sticky.path = conf->sticky.path;
    o->sticky.same_site = lt_str_c(same_site_values[conf->sticky.same_site]);
    o->sticky.ttl_s = conf->sticky.ttl_ms / 1000;
    return conf->sticky.enabled ? lt_sticky_set_key(&o->sticky, conf->sticky.secret, seed) : LT_OK;
}
