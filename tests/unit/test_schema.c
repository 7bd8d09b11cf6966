/* SPDX-License-Identifier: Apache-2.0 */
/* The schema engine over a small schema of its own: types, bounds, shorthands, levels, inheritance,
 * and what it says about mistakes. */
#include "config_env.h"

#include <stdlib.h>

#include "base/addr.h"
#include "base/mem.h"
#include "config/expr.h"
#include "config/types.h"
#include "config/units.h"

struct inner {
    struct lt_conf conf;
    uint64_t idle_ms;
    int64_t count;
};

struct item {
    struct lt_conf conf;
    struct lt_addr address;
    int64_t weight;
};

struct choice {
    struct lt_conf conf;
    struct lt_str name;
    struct lt_conf_map shares;
};

struct outer {
    struct lt_conf conf;
    struct lt_str name;
    int64_t workers;
    bool flag;
    uint64_t wait_ms, size;
    struct lt_rate rate;
    uint32_t percent;
    struct lt_addr address;
    struct lt_cidr cidr;
    struct lt_str url, regex, secret, file;
    int color;
    struct lt_expr *when;
    struct inner inner;
    struct lt_conf_list items, words, secrets;
    struct lt_conf_map map, numbers;
    struct lt_node *node;
    struct choice to;
    int64_t local;
};

static void check_item(struct lt_schema_load *load, void *obj)
{
    const struct item *item = obj;
    if (item->weight == 13) {
        lt_diag_error(load->diags, lt_schema_pos(obj, "weight"), NULL, "13 is bad luck");
    }
}

static void check_name(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    if (lt_str_eq_c(*(const struct lt_str *)value, "bad")) {
        lt_diag_error(load->diags, node->pos, "take another", "this name is bad");
    }
}

#define ROW(n, t, member, ...)                                                                     \
    {                                                                                              \
        .name = n, .type = t, .offset = offsetof(struct outer, member), .doc = "Does.",            \
        .since = "0.1", __VA_ARGS__                                                                \
    }

static const struct lt_row inner_rows[] = {
    {.name = "idle",
     .type = LT_T_DURATION,
     .offset = offsetof(struct inner, idle_ms),
     .def = "4s",
     .min = "1s",
     .max = "1m"},
    {.name = "count", .type = LT_T_INT, .offset = offsetof(struct inner, count), .def = "7"},
};
static const struct lt_schema inner_schema = {
    .name = "inner", .rows = inner_rows, .n_rows = 2, .size = sizeof(struct inner)};

static const struct lt_row item_rows[] = {
    {.name = "address",
     .type = LT_T_ADDRESS,
     .offset = offsetof(struct item, address),
     .flags = LT_ROW_REQUIRED},
    {.name = "weight", .type = LT_T_INT, .offset = offsetof(struct item, weight), .def = "1"},
};
static const struct lt_schema item_schema = {.name = "item",
                                             .rows = item_rows,
                                             .n_rows = 2,
                                             .size = sizeof(struct item),
                                             .shorthand = "address",
                                             .check = check_item};

static const struct lt_row choice_rows[] = {
    {.name = "name", .type = LT_T_STRING, .offset = offsetof(struct choice, name)},
    {.name = "shares",
     .type = LT_T_MAP,
     .offset = offsetof(struct choice, shares),
     .item = LT_T_PERCENT},
};
static const struct lt_schema choice_schema = {.name = "choice",
                                               .rows = choice_rows,
                                               .n_rows = 2,
                                               .size = sizeof(struct choice),
                                               .shorthand = "name",
                                               .shorthand_map = "shares"};

static const char *const colors[] = {"red", "green", "blue", NULL};
static const char *const automatic[] = {"auto", NULL};

