/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of the names that are looked up: status and metrics. Main thread. */
#include "server/dns_servers_impl.h"

#include "server/gateway.h"
#include "server/json.h"
#include "shared/metrics.h"

/* Names with series of their own; what SRV records lead to may be any number. */
#define SERIES_MAX 1000u

/* Seconds since a moment of the monotonic clock. */
static uint64_t age_s(const struct lt_dns_servers *dns, uint64_t us)
{
    uint64_t now = dns->gateway->loop->now_us;
    return now > us ? (now - us) / 1000000 : 0;
}

static const char *type_of(const struct lt_name *name)
{
    return name->kind == LT_LOOKUP_SRV ? "srv" : "host";
}

static void put_addresses(struct lt_buf *out, const struct lt_name *name)
{
    lt_json_key(out, "addresses");
    lt_buf_char(out, '[');
    for (unsigned i = 0; i < name->records.n; i++) {
        const struct lt_dns_record *r = &name->records.v[i];
        char text[LT_ADDR_TEXT_MAX];
        lt_json_item(out);
        if (name->kind == LT_LOOKUP_HOST) {
            lt_buf_json_str(out, lt_str(text, lt_addr_print_ip(&r->addr, text)));
        } else {
            lt_buf_printf(out, "\"%s:%u\"", r->target, r->port); /* a domain name */
        }
    }
    lt_buf_char(out, ']');
}

static void put_name(const struct lt_dns_servers *dns, struct lt_buf *out,
                     const struct lt_name *name)
{
    lt_json_item(out);
    lt_buf_char(out, '{');
    lt_json_str(out, "name", name->text);
    lt_json_str(out, "type", lt_str_c(type_of(name)));
    lt_json_bool(out, "known", name->known);
    put_addresses(out, name);
    if (name->known) {
        lt_json_num(out, "answer_age_s", age_s(dns, name->answered_us));
        lt_json_num(out, "ttl_s", name->ttl_s);
        lt_json_num(out, "left_out", name->left_out);
    }
    if (name->failures > 0) {
        lt_json_num(out, "failures", name->failures);
        lt_json_num(out, "failing_s", age_s(dns, name->failing_us));
        lt_json_str(out, "why", lt_str_c(name->why));
    }
    lt_buf_char(out, '}');
}

void lt_dns_servers_write_status(const struct lt_dns_servers *dns, struct lt_buf *out)
{
    const struct lt_name *name;
    lt_json_key(out, "names");
    lt_buf_char(out, '[');
    for (size_t at = 0; (name = lt_names_next(dns->names, &at)) != NULL;) {
        put_name(dns, out, name);
    }
    lt_buf_char(out, ']');
}

static uint64_t addresses(const struct lt_dns_servers *dns, const struct lt_name *name)
{
    (void)dns;
    return name->records.n;
}

static uint64_t answer_age(const struct lt_dns_servers *dns, const struct lt_name *name)
{
    return name->known ? age_s(dns, name->answered_us) : 0;
}

static uint64_t failing(const struct lt_dns_servers *dns, const struct lt_name *name)
{
    return name->failures > 0 ? age_s(dns, name->failing_us) + 1 : 0;
}

static uint64_t lookups(const struct lt_dns_servers *dns, const struct lt_name *name)
{
    (void)dns;
    return name->answers;
}

static uint64_t failed(const struct lt_dns_servers *dns, const struct lt_name *name)
{
    (void)dns;
    return name->failed;
}

static const struct {
    const char *name, *type, *help;
    uint64_t (*value)(const struct lt_dns_servers *dns, const struct lt_name *name);
} series[] = {
    {"addresses", "gauge", "Addresses, or SRV records, of the last good answer.", addresses},
    {"answer_age_seconds", "gauge", "Age of the last good answer.", answer_age},
    {"failing_seconds", "gauge", "For how long look-ups have failed; 0: the last one did not.",
     failing},
    {"lookups_total", "counter", "Look-ups.", lookups},
    {"lookups_failed_total", "counter", "Look-ups without an answer that could be used.", failed},
};

void lt_dns_servers_write_metrics(const struct lt_dns_servers *dns, struct lt_buf *out)
{
    const struct lt_name *name;
    size_t at = 0;
    if (lt_names_next(dns->names, &at) == NULL) {
        return;
    }
    for (size_t i = 0; i < lt_countof(series); i++) {
        unsigned n = 0;
        lt_buf_printf(out, "# HELP lintel_dns_%s %s\n# TYPE lintel_dns_%s %s\n", series[i].name,
                      series[i].help, series[i].name, series[i].type);
        for (at = 0; (name = lt_names_next(dns->names, &at)) != NULL && n < SERIES_MAX; n++) {
            /* name->text is a domain name: nothing in it needs quoting. */
            lt_buf_printf(out, "lintel_dns_%s{dns_name=\"%.*s\",type=\"%s\"} %llu\n",
                          series[i].name, LT_STR_ARG(name->text), type_of(name),
                          (unsigned long long)series[i].value(dns, name));
        }
    }
}
