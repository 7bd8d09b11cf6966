/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles the filters of a configuration (program.h). Loader thread.
 *
 *   name -> file found and read -> run in a state of its own -> table checked, schema to rows
 *        -> settings read by the rows -> init tried */
#include "filters/program.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/file.h"
#include "config/units.h"
#include "filters/api.h"
#include "filters/excerpt.h"
#include "filters/program_impl.h"
#include "filters/schema.h"
#include "filters/scripts_dir.h"

#define FILE_TEXT_MAX ((size_t)1 << 20)
#define HINT_MAX 400u
#define INSTALLED_MAX 64u /* names that a hint chooses from */
#define DESCRIBE_MEMORY (UINT64_C(16) << 20)
#define MEMORY_MIN (UINT64_C(256) << 10) /* the least that `budget` allows */
#define PERIOD_MIN_MS UINT64_C(1000)     /* of `every` */
#define PERIOD_MAX_MS (UINT64_C(24) * 3600 * 1000)

/* ---- finding ---- */

static bool is_path(struct lt_str filter)
{
    return lt_str_chr(filter, '/', 0) != SIZE_MAX || lt_str_ends(filter, LT_STR(".lua"));
}

/* Where the file called filter is. */
static bool find_path(struct lt_schema_load *load, struct lt_str filter, struct lt_str dir,
                      struct lt_str *path)
{
    const char *folder = getenv("LINTEL_SCRIPTS");
    struct lt_str installed;
    struct stat st;
    if (is_path(filter)) {
        return lt_file_join(load->arena, dir, filter, path);
    }
    if (folder != NULL && folder[0] != '\0') {
        if (!lt_arena_printf(load->arena, path, "%s/%.*s.lua", folder, LT_STR_ARG(filter))) {
            return false;
        }
        if (lt_files_stat(load->files, path->p, &st)) {
            return true;
        }
    }
    return lt_scripts_dir(load->arena, &installed) &&
           lt_arena_printf(load->arena, path, "%s/%.*s.lua", installed.p, LT_STR_ARG(filter));
}

/* Adds the names of the filters in folder to names; gives how many there are then, at most max. */
static size_t add_installed(struct lt_schema_load *load, const char *folder, const char **names,
                            size_t n, size_t max)
{
    struct lt_str pattern, *found = NULL, name;
    size_t n_found = 0;
    if (!lt_arena_printf(load->arena, &pattern, "%s/*.lua", folder)) {
        load->nomem = true;
    } else if (lt_files_glob(load->files, load->arena, pattern.p, &found, &n_found) != LT_OK) {
        n_found = 0; /* a folder that isn't there has none */
    }
    for (size_t i = 0; i < n_found && n < max; i++) {
        if (lt_str_ends(found[i], LT_STR("_test.lua")) || lt_str_ends(found[i], LT_STR(".d.lua"))) {
            continue; /* tests, definitions for editors */
        }
        size_t slash = lt_str_rchr(found[i], '/');
        name = lt_str_sub(found[i], slash + 1, found[i].len - 4);
        bool again = false; /* it stands in a folder that is looked at before */
        for (size_t j = 0; j < n; j++) {
            again = again || lt_str_eq_c(name, names[j]);
        }
        if (!again && lt_arena_dup(load->arena, name, &name)) {
            names[n++] = name.p;
        }
    }
    return n;
}

size_t lt_filter_names(struct lt_schema_load *load, const char **names, size_t max)
{
    const char *folder = getenv("LINTEL_SCRIPTS");
    struct lt_str installed;
    size_t n = 0;
    if (folder != NULL && folder[0] != '\0') {
        n = add_installed(load, folder, names, n, max);
    }
    if (!lt_scripts_dir(load->arena, &installed)) {
        load->nomem = true;
        return n;
    }
    return add_installed(load, installed.p, names, n, max);
}

