/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/log_writer.h"

static char dir[] = "/tmp/lintel-log-XXXXXX";
static char access_path[64], events_path[64], moved_path[64];
static char content[1 << 20];

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(access_path, sizeof(access_path), "%s/access", dir);
    snprintf(events_path, sizeof(events_path), "%s/events", dir);
    snprintf(moved_path, sizeof(moved_path), "%s/moved", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lt_log_set_sink(NULL);
    unlink(access_path);
    unlink(events_path);
    unlink(moved_path);
    return rmdir(dir);
}

static size_t read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, content, sizeof(content) - 1) : 0;
    if (fd >= 0) {
        close(fd);
    }
    content[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Waits up to 5 s until the file has n bytes. */
static void wait_for(const char *path, size_t n)
{
    uint64_t until = lt_clock_us() + 5000000;
    while (read_file(path) < n) {
        assert_true(lt_clock_us() < until);
        poll(NULL, 0, 2);
    }
}

static struct lt_log_writer *start(unsigned rings)
{
    struct lt_log_writer *w = lt_log_writer_start(rings, 65536);
    int sys_errno;
    assert_non_null(w);
    assert_int_equal(lt_log_writer_target(w, LT_LOG_ACCESS, lt_str_c(access_path), &sys_errno),
                     LT_OK);
    assert_int_equal(lt_log_writer_target(w, LT_LOG_EVENTS, lt_str_c(events_path), &sys_errno),
                     LT_OK);
    return w;
}

struct producer {
    struct lt_log_writer *writer;
    unsigned number, lines;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    if (lt_log_writer_join(p->writer) != LT_OK) {
        return "no ring";
    }
    char line[64];
    for (unsigned i = 0; i < p->lines; i++) {
        int n = snprintf(line, sizeof(line), "%u %u\n", p->number, i);
        lt_log_writer_access(lt_str(line, (size_t)n));
        lt_log_info("test", "line", LT_KV_INT("n", i));
    }
    lt_log_writer_leave(p->writer);
    return NULL;
}

static void lines_of_all_threads_arrive_whole_and_in_order(void **state)
{
    (void)state;
    struct lt_log_writer *w = start(3);
    struct producer p[3];
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++) {
        p[i] = (struct producer){.writer = w, .number = i, .lines = 200};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &p[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        void *why;
        pthread_join(threads[i], &why);
        assert_null(why);
    }
    assert_int_equal(lt_log_writer_dropped(w), 0);
    assert_true(lt_log_writer_stop(w, 2000));
    read_file(access_path);
    unsigned next[3] = {0}, number, i;
    for (char *at = content; *at != '\0'; at = strchr(at, '\n') + 1) {
        assert_int_equal(sscanf(at, "%u %u\n", &number, &i), 2);
        assert_true(number < 3);
        assert_int_equal(i, next[number]++);
    }
    for (i = 0; i < 3; i++) {
        assert_int_equal(next[i], 200);
    }
    read_file(events_path);
    assert_non_null(strstr(content, "\"subsystem\":\"test\",\"event\":\"line\",\"n\":199}\n"));
}

static void a_moved_file_is_opened_again(void **state)
{
    (void)state;
    struct lt_log_writer *w = start(1);
    assert_int_equal(lt_log_writer_join(w), LT_OK);
    unlink(access_path);
    lt_log_writer_reopen(w);
    lt_log_writer_access(LT_STR("first\n"));
    wait_for(access_path, 6);
    assert_int_equal(rename(access_path, moved_path), 0);
    lt_log_writer_access(LT_STR("still the old file\n"));
    wait_for(moved_path, 6 + 19);
    lt_log_writer_reopen(w);
    lt_log_writer_access(LT_STR("second\n"));
    wait_for(access_path, 7);
    assert_string_equal(content, "second\n");
    struct stat st;
    assert_int_equal(stat(access_path, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0);
    assert_true(lt_log_writer_stop(w, 2000));
}

static void a_target_that_can_not_be_opened_changes_nothing(void **state)
{
    (void)state;
    struct lt_log_writer *w = start(1);
    int sys_errno = 0;
    unlink(access_path);
    lt_log_writer_reopen(w);
    assert_int_equal(lt_log_writer_join(w), LT_OK);
    assert_int_not_equal(
        lt_log_writer_target(w, LT_LOG_ACCESS, LT_STR("/nowhere/at/all"), &sys_errno), LT_OK);
    assert_int_equal(sys_errno, ENOENT);
    lt_log_writer_access(LT_STR("here\n"));
    wait_for(access_path, 5);
    assert_true(lt_log_writer_stop(w, 2000));
}

static void a_full_disk_is_counted_and_waits_for_nobody(void **state)
{
    (void)state;
    struct lt_log_writer *w = start(1);
    int sys_errno = 0;
    assert_int_equal(lt_log_writer_target(w, LT_LOG_ACCESS, LT_STR("/dev/full"), &sys_errno),
                     LT_OK);
    assert_int_equal(lt_log_writer_join(w), LT_OK);
    for (int i = 0; i < 10; i++) {
        lt_log_writer_access(LT_STR("lost\n"));
    }
    uint64_t until = lt_clock_us() + 5000000;
    while (lt_log_writer_dropped(w) < 10) {
        assert_true(lt_clock_us() < until);
        poll(NULL, 0, 2);
    }
    assert_true(lt_log_writer_stop(w, 2000));
}

static void a_reader_that_never_reads_can_not_stop_us(void **state)
{
    (void)state;
    char fifo[80], line[1024];
    int sys_errno = 0;
    snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    struct lt_log_writer *w = start(1);
    assert_int_equal(lt_log_writer_target(w, LT_LOG_ACCESS, lt_str_c(fifo), &sys_errno), LT_OK);
    assert_int_equal(lt_log_writer_join(w), LT_OK);
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (int i = 0; i < 500; i++) { /* the pipe takes 64 KiB, the ring as much */
        lt_log_writer_access(lt_str(line, sizeof(line)));
        if (i % 10 == 0) {
            poll(NULL, 0, 1); /* so that the writer gets hold of some */
        }
    }
    assert_true(lt_log_writer_dropped(w) > 0);
    uint64_t before = lt_clock_us();
    assert_false(lt_log_writer_stop(w, 100));
    assert_true(lt_clock_us() - before < 3000000);
    close(reader); /* which ends the write that it was stuck in */
    unlink(fifo);
    assert_true(lt_log_writer_stop(w, 2000));
}

int main(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_all_threads_arrive_whole_and_in_order),
        cmocka_unit_test(a_moved_file_is_opened_again),
        cmocka_unit_test(a_target_that_can_not_be_opened_changes_nothing),
        cmocka_unit_test(a_full_disk_is_counted_and_waits_for_nobody),
        cmocka_unit_test(a_reader_that_never_reads_can_not_stop_us),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
