/* SPDX-License-Identifier: Apache-2.0 */
/* The whole configuration: what it means, what is said about mistakes, and what is made of its rows
 * (dump, manual, JSON Schema, help). */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/mem.h"
#include "config/dump.h"
#include "config/file.h"
#include "config/reference.h"
#include "config/schema_impl.h"
#include "config/types.h"
#include "server/cmd_config.h"
#include "server/root_conf.h"

#define BASE                                                                                       \
    "lintel: 1\n"                                                                                  \
    "listen: [{name: plain, address: \":8080\"}]\n"                                                \
    "upstreams: {app: {servers: [\"127.0.0.1:8000\"]}}\n"

static struct lt_root_load *load(const char *text)
{
    struct lt_root_load *root =
        lt_root_load_text(LT_STR("t.yaml"), LT_STR("/etc/lintel"), lt_str_c(text));
    assert_non_null(root);
    return root;
}

static char *messages(struct lt_root_load *root)
{
    struct lt_buf out;
    lt_buf_init(&out, (size_t)1 << 20);
    lt_diags_print(&root->diags, &out);
    lt_buf_char(&out, '\0');
    return out.p; /* freed by the caller */
}

static struct lt_root_load *load_well(const char *text)
{
    struct lt_root_load *root = load(text);
    if (root->conf == NULL) {
        char *all = messages(root);
        fputs(all, stderr);
        lt_free(all);
        fail();
    }
    return root;
}

static void reads_a_whole_configuration(void **state)
{
    (void)state;
    struct lt_root_load *r = load_well(
        "lintel: 1\n"
        "workers: 3\n"
        "trust: [10.0.0.0/8]\n"
        "listen:\n"
        "  - {name: public, address: \":443\", tls: true, timeouts: {head: 5s}}\n"
        "  - {address: \":80\", redirect: https, max_connections: 100}\n"
        "admin: {listen: \"unix:/run/lintel/admin.sock\", mode: \"0660\", gids: [4]}\n"
        "log: {access: none, slow: 1s, redact: [Cookie], fields: {who: user.id}}\n"
        "defaults:\n"
        "  timeouts: {head: 9s, keepalive: 30s}\n"
        "  upstream: {timeouts: {connect: 3s, idle: 9s}, keepalive: {max: 5, idle: 9s}}\n"
        "upstreams:\n"
        "  app: {preset: gunicorn, servers: [{address: \"unix:/a\", max: 8}], timeouts: {idle: "
        "2s}}\n"
        "  next: {preset: uvicorn, servers: [\"127.0.0.1:8000\"], balance: round_robin}\n"
        "  plain: [\"127.0.0.1:8001\"]\n"
        "filters:\n"
        "  partner: {filter: key_auth, on_error: open, when: method == 'GET', keys: {a: b}}\n"
        "  simple: headers\n"
        "sites:\n"
        "  - hosts: [example.com]\n"
        "    tls: {certificates: [{certificate: c.pem, key: k.pem}]}\n"
        "    filters: [simple]\n"
        "    routes:\n"
        "      - {match: /x, filters: [partner], to: {app: 95%, next: 5%}}\n"
        "      - {match: \"/*\", to: plain}\n");
    const struct lt_root_conf *c = r->conf;
    const struct lt_listen_conf *listen = c->listen.items;
    assert_int_equal(c->workers, 3);
    assert_int_equal(listen[0].timeouts.head_ms, 5000);
    assert_int_equal(listen[1].timeouts.head_ms, 9000);
    assert_int_equal(listen[1].timeouts.keepalive_ms, 30000);
    assert_int_equal(listen[1].timeouts.body_ms, 30000);
    assert_int_equal(listen[1].redirect, LT_LISTEN_REDIRECT_HTTPS);
    assert_int_equal(listen[1].max_connections, 100);
    assert_true(listen[1].name.len > 0);
    assert_int_equal(c->admin.mode_bits, 0660);
    assert_true(lt_schema_is_set(c, offsetof(struct lt_root_conf, admin)));
    assert_str(((struct lt_str *)c->log.redact.items)[0], "cookie");
    assert_int_equal(c->log.fields.n, 1);
    assert_int_equal(c->upstreams.n, 3);
    const struct lt_upstream_conf *app = c->upstreams.entries[0].value;
    const struct lt_upstream_conf *next = c->upstreams.entries[1].value;
    const struct lt_upstream_conf *plain = c->upstreams.entries[2].value;
    assert_int_equal(app->keepalive.max, 0); /* the preset beats defaults.upstream */
    assert_int_equal(app->keepalive.idle_ms, 9000);
    assert_int_equal(app->timeouts.connect_ms, 3000);
    assert_int_equal(app->timeouts.idle_ms, 2000);
    assert_int_equal(app->timeouts.first_byte_ms, 35000);
    assert_int_equal(((struct lt_server_conf *)app->servers.items)[0].max, 8);
    assert_int_equal(next->keepalive.idle_ms, 4000);
    assert_int_equal(next->keepalive.max, 5);
    assert_int_equal(next->balance.by, 1);
    assert_int_equal(plain->servers.n, 1);
    assert_int_equal(((struct lt_server_conf *)plain->servers.items)[0].max, 0);
    const struct lt_filter_conf *partner = c->filters.entries[0].value;
    assert_str(partner->filter, "key_auth");
    assert_int_equal(partner->on_error, LT_FILTER_OPEN);
    assert_non_null(partner->when);
    assert_int_equal(partner->budget.cpu_ms, 10);
    assert_non_null(lt_node_get(partner->conf.node, "keys"));
    assert_true(lt_filter_conf_reserved(LT_STR("when")));
    assert_false(lt_filter_conf_reserved(LT_STR("keys")));
    const struct lt_filter_conf *simple = c->filters.entries[1].value;
    assert_str(simple->filter, "headers");
    assert_false(lt_schema_is_set(simple, offsetof(struct lt_filter_conf, on_error)));
    assert_int_equal(c->sites.n, 1);
    lt_root_load_free(r);
}