/* Says why a filter's file can't be read, and which filters there are. */
static void say_not_found(struct lt_schema_load *load, struct lt_pos pos, struct lt_str filter,
                          struct lt_str why)
{
    const char *names[INSTALLED_MAX];
    char space[HINT_MAX], hint[HINT_MAX + 300];
    struct lt_str installed;
    size_t n;
    if (is_path(filter)) {
        lt_diag_error(load->diags, pos, "the path starts at the folder of this file",
                      "filter \"%.*s\": %.*s", LT_STR_ARG(filter), LT_STR_ARG(why));
        return;
    }
    n = lt_filter_names(load, names, INSTALLED_MAX);
    bool there = false;
    for (size_t i = 0; i < n; i++) {
        there |= lt_str_eq_c(filter, names[i]);
    }
    if (there || lt_schema_hint(filter, names, n, space, sizeof(space)) == NULL) {
        space[0] = '\0';
    }
    if (!lt_scripts_dir(load->arena, &installed)) {
        load->nomem = true;
        return;
    }
    snprintf(hint, sizeof(hint),
             "%s%sa name is looked up in $LINTEL_SCRIPTS and %.150s; a file beside this one is "
             "written \"./%.*s.lua\"",
             space, space[0] != '\0' ? "; " : "", installed.p, LT_STR_ARG(filter));
    lt_diag_error(load->diags, pos, hint, "filter \"%.*s\": %.*s", LT_STR_ARG(filter),
                  LT_STR_ARG(why));
}

struct lt_filter_file *lt_filter_file_find(struct lt_schema_load *load, struct lt_str filter,
                                           struct lt_str dir, struct lt_str *why)
{
    struct lt_filter_file *file = lt_arena_new(load->arena, struct lt_filter_file);
    *why = LT_STR_NONE;
    if (file == NULL || !find_path(load, filter, dir, &file->path)) {
        load->nomem = true;
        return NULL;
    }
    size_t slash = lt_str_rchr(file->path, '/');
    struct lt_str name = lt_str_sub(file->path, slash == SIZE_MAX ? 0 : slash + 1, file->path.len);
    if (lt_str_ends(name, LT_STR(".lua"))) {
        name = lt_str_sub(name, 0, name.len - 4);
    }
    if (!lt_arena_dup(load->arena, name, &file->name) ||
        !lt_arena_dup(load->arena, lt_str_sub(file->path, 0, slash == SIZE_MAX ? 0 : slash),
                      &file->dir)) {
        load->nomem = true;
        return NULL;
    }
    if (lt_file_read(load->files, load->arena, file->path.p, FILE_TEXT_MAX, &file->text, NULL,
                     why) != LT_OK) {
        load->nomem |= why->len == 0;
        return NULL;
    }
    return file;
}

/* ---- reading the table of a file ---- */

const char *const lt_filter_hook_names[LT_FILTER_HOOKS] = {
    "request", "upstream", "response", "log", "body.request", "body.response"};
static const char *const group_names[] = {"auth", "limit", "transform", "observe"};

struct trial {
    struct lt_schema_load *load;
    struct lt_filter_file *file;
};

static bool one_of(const char *text, const char *const *names, size_t n, size_t *at)
{
    for (*at = 0; *at < n; (*at)++) {
        if (strcmp(text, names[*at]) == 0) {
            return true;
        }
    }
    return false;
}

static void unknown_field(lua_State *L, const char *key)
{
    const char *close = lt_api_closest(&lt_api_filter, key);
    luaL_error(L, "a filter has no field `%s`%s%s%s", key, close != NULL ? ": did you mean `" : "",
               close != NULL ? close : "", close != NULL ? "`?" : "");
}

/* `body`, on the stack: a function for responses, or a table of one for each side. */
static void read_body(lua_State *L, struct lt_filter_file *file)
{
    static const char *const sides[] = {"request", "response"};
    size_t at = 0;
    if (lua_isfunction(L, -1)) {
        file->hooks |= 1u << LT_FILTER_RESPONSE_BODY;
        return;
    }
    if (!lua_istable(L, -1)) {
        luaL_error(L, "`body` is a function, or a table {request = ..., response = ...} of them");
    }
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1) ||
            !one_of(lua_tostring(L, -2), sides, lt_countof(sides), &at)) {
            luaL_error(L, "`body` has functions named `request` and `response`, nothing else");
        }
        file->hooks |= 1u << (LT_FILTER_REQUEST_BODY + at);
    }
}

