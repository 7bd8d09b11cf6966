/* SPDX-License-Identifier: Apache-2.0 */
/* Writing JSON objects member by member into a buffer; commas come by themselves. */
#ifndef LT_SERVER_JSON_H
#define LT_SERVER_JSON_H

#include "base/buf.h"

/* The next member's key and colon; its value is put after it. */
void lt_json_key(struct lt_buf *out, const char *key);
/* Whole members. */
void lt_json_num(struct lt_buf *out, const char *key, uint64_t n);
void lt_json_str(struct lt_buf *out, const char *key, struct lt_str s);
void lt_json_bool(struct lt_buf *out, const char *key, bool b);
/* A time of the wall clock, as logs have it. */
void lt_json_time(struct lt_buf *out, const char *key, uint64_t wall_us);
/* Before each element of a list. */
void lt_json_item(struct lt_buf *out);

#endif
