/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that writes log lines: gathers them from the rings of all threads and writes them in
 * batches to standard output, standard error or files. It alone waits for a slow disk or a full
 * pipe; meanwhile the rings fill, then lines are dropped and counted. */
#ifndef LT_SERVER_LOG_WRITER_H
#define LT_SERVER_LOG_WRITER_H

#include "base/err.h"
#include "shared/log_ring.h"

struct lt_log_writer;

/* Starts the thread. Both kinds go to standard error until targets are set. rings_max: threads that
 * will log, ring_bytes (a power of two) each. NULL without memory or thread. Main thread. */
struct lt_log_writer *lt_log_writer_start(unsigned rings_max, size_t ring_bytes) LT_MUST_CHECK;

/* Writes what waits, for at most limit_ms, then ends the thread. False: it is stuck in a write;
 * then the thread and its memory are left as they are and the process should end. Lines logged from
 * now on go straight to standard error. */
bool lt_log_writer_stop(struct lt_log_writer *writer, uint64_t limit_ms);

/* Gives this thread a ring; its lt_log_* lines and access lines go there from now on. LT_ERR_LIMIT,
 * LT_ERR_NOMEM. A thread without a ring writes straight to standard error. */
enum lt_err lt_log_writer_join(struct lt_log_writer *writer) LT_MUST_CHECK;

/* This thread logs no more; its ring goes to the next one that joins. */
void lt_log_writer_leave(struct lt_log_writer *writer);

/* Where lines of a kind go: "stdout", "stderr", "none" or a path that is opened for appending.
 * LT_OK, or the failure, *sys_errno then says why and the old target stays. Main thread. */
enum lt_err lt_log_writer_target(struct lt_log_writer *writer, enum lt_log_kind kind,
                                 struct lt_str target, int *sys_errno) LT_MUST_CHECK;

/* Opens the files again (SIGUSR1, after they were moved). A file that can't be opened keeps its old
 * descriptor and is reported. Main thread. */
void lt_log_writer_reopen(struct lt_log_writer *writer);

/* One access line, newline included, from this thread's ring. */
void lt_log_writer_access(struct lt_str line);

/* Lines dropped so far: rings that were full and writes that failed. Any thread. */
uint64_t lt_log_writer_dropped(struct lt_log_writer *writer);

#endif
