/* SPDX-License-Identifier: Apache-2.0 */
/* The regular expressions that the files and instances of one Lua state compiled. Private to
 * filters/. */
#ifndef LT_FILTERS_LIB_RE_H
#define LT_FILTERS_LIB_RE_H

struct lt_patterns;

/* NULL is fine. */
void lt_patterns_free(struct lt_patterns *patterns);

#endif
