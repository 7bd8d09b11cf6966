/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of lt_redis share: redis.c has calls and services, redis_conn.c connections,
 * redis_node.c servers, redis_cluster.c slots, redis_discover.c the search for both. */
#ifndef LT_UPSTREAM_REDIS_IMPL_H
#define LT_UPSTREAM_REDIS_IMPL_H

#include "base/map.h"
#include "upstream/dial.h"
#include "upstream/redis.h"
#include "upstream/redis_slots.h"

/* A command of a call on its way. On one list, or in one connection's ring, or answered. */
struct lt_redis_command {
    struct lt_list link; /* node->waiting, service->waiting, service->later */
    struct lt_redis_call *call;
    struct lt_str text;         /* points into call->text */
    struct lt_redis_conn *conn; /* that it went over, with its place in the ring */
    uint32_t at;
    size_t reply;       /* where it begins in call->received */
    uint8_t redirected; /* how often */
    uint8_t tried;      /* how often it had to be sent once more later */
    bool asking, answered;
};

enum lt_redis_state {
    LT_REDIS_CONN_OPENING, /* to be connected */
    LT_REDIS_CONN_GREETING,
    LT_REDIS_CONN_READY,
    LT_REDIS_CONN_ENDING, /* takes no command any more; closed after the last reply */
    LT_REDIS_CONN_CLOSED
};

enum lt_redis_greeting { LT_REDIS_AUTH, LT_REDIS_SELECT, LT_REDIS_PING, LT_REDIS_ROLE };

struct lt_redis_conn {
    uint32_t magic;
    struct lt_list link;        /* node->conns, or redis->closed */
    struct lt_redis_node *node; /* NULL: closed */
    struct lt_redis *redis;
    enum lt_redis_state state;
    enum lt_redis_greeting greetings[4]; /* whose replies come first */
    unsigned n_greetings, greeted;
    struct lt_dial dial;
    struct lt_stream stream;
    struct lt_redis_reader *reader;
    size_t counted;    /* bytes of the reply that comes, which redis->held has */
    struct lt_buf out; /* what leaves at the end of the turn */
    struct lt_deferred flush;
    uint32_t head, tail; /* of the ring: next reply, next command */
    unsigned live;       /* commands in the ring that somebody waits for */
    uint64_t used_us;
    struct lt_redis_command *ring[LT_REDIS_IN_FLIGHT_MAX]; /* NULL: nobody waits for the reply */
};

enum lt_redis_role { LT_REDIS_SERVER, LT_REDIS_WATCHER /* a sentinel */ };

struct lt_redis_node {
    struct lt_list link; /* service->nodes */
    struct lt_redis_service *service;
    enum lt_redis_role role;
    struct lt_redis_place place;
    struct lt_upstream upstream; /* that lt_dial is to see */
    struct lt_server server;
    struct lt_server_state state;
    struct lt_list conns;
    unsigned n_conns;
    struct lt_redis_conn *opening; /* one at a time; or NULL */
    struct lt_address_wait wait;
    struct lt_addr addrs[LT_ADDRESSES_MAX]; /* still to be tried */
    unsigned n_addrs;
    struct lt_list waiting; /* struct lt_redis_command */
    bool down;              /* it can't be reached: why says why */
    unsigned backoff_ms;
    uint64_t asked_us;      /* when somebody wanted it last */
    uint64_t open_after_us; /* no further connection before */
    struct lt_timer timer;  /* of what is being opened, else the next try, else the next look */
    bool seed;              /* the URL names it */
    bool marked;            /* it is in the newest map of slots */
    char host[LT_DNS_NAME_MAX + 1];
    char name[LT_ENDPOINT_TEXT_MAX];
    char why[LT_REDIS_DETAIL_MAX];
};

struct lt_redis_service {
    struct lt_list link; /* redis->services, used last first */
    struct lt_str key;   /* owned */
    struct lt_redis *redis;
    struct lt_redis_url url;
    struct lt_tls_client_policy *tls; /* a reference; NULL: plain */
    struct lt_list nodes;
    unsigned n_nodes;
    unsigned n_calls;
    uint64_t connect_ms;
    struct lt_redis_node *main; /* SINGLE, SENTINEL */

    /* Asking where things are (redis_discover.c). */
    bool asking; /* query is under way */
    struct lt_redis_call query;
    struct lt_str question; /* its text */
    unsigned to_ask;        /* nodes that may still be asked */
    uint64_t asked_us;      /* when the last round began */
    char question_space[LT_REDIS_URL_MAX + 100];
    char why[LT_REDIS_DETAIL_MAX]; /* why nobody knew */

    /* CLUSTER (redis_cluster.c). */
    struct lt_redis_node **slots; /* owned; NULL in it: nobody has it */
    bool mapped;                  /* slots holds */
    struct lt_list waiting;       /* struct lt_redis_command, until it does */
    struct lt_list later;         /* ... that are to be sent once more */
    struct lt_timer later_timer;
};

