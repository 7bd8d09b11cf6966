/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and keeping listening sockets. Supervisor. */
#include "server/sockets.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "net/listener.h"

struct set {
    struct lt_list link; /* in lt_sockets.sets */
    char *key;           /* owned, NUL-terminated */
    struct lt_addr addr; /* as asked for */
    unsigned asked;      /* count as asked for */
    uint32_t generation; /* of the gateway that asked last */
    dev_t dev;           /* of a Unix socket's path: that it is still ours */
    ino_t ino;
    unsigned n; /* sockets in fds */
    int fds[];
};

struct lt_sockets {
    struct lt_list sets;
};

struct lt_sockets *lt_sockets_new(void)
{
    struct lt_sockets *sockets = lt_calloc(1, sizeof(*sockets));
    if (sockets != NULL) {
        lt_list_init(&sockets->sets);
    }
    return sockets;
}

/* The path of a Unix socket, NULL for abstract ones and TCP. */
static const char *path_of(const struct lt_addr *addr)
{
    return lt_addr_is_unix(addr) && addr->un.sun_path[0] != '\0' ? addr->un.sun_path : NULL;
}

/* Whether what lies at the path is still the socket of this set. */
static bool has_path(const struct set *set, const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && st.st_dev == set->dev && st.st_ino == set->ino;
}

static void close_set(struct set *set)
{
    const char *path = path_of(&set->addr);
    if (path != NULL && set->n > 0 && has_path(set, path)) {
        unlink(path);
    }
    for (unsigned i = 0; i < set->n; i++) {
        close(set->fds[i]);
    }
    lt_list_remove(&set->link);
    lt_free(set->key);
    lt_free(set);
}

void lt_sockets_close_all(struct lt_sockets *sockets)
{
    lt_list_each(it, tmp, &sockets->sets)
    {
        close_set(lt_container_of(it, struct set, link));
    }
}

void lt_sockets_free(struct lt_sockets *sockets)
{
    if (sockets != NULL) {
        lt_sockets_close_all(sockets);
        lt_free(sockets);
    }
}

static struct set *find(struct lt_sockets *sockets, struct lt_str key)
{
    lt_list_each(it, tmp, &sockets->sets)
    {
        struct set *set = lt_container_of(it, struct set, link);
        if (lt_str_eq_c(key, set->key)) {
            return set;
        }
    }
    return NULL;
}

void lt_sockets_close(struct lt_sockets *sockets, struct lt_str key)
{
    struct set *set = find(sockets, key);
    if (set != NULL) {
        close_set(set);
    }
}

void lt_sockets_close_unused(struct lt_sockets *sockets, uint32_t generation)
{
    lt_list_each(it, tmp, &sockets->sets)
    {
        struct set *set = lt_container_of(it, struct set, link);
        if (set->generation != generation) {
            close_set(set);
        }
    }
}

/* Gives the path its owner and remembers which file it is. */
static bool settle_path(struct set *set, const struct lt_sockets_request *request)
{
    const char *path = path_of(&set->addr);
    struct stat st;
    if (path == NULL) {
        return true;
    }
    if ((request->uid != (unsigned)-1 && lchown(path, request->uid, request->gid) != 0) ||
        lstat(path, &st) != 0) {
        return false;
    }
    set->dev = st.st_dev;
    set->ino = st.st_ino;
    return true;
}

/* Opens sockets until the set is full; errno on failure. */
static bool fill(struct set *set, const struct lt_sockets_request *request, unsigned count)
{
    struct lt_listener_options options = {
        .backlog = request->backlog, .reuseport = count > 1, .unix_mode = request->mode};
    struct lt_addr addr = request->addr;
    const char *why;
    if (lt_listener_taken(&addr)) {
        errno = EADDRINUSE;
        return false;
    }
    while (set->n < count) {
        if (lt_listener_socket(&addr, &options, &set->fds[set->n], &why) != LT_OK) {
            return false;
        }
        set->n++;
        /* The others share the port that the kernel chose for the first. */
        if (!lt_addr_is_unix(&addr) && lt_listener_address(set->fds[set->n - 1], &addr) != LT_OK) {
            return false;
        }
    }
    return settle_path(set, request);
}

/* Whether the set is what the request asks for; a Unix socket that somebody has removed is not. */
static bool is_as_asked(const struct set *set, const struct lt_sockets_request *request)
{
    const char *path = path_of(&set->addr);
    return set->asked == request->count && lt_addr_eq(&set->addr, &request->addr) &&
           (path == NULL || has_path(set, path));
}

enum lt_err lt_sockets_open(struct lt_sockets *sockets, const struct lt_sockets_request *request,
                            const int **fds, unsigned *n, int *sys_errno)
{
    struct set *set = find(sockets, request->key);
    if (set != NULL && !is_as_asked(set, request)) {
        close_set(set);
        set = NULL;
    }
    *sys_errno = 0;
    if (set == NULL) {
        unsigned count = lt_addr_is_unix(&request->addr) ? 1 : lt_max(request->count, 1u);
        set = lt_calloc(1, sizeof(*set) + count * sizeof(int));
        char *key = lt_malloc(request->key.len + 1);
        if (set == NULL || key == NULL) {
            lt_free(set);
            lt_free(key);
            *sys_errno = ENOMEM;
            return LT_ERR_NOMEM;
        }
        memcpy(key, request->key.p, request->key.len);
        key[request->key.len] = '\0';
        set->key = key;
        set->addr = request->addr;
        set->asked = request->count;
        if (!fill(set, request, count)) {
            *sys_errno = errno;
            close_set(set);
            return lt_err_from_errno(*sys_errno);
        }
        lt_list_push_back(&sockets->sets, &set->link);
    }
    set->generation = request->generation;
    *fds = set->fds;
    *n = set->n;
    return LT_OK;
}
