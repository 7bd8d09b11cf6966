/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that look at servers and change them while the gateway runs, over its admin socket.
 * All take [-c FILE | --admin ADDRESS]. argv[0] is the command. Exit status: 0 done, 1 refused or
 * nobody there, 2 wrong usage, 3 (--wait) the time is over and requests are left. */
#ifndef LT_ADMIN_CMD_CONTROL_H
#define LT_ADMIN_CMD_CONTROL_H

/* show upstreams [--json]; argv[0] is "upstreams". */
int lt_cmd_show_upstreams(int argc, char **argv);

/* drain | maintenance | remove UPSTREAM/SERVER [--wait[=SECONDS]]; ready UPSTREAM/SERVER. With
 * --wait it ends when nothing is left at the server; remove drains it first then. */
int lt_cmd_server(int argc, char **argv);
/* add UPSTREAM/SERVER [--weight N] [--max N] [--backup] */
int lt_cmd_add(int argc, char **argv);
/* weight UPSTREAM/SERVER N */
int lt_cmd_weight(int argc, char **argv);
/* pause | resume UPSTREAM */
int lt_cmd_pause(int argc, char **argv);

/* filters reload [FILE]: has filter files that have changed taken up. argv[0] is "filters". */
int lt_cmd_filters(int argc, char **argv);

#endif
