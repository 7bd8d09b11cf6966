/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the top level, and the order in which a configuration is read, filled in and checked.
 * Loader thread. */
#include "server/root_conf.h"

#include "base/log.h"
#include "base/mem.h"
#include "exchange/log_field.h"
#include "http/headers.h"
#include "route/error_pages.h"
#include "server/dev_demo.h"

#define AT(member) offsetof(struct lt_admin_conf, member)

static const struct lt_row admin_rows[] = {
    {.name = "listen",
     .type = LT_T_ADDRESS,
     .offset = AT(listen),
     .flags = LT_ROW_REQUIRED | LT_ROW_RESTART,
     .doc = "The Unix socket for `lintel status`, health checks and metrics: "
            "`unix:/run/lintel/admin.sock`.",
     .since = "0.1"},
    {.name = "mode",
     .type = LT_T_STRING,
     .offset = AT(mode),
     .def = "0600",
     .flags = LT_ROW_RESTART,
     .doc = "Access mode of the socket, in octal.",
     .since = "0.1"},
    {.name = "uids",
     .type = LT_T_LIST,
     .offset = AT(uids),
     .item = LT_T_INT,
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Users, by number, that may connect besides root and the user that Lintel runs as.",
     .since = "0.1"},
    {.name = "gids",
     .type = LT_T_LIST,
     .offset = AT(gids),
     .item = LT_T_INT,
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Groups, by number, whose members may connect.",
     .since = "0.1"},
    {.name = "state_file",
     .type = LT_T_FILE,
     .offset = AT(state_file),
     .flags = LT_ROW_ABSENT_OK | LT_ROW_NONEMPTY,
     .doc = "What the operator changes about servers over this socket is kept in this file, and "
            "read at the start. Its folder has to be writable by the user that Lintel runs as. "
            "Without it changes hold until the gateway ends.",
     .since = "0.1"},
};

static void check_admin(struct lt_schema_load *load, void *obj)
{
    struct lt_admin_conf *admin = obj;
    unsigned bits = 0;
    bool octal = admin->mode.len >= 3 && admin->mode.len <= 4;
    for (size_t i = 0; i < admin->mode.len && octal; i++) {
        octal = admin->mode.p[i] >= '0' && admin->mode.p[i] <= '7';
        bits = bits * 8 + (unsigned)(admin->mode.p[i] - '0');
    }
    if (!octal || bits > 0777) {
        lt_diag_error(load->diags, lt_schema_pos(admin, "mode"), "write it as in \"0660\"",
                      "mode: \"%.*s\" is not an access mode", LT_STR_ARG(admin->mode));
    }
    admin->mode_bits = bits & 0777;
    if (!lt_addr_is_unix(&admin->listen)) {
        lt_diag_error(load->diags, lt_schema_pos(admin, "listen"),
                      "write unix:/run/lintel/admin.sock",
                      "the admin address must be a Unix socket");
    }
}

static const struct lt_schema admin_schema = {
    .name = "admin",
    .doc = "The socket for operators. Without this section there is none.",
    .rows = admin_rows,
    .n_rows = lt_countof(admin_rows),
    .size = sizeof(struct lt_admin_conf),
    .shorthand = "listen",
    .check = check_admin,
};

/* ---- log ---- */

/* The order of enum lt_log_level. */
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
_Static_assert(LT_LOG_DEBUG == 0 && LT_LOG_ERROR == 3, "levels[] follows enum lt_log_level");

static void check_target(struct lt_schema_load *load, const struct lt_node *node,
                         const struct lt_str *target, bool access)
{
    bool word = lt_str_eq_c(*target, "stderr") ||
                (access && (lt_str_eq_c(*target, "stdout") || lt_str_eq_c(*target, "none")));
    if (!word && (target->len == 0 || target->p[0] != '/')) {
        lt_diag_error(load->diags, node->pos,
                      access ? "write stdout, stderr, none or an absolute path"
                             : "write stderr or an absolute path",
                      "\"%.*s\" is no place to log to", LT_STR_ARG(node->raw));
    }
}

static void check_access(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    check_target(load, node, value, true);
}

static void check_errors(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    check_target(load, node, value, false);
}

