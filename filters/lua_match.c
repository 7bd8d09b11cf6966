/* SPDX-License-Identifier: Apache-2.0 */
/* Lua's patterns with a limit of steps. A pattern is first compiled into items; since no item can
 * repeat a group, the matcher goes forward through the items and its depth is bounded by their
 * number. Raises Lua errors; holds no memory but Lua's. */
#include "filters/lua_match.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "base/str.h"
#include "filters/vm.h"

/* Limits of a pattern. */
#define ITEMS_MAX 200
#define CAPTURES_MAX 32
/* Steps of one call: so many, and more for long subjects. */
#define STEPS_BASE 100000u
#define STEPS_PER_BYTE 32u
#define POLL_STEPS 2048u
#define POLL_BYTES 65536u /* where no steps are counted */

enum item_kind {
    ONE,      /* a class, with a repetition */
    OPEN,     /* ( of capture n */
    CLOSE,    /* ) of capture n */
    POSITION, /* () as capture n */
    BACKREF,  /* %1 */
    BALANCE,  /* %bxy */
    FRONTIER, /* %f[set] */
    AT_END    /* $ at the end of the pattern */
};

struct item {
    unsigned char kind; /* enum item_kind */
    char repeat;        /* 0 * + - ? */
    unsigned char n;    /* capture */
    unsigned char x, y; /* BALANCE */
    const char *set;    /* the class: text of "." "a" "%a" or "[...]" */
    const char *set_end;
};

#define POSITION_CAPTURE ((size_t)-1)
#define OPEN_CAPTURE ((size_t)-2)

struct capture {
    const char *p;
    size_t len; /* or POSITION_CAPTURE, OPEN_CAPTURE */
};

struct matcher {
    lua_State *L;
    const char *s, *end; /* subject */
    size_t steps, steps_max;
    unsigned n_items, n_captures; /* captures of the whole pattern */
    bool anchored;
    struct item items[ITEMS_MAX];
    struct capture captures[CAPTURES_MAX];
};

/* ---- compiling ---- */

static const char *class_end(lua_State *L, const char *p, const char *end)
{
    if (*p == '%') {
        if (p + 1 >= end) {
            luaL_error(L, "malformed pattern (ends with '%%')");
        }
        return p + 2;
    }
    if (*p != '[') {
        return p + 1;
    }
    p++;
    if (p < end && *p == '^') {
        p++;
    }
    /* A ']' right at the beginning stands for itself. */
    for (bool first = true;; first = false) {
        if (p >= end) {
            luaL_error(L, "malformed pattern (missing ']')");
        }
        if (*p == ']' && !first) {
            return p + 1;
        }
        p += *p == '%' ? 2 : 1;
    }
}

static struct item *new_item(struct matcher *m, enum item_kind kind)
{
    if (m->n_items == ITEMS_MAX) {
        luaL_error(m->L, "pattern too complex (more than %d items)", ITEMS_MAX);
    }
    struct item *item = &m->items[m->n_items++];
    *item = (struct item){.kind = (unsigned char)kind};
    return item;
}

struct open_captures {
    unsigned char stack[CAPTURES_MAX];
    unsigned depth;
    bool closed[CAPTURES_MAX];
};

static const char *compile_paren(struct matcher *m, const char *p, const char *end,
                                 struct open_captures *open)
{
    if (*p == ')') {
        if (open->depth == 0) {
            luaL_error(m->L, "invalid pattern capture");
        }
        unsigned char n = open->stack[--open->depth];
        new_item(m, CLOSE)->n = n;
        open->closed[n] = true;
        return p + 1;
    }
    if (m->n_captures == CAPTURES_MAX) {
        luaL_error(m->L, "too many captures");
    }
    unsigned char n = (unsigned char)m->n_captures++;
    if (p + 1 < end && p[1] == ')') {
        new_item(m, POSITION)->n = n;
        open->closed[n] = true;
        return p + 2;
    }
    new_item(m, OPEN)->n = n;
    open->stack[open->depth++] = n;
    return p + 1;
}

