/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/retry_conf.h"

#include "config/load.h"

#define AT(member) offsetof(struct lt_retry_conf, member)

static const struct {
    const char *name;
    enum lt_retry_when bit;
} words[] = {
    {"connect", LT_RETRY_CONNECT},
    {"reset", LT_RETRY_RESET},
    {"refused_stream", LT_RETRY_REFUSED_STREAM},
    {"timeout", LT_RETRY_TIMEOUT},
};

/* One item of `when` into out; false: it says nothing that is known. */
static bool read_word(struct lt_str word, struct lt_retry_options *out)
{
    uint64_t status;
    for (size_t i = 0; i < lt_countof(words); i++) {
        if (lt_str_eq_c(word, words[i].name)) {
            out->when |= words[i].bit;
            return true;
        }
    }
    if (!lt_str_to_u64(word, &status) || status < LT_RETRY_STATUS_FIRST ||
        status >= LT_RETRY_STATUS_FIRST + LT_RETRY_STATUSES) {
        return false;
    }
    unsigned i = (unsigned)status - LT_RETRY_STATUS_FIRST;
    out->statuses[i / 64] |= UINT64_C(1) << (i % 64);
    return true;
}

static void check_when(struct lt_schema_load *load, const struct lt_node *node, const void *value)
{
    const struct lt_conf_list *list = value;
    const struct lt_str *when = list->items;
    for (size_t i = 0; i < list->n; i++) {
        struct lt_retry_options options = {0};
        if (!read_word(when[i], &options)) {
            const struct lt_node *item =
                node->kind == LT_NODE_LIST && i < node->n_items ? node->items[i] : node;
            lt_diag_error(load->diags, item->pos,
                          "write connect, reset, refused_stream, timeout or a status from 400 to "
                          "599",
                          "when: \"%.*s\" is nothing that another try is made for",
                          LT_STR_ARG(when[i]));
        }
    }
}

static const struct lt_row retry_rows[] = {
    {.name = "attempts",
     .type = LT_T_INT,
     .offset = AT(attempts),
     .def = "2",
     .min = "1",
     .max = "10",
     .doc = "Tries in all, the first one included. A further one goes to another server where one "
            "is up.",
     .since = "0.1"},
    {.name = "when",
     .type = LT_T_LIST,
     .offset = AT(when),
     .def = "connect, reset, refused_stream",
     .max = "32",
     .item = LT_T_STRING,
     .check = check_when,
     .doc = "What another try is made for. `connect`: no connection could be made. `reset`: it was "
            "reset or closed before anything of a response went to the client; a new connection "
            "that is closed without a byte is tried again once at most, and nothing that ended so "
            "after more than 5 s, since the request may be what kills servers. "
            "`refused_stream`: an HTTP/2 server says that it has not looked at the request. "
            "`timeout`: no response "
            "within `timeouts.first_byte`. A number: a response with that status, as long as "
            "another server is up. What a server may have acted upon is repeated only if its "
            "method is idempotent (RFC 9110 §9.2.2) or `unsafe` is set.",
     .since = "0.1"},
    {.name = "reset_new",
     .type = LT_T_BOOL,
     .offset = AT(reset_new),
     .def = "false",
     .doc =
         "A request of at most 8 KiB whose *new* connection is reset before any response counts "
         "as not read whole, as one over a used connection always does. That is so for servers "
         "on Linux that read requests at once, and stop while some wait in their listen queue. A "
         "server that reads a part, acts upon it and resets would act twice.",
     .since = "0.1"},
    {.name = "unsafe",
     .type = LT_T_BOOL,
     .offset = AT(unsafe),
     .def = "false",
     .doc = "Repeat requests of all methods, also when a server may have acted upon them already: "
            "a POST may then be carried out twice. Only for applications that notice that.",
     .since = "0.1"},
    {.name = "budget",
     .type = LT_T_PERCENT,
     .offset = AT(budget),
     .def = "20%",
     .doc = "Most further tries as a share of the requests of the last seconds, so that a failing "
            "application isn't buried under them. Counted by each worker for itself. Tries that "
            "no server saw anything of are free.",
     .since = "0.1"},
    {.name = "budget_min",
     .type = LT_T_INT,
     .offset = AT(budget_min),
     .def = "10",
     .min = "0",
     .max = "100000",
     .doc = "Further tries in ten seconds, by each worker, that are made whatever `budget` says: "
            "where there are few requests, a share of them is nothing.",
     .since = "0.1"},
    {.name = "per_try",
     .type = LT_T_DURATION,
     .offset = AT(per_try_ms),
     .min = "1ms",
     .max = "1d",
     .flags = LT_ROW_ABSENT_OK,
     .doc = "Time for the response's head, from the end of the request on, after which another "
            "server is asked. It holds for requests that may be repeated, and not for the last "
            "try, which has `timeouts.first_byte`. Absent: no such limit.",
     .since = "0.1"},
};

const struct lt_schema lt_retry_schema = {
    .name = "retry",
    .doc = "Further tries when a server fails.",
    .rows = retry_rows,
    .n_rows = lt_countof(retry_rows),
    .size = sizeof(struct lt_retry_conf),
};

#undef AT
#define AT(member) offsetof(struct lt_hold_conf, member)

static const struct lt_row hold_rows[] = {
    {.name = "size",
     .type = LT_T_SIZE,
     .offset = AT(size),
     .def = "16K",
     .min = "0",
     .max = "1M",
     .doc = "A response whose `Content-Length` is at most this is sent to the client once it is "
            "here whole, so that one that is cut can be asked for again. Responses without a "
            "length (streams of events, chunks), gRPC and what says `X-Accel-Buffering: no` are "
            "never held. 0: none is.",
     .since = "0.1"},
    {.name = "wait",
     .type = LT_T_DURATION,
     .offset = AT(wait_ms),
     .def = "100ms",
     .min = "1ms",
     .max = "10s",
     .doc = "How long the rest of such a response is waited for: then what is there goes to the "
            "client.",
     .since = "0.1"},
};

const struct lt_schema lt_hold_schema = {
    .name = "hold",
    .doc = "Small responses that go to the client in one piece.",
    .rows = hold_rows,
    .n_rows = lt_countof(hold_rows),
    .size = sizeof(struct lt_hold_conf),
};

void lt_retry_conf_options(const struct lt_retry_conf *conf, struct lt_retry_options *out)
{
    const struct lt_str *when = conf->when.items;
    *out = (struct lt_retry_options){.attempts = (unsigned)conf->attempts,
                                     .reset_new = conf->reset_new,
                                     .unsafe = conf->unsafe,
                                     .budget = conf->budget,
                                     .budget_min = (unsigned)conf->budget_min,
                                     .per_try_ms = conf->per_try_ms};
    for (size_t i = 0; i < conf->when.n; i++) {
        bool known = read_word(when[i], out);
        (void)known; /* the check has seen to that */
    }
}
