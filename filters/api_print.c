/* SPDX-License-Identifier: Apache-2.0 */
/* What filters see, for people and for editors (api.h): the reference in Markdown, and definitions
 * in the notation of LuaCATS. */
#include <assert.h>
#include <string.h>

#include "filters/api.h"

static bool is_function(const struct lt_api_row *row)
{
    return row->type[0] == '(' || row->type[0] == ':';
}

/* ---- Markdown ---- */

/* In a cell of a table, where a bar must not end it. */
static void cell(struct lt_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|') {
            lt_buf_char(out, '\\');
        }
        lt_buf_char(out, *text);
    }
}

static void fields(const struct lt_api *api, struct lt_buf *out)
{
    bool any = false;
    for (const struct lt_api_row *row = api->rows; row->name != NULL; row++) {
        if (is_function(row)) {
            continue;
        }
        lt_buf_printf(out, "%s| `%s` | `", any ? "" : "| field | type | |\n|---|---|---|\n",
                      row->name);
        cell(out, row->type);
        lt_buf_printf(out, "` | ");
        cell(out, row->doc);
        lt_buf_printf(out, " |\n");
        any = true;
    }
    if (any) {
        lt_buf_char(out, '\n');
    }
}

static void functions(const struct lt_api *api, struct lt_buf *out)
{
    for (const struct lt_api_row *row = api->rows; row->name != NULL; row++) {
        if (!is_function(row)) {
            continue;
        }
        char dot = row->type[0] == ':' ? ':' : '.';
        const char *type = row->type + (dot == ':');
        lt_buf_printf(out, "### %s%c%s\n\n```\n%s%c%s%s\n```\n\n", api->as, dot, row->name, api->as,
                      dot, row->name, type);
        if (row->doc[0] != '\0') {
            lt_buf_printf(out, "%s\n\n", row->doc);
        }
    }
}

static const char *title(const struct lt_api *api)
{
    return api->as != NULL ? api->as : api->name;
}

/* Links to all classes, by the anchors that GitHub gives their headings. */
static void contents(struct lt_buf *out)
{
    for (size_t i = 0; i < lt_api_count; i++) {
        lt_buf_printf(out, "%s[%s](#", i > 0 ? " · " : "", title(lt_api_all[i]));
        for (const char *p = title(lt_api_all[i]); *p != '\0'; p++) {
            if (*p != '.') {
                lt_buf_char(out, lt_char_lower(*p));
            }
        }
        lt_buf_char(out, ')');
    }
    lt_buf_printf(out, "\n\n");
}

void lt_api_markdown(struct lt_buf *out)
{
    lt_buf_printf(out,
                  "# What filters see\n\n"
                  "<!-- Made by `lintel show api` from the rows in the source; do not edit. -->\n\n"
                  "Every function, field and option, with types as lua-language-server writes "
                  "them: `T?` may be nil, and `name?: T` may be left out. How they are used "
                  "is told in [filters](../filters.md).\n\n");
    contents(out);
    for (size_t i = 0; i < lt_api_count; i++) {
        const struct lt_api *api = lt_api_all[i];
        lt_buf_printf(out, "## %s\n\n", title(api));
        if (api->as != NULL && strcmp(api->as, api->name) != 0) {
            lt_buf_printf(out, "Type `%s`. ", api->name);
        }
        lt_buf_printf(out, "%s", api->doc);
        if (api->page != NULL) {
            lt_buf_printf(out, " More: [%s](%s).", api->page, api->page);
        }
        lt_buf_printf(out, "\n\n");
        fields(api, out);
        functions(api, out);
    }
    if (!out->truncated && out->len > 0) {
        out->len--; /* one line end at the end */
    }
}

/* ---- LuaCATS ---- */

