/* SPDX-License-Identifier: Apache-2.0 */
/* lintel.re: regular expressions by config/regex.h, under its limits and the call's budget.
 * Patterns are compiled while a filter is loaded and live as long as its Lua state: their memory is
 * not Lua's, and a request compiles nothing. */
#include "filters/lib_re.h"

#include "base/mem.h"
#include "base/obj.h"
#include "config/regex.h"
#include "filters/api.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/sandbox.h"

#define MAGIC 0x2e9e8a11u
#define META "lintel.re"
/* Bytes of all patterns of a state, compiled. */
#define PATTERNS_MAX ((size_t)4 << 20)
#define ARENA_MAX ((size_t)1 << 20)
#define SUBJECT_MAX LT_LUA_JSON_MAX
#define RESULT_MAX LT_LUA_JSON_MAX
#define PIECES_MAX 10000
/* A search may take STEPS and STEPS_PER_BYTE for each byte of its subject. */
#define STEPS 250000u
#define STEPS_PER_BYTE 4u
#define GROUPS LT_REGEX_GROUPS_MAX

struct lt_patterns {
    struct lt_arena arena;
    size_t size; /* of the compiled ones */
};

/* Userdata: what lintel.re.new gives. */
struct re {
    uint32_t magic;
    const struct lt_regex *regex; /* in the state's patterns */
    unsigned groups;              /* the whole match included */
};

void lt_patterns_free(struct lt_patterns *patterns)
{
    if (patterns != NULL) {
        lt_arena_fini(&patterns->arena);
        lt_free(patterns);
    }
}

static struct re *check_re(lua_State *L)
{
    struct re *re = lua_touserdata(L, 1);
    if (re == NULL || lua_type(L, 1) != LUA_TUSERDATA || lua_rawlen(L, 1) != sizeof(*re) ||
        re->magic != MAGIC) {
        luaL_error(L, "write re:test(text), with a colon: this is no pattern of lintel.re.new");
    }
    return re;
}

/* ---- compiling ---- */

static struct lt_patterns *patterns_of(lua_State *L)
{
    struct lt_filter_vm *fvm = lt_filter_vm_of(L);
    if (fvm->patterns == NULL) {
        fvm->patterns = lt_calloc(1, sizeof(*fvm->patterns));
        if (fvm->patterns == NULL) {
            luaL_error(L, "out of memory");
        }
        lt_arena_init(&fvm->patterns->arena, NULL, 0, ARENA_MAX);
    }
    return fvm->patterns;
}

static unsigned read_flags(lua_State *L, int arg)
{
    static const struct {
        char letter;
        unsigned flag;
    } known[] = {{'i', LT_REGEX_CASELESS},
                 {'m', LT_REGEX_MULTILINE},
                 {'s', LT_REGEX_DOTALL},
                 {'x', LT_REGEX_EXTENDED}};
    unsigned flags = LT_REGEX_WATCHED;
    for (const char *p = luaL_optstring(L, arg, ""); *p != '\0'; p++) {
        unsigned flag = 0;
        for (size_t i = 0; i < lt_countof(known); i++) {
            flag |= known[i].letter == *p ? known[i].flag : 0;
        }
        luaL_argcheck(L, flag != 0, arg,
                      "flags are letters: i (both cases), m (^ and $ at lines), s (. is any byte), "
                      "x (white space means nothing)");
        flags |= flag;
    }
    return flags;
}

