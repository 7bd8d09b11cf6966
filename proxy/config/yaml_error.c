/* SPDX-License-Identifier: Apache-2.0 */
/* What libyaml complains about, in our words. Most syntax errors are a value that should have been
 * quoted, so the hint shows it quoted. Loader thread. */
#include "config/yaml_error.h"

#include <stdio.h>

#include "config/redact.h"

#define QUOTE_MAX 80u

struct lt_pos lt_yaml_pos(const struct lt_source *source, const yaml_mark_t *mark)
{
    return (struct lt_pos){.source = source,
                           .line = (unsigned)mark->line + 1,
                           .col = (unsigned)mark->column + 1,
                           .width = 1};
}

/* The text of the line from pos on. */
static struct lt_str text_at(struct lt_pos pos)
{
    struct lt_str line = lt_source_line(pos.source, pos.line);
    return lt_str_sub(line, lt_source_offset(line, pos.col - 1), line.len);
}

/* The value around pos as its writer meant it: from the blank, comma or bracket before it to the
 * end, brackets inside counted. pos is moved to its start. */
static struct lt_str meant(struct lt_pos *pos)
{
    struct lt_str line = lt_source_line(pos->source, pos->line);
    size_t at = lt_source_offset(line, pos->col - 1), from = at, to;
    int depth = 0;
    while (from > 0 && !strchr(" \t,", line.p[from - 1])) {
        if ((line.p[from - 1] == '[' || line.p[from - 1] == '{') &&
            (from < 2 || strchr(" \t,[{", line.p[from - 2]))) {
            break;
        }
        from--;
    }
    for (to = from; to < line.len && !strchr(" \t,", line.p[to]); to++) {
        depth += line.p[to] == '{' || line.p[to] == '[';
        if (line.p[to] == '}' || line.p[to] == ']') {
            if (depth == 0) {
                break;
            }
            depth--;
        }
    }
    pos->col = lt_source_chars(lt_str_sub(line, 0, from)) + 1;
    return lt_str_sub(line, from, to);
}

/* Says message at the value around pos, with the hint to quote it. */
static void say_quote(struct lt_schema_load *load, struct lt_pos pos, const char *message)
{
    char hint[QUOTE_MAX + 32];
    unsigned where = pos.col;
    struct lt_str word = meant(&pos);
    struct lt_str line = lt_source_line(pos.source, pos.line);
    if (lt_redact_shown(pos.source, pos.line, true) < line.len) {
        pos.col = where; /* it may hold a secret: not for the hint */
        lt_diag_error(load->diags, pos, "quote the value", "%s", message);
        return;
    }
    if (word.len == 0 || word.len > QUOTE_MAX || lt_str_chr(word, '"', 0) != SIZE_MAX ||
        lt_str_chr(word, '\\', 0) != SIZE_MAX) {
        lt_diag_error(load->diags, pos, "quote this", "%s", message);
        return;
    }
    pos.width = lt_source_chars(word);
    snprintf(hint, sizeof(hint), "quote this: \"%.*s\"", LT_STR_ARG(word));
    lt_diag_error(load->diags, pos, hint, "%s", message);
}

/* Bytes that libyaml doesn't even read: no UTF-8, or control characters. */
static void say_reader(struct lt_schema_load *load, const struct lt_source *source,
                       const yaml_parser_t *parser)
{
    struct lt_pos pos = {.source = source, .width = 1};
    lt_source_locate(source, parser->problem_offset, &pos.line, &pos.col);
    if (strstr(parser->problem, "control") != NULL) {
        lt_diag_error(load->diags, pos, "in a double-quoted value write it as \\xNN",
                      "a control character (U+%04X)", (unsigned)parser->problem_value);
    } else {
        lt_diag_error(load->diags, pos, "save the file as UTF-8", "this is not UTF-8");
    }
}

/* "[::1]:443" as a value opens a list whose first item is ":1"; true when that is what happened:
 * then pos is moved to the bracket. */
static bool is_bare_ipv6(struct lt_pos *pos)
{
    struct lt_str line = lt_source_line(pos->source, pos->line);
    size_t at = lt_source_offset(line, pos->col - 1);
    while (at > 0 && (lt_char_hex(line.p[at - 1]) >= 0 || line.p[at - 1] == ':')) {
        at--;
    }
    if (at == 0 || line.p[at - 1] != '[') {
        return false;
    }
    size_t end = at;
    while (end < line.len && (lt_char_hex(line.p[end]) >= 0 || line.p[end] == ':')) {
        end++;
    }
    struct lt_str inner = lt_str_sub(line, at, end);
    if (end == line.len || line.p[end] != ']' || lt_str_chr(inner, ':', 0) == SIZE_MAX) {
        return false;
    }
    pos->col = lt_source_chars(lt_str_sub(line, 0, at - 1)) + 1;
    return true;
}

