/* SPDX-License-Identifier: Apache-2.0 */
/* Members of the access line by filters (log_field.h). */
#include "exchange/log_field.h"

bool lt_log_field_is_ours(struct lt_str name)
{
    static const char *const ours[] = {
#define X(name) name,
#include "exchange/log_member.def"
#undef X
    };
    for (size_t i = 0; i < lt_countof(ours); i++) {
        if (lt_str_eq_c(name, ours[i])) {
            return true;
        }
    }
    return false;
}

bool lt_log_field_name_ok(struct lt_str name)
{
    bool ok = name.len > 0 && name.len <= LT_LOG_FIELD_NAME_MAX && name.p[0] >= 'a';
    for (size_t i = 0; i < name.len && ok; i++) {
        char c = name.p[i];
        ok = (c >= 'a' && c <= 'z') || lt_char_is_digit(c) || c == '_' || c == '.';
    }
    return ok && !lt_log_field_is_ours(name);
}

struct lt_log_field *lt_log_field_find(const struct lt_exchange *x, struct lt_str name)
{
    for (struct lt_log_field *f = x->log_fields; f != NULL; f = f->next) {
        if (lt_str_eq(f->name, name)) {
            return f;
        }
    }
    return NULL;
}

struct lt_log_field *lt_log_field_put(struct lt_exchange *x, struct lt_str name)
{
    struct lt_log_field **end = &x->log_fields, *f;
    unsigned n = 0;
    for (; *end != NULL; end = &(*end)->next, n++) {
        if (lt_str_eq((*end)->name, name)) {
            return *end;
        }
    }
    f = n < LT_LOG_FIELDS_MAX ? lt_arena_new(&x->arena, struct lt_log_field) : NULL;
    if (f == NULL || !lt_arena_dup(&x->arena, name, &f->name)) {
        return NULL;
    }
    f->text = LT_STR("");
    *end = f;
    return f;
}

void lt_log_field_remove(struct lt_exchange *x, struct lt_str name)
{
    for (struct lt_log_field **at = &x->log_fields; *at != NULL; at = &(*at)->next) {
        if (lt_str_eq((*at)->name, name)) {
            *at = (*at)->next;
            return;
        }
    }
}
