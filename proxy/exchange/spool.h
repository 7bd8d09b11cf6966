/* SPDX-License-Identifier: Apache-2.0 */
/* The body of one request, collected: its beginning in memory, the rest in an unlinked temporary
 * file. It is written once and can be read again from its beginning, for another try.
 *
 *   append -> [ memory | file ]          peek, advance: from the cursor on; rewind: from the start
 *
 * The worker's thread; what all files of the gateway hold together is one atomic number. */
#ifndef LT_EXCHANGE_SPOOL_H
#define LT_EXCHANGE_SPOOL_H

#include "base/chain.h"
#include "shared/metrics.h"
#include "shared/quota.h"

/* What one snapshot allows. */
struct lt_spool_limits {
    size_t memory;    /* bytes of one body in memory; less while the pool of blocks is tight */
    uint64_t disk;    /* bytes of all files of the gateway */
    const char *path; /* folder for them */
};

/* What a worker lends to its spools. */
struct lt_spool_env {
    struct lt_block_pool *blocks;
    struct lt_quota *disk;             /* of the gateway */
    struct lt_metrics_worker *metrics; /* NULL: nothing is counted */
    char *buf;                         /* what peek reads from files into; made when needed */
};

struct lt_spool {
    struct lt_spool_env *env;
    const struct lt_spool_limits *limits;
    struct lt_chain memory;
    uint64_t in_file; /* bytes, after those in memory */
    uint64_t at;      /* the cursor */
    int fd;           /* -1: no file */
    int sys_errno;    /* of the last failure */
};

void lt_spool_env_init(struct lt_spool_env *env, struct lt_block_pool *blocks,
                       struct lt_quota *disk, struct lt_metrics_worker *metrics);
void lt_spool_env_fini(struct lt_spool_env *env);

/* Whether a body of n bytes fits when there is no other. */
static inline bool lt_spool_ever_fits(const struct lt_spool_limits *limits, uint64_t n)
{
    return n <= limits->memory || n - limits->memory <= limits->disk;
}

/* An empty one; opens nothing. env and limits are borrowed for its life. */
void lt_spool_init(struct lt_spool *s, struct lt_spool_env *env,
                   const struct lt_spool_limits *limits);

/* Frees what it holds; it is empty and ready again. */
void lt_spool_clear(struct lt_spool *s);

/* Adds n bytes. LT_ERR_LIMIT: the gateway's files hold as much as they may. LT_ERR_STORE: no file
 * could be made or written, sys_errno says why. After an error what was added before is still
 * there, of these bytes none or some. */
enum lt_err lt_spool_append(struct lt_spool *s, const void *p, size_t n) LT_MUST_CHECK;

/* Bytes added so far, and those from the cursor on. */
uint64_t lt_spool_len(const struct lt_spool *s);
uint64_t lt_spool_left(const struct lt_spool *s);

/* Fills up to max_iov slices of at most max_bytes in all from the cursor on; *n is how many. They
 * are valid until the next call for any spool of the worker. LT_ERR_STORE: the file can't be read.
 * LT_ERR_NOMEM. */
enum lt_err lt_spool_peek(struct lt_spool *s, size_t max_bytes, struct iovec *iov, size_t max_iov,
                          size_t *n) LT_MUST_CHECK;

/* Moves the cursor on by n bytes; n <= left. */
void lt_spool_advance(struct lt_spool *s, uint64_t n);

/* Back to the first byte. */
void lt_spool_rewind(struct lt_spool *s);

#endif
