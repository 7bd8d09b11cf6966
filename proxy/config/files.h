/* SPDX-License-Identifier: Apache-2.0 */
/* What one load reads from the disk: files, what they are, which ones match a pattern. A load may
 * keep all of it in memory, so that the same load can be done again later although the disk has
 * changed. The memory is a memfd: secrets in it are never written to a disk, and it can be given to
 * another process. NULL for `files` means the disk alone, nothing kept.
 *
 *   lt_files_record -> a load -> lt_files_seal -> another process -> lt_files_replay -> the load
 *
 * Blocks: for the loader, never for workers. One thread at a time. */
#ifndef LT_CONFIG_FILES_H
#define LT_CONFIG_FILES_H

#include "base/arena.h"
#include "base/err.h"

#include <sys/stat.h>

struct lt_files;

/* Reads from the disk and keeps what was read. NULL without memory. */
struct lt_files *lt_files_record(void) LT_MUST_CHECK;

/* Answers from what was kept in fd (borrowed; it must be sealed), never from the disk. NULL and
 * *why (static) when it is damaged or memory is short. */
struct lt_files *lt_files_replay(int fd, const char **why) LT_MUST_CHECK;

void lt_files_free(struct lt_files *files);

/* Ends recording. The descriptor with all that was read, sealed and closed on exec; now the
 * caller's. -1 when it could not be kept whole. */
int lt_files_seal(struct lt_files *files) LT_MUST_CHECK;

/* Whether fd is memory that nobody can change any more. */
bool lt_files_is_sealed(int fd);

/* Gets the pieces of a file; false: out of memory. */
typedef bool (*lt_files_sink_fn)(void *arg, const char *p, size_t n);

/* Gives the whole of a regular file to sink. LT_ERR_LIMIT: it has more than max bytes.
 * LT_ERR_NOMEM: sink was out of memory. Anything else: it can't be read, by errno (EISDIR: a
 * folder, ENODEV: another thing that is no file). */
enum lt_err lt_files_read(struct lt_files *files, const char *path, size_t max, struct stat *st,
                          lt_files_sink_fn sink, void *arg) LT_MUST_CHECK;

/* Device and inode of path. False: it isn't there. */
bool lt_files_stat(struct lt_files *files, const char *path, struct stat *st);

/* The absolute form of a folder's path. *out is empty when it isn't there. False without memory. */
bool lt_files_real(struct lt_files *files, struct lt_arena *arena, const char *path,
                   struct lt_str *out) LT_MUST_CHECK;

/* The files that match pattern, sorted by name, in arena. LT_ERR_IO: a folder can't be read. */
enum lt_err lt_files_glob(struct lt_files *files, struct lt_arena *arena, const char *pattern,
                          struct lt_str **paths, size_t *n) LT_MUST_CHECK;

#endif
