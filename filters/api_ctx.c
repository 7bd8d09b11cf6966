/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the hooks and of `ctx` (api.h). The functions are in ctx*.c, job.c, flow.c, parallel.c
 * and task.c; fields without one are answered by the objects in ctx*.c. */
#include "filters/api.h"
#include "filters/ctx.h"
#include "filters/flow.h"
#include "filters/lib.h"

static const struct lt_api_row filter_rows[] = {
    LT_API_FIELD("init", "fun(conf: table): any",
                 "Once per instance and worker while a configuration is loaded; what it returns is "
                 "`ctx.state`. Raising refuses the configuration. It can't wait."),
    LT_API_FIELD("request", "fun(ctx: lintel.Ctx): lintel.Answer?", "Before a server is chosen."),
    LT_API_FIELD("upstream", "fun(ctx: lintel.Ctx): lintel.Answer?",
                 "The request is ready to leave, and a server is about to be chosen."),
    LT_API_FIELD("response", "fun(ctx: lintel.Ctx): lintel.Answer?",
                 "The head of the response is there, also of answers by Lintel and by filters."),
    LT_API_FIELD(
        "body",
        "fun(ctx: lintel.Ctx, chunks: fun(): string?)|{request?: fun(ctx: lintel.Ctx, "
        "chunks: fun(): string?), response?: fun(ctx: lintel.Ctx, chunks: fun(): string?)}",
        "Changes a body as it passes: the response's, or with a table either."),
    LT_API_FIELD("log", "fun(ctx: lintel.Ctx)", "The client was answered."),
    LT_API_FIELD("every", "table<string, fun(state: any)>",
                 "Periodic work, on one worker: period, as in `\"30s\"`, to function."),
    LT_API_FIELD("schema", "table<string, table>", "The settings."),
    LT_API_FIELD("group", "\"auth\"|\"limit\"|\"transform\"|\"observe\"",
                 "Decides `on_error` where nobody does."),
    LT_API_FIELD("on_error", "\"closed\"|\"open\"", "What happens to a request when a hook fails."),
    LT_API_FIELD("name", "string", "For people."),
    LT_API_END,
};

const struct lt_api lt_api_filter = {
    .name = "lintel.Filter",
    .doc = "The table that a filter's file returns. At least one hook or `every`, and nothing else "
           "than these fields. In an editor, `---@type lintel.Filter` before `local M = {}` makes "
           "them known.",
    .page = "hooks.md",
    .rows = filter_rows,
};

static const struct lt_api_row ctx_rows[] = {
    LT_API_FIELD("req", "lintel.Request", ""),
    LT_API_FIELD("res", "lintel.Response", "In `response` and `log`."),
    LT_API_FIELD("client", "lintel.Client", ""),
    LT_API_FIELD("route", "lintel.Route", ""),
    LT_API_FIELD("upstream", "lintel.Upstream", ""),
    LT_API_FIELD(
        "user", "table<string, string|string[]>?",
        "Who it is. `ctx.user = {id = \"alice\", groups = {\"ops\"}}` sets it, `ctx.user.plan = "
        "\"paid\"` adds to it. A field is a text, or a list of texts. Expressions see `user.id` "
        "and `'ops' in user.groups`; `id`, `groups` and `scopes` mean what they say to all "
        "filters."),
    LT_API_FIELD(
        "vars", "table<string, any>",
        "What filters leave for later hooks and for each other during one exchange. Strings, "
        "numbers "
        "and booleans are seen by all filters, tables and functions by those of the same file."),
    LT_API_FIELD(
        "fields", "table<string, any>",
        "Members of the access line: `ctx.fields.plan = \"gold\"`. Text, numbers and booleans, or "
        "a "
        "setting of the type `expr`, whose value is taken when the line is written and hides what "
        "`log.redact` names. nil takes one out. At most 32; they can't be read."),
    LT_API_FIELD("conf", "table<string, any>", "The settings."),
    LT_API_FIELD("state", "any", "What `init` returned."),
    LT_API_FIELD("name", "string", "Of the instance."),
    LT_API_FIELD("priority", "\"high\"|\"normal\"|\"low\"",
                 "May be set in `request`: who is served first while requests wait for a server."),
    LT_API_FIELD("id", "string",
                 "Of the request, in logs, for servers and in answers of Lintel's own. May be set "
                 "in `request`: 1 to 128 visible characters."),
    LT_API_FIELD("trace_id", "string", "The W3C trace id, 32 digits."),
    LT_API_FIELD("cause", "string", "Why it ended as it did, so far: `\"ok\"`."),
    LT_API_FIELD("elapsed", "number", "Seconds since the exchange began."),
    LT_API_FIELD("log", "lintel.Log", "Lines carry the id of the request."),
    {"deny",
     ":(status: integer, reason: string, headers?: table<string, string|number>): "
     "lintel.Answer",
     "A refusal, to be returned: `return ctx:deny(403, \"no_ticket\")`. The status is 400 to 599; "
     "the reason is a stable id of small letters, digits and `_` for clients and the access log.",
     lt_ctx_deny},
    {"respond",
     ":(answer: {status?: integer, headers?: table<string, string|number>, body?: string, json?: "
     "any}): lintel.Answer",
     "Any answer, to be returned; 200 without a status, at most 512 KB.", lt_ctx_respond},
    {"redirect", ":(url: string, status?: 301|302|303|307|308): lintel.Answer",
     "A redirect, to be returned; 302 without a status.", lt_ctx_redirect},
    {"sleep", ":(duration: number|string)",
     "Waits so many seconds, or a time as in `\"50ms\"`, at most an hour. Other requests go on.",
     lt_lua_sleep},
    {"parallel", ":(functions: (fun(): any)[]): any ...",
     "Runs up to 16 functions beside each other, each of which may wait, and gives the first "
     "result of each in their order. An error in one is raised, after the others were given up.",
     lt_lua_parallel},
    {"defer", ":(fn: fun())",
     "Runs `fn` when this call of the hook is over, however it ends; the last one first, at most "
     "8. It can't wait.",
     lt_ctx_defer},
    {"emit", ":(text: string)",
     "In `body`: gives a piece of the body, and waits while the other side is slow.", lt_flow_emit},
    LT_API_END,
};

