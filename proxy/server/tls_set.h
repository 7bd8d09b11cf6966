/* SPDX-License-Identifier: Apache-2.0 */
/* All of TLS that one configuration has, as its files were at one moment: policies, certificates by
 * listener and name, ticket keys of a file. Immutable, shared by all threads, replaced as a whole
 * when a file changes.
 *
 *   loader:  configuration + files -> set, in the snapshot -> views of the workers
 *   watcher: the same configuration + newer files -> set -> main -> the views it belongs to
 *
 * Whatever else knows how to get certificates (ACME, say) has to do no more than write files. */
#ifndef LT_SERVER_TLS_SET_H
#define LT_SERVER_TLS_SET_H

#include "base/map.h"
#include "net/tls.h"
#include "server/root_conf.h"
#include "server/slots.h"
#include "shared/tickets.h"

#define LT_TLS_DIGEST_LEN 32u

/* One certificate with its key. */
struct lt_tls_pair {
    struct lt_str certificate, key; /* paths */
    struct lt_tls_stamp stamps[2];  /* of both when they were read; zero: read them again */
    struct lt_tls_cert *cert;       /* a reference */
};

/* One site's revocation lists. */
struct lt_tls_crl {
    struct lt_str file;
    int64_t ends; /* seconds since 1970 */
};

struct lt_tls_set {
    _Atomic unsigned refs;
    struct lt_arena arena;           /* of paths and arrays */
    struct lt_tls_policy **policies; /* by number of the site; NULL: it has no `tls` */
    unsigned n_sites;
    bool any, asks; /* some site has one; one that asks clients for certificates */
    const struct lt_tls_policy *sole; /* that all sites have which have one, and it asks nobody for
                                       * a certificate; NULL: there is no such */
    struct lt_tls_store *stores[LT_SLOTS_MAX];  /* by number of the listener; NULL: plain */
    struct lt_map pairs;                        /* "certificate\0key" to struct lt_tls_pair */
    struct lt_tls_crl *crls;                    /* n_sites of them; file empty: none */
    struct lt_ticket_key keys[LT_TICKETS_KEPT]; /* of a file, the one to make tickets with first */
    unsigned n_keys;                            /* 0: there is no file */
    unsigned char digest[LT_TLS_DIGEST_LEN];    /* of the stamps of all files, before the first was
                                                 * read */
};

/* A listener that speaks TLS. */
struct lt_tls_set_listener {
    bool tls;
    struct lt_str name;
};

struct lt_tls_set_spec {
    struct lt_schema_load *load; /* for diags, files, and to note that memory is short */
    const struct lt_root_conf *conf;
    const struct lt_tls_set_listener *listeners; /* by number */
    unsigned n_listeners;
    bool stale; /* the files aren't those on the disk: the next look finds them changed */
    /* What there was before: used again where files haven't changed, and kept where a new one is
     * bad, which is said all the same. NULL: nothing. */
    const struct lt_tls_set *old;
};

/* Reads all that `tls` names. What is wrong is said in diags at its place; the set then lacks it.
 * NULL without memory. Returns owned. Blocks: loader or watcher thread. */
struct lt_tls_set *lt_tls_set_new(const struct lt_tls_set_spec *spec) LT_MUST_CHECK;
struct lt_tls_set *lt_tls_set_ref(struct lt_tls_set *set);
void lt_tls_set_free(struct lt_tls_set *set);

/* A digest of the stamps of all files that `tls` of conf names. Blocks. */
void lt_tls_set_look(const struct lt_root_conf *conf, unsigned char digest[LT_TLS_DIGEST_LEN]);

/* Whether every site has the same policy in both, which are of one configuration. */
bool lt_tls_set_same_policies(const struct lt_tls_set *a, const struct lt_tls_set *b);

/* Reads the keys of a ticket file; *n of them. False and *out. (server/ticket_file.c) */
bool lt_ticket_file_read(struct lt_files *files, struct lt_arena *arena, struct lt_str file,
                         struct lt_ticket_key keys[LT_TICKETS_KEPT], unsigned *n,
                         struct lt_tls_complaint *out) LT_MUST_CHECK;

#endif
