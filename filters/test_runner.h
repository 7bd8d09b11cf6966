/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel test`: runs *_test.lua files against filters, without a server and without a network. */
#ifndef LT_FILTERS_TEST_RUNNER_H
#define LT_FILTERS_TEST_RUNNER_H

#include <stdio.h>

/* argv[0] is "test", then options, files and folders. Gives the exit status: 0 all passed, 1 some
 * failed, 2 wrong usage, or there was nothing to run. */
int lt_cmd_test(int argc, char **argv);

/* What `lintel help test` prints. */
void lt_cmd_test_help(FILE *out);

#endif