const struct lt_api lt_api_ctx = {
    .name = "lintel.Ctx",
    .as = "ctx",
    .doc = "One request and its response, as hooks see them. It is valid during its own call: a "
           "filter that keeps it gets an error when it uses it.",
    .rows = ctx_rows,
};

#define BODY_DOC                                                                                   \
    "The whole body as text, as it was sent; it waits until that is there. `max` is `\"64K\"` "    \
    "without it and at most `\"16M\"`. Else nil and `too_large`, `stream`, `no_memory` or "        \
    "`unreadable`."
#define BODY_TYPE ":(options?: {max?: integer|string}): string? text, string? reason"
#define JSON_DOC                                                                                   \
    "The value that the body holds, of at most 512 KB; else nil and a reason as of `body`, or "    \
    "`encoded`, or `malformed` with what is wrong."
#define JSON_TYPE ":(options?: {max?: integer|string}): any value, string? reason, string? detail"
#define SET_BODY_DOC                                                                               \
    "Puts another body in its place. `Content-Length` is made right, `Content-Encoding` and "      \
    "digests go."

static const struct lt_api_row request_rows[] = {
    LT_API_FIELD("method", "string", ""),
    LT_API_FIELD("path", "string", "Normalised, without the query."),
    LT_API_FIELD("target", "string", "Path and query as the client sent them."),
    LT_API_FIELD("host", "string", "In small letters, without the port."),
    LT_API_FIELD("scheme", "\"http\"|\"https\"", ""),
    LT_API_FIELD("http_version", "\"1.0\"|\"1.1\"|\"2\"", ""),
    LT_API_FIELD("headers", "lintel.Headers", "May be changed in `request` and `upstream`."),
    LT_API_FIELD(
        "query", "table<string, string?>",
        "Decoded; the first of a name. Setting one to nil in `request` takes it off what the "
        "server gets, with all of its name."),
    {"bearer", ":(): string?", "The token of `Authorization: Bearer TOKEN`.", lt_ctx_req_bearer},
    {"cookie", ":(name: string): string?", "The value of a cookie.", lt_ctx_req_cookie},
    {"body", BODY_TYPE, "In `request`. " BODY_DOC, lt_ctx_req_body},
    {"json", JSON_TYPE, "In `request`. " JSON_DOC, lt_ctx_req_json},
    {"set_body", ":(text: string)", "In `request`. " SET_BODY_DOC, lt_ctx_req_set_body},
    LT_API_END,
};

const struct lt_api lt_api_request = {
    .name = "lintel.Request",
    .as = "ctx.req",
    .doc = "The request.",
    .page = "bodies.md",
    .rows = request_rows,
};

static const struct lt_api_row response_rows[] = {
    LT_API_FIELD("status", "integer", "May be set in `response`."),
    LT_API_FIELD("headers", "lintel.Headers",
                 "May be changed in `response`. `ctx.res.headers:add` works in `request` and "
                 "`upstream` too: "
                 "the field joins whatever response there will be."),
    {"body", BODY_TYPE, "In `response`. " BODY_DOC, lt_ctx_res_body},
    {"json", JSON_TYPE, "In `response`. " JSON_DOC, lt_ctx_res_json},
    {"set_body", ":(text: string)", "In `response`. " SET_BODY_DOC, lt_ctx_res_set_body},
    LT_API_END,
};

const struct lt_api lt_api_response = {
    .name = "lintel.Response",
    .as = "ctx.res",
    .doc = "The response, in `response` and `log`.",
    .page = "bodies.md",
    .rows = response_rows,
};

