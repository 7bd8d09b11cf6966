/* SPDX-License-Identifier: Apache-2.0 */
/* The command that looks at the limits of a running gateway, over its admin socket. */
#ifndef LT_ADMIN_CMD_LIMITS_H
#define LT_ADMIN_CMD_LIMITS_H

/* limits show [KEY] | reset KEY | top [N], all with [--limit NAME] [--json] [-c FILE | --admin
 * ADDRESS]. Exit status: 0 done, 1 refused or nobody there, 2 wrong usage. */
int lt_cmd_limits(int argc, char **argv);

#endif
