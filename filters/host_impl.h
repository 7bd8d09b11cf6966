/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of filters/ share about a worker's filters. Private to filters/. */
#ifndef LT_FILTERS_HOST_IMPL_H
#define LT_FILTERS_HOST_IMPL_H

#include "filters/ctx.h"
#include "filters/host.h"

struct lt_filters {
    uint32_t magic;
    struct lt_filters_spec spec;
    struct lt_filter_vm *vms;     /* per file */
    struct lt_filter_unit *units; /* per instance */
    unsigned n_vms, n_units;      /* that were made */
    struct lt_list parked; /* struct lt_parked: of tasks that wait, in order of their waits */
    struct lt_list free_parked;
    struct lt_every *every; /* per instance and function of its file (every.h) */
    unsigned n_every;
    struct lt_list loads; /* of caches, that run (lib_cache.c) */
    char *text;           /* LT_VALUE_MAX bytes for lib_shared.c; NULL before its first use */
};

#endif