#undef AT
#define AT(member) offsetof(struct lt_log_conf, member)

static void check_fields(struct lt_schema_load *load, const struct lt_node *node LT_UNUSED,
                         const void *value)
{
    const struct lt_conf_map *map = value;
    for (size_t i = 0; i < map->n; i++) {
        struct lt_str name = map->entries[i].key;
        if (lt_log_field_is_ours(name)) {
            lt_diag_error(load->diags, map->entries[i].key_node->pos, "choose another name",
                          "each line has \"%.*s\" already", LT_STR_ARG(name));
        }
    }
}

static void check_redact(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    const struct lt_conf_list *list = value;
    const struct lt_str *names = list->items;
    for (size_t i = 0; i < list->n; i++) {
        if (names[i].p != NULL && !lt_header_name_ok(names[i])) {
            struct lt_pos pos =
                node->kind == LT_NODE_LIST && i < node->n_items ? node->items[i]->pos : node->pos;
            lt_diag_error(load->diags, pos, "write names as in authorization",
                          "this is no name of a header field");
        }
    }
}

static const struct lt_row log_rows[] = {
    {.name = "access",
     .type = LT_T_STRING,
     .offset = AT(access),
     .def = "stdout",
     .check = check_access,
     .doc = "Where the access log goes, one JSON object per line: `stdout`, `stderr`, `none` or "
            "an absolute path.",
     .since = "0.1"},
    {.name = "errors",
     .type = LT_T_STRING,
     .offset = AT(errors),
     .def = "stderr",
     .check = check_errors,
     .doc = "Where the error log goes: `stderr` or an absolute path.",
     .since = "0.1"},
    {.name = "level",
     .type = LT_T_ENUM,
     .offset = AT(level),
     .def = "info",
     .choices = levels,
     .doc = "The least important events that the error log shows.",
     .since = "0.1"},
    {.name = "slow",
     .type = LT_T_DURATION,
     .offset = AT(slow_ms),
     .min = "1ms",
     .max = "1h",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Requests that take longer are marked as slow in the access log.",
     .since = "0.1"},
    {.name = "redact",
     .type = LT_T_LIST,
     .offset = AT(redact),
     .def = "authorization, cookie, set-cookie, proxy-authorization, x-api-key",
     .item = LT_T_STRING,
     .check = check_redact,
     .doc = "Header fields whose values never appear in a log.",
     .since = "0.1"},
    {.name = "fields",
     .type = LT_T_MAP,
     .offset = AT(fields),
     .max = "64",
     .flags = LT_ROW_ABSENT_OK,
     .item = LT_T_EXPR,
     .check = check_fields,
     .doc = "Further members of each line of the access log: name and expression.",
     .since = "0.1"},
};

static const struct lt_schema log_schema = {
    .name = "log",
    .doc = "What is logged, and where.",
    .rows = log_rows,
    .n_rows = lt_countof(log_rows),
    .size = sizeof(struct lt_log_conf),
};

/* ---- limits and drain ---- */

static void check_folder(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    const struct lt_str *path = value;
    if (path->len == 0 || path->p[0] != '/') {
        lt_diag_error(load->diags, node->pos, "write an absolute path",
                      "path: \"%.*s\" is no folder for temporary files", LT_STR_ARG(node->raw));
    }
}

