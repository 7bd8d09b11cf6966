/* SPDX-License-Identifier: Apache-2.0 */
/* Text of an expression to its compiled form: a lexer and a recursive-descent parser.
 *
 *     or   := and { "or" and }            not  := "not" not | test
 *     and  := not { "and" not }           test := part [ ("=="|"!=") part | "~" text | "in" (list |
 * name) ] part := name | text | number | "true" | "false" | "(" or ")"       list := "[" literal,
 * ...
 * "]"
 *
 * Loader thread. */
#include "config/expr_impl.h"

#include <stdio.h>

#include "config/schema.h"
#include "config/source.h"

enum token_kind { END, WORD, TEXT, NUMBER, SIGN, WRONG };

struct token {
    enum token_kind kind;
    struct lt_str text; /* as written; of TEXT: between the quotes */
    size_t at;          /* byte in the source where it starts */
    size_t len;         /* bytes in the source */
};

struct compiler {
    struct lt_arena *arena;
    struct lt_diags *diags;
    struct lt_pos pos;
    struct lt_str text;
    size_t next;        /* byte after the current token */
    struct token token; /* the current one */
    struct lt_expr_node *nodes;
    unsigned n, depth;
    bool failed; /* said already */
};

#define NONE UINT16_MAX

static const struct {
    const char *text;
    bool takes_key;
} names[] = {
#define X(id, name, key, doc) [LT_EXPR_##id] = {name, key},
#include "config/expr.def"
#undef X
};

static uint16_t parse_or(struct compiler *c);

/* Says message at a token; only the first mistake of an expression is said. */
static uint16_t fail(struct compiler *c, const struct token *token, const char *hint,
                     const char *message)
{
    if (!c->failed) {
        struct lt_pos pos = c->pos;
        pos.col += lt_source_chars(lt_str_sub(c->text, 0, token->at));
        pos.width = lt_source_chars(lt_str_sub(c->text, token->at, token->at + token->len));
        lt_diag_error(c->diags, pos, hint, "%s", message);
        c->failed = true;
    }
    return NONE;
}

static bool is_word_char(char ch)
{
    char lower = lt_char_lower(ch);
    return (lower >= 'a' && lower <= 'z') || lt_char_is_digit(ch) || ch == '_' || ch == '.' ||
           ch == '-';
}

/* The token of a quoted text; a backslash keeps the character after it from ending the text. */
static void lex_text(struct compiler *c, size_t at)
{
    char quote = c->text.p[at];
    size_t end = at + 1;
    while (end < c->text.len && c->text.p[end] != quote) {
        end += c->text.p[end] == '\\' && end + 1 < c->text.len ? 2 : 1;
    }
    bool closed = end < c->text.len;
    end = lt_min(end, c->text.len);
    c->token = (struct token){.kind = closed ? TEXT : WRONG,
                              .text = lt_str_sub(c->text, at + 1, end),
                              .at = at,
                              .len = end + closed - at};
    c->next = end + closed;
}

static void lex_run(struct compiler *c, size_t at, enum token_kind kind, size_t len)
{
    c->token = (struct token){
        .kind = kind, .text = lt_str_sub(c->text, at, at + len), .at = at, .len = len};
    c->next = at + len;
}

/* Moves on to the next token. */
static void advance(struct compiler *c)
{
    size_t at = c->next;
    while (at < c->text.len && (lt_char_is_space(c->text.p[at]) || c->text.p[at] == '\n')) {
        at++;
    }
    if (at >= c->text.len) {
        lex_run(c, c->text.len, END, 0);
        return;
    }
    char ch = c->text.p[at];
    size_t len = 0;
    if (ch == '"' || ch == '\'') {
        lex_text(c, at);
    } else if ((ch == '=' || ch == '!') && at + 1 < c->text.len && c->text.p[at + 1] == '=') {
        lex_run(c, at, SIGN, 2);
    } else if (strchr("~()[],", ch) != NULL && ch != '\0') {
        lex_run(c, at, SIGN, 1);
    } else if (is_word_char(ch)) {
        bool digits = true;
        for (; at + len < c->text.len && is_word_char(c->text.p[at + len]); len++) {
            char d = c->text.p[at + len];
            digits &= lt_char_is_digit(d) || (len == 0 && d == '-');
        }
        lex_run(c, at, digits ? NUMBER : WORD, len);
    } else {
        lex_run(c, at, WRONG, 1);
    }
}

