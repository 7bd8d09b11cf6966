/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with units. Any thread. */
#include "config/units.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Smallest first. */
static const struct unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit sizes[] = {{"", 1},
                                    {"K", UINT64_C(1) << 10},
                                    {"M", UINT64_C(1) << 20},
                                    {"G", UINT64_C(1) << 30},
                                    {"T", UINT64_C(1) << 40}};

/* number * factor, where number may have up to nine decimals and the result must be whole. */
static bool scale(struct lt_str number, uint64_t factor, uint64_t *out)
{
    struct lt_str whole = number, decimals = LT_STR_NONE;
    uint64_t v, fraction = 0, divisor = 1;
    size_t dot = lt_str_chr(number, '.', 0);
    if (dot != SIZE_MAX) {
        whole = lt_str_sub(number, 0, dot);
        decimals = lt_str_sub(number, dot + 1, number.len);
        if (decimals.len > 9 || !lt_str_to_u64(decimals, &fraction)) {
            return false;
        }
    }
    for (size_t i = 0; i < decimals.len; i++) {
        divisor *= 10;
    }
    if (!lt_str_to_u64(whole, &v) || __builtin_mul_overflow(v, factor, &v) ||
        __builtin_mul_overflow(fraction, factor, &fraction) || fraction % divisor != 0) {
        return false;
    }
    return !__builtin_add_overflow(v, fraction / divisor, out) && *out <= INT64_MAX;
}

/* The number at the start of text, with its dot; the rest is the unit. */
static struct lt_str number_of(struct lt_str text)
{
    size_t n = 0;
    while (n < text.len && (lt_char_is_digit(text.p[n]) || text.p[n] == '.')) {
        n++;
    }
    return lt_str_sub(text, 0, n);
}

static bool with_unit(struct lt_str text, const struct unit *units, size_t n, uint64_t *out)
{
    struct lt_str number = number_of(text);
    struct lt_str name = lt_str_sub(text, number.len, text.len);
    for (size_t i = 0; i < n; i++) {
        if (lt_str_eq_c(name, units[i].name)) {
            return scale(number, units[i].factor, out);
        }
    }
    return false;
}

bool lt_units_duration(struct lt_str text, uint64_t *out_ms)
{
    if (lt_str_eq_c(text, "0")) {
        *out_ms = 0;
        return true;
    }
    return with_unit(text, durations, lt_countof(durations), out_ms);
}

bool lt_units_size(struct lt_str text, uint64_t *out)
{
    return with_unit(text, sizes, lt_countof(sizes), out);
}

bool lt_units_rate(struct lt_str text, struct lt_rate *out)
{
    uint64_t count, period = 0;
    size_t slash = lt_str_chr(text, '/', 0);
    if (slash == SIZE_MAX || !lt_str_to_u64(lt_str_sub(text, 0, slash), &count) || count == 0 ||
        count > UINT32_MAX) {
        return false;
    }
    struct lt_str time = lt_str_sub(text, slash + 1, text.len);
    for (size_t i = 0; i < lt_countof(durations); i++) {
        if (lt_str_eq_c(time, durations[i].name)) {
            period = durations[i].factor;
        }
    }
    if (period == 0 && (!lt_units_duration(time, &period) || period == 0)) {
        return false;
    }
    *out = (struct lt_rate){.count = (uint32_t)count, .period_ms = period};
    return true;
}

bool lt_units_percent(struct lt_str text, uint32_t *out)
{
    uint64_t v;
    if (text.len == 0 || text.p[text.len - 1] != '%' ||
        !scale(lt_str_sub(text, 0, text.len - 1), 100, &v) || v > 1000000) {
        return false;
    }
    *out = (uint32_t)v;
    return true;
}

static void print_unit(uint64_t v, const struct unit *units, size_t n, struct lt_buf *out)
{
    size_t best = 0;
    for (size_t i = 1; v > 0 && i < n; i++) {
        if (v % units[i].factor == 0) {
            best = i;
        }
    }
    lt_buf_u64(out, v / units[best].factor);
    lt_buf_str(out, lt_str_c(units[best].name));
}

void lt_units_print_duration(uint64_t ms, struct lt_buf *out)
{
    print_unit(ms, durations, lt_countof(durations), out);
}

void lt_units_print_size(uint64_t bytes, struct lt_buf *out)
{
    print_unit(bytes, sizes, lt_countof(sizes), out);
}

void lt_units_print_percent(uint32_t hundredths, struct lt_buf *out)
{
    lt_buf_u64(out, hundredths / 100);
    if (hundredths % 100 != 0) {
        unsigned rest = hundredths % 100;
        lt_buf_char(out, '.');
        lt_buf_char(out, (char)('0' + rest / 10));
        if (rest % 10 != 0) {
            lt_buf_char(out, (char)('0' + rest % 10));
        }
    }
    lt_buf_char(out, '%');
}