/* lintel.re.new(pattern [, flags]) */
static int new_re(lua_State *L)
{
    struct lt_str pattern = lt_lua_check_str(L, 1), why;
    unsigned flags = read_flags(L, 2);
    size_t offset;
    if (lt_filter_vm_of(L)->task != NULL) {
        return luaL_error(L, "compile patterns in `init` or at the top of the file, not in hooks");
    }
    struct lt_patterns *all = patterns_of(L);
    struct re *re = lua_newuserdatauv(L, sizeof(*re), 0);
    lt_vm_poll(L);
    *re = (struct re){.magic = MAGIC,
                      .regex = lt_regex_compile_flags(&all->arena, pattern, flags, &offset, &why)};
    if (re->regex == NULL) {
        return why.len > 0 ? luaL_error(L, "lintel.re.new: at byte %d of the pattern: %s",
                                        (int)offset + 1, why.p)
                           : luaL_error(L, "out of memory");
    }
    all->size += lt_regex_size(re->regex);
    if (all->size > PATTERNS_MAX) {
        return luaL_error(L, "lintel.re.new: the patterns of this filter take more than %d MB",
                          (int)(PATTERNS_MAX >> 20));
    }
    re->groups = lt_regex_groups(re->regex);
    if (re->groups > GROUPS) {
        return luaL_error(L,
                          "lintel.re.new: the pattern has more than %d groups; write (?:...) "
                          "for those that nobody reads",
                          (int)GROUPS - 1);
    }
    luaL_setmetatable(L, META);
    return 1;
}

/* ---- searching ---- */

/* One walk over the matches in a text. */
struct search {
    lua_State *L;
    const struct re *re;
    struct lt_str subject;
    size_t at;     /* where the next match may begin */
    bool nonempty; /* and may not be empty, if it begins there */
    struct lt_regex_watch watch;
    struct lt_str groups[GROUPS];
    size_t begin, end; /* of the match */
};

enum found { NO, YES, FAILED };

static bool must_stop(void *arg)
{
    return lt_vm_must_stop(arg);
}

/* Begins a walk over argument 2; false: nil and a reason are pushed. */
static bool begin(lua_State *L, struct search *s)
{
    s->L = L;
    s->re = check_re(L);
    s->subject = lt_lua_check_str(L, 2);
    s->at = 0;
    s->nonempty = false;
    s->watch =
        (struct lt_regex_watch){.steps_max = STEPS + STEPS_PER_BYTE * (uint64_t)s->subject.len,
                                .stop = must_stop,
                                .arg = lt_vm_of(L)};
    if (s->subject.len <= SUBJECT_MAX) {
        return true;
    }
    lua_pushnil(L);
    lua_pushliteral(L, "too_large");
    return false;
}

/* Pushes nil and "too_complex". */
static int too_complex(lua_State *L)
{
    lua_pushnil(L);
    lua_pushliteral(L, "too_complex");
    return 2;
}

static int too_large(lua_State *L)
{
    lua_pushnil(L);
    lua_pushliteral(L, "too_large");
    return 2;
}

/* The next match. Raises when the call is to be stopped. */
static enum found next(struct search *s)
{
    enum lt_regex_result result = lt_regex_search(s->re->regex, s->subject, s->at, s->nonempty,
                                                  &s->watch, s->groups, s->re->groups);
    lt_vm_poll(s->L);
    if (result != LT_REGEX_YES) {
        return result == LT_REGEX_NO ? NO : FAILED;
    }
    if (s->groups[0].p == NULL) {
        return FAILED; /* \K can put the beginning behind the end */
    }
    s->begin = (size_t)(s->groups[0].p - s->subject.p);
    s->end = s->begin + s->groups[0].len;
    if (s->end < s->at) {
        return FAILED;
    }
    s->at = s->end;
    s->nonempty = true; /* the same empty match would be found for ever */
    s->watch.steps++;
    return YES;
}

/* re:test(text): whether it matches somewhere; nil and why when that is not known. */
static int test(lua_State *L)
{
    struct search s;
    if (!begin(L, &s)) {
        return 2;
    }
    enum found found = next(&s);
    if (found == FAILED) {
        return too_complex(L);
    }
    lua_pushboolean(L, found == YES);
    return 1;
}

/* The groups by number, the whole match as number 0, and by name. */
static void push_groups(const struct search *s)
{
    lua_State *L = s->L;
    struct lt_str name;
    unsigned group;
    lua_createtable(L, (int)s->re->groups - 1, 1);
    for (unsigned i = 0; i < s->re->groups; i++) {
        if (s->groups[i].p != NULL) {
            lt_lua_push_str(L, s->groups[i]);
            lua_rawseti(L, -2, (lua_Integer)i);
        }
    }
    for (unsigned i = 0; lt_regex_name(s->re->regex, i, &name, &group); i++) {
        if (s->groups[group].p != NULL) {
            lt_lua_push_str(L, name);
            lt_lua_push_str(L, s->groups[group]);
            lua_rawset(L, -3);
        }
    }
}