static const struct lt_row rows[] = {
    ROW("name", LT_T_STRING, name, .flags = LT_ROW_REQUIRED | LT_ROW_NONEMPTY, .max = "10",
        .check = check_name),
    ROW("workers", LT_T_INT, workers, .def = "auto", .min = "1", .max = "256",
        .choices = automatic),
    ROW("flag", LT_T_BOOL, flag, .def = "true"),
    ROW("wait", LT_T_DURATION, wait_ms, .def = "1.5s"),
    ROW("size", LT_T_SIZE, size, .def = "64K", .max = "1M"),
    ROW("rate", LT_T_RATE, rate, .def = "100/1m"),
    ROW("percent", LT_T_PERCENT, percent, .def = "0.5%"),
    ROW("address", LT_T_ADDRESS, address, .def = ":443"),
    ROW("cidr", LT_T_CIDR, cidr, .def = "10.0.0.0/8"),
    ROW("url", LT_T_URL, url, .def = "https://example.com/"),
    ROW("regex", LT_T_REGEX, regex, .def = "^/"),
    ROW("secret", LT_T_SECRET, secret, .flags = LT_ROW_ABSENT_OK, .min = "4"),
    ROW("file", LT_T_FILE, file, .flags = LT_ROW_ABSENT_OK),
    ROW("color", LT_T_ENUM, color, .def = "green", .choices = colors),
    ROW("when", LT_T_EXPR, when, .def = "true"),
    ROW("inner", LT_T_OBJECT, inner, .sub = &inner_schema),
    ROW("items", LT_T_LIST, items, .item = LT_T_OBJECT, .sub = &item_schema, .max = "3",
        .sub_level = LT_LEVEL_SERVER),
    ROW("words", LT_T_LIST, words, .item = LT_T_STRING, .def = "a, b", .min = "1"),
    ROW("secrets", LT_T_LIST, secrets, .item = LT_T_SECRET, .flags = LT_ROW_NONEMPTY),
    ROW("map", LT_T_MAP, map, .item = LT_T_OBJECT, .sub = &item_schema),
    ROW("numbers", LT_T_MAP, numbers, .item = LT_T_INT),
    ROW("node", LT_T_NODE, node, .flags = LT_ROW_ABSENT_OK),
    ROW("to", LT_T_OBJECT, to, .sub = &choice_schema),
    ROW("local", LT_T_INT, local, .levels = LT_LEVEL_SITE, .def = "5"),
    ROW("later", LT_T_NODE, node, .flags = LT_ROW_RESERVED),
};
static const struct lt_schema schema = {.name = "outer",
                                        .rows = rows,
                                        .n_rows = lt_countof(rows),
                                        .size = sizeof(struct outer),
                                        .shorthand_list = "items"};

static struct outer *read_only(struct env *e, const char *yaml, unsigned level)
{
    struct lt_node *top = env_read(e, yaml);
    struct outer *o = lt_arena_new(&e->arena, struct outer);
    assert_non_null(top);
    assert_non_null(o);
    e->load.root = &schema;
    lt_schema_read(&e->load, &schema, top, level, o);
    return o;
}

static struct outer *read_outer(struct env *e, const char *yaml)
{
    struct outer *o = read_only(e, yaml, LT_LEVEL_SITE);
    lt_schema_finish(&e->load, o);
    return o;
}

static void defaults_fill_what_is_not_written(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct outer *o = read_outer(&e, "name: x\n");
    if (!lt_load_ok(&e.load)) {
        fail_msg("%s", env_messages(&e));
    }
    assert_int_equal(o->workers, -1);
    assert_true(o->flag);
    assert_int_equal(o->wait_ms, 1500);
    assert_int_equal(o->size, 65536);
    assert_int_equal(o->rate.count, 100);
    assert_int_equal(o->rate.period_ms, 60000);
    assert_int_equal(o->percent, 50);
    assert_int_equal(lt_addr_port(&o->address), 443);
    assert_int_equal(o->cidr.bits, 96 + 8);
    assert_str(o->url, "https://example.com/");
    assert_int_equal(o->color, 1);
    assert_non_null(o->when);
    assert_int_equal(o->inner.idle_ms, 4000);
    assert_int_equal(o->words.n, 2);
    assert_str(((struct lt_str *)o->words.items)[1], "b");
    assert_int_equal(o->local, 5);
    assert_false(lt_schema_is_set(o, offsetof(struct outer, workers)));
    assert_true(lt_schema_is_set(o, offsetof(struct outer, name)));
    assert_false(lt_schema_is_set(o, offsetof(struct outer, inner)));
    env_fini(&e);
}

