/* SPDX-License-Identifier: Apache-2.0 */
/* What compiling a configuration's filters (program.c) and compiling some of them again
 * (program_renew.c) have in common. Loader thread. Private to filters/. */
#ifndef LT_FILTERS_PROGRAM_IMPL_H
#define LT_FILTERS_PROGRAM_IMPL_H

#include "filters/filter_tls.h"
#include "filters/unit.h"

/* `order` of sources that are made of Lua files: after all of the configuration. */
#define LT_FILTER_SOURCE_ORDER 1000000u

struct lt_filter_compiler {
    struct lt_schema_load *load;
    struct lt_budget budget;
    struct lt_tls_trust_cache *trusts; /* NULL: no filter speaks TLS */
    bool renews; /* errors of Lua are shown at their place there, not in the configuration */
};

/* Runs file in the state fvm, which the caller closes, and reads its table. pos: where the
 * configuration names it `filter`. False: said, and the file has no schema. */
bool lt_filter_file_open(struct lt_filter_compiler *c, struct lt_filter_vm *fvm,
                         struct lt_filter_file *file, struct lt_pos pos,
                         struct lt_str filter) LT_MUST_CHECK;

/* Reads the settings of instance (its name, file and places are set) and tries its init in fvm.
 * What is wrong is said in c->load. */
void lt_filter_instance_fill(struct lt_filter_compiler *c, struct lt_filter_vm *fvm,
                             struct lt_filter_instance *instance,
                             const struct lt_filter_conf *conf);

#endif
