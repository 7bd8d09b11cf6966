/* SPDX-License-Identifier: Apache-2.0 */
/* The control API. What comes in is checked whole before anything is changed. Main thread. */
#include "admin/control.h"

#include <jansson.h>

#include "http/uri.h"
#include "server/gateway.h"
#include "server/json.h"
#include "server/upstream_status.h"

#define WEIGHT_MAX 1000
#define MAX_MAX 65535

/* ---- Answers. ---- */

static bool refuse(struct lt_control_call *call, struct lt_buf *out, unsigned status,
                   const char *error)
{
    call->status = status;
    lt_buf_char(out, '{');
    lt_json_str(out, "error", lt_str_c(error));
    lt_buf_add(out, "}\n", 2);
    return false;
}

static void put_upstream(struct lt_control_call *call, struct lt_buf *out)
{
    const struct lt_upstream *u = lt_server_sets_upstream(call->gateway->sets, call->upstream);
    if (u == NULL) {
        (void)refuse(call, out, 404, "there is no upstream of that name");
        return;
    }
    lt_upstream_status(call->gateway, u, out);
    lt_buf_char(out, '\n');
}

static void put_all(struct lt_control_call *call, struct lt_buf *out)
{
    lt_upstreams_status(call->gateway, out);
    lt_buf_char(out, '\n');
}

static bool result(struct lt_control_call *call, enum lt_server_sets_result r, struct lt_buf *out)
{
    switch (r) {
    case LT_SETS_OK:
        call->put = put_upstream;
        return true;
    case LT_SETS_NO_UPSTREAM:
        return refuse(call, out, 404, "there is no upstream of that name");
    case LT_SETS_NO_SERVER:
        return refuse(call, out, 404, "the upstream has no server with that address");
    case LT_SETS_EXISTS:
        return refuse(call, out, 409, "the upstream has a server with that address");
    case LT_SETS_LIMIT:
        return refuse(call, out, 507, "there are too many servers or changes");
    case LT_SETS_NO_MEMORY:
        break;
    }
    return refuse(call, out, 507, "out of memory");
}

/* ---- What is asked. ---- */

/* The members of a body, each at most once and none besides; NULL, and the answer, if it has
 * others. */
static json_t *members(struct lt_control_call *call, struct lt_str body, const char *const *known,
                       struct lt_buf *out)
{
    json_error_t error;
    json_t *root = json_loadb(body.p, body.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root) || json_object_size(root) == 0) {
        json_decref(root);
        (void)refuse(call, out, 400, "the body has to be a JSON object that says what to change");
        return NULL;
    }
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            char text[128];
            snprintf(text, sizeof(text), "\"%.60s\" can't be set here", key);
            (void)refuse(call, out, 400, text);
            json_decref(root);
            return NULL;
        }
    }
    return root;
}

/* An optional number within bounds; false: the answer was made. */
static bool number(struct lt_control_call *call, const json_t *root, const char *key, uint32_t max,
                   uint32_t *value, struct lt_buf *out)
{
    const json_t *n = json_object_get(root, key);
    char text[128];
    if (n == NULL) {
        return true;
    }
    if (!json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > max) {
        snprintf(text, sizeof(text), "\"%s\" has to be a whole number from 1 to %u", key, max);
        return refuse(call, out, 400, text);
    }
    *value = (uint32_t)json_integer_value(n);
    return true;
}

static bool parse_address(struct lt_control_call *call, struct lt_str text, struct lt_addr *address,
                          struct lt_buf *out)
{
    const char *why = "";
    if (lt_str_starts(text, LT_STR("dns:")) || lt_str_starts(text, LT_STR("dns+srv:"))) {
        return refuse(call, out, 400,
                      "names are looked up for the configuration (`servers: [\"dns:NAME:PORT\"]`); "
                      "here servers are added and named by their addresses, such as 10.0.0.1:8000");
    }
    if (lt_addr_parse(text, address, &why) == LT_OK && (why = lt_addr_no_target(address)) == NULL) {
        return true;
    }
    return refuse(call, out, 400, why);
}

static bool method_wrong(struct lt_control_call *call, struct lt_buf *out)
{
    return refuse(call, out, 405, "this method is not for this page");
}

/* ---- /upstreams ---- */

static bool pause_upstream(struct lt_control_call *call, struct lt_str body, struct lt_buf *out)
{
    static const char *const known[] = {"paused", NULL};
    json_t *root = members(call, body, known, out);
    if (root == NULL) {
        return false;
    }
    const json_t *paused = json_object_get(root, "paused");
    bool ok = json_is_boolean(paused), value = json_is_true(paused);
    json_decref(root);
    if (!ok) {
        return refuse(call, out, 400, "\"paused\" has to be true or false");
    }
    return result(call, lt_server_sets_pause(call->gateway->sets, call->upstream, value), out);
}