/* The first of stops that stands in no brackets and no quotes, or the end. */
static const char *item_end(const char *p, const char *stops)
{
    unsigned depth = 0;
    bool quoted = false;
    for (; *p != '\0'; p++) {
        if (*p == '"') {
            quoted = !quoted;
        } else if (!quoted && depth == 0 && strchr(stops, *p) != NULL) {
            return p;
        } else if (!quoted && strchr("({[<", *p) != NULL) {
            depth++;
        } else if (!quoted && strchr(")}]>", *p) != NULL) {
            depth--;
        }
    }
    return p;
}

static const char *skip(const char *p)
{
    while (*p == ',' || *p == ' ') {
        p++;
    }
    return p;
}

/* "name: T" or "name?: T" as LuaCATS has it before a function; names collects the names. */
static const char *param(const char *p, struct lt_buf *names, struct lt_buf *out)
{
    const char *end = item_end(p, ",)"), *colon = strchr(p, ':');
    assert(colon != NULL && colon < end);
    const char *name_end = colon[-1] == '?' ? colon - 1 : colon;
    lt_buf_printf(names, "%s%.*s", names->len > 0 ? ", " : "", (int)(name_end - p), p);
    lt_buf_printf(out, "---@param %.*s %.*s\n", (int)(colon - p), p, (int)(end - skip(colon + 1)),
                  skip(colon + 1));
    return skip(end);
}

static void comment(const char *text, struct lt_buf *out)
{
    if (text[0] != '\0') {
        lt_buf_printf(out, "---%s\n", text);
    }
}

/* The function of row, of the class that `local` holds. */
static void define(const char *local, const struct lt_api_row *row, struct lt_buf *out)
{
    struct lt_buf names;
    char mem[256];
    bool method = row->type[0] == ':';
    const char *p = row->type + method + 1;
    lt_buf_init_fixed(&names, mem, sizeof(mem));
    comment(row->doc, out);
    while (*p != ')') {
        p = param(p, &names, out);
    }
    if (p[1] == ':') {
        for (p = skip(p + 2); *p != '\0';) {
            const char *end = item_end(p, ",");
            lt_buf_printf(out, "---@return %.*s\n", (int)(end - p), p);
            p = skip(end);
        }
    }
    lt_buf_printf(out, "function %s%c%s(%.*s) end\n", local, method ? ':' : '.', row->name,
                  LT_STR_ARG(lt_buf_view(&names)));
}

static void define_class(const struct lt_api *api, struct lt_buf *out)
{
    bool top = strchr(api->name, '.') == NULL, any = false;
    const char *local = top ? api->name : strrchr(api->name, '.') + 1;
    lt_buf_char(out, '\n');
    comment(api->doc, out);
    lt_buf_printf(out, "---@class %s\n", api->name);
    for (const struct lt_api_row *row = api->rows; row->name != NULL; row++) {
        any = any || is_function(row);
        if (!is_function(row)) {
            const char *optional = api->as == NULL ? "?" : "";
            lt_buf_printf(out, "---@field %s%s %s%s%s\n", row->name, optional, row->type,
                          row->doc[0] != '\0' ? " " : "", row->doc);
        }
    }
    for (size_t i = 0; top && i < lt_api_count; i++) {
        const char *part = lt_api_part(lt_api_all[i]);
        if (part != NULL) {
            lt_buf_printf(out, "---@field %s %s\n", part, lt_api_all[i]->name);
        }
    }
    if (any) {
        lt_buf_printf(out, "%s%s = {}\n", top ? "" : "local ", local);
    }
    for (const struct lt_api_row *row = api->rows; row->name != NULL; row++) {
        if (is_function(row)) {
            define(local, row, out);
        }
    }
}

void lt_api_definitions(struct lt_buf *out)
{
    lt_buf_printf(out, "---@meta\n"
                       "-- SPDX-License-Identifier: Apache-2.0\n"
                       "-- What filters of Lintel see, for lua-language-server: put this file into "
                       "`workspace.library`. It is\n"
                       "-- no filter and nothing runs it. Made by `lintel show api --lua`; do not "
                       "edit.\n");
    for (size_t i = 0; i < lt_api_count; i++) {
        define_class(lt_api_all[i], out);
    }
}