static bool is_sign(const struct compiler *c, const char *text)
{
    return c->token.kind == SIGN && lt_str_eq_c(c->token.text, text);
}

static bool is_word(const struct compiler *c, const char *text)
{
    return c->token.kind == WORD && lt_str_eq_c(c->token.text, text);
}

static uint16_t add(struct compiler *c, struct lt_expr_node node)
{
    if (c->n == LT_EXPR_NODES_MAX) {
        return fail(c, &c->token, NULL, "the expression is too long");
    }
    c->nodes[c->n] = node;
    return (uint16_t)c->n++;
}

static uint16_t out_of_memory(struct compiler *c)
{
    return fail(c, &c->token, NULL, "not enough memory for the expression");
}

/* The text of a literal: \" \' and \\ stand for the second character; other backslashes stay, so
 * that patterns need not double them. */
static bool unescape(struct compiler *c, struct lt_str raw, struct lt_str *out)
{
    char *p = lt_arena_chars(c->arena, raw.len + 1);
    size_t n = 0;
    if (p == NULL) {
        out_of_memory(c);
        return false;
    }
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.p[i] == '\\' && i + 1 < raw.len && strchr("\"'", raw.p[i + 1]) != NULL) {
            i++;
        }
        p[n++] = raw.p[i];
    }
    p[n] = '\0';
    *out = lt_str(p, n);
    return true;
}

/* "\\" is one backslash in a plain text; a pattern keeps both, since there it means the same. */
static void join_backslashes(struct lt_str *text, char *p)
{
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++) {
        if (p[i] == '\\' && i + 1 < text->len && p[i + 1] == '\\') {
            i++;
        }
        p[n++] = p[i];
    }
    text->len = n;
}

/* A literal at the current token into *node; false when it is none. */
static bool read_literal(struct compiler *c, struct lt_expr_node *node)
{
    uint64_t v;
    *node = (struct lt_expr_node){.op = LT_EXPR_OP_TEXT};
    if (c->token.kind == TEXT) {
        if (!unescape(c, c->token.text, &node->text)) {
            return false;
        }
        join_backslashes(&node->text, (char *)(uintptr_t)node->text.p);
        return true;
    }
    if (c->token.kind == NUMBER) {
        bool negative = c->token.text.p[0] == '-';
        node->op = LT_EXPR_OP_NUMBER;
        if (!lt_str_to_u64(lt_str_sub(c->token.text, negative, c->token.text.len), &v) ||
            v > INT64_MAX) {
            fail(c, &c->token, NULL, "the number is too large");
            return false;
        }
        node->number = negative ? -(int64_t)v : (int64_t)v;
        return true;
    }
    node->op = LT_EXPR_OP_BOOL;
    node->number = is_word(c, "true");
    return node->number != 0 || is_word(c, "false");
}

