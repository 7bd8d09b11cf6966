/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of one filter instance. Loader thread. */
#include "filters/filter_conf.h"

#include "config/load.h"

#define AT(member) offsetof(struct lt_filter_budget, member)

static const struct lt_row budget_rows[] = {
    {.name = "cpu",
     .type = LT_T_DURATION,
     .offset = AT(cpu_ms),
     .def = "10ms",
     .min = "1ms",
     .max = "10s",
     .doc = "Processor time of one call. A filter that uses more is stopped.",
     .since = "0.1"},
    {.name = "wall",
     .type = LT_T_DURATION,
     .offset = AT(wall_ms),
     .def = "2s",
     .min = "1ms",
     .max = "10m",
     .doc = "Time of one call in all, waiting included.",
     .since = "0.1"},
    {.name = "memory",
     .type = LT_T_SIZE,
     .offset = AT(memory),
     .def = "16M",
     .min = "256K",
     .max = "4G",
     .doc = "Memory of the filter's Lua state in each worker.",
     .since = "0.1"},
};

static const struct lt_schema budget_schema = {
    .name = "filter budget",
    .doc = "What one filter may use before it is stopped and `on_error` applies.",
    .rows = budget_rows,
    .n_rows = lt_countof(budget_rows),
    .size = sizeof(struct lt_filter_budget),
};

static const char *const policies[] = {"closed", "open", NULL};

bool lt_filter_conf_name_ok(struct lt_str name)
{
    bool path = lt_str_chr(name, '/', 0) != SIZE_MAX || lt_str_ends(name, LT_STR(".lua"));
    for (size_t i = 0; i < name.len; i++) {
        char c = lt_char_lower(name.p[i]);
        if (c == '\0' || (!path && !(c >= 'a' && c <= 'z') && !lt_char_is_digit(c) && c != '_')) {
            return false;
        }
    }
    return name.len > 0;
}

static void check_name(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    if (!lt_filter_conf_name_ok(*(const struct lt_str *)value)) {
        lt_diag_error(load->diags, node->pos,
                      "write the name of an installed filter, as in key_auth, or the path of a "
                      "file, as in filters/mine.lua",
                      "\"%.*s\" is not the name of a filter", LT_STR_ARG(node->raw));
    }
}

#undef AT
#define AT(member) offsetof(struct lt_filter_conf, member)

static const struct lt_row rows[] = {
    {.name = "filter",
     .type = LT_T_STRING,
     .offset = AT(filter),
     .max = "1024",
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .check = check_name,
     .doc =
         "Which filter this is: the name of an installed one (its Lua file without `.lua`), or a "
         "path to a Lua file, which starts at the folder of the configuration file.",
     .since = "0.1"},
    {.name = "when",
     .type = LT_T_EXPR,
     .offset = AT(when),
     .flags = LT_ROW_ABSENT_OK,
     .doc = "The filter is run only for requests for which this holds.",
     .since = "0.1"},
    {.name = "on_error",
     .type = LT_T_ENUM,
     .offset = AT(on_error),
     .flags = LT_ROW_ABSENT_OK,
     .choices = policies,
     .doc = "What happens when the filter fails or exceeds its budget: `closed` refuses the "
            "request, `open` goes on as if the filter were not there. Without it, what the filter "
            "itself declares.",
     .since = "0.1"},
    {.name = "budget",
     .type = LT_T_OBJECT,
     .offset = AT(budget),
     .sub = &budget_schema,
     .doc = "What the filter may use.",
     .since = "0.1"},
    {.name = "tls",
     .type = LT_T_OBJECT,
     .offset = AT(tls),
     .sub = &lt_tls_client_schema,
     .doc = "How the filter speaks TLS to what it asks by `lintel.http` under `https://`. Without "
            "it certificates are verified against the authorities that the system trusts.",
     .since = "0.1"},
};

/* Whether there is TLS a URL says. */
static void check(struct lt_schema_load *load, void *obj)
{
    const struct lt_filter_conf *filter = obj;
    const struct lt_tls_client_conf *tls = &filter->tls;
    if (!lt_schema_is_set(filter, offsetof(struct lt_filter_conf, tls))) {
        return;
    }
    if (lt_schema_is_set(tls, offsetof(struct lt_tls_client_conf, enabled))) {
        lt_diag_error(load->diags, lt_schema_pos(tls, "enabled"),
                      "leave it out: `https://` in a URL switches TLS on",
                      "the tls of a filter is not switched on or off here");
    }
    if (!tls->verify && tls->pin.n == 0) {
        lt_diag_warning(load->diags, lt_schema_pos(tls, "verify"),
                        "name the authority with `ca`, or the server's key with `pin`",
                        "nothing is verified: anybody can pretend to be whom this filter asks");
    }
}

const struct lt_schema lt_filter_schema = {
    .name = "filter",
    .doc = "A filter instance: a Lua file with its settings. Keys that are not listed here are "
           "the filter's own.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_filter_conf),
    .shorthand = "filter",
    .open = true,
    .check = check,
};

bool lt_filter_conf_reserved(struct lt_str key)
{
    for (size_t i = 0; i < lt_countof(rows); i++) {
        if (lt_str_eq_c(key, rows[i].name)) {
            return true;
        }
    }
    return false;
}
