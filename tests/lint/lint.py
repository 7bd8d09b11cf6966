#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what no compiler checks. Run it from the top of the tree, or by "make lint".

A check is a class with a name, wants(path), look(path, text) that yields (line, message), and
samples: BAD ones it has to catch and GOOD ones it has to let pass. The samples are tried before
the tree is read, so that a check which has gone blind fails the run. The last line is
"lint: N passed, N failed"; each check counts once.
"""
import os
import shutil
import subprocess
import sys

import banned
import layers
import style
import tools

CHECKS = layers.CHECKS + banned.CHECKS + style.CHECKS + tools.CHECKS
SKIP_DIRS = {".git", "build-aux", "autom4te.cache", "__pycache__", ".pytest_cache", "_build"}


def tree():
    """The files of the project: git's list where there is one, else a walk (a release tarball)."""
    if os.path.exists(".git") and shutil.which("git"):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(command, capture_output=True, check=False)
        names = set(done.stdout.decode().split("\0")) if done.returncode == 0 else ()
        if names:
            return sorted(n for n in names if os.path.isfile(n) and not os.path.islink(n))
    found = []
    for folder, dirs, files in os.walk("."):
        top = folder == "."
        dirs[:] = [d for d in dirs if d not in SKIP_DIRS and not (top and d.startswith("build"))]
        found += [os.path.normpath(os.path.join(folder, f)) for f in files]
    made = {"configure", "aclocal.m4", "Makefile.in", "config.h.in", "Makefile", "config.h"}
    return sorted(f for f in found if f not in made and not f.endswith("~"))


def read(path):
    with open(path, "rb") as f:
        return f.read().decode("utf-8", "replace")


def sample_errors(check):
    """What is wrong with the check itself."""
    for path, text in check.BAD:
        if not check.wants(path, text) or not list(check.look(path, text)):
            yield f"sample not caught: {path}: {text!r}"
    for path, text in check.GOOD:
        found = list(check.look(path, text)) if check.wants(path, text) else []
        if found:
            yield f"false alarm on a good sample: {path}: {text!r}: {found[0][1]}"


def main():
    texts = {path: read(path) for path in tree() if not path.startswith("tests/fuzz/corpus")}
    failed = 0
    for check in CHECKS:
        problems = [f"tests/lint: {check.name}: {e}" for e in sample_errors(check)]
        wanted = {p: t for p, t in texts.items() if check.wants(p, t)}
        hints = []
        for path, text in wanted.items():
            for line, message in check.look(path, text):
                (hints if check.advice else problems).append(f"{path}:{line}: {message}")
        for text in problems + hints:
            print("  " + text)
        failed += bool(problems)
        verdict = "FAIL" if problems else "ok"
        print(f"{verdict:5}{check.name} ({len(wanted)} files)", flush=True)
    print(f"lint: {len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