/* `every`, on top of the stack: period to function. */
static void read_every(lua_State *L, struct trial *t)
{
    struct lt_filter_file *file = t->file;
    if (!lua_istable(L, -1)) {
        luaL_error(L, "`every` is a table such as {[\"30s\"] = function(state) ... end}");
    }
    file->n_every = 0;
    file->every = lt_arena_array(t->load->arena, struct lt_filter_period, LT_FILTER_PERIODS_MAX);
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        struct lt_filter_period p = {.ms = 0};
        if (lua_type(L, -2) == LUA_TSTRING) {
            p.text.p = lua_tolstring(L, -2, &p.text.len);
        }
        if (!lt_units_duration(p.text, &p.ms) || p.ms < PERIOD_MIN_MS || p.ms > PERIOD_MAX_MS) {
            luaL_error(L, "`every`: a key is a time between \"1s\" and \"1d\", as in \"30s\"");
        }
        if (!lua_isfunction(L, -1)) {
            luaL_error(L, "`every`: [\"%s\"] is no function", p.text.p);
        }
        if (file->n_every == LT_FILTER_PERIODS_MAX) {
            luaL_error(L, "`every` has more than %d entries", (int)LT_FILTER_PERIODS_MAX);
        }
        if (file->every == NULL || !lt_arena_dup(t->load->arena, p.text, &p.text)) {
            luaL_error(L, "out of memory");
        }
        file->every[file->n_every++] = p;
    }
}

/* Checks one field; key and value are on the stack. */
static void read_field(lua_State *L, struct trial *t)
{
    struct lt_filter_file *file = t->file;
    size_t at;
    if (lua_type(L, -2) != LUA_TSTRING) {
        luaL_error(L, "a filter's fields have names");
    }
    const char *key = lua_tostring(L, -2);
    if (one_of(key, lt_filter_hook_names, LT_FILTER_REQUEST_BODY, &at) ||
        strcmp(key, "init") == 0) {
        if (!lua_isfunction(L, -1)) {
            luaL_error(L, "`%s` is no function", key);
        }
        file->hooks |= at < LT_FILTER_REQUEST_BODY ? 1u << at : 0;
    } else if (strcmp(key, "body") == 0) {
        read_body(L, file);
    } else if (strcmp(key, "group") == 0) {
        if (lua_type(L, -1) != LUA_TSTRING ||
            !one_of(lua_tostring(L, -1), group_names, lt_countof(group_names), &at)) {
            luaL_error(L, "`group` is one of auth, limit, transform, observe");
        }
        file->group = (enum lt_filter_group)at;
    } else if (strcmp(key, "on_error") == 0) {
        static const char *const policies[] = {"closed", "open"};
        if (lua_type(L, -1) != LUA_TSTRING ||
            !one_of(lua_tostring(L, -1), policies, lt_countof(policies), &at)) {
            luaL_error(L, "`on_error` is closed or open");
        }
        file->on_error = (int)at;
    } else if (strcmp(key, "every") == 0) {
        read_every(L, t);
    } else if (strcmp(key, "name") == 0) {
        if (lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "`name` is no string");
        }
    } else if (strcmp(key, "schema") != 0) {
        unknown_field(L, key);
    }
}

static int read_table(lua_State *L)
{
    struct trial *t = lua_touserdata(L, 1);
    struct lt_filter_file *file = t->file;
    file->hooks = 0;
    file->group = LT_FILTER_OBSERVE;
    file->on_error = -1;
    lt_filter_vm_push_module(L);
    for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
        read_field(L, t);
    }
    if (file->hooks == 0 && file->n_every == 0) {
        return luaL_error(
            L, "the filter has none of the hooks request, upstream, response, body, log, every");
    }
    if (file->on_error < 0) {
        file->on_error = file->group == LT_FILTER_AUTH ? LT_FILTER_CLOSED : LT_FILTER_OPEN;
    }
    lua_getfield(L, 2, "schema");
    lt_filter_schema_from_lua(L, t->load, file);
    return 0;
}

/* ---- settings ---- */

/* The filter's own keys of the instance. */
static struct lt_node *own_keys(struct lt_schema_load *load, const struct lt_node *node)
{
    size_t n = node->kind == LT_NODE_MAP ? node->n_pairs : 0;
    struct lt_node *own = lt_arena_new(load->arena, struct lt_node);
    struct lt_node_pair *pairs = lt_arena_array(load->arena, struct lt_node_pair, n + 1);
    if (own == NULL || pairs == NULL) {
        return NULL;
    }
    *own = (struct lt_node){.kind = LT_NODE_MAP, .pos = node->pos, .pairs = pairs};
    for (size_t i = 0; i < n; i++) {
        if (!lt_filter_conf_reserved(node->pairs[i].key->text)) {
            pairs[own->n_pairs++] = node->pairs[i];
        }
    }
    return own;
}