static const struct lt_row buffers_rows[] = {
    {.name = "total",
     .type = LT_T_SIZE,
     .offset = offsetof(struct lt_buffers_conf, total),
     .def = "48M",
     .min = "1M",
     .max = "1T",
     .doc =
         "Memory for bodies on their way, over all workers. The more of it is used, the less each "
         "request may hold; when it is used up, reading pauses until some is free.",
     .since = "0.1"},
    {.name = "memory",
     .type = LT_T_SIZE,
     .offset = offsetof(struct lt_buffers_conf, memory),
     .def = "64K",
     .max = "1G",
     .doc = "Bytes of one request body that are collected in memory. The rest goes to a temporary "
            "file, also when `total` gets short.",
     .since = "0.1"},
    {.name = "disk",
     .type = LT_T_SIZE,
     .offset = offsetof(struct lt_buffers_conf, disk),
     .def = "1G",
     .max = "100T",
     .doc = "Most bytes in temporary files of request bodies, all together. Bodies that do not fit "
            "are refused: with 413 `body_never_fits` when they would not fit alone, else with 503 "
            "`body_buffer_full`.",
     .since = "0.1"},
    {.name = "path",
     .type = LT_T_STRING,
     .offset = offsetof(struct lt_buffers_conf, path),
     .def = "/var/tmp",
     .max = "1000",
     .check = check_folder,
     .doc = "Folder for these files. They have no names there, so nothing is left behind. A disk, "
            "not a file system in memory.",
     .since = "0.1"},
    {.name = "response",
     .type = LT_T_SIZE,
     .offset = offsetof(struct lt_buffers_conf, response),
     .def = "1M",
     .min = "16K",
     .max = "1G",
     .doc =
         "Bytes of one response that are read ahead of a slow client, so that the server is free "
         "as soon as it has sent them; less while `total` is short.",
     .since = "0.1"},
};

static const struct lt_schema buffers_schema = {
    .name = "buffers",
    .doc = "Memory for bodies.",
    .rows = buffers_rows,
    .n_rows = lt_countof(buffers_rows),
    .size = sizeof(struct lt_buffers_conf),
};

static const struct lt_row limits_compress_rows[] = {
    {.name = "total",
     .type = LT_T_SIZE,
     .offset = offsetof(struct lt_limits_compress_conf, total),
     .def = "64M",
     .max = "1T",
     .doc = "Memory for compressing responses, over all workers. One response takes 256K for gzip, "
            "1.25M for zstd, 2M for br. What finds none left is sent uncompressed.",
     .since = "0.1"},
};

static const struct lt_schema limits_compress_schema = {
    .name = "limits of compression",
    .doc = "Memory for compressing responses.",
    .rows = limits_compress_rows,
    .n_rows = lt_countof(limits_compress_rows),
    .size = sizeof(struct lt_limits_compress_conf),
};

#undef AT
#define AT(member) offsetof(struct lt_limits_conf, member)

static const char *const automatic[] = {"auto", NULL};

static const struct lt_row limits_rows[] = {
    {.name = "connections",
     .type = LT_T_INT,
     .offset = AT(connections),
     .def = "auto",
     .min = "1",
     .max = "10000000",
     .choices = automatic,
     .doc = "Most client connections at once. Further ones are closed as soon as they are "
            "accepted. `auto`: half as many as there may be file descriptors, at most 10000.",
     .since = "0.1"},
    {.name = "streams",
     .type = LT_T_INT,
     .offset = AT(streams),
     .def = "10000",
     .min = "16",
     .max = "10000000",
     .doc = "Most HTTP/2 requests at once, over all connections. Further ones are refused with "
            "REFUSED_STREAM, which clients may try again. `http2.streams` of a listener limits "
            "one connection.",
     .since = "0.1"},
    {.name = "heads",
     .type = LT_T_SIZE,
     .offset = AT(heads),
     .def = "128M",
     .min = "1M",
     .max = "1T",
     .doc =
         "Memory for heads, answers of our own and texts of filters of all requests in progress, "
         "over all workers. The first 4 KB of each request do not count. When it is used up, "
         "requests that need more are refused with 503 `out_of_memory`.",
     .since = "0.1"},
    {.name = "connections_per_client",
     .type = LT_T_INT,
     .offset = AT(connections_per_client),
     .def = "auto",
     .min = "1",
     .max = "10000000",
     .choices = automatic,
     .doc = "Most connections of one client at once, over all listeners: of one IPv4 address, or "
            "one /64 of IPv6. Further ones are closed as soon as they are accepted. Peers in "
            "`trust` and those of Unix sockets have no such limit. `auto`: a quarter of "
            "`connections`, and none for clients on this machine.",
     .since = "0.1"},
    {.name = "health_checks",
     .type = LT_T_INT,
     .offset = AT(health_checks),
     .def = "64",
     .min = "1",
     .max = "128",
     .doc =
         "Checks of servers (`health` of upstreams) that run at once; further ones wait in line.",
     .since = "0.1"},
    {.name = "shared",
     .type = LT_T_SIZE,
     .offset = AT(shared),
     .def = "8M",
     .min = "1M",
     .max = "64G",
     .flags = LT_ROW_RESTART,
     .doc = "Memory for the values that filters share over all workers (`lintel.shared`). When it "
            "is full, those that were not used for longest are forgotten, which "
            "`filter_shared_evicted_total` counts.",
     .since = "0.1"},
    {.name = "buffers",
     .type = LT_T_OBJECT,
     .offset = AT(buffers),
     .sub = &buffers_schema,
     .doc = "Memory for bodies.",
     .since = "0.1"},
    {.name = "compress",
     .type = LT_T_OBJECT,
     .offset = AT(compress),
     .sub = &limits_compress_schema,
     .doc = "Memory for compressing responses.",
     .since = "0.1"},
};

