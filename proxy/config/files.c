/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the disk, and keeping what was read. Loader thread.
 *
 * The memfd is a row of entries: struct entry, the path, the text, padding to 8 bytes. */
#include "config/files.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

#define ENTRY_MAGIC 0x4c544631u
/* As much as one load may keep, and how many things. */
#define KEEP_MAX ((uint64_t)256 << 20)
#define ENTRIES_MAX 1000000u
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* What an entry tells about its path. */
enum kind {
    KIND_FILE = 'f', /* its text */
    KIND_STAT = 's', /* that it is there, and which file it is */
    KIND_REAL = 'r', /* its absolute form */
    KIND_GLOB = 'g'  /* what matches it: paths, each with a NUL */
};

struct entry {
    uint32_t magic;
    uint32_t key_len; /* the kind's letter and the path */
    uint64_t text_len;
    uint64_t dev, ino;
};

struct lt_files {
    int fd;                /* of the memfd; -1: not ours */
    bool replays;          /* answers come from the entries only */
    bool broken;           /* something could not be kept */
    uint64_t size;         /* bytes of entries so far */
    struct lt_map at;      /* kind and path -> struct entry when replaying, else anything */
    struct lt_arena arena; /* keys, while recording */
    char *base;            /* all entries, mapped; NULL while recording */
};

static size_t padded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* ---- Keeping. ---- */

static bool put(struct lt_files *files, uint64_t at, const void *p, size_t n)
{
    const char *from = p;
    while (n > 0) {
        ssize_t done = pwrite(files->fd, from, n, (off_t)at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        from += done;
        at += (size_t)done;
        n -= (size_t)done;
    }
    return true;
}

static bool key_of(struct lt_arena *arena, enum kind kind, const char *path, struct lt_str *key)
{
    return lt_arena_printf(arena, key, "%c%s", (char)kind, path);
}

/* One entry that is being written. */
struct keeping {
    struct lt_files *files;
    struct lt_str key; /* empty: nothing is kept */
    struct entry entry;
    uint64_t at; /* where the next piece of the text goes */
};

static void keep_begin(struct keeping *k, struct lt_files *files, enum kind kind, const char *path)
{
    *k = (struct keeping){.files = files};
    if (files == NULL || files->replays || files->broken) {
        return;
    }
    if (!key_of(&files->arena, kind, path, &k->key)) {
        files->broken = true;
        k->key = LT_STR_NONE;
        return;
    }
    if (lt_map_get(&files->at, k->key) != NULL) {
        k->key = LT_STR_NONE; /* read before */
        return;
    }
    k->entry = (struct entry){.magic = ENTRY_MAGIC, .key_len = (uint32_t)k->key.len};
    k->at = files->size + sizeof(k->entry) + k->key.len;
}

static void keep_text(struct keeping *k, const char *p, size_t n)
{
    if (k->key.len == 0) {
        return;
    }
    if (k->at + n > KEEP_MAX || !put(k->files, k->at, p, n)) {
        k->files->broken = true;
        k->key = LT_STR_NONE;
        return;
    }
    k->at += n;
    k->entry.text_len += n;
}

static void keep_end(struct keeping *k, const struct stat *st)
{
    struct lt_files *files = k->files;
    if (k->key.len == 0) {
        return;
    }
    if (st != NULL) {
        k->entry.dev = (uint64_t)st->st_dev;
        k->entry.ino = (uint64_t)st->st_ino;
    }
    if (!put(files, files->size, &k->entry, sizeof(k->entry)) ||
        !put(files, files->size + sizeof(k->entry), k->key.p, k->key.len) ||
        lt_map_set(&files->at, k->key, files) != LT_OK) {
        files->broken = true;
        return;
    }
    files->size += padded(sizeof(k->entry) + k->key.len + k->entry.text_len);
}

/* ---- Finding again. ---- */

static struct lt_str text_of(const struct entry *e)
{
    return lt_str((const char *)(e + 1) + e->key_len, e->text_len);
}

static const struct entry *find(struct lt_files *files, enum kind kind, const char *path)
{
    struct lt_str key;
    struct lt_arena arena;
    char mem[512];
    lt_arena_init(&arena, mem, sizeof(mem), 65536);
    const struct entry *e = key_of(&arena, kind, path, &key) ? lt_map_get(&files->at, key) : NULL;
    lt_arena_fini(&arena);
    return e;
}

static void set_stat(const struct entry *e, struct stat *st)
{
    *st = (struct stat){.st_mode = S_IFREG | 0600, .st_size = (off_t)e->text_len};
    st->st_dev = (dev_t)e->dev;
    st->st_ino = (ino_t)e->ino;
}

/* Fills the map from the mapped entries. */
static bool index_entries(struct lt_files *files)
{
    uint64_t at = 0;
    while (at < files->size) {
        uint64_t left = files->size - at;
        struct entry *e = (struct entry *)(void *)(files->base + at);
        if (left < sizeof(*e) || e->magic != ENTRY_MAGIC || e->text_len > left ||
            e->key_len > left || sizeof(*e) + e->key_len + e->text_len > left) {
            return false;
        }
        struct lt_str key = lt_str((const char *)(e + 1), e->key_len);
        if (lt_map_set(&files->at, key, e) != LT_OK) {
            return false;
        }
        at += padded(sizeof(*e) + e->key_len + e->text_len);
    }
    return files->size > 0;
}

/* ---- Beginning and end. ---- */

static struct lt_files *files_new(void)
{
    struct lt_files *files = lt_calloc(1, sizeof(*files));
    if (files != NULL) {
        files->fd = -1;
        lt_map_init(&files->at, lt_hash_seed_random(), ENTRIES_MAX);
        lt_arena_init(&files->arena, NULL, 0, KEEP_MAX);
    }
    return files;
}

struct lt_files *lt_files_record(void)
{
    struct lt_files *files = files_new();
    if (files != NULL) {
        files->fd = memfd_create("lintel-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        files->broken = files->fd < 0;
    }
    return files;
}

struct lt_files *lt_files_replay(int fd, const char **why)
{
    struct stat st;
    struct lt_files *files = files_new();
    *why = "out of memory";
    if (files == NULL) {
        return NULL;
    }
    files->replays = true;
    if (!lt_files_is_sealed(fd) || fstat(fd, &st) != 0 || st.st_size <= 0) {
        *why = "what was kept is damaged";
        goto fail;
    }
    void *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        goto fail;
    }
    files->base = base;
    files->size = (uint64_t)st.st_size;
    (void)madvise(base, files->size, MADV_DONTDUMP);
    if (index_entries(files)) {
        return files;
    }
    *why = "what was kept is damaged";
fail:
    lt_files_free(files);
    return NULL;
}

void lt_files_free(struct lt_files *files)
{
    if (files == NULL) {
        return;
    }
    if (files->base != NULL) {
        munmap(files->base, files->size);
    }
    if (files->fd >= 0) {
        close(files->fd);
    }
    lt_map_fini(&files->at);
    lt_arena_fini(&files->arena);
    lt_free(files);
}

int lt_files_seal(struct lt_files *files)
{
    int fd = files->fd;
    if (files->broken || fd < 0 || ftruncate(fd, (off_t)files->size) != 0 ||
        fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        return -1;
    }
    files->fd = -1;
    files->broken = true;
    return fd;
}

bool lt_files_is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & SEALS) == SEALS;
}

