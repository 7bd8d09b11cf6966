/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel filter`: explains filters and begins new ones, without a server. */
#ifndef LT_FILTERS_FILTER_TOOL_H
#define LT_FILTERS_FILTER_TOOL_H

/* argv[0] is "filter", then doc, schema or new. Gives the exit status: 0 well, 1 the filter can't
 * be read or written, 2 wrong usage. */
int lt_cmd_filter(int argc, char **argv);

#endif
