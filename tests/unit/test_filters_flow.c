/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that filters read, replace and change: what can be seen without a network. */
#include "filter_bed.h"

#include "base/mem.h"
#include "exchange/flow.h"

/* The request's body, in pieces of these sizes; 0: what is left as one. */
static struct lt_exchange *begin_with(const char *body, size_t piece)
{
    struct lt_exchange *x = begin();
    size_t len = strlen(body);
    x->req.body = LT_BODY_LENGTH;
    x->req.content_length = len;
    assert_int_equal(lt_flow_open_request(x), LT_OK);
    struct lt_flow *flow = x->flow[LT_SIDE_REQUEST];
    if (flow != NULL) {
        assert_true(lt_flow_add(flow, body, len));
    } else {
        assert_int_equal(lt_spool_append(&x->spool, body, len), LT_OK);
    }
    for (size_t at = 0; piece > 0 && at < len; at += piece) {
        bed->own.pieces[LT_SIDE_REQUEST][bed->own.n_pieces[LT_SIDE_REQUEST]++] = piece;
    }
    return x;
}

static void assert_request_body(struct lt_exchange *x, const char *wanted)
{
    char text[512];
    size_t len = lt_body_len(x, LT_SIDE_REQUEST);
    assert_true(len < sizeof(text));
    assert_int_equal(lt_body_copy(x, LT_SIDE_REQUEST, text), LT_OK);
    text[len] = '\0';
    assert_string_equal(text, wanted);
}

/* Runs a request through the filters that are loaded. */
static enum lt_step_result run_request(struct lt_exchange *x)
{
    (void)x;
    enum lt_step_result result = lt_test_bed_run(bed, LT_FILTER_REQUEST);
    return result == LT_STEP_NEXT ? lt_test_bed_flow(bed, LT_SIDE_REQUEST) : result;
}

static void test_a_request_is_changed_in_pieces_of_any_size(void **state)
{
    (void)state;
    load_one("return {body = {request = function(ctx, chunks)\n"
             "  for c in chunks do ctx:emit('<' .. c .. '>') end\n"
             "end}}",
             "");
    struct lt_exchange *x = begin_with("abcdef", 4);
    assert_int_equal(run_request(x), LT_STEP_NEXT);
    assert_request_body(x, "<abcd><ef>");
    assert_true(x->request_done);
    lt_test_bed_end(bed);
    x = begin_with("", 0);
    assert_int_equal(run_request(x), LT_STEP_NEXT);
    assert_request_body(x, "");
    assert_true(x->request_done);
    lt_test_bed_end(bed);
}

static void test_two_filters_pass_pieces_to_each_other(void **state)
{
    (void)state;
    write_file("a.lua", "return {body = {request = function(ctx, chunks)\n"
                        "  for c in chunks do ctx:emit(c .. '1') end\n"
                        "end}}");
    write_file("b.lua", "return {body = {request = function(ctx, chunks)\n"
                        "  ctx:emit('[' .. chunks()) ctx:sleep(1)\n" /* the rest passes */
                        "  end}}");
    load_well("a: {filter: \"@/a.lua\"}\nb: {filter: \"@/b.lua\"}\n");
    struct lt_exchange *x = begin_with("abc", 1);
    assert_int_equal(run_request(x), LT_STEP_NEXT);
    assert_request_body(x, "[a1b1c1");
    lt_test_bed_end(bed);
}

static void test_an_exchange_that_ends_in_the_middle_leaves_nothing(void **state)
{
    (void)state;
    load_one("return {body = {request = function(ctx, chunks)\n"
             "  for c in chunks do ctx:emit(c) end\n"
             "end}}",
             "");
    for (int i = 0; i < 3; i++) {
        struct lt_exchange *x = begin_with("abcdef", 0);
        assert_int_equal(lt_test_bed_run(bed, LT_FILTER_REQUEST), LT_STEP_NEXT);
        assert_int_equal(lt_flow_begin_request(x), LT_STEP_NEXT);
        assert_false(lt_list_empty(&bed->filters->parked));
        lt_test_bed_end(bed);
        assert_true(lt_list_empty(&bed->filters->parked));
        assert_int_equal(bed->loop->blocks.in_use, 0);
    }
}

