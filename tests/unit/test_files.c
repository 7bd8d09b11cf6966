/* SPDX-License-Identifier: Apache-2.0 */
/* What a load read can be read again when the disk has changed, and nothing else can. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/file.h"

static char folder[] = "/tmp/lintel-files-XXXXXX";
static struct lt_arena arena;

static const char *path_of(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void remove_file(const char *name)
{
    assert_int_equal(unlink(path_of(name)), 0);
}

static void expect_text(struct lt_files *files, const char *name, const char *expected)
{
    struct lt_str text, why;
    struct stat st;
    enum lt_err err = lt_file_read(files, &arena, path_of(name), 1000, &text, &st, &why);
    if (expected == NULL) {
        assert_int_not_equal(err, LT_OK);
        return;
    }
    assert_int_equal(err, LT_OK);
    assert_true(lt_str_eq_c(text, expected));
    assert_true(S_ISREG(st.st_mode));
}

static int setup(void **state)
{
    (void)state;
    lt_arena_init(&arena, NULL, 0, (size_t)16 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lt_arena_fini(&arena);
    return 0;
}

static void what_was_read_is_read_again(void **state)
{
    (void)state;
    const char *why;
    struct stat first, again;
    struct lt_str *paths, real;
    size_t n;
    write_file("a", "one");
    write_file("b.yaml", "");
    write_file("c.yaml", "three\n");
    struct lt_files *files = lt_files_record();
    assert_non_null(files);
    expect_text(files, "a", "one");
    expect_text(files, "a", "one");
    expect_text(files, "b.yaml", "");
    expect_text(files, "missing", NULL);
    assert_true(lt_files_stat(files, path_of("c.yaml"), &first));
    assert_int_equal(lt_files_glob(files, &arena, path_of("*.yaml"), &paths, &n), LT_OK);
    assert_int_equal(n, 2);
    assert_true(lt_files_real(files, &arena, path_of("."), &real));
    int fd = lt_files_seal(files);
    assert_true(fd >= 0 && lt_files_is_sealed(fd));
    assert_int_equal(lt_files_seal(files), -1);
    lt_files_free(files);

    write_file("missing", "now it is there");
    write_file("d.yaml", "and this");
    write_file("a", "changed");
    remove_file("b.yaml");
    remove_file("c.yaml");
    files = lt_files_replay(fd, &why);
    assert_non_null(files);
    expect_text(files, "a", "one");
    expect_text(files, "b.yaml", "");
    expect_text(files, "missing", NULL);
    assert_true(lt_files_stat(files, path_of("c.yaml"), &again));
    assert_true(again.st_ino == first.st_ino && again.st_dev == first.st_dev);
    assert_false(lt_files_stat(files, path_of("missing"), &again));
    assert_int_equal(lt_files_glob(files, &arena, path_of("*.yaml"), &paths, &n), LT_OK);
    assert_int_equal(n, 2);
    assert_string_equal(paths[0].p, path_of("b.yaml"));
    assert_string_equal(paths[1].p, path_of("c.yaml"));
    assert_int_equal(lt_files_glob(files, &arena, path_of("*.conf"), &paths, &n), LT_OK);
    assert_int_equal(n, 0);
    struct lt_str same;
    assert_true(lt_files_real(files, &arena, path_of("."), &same));
    assert_true(lt_str_eq(real, same));
    assert_int_equal(lt_files_seal(files), -1);
    lt_files_free(files);
    close(fd);
    remove_file("a");
    remove_file("d.yaml");
    remove_file("missing");
}

static void what_is_too_large_is_refused_and_not_kept(void **state)
{
    (void)state;
    const char *why;
    char text[1200];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    write_file("big", text);
    write_file("small", "s");
    struct lt_files *files = lt_files_record();
    expect_text(files, "big", NULL);
    expect_text(files, "small", "s");
    int fd = lt_files_seal(files);
    assert_true(fd >= 0);
    lt_files_free(files);
    files = lt_files_replay(fd, &why);
    assert_non_null(files);
    expect_text(files, "big", NULL);
    expect_text(files, "small", "s");
    lt_files_free(files);
    close(fd);
    remove_file("big");
    remove_file("small");
}

static void what_is_no_file_is_not_waited_for(void **state)
{
    (void)state;
    struct lt_str text, why;
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_int_not_equal(lt_file_read(NULL, &arena, path_of("fifo"), 10, &text, NULL, &why), LT_OK);
    assert_true(lt_str_find(why, LT_STR("not a regular file")) != SIZE_MAX);
    assert_int_not_equal(lt_file_read(NULL, &arena, folder, 10, &text, NULL, &why), LT_OK);
    assert_true(lt_str_find(why, LT_STR("a folder")) != SIZE_MAX);
    remove_file("fifo");
}

/* A sealed memfd of these bytes. */
static int sealed(const void *p, size_t n)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    assert_int_equal(
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    return fd;
}

static void what_is_damaged_is_refused(void **state)
{
    (void)state;
    const char *why = NULL;
    char bytes[64];
    int open_fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(open_fd >= 0 && write(open_fd, "x", 1) == 1);
    assert_false(lt_files_is_sealed(open_fd));
    assert_null(lt_files_replay(open_fd, &why));
    assert_non_null(why);
    close(open_fd);
    write_file("a", "one");
    struct lt_files *files = lt_files_record();
    expect_text(files, "a", "one");
    int good = lt_files_seal(files);
    lt_files_free(files);
    ssize_t n = pread(good, bytes, sizeof(bytes), 0);
    assert_true(n > 32);
    for (int i = 0; i < 4; i++) {
        char copy[64];
        memcpy(copy, bytes, sizeof(copy));
        /* Nothing, half of an entry, another magic, a length beyond the end. */
        copy[i == 2 ? 0 : i == 3 ? 12 : 63] ^= 0x40;
        int fd = sealed(copy, i == 0 ? 0 : i == 1 ? 20 : (size_t)n);
        assert_null(lt_files_replay(fd, &why));
        close(fd);
    }
    close(good);
    remove_file("a");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_read_is_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_refused_and_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_damaged_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
