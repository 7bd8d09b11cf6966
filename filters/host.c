/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's filters: made and freed here, run by call.c. */
#include "filters/host.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filters/every.h"
#include "filters/host_impl.h"
#include "filters/lib.h"
#include "filters/program_renew.h"

#define MAGIC 0xf11e7057u

/* ---- states ---- */

/* Gives one reference back. */
static void vm_put(struct lt_filter_vm *fvm)
{
    if (--fvm->refs > 0) {
        return;
    }
    lt_every_fini(fvm);
    if (fvm->vm != NULL) {
        lt_cache_fini(fvm);
    }
    lt_filter_vm_close(fvm);
    lt_free(fvm->units);
    lt_free(fvm);
}

/* The file's instances, in their order; init of each. */
static bool init_units(struct lt_filter_vm *fvm, const struct lt_filter_program *p, char *why,
                       size_t why_size)
{
    for (unsigned i = 0; i < p->n_instances; i++) {
        const struct lt_filter_instance *instance = p->instances[i];
        struct lt_filter_unit *unit = &fvm->units[fvm->n_units];
        if (instance->file != fvm->file) {
            continue;
        }
        if (!lt_filter_unit_init(unit, fvm, instance)) {
            snprintf(why, why_size, "filter %.*s: init: %s", LT_STR_ARG(instance->name),
                     lt_filter_vm_error(fvm));
            return false;
        }
        unit->scope = lt_hash(&fvm->host->spec.rate->seed, instance->name);
        fvm->n_units++;
    }
    return true;
}

/* A state for file, with its units. NULL: *why says why. */
static struct lt_filter_vm *vm_new(struct lt_filters *f, const struct lt_filter_program *p,
                                   const struct lt_filter_file *file, char *why, size_t why_size)
{
    struct lt_filter_vm *fvm = lt_calloc(1, sizeof(*fvm));
    if (fvm == NULL) {
        return NULL;
    }
    *fvm =
        (struct lt_filter_vm){.file = file, .host = f, .open_more = f->spec.open_more, .refs = 1};
    fvm->units = lt_calloc(lt_max(file->n_instances, 1u), sizeof(*fvm->units));
    if (fvm->units == NULL) {
        goto fail;
    }
    if (!lt_filter_vm_open(fvm, f->spec.budget, file->memory)) {
        snprintf(why, why_size, "%.*s: %s", LT_STR_ARG(file->path), lt_filter_vm_error(fvm));
        goto fail;
    }
    if (init_units(fvm, p, why, why_size) && lt_every_init(fvm)) {
        return fvm;
    }
fail:
    vm_put(fvm);
    return NULL;
}

/* ---- editions ---- */

static void edition_free(void *arg)
{
    struct lt_filter_edition *e = arg;
    lt_list_remove(&e->link);
    e->host->n_editions--;
    for (unsigned i = 0; i < e->n_vms; i++) {
        vm_put(e->vms[i]);
    }
    lt_filter_program_put(e->program);
    lt_free(e->vms);
    lt_free(e->units);
    lt_free(e);
}

/* What e has to free is freed at the end of the turn: the exchange that lets go of it is still on
 * the stack. */
static void let_go(struct lt_filter_edition *e)
{
    if (e->replaced && e->pins == 0) {
        lt_loop_defer(e->host->spec.loop, &e->deferred, edition_free, e);
    }
}

void lt_filter_edition_unpin(struct lt_filter_edition *e)
{
    e->pins--;
    let_go(e);
}

/* The states of all files of program; those that the current edition has too are shared. */
static bool open_files(struct lt_filter_edition *e, char *why, size_t why_size)
{
    struct lt_filters *f = e->host;
    const struct lt_filter_program *p = e->program;
    for (; e->n_vms < p->n_files; e->n_vms++) {
        struct lt_filter_vm *fvm = NULL;
        if (f->edition != NULL && f->edition->vms[e->n_vms]->file == p->files[e->n_vms]) {
            fvm = f->edition->vms[e->n_vms];
            fvm->refs++;
        } else if ((fvm = vm_new(f, p, p->files[e->n_vms], why, why_size)) == NULL) {
            return false;
        }
        e->vms[e->n_vms] = fvm;
    }
    for (unsigned i = 0; i < p->n_instances; i++) {
        const struct lt_filter_instance *instance = p->instances[i];
        e->units[i] = &e->vms[instance->file->index]->units[instance->nth];
    }
    return true;
}

