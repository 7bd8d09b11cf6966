/* SPDX-License-Identifier: Apache-2.0 */
/* One server of Redis and the connections to it (redis_impl.h).
 *
 *   send -> room on a connection?  -> out -> [end of turn] -> socket       replies -> ring -> call
 *        '> waiting, one more is opened: address -> lt_dial -> greetings -> serve
 *
 * When none can be opened, the node is down: who waits is told, newcomers are told at once, and the
 * timer tries again. A connection over which a reply did not come in time takes no more commands:
 * what comes late is for nobody. */
#include "upstream/redis_impl.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/obj.h"
#include "upstream/pool.h"

#define MAGIC 0x72636f6eu /* "rcon" */
#define BACKOFF_MS 100u
#define VANISHED_MS UINT64_C(30000)
#define OUT_KEPT ((size_t)64 << 10) /* capacity that an idle connection keeps for writing */
#define OUT_MAX (LT_REDIS_UNSENT_MAX + LT_REDIS_REQUEST_MAX)

static struct lt_redis_conn *from_owner(void *owner)
{
    struct lt_redis_conn *conn = owner;
    LT_OBJ_CHECK(conn, MAGIC);
    return conn;
}

static uint64_t now_us(const struct lt_redis_node *node)
{
    return node->service->redis->loop->now_us;
}

/* ---- closing a connection ---- */

void lt_redis_bury(struct lt_redis *r)
{
    struct lt_list *link;
    while ((link = lt_list_pop_front(&r->closed)) != NULL) {
        struct lt_redis_conn *conn = lt_container_of(link, struct lt_redis_conn, link);
        LT_OBJ_FINI(conn);
        lt_free(conn);
    }
}

/* The end of a turn: nobody's callback is on the stack. */
static void bury(void *arg)
{
    lt_redis_bury(arg);
}

static void close_conn(struct lt_redis_conn *conn, enum lt_redis_error error, struct lt_str why)
{
    struct lt_redis *r = conn->redis;
    struct lt_redis_node *node = conn->node;
    lt_dial_cancel(&conn->dial);
    lt_stream_close(&conn->stream);
    lt_loop_cancel(&conn->flush);
    lt_buf_fini(&conn->out);
    lt_redis_reader_free(conn->reader);
    conn->reader = NULL;
    r->held -= conn->counted;
    r->n_conns--;
    node->n_conns--;
    node->opening = node->opening == conn ? NULL : node->opening;
    conn->state = LT_REDIS_CONN_CLOSED;
    conn->node = NULL;
    lt_list_remove(&conn->link);
    lt_list_push_back(&r->closed, &conn->link);
    lt_loop_defer(r->loop, &r->bury, bury, r);
    for (uint32_t i = conn->head; i != conn->tail; i++) {
        struct lt_redis_command *command = conn->ring[i % LT_REDIS_IN_FLIGHT_MAX];
        if (command != NULL) {
            lt_redis_call_fail(command->call, error, why);
        }
    }
}

static void open_conn(struct lt_redis_node *node);

/* It ended by itself, or for what came over it. */
static void conn_failed(struct lt_redis_conn *conn, enum lt_redis_error error, struct lt_str why)
{
    struct lt_redis_node *node = conn->node;
    if (conn == node->opening) {
        lt_redis_node_failed(node, why);
        return;
    }
    close_conn(conn, error, why);
    if (!lt_list_empty(&node->waiting) && node->opening == NULL && !node->down) {
        open_conn(node);
    }
}

/* ---- writing ---- */

static void flush(void *arg)
{
    struct lt_redis_conn *conn = from_owner(arg);
    enum lt_err err = conn->out.truncated ? LT_ERR_NOMEM : LT_OK;
    if (err == LT_OK) {
        err = lt_stream_put(&conn->stream, conn->out.p, conn->out.len);
    }
    if (err == LT_OK) {
        err = lt_stream_flush(&conn->stream);
    }
    conn->out.len = 0;
    if (conn->out.cap > OUT_KEPT) {
        lt_buf_fini(&conn->out);
        lt_buf_init(&conn->out, OUT_MAX);
    }
    if (err != LT_OK) {
        conn_failed(conn, LT_REDIS_CLOSED, lt_str_c(lt_err_text(err)));
    }
}