/* %b, %f, %1; NULL when it is a plain class. */
static const char *compile_special(struct matcher *m, const char *p, const char *end,
                                   const struct open_captures *open)
{
    char c = p + 1 < end ? p[1] : '\0';
    if (c == 'b') {
        if (p + 3 >= end) {
            luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
        }
        struct item *item = new_item(m, BALANCE);
        item->x = (unsigned char)p[2];
        item->y = (unsigned char)p[3];
        return p + 4;
    }
    if (c == 'f') {
        if (p + 2 >= end || p[2] != '[') {
            luaL_error(m->L, "missing '[' after '%%f' in pattern");
        }
        struct item *item = new_item(m, FRONTIER);
        item->set = p + 2;
        item->set_end = class_end(m->L, p + 2, end);
        return item->set_end;
    }
    if (lt_char_is_digit(c)) {
        unsigned n = (unsigned)(c - '1');
        if (c == '0' || n >= m->n_captures || !open->closed[n]) {
            luaL_error(m->L, "invalid capture index %%%c in pattern", c);
        }
        new_item(m, BACKREF)->n = (unsigned char)n;
        return p + 2;
    }
    return NULL;
}

static void compile(struct matcher *m, lua_State *L, const char *p, size_t len)
{
    const char *end = p + len;
    struct open_captures open = {.depth = 0};
    m->L = L;
    m->n_items = m->n_captures = 0;
    m->anchored = len > 0 && *p == '^';
    p += m->anchored;
    while (p < end) {
        const char *next = NULL;
        if (*p == '(' || *p == ')') {
            p = compile_paren(m, p, end, &open);
            continue;
        }
        if (*p == '$' && p + 1 == end) {
            new_item(m, AT_END);
            break;
        }
        if (*p == '%' && (next = compile_special(m, p, end, &open)) != NULL) {
            p = next;
            continue;
        }
        struct item *item = new_item(m, ONE);
        item->set = p;
        item->set_end = p = class_end(L, p, end);
        if (p < end && (*p == '*' || *p == '+' || *p == '-' || *p == '?')) {
            item->repeat = *p++;
        }
    }
    if (open.depth > 0) {
        luaL_error(L, "unfinished capture");
    }
}

/* ---- classes ---- */

static bool in_class(int c, char letter)
{
    bool yes;
    switch (lt_char_lower(letter)) {
    case 'a':
        yes = isalpha(c);
        break;
    case 'c':
        yes = iscntrl(c);
        break;
    case 'd':
        yes = isdigit(c);
        break;
    case 'g':
        yes = isgraph(c);
        break;
    case 'l':
        yes = islower(c);
        break;
    case 'p':
        yes = ispunct(c);
        break;
    case 's':
        yes = isspace(c);
        break;
    case 'u':
        yes = isupper(c);
        break;
    case 'w':
        yes = isalnum(c);
        break;
    case 'x':
        yes = isxdigit(c);
        break;
    case 'z': /* of old: the byte 0 */
        yes = c == 0;
        break;
    default:
        return (unsigned char)letter == c;
    }
    return letter >= 'A' && letter <= 'Z' ? !yes : yes;
}

/* p: behind '['; end: behind ']'. */
static bool in_set(int c, const char *p, const char *end)
{
    bool negate = *p == '^';
    p += negate;
    end--;
    while (p < end) {
        if (*p == '%') {
            if (in_class(c, p[1])) {
                return !negate;
            }
            p += 2;
        } else if (p + 2 < end && p[1] == '-') {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2]) {
                return !negate;
            }
            p += 3;
        } else if ((unsigned char)*p++ == c) {
            return !negate;
        }
    }
    return negate;
}

static bool in_item(const struct item *item, int c)
{
    switch (item->set[0]) {
    case '.':
        return true;
    case '%':
        return in_class(c, item->set[1]);
    case '[':
        return in_set(c, item->set + 1, item->set_end);
    default:
        return (unsigned char)item->set[0] == c;
    }
}

/* ---- matching ---- */

static const char *match(struct matcher *m, unsigned i, const char *s);

