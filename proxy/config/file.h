/* SPDX-License-Identifier: Apache-2.0 */
/* Reads whole small files (configuration, secrets, certificates) and says well why one can't be
 * read. Blocks: for the loader, never for workers. */
#ifndef LT_CONFIG_FILE_H
#define LT_CONFIG_FILE_H

#include "config/files.h"

/* Reads path (NUL-terminated) whole into arena; *out is NUL-terminated. Regular files only, at most
 * max bytes. st (may be NULL) gets its status. On error *why is one sentence in arena, with owner,
 * mode and our uid where permission was denied; it is empty when memory is short. files: where to
 * read from (files.h), NULL: the disk. */
enum lt_err lt_file_read(struct lt_files *files, struct lt_arena *arena, const char *path,
                         size_t max, struct lt_str *out, struct stat *st,
                         struct lt_str *why) LT_MUST_CHECK;

/* path as seen from folder dir: dir/path unless path is absolute or dir empty. False without
 * memory. */
bool lt_file_join(struct lt_arena *arena, struct lt_str dir, struct lt_str path,
                  struct lt_str *out) LT_MUST_CHECK;

#endif
