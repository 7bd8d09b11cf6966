/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with the plain alphabet, padded, and with the one for URLs, unpadded (RFC 4648 §4, §5).
 * Decoding is strict: each text has one form. */
#ifndef LT_BASE_BASE64_H
#define LT_BASE_BASE64_H

#include "base/str.h"

enum lt_base64 { LT_BASE64_PLAIN, LT_BASE64_URL };

/* Bytes that encoding n bytes, and decoding n digits, gives at most. */
#define LT_BASE64_ENCODED(n) (((n) + 2) / 3 * 4)
#define LT_BASE64_DECODED(n) ((n) / 4 * 3 + 3)

/* Writes the digits of s to out (LT_BASE64_ENCODED bytes, no NUL); gives their number. */
size_t lt_base64_encode(enum lt_base64 form, struct lt_str s, char *out);

/* Writes the bytes that s stands for to out (LT_BASE64_DECODED bytes). False when it is malformed:
 * a stray byte, a wrong length, missing or superfluous padding, bits left over (RFC 4648 §3.5). */
bool lt_base64_decode(enum lt_base64 form, struct lt_str s, unsigned char *out,
                      size_t *n) LT_MUST_CHECK;

#endif
