/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of `resolver`. Loader thread. */
#include "net/resolver_conf.h"

#include "config/load.h"

#define DNS_PORT 53

/* "10.0.0.2", "10.0.0.2:5353", "fd00::2", "[fd00::2]:5353" */
static bool parse_server(struct lt_str text, struct lt_addr *out)
{
    const char *why;
    if (lt_addr_parse_ip(text, out) == LT_OK) {
        lt_addr_set_port(out, DNS_PORT);
        return true;
    }
    return lt_addr_parse(text, out, &why) == LT_OK && !lt_addr_is_unix(out) &&
           lt_addr_port(out) > 0 && text.p[0] != ':' && text.p[0] != '*';
}

static void check_servers(struct lt_schema_load *load, const struct lt_node *node,
                          const void *value)
{
    const struct lt_conf_list *list = value;
    const struct lt_str *servers = list->items;
    struct lt_addr addr;
    for (size_t i = 0; i < list->n; i++) {
        if (servers[i].p != NULL && !parse_server(servers[i], &addr)) {
            struct lt_pos pos =
                node->kind == LT_NODE_LIST && i < node->n_items ? node->items[i]->pos : node->pos;
            lt_diag_error(load->diags, pos,
                          "write its IP address, perhaps with a port: 10.0.0.2 or "
                          "\"127.0.0.1:5353\"",
                          "servers: \"%.*s\" is not the address of a DNS server",
                          LT_STR_ARG(servers[i]));
        }
    }
}

static void check_path(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    const struct lt_str *path = value;
    if (path->p[0] != '/') {
        lt_diag_error(load->diags, node->pos, "write an absolute path",
                      "\"%.*s\" is no absolute path", LT_STR_ARG(node->raw));
    }
}

static void check(struct lt_schema_load *load, void *obj)
{
    const struct lt_resolver_conf *conf = obj;
    if (conf->min_ttl_ms > conf->max_ttl_ms) {
        lt_diag_error(load->diags, lt_schema_pos(conf, "min_ttl"), "raise max_ttl",
                      "min_ttl is more than max_ttl");
    }
    if (conf->retry_ms > conf->max_retry_ms) {
        lt_diag_error(load->diags, lt_schema_pos(conf, "retry"), "raise max_retry",
                      "retry is more than max_retry");
    }
}

#define AT(member) offsetof(struct lt_resolver_conf, member)

static const char *const families[] = {"both", "ipv4", "ipv6", NULL};

