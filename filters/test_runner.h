/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel test`: runs *_test.lua files against filters, without a server and without a network. */
#ifndef LT_FILTERS_TEST_RUNNER_H
#define LT_FILTERS_TEST_RUNNER_H

/* argv[0] is "test", then files and folders. Gives the exit status: 0 all passed, 1 some failed, 2
 * wrong usage. */
int lt_cmd_test(int argc, char **argv);

#endif
