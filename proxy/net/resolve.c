/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups by c-ares, whose sockets and timeouts live on our loop. c-ares asks and repeats, goes
 * from server to server and over to TCP; what the answers say we read ourselves (dns_answer.c),
 * because it tells no TTL of SRV records. Main thread. */
#include "net/resolve.h"

#define CARES_NO_DEPRECATED /* what newer versions have instead came with 1.28 */
#include <ares.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/hosts.h"

#define HOSTS_BYTES_MAX ((size_t)1 << 20)
#define PATH_BYTES_MAX 1024

/* One socket of c-ares. Kept for another one when it is closed. */
struct socket_watch {
    struct lt_list link;
    struct lt_resolver *resolver;
    ev_io io; /* fd -1: free */
};

/* A question on its way. c-ares can't take one back, so it may outlive its look-up. */
struct lt_lookup_query {
    struct lt_resolver *resolver;
    struct lt_lookup *lookup; /* NULL: nobody waits any more */
    int part;
    enum lt_dns_type type;
};

/* A file as it was when it was read. */
struct seen {
    char path[PATH_BYTES_MAX];
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
};

struct lt_resolver {
    struct lt_loop *loop;
    struct lt_resolver_options options;
    ares_channel channel;
    struct ares_options read; /* search list and ndots, as c-ares has read them */
    struct lt_list sockets;   /* struct socket_watch */
    struct lt_timer timer;
    struct lt_list waiting, running; /* struct lt_lookup */
    unsigned queries;                /* on their way */
    struct seen resolv_conf, hosts;
    char *hosts_text; /* owned; NULL: none */
    size_t hosts_len;
};

static void run_waiting(struct lt_resolver *r);

/* ---- Files that change. ---- */

/* Whether the file is another one than the last time; one that isn't there has all zero. */
static bool has_changed(struct seen *seen)
{
    struct stat st = {.st_size = 0};
    if (stat(seen->path, &st) != 0) {
        st = (struct stat){.st_size = 0};
    }
    bool same = seen->dev == st.st_dev && seen->ino == st.st_ino && seen->size == st.st_size &&
                seen->changed.tv_sec == st.st_mtim.tv_sec &&
                seen->changed.tv_nsec == st.st_mtim.tv_nsec;
    seen->dev = st.st_dev;
    seen->ino = st.st_ino;
    seen->size = st.st_size;
    seen->changed = st.st_mtim;
    return !same;
}