void *lt_filter_settings_read(struct lt_schema_load *load, const struct lt_filter_file *file,
                              const struct lt_node *node)
{
    void *settings = lt_arena_zalloc(load->arena, 1, file->schema.size);
    struct lt_node *own = own_keys(load, node);
    if (settings == NULL || own == NULL) {
        load->nomem = true;
        return NULL;
    }
    lt_schema_read(load, &file->schema, own, 0, settings);
    lt_schema_finish(load, settings);
    return settings;
}

/* ---- the program ---- */

struct compiler {
    struct lt_filter_compiler base;
    struct lt_filter_program *program;
    struct lt_filter_vm *vms; /* per file, open while the program is compiled */
};

/* The budget; one that is written wrongly, which was said, must not look like a filter's fault. */
static uint64_t memory_of(const struct lt_filter_conf *conf)
{
    return lt_max(conf->budget.memory, MEMORY_MIN);
}

/* Where a file that does not run is to be mended; HINT_MAX bytes. */
static void print_hint(const struct lt_filter_vm *fvm, char *hint)
{
    struct lt_place place;
    struct lt_str text;
    char path[HINT_MAX / 2];
    if (lt_place_read(lt_str_c(lt_filter_vm_error(fvm)), &place) &&
        lt_excerpt_file(fvm, place.name, &text, path, sizeof(path))) {
        struct lt_str line = lt_excerpt_brief(text, place.line);
        snprintf(hint, HINT_MAX, "mend %s: %.*s", path, LT_STR_ARG(line));
    } else {
        snprintf(hint, HINT_MAX, "mend %.*s; `lintel test` runs a filter by itself",
                 LT_STR_ARG(fvm->file->path));
    }
}

/* The place in Lua that the error which fvm ended with tells of; nowhere if it tells of none. */
static struct lt_pos lua_pos(struct lt_schema_load *load, const struct lt_filter_vm *fvm)
{
    struct lt_place place;
    struct lt_str text, error = lt_str_c(lt_filter_vm_error(fvm));
    char path[HINT_MAX];
    bool known = (lt_place_read(error, &place) &&
                  lt_excerpt_file(fvm, place.name, &text, path, sizeof(path))) ||
                 (fvm->vm != NULL && lt_place_read(lt_str_c(fvm->vm->trace), &place) &&
                  lt_excerpt_file(fvm, place.name, &text, path, sizeof(path)));
    struct lt_source *source =
        known ? lt_source_new(load->arena, lt_str_c(path), LT_STR_NONE, text) : NULL;
    if (source == NULL) {
        return lt_load_nowhere();
    }
    source->order = LT_FILTER_SOURCE_ORDER;
    struct lt_str line = lt_source_line(source, (unsigned)place.line), code = lt_str_trim(line);
    size_t at = lt_excerpt_caret(line, error);
    unsigned width = 1;
    if (at == SIZE_MAX) { /* all of it */
        at = code.len > 0 ? (size_t)(code.p - line.p) : 0;
        width = lt_max(lt_source_chars(code), 1u);
    }
    return (struct lt_pos){.source = source,
                           .line = (unsigned)place.line,
                           .col = lt_source_chars(lt_str_sub(line, 0, at)) + 1,
                           .width = width};
}

/* The same where pos is no place that people can look at, or where the file is what they have
 * changed; else nowhere. */
static struct lt_pos error_pos(const struct lt_filter_compiler *c, const struct lt_filter_vm *fvm,
                               struct lt_pos pos)
{
    bool hidden = pos.source == NULL || pos.source->shown.len > 0;
    return c->renews || hidden ? lua_pos(c->load, fvm) : lt_load_nowhere();
}

