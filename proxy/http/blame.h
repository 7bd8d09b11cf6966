/* SPDX-License-Identifier: Apache-2.0 */
/* Which field of a refused head it was. Only for telling people: nothing is decided here. Names are
 * given only where they are tokens, so that they may be logged. No state; any thread. */
#ifndef LT_HTTP_BLAME_H
#define LT_HTTP_BLAME_H

#include "base/cause.h"
#include "http/headers.h"

struct lt_blame {
    struct lt_str name; /* points into the head; empty: it has none that can be told */
    size_t bytes;       /* of its line, the line end included */
    unsigned line;      /* 1 is the first line of the head; 0: no line was found */
};

/* The longest field of an HTTP/1 head, which may be cut anywhere. */
struct lt_blame lt_blame_largest(struct lt_str head);

/* The line of an HTTP/1 head that breaks rule, which is in the words of clients' causes. Of rules
 * about several lines, such as two Content-Length, the last one. */
struct lt_blame lt_blame_rule(struct lt_str head, enum lt_cause rule);

#endif
