/* SPDX-License-Identifier: Apache-2.0 */
/* Tunnels: exchanges after a 101. For the files of this folder, but for lt_tunnels_reload. */
#ifndef LT_EXCHANGE_TUNNEL_H
#define LT_EXCHANGE_TUNNEL_H

#include "exchange/internal.h"

/* In the exchange's arena. */
struct lt_tunnel {
    uint64_t idle_ms;  /* allowed silence; 0: for ever */
    uint64_t body_ms;  /* the same once the server has ended its direction */
    uint64_t drain_us; /* monotonic: its route is gone, it ends then; 0: never */
    bool logging;      /* the log hooks are to be run, or run */
    bool settled;      /* lt_tunnel_let_go was called */
    bool client_ended, server_ended;
    bool over; /* ended in order */
    /* What stands for the snapshot's after lt_tunnel_let_go. */
    struct lt_view view;
    struct lt_route route;
    struct lt_upstream upstream;
    struct lt_server server;
};

/* Decides whether the server hears of the client's Upgrade: sets x->req.offer. LT_CAUSE_NONE, or
 * why the request is refused. With x->route. */
enum lt_cause lt_tunnel_offer(struct lt_exchange *x);

/* Sends the 101 in x->res to the client and makes x a tunnel. LT_STEP_NEXT, also when the client is
 * gone; LT_STEP_FAIL without memory, before anything was sent. */
enum lt_step_result lt_tunnel_begin(struct lt_exchange *x) LT_MUST_CHECK;

/* Unpins the snapshot: x points to copies from here on. Once; later calls do nothing. */
void lt_tunnel_let_go(struct lt_exchange *x);

/* Events of a tunnel, in place of what relay.c does for messages. */
void lt_tunnel_client_bytes(struct lt_exchange *x, const char *p, size_t n);
void lt_tunnel_client_turn(struct lt_exchange *x);
void lt_tunnel_client_end(struct lt_exchange *x);
void lt_tunnel_client_drained(struct lt_exchange *x);
void lt_tunnel_server_bytes(struct lt_exchange *x, const char *p, size_t n);
void lt_tunnel_server_turn(struct lt_exchange *x);
void lt_tunnel_server_end(struct lt_exchange *x);
void lt_tunnel_server_drained(struct lt_exchange *x);
void lt_tunnel_timeout(struct lt_exchange *x);

/* The exchange is over: gives back what outlived the snapshot. x->tunnel may be NULL. */
void lt_tunnel_end(struct lt_exchange *x);

#endif
