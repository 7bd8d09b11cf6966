/* SPDX-License-Identifier: Apache-2.0 */
/* Terms of TLS for what a filter asks of others (lintel.http, lintel.redis): files are read while
 * the configuration is loaded, since workers touch no disk. Private to filters/. */
#ifndef LT_FILTERS_FILTER_TLS_H
#define LT_FILTERS_FILTER_TLS_H

#include "filters/program.h"

/* Whether lintel.http or lintel.redis stands in the file or in a module that it has required. */
bool lt_filter_asks(const struct lt_filter_file *file);

/* The policy of an instance of file: by its `tls`, else what the system trusts if file->asks
 * (reading the system's authorities takes a while). NULL: the instance
 * speaks no TLS; what is wrong was said. Lives in load->arena. */
struct lt_tls_client_policy *lt_filter_tls_load(struct lt_schema_load *load,
                                                const struct lt_filter_file *file,
                                                const struct lt_filter_conf *conf,
                                                struct lt_tls_trust_cache *cache) LT_MUST_CHECK;

#endif