static void read_hosts(struct lt_resolver *r)
{
    int fd = open(r->hosts.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = fd >= 0 ? lt_malloc(HOSTS_BYTES_MAX) : NULL;
    size_t n = 0;
    ssize_t got = 1;
    while (text != NULL && got > 0 && n < HOSTS_BYTES_MAX) {
        got = read(fd, text + n, HOSTS_BYTES_MAX - n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    lt_free(r->hosts_text);
    r->hosts_text = text != NULL ? lt_realloc(text, n + 1, 1) : NULL;
    if (r->hosts_text == NULL) {
        lt_free(text);
        n = 0;
    }
    r->hosts_len = n;
}

/* ---- c-ares on the loop. ---- */

static void set_timer(struct lt_resolver *r)
{
    struct timeval tv;
    if (r->queries == 0 || ares_timeout(r->channel, NULL, &tv) == NULL) {
        lt_timer_clear(&r->timer);
        return;
    }
    lt_timer_set(&r->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
}

static void process(struct lt_resolver *r, int readable, int writable)
{
    ares_process_fd(r->channel, readable, writable);
    run_waiting(r);
    set_timer(r);
}

static void on_timer(void *arg)
{
    process(arg, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev;
    struct socket_watch *s = lt_container_of(w, struct socket_watch, io);
    process(s->resolver, (revents & EV_READ) != 0 ? w->fd : ARES_SOCKET_BAD,
            (revents & EV_WRITE) != 0 ? w->fd : ARES_SOCKET_BAD);
}

static struct socket_watch *find_socket(struct lt_resolver *r, int fd)
{
    lt_list_each(it, tmp, &r->sockets)
    {
        struct socket_watch *s = lt_container_of(it, struct socket_watch, link);
        if (s->io.fd == fd) {
            return s;
        }
    }
    return NULL;
}

/* Called by c-ares when it opens a socket, wants something else of it, and before it closes it. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct lt_resolver *r = data;
    struct socket_watch *s = find_socket(r, fd);
    if (s == NULL && (readable || writable)) {
        s = find_socket(r, -1);
        if (s == NULL && (s = lt_calloc(1, sizeof(*s))) != NULL) {
            s->resolver = r;
            ev_io_init(&s->io, on_socket, -1, 0);
            lt_list_push_back(&r->sockets, &s->link);
        }
    }
    if (s == NULL) {
        return; /* without memory its queries end by their time limit */
    }
    ev_io_stop(r->loop->ev, &s->io);
    ev_io_set(&s->io, -1, 0);
    if (readable || writable) {
        ev_io_set(&s->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
        ev_io_start(r->loop->ev, &s->io);
    }
}

static int set_servers(struct lt_resolver *r)
{
    struct ares_addr_port_node nodes[LT_RESOLVER_SERVERS_MAX];
    for (unsigned i = 0; i < r->options.n_servers; i++) {
        const struct lt_addr *a = &r->options.servers[i];
        struct ares_addr_port_node *node = &nodes[i];
        *node = (struct ares_addr_port_node){.family = a->sa.sa_family};
        node->next = i + 1 < r->options.n_servers ? node + 1 : NULL;
        node->udp_port = node->tcp_port = (int)lt_addr_port(a);
        if (node->family == AF_INET) {
            node->addr.addr4 = a->in.sin_addr;
        } else {
            memcpy(&node->addr.addr6, &a->in6.sin6_addr, sizeof(node->addr.addr6));
        }
    }
    return r->options.n_servers > 0 ? ares_set_servers_ports(r->channel, nodes) : ARES_SUCCESS;
}

static void close_channel(struct lt_resolver *r)
{
    if (r->channel != NULL) {
        ares_destroy(r->channel);
        ares_destroy_options(&r->read);
        r->channel = NULL;
    }
}

/* Reads resolv.conf. */
static bool open_channel(struct lt_resolver *r)
{
    struct ares_options o = {.timeout = (int)r->options.timeout_ms,
                             .tries = (int)r->options.tries,
                             .sock_state_cb = on_socket_state,
                             .sock_state_cb_data = r,
                             .resolvconf_path = r->resolv_conf.path};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
    int ignored;
    if (ares_init_options(&r->channel, &o, mask) != ARES_SUCCESS) {
        r->channel = NULL;
        return false;
    }
    memset(&r->read, 0, sizeof(r->read));
    if (set_servers(r) == ARES_SUCCESS &&
        ares_save_options(r->channel, &r->read, &ignored) == ARES_SUCCESS) {
        return true;
    }
    close_channel(r);
    return false;
}

struct lt_resolver *lt_resolver_new(struct lt_loop *loop, const struct lt_resolver_options *options)
{
    struct lt_resolver *r = lt_calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    r->loop = loop;
    r->options = *options;
    lt_list_init(&r->sockets);
    lt_list_init(&r->waiting);
    lt_list_init(&r->running);
    lt_timer_init(&r->timer, loop, on_timer, r);
    snprintf(r->resolv_conf.path, PATH_BYTES_MAX, "%.*s", LT_STR_ARG(options->resolv_conf));
    snprintf(r->hosts.path, PATH_BYTES_MAX, "%.*s", LT_STR_ARG(options->hosts));
    (void)has_changed(&r->resolv_conf);
    if (!open_channel(r)) {
        lt_resolver_free(r);
        return NULL;
    }
    return r;
}

void lt_resolver_free(struct lt_resolver *r)
{
    if (r == NULL) {
        return;
    }
    close_channel(r); /* ends what nobody waits for any more */
    lt_timer_fini(&r->timer);
    lt_list_each(it, tmp, &r->sockets)
    {
        struct socket_watch *s = lt_container_of(it, struct socket_watch, link);
        ev_io_stop(r->loop->ev, &s->io);
        lt_free(s);
    }
    lt_free(r->hosts_text);
    lt_free(r);
}

bool lt_resolver_obeys(const struct lt_resolver *r, const struct lt_resolver_options *options)
{
    const struct lt_resolver_options *o = &r->options;
    bool same = o->n_servers == options->n_servers && o->families == options->families &&
                o->timeout_ms == options->timeout_ms && o->tries == options->tries &&
                o->queries_max == options->queries_max &&
                lt_str_eq_c(options->resolv_conf, r->resolv_conf.path) &&
                lt_str_eq_c(options->hosts, r->hosts.path);
    for (unsigned i = 0; same && i < o->n_servers; i++) {
        same = lt_addr_eq(&o->servers[i], &options->servers[i]);
    }
    return same;
}

/* ---- One look-up. ---- */

static int n_parts(const struct lt_lookup *l)
{
    return l->kind == LT_LOOKUP_HOST ? 2 : 1;
}

static void deliver(void *arg)
{
    struct lt_lookup *l = arg;
    struct lt_lookup_part parts[LT_LOOKUP_PARTS];
    memcpy(parts, l->parts, sizeof(parts));
    memset(l->parts, 0, sizeof(l->parts));
    l->resolver = NULL;
    l->fn(l->owner, parts);
    for (int i = 0; i < LT_LOOKUP_PARTS; i++) {
        lt_dns_records_fini(&parts[i].records);
    }
}

static void finish(struct lt_lookup *l)
{
    lt_list_remove(&l->link);
    l->running = false;
    lt_loop_defer(l->resolver->loop, &l->done, deliver, l);
}

static void set_part(struct lt_lookup_part *part, enum lt_lookup_status status, const char *why)
{
    part->status = status;
    part->why = why;
}

/* What a status of c-ares says about the name. */
static void judge(struct lt_lookup_part *part, int status)
{
    static const struct {
        int status;
        enum lt_lookup_status means;
        const char *why;
    } all[] = {
        {ARES_ENOTFOUND, LT_LOOKUP_NONE, "no such name (NXDOMAIN)"},
        {ARES_ENODATA, LT_LOOKUP_NONE, "the name has no such record"},
        {ARES_ETIMEOUT, LT_LOOKUP_FAILED, "no DNS server answered in time"},
        /* c-ares doesn't tell the two apart. */
        {ARES_ECONNREFUSED, LT_LOOKUP_FAILED,
         "no DNS server could be reached, or each had only an error (SERVFAIL, REFUSED)"},
        {ARES_EFORMERR, LT_LOOKUP_FAILED, "the DNS server did not understand (FORMERR)"},
        {ARES_EBADRESP, LT_LOOKUP_FAILED, "the DNS server's answer is malformed"},
        {ARES_EBADNAME, LT_LOOKUP_FAILED, "the name is too long with its search domain"},
        {ARES_ENOMEM, LT_LOOKUP_FAILED, "out of memory"},
    };
    set_part(part, LT_LOOKUP_FAILED, "the look-up failed");
    for (size_t i = 0; i < lt_countof(all); i++) {
        if (all[i].status == status) {
            set_part(part, all[i].means, all[i].why);
        }
    }
}

static void next_candidate(struct lt_lookup *l);

/* All parts of one candidate are there. Only a sure "no" leads on to the next: after a failure it
 * might be another machine that has the name. */
static void conclude(struct lt_lookup *l)
{
    bool none = true;
    for (int i = 0; i < n_parts(l); i++) {
        none &= l->parts[i].status == LT_LOOKUP_NONE;
    }
    if (none) {
        next_candidate(l);
    } else {
        finish(l);
    }
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
    (void)timeouts;
    struct lt_lookup_query *q = arg;
    struct lt_lookup *l = q->lookup;
    const char *why;
    q->resolver->queries--;
    if (l != NULL) {
        struct lt_lookup_part *part = &l->parts[q->part];
        l->queries[q->part] = NULL;
        if (status != ARES_SUCCESS) {
            judge(part, status);
        } else if (lt_dns_answer_parse(answer, (size_t)lt_max(len, 0), q->type, &part->records,
                                       &why) != LT_OK) {
            lt_log_debug("resolver", "dns_answer_malformed", LT_KV_STR("dns_name", l->name),
                         LT_KV_CSTR("why", why));
            judge(part, ARES_EBADRESP);
        } else if (part->records.n == 0 && !part->records.absent) {
            lt_dns_records_fini(&part->records);
            judge(part, ARES_ENODATA);
        } else {
            set_part(part, LT_LOOKUP_OK, NULL);
        }
        if (l->running && l->queries[0] == NULL && l->queries[1] == NULL) {
            conclude(l);
        }
    }
    lt_free(q);
}

/* Whether records of this part are wanted; the first family is IPv4. */
static bool is_wanted(const struct lt_lookup *l, int part)
{
    return l->kind == LT_LOOKUP_SRV || l->resolver->options.families == LT_FAMILIES_BOTH ||
           (l->resolver->options.families == LT_FAMILIES_IPV4) == (part == 0);
}

/* Asks for one candidate. An answer may come before this returns. */
static void ask(struct lt_lookup *l, const char *name)
{
    static const enum lt_dns_type types[] = {LT_DNS_A, LT_DNS_AAAA};
    struct lt_lookup_query *all[LT_LOOKUP_PARTS] = {NULL};
    for (int i = 0; i < n_parts(l); i++) {
        if (!is_wanted(l, i)) {
            judge(&l->parts[i], ARES_ENODATA);
            continue;
        }
        struct lt_lookup_query *q = all[i] = lt_calloc(1, sizeof(*q));
        l->queries[i] = q;
        set_part(&l->parts[i], LT_LOOKUP_FAILED, "out of memory");
        if (q != NULL) {
            *q = (struct lt_lookup_query){.resolver = l->resolver,
                                          .lookup = l,
                                          .part = i,
                                          .type = l->kind == LT_LOOKUP_SRV ? LT_DNS_SRV : types[i]};
        }
    }
    if (l->queries[0] == NULL && l->queries[1] == NULL) {
        finish(l);
        return;
    }
    struct lt_resolver *r = l->resolver;
    for (int i = 0; i < LT_LOOKUP_PARTS; i++) {
        if (all[i] != NULL) {
            r->queries++;
            ares_query(r->channel, name, 1 /* IN */, (int)all[i]->type, on_answer, all[i]);
        }
    }
}

/* The n-th name to try, as resolv.conf(5) has it: a name with ndots dots first as it is, another
 * one first with the domains of the search list. False: there are no more. */
static bool candidate(const struct lt_lookup *l, char out[LT_DNS_NAME_MAX * 2 + 2])
{
    const struct ares_options *o = &l->resolver->read;
    unsigned domains = (unsigned)lt_max(o->ndomains, 0), n = l->candidate;
    int dots = 0;
    for (size_t i = 0; i < l->name.len; i++) {
        dots += l->name.p[i] == '.';
    }
    if (lt_str_ends(l->name, LT_STR(".")) || l->kind == LT_LOOKUP_SRV) {
        domains = 0;
    }
    bool bare_first = dots >= o->ndots || domains == 0;
    if (n > domains) {
        return false;
    }
    if (n == (bare_first ? 0 : domains)) {
        snprintf(out, LT_DNS_NAME_MAX * 2 + 2, "%.*s", LT_STR_ARG(l->name));
    } else {
        snprintf(out, LT_DNS_NAME_MAX * 2 + 2, "%.*s.%s", LT_STR_ARG(l->name),
                 o->domains[bare_first ? n - 1 : n]);
    }
    return true;
}

static void next_candidate(struct lt_lookup *l)
{
    char name[LT_DNS_NAME_MAX * 2 + 2];
    if (candidate(l, name)) {
        l->candidate++;
        ask(l, name);
    } else {
        finish(l);
    }
}

/* Whether the hosts file has it. */
static bool find_in_hosts(struct lt_lookup *l)
{
    static const int families[] = {AF_INET, AF_INET6};
    struct lt_resolver *r = l->resolver;
    bool known = false;
    if (has_changed(&r->hosts)) {
        read_hosts(r);
    }
    for (int i = 0; i < n_parts(l) && l->kind == LT_LOOKUP_HOST; i++) {
        struct lt_lookup_part *part = &l->parts[i];
        bool in_file;
        if (lt_hosts_find(lt_str(r->hosts_text, r->hosts_len), l->name, families[i], &part->records,
                          &in_file) != LT_OK) {
            judge(part, ARES_ENOMEM);
        } else if (part->records.n > 0 && is_wanted(l, i)) {
            set_part(part, LT_LOOKUP_OK, NULL);
        } else {
            lt_dns_records_fini(&part->records);
            judge(part, ARES_ENODATA);
        }
        known |= in_file;
    }
    return known;
}

/* A new resolv.conf takes effect when no query is on its way; until then all others wait. */
static bool channel_ready(struct lt_resolver *r)
{
    struct seen now = r->resolv_conf;
    if (!has_changed(&now) && r->channel != NULL) {
        return true;
    }
    if (r->queries > 0) {
        return false;
    }
    r->resolv_conf = now;
    close_channel(r);
    if (open_channel(r)) {
        lt_log_info("resolver", "resolv_conf_read", LT_KV_CSTR("file", r->resolv_conf.path));
    }
    return true;
}

static void run(struct lt_lookup *l)
{
    l->running = true;
    l->candidate = 0;
    if (find_in_hosts(l)) {
        finish(l);
    } else if (l->resolver->channel == NULL) {
        judge(&l->parts[0], ARES_ENOMEM);
        judge(&l->parts[1], ARES_ENOMEM);
        finish(l);
    } else {
        next_candidate(l);
    }
}

static void run_waiting(struct lt_resolver *r)
{
    while (!lt_list_empty(&r->waiting) && r->queries + LT_LOOKUP_PARTS <= r->options.queries_max &&
           channel_ready(r)) {
        struct lt_lookup *l =
            lt_container_of(lt_list_pop_front(&r->waiting), struct lt_lookup, link);
        lt_list_push_back(&r->running, &l->link);
        run(l);
    }
}

void lt_lookup_start(struct lt_lookup *l, struct lt_resolver *resolver, enum lt_lookup_kind kind,
                     struct lt_str name, lt_lookup_fn fn, void *owner)
{
    *l = (struct lt_lookup){
        .resolver = resolver, .kind = kind, .name = name, .fn = fn, .owner = owner};
    lt_list_push_back(&resolver->waiting, &l->link);
    run_waiting(resolver);
    set_timer(resolver);
}

void lt_lookup_cancel(struct lt_lookup *l)
{
    if (l->resolver == NULL) {
        return;
    }
    for (int i = 0; i < LT_LOOKUP_PARTS; i++) {
        if (l->queries[i] != NULL) {
            l->queries[i]->lookup = NULL;
        }
        lt_dns_records_fini(&l->parts[i].records);
    }
    lt_list_remove(&l->link);
    lt_loop_cancel(&l->done);
    l->resolver = NULL;
}
