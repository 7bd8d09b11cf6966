/* SPDX-License-Identifier: Apache-2.0 */
/* Looks after the files of servers that the configuration names (upstream/servers_file.h): what
 * has changed is put into the sets; what has errors is told, and the last good content stays. Main
 * thread; what touches the disk runs on a thread of its own.
 *
 *   timer -> thread: stamps -> [changed, and the same as at the look before] -> read -> main: put
 */
#ifndef LT_SERVER_SERVER_FILES_H
#define LT_SERVER_SERVER_FILES_H

#include "net/loop.h"

struct lt_gateway;
struct lt_server_files;
struct lt_snapshot;

/* Returns owned. */
struct lt_server_files *lt_server_files_new(struct lt_gateway *gateway) LT_MUST_CHECK;
/* Waits for the thread; NULL is fine. Then main's box is emptied, then: */
void lt_server_files_stop(struct lt_server_files *files);
void lt_server_files_free(struct lt_server_files *files);

/* next is about to be taken up: what its load read goes into the sets. Between begin and build of
 * the sets. */
void lt_server_files_build(struct lt_server_files *files, struct lt_snapshot *next);
/* The gateway's current snapshot is a new one: its files are looked after from now on, and those
 * that it doesn't name are forgotten. */
void lt_server_files_take_up(struct lt_server_files *files);

#endif