/* Ten mistakes of ten kinds: each is said, at its place, in one run. */
static void says_all_of_ten_mistakes(void **state)
{
    static const char *const expected[] = {
        "t.yaml:2:10: error: workers: \"300\" is too large",
        "t.yaml:5:36: error: tls: \"yes\" is neither true nor false",
        "t.yaml:6:24: error: two listeners have this address",
        "t.yaml:9:13: error: preset: \"gunicon\" is not one of the choices",
        "= hint: did you mean \"gunicorn\"?",
        "t.yaml:11:5: error: unknown key \"blance\" in upstream",
        "= hint: did you mean \"balance\"?",
        "t.yaml:12:25: error: connect: \"5\" is not a duration",
        "t.yaml:15:34: error: unknown name methd in the expression",
        "t.yaml:19:31: error: there is no filter \"keyz\"",
        "t.yaml:20:25: error: to: there is no upstream",
        "t.yaml:21:30: error: unknown key \"servers\" in route",
    };
    (void)state;
    struct lt_root_load *r = load("lintel: 1\n"
                                  "workers: 300\n"
                                  "listen:\n"
                                  "  - {name: a, address: \":443\"}\n"
                                  "  - {name: b, address: \":81\", tls: yes}\n"
                                  "  - {name: c, address: \":443\"}\n"
                                  "upstreams:\n"
                                  "  app:\n"
                                  "    preset: gunicon\n"
                                  "    servers: [\"127.0.0.1:8000\"]\n"
                                  "    blance: p2c\n"
                                  "    timeouts: {connect: 5}\n"
                                  "\n"
                                  "filters:\n"
                                  "  keys: {filter: key_auth, when: methd == 'GET'}\n"
                                  "sites:\n"
                                  "  - hosts: [example.com]\n"
                                  "    routes:\n"
                                  "      - {match: /a, filters: [keyz], to: app}\n"
                                  "      - {match: /b, to: ap}\n"
                                  "      - {match: /c, to: app, servers: []}\n");
    char *all = messages(r);
    unsigned missing = 0;
    assert_null(r->conf);
    for (size_t i = 0; i < lt_countof(expected); i++) {
        if (strstr(all, expected[i]) == NULL) {
            print_error("not said: %s\n", expected[i]);
            missing++;
        }
    }
    if (missing > 0 || strstr(all, "\n10 errors\n") == NULL) {
        fputs(all, stderr);
        fail();
    }
    lt_free(all);
    lt_root_load_free(r);
}