/* Takes the next place in the ring for the reply to text; command may be NULL. */
static void put(struct lt_redis_conn *conn, struct lt_str text, struct lt_redis_command *command)
{
    conn->ring[conn->tail % LT_REDIS_IN_FLIGHT_MAX] = command;
    if (command != NULL) {
        command->conn = conn;
        command->at = conn->tail;
        conn->live++;
    }
    conn->tail++;
    conn->used_us = conn->redis->loop->now_us;
    lt_buf_str(&conn->out, text);
    lt_loop_defer(conn->redis->loop, &conn->flush, flush, conn);
}

static void put_command(struct lt_redis_conn *conn, struct lt_redis_command *command)
{
    if (command->asking) {
        put(conn, LT_STR("*1\r\n$6\r\nASKING\r\n"), NULL);
        command->asking = false;
    }
    put(conn, command->text, command);
    command->call->sent = true;
}

void lt_redis_command_drop(struct lt_redis_command *command, bool late)
{
    struct lt_redis_conn *conn = command->conn;
    lt_list_remove(&command->link);
    if (conn == NULL) {
        return;
    }
    command->conn = NULL;
    conn->ring[command->at % LT_REDIS_IN_FLIGHT_MAX] = NULL;
    conn->live--;
    if (late && conn->state == LT_REDIS_CONN_READY) {
        conn->state = LT_REDIS_CONN_ENDING;
    }
    if (conn->state == LT_REDIS_CONN_ENDING && conn->live == 0) {
        close_conn(conn, LT_REDIS_CLOSED, LT_STR_NONE);
    }
}

/* ---- whose turn it is ---- */

/* Whether command finds room, and all that follow it in its call. */
static bool has_room(const struct lt_redis_conn *conn, const struct lt_redis_command *command)
{
    const struct lt_redis_call *call = command->call;
    unsigned n = 2 * (call->n - (unsigned)(command - call->commands));
    size_t unsent = conn->out.len + lt_stream_unsent(&conn->stream);
    return conn->state == LT_REDIS_CONN_READY &&
           conn->tail - conn->head + n <= LT_REDIS_IN_FLIGHT_MAX &&
           (unsent == 0 || unsent + command->text.len <= LT_REDIS_UNSENT_MAX);
}

static bool may_open(const struct lt_redis_node *node)
{
    return node->opening == NULL && node->n_conns < LT_REDIS_CONNS_MAX && !node->down &&
           now_us(node) >= node->open_after_us;
}

/* The connection over which an earlier command of the same call is under way; or NULL. */
static struct lt_redis_conn *conn_before(const struct lt_redis_node *node,
                                         const struct lt_redis_command *command)
{
    const struct lt_redis_command *first = command->call->commands;
    while (command > first) {
        command--;
        if (command->conn != NULL && command->conn->node == node) {
            return command->conn;
        }
    }
    return NULL;
}

/* The connection for command: that of a command before it, so that they keep their order, else the
 * one with the least to do; NULL: there is none now. */
static struct lt_redis_conn *choose(struct lt_redis_node *node,
                                    const struct lt_redis_command *command)
{
    struct lt_redis_conn *best = conn_before(node, command);
    if (best != NULL && best->state == LT_REDIS_CONN_READY) {
        return has_room(best, command) ? best : NULL;
    }
    best = NULL;
    lt_list_each(it, tmp, &node->conns)
    {
        struct lt_redis_conn *conn = lt_container_of(it, struct lt_redis_conn, link);
        if (has_room(conn, command) &&
            (best == NULL || conn->tail - conn->head < best->tail - best->head)) {
            best = conn;
        }
    }
    return best;
}

