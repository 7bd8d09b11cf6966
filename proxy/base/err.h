/* SPDX-License-Identifier: Apache-2.0 */
/* The one enum for what can fail. */
#ifndef LT_BASE_ERR_H
#define LT_BASE_ERR_H

enum lt_err {
#define X(id, text) LT_##id,
#include "base/err.def"
#undef X
};

/* A short text for err; static storage. */
const char *lt_err_text(enum lt_err err);

/* The lt_err that a system call's errno stands for. */
enum lt_err lt_err_from_errno(int err);

#endif
