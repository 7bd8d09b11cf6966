/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

static char got[8192];
static unsigned lines;

static void sink(struct lt_str line)
{
    assert_true(line.len < sizeof(got));
    memcpy(got, line.p, line.len);
    got[line.len] = '\0';
    lines++;
}

static void writes_one_json_line_per_event(void **state)
{
    (void)state;
    lt_log_set_sink(sink);
    lt_log_set_level(LT_LOG_INFO);
    lines = 0;
    lt_log_debug("test", "quiet");
    assert_int_equal(lines, 0);
    lt_log_warn("test", "loud", LT_KV_CSTR("name", "a\nb"), LT_KV_INT("n", -3),
                LT_KV_BOOL("yes", true), LT_KV_MS("ms", 1.25));
    assert_int_equal(lines, 1);
    assert_non_null(strstr(got, "\"level\":\"warn\",\"subsystem\":\"test\",\"event\":\"loud\","
                                "\"name\":\"a\\u000ab\",\"n\":-3,\"yes\":true,\"ms\":1.250}\n"));
    lt_log_info("test", "bare");
    assert_non_null(strstr(got, "\"event\":\"bare\"}\n"));
    lt_log_set_sink(NULL);
}

static void leaves_out_a_field_that_does_not_fit(void **state)
{
    (void)state;
    static char big[6000];
    memset(big, 'x', sizeof(big) - 1);
    lt_log_set_sink(sink);
    lt_log_error("test", "big", LT_KV_INT("n", 1), LT_KV_CSTR("text", big));
    assert_non_null(strstr(got, "\"n\":1,\"truncated\":true}\n"));
    assert_null(strstr(got, "xxx"));
    lt_log_set_sink(NULL);
}

static void dates_are_written_as_the_standards_say(void **state)
{
    (void)state;
    char date[LT_HTTP_DATE_LEN + 1] = {0}, time[LT_LOG_TIME_LEN + 1] = {0};
    lt_clock_http_date(784111777, date);
    assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    lt_clock_log_time(UINT64_C(784111777000042), time);
    assert_string_equal(time, "1994-11-06T08:49:37.000042Z");
    assert_true(lt_clock_us() > 0);
    assert_true(lt_clock_wall_us() > UINT64_C(1700000000000000));
}

static void every_cause_explains_itself(void **state)
{
    (void)state;
    for (int c = 0; c < LT_CAUSE_COUNT; c++) {
        const struct lt_cause_info *info = lt_cause_info((enum lt_cause)c);
        assert_true(strlen(info->name) > 0);
        assert_true(strlen(info->text) > 0);
        assert_true(info->status == 0 || (info->status >= 400 && info->status <= 599));
        assert_true(strlen(lt_stage_name(info->stage)) > 0);
        for (int d = 0; d < c; d++) {
            assert_string_not_equal(info->name, lt_cause_info((enum lt_cause)d)->name);
        }
    }
}

static void system_errors_have_a_meaning(void **state)
{
    (void)state;
    assert_int_equal(lt_err_from_errno(ECONNREFUSED), LT_ERR_REFUSED);
    assert_int_equal(lt_err_from_errno(EAGAIN), LT_AGAIN);
    assert_int_equal(lt_err_from_errno(EMFILE), LT_ERR_LIMIT);
    assert_int_equal(lt_err_from_errno(EIO), LT_ERR_IO);
    assert_string_equal(lt_err_text(LT_ERR_RESET), "connection reset");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_one_json_line_per_event),
        cmocka_unit_test(leaves_out_a_field_that_does_not_fit),
        cmocka_unit_test(dates_are_written_as_the_standards_say),
        cmocka_unit_test(every_cause_explains_itself),
        cmocka_unit_test(system_errors_have_a_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