/* The file does not run. */
static void say_broken(struct lt_filter_compiler *c, const struct lt_filter_vm *fvm,
                       struct lt_pos pos, struct lt_str filter)
{
    char hint[HINT_MAX];
    struct lt_str error = lt_str_c(lt_filter_vm_error(fvm));
    struct lt_pos lua = error_pos(c, fvm, pos);
    struct lt_place place;
    if (lua.source != NULL) { /* which shows the place */
        bool first = lt_place_read(error, &place) && lt_str_chr(place.name, ' ', 0) == SIZE_MAX;
        size_t at = first ? place.end : 0;
        lt_diag_error(c->load->diags, lua, NULL, "%s", error.p + at);
        return;
    }
    print_hint(fvm, hint);
    lt_diag_error(c->load->diags, pos, hint, "filter \"%.*s\": %s", LT_STR_ARG(filter), error.p);
}

bool lt_filter_file_open(struct lt_filter_compiler *c, struct lt_filter_vm *fvm,
                         struct lt_filter_file *file, struct lt_pos pos, struct lt_str filter)
{
    struct lt_schema_load *load = c->load;
    struct trial trial = {load, file};
    *fvm = (struct lt_filter_vm){.file = file, .load = load, .record = file};
    bool runs = lt_filter_vm_open(fvm, &c->budget, file->memory);
    file->asks = runs && lt_filter_asks(file);
    if (runs && lt_filter_vm_run(fvm, read_table, &trial)) {
        return true;
    }
    say_broken(c, fvm, pos, filter);
    file->schema.name = NULL;
    return false;
}

/* The file of one instance, read and run at its first mention; NULL when it is wrong, which was
 * said. */
static struct lt_filter_file *get_file(struct compiler *c, const struct lt_filter_conf *conf)
{
    struct lt_filter_program *p = c->program;
    struct lt_pos pos = lt_schema_pos(conf, "filter");
    struct lt_str dir = pos.source != NULL ? pos.source->dir : LT_STR_NONE, why;
    struct lt_filter_file *file = lt_filter_file_find(c->base.load, conf->filter, dir, &why);
    if (file == NULL) {
        if (why.len > 0) {
            say_not_found(c->base.load, pos, conf->filter, why);
        }
        return NULL;
    }
    for (unsigned i = 0; i < p->n_files; i++) {
        if (lt_str_eq(p->files[i]->path, file->path)) {
            p->files[i]->memory = lt_max(p->files[i]->memory, memory_of(conf));
            return p->files[i]->schema.name != NULL ? p->files[i] : NULL;
        }
    }
    file->index = p->n_files;
    file->memory = memory_of(conf);
    struct lt_filter_vm *fvm = &c->vms[p->n_files];
    p->files[p->n_files++] = file;
    return lt_filter_file_open(&c->base, fvm, file, pos, conf->filter) ? file : NULL;
}

struct lt_filter_file *lt_filter_file_describe(struct lt_schema_load *load, struct lt_str filter)
{
    struct lt_str why;
    struct lt_filter_compiler c = {.load = load};
    struct lt_filter_vm fvm;
    struct lt_filter_file *file = lt_filter_file_find(load, filter, LT_STR_NONE, &why);
    if (file == NULL) {
        if (why.len > 0) {
            say_not_found(load, lt_load_nowhere(), filter, why);
        }
        return NULL;
    }
    lt_budget_init(&c.budget);
    file->memory = DESCRIBE_MEMORY;
    bool ok = lt_filter_file_open(&c, &fvm, file, lt_load_nowhere(), filter);
    lt_filter_vm_close(&fvm);
    lt_budget_detach(&c.budget);
    return ok ? file : NULL;
}

/* Where to complain about what `init` raised: at the setting that its message begins with, as in
 * "origins: ...", else at the instance. */
static struct lt_pos init_pos(const struct lt_filter_instance *instance, const char *error)
{
    char name[64];
    size_t n = strspn(error, "abcdefghijklmnopqrstuvwxyz0123456789_");
    bool named = n < sizeof(name) && (error[n] == ':' || error[n] == '.');
    memcpy(name, error, named ? n : 0);
    name[named ? n : 0] = '\0';
    return lt_schema_pos(instance->settings, name);
}