#define SITE "sites: [{hosts: [a], routes: [{match: /, to: app}]}]\n"

/* One mistake each. */
static const struct {
    const char *text, *message;
} mistakes[] = {
    {"", "the top level: \"lintel\" is missing"},
    {"lintel: 2\nlisten: [\":80\"]\nupstreams: {app: [\"unix:/a\"]}\n" SITE,
     "lintel: \"2\" is too large"},
    {BASE, "\"sites\" is missing"},
    {BASE SITE "tests: []\n", "\"tests\" is reserved for a later version"},
    {BASE SITE "admin: {listen: \":1\"}\n", "the admin address must be a Unix socket"},
    {BASE SITE "admin: {listen: \"unix:/x\", mode: 999}\n", "mode: \"999\" is not an access mode"},
    {BASE SITE "admin: {listen: \"unix:/x\", mode: \"7777\"}\n", "is not an access mode"},
    {BASE SITE "log: {access: logs/x}\n", "\"logs/x\" is no place to log to"},
    {BASE SITE "log: {errors: stdout}\n", "\"stdout\" is no place to log to"},
    {BASE SITE "filters: {a b: headers}\n", "\"a b\" can't be a name"},
    {BASE SITE "filters: {a: ev-il}\n", "\"ev-il\" is not the name of a filter"},
    {BASE SITE "defaults: {upstream: {servers: []}}\n", "\"servers\" may not stand in this"},
    {BASE SITE "servers: []\n", "it may stand in resolver, upstreams.*"},
    {"lintel: 1\nlisten: [\":80\"]\nupstreams: {app: {servers: [\"unix:/a\", \"unix:/a\"]}}\n" SITE,
     "this server is listed twice"},
    {"lintel: 1\nlisten: [{address: \":80\", name: a}, {address: \":81\", name: a}]\n"
     "upstreams: {app: [\"unix:/a\"]}\n" SITE,
     "two listeners are called \"a\""},
    {"lintel: 1\nlisten: [{address: \":80\", tls: true}]\nupstreams: {app: [\"unix:/a\"]}\n" SITE,
     "has a certificate"},
    {"lintel: 1\nlisten: [{address: \":80\", tls: true, redirect: https}]\n"
     "upstreams: {app: [\"unix:/a\"]}\n"
     "sites: [{hosts: [a], tls: {certificates: [{certificate: a, key: b}]},"
     " routes: [{match: /, to: app}]}]\n",
     "can't redirect to https"},
    {"lintel: 1\nlisten: [{address: \"unix:/x\"}]\nupstreams: {app: [\"unix:/a\"]}\n" SITE
     "admin: unix:/x\n",
     "a listener has this address"},
};

static void says_one_mistake_as_one(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < lt_countof(mistakes); i++) {
        struct lt_root_load *r = load(mistakes[i].text);
        char *all = messages(r);
        bool one = strstr(all, "\n1 error\n") != NULL || mistakes[i].text[0] == '\0';
        if (r->conf != NULL || strstr(all, mistakes[i].message) == NULL || !one) {
            print_error("for:\n%swanted: %s\ngot:\n%s\n", mistakes[i].text, mistakes[i].message,
                        all);
            wrong++;
        }
        lt_free(all);
        lt_root_load_free(r);
    }
    assert_int_equal(wrong, 0);
}

static void a_redirect_without_tls_is_a_warning(void **state)
{
    (void)state;
    struct lt_root_load *r = load_well("lintel: 1\nlisten: [{address: \":80\", redirect: https}]\n"
                                       "upstreams: {app: [\"unix:/a\"]}\n" SITE);
    assert_int_equal(r->diags.warnings, 1);
    lt_root_load_free(r);
}

