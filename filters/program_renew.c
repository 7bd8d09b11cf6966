/* SPDX-License-Identifier: Apache-2.0 */
/* Renewing a program (program_renew.h).
 *
 *   program 0   [a][b][c]    in the configuration's arena
 *   program 1   [a][b'][c]   b' and its instances in a batch, which program 1 has a reference to
 *   program 2   [a'][b'][c]  a' in another batch; references to both
 *
 * A batch goes with the last program that has a file of it. */
#include "filters/program_renew.h"

#include "base/log.h"
#include "base/mem.h"
#include "config/file.h"
#include "filters/program_impl.h"

#define FILE_TEXT_MAX ((size_t)1 << 20)
#define BATCH_MAX LT_LOAD_ARENA_MAX

/* Files that were compiled together, and what belongs to them. */
struct lt_filter_batch {
    _Atomic(unsigned) refs; /* as those of a program */
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_schema_load load;
};

/* ---- references ---- */

static void batch_put(struct lt_filter_batch *batch)
{
    if (batch != NULL && atomic_fetch_sub_explicit(&batch->refs, 1, memory_order_acq_rel) == 1) {
        lt_arena_fini(&batch->arena);
        lt_free(batch);
    }
}

struct lt_filter_program *lt_filter_program_get(struct lt_filter_program *program)
{
    if (program->counted) {
        atomic_fetch_add_explicit(&program->refs, 1, memory_order_relaxed);
    }
    return program;
}

