/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's changes on the disk: written whole after each change, read at the start. Main
 * thread, which may wait for a disk.
 *
 *   {"upstreams": {"app": {"paused": true, "servers": {"127.0.0.1:8000": {"state": "drain"}}}}} */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/file.h"
#include "server/json.h"
#include "server/server_sets_impl.h"

#define STATE_FILE_MAX ((size_t)16 << 20)
#define ARENA_MAX ((size_t)64 << 20)
#define PATH_BYTES 4096u
#define WEIGHT_MAX 1000u
#define MAX_MAX 65535u

/* ---- Writing. ---- */

static void put_change(const struct lt_sets_change *change, struct lt_buf *out)
{
    char text[LT_ADDR_TEXT_MAX];
    size_t n = lt_addr_print(&change->address, text);
    lt_json_item(out);
    lt_buf_json_str(out, lt_str(text, n));
    lt_buf_add(out, ":{", 2);
    if (change->added) {
        lt_json_key(out, "added");
        lt_buf_char(out, '{');
        if (change->entry.weight > 0) {
            lt_json_num(out, "weight", change->entry.weight);
        }
        if (change->entry.max > 0) {
            lt_json_num(out, "max", change->entry.max);
        }
        lt_json_bool(out, "backup", change->entry.backup);
        lt_buf_char(out, '}');
    }
    if (change->removed) {
        lt_json_bool(out, "removed", true);
    }
    if (change->weight > 0) {
        lt_json_num(out, "weight", change->weight);
    }
    if (change->admin != LT_SERVER_READY) {
        lt_json_str(out, "state", lt_str_c(lt_server_admin_name(change->admin)));
    }
    lt_buf_char(out, '}');
}

static void put_record(const struct lt_sets_record *record, struct lt_buf *out)
{
    if (!record->paused && lt_list_empty(&record->changes)) {
        return;
    }
    lt_json_item(out);
    lt_buf_json_str(out, record->name);
    lt_buf_add(out, ":{", 2);
    lt_json_bool(out, "paused", record->paused);
    lt_json_key(out, "servers");
    lt_buf_char(out, '{');
    lt_list_each(it, tmp, &record->changes)
    {
        put_change(lt_container_of(it, struct lt_sets_change, link), out);
    }
    lt_buf_add(out, "}}", 2);
}

/* Beside the file, then in its place: whoever reads finds a whole one. */
static bool replace(struct lt_str path, const struct lt_buf *text)
{
    char beside[PATH_BYTES];
    int n = snprintf(beside, sizeof(beside), "%.*s.new", LT_STR_ARG(path));
    if (n < 0 || (size_t)n >= sizeof(beside) || text->truncated) {
        errno = n < 0 || (size_t)n >= sizeof(beside) ? ENAMETOOLONG : EFBIG;
        return false;
    }
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return false;
    }
    size_t done = 0;
    while (done < text->len) {
        ssize_t written = write(fd, text->p + done, text->len - done);
        if (written < 0 && errno != EINTR) {
            break;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    int saved = errno;
    bool ok = close(fd) == 0 && done == text->len;
    errno = done < text->len ? saved : errno;
    return ok && rename(beside, path.p) == 0;
}

void lt_sets_remember(const struct lt_server_sets *sets)
{
    struct lt_buf out;
    if (sets->state_file.len == 0) {
        return;
    }
    lt_buf_init(&out, STATE_FILE_MAX);
    lt_buf_printf(&out, "{\"upstreams\":{");
    size_t at = 0;
    for (const struct lt_map_entry *e; (e = lt_map_next(&sets->records, &at)) != NULL;) {
        put_record(e->value, &out);
    }
    lt_buf_add(&out, "}}\n", 3);
    if (!replace(sets->state_file, &out)) {
        lt_log_error("upstream", "state_not_written", LT_KV_STR("file", sets->state_file),
                     LT_KV_CSTR("error", strerrordesc_np(errno)),
                     LT_KV_CSTR("hint", "changes hold until the gateway ends"));
    }
    lt_buf_fini(&out);
}

/* ---- Reading. ---- */

/* Where in the file something is. */
struct place {
    struct lt_str file, upstream;
    const char *server; /* as written; NULL: the upstream itself */
};

/* What isn't understood is left out; the rest is kept. */
static void leave_out(const struct place *at, const char *member, const char *why)
{
    lt_log_warn("upstream", "state_left_out", LT_KV_STR("file", at->file),
                LT_KV_STR("upstream", at->upstream),
                LT_KV_CSTR("server", at->server != NULL ? at->server : ""),
                LT_KV_CSTR("member", member), LT_KV_CSTR("why", why));
}

static uint32_t number(const struct place *at, const json_t *object, const char *key, uint32_t max)
{
    const json_t *value = json_object_get(object, key);
    json_int_t n = json_integer_value(value);
    if (value == NULL || (n > 0 && n <= max)) {
        return (uint32_t)n;
    }
    /* Files that wrote "max": 0 for none are well. */
    if (n != 0 || !json_is_integer(value) || strcmp(key, "max") != 0) {
        leave_out(at, key,
                  max == MAX_MAX ? "it has to be a whole number from 0 to 65535"
                                 : "it has to be a whole number from 1 to 1000");
    }
    return 0;
}

static bool truth(const struct place *at, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (value != NULL && !json_is_boolean(value)) {
        leave_out(at, key, "it has to be true or false");
    }
    return json_is_true(value);
}

static enum lt_server_admin state_of(const struct place *at, const json_t *object)
{
    const json_t *value = json_object_get(object, "state");
    const char *name = json_string_value(value);
    enum lt_server_admin admin = LT_SERVER_READY;
    if (value != NULL && (name == NULL || !lt_server_admin_find(lt_str_c(name), &admin))) {
        leave_out(at, "state", "it has to be ready, drain or maintenance");
    }
    return admin;
}

/* Whether object is one; its members that nobody knows are left out. */
static bool is_object(const struct place *at, const char *member, json_t *object,
                      const char *const *known)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object)) {
        leave_out(at, member, "it has to be an object");
        return false;
    }
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            leave_out(at, key, "there is no such member");
        }
    }
    return true;
}

