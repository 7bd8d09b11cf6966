/* SPDX-License-Identifier: Apache-2.0 */
/* The rows about the health of servers, and what becomes of them. Loader thread. */
#include "upstream/health_conf.h"

#include "config/load.h"
#include "config/regex.h"
#include "http/headers.h"

static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "POST", NULL};
static const char *const inits[] = {"up", "down", NULL};

/* "200" or "200-299"; false: that is none. */
static bool parse_range(struct lt_str text, struct lt_status_range *out)
{
    uint64_t from, to;
    size_t dash = lt_str_chr(text, '-', 0);
    if (dash == SIZE_MAX) {
        dash = text.len;
    }
    if (!lt_str_to_u64(lt_str_sub(text, 0, dash), &from)) {
        return false;
    }
    to = from;
    if (dash < text.len && !lt_str_to_u64(lt_str_sub(text, dash + 1, text.len), &to)) {
        return false;
    }
    *out = (struct lt_status_range){.from = (unsigned)from, .to = (unsigned)to};
    return from >= 100 && to <= 599 && from <= to;
}

static void check_statuses(struct lt_schema_load *load, const struct lt_node *node,
                           const void *value)
{
    const struct lt_conf_list *list = value;
    const struct lt_str *items = list->items;
    struct lt_status_range range;
    for (size_t i = 0; i < list->n; i++) {
        if (items[i].p != NULL && !parse_range(items[i], &range)) {
            lt_diag_error(load->diags, i < node->n_items ? node->items[i]->pos : node->pos,
                          "write a status as in 200, or a range as in 200-299",
                          "\"%.*s\" is neither a status nor a range", LT_STR_ARG(items[i]));
        }
    }
}

static void check_path(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    struct lt_str path = *(const struct lt_str *)value;
    bool ok = path.len > 0 && path.p[0] == '/';
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.p[i];
        ok &= c > ' ' && c < 0x7f && c != '#';
    }
    if (!ok) {
        lt_diag_error(load->diags, node->pos, "write a path as in /healthz, other bytes as %XX",
                      "get: this can't be asked for");
    }
}

static void check_service(struct lt_schema_load *load, const struct lt_node *node,
                          const void *value)
{
    struct lt_str name = *(const struct lt_str *)value;
    if (!lt_header_value_ok(name)) {
        lt_diag_error(load->diags, node->pos, "write a name as in shop.v1.Orders, or \"\"",
                      "grpc: this is no name of a service");
    }
}

static void check_check_host(struct lt_schema_load *load, const struct lt_node *node,
                             const void *value)
{
    struct lt_str host = *(const struct lt_str *)value;
    if (!lt_header_value_ok(host) || lt_str_chr(host, ' ', 0) != SIZE_MAX) {
        lt_diag_error(load->diags, node->pos, "write a name such as app.internal",
                      "host: this is not a host");
    }
}

static void check_headers(struct lt_schema_load *load, const struct lt_node *node,
                          const void *value)
{
    const struct lt_conf_map *map = value;
    (void)node;
    for (size_t i = 0; i < map->n; i++) {
        const struct lt_conf_entry *e = &map->entries[i];
        const struct lt_str *text = e->value;
        enum lt_header_id id = lt_header_find_id(e->key);
        if (!lt_header_name_ok(e->key) || (text->p != NULL && !lt_header_value_ok(*text))) {
            lt_diag_error(load->diags, e->key_node->pos, "letters, digits and dashes",
                          "\"%.*s\" can't be sent as a header field", LT_STR_ARG(e->key));
        } else if (id == LT_HEADER_HOST || id == LT_HEADER_CONNECTION ||
                   id == LT_HEADER_CONTENT_LENGTH || id == LT_HEADER_TRANSFER_ENCODING ||
                   id == LT_HEADER_TE || id == LT_HEADER_UPGRADE) {
            lt_diag_error(load->diags, e->key_node->pos,
                          id == LT_HEADER_HOST ? "use `host`" : "leave it out",
                          "\"%.*s\" is set by Lintel", LT_STR_ARG(e->key));
        }
    }
}

static void check_regex(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    struct lt_str why = LT_STR_NONE;
    size_t offset = 0;
    if (lt_regex_compile(load->arena, *(const struct lt_str *)value, &offset, &why) == NULL) {
        load->nomem |= why.len == 0;
        lt_diag_error(load->diags, node->pos, NULL, "body_regex: at byte %zu: %.*s", offset,
                      LT_STR_ARG(why));
    }
}

