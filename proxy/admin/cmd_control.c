/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of the control API (admin/control.h). A process of its own; may block. */
#include "admin/cmd_control.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "admin/client.h"
#include "base/clock.h"
#include "server/cmd_config.h"

#define ANSWER_MAX ((size_t)64 << 20)
#define TARGET_MAX ((size_t)16 << 10)
#define LOOK_US 100000u
#define WAIT_MAX_S UINT64_C(604800)
#define STATE_MAX 32u

enum { WELL = 0, REFUSED = 1, USAGE = 2, LATE = 3 };

/* One request and its answer. */
struct call {
    struct lt_admin_where where;
    struct lt_buf target, out;
    struct lt_str body; /* of the answer */
};

static void call_init(struct call *c)
{
    *c = (struct call){.where = {.config = lt_cmd_config_path()}};
    lt_buf_init(&c->target, TARGET_MAX);
    lt_buf_init(&c->out, ANSWER_MAX);
}

static void call_fini(struct call *c)
{
    lt_buf_fini(&c->target);
    lt_buf_fini(&c->out);
}

static int usage(const char *text)
{
    fprintf(stderr, "usage: lintel %s [-c FILE | --admin ADDRESS]\n", text);
    return USAGE;
}

static void put_value(struct lt_buf *out, const char *key, struct lt_str value)
{
    lt_buf_printf(out, "%s=", key);
    lt_admin_put_value(out, value);
}

/* Asks; what the gateway refuses is said. */
static int ask(struct call *c, const char *method, const char *body)
{
    struct lt_addr addr;
    int code = lt_admin_find(&c->where, &addr);
    if (code != WELL) {
        return code;
    }
    c->out.len = 0;
    unsigned status = lt_admin_ask(&addr, method, lt_buf_view(&c->target),
                                   body != NULL ? lt_str_c(body) : LT_STR_NONE, &c->out, &c->body);
    return status == 200 ? WELL : REFUSED;
}

/* UPSTREAM/SERVER, in two. */
static bool name_server(const char *text, struct lt_str *upstream, struct lt_str *server)
{
    struct lt_str all = lt_str_c(text);
    size_t slash = lt_str_chr(all, '/', 0);
    if (slash == SIZE_MAX || slash == 0 || slash + 1 == all.len) {
        fprintf(stderr, "lintel: write UPSTREAM/SERVER, such as app/127.0.0.1:8000 or "
                        "app/unix:/run/app/1.sock\n");
        return false;
    }
    *upstream = lt_str_sub(all, 0, slash);
    *server = lt_str_sub(all, slash + 1, all.len);
    return true;
}

/* The next request is about that server; empty: about all that the upstream has. */
static void aim(struct call *c, struct lt_str upstream, struct lt_str server)
{
    c->target.len = 0;
    lt_buf_printf(&c->target, "/servers?");
    put_value(&c->target, "upstream", upstream);
    if (server.len > 0) {
        lt_buf_char(&c->target, '&');
        put_value(&c->target, "address", server);
    }
}

/* ---- show upstreams ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL ? s : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* The word for what decides about requests to a server. */
static const char *state_of(const json_t *upstream, const json_t *s, char text[STATE_MAX])
{
    const char *state = text_of(s, "state"), *health = text_of(s, "health");
    const char *breaker = text_of(upstream, "breaker");
    if (strcmp(state, "ready") != 0) {
        return state;
    }
    if (strcmp(health, "checks_failed") == 0) {
        return "down (check)";
    }
    if (strcmp(health, "ejected") == 0) {
        snprintf(text, STATE_MAX, "ejected for %lld s", (number_of(s, "ejected_ms") + 999) / 1000);
        return text;
    }
    if (json_is_true(json_object_get(s, "down"))) {
        return "down (connect)";
    }
    if (strcmp(breaker, "open") == 0) {
        return "breaker open";
    }
    return strcmp(breaker, "half_open") == 0 ? "breaker half open" : "up";
}

