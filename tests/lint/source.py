# SPDX-License-Identifier: Apache-2.0
"""What the checks share: the base class, and C text without comments and strings."""
import re

_NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


class Check:
    """One check. `advice` ones only print."""

    name = ""
    advice = False
    BAD = []
    GOOD = []

    def wants(self, path, text):
        raise NotImplementedError

    def look(self, path, text):
        raise NotImplementedError


def is_c(path):
    return path.endswith((".c", ".h"))


def code_only(text):
    """C text with comments and literals blanked, so that lines keep their numbers."""

    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())

    return _NOISE.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1
