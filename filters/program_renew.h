/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling again those filter files of a running configuration that have changed, or that require
 * a module that has. All else is shared with the program before, and so lives on in the workers
 * with its states. The loader's thread, but for get and put. */
#ifndef LT_FILTERS_PROGRAM_RENEW_H
#define LT_FILTERS_PROGRAM_RENEW_H

#include "filters/program.h"

/* Most files that one call renews; the rest waits for the next one. */
#define LT_FILTER_RENEW_MAX 64u

enum lt_filter_renewal {
    LT_FILTER_RENEWED,   /* there is a new program */
    LT_FILTER_UNCHANGED, /* no file has changed */
    LT_FILTER_UNKNOWN,   /* no filter is made of the file that was asked for */
    LT_FILTER_REFUSED    /* one can't be compiled: all stays as it is */
};

struct lt_filter_renewing {
    /* What is asked. */
    struct lt_filter_program *old;     /* borrowed */
    const struct lt_conf_map *filters; /* of its configuration: struct lt_filter_conf; borrowed */
    struct lt_files *files;            /* where to read; NULL: the disk */
    struct lt_str only;                /* a filter's name, or the path of its file or module; empty:
                                          all that have changed */
    /* The answer. */
    struct lt_filter_program *program; /* RENEWED: a reference, the caller's */
    const struct lt_filter_file *changed[LT_FILTER_RENEW_MAX]; /* of `old` */
    unsigned n_changed;
    struct lt_buf *errors; /* REFUSED: text for people with source lines is added; borrowed */
    unsigned n_errors;
};

/* Reads, compares, and compiles what has changed: runs Lua on the calling thread. */
enum lt_filter_renewal lt_filter_program_renew(struct lt_filter_renewing *r) LT_MUST_CHECK;

/* Another reference; one that lives with its configuration needs none. Any thread. */
struct lt_filter_program *lt_filter_program_get(struct lt_filter_program *program);
/* Gives one back; the last one frees what is not shared with others. NULL is fine. Any thread. */
void lt_filter_program_put(struct lt_filter_program *program);

#endif
