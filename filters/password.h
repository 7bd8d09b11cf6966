/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes of passwords as htpasswd and shadow files have them: bcrypt, SHA-crypt and yescrypt by
 * libcrypt, Apache's $apr1$ by ourselves. No Lua, no loop in here; any thread. Private to filters/.
 */
#ifndef LT_FILTERS_PASSWORD_H
#define LT_FILTERS_PASSWORD_H

#include "base/str.h"

/* What verifying one takes at most: yescrypt's memory. */
#define LT_PASSWORD_MEMORY ((size_t)32 << 20)
/* Longest password, and hash. */
#define LT_PASSWORD_MAX 256u
#define LT_PASSWORD_HASH_MAX 200u

/* Whether a password can be verified against this hash, by its form and its cost: one that takes
 * longer than some seconds would occupy a thread. *why says why not. */
bool lt_password_check(struct lt_str hash, const char **why) LT_MUST_CHECK;

/* Whether it is the password. Slow on purpose: up to some seconds. False too for a hash that does
 * not pass the check, and for a password that is too long or has a NUL. */
bool lt_password_verify(struct lt_str password, struct lt_str hash) LT_MUST_CHECK;

#endif
