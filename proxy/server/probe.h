/* SPDX-License-Identifier: Apache-2.0 */
/* One server as probes.c watches it. For probes.c (which servers there are), probe.c (one server's
 * checks) and probes_status.c (what is told about them). Main thread. */
#ifndef LT_SERVER_PROBE_H
#define LT_SERVER_PROBE_H

#include "net/loop.h"
#include "upstream/check.h"
#include "upstream/health.h"
#include "upstream/outliers.h"

/* Upstreams whose breakers are told in the log. */
#define LT_PROBES_BREAKERS_MAX 1024u

struct lt_gateway;
struct lt_snapshot;

struct lt_probes {
    struct lt_gateway *gateway;
    struct lt_pools *pools; /* main's own connections */
    struct lt_probe **v;    /* by the id of the server's state; NULL: none */
    uint32_t n;
    uint32_t round;         /* of looks */
    struct lt_list waiting; /* struct lt_probe whose check is due and waits for others */
    unsigned n_runs, at_once;
    struct lt_timer timer;
    bool stopped;
    bool told_open[LT_PROBES_BREAKERS_MAX]; /* by the id of the upstream's state */
};

/* One check under way. */
struct lt_probe_run {
    struct lt_check check;
    struct lt_probe *probe; /* NULL: nobody wants to know any more */
    struct lt_probes *probes;
    struct lt_snapshot *snapshot; /* whose settings it uses, held */
};

struct lt_probe {
    struct lt_probes *probes;
    struct lt_server_state *state; /* held */
    unsigned upstream, index;      /* where it was in the current snapshot at the last look */
    uint32_t round;                /* of that look */
    bool fresh;                    /* new in this look */
    bool active;                   /* it is checked */
    struct lt_timer timer;         /* to the next check */
    struct lt_list link;           /* in waiting */
    struct lt_probe_run *run;      /* NULL: none */
    unsigned in_row;               /* checks that ended like the last one */
    bool last_ok;
    uint64_t checks, failed;
    uint64_t failed_wall_us;      /* of the last failed check; 0: none */
    char text[LT_CHECK_TEXT_MAX]; /* why it failed */
    struct lt_outlier_window window;
    uint64_t step_us; /* when it slid last */
    bool told_down;   /* in the log */
    bool waits;       /* down until its first check, of which the log says nothing */
    uint64_t down_us; /* since when */
};

/* The probe's server in the set of the moment; NULL: it is gone or has moved, which the next look
 * finds out. */
const struct lt_server *lt_probe_server(const struct lt_probe *p);

/* What keeps a server from getting requests as others do, but for the operator's wish. */
enum lt_probe_condition {
    LT_PROBE_UP,
    LT_PROBE_CHECK,   /* its checks failed */
    LT_PROBE_EJECTED, /* for what requests showed */
    LT_PROBE_CONNECT  /* the last connect failed */
};

enum lt_probe_condition lt_probe_condition(const struct lt_probe *p,
                                           const struct lt_server *server);

/* Whether it is to be checked: as configured, unless the operator wants it left in peace. */
bool lt_probe_wanted(const struct lt_probe *p, const struct lt_server *server);

/* The time for a check has come. */
void lt_probe_on_timer(void *probe);

/* No more checks; what they said stays. */
void lt_probe_stop(struct lt_probe *p);

/* The same for a server that stays without checks for now. What they said holds until they come
 * back, but `init: down` makes it wait for them again. Nothing of this is logged. */
void lt_probe_leave(struct lt_probe *p, const struct lt_server *server);

/* The server went down or came back: notes it, and logs it if log. */
void lt_probe_tell(struct lt_probe *p, const struct lt_server *server, bool log);

#endif