static void reads_every_type(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct outer *o = read_outer(
        &e, "name: \"x\"\nworkers: 4\nflag: false\nwait: 500ms\nsize: 1.5K\nrate: 5/s\n"
            "percent: 95%\naddress: \"unix:run/x.sock\"\ncidr: fd00::/8\nurl: http://h:1/p?q\n"
            "secret: s3cret\nfile: key.pem\ncolor: blue\nwhen: method == 'GET'\n"
            "inner: {idle: 2s}\nitems: [\"127.0.0.1:80\", {address: \"[::1]:81\", weight: 2}]\n"
            "words: []\nmap: {a: \":1\"}\nnumbers: {n: -5}\nnode: {any: [thing]}\nregex: 'a+'\n"
            "to: {app: 95%, next: 5%}\nsecrets: [one]\n");
    env_expect(&e, "words: needs at least 1 entries");
    assert_int_equal(e.diags.errors, 1);
    assert_int_equal(o->workers, 4);
    assert_false(o->flag);
    assert_int_equal(o->wait_ms, 500);
    assert_int_equal(o->size, 1536);
    assert_int_equal(o->rate.period_ms, 1000);
    assert_int_equal(o->percent, 9500);
    assert_string_equal(o->address.un.sun_path, "/etc/lintel/run/x.sock");
    assert_str(o->file, "/etc/lintel/key.pem");
    assert_int_equal(o->color, 2);
    assert_int_equal(o->inner.idle_ms, 2000);
    assert_int_equal(o->inner.count, 7);
    assert_int_equal(o->items.n, 2);
    const struct item *items = o->items.items;
    assert_int_equal(items[0].weight, 1);
    assert_int_equal(items[1].weight, 2);
    assert_int_equal(lt_addr_port(&items[1].address), 81);
    assert_int_equal(o->map.n, 1);
    assert_str(o->map.entries[0].key, "a");
    assert_int_equal(lt_addr_port(&((struct item *)o->map.entries[0].value)->address), 1);
    assert_int_equal(*(int64_t *)o->numbers.entries[0].value, -5);
    assert_int_equal(o->node->kind, LT_NODE_MAP);
    assert_int_equal(o->to.shares.n, 2);
    assert_int_equal(*(uint32_t *)o->to.shares.entries[0].value, 9500);
    assert_true(lt_schema_is_set(o, offsetof(struct outer, inner.idle_ms)));
    assert_false(lt_schema_is_set(o, offsetof(struct outer, inner.count)));
    env_fini(&e);
}

static void a_scalar_stands_for_its_row(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct outer *o = read_outer(&e, "{name: x, to: app}");
    assert_true(lt_load_ok(&e.load));
    assert_str(o->to.name, "app");
    assert_int_equal(o->to.shares.n, 0);
    env_fini(&e);
}

