/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files of servers. Loader thread, and the thread that looks whether they have changed. */
#include "upstream/servers_file.h"

#include "config/file.h"

#define WEIGHT_MAX UINT64_C(1000)
#define MAX_MAX UINT64_C(65535)

/* One file that is being read. */
struct parse {
    const struct lt_source *source;
    struct lt_diags *diags;
    struct lt_server_spec *v;
    unsigned n;
};

static struct lt_pos pos_of(const struct parse *p, struct lt_str word)
{
    struct lt_pos pos = {.source = p->source, .width = lt_max(lt_source_chars(word), 1u)};
    lt_source_locate(p->source, (size_t)(word.p - p->source->text.p), &pos.line, &pos.col);
    return pos;
}

/* The next word of a line, which it is taken off; empty: the line is over. */
static struct lt_str next_word(struct lt_str *line)
{
    size_t from = 0, to;
    while (from < line->len && (line->p[from] == ' ' || line->p[from] == '\t')) {
        from++;
    }
    to = from;
    while (to < line->len && line->p[to] != ' ' && line->p[to] != '\t') {
        to++;
    }
    struct lt_str word = lt_str_sub(*line, from, to);
    *line = lt_str_sub(*line, to, line->len);
    return word;
}

static void take_number(struct parse *p, struct lt_str word, size_t prefix, uint64_t max,
                        uint32_t *out)
{
    uint64_t n = 0;
    if (lt_str_to_u64(lt_str_sub(word, prefix, word.len), &n) && n >= 1 && n <= max) {
        *out = (uint32_t)n;
        return;
    }
    lt_diag_error(p->diags, pos_of(p, word), NULL, "\"%.*s\" wants a number from 1 to %u",
                  LT_STR_ARG(lt_str_sub(word, 0, prefix)), (unsigned)max);
}

static void take_option(struct parse *p, struct lt_str word, struct lt_server_spec *spec)
{
    if (lt_str_starts(word, LT_STR("weight="))) {
        take_number(p, word, 7, WEIGHT_MAX, &spec->weight);
    } else if (lt_str_starts(word, LT_STR("max="))) {
        take_number(p, word, 4, MAX_MAX, &spec->max);
    } else if (lt_str_eq_c(word, "backup")) {
        spec->backup = true;
    } else {
        lt_diag_error(p->diags, pos_of(p, word), "there are weight=N, max=N and backup",
                      "\"%.*s\" is no option of a server", LT_STR_ARG(lt_str_sub(word, 0, 64)));
    }
}

static bool is_listed(const struct parse *p, const struct lt_addr *address)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (lt_addr_eq(&p->v[i].address, address)) {
            return true;
        }
    }
    return false;
}

static void take_line(struct parse *p, struct lt_str line)
{
    struct lt_server_spec spec = {.weight = 1};
    const char *why = "";
    line = lt_str_sub(line, 0, lt_min(lt_str_chr(line, '#', 0), line.len));
    struct lt_str address = next_word(&line);
    if (address.len == 0) {
        return;
    }
    if (lt_addr_parse(address, &spec.address, &why) != LT_OK ||
        (why = lt_addr_no_target(&spec.address)) != NULL) {
        lt_diag_error(p->diags, pos_of(p, address),
                      "a line begins with an address: 10.0.0.1:8000 or unix:/run/app/1.sock", "%s",
                      why);
        return;
    }
    for (struct lt_str word; (word = next_word(&line)).len > 0;) {
        take_option(p, word, &spec);
    }
    if (is_listed(p, &spec.address)) {
        lt_diag_error(p->diags, pos_of(p, address), "give it a larger weight or max instead",
                      "this server is listed twice");
    } else if (p->n == LT_SERVERS_FILE_SERVERS_MAX) {
        lt_diag_error(p->diags, pos_of(p, address), NULL, "there are more than %u servers",
                      LT_SERVERS_FILE_SERVERS_MAX);
    } else {
        p->v[p->n++] = spec;
    }
}

bool lt_servers_file_parse(const struct lt_source *source, struct lt_arena *arena,
                           struct lt_diags *diags, struct lt_server_spec **v, unsigned *n)
{
    struct parse p = {.source = source, .diags = diags};
    unsigned before = diags->errors;
    p.v = lt_arena_array(arena, struct lt_server_spec, LT_SERVERS_FILE_SERVERS_MAX);
    if (p.v == NULL) {
        lt_diag_error(diags, (struct lt_pos){.source = NULL}, NULL, "out of memory");
        return false;
    }
    for (unsigned i = 1; i <= source->n_lines; i++) {
        take_line(&p, lt_source_line(source, i));
    }
    *v = p.v;
    *n = p.n;
    return diags->errors == before;
}

bool lt_servers_file_read(struct lt_files *files, struct lt_arena *arena, struct lt_diags *diags,
                          struct lt_str path, struct lt_pos pos, struct lt_server_spec **v,
                          unsigned *n)
{
    struct lt_str text, why = LT_STR_NONE;
    const struct lt_source *source = NULL;
    if (lt_file_read(files, arena, path.p, LT_SERVERS_FILE_MAX, &text, NULL, &why) == LT_OK) {
        source = lt_source_new(arena, path, LT_STR_NONE, text);
    }
    if (source == NULL) {
        lt_diag_error(diags, pos, NULL, "servers_file: %.*s",
                      LT_STR_ARG(why.len > 0 ? why : LT_STR("out of memory")));
        return false;
    }
    return lt_servers_file_parse(source, arena, diags, v, n);
}