static void take_members(struct lt_sets_change *change, const struct place *at,
                         const json_t *object)
{
    static const char *const known[] = {"weight", "max", "backup", NULL};
    json_t *added = json_object_get(object, "added");
    change->added = added != NULL && is_object(at, "added", added, known);
    if (change->added) {
        change->entry = (struct lt_server_entry){.address = change->address,
                                                 .weight = number(at, added, "weight", WEIGHT_MAX),
                                                 .max = number(at, added, "max", MAX_MAX),
                                                 .backup = truth(at, added, "backup")};
    }
    change->removed = truth(at, object, "removed");
    change->weight = number(at, object, "weight", WEIGHT_MAX);
    change->admin = state_of(at, object);
}

/* Gives whether that is a change. */
static bool take_change(struct lt_sets_record *record, const struct place *at, json_t *object)
{
    static const char *const known[] = {"added", "removed", "weight", "state", NULL};
    struct lt_addr addr;
    const char *why;
    if (lt_addr_parse(lt_str_c(at->server), &addr, &why) != LT_OK ||
        (why = lt_addr_no_target(&addr)) != NULL) {
        leave_out(at, "", why);
        return false;
    }
    if (!is_object(at, "", object, known)) {
        return false;
    }
    if (lt_sets_change_of(record, &addr) != NULL) {
        leave_out(at, "", "this server is there twice");
        return false;
    }
    struct lt_sets_change *change = lt_sets_new_change(record, &addr);
    if (change == NULL) {
        leave_out(at, "", "there are too many changes, or no memory for them");
        return false;
    }
    unsigned before = record->n_changes;
    take_members(change, at, object);
    lt_sets_tidy(record, change);
    return record->n_changes == before;
}

static unsigned take_record(struct lt_server_sets *sets, const char *name, json_t *object)
{
    static const char *const known[] = {"paused", "servers", NULL};
    struct place at = {.file = sets->state_file, .upstream = lt_str_c(name)};
    const char *address;
    json_t *change;
    unsigned n = 0;
    if (!is_object(&at, "", object, known)) {
        return 0;
    }
    struct lt_sets_record *record = lt_sets_record_of(sets, at.upstream);
    if (record == NULL) {
        leave_out(&at, "", "there are too many upstreams, or no memory for them");
        return 0;
    }
    record->paused = truth(&at, object, "paused");
    json_t *servers = json_object_get(object, "servers");
    if (servers != NULL && !json_is_object(servers)) {
        leave_out(&at, "servers", "it has to be an object");
    }
    json_object_foreach(servers, address, change)
    {
        at.server = address;
        n += take_change(record, &at, change);
    }
    return n;
}

/* What can't be read is put aside: the next change would write over it. */
static void put_aside(struct lt_str path, struct lt_str why)
{
    char aside[PATH_BYTES];
    int n = snprintf(aside, sizeof(aside), "%.*s.bad", LT_STR_ARG(path));
    bool moved = n > 0 && (size_t)n < sizeof(aside) && rename(path.p, aside) == 0;
    lt_log_error("upstream", "state_not_read", LT_KV_STR("file", path), LT_KV_STR("why", why),
                 LT_KV_CSTR("moved_to", moved ? aside : ""));
}

/* Another file is there already: it isn't ours to overwrite. */
void lt_sets_make_way(const struct lt_server_sets *sets)
{
    struct stat st;
    if (sets->state_file.len > 0 && stat(sets->state_file.p, &st) == 0) {
        put_aside(sets->state_file,
                  LT_STR("it is read at the start only, and was named by a reload"));
    }
}

void lt_sets_recall(struct lt_server_sets *sets)
{
    struct lt_arena arena;
    struct lt_str text, why = LT_STR_NONE;
    struct stat st;
    if (sets->state_file.len == 0 || (stat(sets->state_file.p, &st) != 0 && errno == ENOENT)) {
        return;
    }
    lt_arena_init(&arena, NULL, 0, ARENA_MAX);
    json_error_t error = {.line = 0};
    json_t *root = NULL;
    if (lt_file_read(NULL, &arena, sets->state_file.p, STATE_FILE_MAX, &text, NULL, &why) ==
        LT_OK) {
        root = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &error);
        why = lt_str_c(error.text);
    }
    const json_t *upstreams = json_object_get(root, "upstreams");
    if (!json_is_object(upstreams)) {
        put_aside(sets->state_file, why.len > 0 ? why : LT_STR("it is no state of upstreams"));
    } else {
        const char *name;
        json_t *object;
        unsigned n = 0;
        json_object_foreach((json_t *)upstreams, name, object)
        {
            n += take_record(sets, name, object);
        }
        lt_log_info("upstream", "state_read", LT_KV_STR("file", sets->state_file),
                    LT_KV_INT("changes", n));
    }
    json_decref(root);
    lt_arena_fini(&arena);
}