/* ---- Questions. ---- */

/* Copies fd to sink and to what is kept. */
static enum lt_err pump(int fd, size_t max, struct keeping *k, lt_files_sink_fn sink, void *arg)
{
    char block[16384];
    size_t total = 0;
    enum lt_err err = LT_OK;
    for (;;) {
        ssize_t n = read(fd, block, sizeof(block));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            err = n < 0 ? LT_ERR_IO : LT_OK;
            break;
        }
        total += (size_t)n;
        if (total > max) {
            err = LT_ERR_LIMIT;
            break;
        }
        if (!sink(arg, block, (size_t)n)) {
            err = LT_ERR_NOMEM;
            break;
        }
        keep_text(k, block, (size_t)n);
    }
    int saved = errno;
    explicit_bzero(block, sizeof(block));
    errno = saved;
    return err;
}

static enum lt_err read_kept(struct lt_files *files, const char *path, size_t max, struct stat *st,
                             lt_files_sink_fn sink, void *arg)
{
    const struct entry *e = find(files, KIND_FILE, path);
    if (e == NULL) {
        errno = ENOENT;
        return lt_err_from_errno(errno);
    }
    set_stat(e, st);
    struct lt_str text = text_of(e);
    if (text.len > max) {
        return LT_ERR_LIMIT;
    }
    return text.len == 0 || sink(arg, text.p, text.len) ? LT_OK : LT_ERR_NOMEM;
}

