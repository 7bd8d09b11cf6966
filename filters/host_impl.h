/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of filters/ share about a worker's filters. Private to filters/. */
#ifndef LT_FILTERS_HOST_IMPL_H
#define LT_FILTERS_HOST_IMPL_H

#include "filters/ctx.h"
#include "filters/host.h"

/* Files that are renewed one by one give another edition: the states of those that have changed are
 * new, all others are shared with the edition before. An exchange pins the one that it began with;
 * an edition that was replaced goes with its last pin. */
struct lt_filter_edition {
    struct lt_list link; /* in host->editions */
    struct lt_filters *host;
    struct lt_filter_program *program; /* a reference */
    struct lt_filter_vm **vms;         /* per file; a reference each */
    unsigned n_vms;
    struct lt_filter_unit **units; /* per instance */
    unsigned pins;
    bool replaced;
    struct lt_deferred deferred;
};

/* Editions that live at the same time: those before the current one are held by long exchanges. */
#define LT_FILTER_EDITIONS_MAX 16u

struct lt_filters {
    uint32_t magic;
    struct lt_filters_spec spec;
    struct lt_filter_edition *edition; /* for exchanges that begin; NULL while it is made */
    struct lt_filter_unit **units;     /* of that */
    struct lt_list editions;           /* all that live */
    unsigned n_editions;
    struct lt_filter_broken *broken; /* owned; NULL: none */
    bool started;                    /* periodic work is done here */
    struct lt_list parked; /* struct lt_parked: of tasks that wait, in order of their waits */
    struct lt_list free_parked;
    struct lt_list loads; /* of caches, that run (lib_cache.c) */
    char *text;           /* LT_VALUE_MAX bytes for lib_shared.c; NULL before its first use */
};

/* A pin on the current edition; it is given back at the end of the exchange. */
static inline struct lt_filter_edition *lt_filter_edition_pin(struct lt_filters *host)
{
    host->edition->pins++;
    return host->edition;
}
void lt_filter_edition_unpin(struct lt_filter_edition *edition);

#endif