static void print_server(const json_t *upstream, const json_t *s)
{
    char state[STATE_MAX];
    const json_t *latency = json_object_get(s, "latency_ms");
    const char *source = text_of(s, "source"), *error = text_of(s, "last_error");
    printf("  %-28s %-18s", text_of(s, "address"), state_of(upstream, s, state));
    printf(" %4lld", number_of(s, "in_flight"));
    if (json_object_get(s, "max") != NULL) {
        printf("/%-5lld", number_of(s, "max"));
    } else {
        printf("      ");
    }
    printf(" %5lld %6lld", number_of(s, "idle"), number_of(s, "weight"));
    if (json_is_real(latency)) {
        printf(" %9.1f ms", json_real_value(latency));
    } else {
        printf("           -");
    }
    printf("%s", json_is_true(json_object_get(s, "backup")) ? "  backup" : "");
    if (strcmp(source, "configuration") != 0) {
        printf("  from %s", source);
    }
    if (error[0] != '\0') {
        printf("  %s", error);
    } else if (number_of(s, "failures") > 0) {
        printf("  %lld connects failed in a row", number_of(s, "failures"));
    }
    printf("\n");
}

static int print_upstreams(struct lt_str body)
{
    json_error_t error;
    json_t *root = json_loadb(body.p, body.len, 0, &error);
    size_t i, j;
    json_t *u, *s;
    if (!json_is_array(root)) {
        fprintf(stderr, "lintel: the answer is no list: %s\n", error.text);
        json_decref(root);
        return REFUSED;
    }
    printf("%-30s %-18s %10s %5s %6s %12s\n", "", "STATE", "IN FLIGHT ", "IDLE", "WEIGHT",
           "LATENCY");
    json_array_foreach(root, i, u)
    {
        printf("%s%s", text_of(u, "name"),
               json_is_true(json_object_get(u, "paused")) ? "  PAUSED" : "");
        if (json_object_get(u, "queued") != NULL) {
            printf("  %lld in the queue", number_of(u, "queued"));
        }
        printf("\n");
        json_array_foreach(json_object_get(u, "servers"), j, s)
        {
            print_server(u, s);
        }
    }
    json_decref(root);
    return WELL;
}

int lt_cmd_show_upstreams(int argc, char **argv)
{
    struct call c;
    bool json = false;
    call_init(&c);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (!lt_admin_option(&c.where, argc, argv, &i)) {
            return usage("show upstreams [--json]");
        }
    }
    lt_buf_printf(&c.target, "/upstreams");
    int code = ask(&c, "GET", NULL);
    if (code == WELL && json) {
        printf("%.*s", LT_STR_ARG(c.body));
    } else if (code == WELL) {
        code = print_upstreams(c.body);
    }
    call_fini(&c);
    return code;
}

/* ---- drain, maintenance, ready, remove ---- */

/* The server's member of the last answer; NULL: it is gone. */
static const json_t *find_server(const json_t *upstream, struct lt_str address)
{
    size_t i;
    json_t *s;
    json_array_foreach(json_object_get(upstream, "servers"), i, s)
    {
        if (lt_str_eq_c(address, text_of(s, "address"))) {
            return s;
        }
    }
    return NULL;
}

/* As Lintel writes it. */
static struct lt_str normal(struct lt_str server, char text[LT_ADDR_TEXT_MAX])
{
    struct lt_addr addr;
    const char *why;
    return lt_addr_parse(server, &addr, &why) == LT_OK ? lt_str(text, lt_addr_print(&addr, text))
                                                       : server;
}

/* Looks again and again until nothing is left at the server. */
static int wait_empty(struct call *c, struct lt_str upstream, struct lt_str server, uint64_t wait_s)
{
    char text[LT_ADDR_TEXT_MAX];
    uint64_t until = lt_clock_us() + wait_s * 1000000;
    long long left = 0;
    server = normal(server, text);
    c->target.len = 0;
    lt_buf_printf(&c->target, "/upstreams?");
    put_value(&c->target, "name", upstream);
    for (;;) {
        int code = ask(c, "GET", NULL);
        if (code != WELL) {
            return code;
        }
        json_t *root = json_loadb(c->body.p, c->body.len, 0, NULL);
        const json_t *s = find_server(root, server);
        bool empty = s == NULL || json_is_true(json_object_get(s, "empty"));
        left = s != NULL ? number_of(s, "in_flight") : 0;
        bool ready = s != NULL && strcmp(text_of(s, "state"), "ready") == 0;
        json_decref(root);
        if (ready) {
            fprintf(stderr, "lintel: somebody has made it ready again\n");
            return REFUSED;
        }
        if (empty) {
            return WELL;
        }
        if (lt_clock_us() >= until) {
            fprintf(stderr, "lintel: %lld requests are still in flight\n", left);
            return LATE;
        }
        usleep(LOOK_US);
    }
}

