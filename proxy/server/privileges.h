/* SPDX-License-Identifier: Apache-2.0 */
/* Who the gateway runs as. The supervisor keeps what binding needs; the gateway changes to the user
 * before it reads configuration, keys and secrets, at every start, so that a reload can never fail
 * where a start worked. */
#ifndef LT_SERVER_PRIVILEGES_H
#define LT_SERVER_PRIVILEGES_H

#include "base/defs.h"
#include "base/err.h"

struct lt_user {
    char name[64];
    unsigned uid, gid;
};

/* Looks a user up. LT_ERR_NOTFOUND: there is none. LT_ERR_INVALID: no name. */
enum lt_err lt_user_find(const char *name, struct lt_user *out) LT_MUST_CHECK;

/* For a supervisor that is root: gives up all but what opening sockets and starting a gateway as
 * another user need, for good. False: it can't be done here. */
bool lt_privileges_limit(void);

/* Becomes user (NULL: stays who we are) with its groups, and forbids new privileges for good. *why
 * (static) names the step that failed, errno the reason. */
enum lt_err lt_privileges_drop(const struct lt_user *user, const char **why) LT_MUST_CHECK;

/* Acts as user, with its groups, until lt_privileges_return: what it may not open fails. For a
 * command of one thread. errno when it can't be done: only root can, but for itself. */
enum lt_err lt_privileges_lend(const struct lt_user *user) LT_MUST_CHECK;

/* Acts as the user again that started us. */
void lt_privileges_return(void);

#endif
