/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of enum lt_err and its mapping from errno. */
#include "base/err.h"

#include <errno.h>

const char *lt_err_text(enum lt_err err)
{
    switch (err) {
#define X(id, text)                                                                                \
    case LT_##id:                                                                                  \
        return text;
#include "base/err.def"
#undef X
    }
    return "unknown error";
}

enum lt_err lt_err_from_errno(int err)
{
    switch (err) {
    case 0:
        return LT_OK;
    case EAGAIN:
    case EINTR:
    case EINPROGRESS:
        return LT_AGAIN;
    case ENOMEM:
    case ENOBUFS:
        return LT_ERR_NOMEM;
    case EMFILE:
    case ENFILE:
        return LT_ERR_LIMIT;
    case ENOENT:
        return LT_ERR_NOTFOUND;
    case EEXIST:
    case EADDRINUSE:
        return LT_ERR_EXISTS;
    case EACCES:
    case EPERM:
        return LT_ERR_PERM;
    case ECONNREFUSED:
        return LT_ERR_REFUSED;
    case ECONNRESET:
    case EPIPE:
        return LT_ERR_RESET;
    case ETIMEDOUT:
        return LT_ERR_TIMEOUT;
    case EINVAL:
        return LT_ERR_INVALID;
    default:
        return LT_ERR_IO;
    }
}