/* Says that a word is no name, with the one that may be meant. */
static uint16_t fail_name(struct compiler *c)
{
    const char *known[lt_countof(names)];
    char message[160], hint[200] = "";
    struct lt_str word = c->token.text;
    size_t n = 0, dot = lt_str_chr(word, '.', 0);
    struct lt_str head = dot != SIZE_MAX ? lt_str_sub(word, 0, dot) : word;
    for (size_t i = 0; i < lt_countof(names); i++) {
        if (dot == SIZE_MAX || !names[i].takes_key) {
            known[n++] = names[i].text;
        }
        if (names[i].takes_key && lt_str_eq_c(word, names[i].text)) {
            snprintf(hint, sizeof(hint), "write %s.NAME", names[i].text);
        }
    }
    const char *close = lt_schema_closest(word, known, n);
    if (hint[0] == '\0' && close != NULL) {
        snprintf(hint, sizeof(hint), "did you mean %s?", close);
    }
    for (size_t i = 0; hint[0] == '\0' && i < lt_countof(names); i++) {
        unsigned d = lt_str_distance(head, lt_str_c(names[i].text), 3);
        if (names[i].takes_key && dot != SIZE_MAX && d > 0 && d < 3) {
            snprintf(hint, sizeof(hint), "did you mean %s%.*s?", names[i].text,
                     LT_STR_ARG(lt_str_sub(word, dot, lt_min(word.len, dot + 80))));
        }
    }
    if (hint[0] == '\0') {
        snprintf(hint, sizeof(hint), "a text is written in quotes: '%.*s'",
                 LT_STR_ARG(lt_str_sub(word, 0, 80)));
    }
    snprintf(message, sizeof(message), "unknown name %.*s in the expression",
             LT_STR_ARG(lt_str_sub(word, 0, 80)));
    return fail(c, &c->token, hint, message);
}

static uint16_t parse_name(struct compiler *c)
{
    struct lt_str word = c->token.text, key = LT_STR_NONE;
    size_t dot = lt_str_chr(word, '.', 0);
    for (size_t i = 0; i < lt_countof(names); i++) {
        bool exact = !names[i].takes_key && lt_str_eq_c(word, names[i].text);
        bool keyed = names[i].takes_key && dot != SIZE_MAX && dot + 1 < word.len &&
                     lt_str_eq_c(lt_str_sub(word, 0, dot), names[i].text);
        if (!exact && !keyed) {
            continue;
        }
        if (keyed && !lt_arena_dup(c->arena, lt_str_sub(word, dot + 1, word.len), &key)) {
            return out_of_memory(c);
        }
        for (size_t j = 0; i == LT_EXPR_HEADER && j < key.len; j++) {
            ((char *)(uintptr_t)key.p)[j] = lt_char_lower(key.p[j]);
        }
        advance(c);
        return add(c, (struct lt_expr_node){
                          .op = LT_EXPR_OP_NAME, .name = (enum lt_expr_name)i, .text = key});
    }
    return fail_name(c);
}

static uint16_t parse_part(struct compiler *c)
{
    struct lt_expr_node node;
    if (is_sign(c, "(")) {
        struct token open = c->token;
        advance(c);
        uint16_t inner = parse_or(c);
        if (inner != NONE && !is_sign(c, ")")) {
            return fail(c, &open, NULL, "this \"(\" is not closed");
        }
        advance(c);
        return inner;
    }
    if (read_literal(c, &node)) {
        advance(c);
        return add(c, node);
    }
    if (c->failed) {
        return NONE;
    }
    if (c->token.kind == WRONG && c->token.len > 0 &&
        strchr("\"'", c->text.p[c->token.at]) != NULL) {
        return fail(c, &c->token, NULL, "this quote is not closed");
    }
    if (c->token.kind == END) {
        return fail(c, &c->token, NULL,
                    c->text.len == 0 ? "the expression is empty" : "the expression ends too early");
    }
    bool keyword = is_word(c, "and") || is_word(c, "or") || is_word(c, "not") || is_word(c, "in");
    if (c->token.kind != WORD || keyword) {
        return fail(c, &c->token, "write a name such as header.host, a number, or a text in quotes",
                    "a value is expected here");
    }
    return parse_name(c);
}

static uint16_t parse_match(struct compiler *c, uint16_t left)
{
    struct lt_str pattern, why;
    size_t offset;
    if (c->token.kind != TEXT) {
        return fail(c, &c->token, "write path ~ '^/v[0-9]+/'",
                    "a pattern in quotes is expected after ~");
    }
    struct token token = c->token;
    if (!unescape(c, token.text, &pattern)) {
        return NONE;
    }
    const struct lt_regex *regex = lt_regex_compile(c->arena, pattern, &offset, &why);
    if (regex == NULL) {
        char message[320];
        token.at += 1 + lt_min(offset, token.text.len);
        token.len = 1;
        snprintf(message, sizeof(message), "the pattern is wrong: %.*s",
                 LT_STR_ARG(why.len > 0 ? why : LT_STR("out of memory")));
        return fail(c, &token, NULL, message);
    }
    advance(c);
    return add(c, (struct lt_expr_node){.op = LT_EXPR_OP_MATCH, .left = left, .regex = regex});
}

