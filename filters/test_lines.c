/* SPDX-License-Identifier: Apache-2.0 */
/* Which lines of a Lua file have code in them. Lua tells that of a function that exists, but most
 * exist only once the one around them has run; so the file is compiled and its code read in the
 * form in which Lua writes it out (ldump.c of 5.4), which holds all of them. Every read is bounded:
 * a form that is not as expected is refused. */
#include <lauxlib.h>

#include "filters/test_impl.h"

#define DEPTH_MAX 200 /* of functions: Lua's own limit */
#define CODE_MAX ((size_t)64 << 20)
#define INTEGER_CHECK 0x5678
#define ABSOLUTE (-0x80) /* in the table of differences: look in the other one */
#define OPCODE 0x7f      /* of an instruction */
#define TAILCALL 69u

struct reader {
    const unsigned char *p, *end;
    bool bad;
    bool *lines; /* from 1 */
    size_t n;
};

static const unsigned char *take(struct reader *r, size_t n)
{
    const unsigned char *p = r->p;
    if (r->bad || (size_t)(r->end - r->p) < n) {
        r->bad = true;
        return NULL;
    }
    r->p += n;
    return p;
}

static unsigned take_byte(struct reader *r)
{
    const unsigned char *p = take(r, 1);
    return p != NULL ? *p : 0;
}

/* Seven bits a byte, the highest first; the last byte has its top bit set. */
static size_t take_size(struct reader *r)
{
    size_t value = 0;
    for (int i = 0; i < 10 && !r->bad; i++) {
        unsigned byte = take_byte(r);
        value = value << 7 | (byte & 0x7f);
        if ((byte & 0x80) != 0) {
            return value;
        }
    }
    r->bad = true;
    return 0;
}

static void skip_string(struct reader *r)
{
    size_t size = take_size(r); /* with one more than its length; 0: none */
    if (size > 0) {
        (void)take(r, size - 1);
    }
}

static void skip_constants(struct reader *r)
{
    for (size_t n = take_size(r); n > 0 && !r->bad; n--) {
        switch (take_byte(r)) {
        case LUA_TNUMBER:          /* an integer */
        case LUA_TNUMBER | 1 << 4: /* a float */
            (void)take(r, 8);
            break;
        case LUA_TSTRING:
        case LUA_TSTRING | 1 << 4:
            skip_string(r);
            break;
        case LUA_TNIL:
        case LUA_TBOOLEAN:
        case LUA_TBOOLEAN | 1 << 4:
            break;
        default:
            r->bad = true;
        }
    }
}

/* Whether an instruction is one that code of the file comes to. Not those are: what readies
 * arguments, at the beginning; the return that Lua adds to every function, and to a call which
 * returns for it. */
static bool is_ours(const unsigned char *code, size_t n, size_t pc, bool vararg)
{
    uint32_t before = 0;
    if (pc > 0) {
        memcpy(&before, code + (pc - 1) * 4, sizeof(before));
    }
    return pc + 1 < n && !(pc == 0 && vararg) && (pc == 0 || (before & OPCODE) != TAILCALL);
}

/* The line of each instruction: differences to the one before, and some in full. */
static void take_lines(struct reader *r, size_t line, const unsigned char *code, size_t n_code,
                       bool vararg)
{
    size_t n = take_size(r);
    const unsigned char *differences = take(r, n);
    size_t n_full = take_size(r);
    r->bad |= n != n_code;
    size_t pc_full = n_full > 0 ? take_size(r) : SIZE_MAX;
    size_t line_full = n_full > 0 ? take_size(r) : 0;
    for (size_t pc = 0; !r->bad && pc < n; pc++) {
        int difference = (signed char)differences[pc];
        if (difference != ABSOLUTE) {
            line = (size_t)((long long)line + difference);
        } else if (pc == pc_full) {
            line = line_full;
            n_full--;
            pc_full = n_full > 0 ? take_size(r) : SIZE_MAX;
            line_full = n_full > 0 ? take_size(r) : 0;
        } else {
            r->bad = true;
        }
        if (is_ours(code, n, pc, vararg) && line >= 1 && line <= r->n) {
            r->lines[line - 1] = true;
        }
    }
    r->bad |= n_full > 0;
}

static void take_function(struct reader *r, int depth)
{
    r->bad |= depth > DEPTH_MAX;
    skip_string(r); /* source */
    size_t line = take_size(r);
    (void)take_size(r); /* its last */
    (void)take_byte(r); /* parameters */
    bool vararg = take_byte(r) != 0;
    (void)take_byte(r); /* stack */
    size_t n_code = take_size(r), n;
    const unsigned char *code = take(r, n_code < CODE_MAX ? n_code * 4 : SIZE_MAX);
    skip_constants(r);
    n = take_size(r); /* upvalues */
    (void)take(r, n < CODE_MAX ? n * 3 : SIZE_MAX);
    for (n = take_size(r); n > 0 && !r->bad; n--) {
        take_function(r, depth + 1);
    }
    take_lines(r, line, code, n_code, vararg);
    for (n = take_size(r); n > 0 && !r->bad; n--) { /* local variables */
        skip_string(r);
        (void)take_size(r);
        (void)take_size(r);
    }
    for (n = take_size(r); n > 0 && !r->bad; n--) { /* names of upvalues */
        skip_string(r);
    }
}

/* Version 5.4, its first format, numbers as here. */
static void take_header(struct reader *r)
{
    static const unsigned char wanted[] = {0x1b, 'L',  'u',  'a',  0x54, 0, 0x19, 0x93,
                                           '\r', '\n', 0x1a, '\n', 4,    8, 8};
    const unsigned char *head = take(r, sizeof(wanted));
    const unsigned char *integer = take(r, 8);
    lua_Integer value = 0;
    (void)take(r, 8); /* a float */
    if (integer != NULL) {
        memcpy(&value, integer, sizeof(value));
    }
    r->bad |= head == NULL || memcmp(head, wanted, sizeof(wanted)) != 0 || value != INTEGER_CHECK;
    (void)take_byte(r); /* upvalues of the file */
}

static int write_code(lua_State *L, const void *p, size_t n, void *arg)
{
    (void)L;
    lt_buf_add(arg, p, n);
    return 0;
}

bool lt_lines_with_code(struct lt_str text, bool *lines, size_t n)
{
    struct lt_buf code;
    lua_State *L = luaL_newstate();
    lt_buf_init(&code, CODE_MAX);
    bool ok = L != NULL && luaL_loadbufferx(L, text.p, text.len, "=file", "t") == LUA_OK &&
              lua_dump(L, write_code, &code, 0) == 0 && !code.truncated;
    if (ok) {
        const unsigned char *p = (const unsigned char *)code.p;
        struct reader r = {.p = p, .end = p + code.len, .lines = lines, .n = n};
        take_header(&r);
        take_function(&r, 0);
        ok = !r.bad && r.p == r.end;
    }
    lt_buf_fini(&code);
    if (L != NULL) {
        lua_close(L);
    }
    return ok;
}
