/* SPDX-License-Identifier: Apache-2.0 */
/* The filters of one configuration, compiled: files that were found, read and tried out, and the
 * instances with their settings. Made by the loader, immutable afterwards (but for health), shared
 * by all workers of a snapshot. */
#ifndef LT_FILTERS_PROGRAM_H
#define LT_FILTERS_PROGRAM_H

#include "config/load.h"
#include "filters/filter_conf.h"

#include <stdatomic.h>

enum lt_filter_hook {
    LT_FILTER_REQUEST,
    LT_FILTER_UPSTREAM,
    LT_FILTER_RESPONSE,
    LT_FILTER_LOG,
    LT_FILTER_REQUEST_BODY, /* the hook `body` from here on */
    LT_FILTER_RESPONSE_BODY,
    LT_FILTER_HOOKS
};

extern const char *const lt_filter_hook_names[LT_FILTER_HOOKS];

/* What a filter is for; auth filters refuse when they fail, the others let through. */
enum lt_filter_group { LT_FILTER_AUTH, LT_FILTER_LIMIT, LT_FILTER_TRANSFORM, LT_FILTER_OBSERVE };

struct lt_filter_batch; /* program_renew.c */

/* Another Lua file that a filter's file requires. */
struct lt_filter_module {
    struct lt_str name; /* as written in require */
    struct lt_str path;
    struct lt_str text;
    struct lt_filter_module *next;
};

/* A function that a file wants called again and again. */
struct lt_filter_period {
    struct lt_str text; /* its key in `every`: "30s" */
    uint64_t ms;
};

#define LT_FILTER_PERIODS_MAX 16u

/* One Lua file. */
struct lt_filter_file {
    struct lt_str name; /* without .lua */
    struct lt_str path;
    struct lt_str dir; /* its folder */
    struct lt_str text;
    struct lt_filter_module *modules;
    unsigned hooks;                 /* bit per enum lt_filter_hook */
    struct lt_filter_period *every; /* LT_FILTER_PERIODS_MAX of them at most; or NULL */
    unsigned n_every;
    bool asks; /* lintel.http or lintel.jwks stands in it or in a module */
    enum lt_filter_group group;
    int on_error;            /* enum lt_filter_on_error, as declared or by group */
    struct lt_schema schema; /* of its settings */
    uint64_t memory;         /* bytes per worker: the largest budget of its instances */
    unsigned index;
    unsigned n_instances;
    struct lt_filter_batch *batch; /* what it lives with; NULL: the configuration */
};

/* How often an instance was stopped of late, over all workers. */
struct lt_filter_health {
    _Atomic(uint64_t) kills;    /* minute << 16 | stops in it; relaxed */
    _Atomic(uint64_t) until_us; /* not run before this monotonic time; relaxed */
};

/* One file with its settings. */
struct lt_filter_instance {
    struct lt_str name;
    const struct lt_filter_file *file;
    void *settings;             /* struct by file->schema */
    const struct lt_expr *when; /* NULL: always */
    int on_error;               /* enum lt_filter_on_error */
    uint64_t cpu_ms, wall_ms;
    unsigned index; /* in the program; stays when the file is renewed */
    unsigned nth;   /* among those of its file */
    struct lt_filter_health *health;
    struct lt_tls_client_policy *tls; /* NULL: it can't speak TLS */
};

/* The first one of a configuration lives in its arena; those that come of it when files change
 * (program_renew.h) are counted. */
struct lt_filter_program {
    struct lt_filter_file **files;
    unsigned n_files;
    struct lt_filter_instance **instances;
    unsigned n_instances;
    unsigned added;         /* hooks of renewed files: chains may not know of them */
    bool counted;           /* it goes with its last reference */
    _Atomic(unsigned) refs; /* relaxed to take one, acquire-release to give one back: who frees it
                               sees all that the others did */
};

/* Compiles the `filters:` of a configuration (values: struct lt_filter_conf, finished). Everything
 * that is wrong is said in load->diags at its place: files that can't be found or read, errors in
 * them, settings against their schemas, `init` that raises. Runs Lua on the calling thread. The
 * result lives in load->arena and points into the configuration; NULL without memory or when
 * something is wrong. network: filters are to reach others, so that what they trust is read. */
struct lt_filter_program *lt_filter_program_new(struct lt_schema_load *load,
                                                const struct lt_conf_map *filters,
                                                bool network) LT_MUST_CHECK;

/* The instance called name, or NULL. */
const struct lt_filter_instance *lt_filter_program_find(const struct lt_filter_program *program,
                                                        struct lt_str name);

/* Finds and reads the file that `filter` names (a name, or a path relative to dir); *why says in
 * load->arena what is wrong. For the program and `lintel test`. */
struct lt_filter_file *lt_filter_file_find(struct lt_schema_load *load, struct lt_str filter,
                                           struct lt_str dir, struct lt_str *why) LT_MUST_CHECK;

/* The names of the filters that are installed, at most max, in load->arena; gives how many. */
size_t lt_filter_names(struct lt_schema_load *load, const char **names, size_t max);

/* Finds and runs a file, and reads its table: hooks, group, on_error and schema, without an
 * instance. The result lives in load->arena. NULL: load->diags says why, or memory was short. */
struct lt_filter_file *lt_filter_file_describe(struct lt_schema_load *load,
                                               struct lt_str filter) LT_MUST_CHECK;

/* Reads the settings of one instance; NULL without memory. Errors go to load->diags. */
void *lt_filter_settings_read(struct lt_schema_load *load, const struct lt_filter_file *file,
                              const struct lt_node *node) LT_MUST_CHECK;

#endif
