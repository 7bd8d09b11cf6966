/* SPDX-License-Identifier: Apache-2.0 */
/* Replays inputs through a fuzz target where libFuzzer isn't linked: the files and folders given,
 * or the target's own corpus, $srcdir/tests/fuzz/corpus/NAME for a program called fuzz_NAME. That
 * way every "make check" reads the whole corpus. tests/fuzz/run links libFuzzer's main instead. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef LT_LIBFUZZER

#define INPUT_MAX (1 << 20)

static unsigned replayed;

/* The target gets memory of exactly the input's size, so that a read past its end is seen. */
static int replay_file(const char *path)
{
    static uint8_t content[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    size_t size = fread(content, 1, sizeof(content), file);
    fclose(file);
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL) {
        return 1;
    }
    memcpy(exact, content, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    replayed++;
    return 0;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    if (!S_ISDIR(st.st_mode)) {
        return replay_file(path);
    }
    struct dirent **entries;
    int failed = 0, n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char name[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
            failed |= replay(name);
        }
        free(entries[i]);
    }
    if (n >= 0) {
        free(entries);
    }
    return failed | (n < 0);
}

static int replay_own_corpus(const char *program)
{
    char path[4096];
    const char *srcdir = getenv("srcdir");
    const char *name = strrchr(program, '/');
    name = name != NULL ? name + 1 : program;
    name = strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name;
    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".", name);
    return replay(path);
}

int main(int argc, char **argv)
{
    int failed = argc < 2 ? replay_own_corpus(argv[0]) : 0;
    for (int i = 1; i < argc; i++) {
        failed |= replay(argv[i]);
    }
    printf("%u inputs replayed\n", replayed);
    return failed || replayed == 0;
}

#endif
