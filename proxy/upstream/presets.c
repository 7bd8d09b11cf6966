/* SPDX-License-Identifier: Apache-2.0 */
/* What each preset sets, and why. Constant; any thread. */
#include "upstream/presets.h"

#define LINE_WIDTH 92u /* of help, with its indent */

const char *const lt_preset_names[LT_PRESET_COUNT + 1] = {
    [LT_PRESET_GENERIC] = "generic",
    [LT_PRESET_GUNICORN] = "gunicorn",
    [LT_PRESET_GUNICORN_THREADS] = "gunicorn-threads",
    [LT_PRESET_UVICORN] = "uvicorn",
    [LT_PRESET_HYPERCORN] = "hypercorn",
    [LT_PRESET_NODE] = "node",
};

/* The origins that dumps show. */
static const char *const labels[LT_PRESET_COUNT] = {
    [LT_PRESET_GENERIC] = "preset generic",
    [LT_PRESET_GUNICORN] = "preset gunicorn",
    [LT_PRESET_GUNICORN_THREADS] = "preset gunicorn-threads",
    [LT_PRESET_UVICORN] = "preset uvicorn",
    [LT_PRESET_HYPERCORN] = "preset hypercorn",
    [LT_PRESET_NODE] = "preset node",
};

/* What each is for, and what only the operator can set. */
static const struct {
    const char *summary, *max, *server;
} about[LT_PRESET_COUNT] = {
    [LT_PRESET_GENERIC] =
        {"a server that none of the others is about: the built-in defaults",
         "Set it to what the server works on at once, if it has such a number.",
         "Let it believe X-Forwarded-For and X-Forwarded-Proto from Lintel's address and nobody "
         "else's."},
    [LT_PRESET_GUNICORN] =
        {"gunicorn with its sync workers: one request at a time in each, one request per "
         "connection",
         "Set it to `--workers`. A sync worker does one request at a time: what goes beyond waits "
         "in the kernel's listen queue, where it can't be counted, put in order or sent to another "
         "server, and is lost when gunicorn restarts.",
         "`--forwarded-allow-ips` with Lintel's address (a Unix socket is believed as it is). "
         "Behind `strip` the application needs X-Forwarded-Prefix: werkzeug's "
         "`ProxyFix(app, x_prefix=1)` reads it."},
    [LT_PRESET_GUNICORN_THREADS] =
        {"gunicorn with `--threads` (gthread workers), which keeps connections open",
         "Set it to `--workers` times `--threads`.",
         "`--forwarded-allow-ips` with Lintel's address (a Unix socket is believed as it is). With "
         "another `--keep-alive` than 2, set `keepalive.idle` a little below it."},
    [LT_PRESET_UVICORN] =
        {"uvicorn, alone or as gunicorn's worker class",
         "It takes any number at once; set it to `--limit-concurrency` where that is used, since "
         "uvicorn answers 503 beyond.",
         "`--forwarded-allow-ips` with Lintel's address (127.0.0.1 alone is believed). With "
         "another "
         "`--timeout-keep-alive` than 5, set `keepalive.idle` a little below it."},
    [LT_PRESET_HYPERCORN] =
        {"hypercorn, over HTTP/1.1 or with `protocol: h2c`", "It takes any number at once.",
         "Wrap the application in its ProxyFixMiddleware, which reads X-Forwarded-For, -Proto and "
         "-Host. With another `keep_alive_timeout` than 5, set `keepalive.idle` a little below "
         "it."},
    [LT_PRESET_NODE] =
        {"Node's http server: Express, Fastify, Next and others", "It takes any number at once.",
         "Express: `app.set('trust proxy', 1)`. With another `server.keepAliveTimeout` than 5000, "
         "set `keepalive.idle` a little below it."},
};

struct setting {
    enum lt_upstream_preset preset;
    const char *row, *value, *why;
};

