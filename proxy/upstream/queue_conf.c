/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of an upstream's queue. Loader thread. */
#include "upstream/queue_conf.h"

#define AT(member) offsetof(struct lt_queue_conf, member)

static const struct lt_row rows[] = {
    {.name = "size",
     .type = LT_T_INT,
     .offset = AT(size),
     .def = "1000",
     .min = "0",
     .max = "1000000",
     .doc = "Requests that wait for a server at once, over all workers. One more is answered with "
            "503, unless a filter gave it a higher `ctx.priority` than one that waits. 0: nobody "
            "waits, not for servers that restart either.",
     .since = "0.1"},
    {.name = "wait",
     .type = LT_T_DURATION,
     .offset = AT(wait_ms),
     .def = "10s",
     .min = "1ms",
     .max = "1h",
     .doc = "Longest time that a request waits, for whatever reason: a paused upstream holds "
            "requests for this long too. Then it is answered with 503.",
     .since = "0.1"},
    {.name = "restart",
     .type = LT_T_DURATION,
     .offset = AT(restart_ms),
     .def = "10s",
     .min = "0",
     .max = "1h",
     .doc = "How long a server that refuses connections, or whose Unix socket is missing, is "
            "expected to come back. While all servers do so since less than this, requests wait "
            "for them; after it they are answered with the server's own failure at once. The same "
            "goes for "
            "names of servers (`dns:`) of which nobody has said yet what they stand for. 0: they "
            "never wait for that.",
     .since = "0.1"},
    {.name = "target",
     .type = LT_T_DURATION,
     .offset = AT(target_ms),
     .def = "5s",
     .min = "1ms",
     .max = "1h",
     .doc = "A wait for a busy server that counts as too long. When the oldest request has waited "
            "longer for a whole `interval`, the upstream is overloaded: then the youngest are "
            "served first and those that waited longer than this are answered with 503, until the "
            "oldest has waited less than half of it. Not less than `wait`: never.",
     .since = "0.1"},
    {.name = "interval",
     .type = LT_T_DURATION,
     .offset = AT(interval_ms),
     .def = "1s",
     .min = "1ms",
     .max = "1h",
     .doc = "How long waits must have been too long until the upstream counts as overloaded.",
     .since = "0.1"},
};

const struct lt_schema lt_queue_schema = {
    .name = "queue",
    .doc = "Requests that wait while all servers are at their `max`, restart or are paused.",
    .rows = rows,
    .n_rows = lt_countof(rows),
    .size = sizeof(struct lt_queue_conf),
};

struct lt_queue_options lt_queue_conf_options(const struct lt_queue_conf *conf)
{
    return (struct lt_queue_options){.size = (uint32_t)conf->size,
                                     .wait_us = conf->wait_ms * 1000,
                                     .restart_us = conf->restart_ms * 1000,
                                     .target_us = conf->target_ms * 1000,
                                     .interval_us = conf->interval_ms * 1000};
}
