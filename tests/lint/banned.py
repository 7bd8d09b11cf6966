# SPDX-License-Identifier: Apache-2.0
"""Functions, type names, notes and paths that have no place in the tree."""
import re

from source import Check, code_only, is_c, line_of

# Name -> what to use.
FUNCTIONS = {
    "strcpy": "struct lt_str or memcpy",
    "strcat": "struct lt_str or snprintf",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "strtok": "the lt_str functions",
    "atoi": "a parser that reports errors",
    "gets": "fgets",
    "alloca": "the arena",
    "localtime": "localtime_r",
    "signal": "sigaction",
    "system": "posix_spawn",
}
TYPE_WORDS = ("context", "session", "downstream", "frontend", "backend", "handler", "manager")
_CALL = re.compile(r"(?<![\w.>])(" + "|".join(FUNCTIONS) + r")\s*\(")
_TYPE = re.compile(r"\b(?:struct|enum|union)\s+(?!ssl_)(\w*(?:" + "|".join(TYPE_WORDS) + r")\w*)")
# Written in pieces, so that this file passes its own check.
_NOTE = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")
_PATH = re.compile(r"(?<![\w.}])/(?:wo" + r"rk|fa" + r"rm|ho" + r"me/[a-z]\w*|tmp/b-)\b")


class Functions(Check):
    name = "banned functions"
    BAD = [("proxy/base/a.c", "int f(const char *s)\n{\n    return atoi(s);\n}\n"),
           ("proxy/base/a.c", "strcpy (a, b);\n")]
    GOOD = [("proxy/base/a.c", '/* not atoi() */ fgets(b, 9, f); x->signal(x); puts("gets(");\n'),
            ("proxy/base/a.c", "localtime_r(&t, &tm); snprintf(b, n, s);\n")]

    def wants(self, path, _text):
        return is_c(path)

    def look(self, _path, text):
        for match in _CALL.finditer(code_only(text)):
            name = match.group(1)
            yield line_of(text, match.start()), f"{name}() is banned: use {FUNCTIONS[name]}"


class Types(Check):
    name = "banned type names"
    BAD = [("proxy/net/a.h", "struct lt_session {\n};\n"),
           ("filters/a.c", "enum lt_backend_state { A };\n")]
    GOOD = [("proxy/net/a.h", "struct lt_exchange;\nstruct ssl_session_st;\n/* struct context */\n")]

    def wants(self, path, _text):
        return is_c(path)

    def look(self, _path, text):
        for match in _TYPE.finditer(code_only(text)):
            yield line_of(text, match.start()), \
                f"{match.group(1)}: not a word of the glossary (docs/ARCHITECTURE.md)"


class Leftovers(Check):
    name = "leftovers"
    BAD = [("proxy/a.c", "/* " + "TO" + "DO: later */\n"),
           ("docs/a.md", "see /ho" + "me/alice/lintel\n")]
    GOOD = [("docs/a.md", "GET /homework, mkstemp(\"lintel-XXXXXX\"), ./home/x\n")]

    def wants(self, path, text):
        return "\0" not in text and path != "LICENSE"

    def look(self, _path, text):
        for pattern, what in ((_NOTE, "do it or leave it out"), (_PATH, "a path of one machine")):
            for match in pattern.finditer(text):
                yield line_of(text, match.start()), f"{match.group()}: {what}"


CHECKS = [Functions(), Types(), Leftovers()]
