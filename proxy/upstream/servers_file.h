/* SPDX-License-Identifier: Apache-2.0 */
/* Files of servers: one address a line, with options, that may change while Lintel runs.
 *
 *   # comment
 *   10.0.0.1:8000 weight=2 max=8
 *   unix:/run/app/2.sock backup
 */
#ifndef LT_UPSTREAM_SERVERS_FILE_H
#define LT_UPSTREAM_SERVERS_FILE_H

#include "config/load.h"
#include "upstream/server_set.h"

#define LT_SERVERS_FILE_MAX ((size_t)1 << 20)
#define LT_SERVERS_FILE_SERVERS_MAX 1024u

/* Reads the file at path from files (NULL: the disk). *v is in arena; texts of it too. False: diags
 * has at least one more error; those about the file itself stand at pos. */
bool lt_servers_file_read(struct lt_files *files, struct lt_arena *arena, struct lt_diags *diags,
                          struct lt_str path, struct lt_pos pos, struct lt_server_spec **v,
                          unsigned *n) LT_MUST_CHECK;

/* The same for text that is there already. */
bool lt_servers_file_parse(const struct lt_source *source, struct lt_arena *arena,
                           struct lt_diags *diags, struct lt_server_spec **v,
                           unsigned *n) LT_MUST_CHECK;

#endif