static bool upstreams(struct lt_control_call *call, const struct lt_request *req,
                      struct lt_str body, struct lt_buf *out)
{
    bool named = lt_query_get(call->arena, req->query, LT_STR("name"), &call->upstream);
    if (req->method == LT_METHOD_GET) {
        call->put = named ? put_upstream : put_all;
        return true;
    }
    if (req->method != LT_METHOD_PUT) {
        return method_wrong(call, out);
    }
    return named ? pause_upstream(call, body, out)
                 : refuse(call, out, 400, "say which upstream: ?name=NAME");
}

/* ---- /servers ---- */

static bool add_server(struct lt_control_call *call, struct lt_str body, struct lt_buf *out)
{
    static const char *const known[] = {"address", "weight", "max", "backup", NULL};
    struct lt_server_entry entry = {.weight = 0};
    json_t *root = members(call, body, known, out);
    if (root == NULL) {
        return false;
    }
    const char *address = json_string_value(json_object_get(root, "address"));
    const json_t *backup = json_object_get(root, "backup");
    bool ok = address != NULL && (backup == NULL || json_is_boolean(backup));
    if (!ok) {
        (void)refuse(call, out, 400,
                     address == NULL ? "\"address\" has to say where the server listens"
                                     : "\"backup\" has to be true or false");
    }
    ok = ok && parse_address(call, lt_str_c(address), &entry.address, out) &&
         number(call, root, "weight", WEIGHT_MAX, &entry.weight, out) &&
         number(call, root, "max", MAX_MAX, &entry.max, out);
    entry.backup = json_is_true(backup);
    json_decref(root);
    return ok && result(call, lt_server_sets_add(call->gateway->sets, call->upstream, &entry), out);
}

static bool change_server(struct lt_control_call *call, const struct lt_addr *address,
                          struct lt_str body, struct lt_buf *out)
{
    static const char *const known[] = {"state", "weight", NULL};
    json_t *root = members(call, body, known, out);
    if (root == NULL) {
        return false;
    }
    const json_t *state = json_object_get(root, "state");
    const char *name = json_string_value(state);
    enum lt_server_admin admin = LT_SERVER_READY;
    uint32_t weight = 0;
    bool ok = number(call, root, "weight", WEIGHT_MAX, &weight, out);
    if (ok && state != NULL && (name == NULL || !lt_server_admin_find(lt_str_c(name), &admin))) {
        ok = refuse(call, out, 400, "\"state\" has to be ready, drain or maintenance");
    }
    bool sets_state = state != NULL;
    json_decref(root);
    struct lt_server_sets *sets = call->gateway->sets;
    enum lt_server_sets_result r = LT_SETS_OK;
    if (ok && weight > 0) {
        r = lt_server_sets_weigh(sets, call->upstream, address, weight);
    }
    if (ok && r == LT_SETS_OK && sets_state) {
        r = lt_server_sets_admin(sets, call->upstream, address, admin);
    }
    return ok && result(call, r, out);
}

static bool servers(struct lt_control_call *call, const struct lt_request *req, struct lt_str body,
                    struct lt_buf *out)
{
    struct lt_str text;
    struct lt_addr address;
    if (!lt_query_get(call->arena, req->query, LT_STR("upstream"), &call->upstream)) {
        return refuse(call, out, 400, "say which upstream: ?upstream=NAME");
    }
    if (req->method == LT_METHOD_POST) {
        return add_server(call, body, out);
    }
    if (req->method != LT_METHOD_PUT && req->method != LT_METHOD_DELETE) {
        return method_wrong(call, out);
    }
    if (!lt_query_get(call->arena, req->query, LT_STR("address"), &text)) {
        return refuse(call, out, 400, "say which server: &address=ADDRESS");
    }
    if (!parse_address(call, text, &address, out)) {
        return false;
    }
    if (req->method == LT_METHOD_PUT) {
        return change_server(call, &address, body, out);
    }
    return result(call, lt_server_sets_remove(call->gateway->sets, call->upstream, &address), out);
}

bool lt_control_call(struct lt_control_call *call, const struct lt_request *req, struct lt_str body,
                     struct lt_buf *out)
{
    return lt_str_eq_c(req->path, "/upstreams") ? upstreams(call, req, body, out)
                                                : servers(call, req, body, out);
}