/* What such a command was given. */
struct order {
    const char *name;
    bool waits;
    uint64_t wait_s;
};

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* --wait, --wait=SECONDS, --wait SECONDS; false: argv[*i] is none of them, or *ok says no. */
static bool wait_option(struct order *order, int argc, char **argv, int *i, bool *ok)
{
    const char *value = NULL;
    if (strncmp(argv[*i], "--wait=", 7) == 0) {
        value = argv[*i] + 7;
    } else if (strcmp(argv[*i], "--wait") != 0) {
        return false;
    } else if (*i + 1 < argc && is_number(argv[*i + 1])) {
        value = argv[++*i];
    }
    order->waits = true;
    *ok = value == NULL ||
          (lt_str_to_u64(lt_str_c(value), &order->wait_s) && order->wait_s <= WAIT_MAX_S);
    return true;
}

static bool read_order(struct call *c, struct order *order, int argc, char **argv)
{
    bool ok = true;
    for (int i = 1; ok && i < argc; i++) {
        if (!wait_option(order, argc, argv, &i, &ok) &&
            !lt_admin_option(&c->where, argc, argv, &i)) {
            ok = order->name == NULL && argv[i][0] != '-';
            order->name = argv[i];
        }
    }
    return ok && order->name != NULL;
}

/* A server is removed with --wait by a drain first: what is gone can't be looked at. */
static int give_order(struct call *c, const struct order *order, const char *command)
{
    struct lt_str upstream, server;
    bool removes = strcmp(command, "remove") == 0;
    char body[64];
    if (!name_server(order->name, &upstream, &server)) {
        return USAGE;
    }
    int code = WELL;
    if (!removes || order->waits) {
        aim(c, upstream, server);
        snprintf(body, sizeof(body), "{\"state\": \"%s\"}", removes ? "drain" : command);
        code = ask(c, "PUT", body);
    }
    if (code == WELL && order->waits) {
        code = wait_empty(c, upstream, server, order->wait_s);
    }
    if (code == LATE && removes) {
        fprintf(stderr, "lintel: the server goes on draining and was not removed\n");
    }
    if (code == WELL && removes) {
        aim(c, upstream, server);
        code = ask(c, "DELETE", NULL);
    }
    return code;
}

int lt_cmd_server(int argc, char **argv)
{
    struct call c;
    struct order order = {.wait_s = WAIT_MAX_S};
    char text[64];
    bool may_wait = strcmp(argv[0], "ready") != 0;
    call_init(&c);
    int code;
    if (read_order(&c, &order, argc, argv) && (may_wait || !order.waits)) {
        code = give_order(&c, &order, argv[0]);
    } else {
        snprintf(text, sizeof(text), "%s UPSTREAM/SERVER%s", argv[0],
                 may_wait ? " [--wait[=SECONDS]]" : "");
        code = usage(text);
    }
    call_fini(&c);
    return code;
}

/* ---- the others ---- */

/* The words that are no options of where the socket is; false: there are more than max, or others.
 */
static bool words(struct call *c, int argc, char **argv, const char **out, int max)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        if (lt_admin_option(&c->where, argc, argv, &i)) {
            continue;
        }
        if (n == max || argv[i][0] == '-') {
            return false;
        }
        out[n++] = argv[i];
    }
    return n == max;
}

int lt_cmd_weight(int argc, char **argv)
{
    struct call c;
    const char *given[2];
    char body[64];
    struct lt_str upstream, server;
    uint64_t weight;
    call_init(&c);
    if (!words(&c, argc, argv, given, 2) || !lt_str_to_u64(lt_str_c(given[1]), &weight)) {
        return usage("weight UPSTREAM/SERVER WEIGHT");
    }
    if (!name_server(given[0], &upstream, &server)) {
        return USAGE;
    }
    aim(&c, upstream, server);
    snprintf(body, sizeof(body), "{\"weight\": %llu}", (unsigned long long)weight);
    int code = ask(&c, "PUT", body);
    call_fini(&c);
    return code;
}

