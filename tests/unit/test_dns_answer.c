/* SPDX-License-Identifier: Apache-2.0 */
#include "dns_env.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static struct message m;
static struct lt_dns_records out;
static const char *why;

/* Memory of exactly that size, so that a read past its end is seen. */
static enum lt_err parse(enum lt_dns_type type)
{
    unsigned char *exact = malloc(m.len);
    assert_non_null(exact);
    memcpy(exact, m.p, m.len);
    enum lt_err err = lt_dns_answer_parse(exact, m.len, type, &out, &why);
    free(exact);
    return err;
}

static void refuse(enum lt_dns_type type)
{
    assert_int_equal(parse(type), LT_ERR_INVALID);
    assert_non_null(why);
    assert_null(out.v);
    assert_int_equal(out.n, 0);
}

static void check_addr(unsigned i, const char *ip)
{
    char text[LT_ADDR_TEXT_MAX];
    lt_addr_print_ip(&out.v[i].addr, text);
    assert_string_equal(text, ip);
}

static void addresses_come_sorted_with_the_least_ttl(void **state)
{
    (void)state;
    begin(&m, "app.internal", LT_DNS_A);
    put_a(&m, "10.0.0.2", 300);
    put_a(&m, "10.0.0.1", 60);
    put_a(&m, "10.0.0.2", 300);
    assert_int_equal(parse(LT_DNS_A), LT_OK);
    assert_int_equal(out.n, 2);
    assert_int_equal(out.ttl_s, 60);
    check_addr(0, "10.0.0.1");
    check_addr(1, "10.0.0.2");
    lt_dns_records_fini(&out);
    begin(&m, "app.internal", LT_DNS_AAAA);
    put_aaaa(&m, "fd00::1", 5);
    assert_int_equal(parse(LT_DNS_AAAA), LT_OK);
    check_addr(0, "fd00::1");
    lt_dns_records_fini(&out);
    begin(&m, "app.internal", LT_DNS_AAAA);
    put_aaaa(&m, "::ffff:10.0.0.1", 5);
    assert_int_equal(parse(LT_DNS_AAAA), LT_OK);
    check_addr(0, "10.0.0.1");
    assert_int_equal(out.v[0].addr.sa.sa_family, AF_INET); /* one server with that of an A record */
    lt_dns_records_fini(&out);
}

static void aliases_count_for_the_ttl(void **state)
{
    (void)state;
    begin(&m, "www.internal", LT_DNS_A);
    put_record(&m, 5, 7, 2);
    put16(&m, 0xc010);
    put_a(&m, "10.0.0.1", 600);
    assert_int_equal(parse(LT_DNS_A), LT_OK);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.ttl_s, 7);
    lt_dns_records_fini(&out);
}

static void a_ttl_with_its_top_bit_is_zero(void **state)
{
    (void)state;
    begin(&m, "app.internal", LT_DNS_A);
    put_a(&m, "10.0.0.1", UINT32_C(0x80000010));
    assert_int_equal(parse(LT_DNS_A), LT_OK);
    assert_int_equal(out.ttl_s, 0);
    lt_dns_records_fini(&out);
}

static void other_records_are_passed_over(void **state)
{
    (void)state;
    begin(&m, "app.internal", LT_DNS_AAAA);
    put_a(&m, "10.0.0.1", 1);
    put_record(&m, 46, 1, 3);
    m.len += 3;
    assert_int_equal(parse(LT_DNS_AAAA), LT_OK);
    assert_int_equal(out.n, 0);
    lt_dns_records_fini(&out);
}

static void addresses_of_nobody_and_of_many_are_left_out(void **state)
{
    (void)state;
    begin(&m, "app.internal", LT_DNS_A);
    put_a(&m, "0.0.0.0", 1);
    put_a(&m, "224.0.0.1", 1);
    put_a(&m, "255.255.255.255", 1);
    assert_int_equal(parse(LT_DNS_A), LT_OK);
    assert_int_equal(out.n, 0);
    lt_dns_records_fini(&out);
    begin(&m, "app.internal", LT_DNS_AAAA);
    put_aaaa(&m, "::", 1);
    put_aaaa(&m, "ff02::1", 1);
    put_aaaa(&m, "::ffff:0.0.0.0", 1);
    put_aaaa(&m, "::ffff:224.0.0.1", 1);
    assert_int_equal(parse(LT_DNS_AAAA), LT_OK);
    assert_int_equal(out.n, 0);
    lt_dns_records_fini(&out);
}

static void services_are_ordered_by_priority_then_weight(void **state)
{
    (void)state;
    begin(&m, "_http._tcp.app.internal", LT_DNS_SRV);
    put_srv(&m, 20, 1, 8000, "c.internal");
    put_srv(&m, 10, 1, 8000, "B.Internal");
    put_srv(&m, 10, 9, 8001, "a.internal");
    put_srv(&m, 10, 9, 8002, "");
    put_srv(&m, 10, 9, 0, "d.internal");
    assert_int_equal(parse(LT_DNS_SRV), LT_OK);
    assert_int_equal(out.n, 3);
    assert_string_equal(out.v[0].target, "a.internal");
    assert_int_equal(out.v[0].port, 8001);
    assert_int_equal(out.v[0].weight, 9);
    assert_string_equal(out.v[1].target, "b.internal");
    assert_int_equal(out.v[2].priority, 20);
    lt_dns_records_fini(&out);
}