static void serve(struct lt_redis_node *node)
{
    struct lt_list *link;
    while ((link = node->waiting.next) != &node->waiting) {
        struct lt_redis_command *command = lt_container_of(link, struct lt_redis_command, link);
        struct lt_redis_conn *conn = choose(node, command);
        if (conn == NULL) {
            break;
        }
        lt_list_remove(link);
        put_command(conn, command);
    }
    if (!lt_list_empty(&node->waiting) && may_open(node)) {
        open_conn(node);
    }
}

void lt_redis_node_send(struct lt_redis_node *node, struct lt_redis_command *command)
{
    node->asked_us = now_us(node);
    if (node->down) {
        lt_redis_call_fail(command->call, LT_REDIS_UNREACHABLE, lt_str_c(node->why));
        return;
    }
    struct lt_redis_conn *conn = lt_list_empty(&node->waiting) ? choose(node, command) : NULL;
    if (conn != NULL) {
        put_command(conn, command);
    } else {
        lt_list_push_back(&node->waiting, &command->link);
    }
    if ((conn == NULL || conn->tail - conn->head > LT_REDIS_SPREAD) && may_open(node)) {
        open_conn(node);
    }
}

void lt_redis_node_renew(struct lt_redis_node *node)
{
    lt_list_each(it, tmp, &node->conns)
    {
        struct lt_redis_conn *conn = lt_container_of(it, struct lt_redis_conn, link);
        if (conn->state == LT_REDIS_CONN_READY) {
            conn->state = LT_REDIS_CONN_ENDING;
            if (conn->live == 0) {
                close_conn(conn, LT_REDIS_CLOSED, LT_STR_NONE);
            }
        }
    }
}

/* ---- greetings ---- */

static void put_words(struct lt_redis_conn *conn, unsigned n, const struct lt_str *words)
{
    lt_buf_printf(&conn->out, "*%u\r\n", n);
    for (unsigned i = 0; i < n; i++) {
        lt_buf_printf(&conn->out, "$%zu\r\n", words[i].len);
        lt_buf_str(&conn->out, words[i]);
        lt_buf_str(&conn->out, LT_STR("\r\n"));
    }
    put(conn, LT_STR_NONE, NULL);
}

static void greet(struct lt_redis_conn *conn)
{
    const struct lt_redis_node *node = conn->node;
    const struct lt_redis_url *url = &node->service->url;
    bool server = node->role == LT_REDIS_SERVER;
    if (url->password.len > 0) {
        const struct lt_str words[] = {LT_STR("AUTH"), url->user, url->password};
        const struct lt_str plain[] = {LT_STR("AUTH"), url->password};
        put_words(conn, url->user.len > 0 ? 3 : 2, url->user.len > 0 ? words : plain);
        conn->greetings[conn->n_greetings++] = LT_REDIS_AUTH;
    }
    if (server && url->db > 0) {
        char text[12];
        int n = snprintf(text, sizeof(text), "%u", url->db);
        put_words(conn, 2, (const struct lt_str[]){LT_STR("SELECT"), lt_str(text, (size_t)n)});
        conn->greetings[conn->n_greetings++] = LT_REDIS_SELECT;
    }
    bool role = server && url->kind == LT_REDIS_SENTINEL;
    put_words(conn, 1, &(const struct lt_str){role ? "ROLE" : "PING", 4});
    conn->greetings[conn->n_greetings++] = role ? LT_REDIS_ROLE : LT_REDIS_PING;
    conn->state = LT_REDIS_CONN_GREETING;
}