/* re:match(text): the groups of the first match, or nil; nil and why when it is not known. */
static int match(lua_State *L)
{
    struct search s;
    if (!begin(L, &s)) {
        return 2;
    }
    enum found found = next(&s);
    if (found == YES) {
        push_groups(&s);
        return 1;
    }
    return found == NO ? lt_lua_nil(L) : too_complex(L);
}

/* ---- replacing ---- */

/* The number of the group called name. */
static unsigned group_of(lua_State *L, const struct re *re, struct lt_str name)
{
    struct lt_str known;
    unsigned group;
    uint64_t number = 0;
    for (unsigned i = 0; lt_regex_name(re->regex, i, &known, &group); i++) {
        if (lt_str_eq(known, name)) {
            return group;
        }
    }
    if (!lt_str_to_u64(name, &number) || number >= re->groups) {
        lt_lua_push_str(L, lt_str_sub(name, 0, 40));
        luaL_error(L, "re:replace: the pattern has no group \"%s\"", lua_tostring(L, -1));
    }
    return (unsigned)number;
}

/* Cuts the next part off a template: text as it is, or the value of a group. *group is UINT_MAX for
 * text. False at the end. */
static bool next_part(lua_State *L, const struct re *re, struct lt_str *rest, struct lt_str *text,
                      unsigned *group)
{
    if (rest->len == 0) {
        return false;
    }
    size_t dollar = lt_str_chr(*rest, '$', 0), end = 0;
    *group = UINT_MAX;
    if (dollar != 0) {
        *text = lt_str_sub(*rest, 0, lt_min(dollar, rest->len));
        *rest = lt_str_sub(*rest, text->len, rest->len);
        return true;
    }
    struct lt_str after = lt_str_sub(*rest, 1, rest->len);
    if (lt_str_starts(after, LT_STR("$"))) {
        *text = LT_STR("$");
        end = 1;
    } else if (lt_str_starts(after, LT_STR("{")) && lt_str_chr(after, '}', 0) != SIZE_MAX) {
        end = lt_str_chr(after, '}', 0) + 1;
        *group = group_of(L, re, lt_str_sub(after, 1, end - 1));
    } else {
        while (end < 2 && end < after.len && lt_char_is_digit(after.p[end])) {
            end++;
        }
        if (end == 0) {
            luaL_error(L, "re:replace: after `$` stands a number, {name} or another `$`");
        }
        *group = group_of(L, re, lt_str_sub(after, 0, end));
    }
    *rest = lt_str_sub(after, end, after.len);
    return true;
}

/* Writes the template that is argument 3; b == NULL: only checks it. */
static void add_template(struct search *s, luaL_Buffer *b)
{
    struct lt_str rest = lt_lua_check_str(s->L, 3), text = LT_STR_NONE;
    unsigned group;
    while (next_part(s->L, s->re, &rest, &text, &group)) {
        text = group == UINT_MAX || b == NULL ? text : s->groups[group];
        if (b != NULL && text.p != NULL) {
            luaL_addlstring(b, text.p, text.len);
        }
    }
}

/* What the function that is argument 3 gives for the groups; nil and false: the match stays. */
static void add_result(struct search *s, luaL_Buffer *b)
{
    lua_State *L = s->L;
    lua_pushvalue(L, 3);
    push_groups(s);
    lua_call(L, 1, 1);
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s->groups[0].p, s->groups[0].len);
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "re:replace: the function gave a %s, not text", luaL_typename(L, -1));
    } else {
        luaL_addvalue(b);
    }
}