static const struct lt_row rows[] = {
    {.name = "servers",
     .type = LT_T_LIST,
     .offset = AT(servers),
     .item = LT_T_STRING,
     .max = "8",
     .flags = LT_ROW_ABSENT_OK,
     .check = check_servers,
     .doc = "DNS servers to ask, in this order: `10.0.0.2` or `\"127.0.0.1:5353\"`. Without it, "
            "those of `resolv_conf`.",
     .since = "0.1"},
    {.name = "resolv_conf",
     .type = LT_T_STRING,
     .offset = AT(resolv_conf),
     .def = "/etc/resolv.conf",
     .max = "1000",
     .flags = LT_ROW_NONEMPTY,
     .check = check_path,
     .doc = "File with DNS servers, search list and `ndots`; read again when it has changed. A "
            "name with a dot at its end is looked up without the search list, SRV names always "
            "are.",
     .since = "0.1"},
    {.name = "hosts",
     .type = LT_T_STRING,
     .offset = AT(hosts),
     .def = "/etc/hosts",
     .max = "1000",
     .flags = LT_ROW_NONEMPTY,
     .check = check_path,
     .doc = "File with names and addresses; what it has is not asked of DNS. Read again when it "
            "has changed, at most 1 MB of it.",
     .since = "0.1"},
    {.name = "families",
     .type = LT_T_ENUM,
     .offset = AT(families),
     .def = "both",
     .choices = families,
     .doc =
         "Addresses to look for: `ipv4` where servers can't be reached by IPv6 though their names "
         "have such addresses, `ipv6` for the opposite.",
     .since = "0.1"},
    {.name = "timeout",
     .type = LT_T_DURATION,
     .offset = AT(timeout_ms),
     .def = "1s",
     .min = "10ms",
     .max = "1m",
     .doc = "Time for an answer of each DNS server; twice as long in each further round.",
     .since = "0.1"},
    {.name = "tries",
     .type = LT_T_INT,
     .offset = AT(tries),
     .def = "3",
     .min = "1",
     .max = "10",
     .doc = "Rounds over the DNS servers until a look-up has failed.",
     .since = "0.1"},
    {.name = "max_queries",
     .type = LT_T_INT,
     .offset = AT(max_queries),
     .def = "64",
     .min = "2",
     .max = "10000",
     .doc = "Most queries on their way at once; further look-ups wait.",
     .since = "0.1"},
    {.name = "min_ttl",
     .type = LT_T_DURATION,
     .offset = AT(min_ttl_ms),
     .def = "1s",
     .min = "100ms",
     .max = "1d",
     .doc = "A name is not looked up more often than that, however short the TTL of its records. "
            "It is also the time after which names of `hosts` are looked up again.",
     .since = "0.1"},
    {.name = "max_ttl",
     .type = LT_T_DURATION,
     .offset = AT(max_ttl_ms),
     .def = "5m",
     .min = "100ms",
     .max = "7d",
     .doc = "A name is looked up at least that often, however long the TTL of its records.",
     .since = "0.1"},
    {.name = "retry",
     .type = LT_T_DURATION,
     .offset = AT(retry_ms),
     .def = "1s",
     .min = "100ms",
     .max = "1h",
     .doc = "Time until a look-up that failed is made again; doubles with each failure. Meanwhile "
            "the last good answer is used, however old.",
     .since = "0.1"},
    {.name = "max_retry",
     .type = LT_T_DURATION,
     .offset = AT(max_retry_ms),
     .def = "30s",
     .min = "100ms",
     .max = "1d",
     .doc = "The longest time between look-ups that fail.",
     .since = "0.1"},
    {.name = "max_addresses",
     .type = LT_T_INT,
     .offset = AT(max_addresses),
     .def = "256",
     .min = "1",
     .max = "4096",
     .doc = "Most addresses, or SRV records, of one name, and most addresses of all targets of one "
            "`dns+srv:` entry. Further ones are left out, always the same.",
     .since = "0.1"},
    {.name = "start_wait",
     .type = LT_T_DURATION,
     .offset = AT(start_wait_ms),
     .def = "1s",
     .max = "10s",
     .doc =
         "How long start and reload wait for the first answer about names that are new. Then "
         "they go on without it; while there is no address requests wait (`queue.restart`) or are "
         "answered with 503 `dns_failed`.",
     .since = "0.1"},
};

const struct lt_schema lt_resolver_schema = {
    .name = "resolver",
    .doc = "How names of servers (`dns:`, `dns+srv:`) are looked up.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_resolver_conf),
    .shorthand_list = "servers",
    .check = check,
};

void lt_resolver_conf_options(const struct lt_resolver_conf *conf, struct lt_names_options *out)
{
    const struct lt_str *servers = conf->servers.items;
    *out = (struct lt_names_options){.ttl_min_ms = conf->min_ttl_ms,
                                     .ttl_max_ms = conf->max_ttl_ms,
                                     .retry_ms = conf->retry_ms,
                                     .retry_max_ms = conf->max_retry_ms,
                                     .addresses_max = (unsigned)conf->max_addresses};
    struct lt_resolver_options *r = &out->resolver;
    r->resolv_conf = conf->resolv_conf;
    r->hosts = conf->hosts;
    r->families = (enum lt_families)conf->families;
    r->timeout_ms = conf->timeout_ms;
    r->tries = (unsigned)conf->tries;
    r->queries_max = (unsigned)conf->max_queries;
    for (size_t i = 0; i < conf->servers.n && r->n_servers < LT_RESOLVER_SERVERS_MAX; i++) {
        if (parse_server(servers[i], &r->servers[r->n_servers])) {
            r->n_servers++;
        }
    }
}
