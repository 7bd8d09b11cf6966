/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with units, exact: what can't be said in whole milliseconds or bytes is refused. Any
 * thread. */
#ifndef LT_CONFIG_UNITS_H
#define LT_CONFIG_UNITS_H

#include "base/buf.h"
#include "config/schema.h"

/* "500ms" "1.5s" "2m" "1h" "1d" "0" to milliseconds. */
bool lt_units_duration(struct lt_str text, uint64_t *out_ms) LT_MUST_CHECK;
/* "512" "64K" "1.5M" "1G" to bytes. */
bool lt_units_size(struct lt_str text, uint64_t *out) LT_MUST_CHECK;
/* "100/1m" "5/s". */
bool lt_units_rate(struct lt_str text, struct lt_rate *out) LT_MUST_CHECK;
/* "95%" "0.5%" to hundredths of a percent, at most 10000%. */
bool lt_units_percent(struct lt_str text, uint32_t *out) LT_MUST_CHECK;

/* In the largest unit that keeps the number whole. */
void lt_units_print_duration(uint64_t ms, struct lt_buf *out);
void lt_units_print_size(uint64_t bytes, struct lt_buf *out);
void lt_units_print_percent(uint32_t hundredths, struct lt_buf *out);

#endif