/* What is wrong with the reply to a greeting, NULL: nothing; *text is the server's own. */
static const char *judge(const struct lt_redis_conn *conn, enum lt_redis_greeting greeting,
                         struct lt_str records, struct lt_str *text)
{
    size_t at = 0;
    struct lt_redis_value v = lt_redis_value_next(records, &at);
    bool error = v.type == LT_REDIS_ERROR_TEXT;
    bool denied = error && lt_str_starts(v.text, LT_STR("NOPERM"));
    *text = v.text;
    switch (greeting) {
    case LT_REDIS_AUTH: /* sentinels often want none, and then say so */
        return error && conn->node->role == LT_REDIS_SERVER ? "the login was refused: " : NULL;
    case LT_REDIS_SELECT:
        return error ? "the database was refused: " : NULL;
    case LT_REDIS_PING: /* whoever may not ask has an answer nevertheless */
        return error && !denied ? "" : NULL;
    case LT_REDIS_ROLE:
        if (error) {
            return denied ? NULL : "";
        }
        if (v.type == LT_REDIS_LIST && v.integer > 0) {
            *text = lt_redis_value_next(records, &at).text;
        }
        return lt_str_eq_c(*text, "master") ? NULL : "it is no master: its role is ";
    }
    return "";
}

static void set_idle_timer(struct lt_redis_node *node)
{
    lt_timer_set(&node->timer, LT_REDIS_IDLE_MS);
}

static void greeted(struct lt_redis_conn *conn, struct lt_str records)
{
    struct lt_redis_node *node = conn->node;
    struct lt_str text;
    const char *wrong = judge(conn, conn->greetings[conn->greeted++], records, &text);
    if (wrong != NULL) {
        char why[LT_REDIS_DETAIL_MAX];
        int n = snprintf(why, sizeof(why), "%s%.*s", wrong, LT_STR_ARG(lt_str_cut(text, 160)));
        lt_redis_node_failed(node, lt_str(why, (size_t)n));
        return;
    }
    if (conn->greeted < conn->n_greetings) {
        return;
    }
    conn->state = LT_REDIS_CONN_READY;
    node->opening = NULL;
    node->down = false;
    node->backoff_ms = 0;
    set_idle_timer(node);
    serve(node);
}

/* ---- reading ---- */

/* One reply; afterwards the connection may be closed. */
static void take_reply(struct lt_redis_conn *conn, struct lt_str records)
{
    if (conn->head == conn->tail) {
        conn_failed(conn, LT_REDIS_MALFORMED, LT_STR("a reply came that nobody asked for"));
        return;
    }
    struct lt_redis_node *node = conn->node;
    struct lt_redis_command *command = conn->ring[conn->head++ % LT_REDIS_IN_FLIGHT_MAX];
    if (conn->state == LT_REDIS_CONN_GREETING) {
        greeted(conn, records);
        return;
    }
    if (command != NULL) {
        command->conn = NULL;
        conn->live--;
        lt_redis_take_reply(command, node, records);
    }
    if (conn->state == LT_REDIS_CONN_ENDING && conn->live == 0) {
        close_conn(conn, LT_REDIS_CLOSED, LT_STR_NONE);
    }
}

static void count_held(struct lt_redis_conn *conn)
{
    size_t pending = lt_redis_reader_pending(conn->reader);
    conn->redis->held += pending - conn->counted;
    conn->counted = pending;
}

/* LT_OK: all that is whole was taken, or the connection was closed. */
static enum lt_err parse(struct lt_redis_conn *conn, const char *p, size_t n)
{
    struct lt_str records;
    enum lt_err err = lt_redis_reader_feed(conn->reader, p, n);
    while (err == LT_OK && conn->node != NULL &&
           (err = lt_redis_reader_next(conn->reader, &records)) == LT_OK) {
        take_reply(conn, records);
    }
    if (conn->node == NULL) {
        return LT_OK;
    }
    count_held(conn);
    if (err == LT_AGAIN && conn->redis->held > LT_REDIS_HELD_MAX) {
        return LT_ERR_NOMEM;
    }
    return err == LT_AGAIN ? LT_OK : err;
}