/* Text, then what has to be said. */
static const struct {
    const char *yaml, *message, *hint;
} mistakes[] = {
    {"{}", "outer: \"name\" is missing", ""},
    {"nmae: x", "t.yaml:1:1: error: unknown key \"nmae\" in outer", "did you mean \"name\"?"},
    {"{name: x, zzzzzz: 1}", "unknown key \"zzzzzz\" in outer",
     "its keys are: name, workers, flag"},
    {"{name: x, inner: {xyz: 1}}", "unknown key \"xyz\" in inner", "its keys are: idle, count"},
    {"{name: x, weight: 1}", "unknown key \"weight\" in outer", "it may stand in items[], map.*"},
    {"{name: x, later: 1}", "\"later\" is reserved for a later version", ""},
    {"{name: ''}", "name: \"\" may not be empty", ""},
    {"{name: bad}", "this name is bad", "take another"},
    {"{name: abcdefghijk}", "is too long", "the most is 10 bytes"},
    {"{name: [a]}", "name: one value is expected here, not a list", ""},
    {"{name: }", "t.yaml:1:2: error: name: has no value", "leave the key out"},
    {"{name: x, workers: 0}", "workers: \"0\" is too small", "the least is 1"},
    {"{name: x, workers: 257}", "workers: \"257\" is too large", "the most is 256"},
    {"{name: x, workers: many}", "is not a whole number", "or `auto`"},
    {"{name: x, flag: no}", "flag: \"no\" is neither true nor false", "write `false`"},
    {"{name: x, flag: on}", "neither true nor false", "write `true`"},
    {"{name: x, flag: 2}", "neither true nor false", "`true` or `false`"},
    {"{name: x, wait: 5}", "wait: \"5\" is not a duration", "500ms, 1.5s"},
    {"{name: x, wait: 0.1ms}", "is not a duration", ""},
    {"{name: x, size: 10MB}", "size: \"10MB\" is not a size", "64K"},
    {"{name: x, size: 2M}", "size: \"2M\" is too large", "the most is 1M"},
    {"{name: x, rate: 100}", "is not a rate", "100/1m"},
    {"{name: x, rate: 0/s}", "is not a rate", ""},
    {"{name: x, percent: 101%}", "is not a percentage", "95%"},
    {"{name: x, percent: 5}", "is not a percentage", ""},
    {"{name: x, address: localhost}", "is not an address", "port"},
    {"{name: x, address: \"a:80\"}", "is not an address", "not an IP address"},
    {"{name: x, cidr: 10.0.0.1/8}", "is not a block of addresses", ""},
    {"{name: x, url: ftp://x}", "is not an http or https URL", "https://"},
    {"{name: x, url: \"http://\"}", "has no host", ""},
    {"{name: x, url: \"http://a b\"}", "holds a character", ""},
    {"{name: x, url: \"http://u:p@h/\"}", "user or password", ""},
    {"{name: x, file: \"\"}", "is not a path", ""},
    {"{name: x, color: gren}", "is not one of the choices", "did you mean \"green\"?"},
    {"{name: x, color: pink}", "is not one of the choices", "write one of: red, green, blue"},
    {"{name: x, when: methd}", "t.yaml:1:17: error: unknown name methd", "method"},
    {"{name: x, when: \"methd\"}", "t.yaml:1:18: error: unknown name methd", "method"},
    {"{name: x, inner: 5}", "inner: a mapping is expected here, not text", "key: value"},
    {"{name: x, inner: {idle: 2m}}", "idle: \"2m\" is too large", "the most is 1m"},
    {"{name: x, inner: }", "inner: has no value", ""},
    {"{name: x, items: a}", "items: a list is expected here, not text", "[a, b]"},
    {"{name: x, items: [{weight: 2}]}", "item: \"address\" is missing", ""},
    {"{name: x, items: [{adress: \":1\"}]}", "unknown key \"adress\"", "\"address\""},
    {"{name: x, items: [{address: \":1\", weight: 13}]}", "t.yaml:1:43: error: 13 is bad luck", ""},
    {"{name: x, items: [\":1\", \":2\", \":3\", \":4\"]}", "has 4 entries, the most is 3", ""},
    {"{name: x, items: [[a]]}", "item: a mapping is expected here, not a list", ""},
    {"{name: x, items: [~]}", "items: has no value", ""},
    {"{name: x, map: [a]}", "map: a mapping is expected here, not a list", "name: value"},
    {"{name: x, map: {a: {}}}", "item: \"address\" is missing", ""},
    {"{name: x, numbers: {n: x}}", "n: \"x\" is not a whole number", ""},
    {"{name: x, secrets: []}", "secrets: may not be empty", ""},
    {"{name: x, to: {app: 95}}", "app: \"95\" is not a percentage", ""},
    {"{name: x, to: {name: app, nxt: 5%}}", "unknown key \"nxt\" in choice", ""},
    {"[a]", "\"key: value\" pairs", ""},
};

