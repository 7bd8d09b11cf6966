/* SPDX-License-Identifier: Apache-2.0 */
/* ACME's HTTP challenges: the option, and main's part, which reads their files. */
#ifndef LT_SERVER_ACME_H
#define LT_SERVER_ACME_H

#include "config/schema.h"

struct lt_challenge;

/* `acme` at the top. */
struct lt_acme_conf {
    struct lt_conf conf;
    struct lt_str challenges; /* a folder; empty: none */
};

extern const struct lt_schema lt_acme_schema;

/* Looks for the file called c->token in folder, and fills in c. Blocks as long as the disk does. A
 * name that is no regular file, a symbolic link among them, or that has too many bytes, is not
 * found. False: something is there that can't be read, errno says why. */
bool lt_acme_read(const char *folder, struct lt_challenge *c);

/* A worker's function to ask main by (exchange/env.h). */
void lt_acme_ask(struct lt_challenge *c);

#endif