struct lt_redis {
    struct lt_loop *loop;
    struct lt_pools *pools; /* for lt_dial: sessions of TLS */
    struct lt_addresses *addresses;
    struct lt_metrics_worker *metrics; /* may be NULL */
    struct lt_map by_key;
    struct lt_list services;
    unsigned n_calls, n_conns;
    bool ids[LT_REDIS_NODES_MAX]; /* of nodes, that are taken */
    size_t held;                  /* bytes of replies */
    struct lt_list closed;        /* struct lt_redis_conn, freed at the end of the turn */
    struct lt_deferred bury;
    void (*mock)(void *arg, struct lt_redis_call *call);
    void *mock_arg;
};

/* ---- redis.c ---- */

/* The reply to command, which went to node, has come whole. */
void lt_redis_take_reply(struct lt_redis_command *command, struct lt_redis_node *node,
                         struct lt_str records);

/* Sends command to where it belongs, or fails its call. */
void lt_redis_send(struct lt_redis_command *command);

/* ---- redis_conn.c ---- */

/* One to node, which is to be opened; NULL: no memory, or there are too many. */
struct lt_redis_conn *lt_redis_conn_new(struct lt_redis_node *node) LT_MUST_CHECK;
/* It is connected: logs in. lt_redis_node_opened follows, or lt_redis_node_failed. */
void lt_redis_conn_greet(struct lt_redis_conn *conn);
/* Whose replies are still to come fails with error. It is freed at the end of the turn. */
void lt_redis_conn_close(struct lt_redis_conn *conn, enum lt_redis_error error, struct lt_str why);
/* Whether it takes command, and all that follow it in its call. */
bool lt_redis_conn_has_room(const struct lt_redis_conn *conn,
                            const struct lt_redis_command *command);
void lt_redis_conn_put(struct lt_redis_conn *conn, struct lt_redis_command *command);

/* Frees connections that are closed. */
void lt_redis_bury(struct lt_redis *r);

/* Nobody waits for command's reply any more; late: because it did not come in time, so that its
 * connection is good for nothing new. */
void lt_redis_command_drop(struct lt_redis_command *command, bool late);

/* No new command goes over the node's connections as they are. */
void lt_redis_node_renew(struct lt_redis_node *node);

/* ---- redis_node.c ---- */

/* A server of service; NULL: no memory, or there are too many. */
struct lt_redis_node *lt_redis_node_new(struct lt_redis_service *service,
                                        const struct lt_redis_place *place,
                                        enum lt_redis_role role) LT_MUST_CHECK;
/* Nobody waits for it. Closes its connections. */
void lt_redis_node_free(struct lt_redis_node *node);

/* What was being opened is ready. */
void lt_redis_node_opened(struct lt_redis_node *node);

/* It can't be reached now: why (copied) says why. What is being opened is given up. */
void lt_redis_node_failed(struct lt_redis_node *node, struct lt_str why);

/* Connects what is being opened to where the node is. */
void lt_redis_node_dial(struct lt_redis_node *node);

/* The node is somewhere else from now on; connections to where it was take no new commands. */
void lt_redis_node_move(struct lt_redis_node *node, const struct lt_redis_place *place);

/* Sends command to it, now or when there is a connection; or fails its call. */
void lt_redis_node_send(struct lt_redis_node *node, struct lt_redis_command *command);

/* Something has ended: who waits may have a connection now. */
void lt_redis_node_serve(struct lt_redis_node *node);

/* ---- redis_discover.c ---- */

/* Writes the question; false: it has no room. */
bool lt_redis_discover_init(struct lt_redis_service *s) LT_MUST_CHECK;
void lt_redis_discover_fini(struct lt_redis_service *s);

/* Asks around, unless that is being done. */
void lt_redis_ask(struct lt_redis_service *s);

/* Whether records are an error, whose text is *text. */
bool lt_redis_is_error(struct lt_str records, struct lt_str *text);

/* ---- redis_cluster.c ---- */

void lt_redis_cluster_init(struct lt_redis_service *s);
void lt_redis_cluster_fini(struct lt_redis_service *s);

/* Sends command to who has its slot, when that is known. */
void lt_redis_cluster_send(struct lt_redis_command *command);

/* Somebody's map of the slots; NULL: it was understood, else what is wrong with it (static). */
const char *lt_redis_cluster_take(struct lt_redis_service *s, const struct lt_redis_node *from,
                                  struct lt_str records) LT_MUST_CHECK;
/* After that; or nobody knows. */
void lt_redis_cluster_found(struct lt_redis_service *s);
void lt_redis_cluster_lost(struct lt_redis_service *s);

/* A server moved or was lost: the map is asked for again, unless that was done a moment ago. */
void lt_redis_cluster_renew(struct lt_redis_service *s);

/* Whether the reply from node, which was not given up, says that the command was not run and where
 * or when it will be: then it is sent again. */
bool lt_redis_again(struct lt_redis_command *command, struct lt_redis_node *from,
                    struct lt_str records) LT_MUST_CHECK;

#endif