#define AT(member) offsetof(struct lt_check_conf, member)

static const struct lt_row check_rows[] = {
    {.name = "enabled",
     .type = LT_T_BOOL,
     .offset = AT(enabled),
     .def = "false",
     .doc = "Written by itself when `get`, `tcp` or `grpc` is. `false` leaves this upstream "
            "without checks where `defaults.upstream` has some.",
     .since = "0.1"},
    {.name = "get",
     .type = LT_T_STRING,
     .offset = AT(get),
     .max = "2000",
     .flags = LT_ROW_ABSENT_OK,
     .check = check_path,
     .doc = "An HTTP check: the path that is asked for, such as `/healthz`.",
     .since = "0.1"},
    {.name = "tcp",
     .type = LT_T_BOOL,
     .offset = AT(tcp),
     .def = "false",
     .doc = "A connection is check enough; with `tls` its handshake has to succeed too.",
     .since = "0.1"},
    {.name = "grpc",
     .type = LT_T_STRING,
     .offset = AT(grpc),
     .max = "255",
     .flags = LT_ROW_ABSENT_OK,
     .check = check_service,
     .doc = "The service whose state is asked for by the health protocol of gRPC "
            "(`grpc.health.v1`), `\"\"` for the whole server. SERVING is up.",
     .since = "0.1"},
    {.name = "method",
     .type = LT_T_ENUM,
     .offset = AT(method),
     .def = "GET",
     .choices = methods,
     .doc = "Of an HTTP check.",
     .since = "0.1"},
    {.name = "host",
     .type = LT_T_STRING,
     .offset = AT(host),
     .max = "253",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .check = check_check_host,
     .doc = "The Host of the check. Without it the upstream's `host`, or the server's address.",
     .since = "0.1"},
    {.name = "headers",
     .type = LT_T_MAP,
     .offset = AT(headers),
     .max = "32",
     .flags = LT_ROW_ABSENT_OK,
     .item = LT_T_STRING,
     .check = check_headers,
     .doc = "Further header fields of the check.",
     .since = "0.1"},
    {.name = "expect",
     .type = LT_T_LIST,
     .offset = AT(expect),
     .def = "200-299",
     .max = "64",
     .flags = LT_ROW_NONEMPTY | LT_ROW_ONE_OK,
     .item = LT_T_STRING,
     .check = check_statuses,
     .doc = "The statuses that pass an HTTP check: `200`, or `[200-299, 401]`.",
     .since = "0.1"},
    {.name = "body",
     .type = LT_T_STRING,
     .offset = AT(body),
     .max = "1000",
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "A text that has to be in the body of an HTTP check's response.",
     .since = "0.1"},
    {.name = "body_regex",
     .type = LT_T_REGEX,
     .offset = AT(body_regex),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .check = check_regex,
     .doc = "A regular expression that has to match that body.",
     .since = "0.1"},
    {.name = "max_body",
     .type = LT_T_SIZE,
     .offset = AT(max_body),
     .def = "16K",
     .min = "1",
     .max = "1M",
     .doc = "How much of that body is looked at; what is longer is not read.",
     .since = "0.1"},
    {.name = "every",
     .type = LT_T_DURATION,
     .offset = AT(every_ms),
     .def = "2s",
     .min = "10ms",
     .max = "1h",
     .doc = "Time between the checks of a server.",
     .since = "0.1"},
    {.name = "down_every",
     .type = LT_T_DURATION,
     .offset = AT(down_every_ms),
     .def = "1s",
     .min = "10ms",
     .max = "1h",
     .doc = "The same while the server is down or its last check failed, if that is less.",
     .since = "0.1"},
    {.name = "jitter",
     .type = LT_T_PERCENT,
     .offset = AT(jitter),
     .def = "10%",
     .max = "50%",
     .doc = "By how much of it each interval is made longer or shorter by lot, so that checks "
            "spread.",
     .since = "0.1"},
    {.name = "timeout",
     .type = LT_T_DURATION,
     .offset = AT(timeout_ms),
     .def = "1s",
     .min = "1ms",
     .max = "10m",
     .doc = "A check that isn't over by then has failed; connecting is part of it.",
     .since = "0.1"},
    {.name = "fall",
     .type = LT_T_INT,
     .offset = AT(fall),
     .def = "2",
     .min = "1",
     .max = "1000",
     .doc = "Failed checks in a row that take a server down.",
     .since = "0.1"},
    {.name = "rise",
     .type = LT_T_INT,
     .offset = AT(rise),
     .def = "2",
     .min = "1",
     .max = "1000",
     .doc = "Passed checks in a row that bring it back.",
     .since = "0.1"},
    {.name = "init",
     .type = LT_T_ENUM,
     .offset = AT(init),
     .def = "up",
     .choices = inits,
     .doc = "A server that is new gets requests at once (`up`), or once `rise` checks have passed "
            "(`down`).",
     .since = "0.1"},
};

