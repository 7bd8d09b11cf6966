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
/* Steps between two questions to a watch, and bytes gone over that count as one. */
#define WATCH_STEPS 4096u
#define STEP_BYTES 16u

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
    s->data = pcre2_match_data_create(LT_REGEX_GROUPS_MAX, NULL);
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

static uint32_t options_of(unsigned flags)
{
    uint32_t options = PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF;
    options |= (flags & LT_REGEX_CASELESS) != 0 ? PCRE2_CASELESS : 0;
    options |= (flags & LT_REGEX_MULTILINE) != 0 ? PCRE2_MULTILINE : 0;
    options |= (flags & LT_REGEX_DOTALL) != 0 ? PCRE2_DOTALL : 0;
    options |= (flags & LT_REGEX_EXTENDED) != 0 ? PCRE2_EXTENDED : 0;
    options |= (flags & LT_REGEX_WATCHED) != 0 ? PCRE2_AUTO_CALLOUT : 0;
    return options;
}

struct lt_regex *lt_regex_compile(struct lt_arena *arena, struct lt_str pattern, size_t *offset,
                                  struct lt_str *why)
{
    return lt_regex_compile_flags(arena, pattern, 0, offset, why);
}

struct lt_regex *lt_regex_compile_flags(struct lt_arena *arena, struct lt_str pattern,
                                        unsigned flags, size_t *offset, struct lt_str *why)
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
                                options_of(flags), &error, offset, NULL);
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

size_t lt_regex_size(const struct lt_regex *regex)
{
    size_t size = 0, jit = 0;
    pcre2_pattern_info(regex->code, PCRE2_INFO_SIZE, &size);
    pcre2_pattern_info(regex->code, PCRE2_INFO_JITSIZE, &jit);
    return size + jit;
}

/* Before each item of the pattern. What an item goes over is seen by how far the next one is. */
static int on_step(pcre2_callout_block *block, void *arg)
{
    struct lt_regex_watch *w = arg;
    size_t at = block->current_position;
    w->steps += 1 + (at > w->at ? at - w->at : w->at - at) / STEP_BYTES;
    w->at = at;
    if (w->steps > w->steps_max) {
        return PCRE2_ERROR_CALLOUT;
    }
    if (w->steps - w->asked_at >= WATCH_STEPS) {
        w->asked_at = w->steps;
        return w->stop(w->arg) ? PCRE2_ERROR_CALLOUT : 0;
    }
    return 0;
}

enum lt_regex_result lt_regex_match(const struct lt_regex *regex, struct lt_str subject,
                                    struct lt_str *groups, unsigned n)
{
    return lt_regex_search(regex, subject, 0, false, NULL, groups, n);
}

enum lt_regex_result lt_regex_search(const struct lt_regex *regex, struct lt_str subject,
                                     size_t from, bool nonempty, struct lt_regex_watch *watch,
                                     struct lt_str *groups, unsigned n)
{
    struct scratch *s = scratch_get();
    const char *text = subject.p != NULL ? subject.p : "";
    if (s == NULL) {
        return LT_REGEX_FAILED;
    }
    pcre2_set_callout(s->limits, watch != NULL ? on_step : NULL, watch);
    int found = pcre2_match(regex->code, (PCRE2_SPTR)text, subject.len, from,
                            nonempty ? PCRE2_NOTEMPTY_ATSTART : 0, s->data, s->limits);
    if (found < 0) {
        return found == PCRE2_ERROR_NOMATCH ? LT_REGEX_NO : LT_REGEX_FAILED;
    }
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->data);
    unsigned filled = found == 0 ? LT_REGEX_GROUPS_MAX : (unsigned)found;
    for (unsigned i = 0; i < n; i++) {
        bool set = i < filled && at[2 * i] != PCRE2_UNSET && at[2 * i] <= at[2 * i + 1];
        groups[i] =
            set ? lt_str_sub(lt_str(text, subject.len), at[2 * i], at[2 * i + 1]) : LT_STR_NONE;
    }
    return LT_REGEX_YES;
}

unsigned lt_regex_groups(const struct lt_regex *regex)
{
    uint32_t n = 0;
    pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &n);
    return n + 1;
}

