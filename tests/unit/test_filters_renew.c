/* SPDX-License-Identifier: Apache-2.0 */
/* Changed filter files are compiled anew and taken up by a worker, while exchanges go on. */
#include "filter_bed.h"

#include "base/mem.h"
#include "filters/every.h"
#include "filters/program_renew.h"

#define SAYS(word)                                                                                 \
    "local n = 0 return {request = function(ctx) n = n + 1 ctx.vars.said = '" word                 \
    "' .. n end, response = function(ctx) ctx.res.headers['x-said'] = ctx.vars.said end}"

static char errors_text[8192];
static struct lt_buf errors;

static struct lt_filter_renewing asked(const char *only)
{
    lt_buf_init_fixed(&errors, errors_text, sizeof(errors_text) - 1);
    return (struct lt_filter_renewing){.old = bed->filters->edition->program,
                                       .filters = &bed->map,
                                       .only = lt_str_c(only),
                                       .errors = &errors};
}

/* Has the changed files taken up; what the renewal answers. A worker that can't is a failure. */
static enum lt_filter_renewal renew(const char *only)
{
    struct lt_filter_renewing r = asked(only);
    enum lt_filter_renewal result = lt_filter_program_renew(&r);
    errors_text[errors.len] = '\0';
    assert_int_equal(r.program != NULL, result == LT_FILTER_RENEWED);
    if (result == LT_FILTER_RENEWED) {
        struct lt_filter_edition *e = lt_filters_prepare(bed->filters, r.program, why, sizeof(why));
        if (e == NULL) {
            fail_msg("%s", why);
        }
        lt_filters_take(bed->filters, e);
    }
    lt_filter_program_put(r.program);
    return result;
}

/* What an exchange through the filters gets told. */
static void assert_said(const char *word)
{
    struct lt_exchange *x = begin();
    struct lt_str said;
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_int_equal(lt_headers_joined(&x->res.headers, LT_STR("x-said"), LT_STR(","), &said),
                     LT_OK);
    assert_str(said, word);
    lt_test_bed_end(bed);
}

static void test_only_what_has_changed_is_new(void **state)
{
    (void)state;
    write_file("b.lua", SAYS("b"));
    write_file("a.lua", "return {request = function() end}");
    load_well("a: {filter: \"@/a.lua\"}\nb: {filter: \"@/b.lua\"}\n");
    assert_said("b1");
    struct lt_filter_vm *a = bed->filters->units[0]->fvm, *b = bed->filters->units[1]->fvm;
    assert_int_equal(renew(""), LT_FILTER_UNCHANGED);
    write_file("a.lua", "return {request = function() end, log = function() end}");
    assert_int_equal(renew(""), LT_FILTER_RENEWED);
    assert_ptr_not_equal(bed->filters->units[0]->fvm, a);
    assert_ptr_equal(bed->filters->units[1]->fvm, b);
    assert_said("b2");
    assert_int_equal(bed->filters->n_editions, 1);
    write_file("b.lua", SAYS("c"));
    assert_int_equal(renew("a"), LT_FILTER_UNCHANGED);
    assert_int_equal(renew("b"), LT_FILTER_RENEWED);
    assert_said("c1");
    assert_int_equal(renew("c"), LT_FILTER_UNKNOWN);
}

static void test_an_exchange_ends_with_the_edition_it_began_with(void **state)
{
    (void)state;
    load_one(SAYS("old"), "");
    struct lt_exchange *x = begin();
    struct lt_str said;
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    write_file("a.lua", SAYS("new"));
    assert_int_equal(renew(""), LT_FILTER_RENEWED);
    assert_int_equal(bed->filters->n_editions, 2);
    with_response(x);
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_RESPONSE), LT_STEP_NEXT);
    assert_int_equal(lt_headers_joined(&x->res.headers, LT_STR("x-said"), LT_STR(","), &said),
                     LT_OK);
    assert_str(said, "old1");
    lt_test_bed_end(bed);
    assert_said("new1");
    assert_int_equal(bed->filters->n_editions, 1);
}

static void test_editions_that_are_held_are_bounded(void **state)
{
    (void)state;
    char text[200];
    load_one(SAYS("old"), "");
    (void)begin();
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    struct lt_filter_edition *held[LT_FILTER_EDITIONS_MAX];
    for (unsigned i = 0; i + 1 < LT_FILTER_EDITIONS_MAX; i++) {
        held[i] = lt_filter_edition_pin(bed->filters);
        snprintf(text, sizeof(text), SAYS("new%u"), i);
        write_file("a.lua", text);
        assert_int_equal(renew(""), LT_FILTER_RENEWED);
    }
    write_file("a.lua", SAYS("one too many"));
    struct lt_filter_renewing r = asked("");
    assert_int_equal(lt_filter_program_renew(&r), LT_FILTER_RENEWED);
    assert_null(lt_filters_prepare(bed->filters, r.program, why, sizeof(why)));
    assert_non_null(strstr(why, "15 earlier versions"));
    lt_filter_program_put(r.program);
    for (unsigned i = 0; i + 1 < LT_FILTER_EDITIONS_MAX; i++) {
        lt_filter_edition_unpin(held[i]);
    }
    lt_test_bed_end(bed);
    assert_said("new141");
    assert_int_equal(bed->filters->n_editions, 1);
    assert_int_equal(renew(""), LT_FILTER_RENEWED);
}