static void says_each_mistake_once(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < lt_countof(mistakes); i++) {
        struct env e;
        env_init(&e);
        struct lt_node *top = env_read(&e, mistakes[i].yaml);
        struct outer *o = lt_arena_new(&e.arena, struct outer);
        e.load.root = &schema;
        if (top != NULL) {
            lt_schema_read(&e.load, &schema, top, LT_LEVEL_SITE, o);
            lt_schema_finish(&e.load, o);
        }
        if (lt_load_ok(&e.load) || !env_says(&e, mistakes[i].message) ||
            !env_says(&e, mistakes[i].hint) || !env_says(&e, "\n1 error\n")) {
            print_error("for: %s\n", mistakes[i].yaml);
            wrong++;
        }
        env_fini(&e);
    }
    assert_int_equal(wrong, 0);
}

static void keys_know_their_levels(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct outer *o = read_only(&e, "{name: x, local: 3}", LT_LEVEL_ROUTE);
    lt_schema_finish(&e.load, o);
    env_expect(&e, "t.yaml:1:11: error: \"local\" may not stand in this outer");
    env_expect(&e, "it may stand in the top level");
    env_fini(&e);
    env_init(&e);
    o = read_only(&e, "{name: x, local: 3}", LT_LEVEL_SITE);
    assert_true(lt_load_ok(&e.load));
    assert_int_equal(o->local, 3);
    env_fini(&e);
}

static void secrets_are_never_shown(void **state)
{
    static const char *const texts[] = {
        "{name: x, secret: TOPSECRET, workers: 0}",
        "{name: x, secret: [TOPSECRET]}",
        "name: 12345678901\nsecret: >\n  TOP\n  SECRET\nworkers: 0",
        "{name: x, secret: \"${LT_TEST_SECRET}\", zzz: 1}",
        "{name: x, workers: \"${LT_TEST_SECRET}\"}",
        "{name: x, secrets: [{a: TOPSECRET}]}",
    };
    (void)state;
    setenv("LT_TEST_SECRET", "TOPSECRET", 1);
    for (size_t i = 0; i < lt_countof(texts); i++) {
        struct env e;
        struct lt_buf json;
        env_init(&e);
        read_outer(&e, texts[i]);
        assert_false(lt_load_ok(&e.load));
        assert_null(strstr(env_messages(&e), "SECRET,"));
        assert_null(strstr(env_messages(&e), "TOPSECRET"));
        lt_buf_init(&json, 65536);
        lt_diags_json(&e.diags, &json);
        assert_true(lt_str_find(lt_buf_view(&json), LT_STR("TOPSECRET")) == SIZE_MAX);
        lt_buf_fini(&json);
        env_fini(&e);
    }
    struct env e;
    env_init(&e);
    read_outer(&e, "{name: x, secret: abc}");
    env_expect(&e, "secret: the value is too short");
    env_expect(&e, "<a secret stands in this line>");
    env_fini(&e);
}

