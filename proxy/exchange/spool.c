/* SPDX-License-Identifier: Apache-2.0 */
/* A request body in memory and in a file. Files have no name, so nothing is left behind however the
 * gateway ends. */
#include "exchange/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

#define FILE_BUF_SIZE 65536u
#define TEMPLATE "/lintel-body-XXXXXX"

void lt_spool_env_init(struct lt_spool_env *env, struct lt_block_pool *blocks,
                       struct lt_quota *disk, struct lt_metrics_worker *metrics)
{
    *env = (struct lt_spool_env){.blocks = blocks, .disk = disk, .metrics = metrics};
}

void lt_spool_env_fini(struct lt_spool_env *env)
{
    lt_free(env->buf);
    env->buf = NULL;
}

static void count(const struct lt_spool *s, enum lt_counter counter, int64_t n)
{
    if (s->env->metrics != NULL) {
        lt_metrics_add(s->env->metrics, counter, n);
    }
}

void lt_spool_init(struct lt_spool *s, struct lt_spool_env *env,
                   const struct lt_spool_limits *limits)
{
    *s = (struct lt_spool){.env = env, .limits = limits, .fd = -1};
    lt_chain_init(&s->memory, env->blocks);
}

void lt_spool_clear(struct lt_spool *s)
{
    lt_chain_clear(&s->memory);
    if (s->fd >= 0) {
        close(s->fd);
        lt_quota_give(s->env->disk, s->in_file);
        count(s, LT_COUNTER_BODY_FILE_BYTES, -(int64_t)s->in_file);
        count(s, LT_COUNTER_BODY_FILES, -1);
    }
    s->fd = -1;
    s->in_file = s->at = 0;
}

/* File systems without O_TMPFILE get a name for a moment. */
static int open_named(const char *folder)
{
    char name[4096];
    int n = snprintf(name, sizeof(name), "%s%s", folder, TEMPLATE);
    if (n < 0 || (size_t)n >= sizeof(name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0) {
        unlink(name);
    }
    return fd;
}

static enum lt_err open_file(struct lt_spool *s)
{
    s->fd = open(s->limits->path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        s->fd = open_named(s->limits->path);
    }
    if (s->fd < 0) {
        s->sys_errno = errno;
        return LT_ERR_STORE;
    }
    count(s, LT_COUNTER_BODY_FILES, 1);
    count(s, LT_COUNTER_BODY_FILES_TOTAL, 1);
    return LT_OK;
}

static enum lt_err append_file(struct lt_spool *s, const char *p, size_t n)
{
    if (s->fd < 0 && open_file(s) != LT_OK) {
        return LT_ERR_STORE;
    }
    if (!lt_quota_take(s->env->disk, n, s->limits->disk)) {
        return LT_ERR_LIMIT;
    }
    uint64_t end = s->in_file;
    s->in_file += n; /* what was taken is given back by clear, also after a failure */
    count(s, LT_COUNTER_BODY_FILE_BYTES, (int64_t)n);
    while (n > 0) {
        ssize_t written = pwrite(s->fd, p, n, (off_t)end);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            s->sys_errno = written < 0 ? errno : ENOSPC;
            return LT_ERR_STORE;
        }
        p += written;
        end += (uint64_t)written;
        n -= (size_t)written;
    }
    return LT_OK;
}

/* Whether n more bytes may be kept in memory: while the pool is tight, only what fits a short
 * block. */
static bool fits_memory(const struct lt_spool *s, size_t n)
{
    size_t len = s->memory.len + n;
    if (len > s->limits->memory) {
        return false;
    }
    return len <= LT_BLOCK_SMALL_SIZE ||
           len <= lt_block_pool_share(s->env->blocks, s->limits->memory);
}

enum lt_err lt_spool_append(struct lt_spool *s, const void *p, size_t n)
{
    if (s->fd < 0 && fits_memory(s, n) && lt_chain_append(&s->memory, p, n) == LT_OK) {
        return LT_OK;
    }
    return append_file(s, p, n);
}

uint64_t lt_spool_len(const struct lt_spool *s)
{
    return s->memory.len + s->in_file;
}

uint64_t lt_spool_left(const struct lt_spool *s)
{
    return lt_spool_len(s) - s->at;
}

/* Up to max bytes of the file at the cursor, in the worker's buffer. */
static enum lt_err peek_file(struct lt_spool *s, size_t max, struct iovec *iov)
{
    if (s->env->buf == NULL) {
        s->env->buf = lt_malloc(FILE_BUF_SIZE);
        if (s->env->buf == NULL) {
            return LT_ERR_NOMEM;
        }
    }
    size_t want = (size_t)lt_min((uint64_t)lt_min(max, (size_t)FILE_BUF_SIZE), lt_spool_left(s));
    ssize_t got;
    do {
        got = pread(s->fd, s->env->buf, want, (off_t)(s->at - s->memory.len));
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        s->sys_errno =
            got < 0 ? errno : EIO; /* somebody cut the file: nothing else ends it early */
        return LT_ERR_STORE;
    }
    *iov = (struct iovec){.iov_base = s->env->buf, .iov_len = (size_t)got};
    return LT_OK;
}

enum lt_err lt_spool_peek(struct lt_spool *s, size_t max_bytes, struct iovec *iov, size_t max_iov,
                          size_t *n)
{
    *n = 0;
    if (lt_spool_left(s) == 0) {
        return LT_OK;
    }
    if (s->at >= s->memory.len) {
        enum lt_err err = peek_file(s, max_bytes, iov);
        *n = err == LT_OK ? 1 : 0;
        return err;
    }
    size_t found = lt_chain_peek_from(&s->memory, (size_t)s->at, iov, max_iov);
    for (; *n < found && max_bytes > 0; ++*n) {
        iov[*n].iov_len = lt_min(iov[*n].iov_len, max_bytes);
        max_bytes -= iov[*n].iov_len;
    }
    return LT_OK;
}

void lt_spool_advance(struct lt_spool *s, uint64_t n)
{
    assert(n <= lt_spool_left(s));
    s->at += n;
}

void lt_spool_rewind(struct lt_spool *s)
{
    s->at = 0;
}