/* The literals of a list as blocks of addresses: for client.ip. */
static const struct lt_cidr *to_nets(struct compiler *c, const struct token *token,
                                     const struct lt_expr_node *items, size_t n)
{
    struct lt_cidr *nets = lt_arena_array(c->arena, struct lt_cidr, n);
    if (nets == NULL) {
        out_of_memory(c);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        const char *why = "write addresses in quotes, as in ['10.0.0.0/8', '::1']";
        if (items[i].op != LT_EXPR_OP_TEXT ||
            lt_cidr_parse(items[i].text, &nets[i], &why) != LT_OK) {
            fail(c, token, why, "client.ip is compared with something that is no address");
            return NULL;
        }
    }
    return nets;
}

static uint16_t parse_in(struct compiler *c, uint16_t left)
{
    struct lt_expr_node items[LT_EXPR_NODES_MAX], *kept;
    struct token open = c->token;
    size_t n = 0;
    if (c->token.kind == WORD && !is_word(c, "true") && !is_word(c, "false")) {
        uint16_t right = parse_name(c);
        return right == NONE ? NONE
                             : add(c, (struct lt_expr_node){
                                          .op = LT_EXPR_OP_IN_NAME, .left = left, .right = right});
    }
    if (!is_sign(c, "[")) {
        return fail(c, &c->token, "write method in ['GET', 'HEAD'], or 'admin' in user.groups",
                    "a list or a name is expected after in");
    }
    do {
        advance(c);
        if (n == LT_EXPR_NODES_MAX) {
            return fail(c, &c->token, NULL, "the list is too long");
        }
        if (!read_literal(c, &items[n++])) {
            return fail(c, &c->token, NULL, "a text in quotes or a number is expected here");
        }
        advance(c);
    } while (is_sign(c, ","));
    if (!is_sign(c, "]")) {
        return fail(c, &open, NULL, "this \"[\" is not closed");
    }
    advance(c);
    kept = lt_arena_array(c->arena, struct lt_expr_node, n);
    if (kept == NULL) {
        return out_of_memory(c);
    }
    memcpy(kept, items, n * sizeof(*kept));
    struct lt_expr_node node = {.op = LT_EXPR_OP_IN, .left = left, .items = kept, .n_items = n};
    if (c->nodes[left].op == LT_EXPR_OP_NAME && c->nodes[left].name == LT_EXPR_CLIENT_IP) {
        node.op = LT_EXPR_OP_IN_NET;
        node.nets = to_nets(c, &open, kept, n);
        if (node.nets == NULL) {
            return NONE;
        }
    }
    return add(c, node);
}

static bool is_client_ip(const struct compiler *c, uint16_t at)
{
    return c->nodes[at].op == LT_EXPR_OP_NAME && c->nodes[at].name == LT_EXPR_CLIENT_IP;
}

/* Comparing client.ip with what can never be an address is a mistake. */
static bool check_ip(struct compiler *c, const struct token *token, uint16_t a, uint16_t b)
{
    struct lt_addr addr;
    if (!is_client_ip(c, a) || c->nodes[b].op != LT_EXPR_OP_TEXT ||
        lt_addr_parse_ip(c->nodes[b].text, &addr) == LT_OK) {
        return true;
    }
    fail(c, token, "for a block of addresses write client.ip in ['10.0.0.0/8']",
         "client.ip is compared with something that is no address");
    return false;
}

