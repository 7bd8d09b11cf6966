/* SPDX-License-Identifier: Apache-2.0 */
/* PCRE2 with limits. What a match needs to write to belongs to the thread. */
#include "config/regex.h"

#include <pthread.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"

#define MATCH_LIMIT 10000u
#define DEPTH_LIMIT 1000u
#define HEAP_LIMIT_KB 512u
#define PATTERN_MAX 4096u

struct lt_regex {
    pcre2_code *code;
};

/* What one thread needs for matching; made at its first match, freed at its end. */
struct scratch {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static bool scratch_usable;

static void scratch_free(void *arg)
{
    struct scratch *s = arg;
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->limits);
    lt_free(s);
}

static void scratch_init(void)
{
    scratch_usable = pthread_key_create(&scratch_key, scratch_free) == 0;
}

static struct scratch *scratch_new(void)
{
    struct scratch *s = lt_calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->data = pcre2_match_data_create(1, NULL);
    s->limits = pcre2_match_context_create(NULL);
    if (s->data == NULL || s->limits == NULL || pthread_setspecific(scratch_key, s) != 0) {
        scratch_free(s);
        return NULL;
    }
    pcre2_set_match_limit(s->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(s->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(s->limits, HEAP_LIMIT_KB);
    return s;
}

static struct scratch *scratch_get(void)
{
    pthread_once(&scratch_once, scratch_init);
    if (!scratch_usable) {
        return NULL;
    }
    struct scratch *s = pthread_getspecific(scratch_key);
    return s != NULL ? s : scratch_new();
}

static void code_free(void *arg)
{
    pcre2_code_free(arg);
}

struct lt_regex *lt_regex_compile(struct lt_arena *arena, struct lt_str pattern, size_t *offset,
                                  struct lt_str *why)
{
    char text[256];
    int error = 0;
    *offset = 0;
    *why = LT_STR_NONE;
    if (pattern.len > PATTERN_MAX) {
        *why = LT_STR("the pattern is too long");
        return NULL;
    }
    struct lt_regex *regex = lt_arena_new(arena, struct lt_regex);
    if (regex == NULL) {
        return NULL;
    }
    regex->code = pcre2_compile((PCRE2_SPTR)(pattern.p != NULL ? pattern.p : ""), pattern.len,
                                PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF, &error, offset, NULL);
    if (regex->code == NULL) {
        int n = pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text));
        if (!lt_arena_dup(arena, lt_str(text, n > 0 ? (size_t)n : 0), why)) {
            *why = LT_STR_NONE;
        }
        return NULL;
    }
    if (!lt_arena_on_fini(arena, code_free, regex->code)) {
        pcre2_code_free(regex->code);
        return NULL;
    }
    /* Without a JIT (no executable memory) the interpreter does the same, slower. */
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    return regex;
}

bool lt_regex_test(const struct lt_regex *regex, struct lt_str subject)
{
    struct scratch *s = scratch_get();
    return s != NULL && pcre2_match(regex->code, (PCRE2_SPTR)(subject.p != NULL ? subject.p : ""),
                                    subject.len, 0, 0, s->data, s->limits) >= 0;
}
