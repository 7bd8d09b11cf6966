/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/mem.h"
#include "upstream/servers_file.h"

struct fixture {
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_server_spec *v;
    unsigned n;
};

static int setup(void **state)
{
    static struct fixture f;
    lt_arena_init(&f.arena, NULL, 0, 1 << 24);
    lt_diags_init(&f.diags, &f.arena);
    f.v = NULL;
    f.n = 0;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    lt_arena_fini(&((struct fixture *)*state)->arena);
    return 0;
}

static bool parse(struct fixture *f, const char *text)
{
    const struct lt_source *source =
        lt_source_new(&f->arena, LT_STR("servers"), LT_STR_NONE, lt_str_c(text));
    assert_non_null(source);
    return lt_servers_file_parse(source, &f->arena, &f->diags, &f->v, &f->n);
}

static void servers_stand_one_a_line(void **state)
{
    struct fixture *f = *state;
    char text[LT_ADDR_TEXT_MAX];
    assert_true(parse(f, "# the first\n10.0.0.1:8000 weight=3 max=8\n\n  [::1]:80\tbackup\r\n"
                         "unix:/run/a.sock"));
    assert_int_equal(f->n, 3);
    assert_str(lt_str(text, lt_addr_print(&f->v[0].address, text)), "10.0.0.1:8000");
    assert_int_equal(f->v[0].weight, 3);
    assert_int_equal(f->v[0].max, 8);
    assert_false(f->v[0].backup);
    assert_int_equal(f->v[1].weight, 1);
    assert_true(f->v[1].backup);
    assert_str(lt_str(text, lt_addr_print(&f->v[2].address, text)), "unix:/run/a.sock");
}

static void there_may_be_none(void **state)
{
    struct fixture *f = *state;
    assert_true(parse(f, ""));
    assert_int_equal(f->n, 0);
    assert_true(parse(f, "\n# none today\n"));
    assert_int_equal(f->n, 0);
}

static void errors_have_their_place(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        unsigned line, col;
        const char *said;
    } cases[] = {
        {"app.internal:80", 1, 1, ""},
        {"10.0.0.1:80\n  10.0.0.2", 2, 3, ""},
        {"10.0.0.1:0", 1, 1, "a server has a port from 1 to 65535"},
        {"0.0.0.0:80", 1, 1, "no address of a server"},
        {"[::]:80", 1, 1, "no address of a server"},
        {"10.0.0.1:80 weight=0", 1, 13, "\"weight=\" wants a number from 1 to 1000"},
        {"10.0.0.1:80 weight=1001", 1, 13, "\"weight=\" wants a number from 1 to 1000"},
        {"10.0.0.1:80  max=-1", 1, 14, "\"max=\" wants a number from 1 to 65535"},
        {"10.0.0.1:80 weight=", 1, 13, "\"weight=\" wants a number from 1 to 1000"},
        {"10.0.0.1:80 Backup", 1, 13, "\"Backup\" is no option of a server"},
        {"10.0.0.1:80\n10.0.0.2:80\n10.0.0.1:80", 3, 1, "this server is listed twice"},
    };
    for (size_t i = 0; i < lt_countof(cases); i++) {
        lt_diags_init(&f->diags, &f->arena);
        assert_false(parse(f, cases[i].text));
        assert_int_equal(f->diags.errors, 1);
        const struct lt_diag *d = lt_container_of(f->diags.list.next, struct lt_diag, link);
        assert_int_equal(d->pos.line, cases[i].line);
        assert_int_equal(d->pos.col, cases[i].col);
        assert_true(lt_str_find(d->message, lt_str_c(cases[i].said)) != SIZE_MAX);
    }
}

static void there_is_a_limit(void **state)
{
    struct fixture *f = *state;
    struct lt_buf text;
    lt_buf_init(&text, 1 << 20);
    for (unsigned i = 0; i < LT_SERVERS_FILE_SERVERS_MAX; i++) {
        lt_buf_printf(&text, "10.0.%u.%u:80\n", i / 256, i % 256);
    }
    lt_buf_char(&text, '\0');
    assert_true(parse(f, text.p));
    assert_int_equal(f->n, LT_SERVERS_FILE_SERVERS_MAX);
    text.len--;
    lt_buf_printf(&text, "10.9.9.9:80");
    lt_buf_char(&text, '\0');
    assert_false(parse(f, text.p));
    lt_buf_fini(&text);
}

static void a_file_that_is_not_there_is_an_error(void **state)
{
    struct fixture *f = *state;
    assert_false(lt_servers_file_read(NULL, &f->arena, &f->diags, LT_STR("/nonexistent/servers"),
                                      (struct lt_pos){.source = NULL}, &f->v, &f->n));
    assert_int_equal(f->diags.errors, 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(servers_stand_one_a_line),
        T(there_may_be_none),
        T(errors_have_their_place),
        T(there_is_a_limit),
        T(a_file_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
