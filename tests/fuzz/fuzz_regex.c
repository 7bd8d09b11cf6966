/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions of routes: a pattern, a NUL, a subject. The text that a pattern is said to
 * begin with is what every subject begins with that it matches: routes are ordered by it. */
#include "config/regex.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lt_arena arena;
    struct lt_str text = lt_str((const char *)data, size), why, prefix, name;
    struct lt_str groups[LT_REGEX_GROUPS_MAX];
    size_t split = lt_min(lt_str_chr(text, '\0', 0), size), offset;
    struct lt_str pattern = lt_str_sub(text, 0, split);
    struct lt_str subject = lt_str_sub(text, lt_min(split + 1, size), size);
    lt_arena_init(&arena, NULL, 0, 16 << 20);
    struct lt_regex *regex = lt_regex_compile(&arena, pattern, &offset, &why);
    require(lt_regex_prefix(&arena, pattern, &prefix) && prefix.len <= pattern.len);
    if (regex == NULL) {
        require(why.len > 0 && offset <= pattern.len);
        lt_arena_fini(&arena);
        return 0;
    }
    unsigned group;
    for (unsigned i = 0; lt_regex_name(regex, i, &name, &group); i++) {
        require(name.len > 0 && group > 0 && group < lt_regex_groups(regex));
    }
    if (lt_regex_match(regex, subject, groups, LT_REGEX_GROUPS_MAX) == LT_REGEX_YES) {
        require(lt_str_starts(subject, prefix));
        for (unsigned i = 0; i < LT_REGEX_GROUPS_MAX; i++) {
            require(groups[i].len <= subject.len);
        }
    }
    lt_arena_fini(&arena);
    return 0;
}