void lt_filter_instance_fill(struct lt_filter_compiler *c, struct lt_filter_vm *fvm,
                             struct lt_filter_instance *instance, const struct lt_filter_conf *conf)
{
    struct lt_schema_load *load = c->load;
    const struct lt_filter_file *file = instance->file;
    unsigned errors = load->diags->errors;
    instance->health = lt_arena_new(load->arena, struct lt_filter_health);
    instance->settings = lt_filter_settings_read(load, file, conf->conf.node);
    instance->when = conf->when;
    instance->on_error = lt_schema_is_set(conf, offsetof(struct lt_filter_conf, on_error))
                             ? conf->on_error
                             : file->on_error;
    instance->cpu_ms = conf->budget.cpu_ms;
    instance->wall_ms = conf->budget.wall_ms;
    instance->tls = c->trusts != NULL ? lt_filter_tls_load(load, file, conf, c->trusts) : NULL;
    load->nomem |= instance->health == NULL;
    if (instance->settings == NULL || conf->conf.broken || load->nomem ||
        load->diags->errors != errors) {
        return;
    }
    struct lt_filter_unit unit;
    if (!lt_filter_unit_init(&unit, fvm, instance)) {
        char hint[HINT_MAX];
        const char *error = lt_filter_vm_error(fvm);
        struct lt_pos pos = init_pos(instance, error), whole = init_pos(instance, "");
        bool setting = pos.line != whole.line || pos.col != whole.col;
        snprintf(hint, sizeof(hint), "`init` in %.*s %s", LT_STR_ARG(file->path),
                 setting ? "doesn't take what is written here"
                         : "raised this with the settings written here");
        struct lt_pos lua = setting ? lt_load_nowhere() : error_pos(c, fvm, pos);
        lt_diag_error(load->diags, lua.source != NULL ? lua : pos, hint,
                      "filter \"%.*s\": init: %s", LT_STR_ARG(instance->name), error);
    }
}

static void add_instance(struct compiler *c, struct lt_str name, const struct lt_filter_conf *conf)
{
    struct lt_filter_program *p = c->program;
    if (conf->conf.node == NULL || !lt_filter_conf_name_ok(conf->filter)) {
        return; /* said already */
    }
    struct lt_filter_file *file = get_file(c, conf);
    struct lt_filter_instance *instance =
        lt_arena_new(c->base.load->arena, struct lt_filter_instance);
    if (file == NULL || instance == NULL) {
        c->base.load->nomem |= instance == NULL;
        return;
    }
    *instance = (struct lt_filter_instance){.name = name, .file = file, .nth = file->n_instances++};
    instance->index = p->n_instances;
    p->instances[p->n_instances++] = instance;
    lt_filter_instance_fill(&c->base, &c->vms[file->index], instance, conf);
}

struct lt_filter_program *lt_filter_program_new(struct lt_schema_load *load,
                                                const struct lt_conf_map *filters, bool network)
{
    struct compiler c = {.base = {.load = load}};
    unsigned errors = load->diags->errors;
    size_t n = filters->n + 1;
    c.program = lt_arena_new(load->arena, struct lt_filter_program);
    c.vms = lt_arena_array(load->arena, struct lt_filter_vm, n);
    if (c.program == NULL || c.vms == NULL) {
        load->nomem = true;
        return NULL;
    }
    c.program->files = lt_arena_array(load->arena, struct lt_filter_file *, n);
    c.program->instances = lt_arena_array(load->arena, struct lt_filter_instance *, n);
    if (c.program->files == NULL || c.program->instances == NULL) {
        load->nomem = true;
        return NULL;
    }
    struct lt_tls_trust_cache trusts;
    lt_tls_trust_cache_init(&trusts, load);
    c.base.trusts = network ? &trusts : NULL;
    lt_budget_init(&c.base.budget);
    for (size_t i = 0; i < filters->n; i++) {
        add_instance(&c, filters->entries[i].key, filters->entries[i].value);
    }
    for (unsigned i = 0; i < c.program->n_files; i++) {
        lt_filter_vm_close(&c.vms[i]);
    }
    lt_budget_detach(&c.base.budget);
    lt_tls_trust_cache_fini(&trusts);
    return load->nomem || load->diags->errors != errors ? NULL : c.program;
}

const struct lt_filter_instance *lt_filter_program_find(const struct lt_filter_program *program,
                                                        struct lt_str name)
{
    for (unsigned i = 0; i < program->n_instances; i++) {
        if (lt_str_eq(program->instances[i]->name, name)) {
            return program->instances[i];
        }
    }
    return NULL;
}