static void parents_give_what_is_not_written(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct outer *parent = read_only(
        &e, "{wait: 9s, inner: {idle: 9s, count: 9}, words: [p], color: red}", LT_LEVEL_SITE);
    struct outer *child = read_only(&e, "{name: x, wait: 1s, inner: {idle: 3s}}", LT_LEVEL_SITE);
    lt_schema_preset(&e.load, child, "inner.count", "8", "preset x");
    lt_schema_preset(&e.load, child, "inner.idle", "8s", "preset x");
    lt_schema_preset(&e.load, child, "size", "1K", "preset x");
    lt_schema_inherit(child, parent);
    lt_schema_finish(&e.load, child);
    assert_true(lt_load_ok(&e.load));
    assert_int_equal(child->wait_ms, 1000);
    assert_int_equal(child->inner.idle_ms, 3000);
    assert_int_equal(child->inner.count, 8);
    assert_int_equal(child->size, 1024);
    assert_int_equal(child->color, 0);
    assert_int_equal(child->words.n, 1);
    assert_true(lt_schema_is_set(child, offsetof(struct outer, color)));
    assert_true(lt_schema_is_set(child, offsetof(struct outer, size)));
    assert_int_equal(lt_schema_pos(child, "color").col, 60);
    assert_int_equal(lt_schema_pos(child, "nothing").col, 1);
    /* A second time changes nothing. */
    lt_schema_finish(&e.load, child);
    assert_int_equal(child->size, 1024);
    env_fini(&e);
}

static void other_schemas_give_rows_of_the_same_name(void **state)
{
    struct env e;
    struct item *item;
    (void)state;
    env_init(&e);
    struct outer *parent = read_only(&e, "{address: \":7\"}", LT_LEVEL_SITE);
    item = lt_arena_new(&e.arena, struct item);
    lt_schema_read(&e.load, &item_schema, NULL, 0, item);
    lt_schema_inherit(item, parent);
    lt_schema_finish(&e.load, item);
    assert_true(lt_load_ok(&e.load));
    assert_int_equal(lt_addr_port(&item->address), 7);
    assert_int_equal(item->weight, 1);
    env_fini(&e);
}

static void objects_that_were_never_read_are_harmless(void **state)
{
    struct env e;
    struct outer none;
    (void)state;
    env_init(&e);
    memset(&none, 0, sizeof(none));
    lt_schema_finish(&e.load, &none);
    lt_schema_inherit(&none, &none);
    lt_schema_preset(&e.load, &none, "size", "1K", "preset x");
    assert_false(lt_schema_is_set(&none, offsetof(struct outer, size)));
    assert_null(lt_schema_pos(&none, "size").source);
    assert_int_equal(none.size, 0);
    assert_true(lt_load_ok(&e.load));
    env_fini(&e);
}

static void finds_the_closest_word(void **state)
{
    static const char *const words[] = {"retry", "servers", "to", "max"};
    (void)state;
    assert_string_equal(lt_schema_closest(LT_STR("retrys"), words, 4), "retry");
    assert_string_equal(lt_schema_closest(LT_STR("sevrers"), words, 4), "servers");
    assert_string_equal(lt_schema_closest(LT_STR("mx"), words, 4), "max");
    assert_null(lt_schema_closest(LT_STR("ab"), words, 4));
    assert_null(lt_schema_closest(LT_STR("x"), words, 4));
    assert_null(lt_schema_closest(LT_STR("something"), words, 4));
    char hint[400];
    assert_string_equal(lt_schema_hint(LT_STR("retrys"), words, 4, hint, sizeof(hint)),
                        "did you mean \"retry\"?");
    assert_non_null(
        strstr(lt_schema_hint(LT_STR("zzz"), words, 4, hint, sizeof(hint)), "known names: "));
    assert_null(lt_schema_hint(LT_STR("zzz"), words, 0, hint, sizeof(hint)));
    const char *many[40];
    for (size_t i = 0; i < lt_countof(many); i++) {
        many[i] = "servers";
    }
    assert_non_null(
        strstr(lt_schema_hint(LT_STR("zzz"), many, 40, hint, sizeof(hint)), " and 26 more"));
}

