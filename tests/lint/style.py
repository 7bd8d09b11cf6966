# SPDX-License-Identifier: Apache-2.0
"""Licence lines, includes of config.h, braces, links between documents, and lengths."""
import os
import re

from source import Check, code_only, is_c, line_of

_SPDX = "SPDX-License-Identifier: Apache-2.0"
_CODE = (".c", ".h", ".def", ".py", ".sh", ".lua", ".mk", ".am", ".ac")
_CONFIG_H = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]config\.h[">]', re.M)
_CONTROL = re.compile(r"^[ \t]*(?:\}[ \t]*)?(?:else[ \t]+if|if|for|while|switch)[ \t]*\(", re.M)
_ELSE = re.compile(r"\belse[ \t]*$", re.M)
_LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")


class Spdx(Check):
    name = "licence lines"
    BAD = [("proxy/a.c", "int x;\n"), ("bench/a.sh", "#!/bin/sh\nexit\n")]
    GOOD = [("proxy/a.c", f"/* {_SPDX} */\n"), ("bench/a.sh", f"#!/bin/sh\n# {_SPDX}\n")]

    def wants(self, path, text):
        return path.endswith(_CODE) or text.startswith("#!")

    def look(self, _path, text):
        if not any(_SPDX in line for line in text.split("\n")[:2]):
            yield 1, f'no "{_SPDX}" in the first lines'


class ConfigHeader(Check):
    name = "config.h"
    BAD = [("proxy/a.c", '#include "config.h"\n')]
    GOOD = [("proxy/a.c", '#include "config/config.h"\n')]

    def wants(self, path, _text):
        return is_c(path)

    def look(self, _path, text):
        for match in _CONFIG_H.finditer(text):
            yield line_of(text, match.start()), "the build includes config.h already"


def closing(text, start):
    """The offset behind the parenthesis that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i + 1
    return len(text)


class Braces(Check):
    name = "braces"
    BAD = [("proxy/a.c", "    if (a)\n        return;\n"),
           ("proxy/a.c", "    if (a) {\n    } else\n        b();\n"),
           ("proxy/a.c", "    while (f(a) &&\n           b)\n        ;\n")]
    GOOD = [("proxy/a.c", "    if (f(a)) {\n    } else if (b) {\n    }\n"),
            ("proxy/a.c", "    do {\n    } while (a);\n#define X \\\n    for (a;)\n"),
            ("proxy/a.c", "#if X\n    a();\n#else\n    b();\n#endif\n")]

    def wants(self, path, _text):
        return is_c(path)

    def look(self, _path, text):
        code = code_only(text)
        for match in _CONTROL.finditer(code):
            if code[: match.start()].endswith("\\\n"):
                continue  # the body of a macro, which its user closes
            rest = code[closing(code, match.end() - 1):].lstrip(" \t\\\n")
            do_while = "}" in match.group() and rest.startswith(";")
            if not rest.startswith("{") and not do_while:
                yield line_of(code, match.start()), "braces always"
        for match in _ELSE.finditer(code):
            if code[: match.start()].rstrip(" \t").endswith("#"):
                continue
            yield line_of(code, match.start()), "braces always"


class Links(Check):
    name = "links"
    BAD = [("docs/a.md", "see [there](no/such/file.md)\n")]
    GOOD = [("docs/a.md", "[a](https://example.com/x) [b](#part) [c](../Makefile.am#x)\n")]

    def wants(self, path, _text):
        return path.endswith(".md")

    def look(self, path, text):
        for match in _LINK.finditer(text):
            target = match.group(1)
            if "://" in target or target.startswith("mailto:"):
                continue
            if not os.path.exists(os.path.join(os.path.dirname(path), target)):
                yield line_of(text, match.start()), f"{target}: no such file"


class Lengths(Check):
    """Signs, not walls: printed, never an error."""

    name = "lengths (advice)"
    advice = True
    FILE, HEADER, FUNCTION = 600, 150, 60
    BAD = [("proxy/a.h", "\n" * 151),
           ("proxy/a.c", "int f(void)\n{\n" + "    g();\n" * 61 + "}\n")]
    GOOD = [("proxy/a.c", "int f(void)\n{\n" + "    g();\n" * 60 + "}\n" * 2)]

    def wants(self, path, _text):
        return is_c(path) and path.startswith(("proxy/", "filters/"))

    def look(self, path, text):
        lines = text.split("\n")
        limit = self.HEADER if path.endswith(".h") else self.FILE
        if len(lines) - 1 > limit:
            yield 1, f"{len(lines) - 1} lines (aim: {limit})"
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line.startswith("}") and start:
                if number - start - 1 > self.FUNCTION:
                    yield start, f"a function of {number - start - 1} lines (aim: {self.FUNCTION})"
                start = None


CHECKS = [Spdx(), ConfigHeader(), Braces(), Links(), Lengths()]
