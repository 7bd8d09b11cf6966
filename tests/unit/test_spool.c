/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "exchange/spool.h"

#define MEMORY 10000u
#define DISK 200000u

static char data[300000], got[300000];

struct bed {
    struct lt_block_pool pool;
    struct lt_quota quota;
    struct lt_spool_env env;
    struct lt_spool_limits limits;
    struct lt_spool spool;
    char folder[32];
};

static int setup(void **state)
{
    struct bed *b = calloc(1, sizeof(*b));
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)(i * 7 + i / 251);
    }
    memcpy(b->folder, "/tmp/lt-spool-XXXXXX", sizeof("/tmp/lt-spool-XXXXXX"));
    assert_non_null(mkdtemp(b->folder));
    b->limits = (struct lt_spool_limits){.memory = MEMORY, .disk = DISK, .path = b->folder};
    lt_block_pool_init(&b->pool, 1 << 20);
    lt_spool_env_init(&b->env, &b->pool, &b->quota, NULL);
    lt_spool_init(&b->spool, &b->env, &b->limits);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bed *b = *state;
    lt_spool_clear(&b->spool);
    assert_int_equal(lt_quota_used(&b->quota), 0);
    assert_int_equal(b->pool.in_use, 0);
    lt_spool_env_fini(&b->env);
    lt_block_pool_fini(&b->pool);
    /* No file was left in it. */
    assert_int_equal(rmdir(b->folder), 0);
    free(b);
    return 0;
}

static void add(struct bed *b, size_t n, size_t piece)
{
    for (size_t at = 0; at < n; at += piece) {
        assert_int_equal(lt_spool_append(&b->spool, data + at, lt_min(piece, n - at)), LT_OK);
    }
}

/* Reads from the cursor to the end. */
static void expect_rest(struct bed *b, size_t from, size_t max_bytes, size_t max_iov)
{
    size_t len = 0, want = (size_t)lt_spool_left(&b->spool);
    while (lt_spool_left(&b->spool) > 0) {
        struct iovec iov[8];
        size_t n = 0, bytes = 0;
        assert_int_equal(lt_spool_peek(&b->spool, max_bytes, iov, max_iov, &n), LT_OK);
        assert_true(n > 0 && n <= max_iov);
        for (size_t i = 0; i < n; i++) {
            assert_true(iov[i].iov_len > 0);
            memcpy(got + len, iov[i].iov_base, iov[i].iov_len);
            len += iov[i].iov_len;
            bytes += iov[i].iov_len;
        }
        assert_true(bytes <= max_bytes);
        lt_spool_advance(&b->spool, bytes);
    }
    assert_int_equal(len, want);
    assert_memory_equal(got, data + from, len);
}

static void a_short_body_stays_in_memory(void **state)
{
    struct bed *b = *state;
    add(b, MEMORY, 999);
    assert_int_equal(b->spool.fd, -1);
    assert_int_equal(lt_spool_len(&b->spool), MEMORY);
    expect_rest(b, 0, SIZE_MAX, 8);
    assert_int_equal(lt_spool_left(&b->spool), 0);
}

static void a_long_body_goes_on_in_a_file_without_a_name(void **state)
{
    struct bed *b = *state;
    add(b, 150000, 7000);
    assert_true(b->spool.fd >= 0);
    assert_true(b->spool.memory.len > 0 && b->spool.memory.len <= MEMORY);
    assert_int_equal(lt_quota_used(&b->quota), 150000 - b->spool.memory.len);
    assert_int_equal(rmdir(b->folder), 0); /* it is empty */
    assert_int_equal(mkdir(b->folder, 0700), 0);
    expect_rest(b, 0, 65536, 8);
}

static void it_can_be_read_again_from_the_start(void **state)
{
    struct bed *b = *state;
    add(b, 150000, 4096);
    lt_spool_advance(&b->spool, 5);
    expect_rest(b, 5, 1000, 1);
    for (int i = 0; i < 2; i++) {
        lt_spool_rewind(&b->spool);
        assert_int_equal(lt_spool_left(&b->spool), 150000);
        expect_rest(b, 0, 33333, 3);
    }
    lt_spool_rewind(&b->spool);
    lt_spool_advance(&b->spool, 140000);
    expect_rest(b, 140000, SIZE_MAX, 8);
}

static void cleared_it_is_ready_again(void **state)
{
    struct bed *b = *state;
    add(b, 50000, 50000);
    lt_spool_clear(&b->spool);
    assert_int_equal(lt_quota_used(&b->quota), 0);
    add(b, 30, 30);
    assert_int_equal(lt_spool_left(&b->spool), 30);
    expect_rest(b, 0, SIZE_MAX, 8);
}