static void test_a_mistake_is_shown_in_its_file(void **state)
{
    (void)state;
    write_file("b.lua", "return {}");
    load_one("local m = require 'b' return {request = function() end}", "");
    write_file("b.lua", "\n\nlocal x = nil + 1\nreturn {}");
    assert_int_equal(renew(""), LT_FILTER_REFUSED);
    assert_non_null(strstr(errors_text, "/b.lua:3:1: error: attempt to"));
    assert_non_null(strstr(errors_text, "    3 | local x = nil + 1\n"));
    assert_non_null(strstr(logged, "\"event\":\"filter_not_compiled\""));
    assert_non_null(strstr(logged, "\"source\":\"local x = nil + 1\""));
    write_file("b.lua", "return {}");
    write_file("a.lua", "return {request = function() end, init = function() error('no') end}");
    assert_int_equal(renew(""), LT_FILTER_REFUSED);
    assert_non_null(strstr(errors_text, "/a.lua:1:1: error: filter \"a\": init: a.lua:1: no"));
}

static void test_periodic_work_changes_over(void **state)
{
    (void)state;
    const char *text = "return {init = function() return {n = 0} end, request = function() end, "
                       "every = {['5s'] = function(s) s.n = s.n + 1 end}}";
    load_one(text, "");
    lt_filters_start(bed->filters);
    assert_true(bed->filters->units[0]->fvm->every[0].on);
    lt_filter_edition_pin(bed->filters);
    struct lt_filter_edition *old = bed->filters->edition;
    write_file("a.lua", "return {request = function() end, every = {['6s'] = function() end, "
                        "['7s'] = function() end}}");
    assert_int_equal(renew(""), LT_FILTER_RENEWED);
    assert_false(old->units[0]->fvm->every[0].on);
    assert_int_equal(bed->filters->units[0]->fvm->n_every, 2);
    assert_true(bed->filters->units[0]->fvm->every[1].on);
    lt_filters_stop(bed->filters);
    assert_false(bed->filters->units[0]->fvm->every[1].on);
    lt_filter_edition_unpin(old);
}

static void test_broken_files_are_told_to_who_may_see_errors(void **state)
{
    (void)state;
    load_one(SAYS("a"), "");
    struct lt_filter_broken *broken = lt_calloc(1, sizeof(*broken));
    assert_non_null(broken);
    broken->n = 1;
    snprintf(broken->text, sizeof(broken->text), "the text");
    lt_filters_set_broken(bed->filters, broken);
    assert_said("a1");
    bed->view.shows_errors = true;
    assert_said("a2"); /* the client is neither here nor trusted */
    struct lt_exchange *x = begin();
    x->client.trusted = true;
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_ERROR);
    assert_str(x->detail, "the text");
    lt_test_bed_end(bed);
    lt_filters_set_broken(bed->filters, NULL);
    x = begin();
    x->client.trusted = true;
    assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
    lt_test_bed_end(bed);
    bed->view.shows_errors = false;
}

/* Wherever memory ends, the new version is whole or the old one stays. */
static void test_short_memory_changes_nothing(void **state)
{
    (void)state;
    bool done = false;
    load_one(SAYS("old"), "");
    write_file("a.lua", SAYS("new"));
    for (unsigned n = 1; n < 5000 && !done; n += n < 300 ? 1 : 7) {
        struct lt_filter_renewing r = asked("");
        lt_mem_fail_at(n);
        struct lt_filter_edition *e = NULL;
        if (lt_filter_program_renew(&r) == LT_FILTER_RENEWED) {
            e = lt_filters_prepare(bed->filters, r.program, why, sizeof(why));
        }
        lt_mem_fail_at(0);
        done = e != NULL;
        if (done) {
            lt_filters_take(bed->filters, e);
        } else {
            assert_int_equal(bed->filters->n_editions, 1);
        }
        lt_filter_program_put(r.program);
    }
    assert_true(done);
    assert_said("new1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_only_what_has_changed_is_new),
        TEST(test_an_exchange_ends_with_the_edition_it_began_with),
        TEST(test_editions_that_are_held_are_bounded),
        TEST(test_a_mistake_is_shown_in_its_file),
        TEST(test_periodic_work_changes_over),
        TEST(test_broken_files_are_told_to_who_may_see_errors),
        TEST(test_short_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