static inline void count_step(struct matcher *m)
{
    m->steps++;
    if (LT_UNLIKELY(m->steps % POLL_STEPS == 0)) {
        lt_vm_poll(m->L);
    }
    if (LT_UNLIKELY(m->steps > m->steps_max)) {
        luaL_error(m->L, "pattern too complex (more than %d steps)", (int)m->steps_max);
    }
}

static const char *match_greedy(struct matcher *m, unsigned i, const char *s, size_t least)
{
    const struct item *item = &m->items[i];
    size_t n = 0;
    while (s + n < m->end && in_item(item, (unsigned char)s[n])) {
        count_step(m);
        n++;
    }
    for (;; n--) {
        if (n < least) {
            return NULL;
        }
        const char *end = match(m, i + 1, s + n);
        if (end != NULL || n == 0) {
            return end;
        }
    }
}

static const char *match_lazy(struct matcher *m, unsigned i, const char *s)
{
    for (;; s++) {
        const char *end = match(m, i + 1, s);
        if (end != NULL) {
            return end;
        }
        if (s >= m->end || !in_item(&m->items[i], (unsigned char)*s)) {
            return NULL;
        }
        count_step(m);
    }
}

static const char *match_balance(struct matcher *m, const struct item *item, const char *s)
{
    if (s >= m->end || (unsigned char)*s != item->x) {
        return NULL;
    }
    size_t depth = 1;
    for (s++; s < m->end; s++) {
        count_step(m);
        if ((unsigned char)*s == item->y) {
            if (--depth == 0) {
                return s + 1;
            }
        } else if ((unsigned char)*s == item->x) {
            depth++;
        }
    }
    return NULL;
}

/* Items that set a capture put it back when what follows doesn't match. */
static const char *match_capture(struct matcher *m, unsigned i, const char *s)
{
    const struct item *item = &m->items[i];
    struct capture *capture = &m->captures[item->n];
    struct capture saved = *capture;
    if (item->kind == OPEN) {
        *capture = (struct capture){s, OPEN_CAPTURE};
    } else if (item->kind == POSITION) {
        *capture = (struct capture){s, POSITION_CAPTURE};
    } else {
        capture->len = (size_t)(s - capture->p);
    }
    const char *end = match(m, i + 1, s);
    if (end == NULL) {
        *capture = saved;
    }
    return end;
}

static bool at_frontier(const struct matcher *m, const struct item *item, const char *s)
{
    int before = s > m->s ? (unsigned char)s[-1] : 0;
    int here = s < m->end ? (unsigned char)*s : 0;
    return !in_set(before, item->set + 1, item->set_end) &&
           in_set(here, item->set + 1, item->set_end);
}

/* Matches the items from i on at s; gives the end of the match or NULL. */
static const char *match(struct matcher *m, unsigned i, const char *s)
{
    for (; i < m->n_items; i++) {
        const struct item *item = &m->items[i];
        count_step(m);
        switch ((enum item_kind)item->kind) {
        case ONE:
            if (item->repeat == '*') {
                return match_greedy(m, i, s, 0);
            }
            if (item->repeat == '+') {
                return match_greedy(m, i, s, 1);
            }
            if (item->repeat == '-') {
                return match_lazy(m, i, s);
            }
            bool here = s < m->end && in_item(item, (unsigned char)*s);
            if (item->repeat == '?') {
                const char *end = here ? match(m, i + 1, s + 1) : NULL;
                if (end != NULL) {
                    return end;
                }
                break;
            }
            if (!here) {
                return NULL;
            }
            s++;
            break;
        case OPEN:
        case CLOSE:
        case POSITION:
            return match_capture(m, i, s);
        case BACKREF: {
            const struct capture *c = &m->captures[item->n];
            if (c->len == POSITION_CAPTURE) {
                luaL_error(m->L, "invalid capture index %%%d in pattern", item->n + 1);
            }
            if ((size_t)(m->end - s) < c->len || memcmp(s, c->p, c->len) != 0) {
                return NULL;
            }
            m->steps += c->len;
            s += c->len;
            break;
        }
        case BALANCE:
            s = match_balance(m, item, s);
            if (s == NULL) {
                return NULL;
            }
            break;
        case FRONTIER:
            if (!at_frontier(m, item, s)) {
                return NULL;
            }
            break;
        case AT_END:
            return s == m->end ? s : NULL;
        }
    }
    return s;
}