/* What was malformed or too large is one command's; those behind it only lose their connection. */
static void parse_failed(struct lt_redis_conn *conn, enum lt_err err)
{
    struct lt_redis_command *command =
        conn->head != conn->tail ? conn->ring[conn->head % LT_REDIS_IN_FLIGHT_MAX] : NULL;
    enum lt_redis_error error = err == LT_ERR_LIMIT   ? LT_REDIS_TOO_LARGE
                                : err == LT_ERR_NOMEM ? LT_REDIS_BUSY
                                                      : LT_REDIS_MALFORMED;
    struct lt_str why = err == LT_ERR_LIMIT   ? LT_STR("a reply has more than 4 MB, or more than 7 "
                                                         "lists in each other")
                        : err == LT_ERR_NOMEM ? LT_STR("replies hold too much memory")
                                              : LT_STR("what came is no reply of Redis");
    if (command != NULL) {
        lt_redis_call_fail(command->call, error, why);
    }
    if (conn->node != NULL) {
        conn_failed(conn, LT_REDIS_CLOSED, why);
    }
}

static void on_readable(void *owner)
{
    struct lt_redis_conn *conn = from_owner(owner);
    struct lt_redis_node *node = conn->node;
    char *scratch = conn->redis->loop->scratch;
    for (unsigned i = 0; i < LT_STREAM_READS; i++) {
        size_t n;
        enum lt_err err = lt_stream_recv(&conn->stream, scratch, LT_SCRATCH_SIZE, &n);
        if (err == LT_AGAIN) {
            break;
        }
        if (err != LT_OK) {
            const char *text = err == LT_EOF       ? "Redis closed the connection"
                               : err == LT_ERR_TLS ? "TLS failed"
                                                   : lt_err_text(err);
            conn_failed(conn, LT_REDIS_CLOSED, lt_str_c(text));
            return;
        }
        err = parse(conn, scratch, n);
        if (err != LT_OK) {
            parse_failed(conn, err);
        }
        if (conn->node == NULL) {
            break;
        }
    }
    serve(node);
}

static void on_drained(void *owner)
{
    struct lt_redis_conn *conn = from_owner(owner);
    if (conn->stream.failed) {
        conn_failed(conn, LT_REDIS_CLOSED, lt_str_c(lt_err_text(conn->stream.write_err)));
    } else {
        serve(conn->node);
    }
}

static const struct lt_stream_ops stream_ops = {.on_readable = on_readable,
                                                .on_drained = on_drained};

/* ---- opening ---- */

static void dial(struct lt_redis_node *node);

static void on_dialed(void *owner, const struct lt_dial_failure *failure)
{
    struct lt_redis_conn *conn = from_owner(owner);
    struct lt_redis_node *node = conn->node;
    if (failure != NULL) {
        struct lt_str detail = failure->detail;
        if (detail.len == 0) {
            detail = failure->sys_errno != 0 ? lt_str_c(strerrordesc_np(failure->sys_errno))
                                             : lt_str_c(lt_cause_info(failure->cause)->name);
        }
        if (--node->n_addrs > 0) {
            memmove(&node->addrs[0], &node->addrs[1], node->n_addrs * sizeof(node->addrs[0]));
            dial(node);
        } else {
            lt_redis_node_failed(node, detail);
        }
        return;
    }
    lt_stream_own(&conn->stream, &stream_ops, conn);
    if (conn->redis->metrics != NULL) {
        lt_metrics_add(conn->redis->metrics, LT_COUNTER_REDIS_CONNECTS, 1);
    }
    greet(conn);
}

static void dial(struct lt_redis_node *node)
{
    struct lt_redis_conn *conn = node->opening;
    node->server.addr = node->addrs[0];
    lt_dial_start(&conn->dial, conn->redis->pools, &node->server, LT_STR_NONE, &conn->stream,
                  on_dialed, conn);
}

static void on_addresses(void *owner, const struct lt_addr *v, unsigned n, const char *why)
{
    struct lt_redis_node *node = owner;
    if (n == 0) {
        lt_redis_node_failed(node, lt_str_c(why));
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        node->addrs[i] = v[i];
        if (!lt_addr_is_unix(&v[i])) {
            lt_addr_set_port(&node->addrs[i], node->place.port);
        }
    }
    node->n_addrs = n;
    dial(node);
}

