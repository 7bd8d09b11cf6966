/* SPDX-License-Identifier: Apache-2.0 */
/* What `lintel help` prints, and what follows from it: the lines of one command, and which word of
 * a command line none of them has. */
#ifndef LT_SERVER_USAGE_H
#define LT_SERVER_USAGE_H

#include "base/defs.h"

#include <stdio.h>

/* All commands. */
void lt_usage_print(FILE *out);

/* Prints the lines of the command after `before`; false: there is no such command. */
bool lt_usage_command(const char *name, const char *before, FILE *out);

/* After a command was used wrongly: says which of its words is none that it knows, if one is.
 * argv[0] is the command. */
void lt_usage_stranger(int argc, char **argv);

/* There is no command of this name: says so, and which was probably meant. */
void lt_usage_unknown(const char *name);

#endif