static void set_subject(struct matcher *m, const char *s, size_t len)
{
    m->s = s;
    m->end = s + len;
    m->steps = 0;
    m->steps_max =
        STEPS_BASE + lt_min(len, (size_t)INT32_MAX / 2 / STEPS_PER_BYTE) * STEPS_PER_BYTE;
}

/* ---- results ---- */

/* Pushes capture i (from 0) of the match [s, end); a pattern without captures has one, the whole.
 */
static void push_capture(struct matcher *m, unsigned i, const char *s, const char *end)
{
    if (i >= m->n_captures) {
        if (i != 0) {
            luaL_error(m->L, "invalid capture index %%%d", (int)i + 1);
        }
        lua_pushlstring(m->L, s, (size_t)(end - s));
        return;
    }
    const struct capture *c = &m->captures[i];
    if (c->len == POSITION_CAPTURE) {
        lua_pushinteger(m->L, c->p - m->s + 1);
    } else {
        lua_pushlstring(m->L, c->p, c->len);
    }
}

static int push_captures(struct matcher *m, const char *s, const char *end, bool whole)
{
    unsigned n = m->n_captures == 0 && whole ? 1 : m->n_captures;
    luaL_checkstack(m->L, (int)n, "too many captures");
    for (unsigned i = 0; i < n; i++) {
        push_capture(m, i, s, end);
    }
    return (int)n;
}

/* First position (from 0) for an `init` argument; false when it lies behind the end. */
static bool start_at(lua_State *L, int arg, size_t len, size_t *at)
{
    lua_Integer init = luaL_optinteger(L, arg, 1);
    if (init > 0) {
        *at = (size_t)init - 1;
    } else if (init == 0 || init < -(lua_Integer)len) {
        *at = 0;
    } else {
        *at = len - (size_t)-init;
    }
    return *at <= len;
}