static const struct setting settings[] = {
    {LT_PRESET_GUNICORN, "keepalive.max", "0",
     "a sync worker closes after each response; a connection kept open would be one to a worker "
     "that is gone"},
    {LT_PRESET_GUNICORN, "retry.reset_new", "true",
     "it reads a request of this size at once: one that is reset before its answer waited in the "
     "listen queue of a worker that ended"},
    {LT_PRESET_GUNICORN, "timeouts.first_byte", "35s",
     "gunicorn kills a sync worker after its own `--timeout`, 30 s: waiting a little longer lets "
     "the log say that instead of a timeout here"},
    {LT_PRESET_GUNICORN, "retry.attempts", "3",
     "workers that end (`--max-requests`, HUP) leave what waits in the listen queue unread; it is "
     "sent again where nothing of it was read"},
    {LT_PRESET_GUNICORN, "takes.line", "4094", "its `--limit-request-line`; it answers 400 beyond"},
    {LT_PRESET_GUNICORN, "takes.fields", "100",
     "its `--limit-request-fields`; it answers 400 beyond"},
    {LT_PRESET_GUNICORN, "takes.field", "8190",
     "its `--limit-request-field_size`; it answers 400 beyond: large cookies are the usual reason"},

    {LT_PRESET_GUNICORN_THREADS, "keepalive.idle", "1.5s",
     "gunicorn closes an idle connection after its `--keep-alive`, 2 s: who closes first has to be "
     "Lintel"},
    {LT_PRESET_GUNICORN_THREADS, "keepalive.unsafe_idle", "500ms",
     "a POST that meets such a close can't be sent again, so it takes a connection used a moment "
     "ago or a new one"},
    {LT_PRESET_GUNICORN_THREADS, "retry.reset_new", "true",
     "it reads a request of this size at once: one that is reset before its answer waited in the "
     "listen queue of a worker that ended"},
    {LT_PRESET_GUNICORN_THREADS, "timeouts.first_byte", "60s",
     "its `--timeout` watches the worker and not one request: only this limit ends one that is "
     "stuck"},
    {LT_PRESET_GUNICORN_THREADS, "retry.attempts", "3",
     "workers that end (`--max-requests`, HUP) leave what waits in the listen queue unread; it is "
     "sent again where nothing of it was read"},
    {LT_PRESET_GUNICORN_THREADS, "takes.line", "4094",
     "its `--limit-request-line`; it answers 400 beyond"},
    {LT_PRESET_GUNICORN_THREADS, "takes.fields", "100",
     "its `--limit-request-fields`; it answers 400 beyond"},
    {LT_PRESET_GUNICORN_THREADS, "takes.field", "8190",
     "its `--limit-request-field_size`; it answers 400 beyond: large cookies are the usual reason"},

    {LT_PRESET_UVICORN, "keepalive.idle", "4s",
     "uvicorn closes an idle connection after its `--timeout-keep-alive`, 5 s: who closes first "
     "has to be Lintel"},
    {LT_PRESET_UVICORN, "keepalive.unsafe_idle", "500ms",
     "a POST that meets such a close can't be sent again, so it takes a connection used a moment "
     "ago or a new one"},
    {LT_PRESET_UVICORN, "retry.reset_new", "true",
     "it reads a request of this size at once: one that is reset before its answer waited in the "
     "listen queue of a worker that ended"},
    {LT_PRESET_UVICORN, "timeouts.first_byte", "60s",
     "uvicorn ends no request itself: only this limit ends one that is stuck"},
    {LT_PRESET_UVICORN, "takes.head", "16K",
     "its parser h11 stops with 400 at 16 KiB of a head that isn't there whole, and a head of that "
     "size comes in pieces; raise it together with `--h11-max-incomplete-event-size`, or with "
     "httptools, which has no such limit"},

    {LT_PRESET_HYPERCORN, "keepalive.idle", "4s",
     "hypercorn closes an idle connection after its `keep_alive_timeout`, 5 s: who closes first "
     "has to be Lintel"},
    {LT_PRESET_HYPERCORN, "keepalive.unsafe_idle", "500ms",
     "a POST that meets such a close can't be sent again, so it takes a connection used a moment "
     "ago or a new one"},
    {LT_PRESET_HYPERCORN, "retry.reset_new", "true",
     "it reads a request of this size at once: one that is reset before its answer waited in the "
     "listen queue of a worker that ended"},
    {LT_PRESET_HYPERCORN, "timeouts.first_byte", "60s",
     "hypercorn ends no request itself: only this limit ends one that is stuck"},
    {LT_PRESET_HYPERCORN, "takes.head", "16K",
     "its parser h11 stops with 400 at `h11_max_incomplete_size`, 16 KiB of a head that isn't "
     "there "
     "whole, and a head of that size comes in pieces; raise both together, with `protocol: h2c` up "
     "to its `h2_max_header_list_size`, 64 KiB"},

    {LT_PRESET_NODE, "keepalive.idle", "4s",
     "node closes an idle connection after `server.keepAliveTimeout`, 5 s: who closes first has to "
     "be Lintel"},
    {LT_PRESET_NODE, "keepalive.unsafe_idle", "1s",
     "a POST that meets such a close can't be sent again, so it takes a connection used a moment "
     "ago or a new one"},
    {LT_PRESET_NODE, "retry.reset_new", "true",
     "it reads a request of this size at once: one that is reset before its answer waited in the "
     "listen queue of a worker that ended"},
    {LT_PRESET_NODE, "timeouts.first_byte", "60s",
     "node ends no request itself once it was received: only this limit ends one that is stuck"},
    {LT_PRESET_NODE, "takes.head", "16383",
     "its `--max-http-header-size` is 16 KiB; it answers 431 from there on"},
};