static const struct lt_schema limits_schema = {
    .name = "limits",
    .doc = "What the whole gateway may use.",
    .rows = limits_rows,
    .n_rows = lt_countof(limits_rows),
    .size = sizeof(struct lt_limits_conf),
};

#undef AT
#define AT(member) offsetof(struct lt_drain_conf, member)

static const struct lt_row drain_rows[] = {
    {.name = "delay",
     .type = LT_T_DURATION,
     .offset = AT(delay_ms),
     .def = "0",
     .max = "10m",
     .doc = "After SIGTERM, `/readyz` fails at once while connections are accepted for this "
            "time, so that a load balancer can take notice.",
     .since = "0.1"},
    {.name = "timeout",
     .type = LT_T_DURATION,
     .offset = AT(timeout_ms),
     .def = "30s",
     .max = "1d",
     .doc = "Then requests in progress may take this long before they are cut off.",
     .since = "0.1"},
};

static const struct lt_schema drain_schema = {
    .name = "drain",
    .doc = "How Lintel stops.",
    .rows = drain_rows,
    .n_rows = lt_countof(drain_rows),
    .size = sizeof(struct lt_drain_conf),
};

/* ---- defaults and the top ---- */

static const struct lt_row defaults_rows[] = {
    LT_LISTEN_SHARED_ROWS(struct lt_defaults_conf),
    LT_ERROR_PAGES_ROW(struct lt_defaults_conf),
    {.name = "upstream",
     .type = LT_T_OBJECT,
     .offset = offsetof(struct lt_defaults_conf, upstream),
     .levels = LT_LEVEL_DEFAULTS,
     .sub = &lt_upstream_schema,
     .doc = "For all upstreams. A preset and the upstream itself come before it.",
     .since = "0.1",
     .sub_level = LT_LEVEL_DEFAULTS_UPSTREAM},
};

static const struct lt_schema defaults_schema = {
    .name = "defaults",
    .doc = "Values for listeners and upstreams that do not set their own.",
    .rows = defaults_rows,
    .n_rows = lt_countof(defaults_rows),
    .size = sizeof(struct lt_defaults_conf),
};

/* Names appear in logs, metrics and expressions. */
static void check_names(struct lt_schema_load *load, const struct lt_node *node LT_UNUSED,
                        const void *value)
{
    const struct lt_conf_map *map = value;
    for (size_t i = 0; i < map->n; i++) {
        struct lt_str key = map->entries[i].key;
        bool ok = key.len > 0 && key.len <= 64;
        for (size_t j = 0; j < key.len; j++) {
            char c = lt_char_lower(key.p[j]);
            ok &= (c >= 'a' && c <= 'z') || lt_char_is_digit(c) || strchr("_.-", c) != NULL;
        }
        if (!ok) {
            lt_diag_error(load->diags, map->entries[i].key_node->pos,
                          "use up to 64 letters, digits, \"_\", \"-\" and \".\"",
                          "\"%.*s\" can't be a name", LT_STR_ARG(key));
        }
    }
}

#undef AT
#define AT(member) offsetof(struct lt_root_conf, member)

