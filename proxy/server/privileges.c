/* SPDX-License-Identifier: Apache-2.0 */
/* Dropping privileges. Gateway, before there are threads. */
#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum lt_err lt_user_find(const char *name, struct lt_user *out)
{
    size_t len = strlen(name);
    if (len == 0 || len >= sizeof(out->name)) {
        return LT_ERR_INVALID;
    }
    struct passwd *pw = getpwnam(name);
    if (pw == NULL) {
        return LT_ERR_NOTFOUND;
    }
    memcpy(out->name, name, len + 1);
    out->uid = pw->pw_uid;
    out->gid = pw->pw_gid;
    return LT_OK;
}

enum lt_err lt_privileges_drop(const struct lt_user *user, const char **why)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        *why = "no_new_privs";
        return LT_ERR_PERM;
    }
    /* Without root there is nothing to drop when we are that user already. */
    if (user == NULL || (geteuid() != 0 && geteuid() == user->uid && getuid() == user->uid)) {
        return LT_OK;
    }
    if (initgroups(user->name, (gid_t)user->gid) != 0) {
        *why = "initgroups";
    } else if (setresgid((gid_t)user->gid, (gid_t)user->gid, (gid_t)user->gid) != 0) {
        *why = "setgid";
    } else if (setresuid((uid_t)user->uid, (uid_t)user->uid, (uid_t)user->uid) != 0) {
        *why = "setuid";
    } else if (user->uid != 0 && setresuid((uid_t)-1, 0, (uid_t)-1) == 0) {
        *why = "setuid did not last";
        errno = EPERM;
    } else {
        return LT_OK;
    }
    return LT_ERR_PERM;
}