static void prints_values_as_they_are_written(void **state)
{
    struct lt_buf out;
    char text[64];
    uint64_t v;
    uint32_t percent;
    struct lt_rate rate;
    static const char *const durations[] = {"0ms", "1ms", "1500ms", "2s", "1m", "90s", "1h", "1d"};
    static const char *const sizes[] = {"0", "512", "1K", "1536", "64K", "10M", "1G", "2T"};
    static const char *const percents[] = {"0%", "0.5%", "0.05%", "95%", "99.99%", "100%"};
    (void)state;
    lt_buf_init_fixed(&out, text, sizeof(text));
    for (size_t i = 0; i < lt_countof(durations); i++) {
        assert_true(lt_units_duration(lt_str_c(durations[i]), &v));
        out.len = 0;
        lt_units_print_duration(v, &out);
        assert_str(lt_buf_view(&out), durations[i]);
        assert_true(lt_units_size(lt_str_c(sizes[i]), &v));
        out.len = 0;
        lt_units_print_size(v, &out);
        assert_str(lt_buf_view(&out), sizes[i]);
    }
    for (size_t i = 0; i < lt_countof(percents); i++) {
        assert_true(lt_units_percent(lt_str_c(percents[i]), &percent));
        out.len = 0;
        lt_units_print_percent(percent, &out);
        assert_str(lt_buf_view(&out), percents[i]);
    }
    assert_false(lt_units_duration(LT_STR("99999999999999999d"), &v));
    assert_false(lt_units_duration(LT_STR("s"), &v));
    assert_false(lt_units_duration(LT_STR("1.5.5s"), &v));
    assert_false(lt_units_duration(LT_STR("-1s"), &v));
    assert_false(lt_units_size(LT_STR(""), &v));
    assert_false(lt_units_size(LT_STR("1.3"), &v));
    assert_false(lt_units_rate(LT_STR("1/0s"), &rate));
    assert_false(lt_units_rate(LT_STR("99999999999/s"), &rate));
    assert_false(lt_units_percent(LT_STR("%"), &percent));
    assert_false(lt_units_percent(LT_STR("0.001%"), &percent));
}

/* Every allocation of a whole load fails once, from malloc or because the arena may not grow;
 * nothing crashes or leaks, and it is noticed. */
static unsigned load_until_it_works(bool limit_arena)
{
    bool ok = false;
    unsigned n;
    for (n = 1; !ok; n++) {
        struct env e;
        assert_true(n < 5000);
        env_init(&e);
        if (limit_arena) {
            e.arena.max = (size_t)16 * n;
        } else {
            lt_mem_fail_at(n);
        }
        struct lt_node *top = env_read(
            &e, "{name: x, items: [\":1\"], words: [a], map: {a: \":2\"}, file: f, when: path}");
        struct outer *o = lt_arena_new(&e.arena, struct outer);
        if (top != NULL && o != NULL) {
            lt_schema_read(&e.load, &schema, top, LT_LEVEL_SITE, o);
            lt_schema_finish(&e.load, o);
        }
        ok = lt_load_ok(&e.load) && o != NULL;
        lt_mem_fail_at(0);
        assert_true(ok || e.diags.errors > 0 || o == NULL);
        env_fini(&e);
    }
    return n;
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    assert_true(load_until_it_works(false) > 4);
    assert_true(load_until_it_works(true) > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_what_is_not_written),
        cmocka_unit_test(reads_every_type),
        cmocka_unit_test(a_scalar_stands_for_its_row),
        cmocka_unit_test(says_each_mistake_once),
        cmocka_unit_test(keys_know_their_levels),
        cmocka_unit_test(secrets_are_never_shown),
        cmocka_unit_test(parents_give_what_is_not_written),
        cmocka_unit_test(other_schemas_give_rows_of_the_same_name),
        cmocka_unit_test(objects_that_were_never_read_are_harmless),
        cmocka_unit_test(finds_the_closest_word),
        cmocka_unit_test(prints_values_as_they_are_written),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