struct lt_filter_edition *lt_filters_prepare(struct lt_filters *f,
                                             struct lt_filter_program *program, char *why,
                                             size_t why_size)
{
    if (f->n_editions == LT_FILTER_EDITIONS_MAX) {
        snprintf(why, why_size,
                 "%u earlier versions of filters are in use by requests that have not ended",
                 LT_FILTER_EDITIONS_MAX - 1);
        return NULL;
    }
    struct lt_filter_edition *e = lt_calloc(1, sizeof(*e));
    snprintf(why, why_size, "out of memory");
    if (e == NULL) {
        return NULL;
    }
    e->host = f;
    e->program = lt_filter_program_get(program);
    lt_list_push_back(&f->editions, &e->link);
    f->n_editions++;
    e->vms = lt_calloc(lt_max(program->n_files, 1u), sizeof(struct lt_filter_vm *));
    e->units = lt_calloc(lt_max(program->n_instances, 1u), sizeof(struct lt_filter_unit *));
    if (e->vms != NULL && e->units != NULL && open_files(e, why, why_size)) {
        return e;
    }
    edition_free(e);
    return NULL;
}

void lt_filters_discard(struct lt_filter_edition *edition)
{
    edition_free(edition);
}

void lt_filters_take(struct lt_filters *f, struct lt_filter_edition *e)
{
    struct lt_filter_edition *old = f->edition;
    for (unsigned i = 0; old != NULL && i < e->n_vms; i++) {
        if (e->vms[i] == old->vms[i]) {
            continue;
        }
        lt_every_stop(old->vms[i]);
        if (f->started) {
            lt_every_start(e->vms[i]);
        }
    }
    f->edition = e;
    f->units = e->units;
    if (old != NULL) {
        old->replaced = true;
        let_go(old);
    }
}

/* ---- the host ---- */

struct lt_filters *lt_filters_new(const struct lt_filters_spec *spec, char *why, size_t why_size)
{
    struct lt_filters *f = lt_calloc(1, sizeof(*f));
    if (f == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    LT_OBJ_INIT(f, MAGIC);
    f->spec = *spec;
    lt_list_init(&f->editions);
    lt_list_init(&f->parked);
    lt_list_init(&f->free_parked);
    lt_list_init(&f->loads);
    if (f->spec.wake == NULL) {
        f->spec.wake = lt_exchange_wake;
    }
    if (f->spec.fail == NULL) {
        f->spec.fail = lt_flow_fail;
    }
    struct lt_filter_edition *first = lt_filters_prepare(f, spec->program, why, why_size);
    if (first == NULL) {
        lt_filters_free(f);
        return NULL;
    }
    lt_filters_take(f, first);
    return f;
}

void lt_filters_free(struct lt_filters *f)
{
    if (f == NULL) {
        return;
    }
    LT_OBJ_CHECK(f, MAGIC);
    lt_list_each(it, tmp, &f->editions)
    {
        struct lt_filter_edition *e = lt_container_of(it, struct lt_filter_edition, link);
        lt_loop_cancel(&e->deferred);
        edition_free(e);
    }
    lt_task_parked_free(f);
    lt_free(f->broken);
    lt_free(f->text);
    LT_OBJ_FINI(f);
    lt_free(f);
}

void lt_filters_set_broken(struct lt_filters *f, struct lt_filter_broken *broken)
{
    lt_free(f->broken);
    f->broken = broken;
}

void lt_filters_start(struct lt_filters *f)
{
    f->started = true;
    for (unsigned i = 0; i < f->edition->n_vms; i++) {
        lt_every_start(f->edition->vms[i]);
    }
}

void lt_filters_stop(struct lt_filters *f)
{
    f->started = false;
    for (unsigned i = 0; i < f->edition->n_vms; i++) {
        lt_every_stop(f->edition->vms[i]);
    }
}