void lt_filter_program_put(struct lt_filter_program *program)
{
    if (program == NULL || !program->counted ||
        atomic_fetch_sub_explicit(&program->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (unsigned i = 0; i < program->n_files; i++) {
        batch_put(program->files[i]->batch);
    }
    lt_free(program->files);
    lt_free(program->instances);
    lt_free(program);
}

static struct lt_filter_batch *batch_new(struct lt_files *files)
{
    struct lt_filter_batch *batch = lt_calloc(1, sizeof(*batch));
    if (batch != NULL) {
        atomic_init(&batch->refs, 1);
        lt_arena_init(&batch->arena, NULL, 0, BATCH_MAX);
        lt_diags_init(&batch->diags, &batch->arena);
        lt_load_init(&batch->load, &batch->arena, &batch->diags);
        batch->load.files = files;
    }
    return batch;
}

/* A copy of old that shares all its files. */
static struct lt_filter_program *program_copy(const struct lt_filter_program *old)
{
    struct lt_filter_program *p = lt_calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }
    p->counted = true;
    p->added = old->added;
    atomic_init(&p->refs, 1);
    p->files = lt_calloc(lt_max(old->n_files, 1u), sizeof(struct lt_filter_file *));
    p->instances = lt_calloc(lt_max(old->n_instances, 1u), sizeof(struct lt_filter_instance *));
    if (p->files == NULL || p->instances == NULL) {
        lt_filter_program_put(p);
        return NULL;
    }
    for (; p->n_files < old->n_files; p->n_files++) {
        struct lt_filter_file *file = old->files[p->n_files];
        p->files[p->n_files] = file;
        if (file->batch != NULL) {
            atomic_fetch_add_explicit(&file->batch->refs, 1, memory_order_relaxed);
        }
    }
    for (; p->n_instances < old->n_instances; p->n_instances++) {
        p->instances[p->n_instances] = old->instances[p->n_instances];
    }
    return p;
}

/* ---- what has changed ---- */

static bool is_path(struct lt_str path, const struct stat *st)
{
    struct stat own;
    return stat(path.p, &own) == 0 && own.st_dev == st->st_dev && own.st_ino == st->st_ino;
}

/* Whether the file is asked for: by its name, or by a path of its own or of a module. */
static bool is_asked_for(const struct lt_filter_file *file, struct lt_str only)
{
    struct stat st;
    if (only.len == 0 || lt_str_eq(file->name, only) || lt_str_eq(file->path, only)) {
        return true;
    }
    if (stat(only.p, &st) != 0) {
        return false;
    }
    bool found = is_path(file->path, &st);
    for (const struct lt_filter_module *m = file->modules; m != NULL && !found; m = m->next) {
        found = is_path(m->path, &st);
    }
    return found;
}

/* Whether path does not read as text any more. One that can't be read has changed: what it is then
 * is said when it is compiled. */
static bool text_changed(struct lt_arena *arena, struct lt_str path, struct lt_str text)
{
    struct lt_str now, why;
    return lt_file_read(NULL, arena, path.p, FILE_TEXT_MAX, &now, NULL, &why) != LT_OK ||
           !lt_str_eq(now, text);
}

static bool file_changed(const struct lt_filter_file *file)
{
    struct lt_arena arena;
    lt_arena_init(&arena, NULL, 0, BATCH_MAX);
    bool changed = text_changed(&arena, file->path, file->text);
    for (const struct lt_filter_module *m = file->modules; m != NULL && !changed; m = m->next) {
        changed = text_changed(&arena, m->path, m->text);
    }
    lt_arena_fini(&arena);
    return changed;
}

/* ---- compiling ---- */

static const struct lt_filter_conf *conf_of(const struct lt_filter_renewing *r, struct lt_str name)
{
    size_t i = 0;
    while (!lt_str_eq(r->filters->entries[i].key, name)) {
        i++; /* every instance came of one */
    }
    return r->filters->entries[i].value;
}

/* The file as it is on the disk now; NULL: said. */
static struct lt_filter_file *read_again(struct lt_schema_load *load,
                                         const struct lt_filter_file *old)
{
    struct lt_filter_file *file = lt_arena_new(load->arena, struct lt_filter_file);
    struct lt_str why = LT_STR_NONE;
    if (file == NULL || !lt_arena_dup(load->arena, old->name, &file->name) ||
        !lt_arena_dup(load->arena, old->path, &file->path) ||
        !lt_arena_dup(load->arena, old->dir, &file->dir)) {
        load->nomem = true;
        return NULL;
    }
    file->index = old->index;
    file->memory = old->memory;
    file->n_instances = old->n_instances;
    if (lt_file_read(load->files, load->arena, file->path.p, FILE_TEXT_MAX, &file->text, NULL,
                     &why) != LT_OK) {
        load->nomem |= why.len == 0;
        if (why.len > 0) {
            lt_diag_error(load->diags, lt_load_nowhere(),
                          "what was read before is used until it is there again",
                          "filter \"%.*s\": %.*s", LT_STR_ARG(old->name), LT_STR_ARG(why));
        }
        return NULL;
    }
    return file;
}

/* Compiles one file and its instances into p, in the place of the old ones. */
static void renew_file(struct lt_filter_renewing *r, struct lt_filter_compiler *c,
                       struct lt_filter_program *p, struct lt_filter_batch *batch,
                       const struct lt_filter_file *old)
{
    struct lt_filter_vm fvm;
    struct lt_filter_file *file = read_again(c->load, old);
    if (file == NULL) {
        return;
    }
    bool ok = lt_filter_file_open(c, &fvm, file, lt_load_nowhere(), file->name);
    for (unsigned i = 0; ok && i < p->n_instances; i++) {
        const struct lt_filter_instance *before = p->instances[i];
        struct lt_filter_instance *instance = NULL;
        if (before->file != old) {
            continue;
        }
        instance = lt_arena_new(c->load->arena, struct lt_filter_instance);
        if (instance == NULL) {
            c->load->nomem = true;
            break;
        }
        *instance = (struct lt_filter_instance){
            .name = before->name, .file = file, .index = i, .nth = before->nth};
        lt_filter_instance_fill(c, &fvm, instance, conf_of(r, before->name));
        p->instances[i] = instance;
    }
    lt_filter_vm_close(&fvm);
    file->batch = batch;
    atomic_fetch_add_explicit(&batch->refs, 1, memory_order_relaxed);
    p->files[old->index] = file;
    p->added |= file->hooks;
    batch_put(old->batch);
}

static bool compile(struct lt_filter_renewing *r, struct lt_filter_program *p,
                    struct lt_filter_batch *batch)
{
    struct lt_tls_trust_cache trusts;
    struct lt_filter_compiler c = {.load = &batch->load, .trusts = &trusts, .renews = true};
    lt_tls_trust_cache_init(&trusts, &batch->load);
    lt_budget_init(&c.budget);
    for (unsigned i = 0; i < r->n_changed; i++) {
        renew_file(r, &c, p, batch, r->changed[i]);
    }
    lt_budget_detach(&c.budget);
    lt_tls_trust_cache_fini(&trusts);
    bool ok = lt_load_ok(&batch->load);
    lt_diags_print(&batch->diags, r->errors);
    r->n_errors = batch->diags.errors;
    return ok;
}

/* One line of the error log for each mistake; people get the text. */
static void log_errors(const struct lt_diags *diags)
{
    if (lt_log_is_human()) {
        return;
    }
    lt_list_each(it, tmp, &diags->list)
    {
        const struct lt_diag *d = lt_container_of(it, struct lt_diag, link);
        const struct lt_source *source = d->pos.source;
        struct lt_str file = source != NULL ? source->name : LT_STR_NONE;
        /* Of Lua only: lines of the configuration may hold secrets. */
        struct lt_str line = source != NULL && source->order == LT_FILTER_SOURCE_ORDER
                                 ? lt_source_line(source, d->pos.line)
                                 : LT_STR_NONE;
        lt_log_at(d->severity == LT_SEV_ERROR ? LT_LOG_ERROR : LT_LOG_WARN, "filter",
                  d->severity == LT_SEV_ERROR ? "filter_not_compiled" : "filter_warning",
                  LT_KV_STR("file", file), LT_KV_INT("line", d->pos.line),
                  LT_KV_INT("column", d->pos.col), LT_KV_STR("source", lt_str_trim(line)),
                  LT_KV_STR("message", d->message), LT_KV_STR("hint", d->hint));
    }
}

enum lt_filter_renewal lt_filter_program_renew(struct lt_filter_renewing *r)
{
    bool known = false;
    for (unsigned i = 0; i < r->old->n_files; i++) {
        const struct lt_filter_file *file = r->old->files[i];
        if (is_asked_for(file, r->only)) {
            known = true;
            if (r->n_changed < LT_FILTER_RENEW_MAX && file_changed(file)) {
                r->changed[r->n_changed++] = file;
            }
        }
    }
    if (!known && r->only.len > 0) {
        return LT_FILTER_UNKNOWN;
    }
    if (r->n_changed == 0) {
        return LT_FILTER_UNCHANGED;
    }
    struct lt_filter_batch *batch = batch_new(r->files);
    struct lt_filter_program *p = batch != NULL ? program_copy(r->old) : NULL;
    bool ok = p != NULL && compile(r, p, batch);
    if (p == NULL) {
        lt_buf_printf(r->errors, "out of memory\n");
        r->n_errors = 1;
    } else if (!ok) {
        log_errors(&batch->diags);
        lt_filter_program_put(p);
        p = NULL;
    }
    r->program = p;
    batch_put(batch);
    return ok ? LT_FILTER_RENEWED : LT_FILTER_REFUSED;
}