static const struct lt_api_row headers_rows[] = {
    LT_API_FIELD("[string]", "string|number|nil",
                 "Keys ignore case. Reading gives the first field of a name, writing replaces all "
                 "of them, nil "
                 "removes them; `pairs` gives all fields with names in small letters."),
    LT_API_FIELD("add", ":(name: string, value: string|number)",
                 "Adds a field beside those of the same name."),
    LT_API_FIELD("all", ":(name: string): string[]", "All values of a name."),
    LT_API_END,
};

const struct lt_api lt_api_headers = {
    .name = "lintel.Headers",
    .as = "headers",
    .doc = "Header fields: `ctx.req.headers`, `ctx.res.headers`, and those of a response of "
           "`lintel.http`, which can't be changed.",
    .page = "hooks.md",
    .rows = headers_rows,
};

static const struct lt_api_row client_rows[] = {
    LT_API_FIELD("ip", "string", "Behind trusted proxies the one that they name."),
    LT_API_FIELD("port", "integer", ""),
    LT_API_FIELD("peer_ip", "string", "Who connected; behind a PROXY header whom that names."),
    LT_API_FIELD("trusted", "boolean", "Whether the peer is one of `trust`."),
    LT_API_FIELD("tls", "lintel.Tls?", ""),
    LT_API_END,
};

const struct lt_api lt_api_client = {
    .name = "lintel.Client", .as = "ctx.client", .doc = "The client.", .rows = client_rows};

static const struct lt_api_row tls_rows[] = {
    LT_API_FIELD("version", "string", "As in `\"TLSv1.3\"`."),
    LT_API_FIELD("sni", "string?", "The name that the client asked for."),
    LT_API_FIELD("cert", "lintel.Cert?",
                 "The certificate that the client has shown, if it is valid."),
    LT_API_END,
};

const struct lt_api lt_api_tls = {
    .name = "lintel.Tls", .as = "ctx.client.tls", .doc = "TLS with the client.", .rows = tls_rows};

static const struct lt_api_row cert_rows[] = {
    LT_API_FIELD("subject", "string?", "As in RFC 4514: `CN=one,O=Two`."),
    LT_API_FIELD("issuer", "string?", "Subject of the authority that issued it."),
    LT_API_FIELD("serial", "string?", "In hexadecimal."),
    LT_API_FIELD("not_after", "integer", "When it ends, in seconds since 1970."),
    LT_API_FIELD("san", "string?", "Alternative names, as in `DNS:a.test,URI:spiffe://x`."),
    LT_API_FIELD("dns", "string[]", "Those that are names of hosts; `,`, `%` and spaces as %XX."),
    LT_API_FIELD("uri", "string[]", ""),
    LT_API_FIELD("email", "string[]", ""),
    LT_API_FIELD("ip", "string[]", ""),
    LT_API_FIELD("fingerprint", "string?", "SHA-256 in hexadecimal."),
    LT_API_END,
};

const struct lt_api lt_api_cert = {.name = "lintel.Cert",
                                   .as = "ctx.client.tls.cert",
                                   .doc = "A verified certificate of a client.",
                                   .rows = cert_rows};

static const struct lt_api_row route_rows[] = {
    LT_API_FIELD("name", "string", ""),
    LT_API_FIELD("site", "string", ""),
    LT_API_END,
};

const struct lt_api lt_api_route = {.name = "lintel.Route",
                                    .as = "ctx.route",
                                    .doc = "Where the request goes.",
                                    .rows = route_rows};

static const struct lt_api_row upstream_rows[] = {
    LT_API_FIELD("name", "string?", ""),
    LT_API_FIELD("server", "string?", "Once one was chosen."),
    LT_API_FIELD("status", "integer?", "What the server answered."),
    LT_API_FIELD("pool", "string",
                 "Can be set in `upstream`, not read: another upstream of the configuration. The "
                 "route's own options "
                 "stay; a sticky split forgets its draw."),
    LT_API_FIELD(
        "hash_key", "string",
        "Can be set in `upstream`, not read, in place of the expression of `balance: hash`."),
    LT_API_FIELD("timeout", "number|string",
                 "Can be set in `upstream`, not read: the exchange ends so long from now. It only "
                 "shortens what is "
                 "configured."),
    LT_API_END,
};

const struct lt_api lt_api_upstream = {.name = "lintel.Upstream",
                                       .as = "ctx.upstream",
                                       .doc = "Who answers.",
                                       .page = "hooks.md",
                                       .rows = upstream_rows};

static const struct lt_api_row no_rows[] = {LT_API_END};

const struct lt_api lt_api_answer = {
    .name = "lintel.Answer",
    .doc = "What a hook returns to end the request: from `ctx:deny`, `ctx:respond` or "
           "`ctx:redirect`. One that was made and not returned is an error, since a forgotten "
           "`return` would let everybody in.",
    .rows = no_rows,
};