static const struct {
    const char *text, *message; /* NULL: none */
} limits[] = {
    {BASE "limits: {buffers: {disk: 1M, memory: 64K}}\n" SITE,
     "t.yaml:4:26: warning: body.max is 10485760, but limits.buffers can't keep more than 1114112"},
    {BASE "limits: {buffers: {disk: 1M}}\ndefaults: {body: {max: 1M}}\n" SITE, NULL},
    {BASE "sites: [{hosts: [a], routes: [{match: /, to: app, body: {max: 2G}}]}]\n",
     "t.yaml:4:63: warning: body.max is 2147483648"},
    {BASE "sites: [{hosts: [a], body: {max: 2G}, routes: [{match: /, to: app}]}]\n",
     "t.yaml:4:34: warning: body.max is 2147483648"},
    {BASE "sites: [{hosts: [a], routes: [{match: /, to: app, body: {max: 2G, stream: true}}]}]\n",
     NULL},
    {BASE "limits: {buffers: {disk: 1M}}\n"
          "sites: [{hosts: [a], body: {stream: true}, routes: [{match: /, to: app}]}]\n",
     NULL},
    {BASE "limits: {connections: 10, connections_per_client: 11}\n" SITE,
     "t.yaml:4:51: warning: connections_per_client is 11, but limits.connections is 10"},
    {"lintel: 1\nlisten: [{address: \":80\", max_connections: 11}]\nlimits: {connections: 10}\n"
     "upstreams: {app: [\"unix:/a\"]}\n" SITE,
     "t.yaml:2:44: warning: max_connections is 11, but limits.connections is 10"},
    {BASE "defaults: {max_target: 64K}\n" SITE, "warning: max_target is 65536, but max_head is"},
    {BASE "limits: {buffers: {memory: 64M}}\n" SITE, "warning: memory of one body is 67108864"},
    {BASE "limits: {buffers: {total: 1M, response: 2M}}\n" SITE, "warning: response is 2097152"},
    {BASE "sites: [{hosts: [a], routes: [{match: /, to: app, timeouts: {total: 1s, first_byte: "
          "2s}}]}]\n",
     "warning: first_byte (ms) is 2000, but total is 1000"},
    {BASE "defaults: {timeouts: {total: 1s, first_byte: 2s}}\n" SITE,
     "warning: first_byte (ms) is 2000, but total is 1000"},
    {BASE "sites: [{hosts: [a], routes: [{match: /, respond: 204}]}]\n",
     "t.yaml:3:13: warning: no route goes to the upstream \"app\""},
};

static void limits_that_cannot_work_together_are_warned_of(void **state)
{
    (void)state;
    unsigned wrong = 0;
    for (size_t i = 0; i < lt_countof(limits); i++) {
        struct lt_root_load *r = load_well(limits[i].text);
        char *all = messages(r);
        bool said = limits[i].message != NULL && strstr(all, limits[i].message) != NULL;
        if (r->diags.warnings != (limits[i].message != NULL) ||
            said != (limits[i].message != NULL)) {
            print_error("for:\n%swanted: %s\ngot:\n%s\n", limits[i].text,
                        limits[i].message != NULL ? limits[i].message : "nothing", all);
            wrong++;
        }
        lt_free(all);
        lt_root_load_free(r);
    }
    assert_int_equal(wrong, 0);
}

static void unreadable_certificates_are_found_by_check(void **state)
{
    (void)state;
    struct lt_root_load *r =
        load_well("lintel: 1\nlisten: [{address: \":443\", tls: true}]\n"
                  "upstreams: {app: [\"unix:/a\"]}\n"
                  "sites: [{hosts: [a], tls: {certificates: [{certificate: /nowhere/a.pem, key: "
                  "/nowhere/b.pem}]}, routes: [{match: /, to: app}]}]\n");
    lt_root_check_files(r);
    assert_null(r->conf);
    char *all = messages(r);
    assert_non_null(strstr(all, "/nowhere/a.pem"));
    assert_non_null(strstr(all, "t.yaml:4:"));
    lt_free(all);
    lt_root_load_free(r);
}

