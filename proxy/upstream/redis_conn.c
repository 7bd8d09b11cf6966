/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to a server of Redis (redis_impl.h): what is written in a turn leaves at its end,
 * and the ring says whose the next reply is. A worker's thread.
 *
 *   put -> out -> [end of turn] -> socket        socket -> reader -> ring -> lt_redis_take_reply
 *
 * Who gives up leaves a hole in the ring. A connection over which a reply did not come in time
 * takes no more commands: what comes late is for nobody. */
#include "upstream/redis_impl.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/obj.h"

#define MAGIC 0x72636f6eu           /* "rcon" */
#define OUT_KEPT ((size_t)64 << 10) /* capacity that an idle connection keeps for writing */
#define OUT_MAX (LT_REDIS_UNSENT_MAX + LT_REDIS_REQUEST_MAX)

static struct lt_redis_conn *from_owner(void *owner)
{
    struct lt_redis_conn *conn = owner;
    LT_OBJ_CHECK(conn, MAGIC);
    return conn;
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

void lt_redis_conn_close(struct lt_redis_conn *conn, enum lt_redis_error error, struct lt_str why)
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

/* It ended by itself, or for what came over it. */
static void conn_failed(struct lt_redis_conn *conn, enum lt_redis_error error, struct lt_str why)
{
    struct lt_redis_node *node = conn->node;
    if (conn == node->opening) {
        lt_redis_node_failed(node, why);
        return;
    }
    lt_redis_conn_close(conn, error, why);
    lt_redis_node_serve(node);
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

void lt_redis_conn_put(struct lt_redis_conn *conn, struct lt_redis_command *command)
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
        lt_redis_conn_close(conn, LT_REDIS_CLOSED, LT_STR_NONE);
    }
}

bool lt_redis_conn_has_room(const struct lt_redis_conn *conn,
                            const struct lt_redis_command *command)
{
    const struct lt_redis_call *call = command->call;
    unsigned n = 2 * (call->n - (unsigned)(command - call->commands));
    size_t unsent = conn->out.len + lt_stream_unsent(&conn->stream);
    return conn->state == LT_REDIS_CONN_READY &&
           conn->tail - conn->head + n <= LT_REDIS_IN_FLIGHT_MAX &&
           (unsent == 0 || unsent + command->text.len <= LT_REDIS_UNSENT_MAX);
}

void lt_redis_node_renew(struct lt_redis_node *node)
{
    lt_list_each(it, tmp, &node->conns)
    {
        struct lt_redis_conn *conn = lt_container_of(it, struct lt_redis_conn, link);
        if (conn->state == LT_REDIS_CONN_READY) {
            conn->state = LT_REDIS_CONN_ENDING;
            if (conn->live == 0) {
                lt_redis_conn_close(conn, LT_REDIS_CLOSED, LT_STR_NONE);
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

static void send_greetings(struct lt_redis_conn *conn)
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
    lt_redis_node_opened(node);
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
        lt_redis_conn_close(conn, LT_REDIS_CLOSED, LT_STR_NONE);
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
    lt_redis_node_serve(node);
}

static void on_drained(void *owner)
{
    struct lt_redis_conn *conn = from_owner(owner);
    if (conn->stream.failed) {
        conn_failed(conn, LT_REDIS_CLOSED, lt_str_c(lt_err_text(conn->stream.write_err)));
    } else {
        lt_redis_node_serve(conn->node);
    }
}

static const struct lt_stream_ops stream_ops = {.on_readable = on_readable,
                                                .on_drained = on_drained};

/* ---- the beginning ---- */

struct lt_redis_conn *lt_redis_conn_new(struct lt_redis_node *node)
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

void lt_redis_conn_greet(struct lt_redis_conn *conn)
{
    lt_stream_own(&conn->stream, &stream_ops, conn);
    send_greetings(conn);
}