static void files_share_one_limit(void **state)
{
    struct bed *b = *state;
    struct lt_spool other;
    lt_spool_init(&other, &b->env, &b->limits);
    add(b, 110000, 10000); /* 100000 of it in the file */
    assert_int_equal(lt_spool_append(&other, data, MEMORY), LT_OK);
    assert_int_equal(lt_spool_append(&other, data, DISK - 100000 + 1), LT_ERR_LIMIT);
    assert_int_equal(lt_spool_append(&other, data, DISK - 100000), LT_OK);
    assert_int_equal(lt_spool_append(&b->spool, data, 1), LT_ERR_LIMIT);
    lt_spool_clear(&other);
    assert_int_equal(lt_spool_append(&b->spool, data, 1), LT_OK);
}

static void without_disk_only_memory_counts(void **state)
{
    struct bed *b = *state;
    b->limits.disk = 0;
    add(b, MEMORY, 1000);
    assert_int_equal(lt_spool_append(&b->spool, data, 1), LT_ERR_LIMIT);
}

static void a_folder_that_is_missing_is_told(void **state)
{
    struct bed *b = *state;
    b->limits.path = "/nonexistent/folder";
    add(b, MEMORY, 1000);
    assert_int_equal(lt_spool_append(&b->spool, data, 1), LT_ERR_STORE);
    assert_int_equal(b->spool.sys_errno, ENOENT);
}

/* As with a full disk: a part of the bytes goes out, then no more. */
static void a_file_that_can_not_grow_is_told(void **state)
{
    struct bed *b = *state;
    struct rlimit before, small;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 60000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum lt_err first = lt_spool_append(&b->spool, data, 50000);
    enum lt_err second = lt_spool_append(&b->spool, data, 50000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(first, LT_OK);
    assert_int_equal(second, LT_ERR_STORE);
    assert_int_equal(b->spool.sys_errno, EFBIG);
}

static void a_file_that_was_cut_is_told(void **state)
{
    struct bed *b = *state;
    struct iovec iov[8];
    size_t n;
    add(b, 50000, 50000);
    assert_int_equal(ftruncate(b->spool.fd, 100), 0);
    lt_spool_advance(&b->spool, 40000);
    assert_int_equal(lt_spool_peek(&b->spool, 1000, iov, 8, &n), LT_ERR_STORE);
    assert_int_equal(n, 0);
    close(b->spool.fd);
    b->spool.fd = open("/dev/null", O_WRONLY);
    assert_int_equal(lt_spool_peek(&b->spool, 1000, iov, 8, &n), LT_ERR_STORE);
    assert_int_equal(b->spool.sys_errno, EBADF);
}

static void without_memory_it_goes_to_the_file_at_once(void **state)
{
    struct bed *b = *state;
    lt_mem_fail_at(1);
    enum lt_err err = lt_spool_append(&b->spool, data, 500);
    lt_mem_fail_at(0);
    assert_int_equal(err, LT_OK);
    assert_true(b->spool.fd >= 0);
    struct iovec iov[8];
    size_t n;
    lt_mem_fail_at(1);
    err = lt_spool_peek(&b->spool, 1000, iov, 8, &n);
    lt_mem_fail_at(0);
    assert_int_equal(err, LT_ERR_NOMEM);
    expect_rest(b, 0, SIZE_MAX, 8);
}

/* The pool is nearly used up by others: long bodies go to the disk, short ones still find room. */
static void a_tight_pool_sends_bodies_to_the_disk(void **state)
{
    struct bed *b = *state;
    struct lt_chain others;
    struct lt_spool small;
    lt_chain_init(&others, &b->pool);
    lt_spool_init(&small, &b->env, &b->limits);
    while (lt_block_pool_share(&b->pool, MEMORY) > 3000) {
        assert_int_equal(lt_chain_append(&others, data, LT_BLOCK_SIZE), LT_OK);
    }
    assert_int_equal(lt_spool_append(&small, data, 1000), LT_OK);
    assert_int_equal(small.fd, -1);
    add(b, 8000, 4000);
    assert_true(b->spool.fd >= 0);
    expect_rest(b, 0, SIZE_MAX, 8);
    lt_spool_clear(&small);
    lt_chain_clear(&others);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_short_body_stays_in_memory),
        TEST(a_long_body_goes_on_in_a_file_without_a_name),
        TEST(it_can_be_read_again_from_the_start),
        TEST(cleared_it_is_ready_again),
        TEST(files_share_one_limit),
        TEST(without_disk_only_memory_counts),
        TEST(a_folder_that_is_missing_is_told),
        TEST(a_file_that_can_not_grow_is_told),
        TEST(a_file_that_was_cut_is_told),
        TEST(without_memory_it_goes_to_the_file_at_once),
        TEST(a_tight_pool_sends_bodies_to_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