static void files_that_cannot_be_read_give_no_configuration(void **state)
{
    (void)state;
    struct lt_root_load *r = lt_root_load_file(NULL, "/nowhere/lintel.yaml");
    assert_non_null(r);
    assert_null(r->conf);
    assert_int_equal(r->diags.errors, 1);
    lt_root_check_files(r);
    lt_root_load_free(r);
    lt_root_load_free(NULL);
}

/* ---- what is made of the rows ---- */

static void show(const struct lt_root_load *root, struct lt_buf *out)
{
    lt_buf_init(out, (size_t)1 << 20);
    lt_config_show(root->conf, 0, NULL, out);
    lt_buf_char(out, '\0');
    assert_false(out->truncated);
}

static void shows_values_with_their_origin(void **state)
{
    static const char *const expected[] = {
        "lintel: 1 ",
        "# t.yaml:1\n",
        "workers: auto                                   # default\n",
        "      max: 0                                    # preset gunicorn\n",
        "      idle: 9s                                  # t.yaml:4\n",
        "    key: \"${LT_TEST_KEY}\" ",
        "    other: <redacted> ",
        "  access: stdout ",
    };
    struct lt_buf out;
    (void)state;
    setenv("LT_TEST_KEY", "TOPSECRET", 1);
    struct lt_root_load *r = load_well(
        "lintel: 1\nlisten: [\":80\"]\nupstreams: {app: {preset: gunicorn, servers: "
        "[\"unix:/a\"]}}\n"
        "defaults: {upstream: {keepalive: {idle: 9s}}}\n"
        "filters: {f: {filter: key_auth, key: \"${LT_TEST_KEY}\", other: {a: TOPSECRET}}}\n" SITE);
    show(r, &out);
    for (size_t i = 0; i < lt_countof(expected); i++) {
        if (strstr(out.p, expected[i]) == NULL) {
            print_error("%s\n", out.p);
            fail_msg("not shown: %s", expected[i]);
        }
    }
    assert_null(strstr(out.p, "TOPSECRET"));
    assert_null(strstr(out.p, "admin"));
    assert_null(strstr(out.p, "redirect:\n"));
    lt_buf_fini(&out);
    lt_root_load_free(r);
}

/* Cuts " # ..." off each line: origins. */
static void without_comments(struct lt_buf *text)
{
    char *to = text->p;
    bool comment = false;
    for (const char *p = text->p; *p != '\0'; p++) {
        comment = *p != '\n' && (comment || (*p == '#' && p > text->p && p[-1] == ' '));
        if (!comment && !(*p == ' ' && (p[1] == ' ' || p[1] == '#'))) {
            *to++ = *p;
        }
    }
    *to = '\0';
}

/* What is shown is a configuration again, and means the same. */
static void what_is_shown_can_be_read(void **state)
{
    struct lt_buf first, second;
    (void)state;
    struct lt_root_load *a = load_well(
        "lintel: 1\nworkers: 2\nlisten: [\":80\"]\nlog: {fields: {a: \"header.x or 'no'\"}}\n"
        "admin: {listen: unix:/x, mode: \"0600\"}\n"
        "defaults: {upstream: {tls: {min_version: 1.3}}}\n"
        "upstreams:\n"
        "  app: {servers: [\"unix:/a\"], tls: false}\n"
        "  \"1.0\": {servers: [\"[::1]:80\"], tls: {server_name: a.test}}\n"
        "sites:\n"
        "  - hosts: [\"*\", a.example.com]\n"
        "    name: \"no\"\n"
        "    routes:\n"
        "      - {match: \"/*\", to: {app: 99.5%, \"1.0\": 0.5%}, when: \"path ~ '^/x'\"}\n"
        "      - {match: GET /y, respond: {status: 204}}\n"
        "      - {match: \"/z/{id}\", redirect: {to: \"/y/{id}\", status: 308}}\n");
    show(a, &first);
    struct lt_root_load *b = load_well(first.p);
    show(b, &second);
    without_comments(&first);
    without_comments(&second);
    assert_string_equal(first.p, second.p);
    lt_buf_fini(&first);
    lt_buf_fini(&second);
    lt_root_load_free(a);
    lt_root_load_free(b);
}

