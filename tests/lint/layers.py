# SPDX-License-Identifier: Apache-2.0
"""Folders are layers: an #include points downwards or stays in its folder.

The order is the one of docs/ARCHITECTURE.md. Folders of the same height stand side by side and
do not see each other; calls that have to go up go through tables declared below.
"""
import re

from source import Check, is_c, line_of

HEIGHT = {
    "proxy": 10,  # main.c
    "proxy/admin": 9,
    "proxy/server": 8,
    "proxy/front": 7,
    "filters": 7,
    "proxy/exchange": 6,
    "proxy/route": 5,
    "proxy/upstream": 5,
    "proxy/http": 4,
    "proxy/net": 3,
    "proxy/config": 2,
    "proxy/shared": 2,
    "proxy/base": 1,
}
# http parses bytes and knows no socket, so that all of it can be fuzzed; base is plain C.
FORBIDDEN = {("proxy/http", "proxy/net")}
SYSTEM = {
    "proxy/http": ("ev.h", "sys/socket.h", "openssl/ssl.h", "lua.h"),
    "proxy/base": ("ev.h", "openssl/", "lua.h", "yaml.h", "jansson.h", "llhttp.h"),
}
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)


def folder(path):
    return path.rpartition("/")[0]


class Layers(Check):
    name = "layers"
    BAD = [
        ("proxy/base/arena.c", '#include "net/stream.h"\n'),
        ("proxy/route/router.c", '#include "upstream/pool.h"\n'),
        ("proxy/net/stream.c", "#include <lua.h>\n#include \"../exchange/exchange.h\"\n"),
        ("proxy/exchange/steps.c", '#include "filters/host.h"\n'),
        ("proxy/http/h1.c", '#include "net/stream.h"\n'),
        ("proxy/http/h1.c", "#include <sys/socket.h>\n"),
        ("filters/host.c", '#include "proxy/http/headers.h"\n'),
    ]
    GOOD = [
        ("proxy/net/stream.c", '#include "net/stream.h"\n#include "base/buf.h"\n#include <ev.h>\n'),
        ("filters/host.c", '#include "filters/host.h"\n#include "exchange/exchange.h"\n'),
        ("proxy/main.c", '#include "server/supervisor.h"\n#include "filters/test.h"\n'),
    ]

    def wants(self, path, _text):
        return is_c(path) and path.startswith(("proxy/", "filters/"))

    def look(self, path, text):
        own = folder(path)
        if own not in HEIGHT:
            yield 1, f"the folder {own} has no place in HEIGHT of tests/lint/layers.py"
            return
        for match in _INCLUDE.finditer(text):
            line, name = line_of(text, match.start()), match.group(2)
            if match.group(1) == "<":
                if any(name == s or (s.endswith("/") and name.startswith(s))
                       for s in SYSTEM.get(own, ())):
                    yield line, f"{own} does not use <{name}>"
                continue
            target = name if name.startswith("filters/") else "proxy/" + name
            other = folder(target)
            if name.startswith(".") or "/" not in name or other not in HEIGHT:
                yield line, f'"{name}": write it from the source root, as in "net/stream.h"'
            elif other != own and (HEIGHT[other] >= HEIGHT[own] or (own, other) in FORBIDDEN):
                yield line, f"{own} must not include {other} ({name}): includes point downwards"


CHECKS = [Layers()]