void lt_redis_node_dial(struct lt_redis_node *node)
{
    if (node->place.addr.len > 0) {
        struct lt_addr addr = node->place.addr;
        on_addresses(node, &addr, 1, NULL);
    } else {
        lt_addresses_find(node->service->redis->addresses, &node->wait, node->place.host,
                          on_addresses, node);
    }
}

static struct lt_redis_conn *conn_new(struct lt_redis_node *node)
{
    struct lt_redis *r = node->service->redis;
    struct lt_redis_conn *conn =
        r->n_conns < LT_REDIS_CONNS_ALL_MAX ? lt_calloc(1, sizeof(*conn)) : NULL;
    if (conn == NULL) {
        return NULL;
    }
    LT_OBJ_INIT(conn, MAGIC);
    conn->reader = lt_redis_reader_new();
    if (conn->reader == NULL) {
        lt_free(conn);
        return NULL;
    }
    conn->node = node;
    conn->redis = r;
    conn->stream.fd = -1;
    conn->used_us = r->loop->now_us;
    lt_buf_init(&conn->out, OUT_MAX);
    lt_list_push_back(&node->conns, &conn->link);
    node->n_conns++;
    r->n_conns++;
    return conn;
}

static void open_conn(struct lt_redis_node *node)
{
    node->upstream.connect_ms = node->service->connect_ms;
    node->upstream.tls = node->service->tls;
    node->opening = conn_new(node);
    if (node->opening == NULL) {
        lt_redis_node_failed(node, LT_STR("too many connections, or no memory for one more"));
        return;
    }
    lt_timer_set(&node->timer, node->service->connect_ms);
    if (node == node->service->main && node->service->url.kind == LT_REDIS_SENTINEL) {
        lt_redis_ask(node->service); /* goes on with lt_redis_node_dial */
    } else {
        lt_redis_node_dial(node);
    }
}

static void fail_waiting(struct lt_redis_node *node)
{
    struct lt_list *link;
    while ((link = node->waiting.next) != &node->waiting) {
        struct lt_redis_command *command = lt_container_of(link, struct lt_redis_command, link);
        lt_redis_call_fail(command->call, LT_REDIS_UNREACHABLE, lt_str_c(node->why));
    }
}

static bool has_conn(const struct lt_redis_node *node)
{
    bool ready = false;
    lt_list_each(it, tmp, &node->conns)
    {
        ready |= lt_container_of(it, struct lt_redis_conn, link)->state == LT_REDIS_CONN_READY;
    }
    return ready;
}

void lt_redis_node_failed(struct lt_redis_node *node, struct lt_str why)
{
    struct lt_redis *r = node->service->redis;
    uint64_t now = now_us(node);
    bool named = lt_str_find(why, lt_str_c(node->name)) != SIZE_MAX;
    snprintf(node->why, sizeof(node->why), "%s%s%.*s", named ? "" : node->name, named ? "" : ": ",
             LT_STR_ARG(why));
    lt_address_wait_cancel(&node->wait);
    if (node->opening != NULL) {
        close_conn(node->opening, LT_REDIS_UNREACHABLE, lt_str_c(node->why));
    }
    if (has_conn(node)) {
        node->open_after_us = now + LT_REDIS_RETRY_MS * 1000;
        set_idle_timer(node);
        return;
    }
    node->down = true;
    node->backoff_ms = lt_min(lt_max(2 * node->backoff_ms, BACKOFF_MS), LT_REDIS_RETRY_MS);
    lt_timer_set(&node->timer,
                 node->backoff_ms - lt_rand_below(&r->loop->rand, node->backoff_ms / 4));
    fail_waiting(node);
    if (node->service->mapped) {
        lt_redis_cluster_renew(node->service);
    }
}

/* Closes what nobody has used for long. */
static void close_idle(struct lt_redis_node *node)
{
    bool left = false;
    lt_list_each(it, tmp, &node->conns)
    {
        struct lt_redis_conn *conn = lt_container_of(it, struct lt_redis_conn, link);
        bool idle = conn->head == conn->tail &&
                    conn->used_us + LT_REDIS_IDLE_MS * 1000 <= now_us(node) + 1000;
        if (idle && conn->state == LT_REDIS_CONN_READY) {
            close_conn(conn, LT_REDIS_CLOSED, LT_STR_NONE);
        } else {
            left = true;
        }
    }
    if (left) {
        set_idle_timer(node);
    }
}