static bool check_row(void *arg, struct lt_str path, const struct lt_schema *schema,
                      const struct lt_row *row, unsigned level)
{
    struct lt_root_load *r = arg;
    union {
        char bytes[256];
        uint64_t align;
    } value;
    (void)level;
    if (row->doc == NULL || row->since == NULL || schema->doc == NULL || schema->name == NULL) {
        fail_msg("%.*s.%s: has no doc or since", LT_STR_ARG(path), row->name);
    }
    if (row->doc[strlen(row->doc) - 1] != '.') {
        fail_msg("%.*s.%s: the doc is no sentence", LT_STR_ARG(path), row->name);
    }
    if (schema->n_rows > 64 || row->offset + lt_type_size(row->type, row->sub) > schema->size) {
        fail_msg("%.*s.%s: does not fit its struct", LT_STR_ARG(path), row->name);
    }
    bool scalar = lt_type_is_scalar(row->type);
    if (scalar && row->def == NULL && (row->flags & (LT_ROW_REQUIRED | LT_ROW_ABSENT_OK)) == 0) {
        fail_msg("%.*s.%s: has no default, but is not marked", LT_STR_ARG(path), row->name);
    }
    if (scalar && row->def != NULL &&
        !lt_type_parse_text(&r->load, row, row->type, row->def, value.bytes)) {
        fail_msg("%.*s.%s: the default is wrong", LT_STR_ARG(path), row->name);
    }
    if ((row->type == LT_T_ENUM || row->item == LT_T_ENUM) && row->choices == NULL) {
        fail_msg("%.*s.%s: has no choices", LT_STR_ARG(path), row->name);
    }
    return true;
}

static void every_row_is_well_formed(void **state)
{
    (void)state;
    struct lt_root_load *r = load_well(BASE SITE);
    assert_true(lt_schema_walk(&lt_root_schema, 0, check_row, r));
    lt_root_load_free(r);
}

static const char *source_dir(void)
{
    const char *dir = getenv("srcdir");
    return dir != NULL ? dir : ".";
}

static void the_manual_on_disk_is_the_generated_one(void **state)
{
    struct lt_arena arena;
    struct lt_buf out;
    struct lt_str text, why;
    char path[4096];
    (void)state;
    lt_arena_init(&arena, NULL, 0, (size_t)1 << 20);
    snprintf(path, sizeof(path), "%s/docs/config-reference.md", source_dir());
    assert_int_equal(lt_file_read(NULL, &arena, path, 1 << 19, &text, NULL, &why), LT_OK);
    lt_buf_init(&out, (size_t)1 << 20);
    lt_config_reference(&lt_root_schema, &out);
    assert_false(out.truncated);
    if (!lt_str_eq(lt_buf_view(&out), text)) {
        fail_msg("make it again: lintel show reference > docs/config-reference.md");
    }
    lt_buf_fini(&out);
    lt_arena_fini(&arena);
}

static void the_json_schema_is_json(void **state)
{
    struct lt_buf out;
    json_error_t error;
    (void)state;
    lt_buf_init(&out, (size_t)1 << 20);
    lt_config_json_schema(&lt_root_schema, "t", NULL, &out);
    json_t *schema = json_loadb(out.p, out.len, 0, &error);
    if (schema == NULL) {
        fail_msg("%s at %d", error.text, error.position);
    }
    json_t *properties = json_object_get(schema, "properties");
    assert_non_null(json_object_get(properties, "upstreams"));
    assert_null(json_object_get(properties, "tests"));
    json_decref(schema);
    lt_buf_fini(&out);
}