static bool is_plain(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != '\0' && strchr("^$*+?.([%-", p[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static int find_plain(lua_State *L, struct lt_str s, struct lt_str p, size_t at)
{
    const char *hit = NULL;
    size_t places = lt_max((size_t)POLL_BYTES, p.len); /* where p may begin, looked at in one go */
    for (; hit == NULL && at <= s.len && p.len <= s.len - at; at += places) {
        size_t part = lt_min(s.len - at, places - 1 + p.len);
        hit = p.len == 0 ? s.p + at : memmem(s.p + at, part, p.p, p.len);
        lt_vm_poll(L);
    }
    if (hit == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, hit - s.p + 1);
    lua_pushinteger(L, hit - s.p + (lua_Integer)p.len);
    return 2;
}

static int find_or_match(lua_State *L, bool find)
{
    struct matcher m;
    struct lt_str s, p;
    size_t at;
    s.p = luaL_checklstring(L, 1, &s.len);
    p.p = luaL_checklstring(L, 2, &p.len);
    if (!start_at(L, 3, s.len, &at)) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || is_plain(p.p, p.len))) {
        return find_plain(L, s, p, at);
    }
    compile(&m, L, p.p, p.len);
    set_subject(&m, s.p, s.len);
    for (const char *from = s.p + at; from <= m.end; from++) {
        const char *end = match(&m, 0, from);
        if (end != NULL) {
            if (!find) {
                return push_captures(&m, from, end, true);
            }
            lua_pushinteger(L, from - s.p + 1);
            lua_pushinteger(L, end - s.p);
            return push_captures(&m, from, end, false) + 2;
        }
        if (m.anchored) {
            break;
        }
    }
    lua_pushnil(L);
    return 1;
}

int lt_lua_find(lua_State *L)
{
    return find_or_match(L, true);
}

int lt_lua_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* Upvalues: subject, pattern, where to go on (from 0), end of the last match (-1: none). */
static int gmatch_next(lua_State *L)
{
    struct matcher m;
    size_t len, p_len;
    const char *s = lua_tolstring(L, lua_upvalueindex(1), &len);
    const char *p = lua_tolstring(L, lua_upvalueindex(2), &p_len);
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    compile(&m, L, p, p_len);
    set_subject(&m, s, len);
    if (m.anchored) {
        /* In gmatch a '^' makes no sense as an anchor: it would match once or never. */
        return luaL_error(L, "a pattern for gmatch can't start with '^'");
    }
    for (; at <= (lua_Integer)len; at++) {
        const char *end = match(&m, 0, s + at);
        if (end != NULL && end - s != last) {
            lua_pushinteger(L, end - s);
            lua_pushvalue(L, -1);
            lua_replace(L, lua_upvalueindex(3));
            lua_replace(L, lua_upvalueindex(4));
            return push_captures(&m, s + at, end, true);
        }
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

int lt_lua_gmatch(lua_State *L)
{
    size_t len, at;
    luaL_checklstring(L, 1, &len);
    luaL_checkstring(L, 2);
    if (!start_at(L, 3, len, &at)) {
        at = len + 1;
    }
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)at);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* The replacement text of argument 3 with its %0 to %9 filled in. */
static void add_text(struct matcher *m, luaL_Buffer *b, const char *s, const char *end)
{
    size_t len;
    const char *text = lua_tolstring(m->L, 3, &len);
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            const char *next = memchr(text + i, '%', len - i);
            size_t plain = next != NULL ? (size_t)(next - text) - i : len - i;
            luaL_addlstring(b, text + i, plain);
            i += plain - 1;
            continue;
        }
        char c = ++i < len ? text[i] : '\0';
        if (c == '%') {
            luaL_addchar(b, '%');
        } else if (c == '0') {
            luaL_addlstring(b, s, (size_t)(end - s));
        } else if (lt_char_is_digit(c)) {
            push_capture(m, (unsigned)(c - '1'), s, end);
            luaL_tolstring(m->L, -1, NULL); /* a position becomes text */
            lua_remove(m->L, -2);
            luaL_addvalue(b);
        } else {
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        }
    }
}

/* Adds what stands for the match [s, end). */
static void add_replacement(struct matcher *m, luaL_Buffer *b, const char *s, const char *end)
{
    lua_State *L = m->L;
    int type = lua_type(L, 3);
    if (type == LUA_TSTRING || type == LUA_TNUMBER) {
        add_text(m, b, s, end);
        return;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, end, true), 1);
    } else {
        push_capture(m, 0, s, end);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s, (size_t)(end - s));
    } else if (lua_isstring(L, -1)) {
        luaL_addvalue(b);
    } else {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
}

int lt_lua_gsub(lua_State *L)
{
    struct matcher m;
    luaL_Buffer b;
    size_t len, p_len;
    const char *s = luaL_checklstring(L, 1, &len);
    const char *p = luaL_checklstring(L, 2, &p_len);
    int type = lua_type(L, 3);
    lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)len + 1), n = 0;
    if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TFUNCTION && type != LUA_TTABLE) {
        return luaL_typeerror(L, 3, "string/function/table");
    }
    compile(&m, L, p, p_len);
    set_subject(&m, s, len);
    luaL_buffinit(L, &b);
    const char *last = NULL;
    size_t polled = 0;
    while (n < max) {
        if (luaL_bufflen(&b) - polled >= POLL_BYTES) {
            polled = luaL_bufflen(&b);
            lt_vm_poll(L);
        }
        const char *end = match(&m, 0, s);
        if (end != NULL && end != last) {
            n++;
            add_replacement(&m, &b, s, end);
            s = last = end;
        } else if (s < m.end) {
            luaL_addchar(&b, *s++);
        } else {
            break;
        }
        if (m.anchored) {
            break;
        }
    }
    if (s < m.end) {
        luaL_addlstring(&b, s, (size_t)(m.end - s));
    }
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}