static uint16_t parse_test(struct compiler *c)
{
    uint16_t left = parse_part(c);
    if (left == NONE) {
        return NONE;
    }
    struct token sign = c->token;
    if (is_sign(c, "~")) {
        advance(c);
        return parse_match(c, left);
    }
    if (is_word(c, "in")) {
        advance(c);
        return parse_in(c, left);
    }
    if (!is_sign(c, "==") && !is_sign(c, "!=")) {
        return left;
    }
    advance(c);
    uint16_t right = parse_part(c);
    if (right == NONE || !check_ip(c, &sign, left, right) || !check_ip(c, &sign, right, left)) {
        return NONE;
    }
    return add(c, (struct lt_expr_node){.op = sign.text.p[0] == '=' ? LT_EXPR_OP_EQ : LT_EXPR_OP_NE,
                                        .left = left,
                                        .right = right});
}

static uint16_t parse_not(struct compiler *c)
{
    bool negate = false;
    while (is_word(c, "not")) {
        negate = !negate;
        advance(c);
        if (is_word(c, "not")) {
            continue;
        }
        uint16_t inner = parse_test(c);
        if (inner == NONE) {
            return NONE;
        }
        inner = add(c, (struct lt_expr_node){.op = LT_EXPR_OP_NOT, .left = inner});
        if (inner != NONE && !negate) { /* "not not x" */
            inner = add(c, (struct lt_expr_node){.op = LT_EXPR_OP_NOT, .left = inner});
        }
        return inner;
    }
    return parse_test(c);
}

static uint16_t parse_and(struct compiler *c)
{
    uint16_t left = parse_not(c);
    while (left != NONE && is_word(c, "and")) {
        advance(c);
        uint16_t right = parse_not(c);
        left =
            right == NONE
                ? NONE
                : add(c, (struct lt_expr_node){.op = LT_EXPR_OP_AND, .left = left, .right = right});
    }
    return left;
}

static uint16_t parse_or(struct compiler *c)
{
    if (++c->depth > LT_EXPR_DEPTH_MAX) {
        return fail(c, &c->token, NULL, "the expression is nested too deep");
    }
    uint16_t left = parse_and(c);
    while (left != NONE && is_word(c, "or")) {
        advance(c);
        uint16_t right = parse_and(c);
        left =
            right == NONE
                ? NONE
                : add(c, (struct lt_expr_node){.op = LT_EXPR_OP_OR, .left = left, .right = right});
    }
    c->depth--;
    return left;
}

/* How many terms are joined by `and` at the top. */
static unsigned count_terms(const struct lt_expr_node *nodes, uint16_t at)
{
    unsigned n = 1;
    while (nodes[at].op == LT_EXPR_OP_AND) {
        n += count_terms(nodes, nodes[at].right);
        at = nodes[at].left;
    }
    return n;
}

struct lt_expr *lt_expr_compile(struct lt_arena *arena, struct lt_diags *diags, struct lt_pos pos,
                                struct lt_str text)
{
    struct lt_expr_node nodes[LT_EXPR_NODES_MAX], *kept;
    struct compiler c = {.arena = arena, .diags = diags, .pos = pos, .text = text, .nodes = nodes};
    if (text.len > LT_EXPR_TEXT_MAX) {
        lt_diag_error(diags, pos, "split it into several routes or filters",
                      "the expression is longer than %u bytes", LT_EXPR_TEXT_MAX);
        return NULL;
    }
    advance(&c);
    uint16_t root = parse_or(&c);
    if (root != NONE && c.token.kind != END) {
        root = fail(&c, &c.token, "join two conditions by `and` or `or`",
                    "the expression should have ended here");
    }
    if (root == NONE) {
        return NULL;
    }
    struct lt_expr *expr = lt_arena_new(arena, struct lt_expr);
    kept = lt_arena_array(arena, struct lt_expr_node, c.n);
    if (expr == NULL || kept == NULL || !lt_arena_dup(arena, text, &expr->source)) {
        out_of_memory(&c);
        return NULL;
    }
    memcpy(kept, nodes, c.n * sizeof(*kept));
    expr->nodes = kept;
    expr->n_nodes = c.n;
    expr->root = root;
    expr->terms = count_terms(kept, root);
    return expr;
}
