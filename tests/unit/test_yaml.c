/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to nodes: positions, what is refused, and where syntax errors are said to be. */
#include "config_env.h"

static void reads_nodes_with_positions(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct lt_node *top = env_read(&e, "a: 1\nb:\n  - x\n  - \"y z\"\nc: {é: ü, d: ''}\n");
    assert_non_null(top);
    assert_true(lt_load_ok(&e.load));
    assert_int_equal(top->kind, LT_NODE_MAP);
    assert_int_equal(top->n_pairs, 3);
    struct lt_node *b = lt_node_get(top, "b");
    assert_int_equal(b->n_items, 2);
    assert_int_equal(b->items[1]->pos.line, 4);
    assert_int_equal(b->items[1]->pos.col, 5);
    assert_int_equal(b->items[1]->pos.width, 5);
    assert_true(b->items[1]->quoted);
    assert_string_equal(b->items[1]->text.p, "y z");
    struct lt_node *c = lt_node_get(top, "c");
    /* Columns count characters: "é: ü, " are six of them. */
    assert_int_equal(c->pairs[1].key->pos.col, 11);
    assert_false(lt_node_get(c, "d")->null);
    assert_null(lt_node_get(c, "nothing"));
    assert_null(lt_node_get(b, "nothing"));
    assert_null(lt_node_get(NULL, "nothing"));
    env_fini(&e);
}

static void words_stay_text(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct lt_node *top = env_read(&e, "a: no\nb: 1.0\nc: null\nd:\ne: \"null\"\nf: ~\n");
    assert_string_equal(lt_node_get(top, "a")->text.p, "no");
    assert_string_equal(lt_node_get(top, "b")->text.p, "1.0");
    assert_true(lt_node_get(top, "c")->null);
    assert_true(lt_node_get(top, "d")->null);
    assert_false(lt_node_get(top, "e")->null);
    assert_true(lt_node_get(top, "f")->null);
    env_fini(&e);
}

static void empty_file_is_an_empty_mapping(void **state)
{
    static const char *const texts[] = {"", "# nothing\n", "\xef\xbb\xbf", "---\n{}\n...\n"};
    (void)state;
    for (size_t i = 0; i < lt_countof(texts); i++) {
        struct env e;
        env_init(&e);
        struct lt_node *top = env_read(&e, texts[i]);
        assert_non_null(top);
        assert_int_equal(top->kind, LT_NODE_MAP);
        assert_int_equal(top->n_pairs, 0);
        assert_true(lt_load_ok(&e.load));
        env_fini(&e);
    }
}

static void byte_order_mark_does_not_move_columns(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    struct lt_node *top = env_read(&e, "\xef\xbb\xbf"
                                       "a: b\n");
    assert_int_equal(top->pairs[0].key->pos.col, 1);
    env_fini(&e);
}

