/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of DNS servers. Whatever they say, what comes out is sorted, without repeats, within the
 * limits, and made of names and addresses that can be used. */
#include "net/dns_answer.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_record(enum lt_dns_type type, const struct lt_dns_record *record)
{
    size_t len = strnlen(record->target, sizeof(record->target));
    require(len < sizeof(record->target));
    if (type == LT_DNS_SRV) {
        require(record->addr.len == 0 && record->port > 0);
        require(lt_dns_name_ok(lt_str(record->target, len)));
    } else {
        require(len == 0 && record->addr.len > 0 && lt_addr_port(&record->addr) == 0);
        require(record->addr.sa.sa_family == (type == LT_DNS_A ? AF_INET : AF_INET6));
    }
}

static void parse(const unsigned char *message, size_t len, enum lt_dns_type type)
{
    struct lt_dns_records records;
    const char *why = NULL;
    enum lt_err err = lt_dns_answer_parse(message, len, type, &records, &why);
    require(err == LT_OK || (why != NULL && records.n == 0 && records.v == NULL));
    require(records.n <= LT_DNS_RECORDS_MAX && records.n * 11 <= len);
    for (unsigned i = 0; i < records.n; i++) {
        check_record(type, &records.v[i]);
        require(i == 0 || lt_dns_record_cmp(&records.v[i - 1], &records.v[i]) < 0);
    }
    lt_dns_records_fini(&records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size, LT_DNS_A);
    parse(data, size, LT_DNS_AAAA);
    parse(data, size, LT_DNS_SRV);
    return 0;
}