int lt_cmd_add(int argc, char **argv)
{
    static const char text[] = "add UPSTREAM/SERVER [--weight N] [--max N] [--backup]";
    struct call c;
    const char *name = NULL;
    uint64_t weight = 0, max = 0;
    bool weighs = false, backup = false, ok = true;
    struct lt_str upstream, server;
    call_init(&c);
    for (int i = 1; ok && i < argc; i++) {
        if (strcmp(argv[i], "--backup") == 0) {
            backup = true;
        } else if (strcmp(argv[i], "--weight") == 0 && i + 1 < argc) {
            ok = weighs = lt_str_to_u64(lt_str_c(argv[++i]), &weight);
        } else if (strcmp(argv[i], "--max") == 0 && i + 1 < argc) {
            ok = lt_str_to_u64(lt_str_c(argv[++i]), &max) && max > 0;
        } else if (!lt_admin_option(&c.where, argc, argv, &i)) {
            ok = name == NULL && argv[i][0] != '-';
            name = argv[i];
        }
    }
    if (!ok || name == NULL) {
        return usage(text);
    }
    if (!name_server(name, &upstream, &server)) {
        return USAGE;
    }
    aim(&c, upstream, LT_STR_NONE);
    struct lt_buf body;
    lt_buf_init(&body, TARGET_MAX);
    lt_buf_printf(&body, "{\"address\": ");
    lt_buf_json_str(&body, server);
    if (weighs) {
        lt_buf_printf(&body, ", \"weight\": %llu", (unsigned long long)weight);
    }
    if (max > 0) {
        lt_buf_printf(&body, ", \"max\": %llu", (unsigned long long)max);
    }
    lt_buf_printf(&body, "%s}", backup ? ", \"backup\": true" : "");
    lt_buf_char(&body, '\0');
    int code = ask(&c, "POST", body.p);
    lt_buf_fini(&body);
    call_fini(&c);
    return code;
}

int lt_cmd_pause(int argc, char **argv)
{
    struct call c;
    const char *name;
    bool pause = strcmp(argv[0], "pause") == 0;
    call_init(&c);
    if (!words(&c, argc, argv, &name, 1)) {
        return usage(pause ? "pause UPSTREAM" : "resume UPSTREAM");
    }
    lt_buf_printf(&c.target, "/upstreams?");
    put_value(&c.target, "name", lt_str_c(name));
    int code = ask(&c, "PUT", pause ? "{\"paused\": true}" : "{\"paused\": false}");
    call_fini(&c);
    return code;
}

/* ---- filters reload ---- */

/* FILE as the gateway, which has another working folder, finds it: a path made absolute, or a
 * filter's name. */
static void put_file(struct call *c, const char *file)
{
    char *real = realpath(file, NULL);
    lt_buf_char(&c->target, '?');
    put_value(&c->target, "file", lt_str_c(real != NULL ? real : file));
    free(real);
}

int lt_cmd_filters(int argc, char **argv)
{
    static const char text[] = "filters reload [FILE]";
    struct call c;
    const char *given[2] = {NULL, NULL};
    unsigned n = 0;
    bool ok = true;
    call_init(&c);
    for (int i = 1; ok && i < argc; i++) {
        if (!lt_admin_option(&c.where, argc, argv, &i)) {
            ok = n < lt_countof(given) && argv[i][0] != '-';
            if (ok) {
                given[n++] = argv[i];
            }
        }
    }
    if (!ok || n == 0 || strcmp(given[0], "reload") != 0) {
        call_fini(&c);
        return usage(text);
    }
    lt_buf_printf(&c.target, "/filters");
    if (given[1] != NULL) {
        put_file(&c, given[1]);
    }
    int code = ask(&c, "POST", NULL);
    if (code == WELL) {
        json_t *root = json_loadb(c.body.p, c.body.len, 0, NULL);
        const char *names = text_of(root, "reloaded");
        if (names[0] != '\0') {
            printf("reloaded: %s\n", names);
        } else {
            printf("no filter file has changed\n");
        }
        json_decref(root);
    }
    call_fini(&c);
    return code;
}