static const struct lt_row rows[] = {
    {.name = "lintel",
     .type = LT_T_INT,
     .offset = AT(lintel),
     .min = "1",
     .max = "1",
     .flags = LT_ROW_REQUIRED,
     .doc = "Version of this language: 1.",
     .since = "0.1"},
    {.name = "workers",
     .type = LT_T_INT,
     .offset = AT(workers),
     .def = "auto",
     .min = "1",
     .max = "256",
     .flags = LT_ROW_RESTART,
     .choices = automatic,
     .doc = "Threads that serve requests. `auto`: as many as there are processors for us, by "
            "affinity and cgroup.",
     .since = "0.1"},
    {.name = "include",
     .type = LT_T_LIST,
     .offset = AT(include),
     .flags = LT_ROW_ABSENT_OK,
     .item = LT_T_STRING,
     .doc = "Files, by pattern, that add upstreams, filters and sites: `[sites/*.yaml]`. Relative "
            "to this file; read in order of their names. They may have `include` themselves.",
     .since = "0.1"},
    {.name = "trust",
     .type = LT_T_LIST,
     .offset = AT(trust),
     .flags = LT_ROW_ABSENT_OK,
     .item = LT_T_CIDR,
     .doc = "Peers whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed. From "
            "others they are removed.",
     .since = "0.1"},
    {.name = "listen",
     .type = LT_T_LIST,
     .offset = AT(listen),
     .max = "64",
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .sub = &lt_listen_schema,
     .item = LT_T_OBJECT,
     .doc = "Where connections are accepted.",
     .since = "0.1",
     .sub_level = LT_LEVEL_LISTENER},
    {.name = "tls",
     .type = LT_T_OBJECT,
     .offset = AT(tls),
     .sub = &lt_tls_schema,
     .doc = "What holds for TLS on every listener. Certificates stand with the sites.",
     .since = "0.1"},
    {.name = "acme",
     .type = LT_T_OBJECT,
     .offset = AT(acme),
     .sub = &lt_acme_schema,
     .doc = "Certificates by ACME, with a client of your choice.",
     .since = "0.1"},
    {.name = "admin",
     .type = LT_T_OBJECT,
     .offset = AT(admin),
     .flags = LT_ROW_ABSENT_OK,
     .sub = &admin_schema,
     .doc = "The socket for operators. Without it there is none.",
     .since = "0.1"},
    {.name = "log",
     .type = LT_T_OBJECT,
     .offset = AT(log),
     .sub = &log_schema,
     .doc = "What is logged, and where.",
     .since = "0.1"},
    {.name = "limits",
     .type = LT_T_OBJECT,
     .offset = AT(limits),
     .sub = &limits_schema,
     .doc = "What the whole gateway may use.",
     .since = "0.1"},
    {.name = "drain",
     .type = LT_T_OBJECT,
     .offset = AT(drain),
     .sub = &drain_schema,
     .doc = "How Lintel stops.",
     .since = "0.1"},
    {.name = "resolver",
     .type = LT_T_OBJECT,
     .offset = AT(resolver),
     .sub = &lt_resolver_schema,
     .doc = "How names of servers (`dns:`, `dns+srv:`) are looked up.",
     .since = "0.1"},
    {.name = "defaults",
     .type = LT_T_OBJECT,
     .offset = AT(defaults),
     .sub = &defaults_schema,
     .doc = "Values for listeners and upstreams that do not set their own.",
     .since = "0.1",
     .sub_level = LT_LEVEL_DEFAULTS},
    {.name = "upstreams",
     .type = LT_T_MAP,
     .offset = AT(upstreams),
     .flags = LT_ROW_ABSENT_OK,
     .sub = &lt_upstream_schema,
     .item = LT_T_OBJECT,
     .check = check_names,
     .doc = "Pools of application servers, by name.",
     .since = "0.1",
     .sub_level = LT_LEVEL_UPSTREAM},
    {.name = "filters",
     .type = LT_T_MAP,
     .offset = AT(filters),
     .flags = LT_ROW_ABSENT_OK,
     .sub = &lt_filter_schema,
     .item = LT_T_OBJECT,
     .check = check_names,
     .doc = "Filter instances, by name.",
     .since = "0.1"},
    {.name = "sites",
     .type = LT_T_LIST,
     .offset = AT(sites),
     .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY,
     .sub = &lt_site_schema,
     .item = LT_T_OBJECT,
     .doc = "Host names with their certificates and routes.",
     .since = "0.1",
     .sub_level = LT_LEVEL_SITE},
    {.name = "tests", .type = LT_T_NODE, .flags = LT_ROW_RESERVED},
};

