/* SPDX-License-Identifier: Apache-2.0 */
/* The whole configuration: top-level options and, below them, those of listeners, upstreams,
 * filters and sites. Read by the loader; immutable afterwards, as long as its lt_root_load lives.
 */
#ifndef LT_SERVER_ROOT_CONF_H
#define LT_SERVER_ROOT_CONF_H

#include "config/load.h"
#include "filters/filter_conf.h"
#include "net/listen_conf.h"
#include "net/resolver_conf.h"
#include "route/site_conf.h"
#include "server/acme.h"
#include "upstream/upstream_conf.h"

struct lt_admin_conf {
    struct lt_conf conf;
    struct lt_addr listen;          /* a Unix socket */
    struct lt_str mode;             /* octal text */
    unsigned mode_bits;             /* of mode; valid when `admin` is set */
    struct lt_conf_list uids, gids; /* int64_t: peers that may connect besides root and ourselves */
    struct lt_str state_file;       /* path; empty: none */
};

struct lt_log_conf {
    struct lt_conf conf;
    struct lt_str access;       /* "stdout", "stderr", "none" or an absolute path */
    struct lt_str errors;       /* "stderr" or an absolute path */
    int level;                  /* enum lt_log_level */
    uint64_t slow_ms;           /* exchanges that take longer are logged as slow; 0: none */
    struct lt_conf_list redact; /* struct lt_str: header names, lower case */
    struct lt_conf_map fields;  /* struct lt_expr *: further members of the access log */
};

struct lt_buffers_conf {
    struct lt_conf conf;
    uint64_t total;    /* bytes, over all workers */
    uint64_t memory;   /* bytes of one request body */
    uint64_t disk;     /* bytes of all files of request bodies */
    uint64_t response; /* bytes of one response */
    struct lt_str path;
};

struct lt_limits_compress_conf {
    struct lt_conf conf;
    uint64_t total; /* bytes, over all workers */
};

struct lt_limits_conf {
    struct lt_conf conf;
    int64_t connections;            /* of clients, over all listeners and workers; -1: auto */
    int64_t connections_per_client; /* the same of one address; -1: auto */
    int64_t health_checks;          /* at once */
    int64_t streams;                /* HTTP/2 requests, over all connections and workers */
    uint64_t heads;                 /* bytes, over all workers */
    uint64_t shared;                /* bytes of lintel.shared */
    struct lt_buffers_conf buffers;
    struct lt_limits_compress_conf compress;
};

struct lt_drain_conf {
    struct lt_conf conf;
    uint64_t delay_ms;   /* readyz fails, new connections are still served */
    uint64_t timeout_ms; /* then exchanges may finish for so long */
};

struct lt_defaults_conf {
    struct lt_conf conf;
    struct lt_listen_limits limits;
    struct lt_listen_body body;
    struct lt_listen_timeouts timeouts;
    struct lt_compress_conf compress;
    struct lt_http2_conf http2;
    struct lt_conf_map errors; /* struct lt_str: files, by status */
    struct lt_upstream_conf upstream;
};

struct lt_root_conf {
    struct lt_conf conf;
    int64_t lintel;  /* version of the language: 1 */
    int64_t workers; /* -1: auto */
    struct lt_conf_list include;
    struct lt_conf_list trust;  /* struct lt_cidr */
    struct lt_conf_list listen; /* struct lt_listen_conf */
    struct lt_tls_conf tls;
    struct lt_acme_conf acme;
    struct lt_admin_conf admin; /* on only when lt_schema_is_set(root, offsetof(.., admin)) */
    struct lt_log_conf log;
    struct lt_limits_conf limits;
    struct lt_drain_conf drain;
    struct lt_resolver_conf resolver;
    struct lt_defaults_conf defaults;
    struct lt_conf_map upstreams; /* struct lt_upstream_conf */
    struct lt_conf_map filters;   /* struct lt_filter_conf */
    struct lt_conf_list sites;    /* struct lt_site_conf */
};

extern const struct lt_schema lt_root_schema;

/* One configuration that was read, or what is wrong with it. */
struct lt_root_load {
    struct lt_arena arena;
    struct lt_diags diags;
    struct lt_schema_load load;
    struct lt_root_conf *conf; /* NULL when there are errors in diags */
    struct lt_root_conf *read; /* what could be read, errors or not; NULL: nothing. For checks */
};

/* Reads path and what it includes from files (borrowed for the load's life; NULL: the disk).
 * Returns owned; NULL only without memory. Needs no network and no privileges. */
struct lt_root_load *lt_root_load_file(struct lt_files *files, const char *path) LT_MUST_CHECK;

/* As lt_root_load_file for text in memory; relative paths start from dir (may be empty). */
struct lt_root_load *lt_root_load_text(struct lt_str name, struct lt_str dir,
                                       struct lt_str text) LT_MUST_CHECK;

void lt_root_load_free(struct lt_root_load *root);

/* Checks what concerns several parts: names that are referred to, listeners, sites, routes. Runs on
 * a configuration with errors too. Part of lt_root_load_*. */
void lt_root_check(struct lt_schema_load *load, struct lt_root_conf *root);

/* Warns of limits and time-outs that can't work together. Part of lt_root_check. */
void lt_root_check_limits(struct lt_schema_load *load, const struct lt_root_conf *root);

/* Checks the files that only building a snapshot reads: filters with their settings and `init`,
 * certificates and keys. Also when there are errors elsewhere: only what is itself wrong is left
 * out. For `lintel check`, and for all errors at once when nothing can be built. */
void lt_root_check_files(struct lt_root_load *root);

/* What lt_root_check_places looks at. */
enum lt_places {
    LT_PLACES_FILES = 1,        /* logs, the state file, and the folder for temporary files */
    LT_PLACES_SOCKETS = 2,      /* of the listeners and of admin */
    LT_PLACES_SOCKETS_OURS = 4, /* we are who makes them: their folders have to be open to us */
};

/* Checks whether log files and Unix sockets could be made, without making them: their folders are
 * there and writable, and nothing else lies at their place. Goes to the disk, never to root's
 * files; also when there are errors elsewhere. places: enum lt_places. */
void lt_root_check_places(struct lt_root_load *root, unsigned places);

#endif