static void helps_with_options(void **state)
{
    static const struct {
        const char *option, *text;
        bool found;
    } cases[] = {
        {"upstreams.*.balance", "upstreams.*.balance\n    mapping", true},
        {"upstreams.balance", "upstreams.*.balance\n", true},
        {"balance", "defaults.upstream.balance\n", true},
        {"sites[].routes[].match", "required", true},
        {"workers", "A change takes effect at the next start.", true},
        {"upstreams.app.servers", "upstreams.*.servers\n", true},
        {"upstreams.1.0.balance", "upstreams.*.balance\n", true},
        {"upstreams.app.servers.0.max", "upstreams.*.servers[].max\n", true},
        {"sites[0].routes[12].match", "sites[].routes[].match\n", true},
        {"[].routes[].match", "sites[].routes[].match\n", true},
        {"sites.0.routes.1.to.split.app", "sites[].routes[].to.split\n", true},
        {"sites[0].errors.502", "sites[].errors\n", true},
        {"sites[0].hosts[1]", "sites[].hosts\n", true},
        {"upstreams.app", "upstreams\n", true},
        {"log.fields.a.b", "log.fields\n", true},
        {"filters.limit.rate", "filters.*.rate\n    A setting of the filter itself", true},
        {"filters.limit.budget.cpu", "filters.*.budget.cpu\n", true},
        {"upstreams.app.blance", "did you mean \"balance\"?", false},
        {"sites.x.routes", "there is no option", false},
        {"nonsense.balance", "there is no option", false},
        {"workers.0", "there is no option", false},
        {"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."
         "a.a."
         "a.a.a.a.a.a.a",
         "there is no option", false},
        {"a[", "there is no option", false},
        {"blance", "did you mean \"balance\"?", false},
        {"websocket", "these speak of it: ", false},
        {"H2", "upstream.protocol", false},
        {"max_body", "\nSee also: body.max\n", true},
        {"first.byte_timeouts", "did you mean \"timeouts.first_byte\"?", false},
        {"a_b_c_d_e_f_g_h_i_j_k_l_m_n_o_p_q_r", "there is no option", false},
        {"qqqqqq", "there is no option \"qqqqqq\"\n", false},
        {"", "there is no option", false},
        {"lance", "there is no option", false},
    };
    (void)state;
    for (size_t i = 0; i < lt_countof(cases); i++) {
        struct lt_buf out;
        lt_buf_init(&out, 65536);
        assert_int_equal(lt_config_help(&lt_root_schema, cases[i].option, NULL, &out),
                         cases[i].found);
        lt_buf_char(&out, '\0');
        if (strstr(out.p, cases[i].text) == NULL) {
            fail_msg("%s: %s", cases[i].option, out.p);
        }
        lt_buf_fini(&out);
    }
}

