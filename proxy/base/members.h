/* SPDX-License-Identifier: Apache-2.0 */
/* Lists as one text: "admin,ops". In a member, commas, percent signs, control characters and spaces
 * at its ends are written as %XX, so that every list of texts that aren't empty has such a form and
 * comes back from it. The names of a certificate have it, lists of a user and header fields. */
#ifndef LT_BASE_MEMBERS_H
#define LT_BASE_MEMBERS_H

#include "base/str.h"

/* Most bytes that lt_members_put writes for a member of n bytes. */
#define LT_MEMBER_BYTES_MAX(n) (3 * (n) + 1)

/* Adds a member to the list of n bytes at out, which has room; gives the bytes that it has then.
 * An empty one is left out. */
size_t lt_members_put(char *out, size_t n, struct lt_str member) LT_MUST_CHECK;

/* Takes the next member off the list, as it is written, without spaces around it. False at the end;
 * empty ones are passed over. */
bool lt_members_next(struct lt_str *list, struct lt_str *member) LT_MUST_CHECK;

/* The member as it was: writes at most member.len bytes to out, gives how many. */
size_t lt_member_decode(struct lt_str member, char *out) LT_MUST_CHECK;

/* Whether text is one of the members. */
bool lt_members_have(struct lt_str list, struct lt_str text) LT_MUST_CHECK;

#endif
