# SPDX-License-Identifier: Apache-2.0
"""Other users: root can become one, everybody else stays who they are."""
import os
import pwd

ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")

# Of `lintel run`, and the user that the gateway then has.
ARGS = ("--user", "nobody") if ROOT else ()
UID = NOBODY.pw_uid if ROOT else os.geteuid()


def let_in(path):
    """Lets every user reach what lies in the folder path, below the tests' own folder."""
    for folder in (path, *path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
