/* SPDX-License-Identifier: Apache-2.0 */
/* What a filter's file says about itself, for people. */
#ifndef LT_FILTERS_FILTER_DOC_H
#define LT_FILTERS_FILTER_DOC_H

#include "base/buf.h"
#include "filters/program.h"

/* The comment at the top of the file, group, hooks, settings and an example, as text or as a
 * section of Markdown. filter: how a configuration names the file. */
void lt_filter_doc(const struct lt_filter_file *file, struct lt_str filter, bool markdown,
                   struct lt_buf *out);

#endif
