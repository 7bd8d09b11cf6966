/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of proxy/config share: a load over text in memory, and its messages as text. */
#ifndef LT_TESTS_UNIT_CONFIG_ENV_H
#define LT_TESTS_UNIT_CONFIG_ENV_H

#include "unit.h"

#include <stdio.h>

#include "config/load.h"

struct env {
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_schema_load load;
    struct lt_buf text;
};

static inline void env_init(struct env *e)
{
    lt_arena_init(&e->arena, NULL, 0, (size_t)64 << 20);
    lt_diags_init(&e->diags, &e->arena);
    lt_load_init(&e->load, &e->arena, &e->diags);
    lt_buf_init(&e->text, (size_t)1 << 20);
}

static inline void env_fini(struct env *e)
{
    lt_buf_fini(&e->text);
    lt_arena_fini(&e->arena);
}

static inline struct lt_node *env_read(struct env *e, const char *yaml)
{
    return lt_load_text(&e->load, LT_STR("t.yaml"), LT_STR("/etc/lintel"), lt_str_c(yaml));
}

/* All messages so far, NUL-terminated. */
static inline const char *env_messages(struct env *e)
{
    e->text.len = 0;
    lt_diags_print(&e->diags, &e->text);
    lt_buf_char(&e->text, '\0');
    assert_false(e->text.truncated);
    return e->text.p;
}

/* Whether the messages hold what; shows them when they don't. */
static inline bool env_says(struct env *e, const char *what)
{
    const char *all = env_messages(e);
    bool found = strstr(all, what) != NULL;
    if (!found) {
        print_error("expected: %s\nin:\n%s\n", what, all);
    }
    return found;
}

static inline void env_expect(struct env *e, const char *what)
{
    assert_true(env_says(e, what));
}

#endif