/* re:replace(text, template | function [, max]): the text with matches replaced, and how many. */
static int replace(lua_State *L)
{
    struct search s;
    luaL_Buffer b;
    bool function = lua_type(L, 3) == LUA_TFUNCTION;
    lua_Integer max = luaL_optinteger(L, 4, LUA_MAXINTEGER), n = 0;
    size_t copied = 0;
    enum found found = NO;
    lua_settop(L, 3);
    if (!begin(L, &s)) {
        return 2;
    }
    if (!function) {
        add_template(&s, NULL);
    }
    luaL_buffinit(L, &b);
    while (n < max && (found = next(&s)) == YES) {
        n++;
        if (s.begin > copied) {
            luaL_addlstring(&b, s.subject.p + copied, s.begin - copied);
        }
        function ? add_result(&s, &b) : add_template(&s, &b);
        copied = s.end;
        if (luaL_bufflen(&b) > RESULT_MAX) {
            return too_large(L);
        }
    }
    if (found == FAILED) {
        return too_complex(L);
    }
    luaL_addlstring(&b, s.subject.p + copied, s.subject.len - copied);
    if (luaL_bufflen(&b) > RESULT_MAX) {
        return too_large(L);
    }
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}

/* re:split(text [, max]): the pieces between matches, at most max of them. */
static int split(lua_State *L)
{
    struct search s;
    lua_Integer max = luaL_optinteger(L, 3, LUA_MAXINTEGER), n = 0;
    size_t from = 0;
    enum found found = NO;
    luaL_argcheck(L, max >= 1, 3, "1 or more");
    if (!begin(L, &s)) {
        return 2;
    }
    lua_newtable(L);
    while (n + 1 < max && (found = next(&s)) == YES) {
        if (s.begin == s.end && (s.begin == from || s.end == s.subject.len)) {
            continue; /* nothing between nothing and a piece */
        }
        if (n + 2 > PIECES_MAX) {
            return too_large(L);
        }
        lt_lua_push_str(L, lt_str_sub(s.subject, from, s.begin));
        lua_rawseti(L, -2, ++n);
        from = s.end;
    }
    if (found == FAILED) {
        return too_complex(L);
    }
    lt_lua_push_str(L, lt_str_sub(s.subject, from, s.subject.len));
    lua_rawseti(L, -2, ++n);
    return 1;
}

static const struct lt_api_row pattern_rows[] = {
    {"test", ":(text: string): boolean? found, string? why", "Whether it matches somewhere.", test},
    {"match", ":(text: string): table<integer|string, string>? groups, string? why",
     "The groups of the first match by number and by name; number 0 is all of it.", match},
    {"replace",
     ":(text: string, with: string|fun(groups: table<integer|string, string>): "
     "string|number|false|nil, max?: integer): string? text, integer|string count",
     "The text with at most `max` matches replaced, and how many were. `with` is a template with "
     "`$1`, `${name}`, `$0`, `$$`, or a function, which leaves a match as it is by nil.",
     replace},
    {"split", ":(text: string, max?: integer): string[]? pieces, string? why",
     "The pieces between matches.", split},
    LT_API_END,
};

const struct lt_api lt_api_pattern = {
    .name = "lintel.Re",
    .as = "re",
    .doc = "A regular expression. All give nil and `too_complex` for a search of too many steps, "
           "nil and `too_large` for texts and results beyond 512 KB or more than 10,000 pieces.",
    .page = "regex.md",
    .rows = pattern_rows,
};

static const struct lt_api_row rows[] = {
    {"new", "(pattern: string, flags?: string): lintel.Re",
     "Compiles a regular expression; in `init` or at the top of the file. Flags are `i`, `m`, `s`, "
     "`x`.",
     new_re},
    LT_API_END,
};

static void open_re(lua_State *L)
{
    lt_api_metatable(L, META, &lt_api_pattern);
    lua_pop(L, 1);
}

const struct lt_api lt_api_re = {
    .name = "lintel.re",
    .as = "lintel.re",
    .doc = "Regular expressions of PCRE2, on bytes, whose steps are counted.",
    .page = "regex.md",
    .rows = rows,
    .open = open_re,
};