static const char forwarded[] =
    "X-Forwarded-For, -Proto, -Host and -Port and Forwarded are set, each once and all saying the "
    "same; X-Forwarded-Prefix too where a route strips a prefix. What a client sends of these, and "
    "Remote-User, Script-Name and Path-Info, is dropped unless its address is in `trust`. Names "
    "with an underscore (SCRIPT_NAME, PATH_INFO, "
    "REMOTE_USER, X_FORWARDED_FOR) are dropped whoever sends them: WSGI reads `_` as `-`.";

void lt_preset_apply(struct lt_schema_load *load, void *upstream, enum lt_upstream_preset preset)
{
    for (size_t i = 0; i < lt_countof(settings); i++) {
        if (settings[i].preset == preset) {
            lt_schema_preset(load, upstream, settings[i].row, settings[i].value, labels[preset]);
        }
    }
}

/* text in lines of LINE_WIDTH, each indented; the first begins where out is. */
static void put_wrapped(struct lt_buf *out, const char *text, unsigned indent)
{
    struct lt_str rest = lt_str_c(text), word;
    size_t at = indent;
    while (lt_str_next(&rest, ' ', &word)) {
        if (at > indent && at + 1 + word.len > LINE_WIDTH) {
            lt_buf_printf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            lt_buf_char(out, ' ');
            at++;
        }
        lt_buf_str(out, word);
        at += word.len;
    }
    lt_buf_char(out, '\n');
}

static void put_preset(enum lt_upstream_preset preset, struct lt_buf *out)
{
    bool any = false;
    lt_buf_printf(out, "preset %s\n    ", lt_preset_names[preset]);
    put_wrapped(out, about[preset].summary, 4);
    lt_buf_str(out, LT_STR("\nIt sets, unless the upstream says otherwise:\n"));
    for (size_t i = 0; i < lt_countof(settings); i++) {
        if (settings[i].preset == preset) {
            lt_buf_printf(out, "    %s: %s\n        ", settings[i].row, settings[i].value);
            put_wrapped(out, settings[i].why, 8);
            any = true;
        }
    }
    lt_buf_str(out, any ? LT_STR("") : LT_STR("    nothing: all defaults stay\n"));
    lt_buf_str(out, LT_STR("\nmax of each server:\n    "));
    put_wrapped(out, about[preset].max, 4);
    lt_buf_str(out, LT_STR("\nOn the server:\n    "));
    put_wrapped(out, about[preset].server, 4);
    lt_buf_str(out, LT_STR("\nWhat servers are told of the client, with every preset:\n    "));
    put_wrapped(out, forwarded, 4);
}

bool lt_preset_help(const char *name, struct lt_buf *out)
{
    for (unsigned i = 0; i < LT_PRESET_COUNT; i++) {
        if (strcmp(name, lt_preset_names[i]) == 0) {
            put_preset((enum lt_upstream_preset)i, out);
            return true;
        }
    }
    char space[160];
    const char *hint =
        lt_schema_hint(lt_str_c(name), lt_preset_names, LT_PRESET_COUNT, space, sizeof(space));
    lt_buf_printf(out, "there is no preset \"%.100s\"; %s\n", name, hint);
    return false;
}

void lt_preset_list(struct lt_buf *out)
{
    for (unsigned i = 0; i < LT_PRESET_COUNT; i++) {
        lt_buf_printf(out, "%-17s ", lt_preset_names[i]);
        put_wrapped(out, about[i].summary, 18);
    }
}

void lt_preset_manual(struct lt_buf *out)
{
    lt_buf_str(out,
               LT_STR("# Presets\n"
                      "\n"
                      "<!-- Made by `lintel show presets` from the list in the source; do not "
                      "edit. -->\n"
                      "\n"
                      "`preset` of an upstream names the application server behind it and sets "
                      "what suits it. What the upstream itself says comes first, then the "
                      "preset, then `defaults.upstream`. `lintel help preset NAME` prints the "
                      "same, `lintel show config` what came of it.\n"
                      "\n"));
    lt_buf_printf(out, "With every preset: %s\n", forwarded);
    for (unsigned i = 0; i < LT_PRESET_COUNT; i++) {
        lt_buf_printf(out, "\n## %s\n\nFor %s.\n\n", lt_preset_names[i], about[i].summary);
        if (i != LT_PRESET_GENERIC) {
            lt_buf_str(out, LT_STR("| key | value | why |\n|---|---|---|\n"));
        }
        for (size_t j = 0; j < lt_countof(settings); j++) {
            if (settings[j].preset == i) {
                lt_buf_printf(out, "| `%s` | `%s` | %s |\n", settings[j].row, settings[j].value,
                              settings[j].why);
            }
        }
        lt_buf_printf(out, "%s`max` of each server: %s\n\nOn the server: %s\n",
                      i != LT_PRESET_GENERIC ? "\n" : "", about[i].max, about[i].server);
    }
}