static void on_timer(void *arg)
{
    struct lt_redis_node *node = arg;
    if (node->opening != NULL) {
        char text[60];
        int n = snprintf(text, sizeof(text), "no connection and greeting within %llu ms",
                         (unsigned long long)node->service->connect_ms);
        lt_redis_node_failed(node, lt_str(text, (size_t)n));
    } else if (!node->down) {
        close_idle(node);
    } else if (node->asked_us + LT_REDIS_WANTED_MS * 1000 > now_us(node)) {
        open_conn(node);
    } else {
        node->down = false; /* who comes next tries */
        node->backoff_ms = 0;
    }
}

/* ---- the node ---- */

static void set_place(struct lt_redis_node *node, const struct lt_redis_place *place)
{
    char text[LT_ADDR_TEXT_MAX];
    struct lt_server *server = &node->server;
    node->place = *place;
    if (place->host.len == 0) {
        size_t n = lt_addr_print(&place->addr, text);
        snprintf(node->name, sizeof(node->name), "%.*s", (int)n, text);
    } else {
        bool v6 = lt_str_chr(place->host, ':', 0) != SIZE_MAX;
        memcpy(node->host, place->host.p, place->host.len);
        node->host[place->host.len] = '\0';
        node->place.host.p = node->host;
        snprintf(node->name, sizeof(node->name), v6 ? "[%s]:%u" : "%s:%u", node->host, place->port);
    }
    server->name = server->host = node->upstream.name = lt_str_c(node->name);
    server->ip = node->place.host;
}

struct lt_redis_node *lt_redis_node_new(struct lt_redis_service *service,
                                        const struct lt_redis_place *place, enum lt_redis_role role)
{
    struct lt_redis *r = service->redis;
    uint32_t id = 0;
    while (id < LT_REDIS_NODES_MAX && r->ids[id]) {
        id++;
    }
    struct lt_redis_node *node = id < LT_REDIS_NODES_MAX ? lt_calloc(1, sizeof(*node)) : NULL;
    if (node == NULL) {
        return NULL;
    }
    r->ids[id] = true;
    node->service = service;
    node->role = role;
    node->upstream.protocol = LT_PROTOCOL_H1;
    node->upstream.vanished_ms = VANISHED_MS;
    node->upstream.places.connect = LT_STR("which is connect_timeout");
    node->state.id = id;
    atomic_store_explicit(&node->state.users, 1, memory_order_relaxed);
    node->server.upstream = &node->upstream;
    node->server.state = &node->state;
    node->server.weight = 1;
    set_place(node, place);
    lt_list_init(&node->conns);
    lt_list_init(&node->waiting);
    lt_timer_init(&node->timer, r->loop, on_timer, node);
    lt_list_push_back(&service->nodes, &node->link);
    service->n_nodes++;
    return node;
}

void lt_redis_node_free(struct lt_redis_node *node)
{
    struct lt_redis *r = node->service->redis;
    lt_list_each(it, tmp, &node->conns)
    {
        close_conn(lt_container_of(it, struct lt_redis_conn, link), LT_REDIS_CLOSED, LT_STR_NONE);
    }
    lt_address_wait_cancel(&node->wait);
    lt_timer_fini(&node->timer);
    atomic_store_explicit(&node->state.users, 0, memory_order_relaxed);
    lt_pools_sweep(r->pools);
    r->ids[node->state.id] = false;
    lt_list_remove(&node->link);
    node->service->n_nodes--;
    lt_free(node);
}

void lt_redis_node_move(struct lt_redis_node *node, const struct lt_redis_place *place)
{
    if (!lt_str_eq(node->place.host, place->host) || node->place.port != place->port) {
        lt_redis_node_renew(node);
        set_place(node, place);
    }
}
