/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of a source line may be shown where no schema says what is secret: by the names of the
 * keys on it and on the lines it belongs to. Any thread. */
#ifndef LT_CONFIG_REDACT_H
#define LT_CONFIG_REDACT_H

#include "config/source.h"

/* How many bytes of line `line` may be shown; the whole line when nothing on it looks secret. wary:
 * the file could not be read, so that nobody knows which options are secrets; takes more names for
 * those of secrets. */
size_t lt_redact_shown(const struct lt_source *source, unsigned line, bool wary);

/* Finds `user:password` before an `@`, as in an address or URL, from *from on; *from and *to are
 * where it begins and ends then. False: there is none. */
bool lt_redact_userinfo(struct lt_str text, size_t *from, size_t *to);

#endif