const struct lt_schema lt_check_schema = {
    .name = "health",
    .doc = "Checks of the servers.",
    .rows = check_rows,
    .n_rows = lt_countof(check_rows),
    .size = sizeof(struct lt_check_conf),
    .shorthand = "get",
};

#undef AT
#define AT(member) offsetof(struct lt_outlier_conf, member)

static const struct lt_row outlier_rows[] = {
    {.name = "enabled",
     .type = LT_T_BOOL,
     .offset = AT(enabled),
     .def = "false",
     .doc = "Written by itself when anything else is: `outliers: {errors: 3}` switches it on.",
     .since = "0.1"},
    {.name = "statuses",
     .type = LT_T_LIST,
     .offset = AT(statuses),
     .def = "502-504",
     .max = "64",
     .flags = LT_ROW_ONE_OK,
     .item = LT_T_STRING,
     .check = check_statuses,
     .doc = "Statuses of servers that count as errors. Always counted: a server that can't be "
            "connected to, closes or resets the connection, doesn't answer in time or answers "
            "with what is no HTTP.",
     .since = "0.1"},
    {.name = "errors",
     .type = LT_T_INT,
     .offset = AT(errors),
     .def = "5",
     .min = "0",
     .max = "10000",
     .doc = "Errors in a row that eject a server. 0: no number does.",
     .since = "0.1"},
    {.name = "rate",
     .type = LT_T_PERCENT,
     .offset = AT(rate),
     .min = "1%",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Share of errors among a server's requests in `window` that ejects it. Absent: none "
            "does.",
     .since = "0.1"},
    {.name = "latency",
     .type = LT_T_INT,
     .offset = AT(latency),
     .min = "2",
     .max = "1000",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Ejects a server whose mean time to the first byte in `window` is so many times the "
            "median of the upstream's servers. It takes three servers with enough requests to say "
            "so. Absent: no latency does.",
     .since = "0.1"},
    {.name = "requests",
     .type = LT_T_INT,
     .offset = AT(requests),
     .def = "20",
     .min = "1",
     .max = "1000000",
     .doc = "Requests of a server in `window` below which `rate` and `latency` say nothing.",
     .since = "0.1"},
    {.name = "window",
     .type = LT_T_DURATION,
     .offset = AT(window_ms),
     .def = "10s",
     .min = "1s",
     .max = "10m",
     .doc = "Time over which `rate` and `latency` look back.",
     .since = "0.1"},
    {.name = "time",
     .type = LT_T_DURATION,
     .offset = AT(time_ms),
     .def = "10s",
     .min = "10ms",
     .max = "1d",
     .doc = "How long a server stays ejected the first time. Each time that comes sooner than "
            "`max_time` after the last one doubles it.",
     .since = "0.1"},
    {.name = "max_time",
     .type = LT_T_DURATION,
     .offset = AT(max_time_ms),
     .def = "5m",
     .min = "10ms",
     .max = "1d",
     .doc = "The longest that it stays ejected.",
     .since = "0.1"},
    {.name = "max_share",
     .type = LT_T_PERCENT,
     .offset = AT(max_share),
     .def = "50%",
     .doc = "Most of the upstream's servers that are ejected at once, rounded down; one of two or "
            "more always may be.",
     .since = "0.1"},
};

const struct lt_schema lt_outlier_schema = {
    .name = "outliers",
    .doc = "Servers ejected for what their requests show.",
    .rows = outlier_rows,
    .n_rows = lt_countof(outlier_rows),
    .size = sizeof(struct lt_outlier_conf),
    .shorthand = "enabled",
};

#undef AT
#define AT(member) offsetof(struct lt_breaker_conf, member)