static void test_policies_of_a_filter_that_fails_at_its_first_piece(void **state)
{
    (void)state;
    const char *text = "return {body = {request = function(ctx, chunks)\n"
                       "  chunks() error('no')\n"
                       "end}}";
    load_one(text, ", on_error: open");
    struct lt_exchange *x = begin_with("abcdef", 2);
    assert_int_equal(run_request(x), LT_STEP_NEXT);
    assert_request_body(x, "abcdef");
    lt_test_bed_end(bed);
    load_one(text, ", on_error: closed");
    x = begin_with("abcdef", 2);
    assert_int_equal(run_request(x), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_ERROR);
    assert_str(x->denied_by, "a");
    lt_test_bed_end(bed);
}

static void test_a_piece_is_held_only_as_long_as_it_is_small(void **state)
{
    (void)state;
    static char body[40001];
    memset(body, 'x', sizeof(body) - 1);
    load_one("return {body = {request = function(ctx, chunks)\n"
             "  chunks() chunks() error('too late')\n"
             "end}}",
             ", on_error: open");
    struct lt_exchange *x = begin_with(body, 0);
    assert_int_equal(run_request(x), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_ERROR);
    lt_test_bed_end(bed);
}

static void test_the_clock_of_a_hook_stands_still_for_peers_alone(void **state)
{
    (void)state;
    load_one("return {body = {request = function(ctx, chunks)\n"
             "  for c in chunks do ctx:sleep(1) ctx:emit(c) end\n"
             "end}}",
             ", on_error: closed, budget: {wall: 2500ms}");
    struct lt_exchange *x = begin_with("ab", 1);
    assert_int_equal(run_request(x), LT_STEP_NEXT);
    lt_test_bed_end(bed);
    x = begin_with("abc", 1);
    assert_int_equal(run_request(x), LT_STEP_FAIL);
    assert_int_equal(x->cause, LT_CAUSE_FILTER_WALL);
    lt_test_bed_end(bed);
}

static void test_what_body_may_be(void **state)
{
    (void)state;
    static const char *const wrong[] = {"return {body = 1}", "return {body = {answer = tostring}}",
                                        "return {body = {request = 1}}",
                                        "return {body = {function() end}}"};
    for (size_t i = 0; i < lt_countof(wrong); i++) {
        write_file("a.lua", wrong[i]);
        const char *messages = load_yaml("a: {filter: \"@/a.lua\"}\n");
        assert_non_null(messages);
        assert_non_null(strstr(messages, "`body` "));
    }
    load_one("return {body = function() end}", "");
    assert_int_equal(bed->program->files[0]->hooks, 1u << LT_FILTER_RESPONSE_BODY);
}

/* Whichever allocation fails, the call ends by the filter's policy and nothing is lost. */
static void test_reading_without_memory(void **state)
{
    (void)state;
    bool done = false;
    for (unsigned n = 1; !done && n < 1000; n++) {
        load_one("return {request = function(ctx)\n" /* anew: it may be in quarantine */
                 "  local text, why = ctx.req:body()\n"
                 "  ctx.req:set_body((text or why) .. '!')\n"
                 "end}",
                 ", on_error: closed");
        struct lt_exchange *x = begin_with("abc", 0);
        x->request_done = false; /* it is waited for */
        lt_mem_fail_at(n);
        enum lt_step_result result = lt_test_bed_step(bed, LT_FILTER_REQUEST);
        lt_mem_fail_at(0);
        if (result == LT_STEP_WAIT) {
            assert_non_null(x->body_wait); /* which ends with the exchange */
            done = true;
        }
        lt_test_bed_end(bed);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_request_is_changed_in_pieces_of_any_size, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(test_two_filters_pass_pieces_to_each_other, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(test_an_exchange_that_ends_in_the_middle_leaves_nothing,
                                        bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(test_policies_of_a_filter_that_fails_at_its_first_piece,
                                        bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(test_a_piece_is_held_only_as_long_as_it_is_small, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(test_the_clock_of_a_hook_stands_still_for_peers_alone,
                                        bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(test_what_body_may_be, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(test_reading_without_memory, bed_setup, bed_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