static void a_service_may_be_absent(void **state)
{
    (void)state;
    begin(&m, "_http._tcp.app.internal", LT_DNS_SRV);
    put_srv(&m, 0, 0, 0, "");
    assert_int_equal(parse(LT_DNS_SRV), LT_OK);
    assert_int_equal(out.n, 0);
    assert_true(out.absent);
    lt_dns_records_fini(&out);
    put_srv(&m, 10, 1, 80, "a.internal"); /* it contradicts itself */
    assert_int_equal(parse(LT_DNS_SRV), LT_OK);
    assert_int_equal(out.n, 1);
    assert_false(out.absent);
    lt_dns_records_fini(&out);
    begin(&m, "_http._tcp.app.internal", LT_DNS_SRV);
    assert_int_equal(parse(LT_DNS_SRV), LT_OK);
    assert_false(out.absent);
    lt_dns_records_fini(&out);
}

static void targets_may_be_compressed(void **state)
{
    (void)state;
    begin(&m, "_http._tcp.app.internal", LT_DNS_SRV);
    put_record(&m, LT_DNS_SRV, 60, 10);
    put16(&m, 1);
    put16(&m, 1);
    put16(&m, 80);
    memcpy(m.p + m.len, "\001x", 2);
    m.len += 2;
    put16(&m, 0xc000 | 23); /* "app.internal" in the question */
    assert_int_equal(parse(LT_DNS_SRV), LT_OK);
    assert_string_equal(out.v[0].target, "x.app.internal");
    lt_dns_records_fini(&out);
}

static void pointers_can_not_go_round(void **state)
{
    (void)state;
    begin(&m, "_http._tcp.app.internal", LT_DNS_SRV);
    put_record(&m, LT_DNS_SRV, 60, 8);
    m.len += 6;
    m.p[m.len - 1] = 80;
    put16(&m, 0xc000 | (unsigned)m.len); /* to itself */
    refuse(LT_DNS_SRV);
    m.p[m.len - 1] = (unsigned char)(m.len - 1); /* forwards, past the end */
    refuse(LT_DNS_SRV);
}

static void targets_that_are_no_names_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"a b.internal", "a\nb", "\x01"};
    for (size_t i = 0; i < lt_countof(bad); i++) {
        begin(&m, "_http._tcp.app.internal", LT_DNS_SRV);
        put_srv(&m, 1, 1, 80, bad[i]);
        refuse(LT_DNS_SRV);
    }
}

static void data_of_another_size_is_refused(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 20; n++) {
        begin(&m, "app.internal", LT_DNS_A);
        put_record(&m, LT_DNS_A, 1, n);
        m.len += n;
        m.p[m.len - 1] |= 1;
        if (n != 4) {
            refuse(LT_DNS_A);
        }
        begin(&m, "app.internal", LT_DNS_AAAA);
        put_record(&m, LT_DNS_AAAA, 1, n);
        m.len += n;
        if (n != 16) {
            refuse(LT_DNS_AAAA);
        }
    }
}

/* Cut off anywhere, or with more records told than there are. */
static void what_is_cut_off_is_refused(void **state)
{
    (void)state;
    begin(&m, "app.internal", LT_DNS_A);
    put_a(&m, "10.0.0.1", 1);
    put_a(&m, "10.0.0.2", 1);
    size_t whole = m.len;
    for (m.len = 0; m.len < whole; m.len++) {
        refuse(LT_DNS_A);
    }
    m.p[7] = 3;
    refuse(LT_DNS_A);
    m.p[6] = m.p[7] = 255;
    refuse(LT_DNS_A);
}

static void hundreds_are_read(void **state)
{
    (void)state;
    begin(&m, "app.internal", LT_DNS_A);
    for (unsigned i = 0; i < 800; i++) {
        char ip[32];
        snprintf(ip, sizeof(ip), "10.1.%u.%u", i / 200, i % 200);
        put_a(&m, ip, 1);
    }
    assert_int_equal(parse(LT_DNS_A), LT_OK);
    assert_int_equal(out.n, 800);
    lt_dns_records_fini(&out);
}

static void without_memory_it_says_so(void **state)
{
    (void)state;
    begin(&m, "app.internal", LT_DNS_A);
    put_a(&m, "10.0.0.1", 1);
    lt_mem_fail_at(1);
    assert_int_equal(lt_dns_answer_parse(m.p, m.len, LT_DNS_A, &out, &why), LT_ERR_NOMEM);
    lt_mem_fail_at(0);
    assert_null(out.v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_sorted_with_the_least_ttl),
        cmocka_unit_test(aliases_count_for_the_ttl),
        cmocka_unit_test(a_ttl_with_its_top_bit_is_zero),
        cmocka_unit_test(other_records_are_passed_over),
        cmocka_unit_test(addresses_of_nobody_and_of_many_are_left_out),
        cmocka_unit_test(services_are_ordered_by_priority_then_weight),
        cmocka_unit_test(a_service_may_be_absent),
        cmocka_unit_test(targets_may_be_compressed),
        cmocka_unit_test(pointers_can_not_go_round),
        cmocka_unit_test(targets_that_are_no_names_are_refused),
        cmocka_unit_test(data_of_another_size_is_refused),
        cmocka_unit_test(what_is_cut_off_is_refused),
        cmocka_unit_test(hundreds_are_read),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
