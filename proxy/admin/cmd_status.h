/* SPDX-License-Identifier: Apache-2.0 */
/* `lintel status`: asks the running gateway over its admin socket and prints what it says. */
#ifndef LT_ADMIN_CMD_STATUS_H
#define LT_ADMIN_CMD_STATUS_H

/* status [-c FILE | --admin ADDRESS] [--json]. argv[0] is "status". Exit status: 0 it serves, 1 it
 * doesn't or can't be reached, 2 wrong usage. */
int lt_cmd_status(int argc, char **argv);

#endif