enum lt_err lt_files_read(struct lt_files *files, const char *path, size_t max, struct stat *st,
                          lt_files_sink_fn sink, void *arg)
{
    struct keeping k;
    enum lt_err err = LT_ERR_IO;
    if (files != NULL && files->replays) {
        return read_kept(files, path, max, st, sink, arg);
    }
    /* O_NONBLOCK: opening a pipe must not wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return lt_err_from_errno(errno);
    }
    if (fstat(fd, st) != 0) {
        goto out;
    }
    if (!S_ISREG(st->st_mode)) {
        errno = S_ISDIR(st->st_mode) ? EISDIR : ENODEV;
        goto out;
    }
    keep_begin(&k, files, KIND_FILE, path);
    err = pump(fd, max, &k, sink, arg);
    if (err == LT_OK) {
        keep_end(&k, st);
    }
out:;
    int saved = errno;
    close(fd);
    errno = saved;
    return err;
}

bool lt_files_stat(struct lt_files *files, const char *path, struct stat *st)
{
    struct keeping k;
    if (files != NULL && files->replays) {
        const struct entry *e = find(files, KIND_STAT, path);
        if (e != NULL) {
            set_stat(e, st);
        }
        return e != NULL;
    }
    if (stat(path, st) != 0) {
        return false;
    }
    keep_begin(&k, files, KIND_STAT, path);
    keep_end(&k, st);
    return true;
}

bool lt_files_real(struct lt_files *files, struct lt_arena *arena, const char *path,
                   struct lt_str *out)
{
    struct keeping k;
    *out = LT_STR_NONE;
    if (files != NULL && files->replays) {
        const struct entry *e = find(files, KIND_REAL, path);
        return e == NULL || lt_arena_dup(arena, text_of(e), out);
    }
    char *absolute = realpath(path, NULL);
    if (absolute == NULL) {
        return errno != ENOMEM;
    }
    keep_begin(&k, files, KIND_REAL, path);
    keep_text(&k, absolute, strlen(absolute));
    keep_end(&k, NULL);
    bool ok = lt_arena_dup(arena, lt_str_c(absolute), out);
    free(absolute);
    return ok;
}

/* Paths, each with a NUL, as a list in arena. */
static enum lt_err split(struct lt_arena *arena, struct lt_str text, struct lt_str **paths,
                         size_t *n)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += text.p[i] == '\0';
    }
    *n = 0;
    *paths = lt_arena_array(arena, struct lt_str, count + 1);
    while (*paths != NULL && *n < count) {
        size_t end = lt_str_chr(text, '\0', 0);
        if (!lt_arena_dup(arena, lt_str_sub(text, 0, end), &(*paths)[*n])) {
            return LT_ERR_NOMEM;
        }
        text = lt_str_sub(text, end + 1, text.len);
        (*n)++;
    }
    return *paths != NULL ? LT_OK : LT_ERR_NOMEM;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum lt_err lt_files_glob(struct lt_files *files, struct lt_arena *arena, const char *pattern,
                          struct lt_str **paths, size_t *n)
{
    struct keeping k;
    struct lt_buf text;
    glob_t found = {0};
    if (files != NULL && files->replays) {
        const struct entry *e = find(files, KIND_GLOB, pattern);
        return split(arena, e != NULL ? text_of(e) : LT_STR_NONE, paths, n);
    }
    int rc = glob(pattern, GLOB_NOSORT, NULL, &found);
    enum lt_err err = rc == GLOB_NOSPACE              ? LT_ERR_NOMEM
                      : rc != 0 && rc != GLOB_NOMATCH ? LT_ERR_IO
                                                      : LT_OK;
    lt_buf_init(&text, (size_t)64 << 20);
    if (err == LT_OK && found.gl_pathc > 0) {
        qsort(found.gl_pathv, found.gl_pathc, sizeof(char *), compare_paths);
        for (size_t i = 0; i < found.gl_pathc; i++) {
            lt_buf_add(&text, found.gl_pathv[i], strlen(found.gl_pathv[i]) + 1);
        }
    }
    if (err == LT_OK) {
        struct lt_str all = lt_buf_view(&text);
        keep_begin(&k, files, KIND_GLOB, pattern);
        keep_text(&k, all.p, all.len);
        keep_end(&k, NULL);
        err = text.truncated ? LT_ERR_NOMEM : split(arena, all, paths, n);
    }
    lt_buf_fini(&text);
    globfree(&found);
    return err;
}