static void shipped_configurations_are_well(void **state)
{
    static const char *const names[] = {"conf/quickstart.yaml"};
    char path[4096];
    (void)state;
    for (size_t i = 0; i < lt_countof(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", source_dir(), names[i]);
        struct lt_root_load *r = lt_root_load_file(NULL, path);
        char *all = messages(r);
        if (r->conf == NULL) {
            fail_msg("%s", all);
        }
        lt_free(all);
        lt_root_load_free(r);
    }
}

/* The example at the top of the guide. */
static void the_example_of_the_guide_is_well(void **state)
{
    struct lt_arena arena;
    struct lt_str text, why;
    char path[4096];
    (void)state;
    lt_arena_init(&arena, NULL, 0, (size_t)1 << 20);
    snprintf(path, sizeof(path), "%s/docs/configuration.md", source_dir());
    assert_int_equal(lt_file_read(NULL, &arena, path, 1 << 19, &text, NULL, &why), LT_OK);
    size_t from = lt_str_find(text, LT_STR("```yaml\n")) + 8;
    struct lt_str rest = lt_str_sub(text, from, text.len);
    struct lt_str example = lt_str_sub(rest, 0, lt_str_find(rest, LT_STR("```")));
    assert_true(example.len > 100);
    setenv("ACME_KEY_SHA256", "0", 1);
    struct lt_root_load *r = lt_root_load_text(LT_STR("guide"), LT_STR("/"), example);
    char *all = messages(r);
    if (r->conf == NULL) {
        fail_msg("%s", all);
    }
    lt_free(all);
    lt_root_load_free(r);
    lt_arena_fini(&arena);
}

/* Every allocation of a whole load fails once: no crash, no leak, and never a configuration that is
 * taken for good. */
static void survives_lack_of_memory(void **state)
{
    bool ok = false;
    unsigned n;
    (void)state;
    for (n = 1; !ok; n++) {
        assert_true(n < 2000);
        lt_mem_fail_at(n);
        struct lt_root_load *r = lt_root_load_text(
            LT_STR("t.yaml"), LT_STR("/"),
            LT_STR(BASE "filters: {f: {filter: a, when: path ~ '^/'}}\n"
                        "sites: [{hosts: [a], routes: [{match: /x, filters: [f], to: app}]}]\n"));
        lt_mem_fail_at(0);
        ok = r != NULL && r->conf != NULL;
        assert_true(ok || r == NULL || r->diags.errors > 0);
        lt_root_load_free(r);
    }
    assert_true(n > 5);
}

static void commands_know_their_arguments(void **state)
{
    char name[] = "check", bad[] = "--bad", extra[] = "extra", c[] = "-c";
    char nowhere[] = "/nowhere.yaml", show_name[] = "show", config[] = "config", help[] = "help";
    char none[] = "nothing-like-it", json[] = "--json";
    (void)state;
    assert_int_equal(lt_cmd_check(2, (char *[]){name, bad, NULL}), 2);
    assert_int_equal(lt_cmd_check(2, (char *[]){name, extra, NULL}), 2);
    assert_int_equal(lt_cmd_check(2, (char *[]){name, c, NULL}), 2);
    assert_int_equal(lt_cmd_check(3, (char *[]){name, c, nowhere, NULL}), 1);
    assert_int_equal(lt_cmd_check(4, (char *[]){name, json, c, nowhere, NULL}), 1);
    assert_int_equal(lt_cmd_show(1, (char *[]){show_name, NULL}), 2);
    assert_int_equal(lt_cmd_show(2, (char *[]){show_name, extra, NULL}), 2);
    assert_int_equal(lt_cmd_show(3, (char *[]){show_name, config, json, NULL}), 2);
    assert_int_equal(lt_cmd_show(4, (char *[]){show_name, config, c, nowhere, NULL}), 1);
    assert_int_equal(lt_cmd_help(1, (char *[]){help, NULL}), 2);
    assert_int_equal(lt_cmd_help(2, (char *[]){help, none, NULL}), 2);
    unsetenv("LINTEL_CONFIG");
    assert_string_equal(lt_cmd_config_path(), LT_CONFIG_FILE);
    setenv("LINTEL_CONFIG", "/x", 1);
    assert_string_equal(lt_cmd_config_path(), "/x");
    unsetenv("LINTEL_CONFIG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_whole_configuration),
        cmocka_unit_test(says_all_of_ten_mistakes),
        cmocka_unit_test(says_one_mistake_as_one),
        cmocka_unit_test(a_redirect_without_tls_is_a_warning),
        cmocka_unit_test(limits_that_cannot_work_together_are_warned_of),
        cmocka_unit_test(unreadable_certificates_are_found_by_check),
        cmocka_unit_test(files_that_cannot_be_read_give_no_configuration),
        cmocka_unit_test(shows_values_with_their_origin),
        cmocka_unit_test(what_is_shown_can_be_read),
        cmocka_unit_test(every_row_is_well_formed),
        cmocka_unit_test(the_manual_on_disk_is_the_generated_one),
        cmocka_unit_test(the_json_schema_is_json),
        cmocka_unit_test(helps_with_options),
        cmocka_unit_test(shipped_configurations_are_well),
        cmocka_unit_test(the_example_of_the_guide_is_well),
        cmocka_unit_test(survives_lack_of_memory),
        cmocka_unit_test(commands_know_their_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
