/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's filters: made and freed here, run by call.c. */
#include "filters/host.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filters/every.h"
#include "filters/host_impl.h"
#include "filters/lib.h"

#define MAGIC 0xf11e7057u

static bool open_files(struct lt_filters *f, char *why, size_t why_size)
{
    const struct lt_filter_program *p = f->spec.program;
    for (; f->n_vms < p->n_files; f->n_vms++) {
        struct lt_filter_vm *fvm = &f->vms[f->n_vms];
        *fvm = (struct lt_filter_vm){
            .file = p->files[f->n_vms], .host = f, .open_more = f->spec.open_more};
        if (!lt_filter_vm_open(fvm, f->spec.budget, fvm->file->memory)) {
            snprintf(why, why_size, "%.*s: %s", LT_STR_ARG(fvm->file->path),
                     lt_filter_vm_error(fvm));
            lt_filter_vm_close(fvm);
            return false;
        }
    }
    return true;
}

static bool init_units(struct lt_filters *f, char *why, size_t why_size)
{
    const struct lt_filter_program *p = f->spec.program;
    for (; f->n_units < p->n_instances; f->n_units++) {
        const struct lt_filter_instance *instance = &p->instances[f->n_units];
        struct lt_filter_unit *unit = &f->units[f->n_units];
        if (!lt_filter_unit_init(unit, &f->vms[instance->file->index], instance)) {
            snprintf(why, why_size, "filter %.*s: init: %s", LT_STR_ARG(instance->name),
                     lt_filter_vm_error(unit->fvm));
            return false;
        }
        unit->scope = lt_hash(&f->spec.rate->seed, instance->name);
    }
    return true;
}

struct lt_filters *lt_filters_new(const struct lt_filters_spec *spec, char *why, size_t why_size)
{
    struct lt_filters *f = lt_calloc(1, sizeof(*f));
    if (f == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    LT_OBJ_INIT(f, MAGIC);
    f->spec = *spec;
    lt_list_init(&f->parked);
    lt_list_init(&f->free_parked);
    lt_list_init(&f->loads);
    if (f->spec.wake == NULL) {
        f->spec.wake = lt_exchange_wake;
    }
    if (f->spec.fail == NULL) {
        f->spec.fail = lt_flow_fail;
    }
    f->vms = lt_calloc(spec->program->n_files, sizeof(*f->vms));
    f->units = lt_calloc(spec->program->n_instances, sizeof(*f->units));
    if (f->vms == NULL || f->units == NULL) {
        snprintf(why, why_size, "out of memory");
    } else if (open_files(f, why, why_size) && init_units(f, why, why_size)) {
        if (lt_every_init(f)) {
            return f;
        }
        snprintf(why, why_size, "out of memory");
    }
    lt_filters_free(f);
    return NULL;
}

void lt_filters_free(struct lt_filters *f)
{
    if (f == NULL) {
        return;
    }
    LT_OBJ_CHECK(f, MAGIC);
    lt_every_fini(f);
    lt_cache_fini(f);
    for (unsigned i = 0; i < f->n_vms; i++) {
        lt_filter_vm_close(&f->vms[i]);
    }
    lt_task_parked_free(f);
    lt_free(f->vms);
    lt_free(f->units);
    lt_free(f->text);
    LT_OBJ_FINI(f);
    lt_free(f);
}