static const struct lt_row breaker_rows[] = {
    {.name = "enabled",
     .type = LT_T_BOOL,
     .offset = AT(enabled),
     .def = "false",
     .doc = "Written by itself when anything else is.",
     .since = "0.1"},
    {.name = "statuses",
     .type = LT_T_LIST,
     .offset = AT(statuses),
     .def = "502-504",
     .max = "64",
     .flags = LT_ROW_ONE_OK,
     .item = LT_T_STRING,
     .check = check_statuses,
     .doc = "Statuses of servers that count as errors, besides the failures that `outliers` "
            "counts.",
     .since = "0.1"},
    {.name = "rate",
     .type = LT_T_PERCENT,
     .offset = AT(rate),
     .def = "50%",
     .min = "1%",
     .doc = "Share of errors among the upstream's requests in `window` that opens the breaker.",
     .since = "0.1"},
    {.name = "requests",
     .type = LT_T_INT,
     .offset = AT(requests),
     .def = "20",
     .min = "1",
     .max = "1000000",
     .doc = "Requests in `window` below which it stays closed.",
     .since = "0.1"},
    {.name = "window",
     .type = LT_T_DURATION,
     .offset = AT(window_ms),
     .def = "10s",
     .min = "100ms",
     .max = "10m",
     .doc = "Time over which errors are counted.",
     .since = "0.1"},
    {.name = "open",
     .type = LT_T_DURATION,
     .offset = AT(open_ms),
     .def = "5s",
     .min = "10ms",
     .max = "1h",
     .doc = "How long requests are refused. Then `trials` of them are let through: if all do "
            "well it closes, if one fails it opens again.",
     .since = "0.1"},
    {.name = "trials",
     .type = LT_T_INT,
     .offset = AT(trials),
     .def = "3",
     .min = "1",
     .max = "255",
     .doc = "Requests that are let through to try.",
     .since = "0.1"},
};

const struct lt_schema lt_breaker_schema = {
    .name = "breaker",
    .doc = "The circuit breaker of an upstream.",
    .rows = breaker_rows,
    .n_rows = lt_countof(breaker_rows),
    .size = sizeof(struct lt_breaker_conf),
    .shorthand = "enabled",
};

/* ---- What becomes of them. ---- */

/* Whether any row but `enabled`, the first one, is written. */
static bool says_something(const struct lt_conf *conf)
{
    bool some = false;
    for (size_t i = 1; conf->schema != NULL && i < conf->schema->n_rows; i++) {
        some |= lt_schema_is_set(conf, conf->schema->rows[i].offset);
    }
    return some;
}

/* How many kinds of checks are asked for. */
static int kinds_of(const struct lt_check_conf *conf)
{
    return (conf->get.p != NULL) + (conf->grpc.p != NULL) + conf->tcp;
}

void lt_health_conf_imply(struct lt_schema_load *load, struct lt_health_conf *conf)
{
    if (kinds_of(&conf->check) > 0) {
        lt_schema_preset(load, &conf->check, "enabled", "true", "health is written");
    }
    if (says_something(&conf->outliers.conf)) {
        lt_schema_preset(load, &conf->outliers, "enabled", "true", "outliers is written");
    }
    if (says_something(&conf->breaker.conf)) {
        lt_schema_preset(load, &conf->breaker, "enabled", "true", "breaker is written");
    }
}

/* What `defaults.upstream` says may be half of it. */
static void check_kinds(struct lt_schema_load *load, const struct lt_check_conf *conf)
{
    bool said = lt_schema_is_set(conf, offsetof(struct lt_check_conf, enabled));
    if (conf->conf.level == LT_LEVEL_DEFAULTS_UPSTREAM || conf->conf.node == NULL) {
        return;
    }
    if (kinds_of(conf) == 0 && (conf->enabled || !said)) {
        lt_diag_error(load->diags, lt_schema_pos(conf, "get"),
                      "add get: /healthz, tcp: true, or grpc: \"\"",
                      "health: it isn't said what to check");
    } else if (kinds_of(conf) > 1 && conf->enabled) {
        lt_diag_error(load->diags, lt_schema_pos(conf, "get"),
                      "one of get, tcp and grpc; defaults.upstream may have one",
                      "health: this says two kinds of checks");
    }
}