/* Text, the place of the message, a part of the message, a part of the hint. */
static const struct {
    const char *text, *place, *message, *hint;
} refused[] = {
    /* well-formed, but not ours */
    {"a: 1\nb: 2\na: 3\n", "t.yaml:3:1:", "\"a\" is written twice", "line 1"},
    {"a: {b: 1, \"b\": 2}\n", "t.yaml:1:11:", "written twice", "line 1"},
    {"a: &x 1\n", "t.yaml:1:4:", "anchors", "quote"},
    {"a: *x\n", "t.yaml:1:4:", "aliases", "quote this: \"*x\""},
    {"a: !x y\n", "t.yaml:1:4:", "tags", "quote"},
    {"a: !!int 1\n", "t.yaml:1:4:", "tags", "quote"},
    {"a: !x [b]\n", "t.yaml:1:4:", "tags", "quote"},
    {"a: &x {b: c}\n", "t.yaml:1:4:", "anchors", "quote"},
    {"a: {<<: b}\n", "t.yaml:1:5:", "merge keys", "defaults"},
    {"a: 1\n---\nb: 1\n", "t.yaml:2:1:", "second document", "include"},
    {"%YAML 1.1\n---\na: 1\n", "t.yaml:1:1:", "YAML 1.1", "leave"},
    {"%TAG ! tag:x,2000:\n---\na: 1\n", "t.yaml:1:1:", "tags", "leave"},
    {"? [a]\n: b\n", "t.yaml:1:3:", "a key must be plain text", "quote"},
    {"? {a: b}\n: b\n", "t.yaml:1:3:", "a key must be plain text", "quote"},
    {"?\n: b\n", "t.yaml:1:2:", "a key is missing", "quote"},
    {"null: b\n", "t.yaml:1:1:", "a key is missing", "quote"},
    {"a: \"x\\0y\"\n", "t.yaml:1:4:", "NUL", ""},
    {"- a\n", "t.yaml:1:1:", "\"key: value\" pairs", "lintel: 1"},
    {"abc\n", "t.yaml:1:1:", "\"key: value\" pairs", "lintel: 1"},
    /* syntax */
    {"a: *.example.com\n", "t.yaml:1:4:", "aliases", "quote this: \"*.example.com\""},
    {"a: [b, *.example.com]\n", "t.yaml:1:8:", "aliases", "quote this: \"*.example.com\""},
    {"a: [::1]:443\n", "t.yaml:1:4:", "IPv6", "quote this: \"[::1]:443\""},
    {"- {address: :443}\n", "t.yaml:1:13:", "value", "quote this: \":443\""},
    {"a: {b: ${X}}\n", "t.yaml:1:8:", "brackets", "quote this: \"${X}\""},
    {"a: {b: /v1/{rest}, c: d}\n", "t.yaml:1:8:", "brackets", "quote this: \"/v1/{rest}\""},
    {"a: @x\n", "t.yaml:1:4:", "can't start with \"@\"", "quote this: \"@x\""},
    {"a: `x`\n", "t.yaml:1:4:", "can't start with \"`\"", "quote this: \"`x`\""},
    {"a: %x\n", "t.yaml:1:4:", "can't start with \"%\"", "quote this: \"%x\""},
    {"a:\n\tb: 1\n", "t.yaml:2:1:", "tab", "spaces"},
    {"a: b: c\n", "t.yaml:1:5:", "second \":\"", "quote"},
    {"a: - b\n", "t.yaml:1:4:", "list can't start here", "[a, b]"},
    {"a: [1, 2\nb: 3\n", "t.yaml:1:4:", "\"[\" is not closed", ""},
    {"a: {b: 1\n", "t.yaml:1:4:", "\"{\" is not closed", ""},
    {"a: [\"b\" c]\n", "t.yaml:1:9:", "comma", ""},
    {"a: \"x\nb: 3\n", "t.yaml:1:4:", "quote is not closed", ""},
    {"a:\n  b: 1\n c: 2\n", "t.yaml:3:2:", "a key was expected", "column"},
    {"a: \"b\" c\n", "t.yaml:1:8:", "a key was expected", "quote"},
    {"- a\nb: 1\n", "t.yaml:2:1:", "\"-\" was expected", "mapping"},
    {"a: b\nc\nd: 1\n", "t.yaml:2:1:", "without its \":\"", "key: value"},
    {"a: \x01\n", "t.yaml:1:4:", "control character (U+0001)", "\\x"},
    {"a: b\nc: \xff\n", "t.yaml:2:4:", "not UTF-8", "UTF-8"},
    {"a: !<x y\n", "t.yaml:1:4:", "tags", "quote"},
    {"a: &. x\n", "t.yaml:1:4:", "anchors", "quote"},
    {"a: \"\\q\"\n", "t.yaml:1:", "escape", ""},
    {"a: !\"x\n", "t.yaml:1:4:", "tags", "quote"},
};

static void says_what_is_refused(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < lt_countof(refused); i++) {
        struct env e;
        env_init(&e);
        env_read(&e, refused[i].text);
        if (lt_load_ok(&e.load) || !env_says(&e, refused[i].place) ||
            !env_says(&e, refused[i].message) || !env_says(&e, refused[i].hint) ||
            !env_says(&e, "\n1 error\n")) {
            print_error("for: %s\n", refused[i].text);
            wrong++;
        }
        env_fini(&e);
    }
    assert_int_equal(wrong, 0);
}

static void many_keys_find_duplicates_too(void **state)
{
    struct env e;
    struct lt_buf text;
    (void)state;
    env_init(&e);
    lt_buf_init(&text, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        lt_buf_printf(&text, "k%d: v\n", i);
    }
    lt_buf_str(&text, LT_STR("k500: again\n"));
    lt_buf_char(&text, '\0');
    env_read(&e, text.p);
    env_expect(&e, "t.yaml:1001:1: error: \"k500\" is written twice");
    env_expect(&e, "the first one is in line 501");
    lt_buf_fini(&text);
    env_fini(&e);
}

static void refuses_deep_nesting(void **state)
{
    struct env e;
    char text[256];
    (void)state;
    env_init(&e);
    memset(text, '[', sizeof(text));
    memcpy(text, "a: ", 3);
    text[sizeof(text) - 1] = '\0';
    assert_null(env_read(&e, text));
    env_expect(&e, "t.yaml:1:35: error: nested deeper than 32 levels");
    env_fini(&e);
}

static void all_refusals_of_a_file_are_said(void **state)
{
    struct env e;
    (void)state;
    env_init(&e);
    env_read(&e, "a: &x 1\nb: *x\nc: !t 1\na: 2\n");
    env_expect(&e, "t.yaml:1:4:");
    env_expect(&e, "t.yaml:2:4:");
    env_expect(&e, "t.yaml:3:4:");
    env_expect(&e, "t.yaml:4:1:");
    env_expect(&e, "\n4 errors\n");
    env_fini(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_nodes_with_positions),
        cmocka_unit_test(words_stay_text),
        cmocka_unit_test(empty_file_is_an_empty_mapping),
        cmocka_unit_test(byte_order_mark_does_not_move_columns),
        cmocka_unit_test(says_what_is_refused),
        cmocka_unit_test(many_keys_find_duplicates_too),
        cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(all_refusals_of_a_file_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
