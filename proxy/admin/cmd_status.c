/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the admin socket. A process of its own; may block. */
#include "admin/cmd_status.h"

#include <stdio.h>

#include <jansson.h>

#include "admin/client.h"
#include "server/cmd_config.h"

#define ANSWER_MAX ((size_t)64 << 20)

/* ---- Printing. ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL ? s : "?";
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void print_uptime(long long s)
{
    if (s >= 86400) {
        printf("%lldd ", s / 86400);
    }
    printf("%02lld:%02lld:%02lld", s / 3600 % 24, s / 60 % 60, s % 60);
}

static void print_listeners(const json_t *root)
{
    size_t i;
    json_t *l;
    json_array_foreach(json_object_get(root, "listeners"), i, l)
    {
        printf("listener    %s%s, %lld connections%s\n", text_of(l, "address"),
               json_is_true(json_object_get(l, "tls")) ? " (TLS)" : "", number_of(l, "connections"),
               json_is_true(json_object_get(l, "accepting")) ? "" : ", not accepting");
    }
}

static void print_upstreams(const json_t *root)
{
    size_t i, j;
    json_t *u, *s;
    json_array_foreach(json_object_get(root, "upstreams"), i, u)
    {
        printf("upstream    %s%s\n", text_of(u, "name"),
               json_is_true(json_object_get(u, "paused")) ? ", paused" : "");
        json_array_foreach(json_object_get(u, "servers"), j, s)
        {
            const char *state = text_of(s, "state");
            printf("  server    %s, %lld", text_of(s, "address"), number_of(s, "in_flight"));
            if (json_object_get(s, "max") != NULL) {
                printf(" of %lld", number_of(s, "max"));
            }
            printf(" in flight%s%s", strcmp(state, "ready") == 0 ? "" : ", ",
                   strcmp(state, "ready") == 0 ? "" : state);
            printf("%s", json_is_true(json_object_get(s, "down")) ? ", down" : "");
            if (number_of(s, "failures") > 0) {
                printf(", %lld connects failed in a row", number_of(s, "failures"));
            }
            printf("\n");
        }
    }
}

static void print_names(const json_t *root)
{
    const json_t *n;
    size_t i;
    json_array_foreach(json_object_get(root, "names"), i, n)
    {
        printf("name        %s, ", text_of(n, "name"));
        if (json_is_true(json_object_get(n, "known"))) {
            printf("%lld %s, answered %lld s ago\n",
                   (long long)json_array_size(json_object_get(n, "addresses")),
                   strcmp(text_of(n, "type"), "srv") == 0 ? "targets" : "addresses",
                   number_of(n, "answer_age_s"));
        } else {
            printf("no answer yet\n");
        }
        if (json_object_get(n, "why") != NULL) {
            printf("            FAILING for %lld s: %s\n", number_of(n, "failing_s"),
                   text_of(n, "why"));
        }
    }
}

static int print_status(struct lt_str body)
{
    json_error_t error;
    json_t *root = json_loadb(body.p, body.len, 0, &error);
    if (root == NULL) {
        fprintf(stderr, "lintel: the answer is no JSON: %s\n", error.text);
        return 1;
    }
    const json_t *config = json_object_get(root, "config");
    printf("lintel %s, %s, pid %lld, generation %lld, up ", text_of(root, "version"),
           text_of(root, "state"), number_of(root, "pid"), number_of(root, "generation"));
    print_uptime(number_of(root, "uptime_s"));
    printf("\n");
    printf("config      %s, number %lld, hash %.12s, since %s\n", text_of(config, "file"),
           number_of(config, "number"), text_of(config, "hash"), text_of(config, "since"));
    if (json_is_true(json_object_get(config, "fallback"))) {
        printf("            FALLBACK: the file has errors; what is used is the last that worked\n");
    } else if (json_is_true(json_object_get(config, "load_failed"))) {
        printf("            the last reload failed: the file has errors\n");
    }
    printf("workers     %lld, %lld connections, %lld exchanges, %lld tunnels, "
           "%lld log lines dropped\n",
           number_of(root, "workers"), number_of(root, "connections"), number_of(root, "exchanges"),
           number_of(root, "tunnels"), number_of(root, "log_dropped"));
    print_listeners(root);
    print_upstreams(root);
    print_names(root);
    bool ready = strcmp(text_of(root, "state"), "ready") == 0;
    json_decref(root);
    return ready ? 0 : 1;
}

/* ---- The command. ---- */

static int usage(void)
{
    fputs("usage: lintel status [-c FILE | --admin ADDRESS] [--json]\n", stderr);
    return 2;
}

int lt_cmd_status(int argc, char **argv)
{
    struct lt_admin_where where = {.config = lt_cmd_config_path()};
    bool json = false;
    struct lt_addr addr;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (!lt_admin_option(&where, argc, argv, &i)) {
            return usage();
        }
    }
    int code = lt_admin_find(&where, &addr);
    if (code != 0) {
        return code;
    }
    struct lt_buf out;
    struct lt_str body;
    lt_buf_init(&out, ANSWER_MAX);
    code = 1;
    if (lt_admin_ask(&addr, "GET", LT_STR("/status"), LT_STR_NONE, &out, &body) != 200) {
        /* There was no answer; or one that no gateway gives. */
    } else if (json) {
        printf("%.*s", LT_STR_ARG(body));
        code = 0;
    } else {
        code = print_status(body);
    }
    lt_buf_fini(&out);
    return code;
}
