# SPDX-License-Identifier: Apache-2.0
"""Checks that a tool makes: clang-format and shellcheck."""
import shutil
import subprocess

from source import Check, is_c


def run(command, text):
    """Problems as (line, message); the tool reads `text` and writes file:line:col: message."""
    if shutil.which(command[0]) is None:
        return [(1, f"{command[0]} is not installed")]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    found = []
    for line in (done.stdout + done.stderr).splitlines():
        parts = line.split(":", 3)
        if len(parts) == 4 and parts[1].isdigit():
            found.append((int(parts[1]), parts[3].strip()))
    if done.returncode and not found:
        found = [(1, f"{command[0]} exits {done.returncode}: {done.stderr.strip()[:200]}")]
    return found


class Format(Check):
    name = "format"
    # Versions disagree about details: 14 decides where it is installed.
    TOOL = "clang-format-14" if shutil.which("clang-format-14") else "clang-format"
    BAD = [("proxy/a.c", "int  f( void ) { return 1; }\n")]
    GOOD = [("proxy/a.c", "int f(void)\n{\n    return 1;\n}\n")]

    def wants(self, path, _text):
        return is_c(path)

    def look(self, path, text):
        command = [self.TOOL, "--dry-run", "-Werror", "--assume-filename=" + path]
        for line, _message in run(command, text)[:1]:
            yield line, f"run: clang-format -i {path}"


class Shell(Check):
    name = "shellcheck"
    BAD = [("bootstrap", "#!/bin/sh\nrm -rf $1\n")]
    GOOD = [("bootstrap", '#!/bin/sh\nrm -rf "$1"\n')]

    def wants(self, path, text):
        first = text.split("\n", 1)[0]
        return first.startswith("#!") and first.endswith(("/sh", "bash"))

    def look(self, _path, text):
        return run(["shellcheck", "--format=gcc", "-"], text)


CHECKS = [Format(), Shell()]
