/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the admin socket. A process of its own; may block. */
#include "admin/cmd_status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/buf.h"
#include "server/cmd_config.h"
#include "server/root_conf.h"

#define ANSWER_MAX ((size_t)64 << 20)
#define TIME_LIMIT_S 10

/* ---- Asking. ---- */

static int connect_to(const struct lt_addr *addr)
{
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = TIME_LIMIT_S};
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, &addr->sa, addr->len) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* The body of the answer to GET /status; false and errno when there is none. */
static bool ask(const struct lt_addr *addr, struct lt_buf *out, struct lt_str *body)
{
    static const char request[] = "GET /status HTTP/1.1\r\nHost: lintel\r\n\r\n";
    char piece[4096];
    int fd = connect_to(addr);
    if (fd < 0) {
        return false;
    }
    ssize_t n = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
    while (n > 0 && (n = recv(fd, piece, sizeof(piece), 0)) > 0) {
        lt_buf_add(out, piece, (size_t)n);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    if (n < 0) {
        errno = errno == EPIPE || errno == ECONNRESET ? EACCES : errno; /* turned away */
        return false;
    }
    struct lt_str all = lt_buf_view(out);
    size_t end = lt_str_find(all, LT_STR("\r\n\r\n"));
    errno = EPROTO;
    if (!lt_str_starts(all, LT_STR("HTTP/1.1 200 ")) || end == SIZE_MAX) {
        errno = all.len == 0 ? EACCES : EPROTO; /* closed at once: we may not */
        return false;
    }
    *body = lt_str_sub(all, end + 4, all.len);
    return true;
}

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
        printf("upstream    %s\n", text_of(u, "name"));
        json_array_foreach(json_object_get(u, "servers"), j, s)
        {
            printf("  server    %s", text_of(s, "address"));
            if (json_object_get(s, "max") != NULL) {
                printf(", %lld of %lld in flight", number_of(s, "in_flight"), number_of(s, "max"));
            }
            printf("%s", json_is_true(json_object_get(s, "down")) ? ", down" : "");
            if (number_of(s, "failures") > 0) {
                printf(", %lld connects failed in a row", number_of(s, "failures"));
            }
            printf("\n");
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
    bool ready = strcmp(text_of(root, "state"), "ready") == 0;
    json_decref(root);
    return ready ? 0 : 1;
}

/* ---- The command. ---- */

/* The admin socket that the configuration at path names. */
static bool address_from_config(const char *path, struct lt_addr *addr)
{
    struct lt_root_load *load = lt_root_load_file(NULL, path);
    /* Mistakes elsewhere are no reason not to tell: the gateway may well run with an older file. */
    const struct lt_root_conf *conf = load != NULL ? load->read : NULL;
    bool named = conf != NULL && lt_schema_is_set(conf, offsetof(struct lt_root_conf, admin)) &&
                 conf->admin.listen.len > 0;
    if (named) {
        *addr = conf->admin.listen;
    } else if (load == NULL || load->conf == NULL) {
        struct lt_buf text;
        lt_buf_init(&text, (size_t)1 << 20);
        if (load != NULL) {
            lt_diags_print(&load->diags, &text);
        }
        fprintf(stderr,
                "%.*slintel: %s can't be read; name the socket: lintel status --admin "
                "unix:PATH\n",
                LT_STR_ARG(lt_buf_view(&text)), path);
        lt_buf_fini(&text);
    } else {
        fprintf(stderr, "lintel: %s has no admin socket: add `admin: {listen: \"unix:...\"}`\n",
                path);
    }
    lt_root_load_free(load);
    return named;
}

static int usage(void)
{
    fputs("usage: lintel status [-c FILE | --admin ADDRESS] [--json]\n", stderr);
    return 2;
}

int lt_cmd_status(int argc, char **argv)
{
    const char *config = lt_cmd_config_path(), *admin = NULL, *why = "";
    bool json = false;
    struct lt_addr addr;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            config = argv[++i];
        } else if (strcmp(argv[i], "--admin") == 0 && i + 1 < argc) {
            admin = argv[++i];
        } else {
            return usage();
        }
    }
    if (admin != NULL && lt_addr_parse(lt_str_c(admin), &addr, &why) != LT_OK) {
        fprintf(stderr, "lintel: %s: %s\n", admin, why);
        return 2;
    }
    if (admin == NULL && !address_from_config(config, &addr)) {
        return 1;
    }
    struct lt_buf out;
    struct lt_str body;
    char text[LT_ADDR_TEXT_MAX];
    int code = 1;
    lt_buf_init(&out, ANSWER_MAX);
    if (!ask(&addr, &out, &body)) {
        int error = errno;
        fprintf(stderr, "lintel: %.*s: %s\n", (int)lt_addr_print(&addr, text), text,
                strerror(error));
    } else if (json) {
        printf("%.*s", LT_STR_ARG(body));
        code = 0;
    } else {
        code = print_status(body);
    }
    lt_buf_fini(&out);
    return code;
}