void lt_health_conf_check(struct lt_schema_load *load, const struct lt_health_conf *conf,
                          bool http2)
{
    check_kinds(load, &conf->check);
    if (conf->check.enabled && conf->check.grpc.p != NULL && !http2) {
        lt_diag_error(load->diags, lt_schema_pos(&conf->check, "grpc"),
                      "set protocol: h2c, or h2 with tls",
                      "health: gRPC is spoken over HTTP/2 only");
    }
}

static void build_statuses(struct lt_schema_load *load, const struct lt_conf_list *list,
                           struct lt_status_set *out)
{
    const struct lt_str *items = list->items;
    out->v = lt_arena_array(load->arena, struct lt_status_range, lt_max(list->n, (size_t)1));
    if (out->v == NULL) {
        load->nomem = true;
        return;
    }
    for (size_t i = 0; i < list->n; i++) {
        out->n += items[i].p != NULL && parse_range(items[i], &out->v[out->n]);
    }
}

static void build_headers(struct lt_schema_load *load, const struct lt_conf_map *map,
                          struct lt_check_options *out)
{
    out->headers = lt_arena_array(load->arena, struct lt_check_field, lt_max(map->n, (size_t)1));
    if (out->headers == NULL) {
        load->nomem = true;
        return;
    }
    for (size_t i = 0; i < map->n; i++) {
        const struct lt_str *value = map->entries[i].value;
        out->headers[out->n_headers++] =
            (struct lt_check_field){.name = map->entries[i].key, .value = *value};
    }
}

static void build_pattern(struct lt_schema_load *load, const struct lt_check_conf *conf,
                          struct lt_check_options *out)
{
    size_t offset = 0;
    struct lt_str why = LT_STR_NONE;
    if (conf->body_regex.len == 0) {
        return;
    }
    out->pattern = lt_regex_compile(load->arena, conf->body_regex, &offset, &why);
    load->nomem |= out->pattern == NULL && why.len == 0; /* else it was said */
}

static void build_check(struct lt_schema_load *load, const struct lt_check_conf *conf,
                        struct lt_check_options *out)
{
    out->kind = !conf->enabled         ? LT_CHECK_NO
                : conf->get.p != NULL  ? LT_CHECK_HTTP
                : conf->grpc.p != NULL ? LT_CHECK_GRPC
                : conf->tcp            ? LT_CHECK_TCP
                                       : LT_CHECK_NO;
    out->method = lt_method_find(lt_str_c(methods[conf->method]));
    out->target = conf->get;
    out->host = conf->host;
    out->service = conf->grpc;
    build_headers(load, &conf->headers, out);
    build_statuses(load, &conf->expect, &out->expect);
    out->body = conf->body;
    build_pattern(load, conf, out);
    out->body_max = conf->max_body;
    out->every_ms = conf->every_ms;
    out->down_every_ms = lt_min(conf->down_every_ms, conf->every_ms);
    out->timeout_ms = conf->timeout_ms;
    out->jitter = conf->jitter;
    out->fall = (unsigned)conf->fall;
    out->rise = (unsigned)conf->rise;
    out->init_down = conf->init == 1;
}

void lt_health_conf_build(struct lt_schema_load *load, const struct lt_health_conf *conf,
                          struct lt_health_options *out)
{
    const struct lt_outlier_conf *outliers = &conf->outliers;
    const struct lt_breaker_conf *breaker = &conf->breaker;
    build_check(load, &conf->check, &out->check);
    out->outliers =
        (struct lt_outlier_options){.enabled = outliers->enabled,
                                    .errors = (unsigned)outliers->errors,
                                    .rate = outliers->rate,
                                    .latency = (unsigned)outliers->latency,
                                    .requests = (unsigned)outliers->requests,
                                    .window_ms = outliers->window_ms,
                                    .time_ms = outliers->time_ms,
                                    .max_time_ms = lt_max(outliers->max_time_ms, outliers->time_ms),
                                    .share = outliers->max_share};
    build_statuses(load, &outliers->statuses, &out->outliers.statuses);
    out->breaker = (struct lt_breaker_options){.enabled = breaker->enabled,
                                               .rate = breaker->rate,
                                               .requests = (unsigned)breaker->requests,
                                               .window_ms = breaker->window_ms,
                                               .open_ms = breaker->open_ms,
                                               .trials = (unsigned)breaker->trials};
    build_statuses(load, &breaker->statuses, &out->breaker.statuses);
}
