/* SPDX-License-Identifier: Apache-2.0 */
/* Dropping privileges. Gateway, before there are threads. */
#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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

/* What a service manager gave us to bind ports with is the supervisor's. */
static bool drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    /* Kernels without ambient capabilities have nothing to clear. */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &head, none) == 0;
}

/* Low ports; sockets in the folders of others, given to the user; becoming the user, and ending a
 * gateway that has become it. */
static const unsigned char supervisor_needs[] = {CAP_NET_BIND_SERVICE, CAP_CHOWN,  CAP_DAC_OVERRIDE,
                                                 CAP_SETUID,           CAP_SETGID, CAP_KILL};

bool lt_privileges_limit(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    uint32_t keep = 0;
    for (size_t i = 0; i < lt_countof(supervisor_needs); i++) {
        keep |= UINT32_C(1) << supervisor_needs[i];
    }
    /* The bounding set too: executing a program gives root what is in it. */
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if ((cap > 31 || (keep >> cap & 1) == 0) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
            return false;
        }
    }
    /* A service manager may have given less. */
    if (syscall(SYS_capget, &head, data) != 0) {
        return false;
    }
    data[0] = (struct __user_cap_data_struct){.effective = data[0].permitted & keep,
                                              .permitted = data[0].permitted & keep};
    data[1] = (struct __user_cap_data_struct){0};
    return syscall(SYS_capset, &head, data) == 0;
}

enum lt_err lt_privileges_drop(const struct lt_user *user, const char **why)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        *why = "no_new_privs";
        return LT_ERR_PERM;
    }
    if (user == NULL && geteuid() == 0) {
        return LT_OK; /* asked to stay root */
    }
    if (user == NULL || (geteuid() != 0 && geteuid() == user->uid && getuid() == user->uid)) {
        *why = "capabilities";
        return drop_capabilities() ? LT_OK : LT_ERR_PERM;
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

enum lt_err lt_privileges_lend(const struct lt_user *user)
{
    if (geteuid() == user->uid) {
        return LT_OK;
    }
    if (initgroups(user->name, (gid_t)user->gid) != 0 || setegid((gid_t)user->gid) != 0 ||
        seteuid((uid_t)user->uid) != 0) {
        return LT_ERR_PERM;
    }
    return LT_OK;
}

void lt_privileges_return(void)
{
    /* To what we really are, which needs no privilege. */
    if (seteuid(getuid()) != 0 || setegid(getgid()) != 0) {
        abort();
    }
}
