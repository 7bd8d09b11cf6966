/* SPDX-License-Identifier: Apache-2.0 */
/* What compiled code does, read in the form in which Lua writes it out (ldump.c of 5.4): a function
 * that exists could be asked, but most exist only once the one around them has run. Every read is
 * bounded: a form that is not as expected is refused. */
#include "filters/lua_code.h"

#include "base/buf.h"

#define DEPTH_MAX 200 /* of functions: Lua's own limit */
#define CODE_MAX ((size_t)64 << 20)
#define INTEGER_CHECK 0x5678
#define ABSOLUTE (-0x80) /* in the table of differences: look in the other one */

/* Instructions (lopcodes.h): 7 bits of what, 8 of A, one, 8 of B, 8 of C. */
#define OPCODE 0x7f
#define GETTABUP 11u /* A = upvalue B [constant C] */
#define SETTABUP 15u /* upvalue A [constant B] = ... */
#define TAILCALL 69u

struct reader {
    const unsigned char *p, *end;
    bool bad;
    const struct lt_lua_code_visit *visit;
};

/* One function. */
struct function {
    const unsigned char *code;
    size_t n; /* instructions */
    bool vararg;
    int env;                 /* which of its upvalues has the globals; -1: none */
    struct reader constants; /* at their beginning */
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

static struct lt_str take_string(struct reader *r)
{
    size_t size = take_size(r); /* with one more than its length; 0: none */
    const unsigned char *p = size > 0 ? take(r, size - 1) : NULL;
    return p != NULL ? lt_str((const char *)p, size - 1) : LT_STR_NONE;
}

static void skip_string(struct reader *r)
{
    (void)take_string(r);
}

/* The text of one; empty if it is none. */
static struct lt_str take_constant(struct reader *r)
{
    switch (take_byte(r)) {
    case LUA_TNUMBER:          /* an integer */
    case LUA_TNUMBER | 1 << 4: /* a float */
        (void)take(r, 8);
        break;
    case LUA_TSTRING:
    case LUA_TSTRING | 1 << 4:
        return take_string(r);
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TBOOLEAN | 1 << 4:
        break;
    default:
        r->bad = true;
    }
    return LT_STR_NONE;
}

static void skip_constants(struct reader *r)
{
    for (size_t n = take_size(r); n > 0 && !r->bad; n--) {
        (void)take_constant(r);
    }
}

/* Constant k, which stands in an instruction: there are few before it. */
static struct lt_str constant(const struct function *f, size_t k)
{
    struct reader r = f->constants;
    struct lt_str text = LT_STR_NONE;
    size_t n = take_size(&r);
    for (size_t i = 0; i <= k && i < n && !r.bad; i++) {
        text = take_constant(&r);
    }
    return text;
}

static uint32_t instruction(const struct function *f, size_t pc)
{
    uint32_t i;
    memcpy(&i, f->code + pc * 4, sizeof(i));
    return i;
}

/* Whether an instruction is one that code of the file comes to. Not those are: what readies
 * arguments, at the beginning; the return that Lua adds to every function, and to a call which
 * returns for it. */
static bool is_ours(const struct function *f, size_t pc)
{
    return pc + 1 < f->n && !(pc == 0 && f->vararg) &&
           (pc == 0 || (instruction(f, pc - 1) & OPCODE) != TAILCALL);
}

static void visit(const struct reader *r, const struct function *f, size_t pc, size_t line)
{
    const struct lt_lua_code_visit *v = r->visit;
    if (v->line != NULL && is_ours(f, pc)) {
        v->line(v->arg, line);
    }
    uint32_t i = instruction(f, pc);
    int a = i >> 7 & 0xff, b = i >> 16 & 0xff, c = i >> 24;
    if (v->global != NULL && (i & OPCODE) == GETTABUP && b == f->env) {
        v->global(v->arg, constant(f, (size_t)c), line, false);
    } else if (v->global != NULL && (i & OPCODE) == SETTABUP && a == f->env) {
        v->global(v->arg, constant(f, (size_t)b), line, true);
    }
}

/* The line of each instruction: differences to the one before, and some in full. */
static void take_lines(struct reader *r, size_t line, const struct function *f)
{
    size_t n = take_size(r);
    const unsigned char *differences = take(r, n);
    size_t n_full = take_size(r);
    r->bad |= n != f->n;
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
        visit(r, f, pc, line);
    }
    r->bad |= n_full > 0;
}

/* Which upvalue has the globals, outer being the one of the function around this one; of the file
 * itself it is the first. */
static int take_upvalues(struct reader *r, int outer, int depth)
{
    size_t n = take_size(r);
    const unsigned char *p = take(r, n < CODE_MAX ? n * 3 : SIZE_MAX);
    for (size_t i = 0; p != NULL && i < n && depth > 0; i++) {
        bool local = p[i * 3] != 0;
        if (!local && p[i * 3 + 1] == outer) {
            return (int)i;
        }
    }
    return depth == 0 && n > 0 ? 0 : -1;
}

static void take_function(struct reader *r, int outer, int depth)
{
    struct function f;
    r->bad |= depth > DEPTH_MAX;
    skip_string(r); /* source */
    size_t line = take_size(r), n;
    (void)take_size(r); /* its last */
    (void)take_byte(r); /* parameters */
    f.vararg = take_byte(r) != 0;
    (void)take_byte(r); /* stack */
    f.n = take_size(r);
    f.code = take(r, f.n < CODE_MAX ? f.n * 4 : SIZE_MAX);
    f.constants = *r;
    skip_constants(r);
    f.env = take_upvalues(r, outer, depth);
    for (n = take_size(r); n > 0 && !r->bad; n--) {
        take_function(r, f.env, depth + 1);
    }
    take_lines(r, line, &f);
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

bool lt_lua_code_walk(lua_State *L, const struct lt_lua_code_visit *visit)
{
    struct lt_buf code;
    lt_buf_init(&code, CODE_MAX);
    bool ok = lua_dump(L, write_code, &code, 0) == 0 && !code.truncated;
    if (ok) {
        const unsigned char *p = (const unsigned char *)code.p;
        struct reader r = {.p = p, .end = p + code.len, .visit = visit};
        take_header(&r);
        take_function(&r, -1, 0);
        ok = !r.bad && r.p == r.end;
    }
    lt_buf_fini(&code);
    return ok;
}