const struct lt_schema lt_root_schema = {
    .name = "the top level",
    .doc = "The whole configuration.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_root_conf),
};

/* ---- reading ---- */

static const char *const mergeable[] = {"upstreams", "filters", "sites", NULL};

/* Header names are compared in lower case. */
static void lower_redact(struct lt_root_conf *root)
{
    struct lt_str *names = root->log.redact.items;
    for (size_t i = 0; i < root->log.redact.n; i++) {
        char *p = (char *)(uintptr_t)names[i].p;
        for (size_t j = 0; j < names[i].len; j++) {
            p[j] = lt_char_lower(p[j]);
        }
    }
}

/* A listener without a name is called by its address as written. */
static bool name_listener(struct lt_schema_load *load, struct lt_listen_conf *listen)
{
    char text[LT_ADDR_TEXT_MAX];
    if (listen->name.len > 0 || listen->address.len == 0) {
        return true;
    }
    size_t n = lt_addr_print(&listen->address, text);
    return lt_arena_dup(load->arena, lt_str(text, n), &listen->name);
}

/* Fills in everything that is not written, from the most special to the most general. */
static void fill_in(struct lt_schema_load *load, struct lt_root_conf *root)
{
    struct lt_listen_conf *listen = root->listen.items;
    for (size_t i = 0; i < root->listen.n; i++) {
        lt_schema_inherit(&listen[i], &root->defaults);
        lt_schema_finish(load, &listen[i]);
        load->nomem |= !name_listener(load, &listen[i]);
    }
    lt_upstream_conf_imply(load, &root->defaults.upstream);
    for (size_t i = 0; i < root->upstreams.n; i++) {
        lt_upstream_conf_finish(load, root->upstreams.entries[i].value, &root->defaults.upstream);
    }
    lt_schema_finish(load, root);
    lower_redact(root);
}

static void read_root(struct lt_root_load *r, const struct lt_node *top)
{
    struct lt_root_conf *root = lt_arena_new(&r->arena, struct lt_root_conf);
    if (root == NULL) {
        r->load.nomem = true;
    } else if (top != NULL && !r->load.nomem && !r->load.syntax) {
        r->read = root;
        lt_schema_read(&r->load, &lt_root_schema, top, 0, root);
        if (!r->load.nomem) {
            fill_in(&r->load, root);
        }
        if (!r->load.nomem) {
            lt_root_check(&r->load, root);
        }
    }
    if (lt_load_ok(&r->load) && top != NULL) {
        r->conf = root;
    }
}

static struct lt_root_load *root_load_new(void)
{
    struct lt_root_load *r = lt_calloc(1, sizeof(*r));
    if (r != NULL) {
        lt_arena_init(&r->arena, NULL, 0, LT_LOAD_ARENA_MAX);
        lt_diags_init(&r->diags, &r->arena);
        lt_load_init(&r->load, &r->arena, &r->diags);
        r->load.root = &lt_root_schema;
        r->load.mergeable = mergeable;
    }
    return r;
}

struct lt_root_load *lt_root_load_file(struct lt_files *files, const char *path)
{
    struct lt_root_load *r = root_load_new();
    if (r != NULL) {
        r->load.files = files;
        struct lt_node *top = lt_load_file(&r->load, path);
        lt_dev_demo_mark(&r->load);
        read_root(r, top);
    }
    return r;
}

struct lt_root_load *lt_root_load_text(struct lt_str name, struct lt_str dir, struct lt_str text)
{
    struct lt_root_load *r = root_load_new();
    if (r != NULL) {
        read_root(r, lt_load_text(&r->load, name, dir, text));
    }
    return r;
}

void lt_root_load_free(struct lt_root_load *root)
{
    if (root != NULL) {
        lt_arena_fini(&root->arena);
        lt_free(root);
    }
}
