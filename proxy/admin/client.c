/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/client.h"

#include <errno.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#include <jansson.h>

#include "server/cmd_config.h"
#include "server/root_conf.h"

#define REQUEST_MAX ((size_t)64 << 10)
#define TIME_LIMIT_S 10

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

/* Sends and gathers all that comes; false and errno. */
static bool talk(const struct lt_addr *addr, struct lt_str request, struct lt_buf *out)
{
    char piece[4096];
    int fd = connect_to(addr);
    if (fd < 0) {
        return false;
    }
    ssize_t n = send(fd, request.p, request.len, MSG_NOSIGNAL);
    bool gone = n < 0 && (errno == EPIPE || errno == ECONNRESET);
    /* Who turns us away before it has read has told why. */
    while ((n > 0 || gone) && (n = recv(fd, piece, sizeof(piece), 0)) > 0) {
        lt_buf_add(out, piece, (size_t)n);
    }
    int saved = errno;
    close(fd);
    if (n == 0 || saved == EPIPE || saved == ECONNRESET) {
        return true; /* what came may be an answer */
    }
    errno = saved;
    return false;
}

/* Whether less came than the head says; the gateway writes the field so. */
static bool is_cut(struct lt_str head, struct lt_str body)
{
    const struct lt_str name = LT_STR("\r\nContent-Length: ");
    uint64_t length = 0;
    size_t at = lt_str_find(head, name);
    if (at == SIZE_MAX) {
        return false;
    }
    struct lt_str rest = lt_str_sub(head, at + name.len, head.len);
    size_t end = lt_str_chr(rest, '\r', 0);
    return !lt_str_to_u64(lt_str_sub(rest, 0, lt_min(end, rest.len)), &length) || body.len < length;
}

/* The status of an answer; 0: it is none, and errno. */
static unsigned take_apart(struct lt_str all, struct lt_str *body)
{
    uint64_t status = 0;
    size_t end = lt_str_find(all, LT_STR("\r\n\r\n"));
    if (all.len == 0) {
        errno = EACCES; /* closed at once: we may not, which the gateway's log tells */
        return 0;
    }
    if (!lt_str_starts(all, LT_STR("HTTP/1.1 ")) || end == SIZE_MAX ||
        !lt_str_to_u64(lt_str_sub(all, 9, 12), &status)) {
        errno = EPROTO;
        return 0;
    }
    *body = lt_str_sub(all, end + 4, all.len);
    if (is_cut(lt_str_sub(all, 0, end), *body)) {
        errno = ECONNRESET;
        return 0;
    }
    return (unsigned)status;
}

static void say_refused(struct lt_str body)
{
    json_t *root = json_loadb(body.p, body.len, 0, NULL);
    const char *error = json_string_value(json_object_get(root, "error"));
    fprintf(stderr, "lintel: %s\n", error != NULL ? error : "the answer was not understood");
    json_decref(root);
}

void lt_admin_put_value(struct lt_buf *out, struct lt_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c != '\0' && strchr("-._~", c) != NULL)) {
            lt_buf_char(out, (char)c);
        } else {
            lt_buf_printf(out, "%%%02X", c);
        }
    }
}

unsigned lt_admin_ask(const struct lt_addr *addr, const char *method, struct lt_str target,
                      struct lt_str request_body, struct lt_buf *out, struct lt_str *body)
{
    struct lt_buf request;
    lt_buf_init(&request, REQUEST_MAX);
    lt_buf_printf(&request, "%s %.*s HTTP/1.1\r\nHost: lintel\r\n", method, LT_STR_ARG(target));
    if (request_body.len > 0) {
        lt_buf_printf(&request, "Content-Length: %zu\r\n", request_body.len);
    }
    lt_buf_printf(&request, "\r\n%.*s", LT_STR_ARG(request_body));
    unsigned status = 0;
    if (talk(addr, lt_buf_view(&request), out)) {
        status = take_apart(lt_buf_view(out), body);
    }
    if (status == 0) {
        char text[LT_ADDR_TEXT_MAX];
        int error = errno;
        fprintf(stderr, "lintel: %.*s: %s\n", (int)lt_addr_print(addr, text), text,
                strerror(error));
    } else if (status != 200) {
        say_refused(*body);
    }
    lt_buf_fini(&request);
    return status;
}

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
                "%.*slintel: %s can't be read: name another file by -c FILE, or the admin socket "
                "by --admin unix:PATH\n",
                LT_STR_ARG(lt_buf_view(&text)), path);
        lt_buf_fini(&text);
    } else {
        fprintf(stderr, "lintel: %s has no admin socket: add `admin: {listen: \"unix:...\"}`\n",
                path);
    }
    lt_root_load_free(load);
    return named;
}

bool lt_admin_option(struct lt_admin_where *where, int argc, char **argv, int *i)
{
    if (strcmp(argv[*i], "-c") == 0 && *i + 1 < argc) {
        where->config = argv[++*i];
    } else if (strcmp(argv[*i], "--admin") == 0 && *i + 1 < argc) {
        where->admin = argv[++*i];
    } else {
        return false;
    }
    return true;
}

int lt_admin_find(const struct lt_admin_where *where, struct lt_addr *addr)
{
    const char *why = "";
    if (where->admin == NULL) {
        return address_from_config(where->config, addr) ? 0 : 1;
    }
    if (lt_addr_parse(lt_str_c(where->admin), addr, &why) != LT_OK) {
        fprintf(stderr, "lintel: %s: %s\n", where->admin, why);
        return 2;
    }
    return 0;
}