static void say_token(struct lt_schema_load *load, struct lt_pos pos)
{
    struct lt_str at = text_at(pos);
    if (at.len > 0 && at.p[0] == '\t') {
        lt_diag_error(load->diags, pos, "indent with spaces", "a tab can't indent YAML");
    } else {
        char message[64];
        snprintf(message, sizeof(message), "a value can't start with \"%c\" unless it is quoted",
                 at.len > 0 && at.p[0] > ' ' && at.p[0] < 0x7f ? at.p[0] : '?');
        say_quote(load, pos, message);
    }
}

/* A flow list or mapping went wrong at pos; it was opened at open. */
static void say_flow(struct lt_schema_load *load, struct lt_pos open, struct lt_pos pos)
{
    struct lt_str at = text_at(pos);
    if (open.line != pos.line) {
        struct lt_str bracket = text_at(open);
        lt_diag_error(load->diags, open, NULL, "this \"%c\" is not closed",
                      bracket.len > 0 ? bracket.p[0] : '{');
    } else if (at.len == 0) {
        lt_diag_error(load->diags, open, NULL, "this bracket is not closed");
    } else if (at.p[0] == '{' || at.p[0] == '[') {
        say_quote(load, pos, "inside { } and [ ] a value with brackets must be quoted");
    } else {
        lt_diag_error(load->diags, pos,
                      "separate entries by a comma, and quote values that hold "
                      "brackets, commas or \": \"",
                      "a comma or the closing bracket was expected here");
    }
}

void lt_yaml_error(struct lt_schema_load *load, const struct lt_source *source,
                   const yaml_parser_t *parser)
{
    load->diags->wary = true;
    const char *problem = parser->problem != NULL ? parser->problem : "syntax error";
    const char *about = parser->context != NULL ? parser->context : "";
    struct lt_pos pos = lt_yaml_pos(source, &parser->problem_mark);
    struct lt_pos open = lt_yaml_pos(source, &parser->context_mark);
    if (parser->error == YAML_MEMORY_ERROR) {
        load->nomem = true;
    } else if (parser->error == YAML_READER_ERROR) {
        say_reader(load, source, parser);
    } else if (strstr(about, "an alias") != NULL || strstr(about, "an anchor") != NULL) {
        say_quote(load, open, "YAML aliases and anchors (\"*\", \"&\") are not used here");
    } else if (strstr(about, "a tag") != NULL) {
        say_quote(load, open, "YAML tags (\"!\") are not used here");
    } else if (strstr(problem, "cannot start any token") != NULL) {
        say_token(load, pos);
    } else if (strstr(problem, "mapping values") != NULL) {
        lt_diag_error(load->diags, pos,
                      "quote the value if the colon belongs to it, and look at "
                      "the indentation of this line and the one before",
                      "a second \":\" in one value");
    } else if (strstr(problem, "block sequence entries") != NULL) {
        lt_diag_error(load->diags, pos, "start the list on a line of its own, or write [a, b]",
                      "a list can't start here");
    } else if (strstr(problem, "expected node content") != NULL && is_bare_ipv6(&pos)) {
        say_quote(load, pos, "an IPv6 address in brackets must be quoted");
    } else if (strstr(problem, "expected node content") != NULL && pos.line >= source->n_lines &&
               text_at(pos).len == 0) {
        lt_diag_error(load->diags, pos, "close what was opened before it",
                      "the file ends inside a bracket that is not closed");
    } else if (strstr(problem, "expected node content") != NULL) {
        say_quote(load, pos, "a value was expected here");
    } else if (strstr(problem, "',' or") != NULL) {
        say_flow(load, open, pos);
    } else if (strstr(problem, "unexpected end of stream") != NULL ||
               strstr(problem, "unexpected document indicator") != NULL) {
        lt_diag_error(load->diags, open, NULL, "this quote is not closed");
    } else if (strstr(problem, "expected ':'") != NULL) {
        lt_diag_error(load->diags, open, "write \"key: value\", with a blank after the colon",
                      "a key without its \":\"");
    } else if (strstr(problem, "expected key") != NULL) {
        lt_diag_error(load->diags, pos,
                      "keys of one mapping start in the same column; quote a value that goes on "
                      "after its closing quote or bracket",
                      "a key was expected here");
    } else if (strstr(problem, "'-' indicator") != NULL) {
        lt_diag_error(load->diags, pos, "a mapping and a list can't stand in the same place",
                      "\"-\" was expected: a list was begun in this column");
    } else {
        lt_diag_error(load->diags, pos, NULL, "%s%s%s", problem, about[0] != '\0' ? " " : "",
                      about);
    }
}
