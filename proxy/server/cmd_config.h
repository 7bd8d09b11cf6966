/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that read configurations without serving them. argv[0] is the command's own name;
 * the result is the exit status: 0 well, 1 the configuration has errors, 2 wrong usage. */
#ifndef LT_SERVER_CMD_CONFIG_H
#define LT_SERVER_CMD_CONFIG_H

/* check [-c FILE] [--json]: says everything that is wrong; on standard error, or as JSON on
 * standard output. */
int lt_cmd_check(int argc, char **argv);

/* show config [-c FILE] | schema | reference. */
int lt_cmd_show(int argc, char **argv);

/* help OPTION. */
int lt_cmd_help(int argc, char **argv);

/* Where the configuration is when nobody says: $LINTEL_CONFIG or, in the configured
 * sysconfdir, lintel/lintel.yaml. */
const char *lt_cmd_config_path(void);

#endif