bool lt_regex_name(const struct lt_regex *regex, unsigned i, struct lt_str *name, unsigned *group)
{
    uint32_t n = 0, size = 0;
    PCRE2_SPTR table = NULL;
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &n);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &table);
    if (i >= n) {
        return false;
    }
    /* An entry is the number in two bytes, then the name and a NUL (pcre2api, "Information about a
     * compiled pattern"). */
    const unsigned char *entry = table + (size_t)i * size;
    *group = (unsigned)entry[0] << 8 | entry[1];
    *name = lt_str_c((const char *)entry + 2);
    return true;
}

/* ---- the text that a match begins with ---- */

/* The bytes of a "[:name:]" at the start of p; 0 when there is none. */
static size_t posix_name(struct lt_str p)
{
    size_t at = 2;
    if (!lt_str_starts(p, LT_STR("[:"))) {
        return 0;
    }
    while (at < p.len && (p.p[at] == '^' || (p.p[at] >= 'a' && p.p[at] <= 'z'))) {
        at++;
    }
    return lt_str_starts(lt_str_sub(p, at, p.len), LT_STR(":]")) ? at + 2 : 0;
}

/* The end of the class `[...]` that begins at `at`: after its `]`. A `]` that comes first is one of
 * its members, and so are those of [:names:]. */
static size_t skip_class(struct lt_str p, size_t at)
{
    at++;
    if (at < p.len && p.p[at] == '^') {
        at++;
    }
    for (size_t first = at; at < p.len && (p.p[at] != ']' || at == first);) {
        size_t name = posix_name(lt_str_sub(p, at, p.len));
        at += name > 0 ? name : p.p[at] == '\\' ? 2 : 1;
    }
    return at + 1;
}

/* Whether the pattern holds something in which brackets stand for themselves: quoted text, control
 * characters, verbs with names, comments, callouts, extended syntax. It is rare, and not followed.
 */
static bool has_odd_syntax(struct lt_str p)
{
    static const char *const odd[] = {"\\Q", "\\c", "(*", "(?#", "(?C"};
    for (size_t i = 0; i < lt_countof(odd); i++) {
        if (lt_str_find(p, lt_str_c(odd[i])) != SIZE_MAX) {
            return true;
        }
    }
    for (size_t at = 0; (at = lt_str_find(p, LT_STR("(?"))) != SIZE_MAX;) {
        for (at += 2; at < p.len; at++) {
            char c = lt_char_lower(p.p[at]);
            if (c == 'x') {
                return true; /* white space and comments */
            }
            if (c != '^' && c != '-' && !(c >= 'a' && c <= 'z')) {
                break;
            }
        }
        p = lt_str_sub(p, at, p.len);
    }
    return false;
}

/* Whether a `|` stands outside of all brackets, or might. */
static bool may_branch(struct lt_str p)
{
    unsigned depth = 0;
    if (has_odd_syntax(p)) {
        return true;
    }
    for (size_t at = 0; at < p.len;) {
        char c = p.p[at];
        if (c == '|' && depth == 0) {
            return true;
        }
        depth += c == '(';
        depth -= c == ')' && depth > 0;
        at = c == '[' ? skip_class(p, at) : at + (c == '\\' ? 2 : 1);
    }
    return false;
}

bool lt_regex_prefix(struct lt_arena *arena, struct lt_str pattern, struct lt_str *prefix)
{
    *prefix = LT_STR("");
    if (pattern.len == 0 || pattern.p[0] != '^' || may_branch(pattern)) {
        return true;
    }
    char *out = lt_arena_chars(arena, pattern.len);
    size_t n = 0, at = 1;
    if (out == NULL) {
        return false;
    }
    while (at < pattern.len) {
        char c = pattern.p[at];
        if (c == '\\') {
            c = at + 1 < pattern.len ? pattern.p[at + 1] : 'd';
            if (lt_char_is_digit(c) || (lt_char_lower(c) >= 'a' && lt_char_lower(c) <= 'z')) {
                break; /* \d, \b and so on */
            }
            at++;
        } else if (strchr("^$.[]|()?*+{}", c) != NULL) {
            break;
        }
        out[n++] = c;
        at++;
    }
    if (n > 0 && at < pattern.len && strchr("?*{", pattern.p[at]) != NULL) {
        n--; /* there may be none of it */
    }
    *prefix = lt_str(out, n);
    return true;
}
