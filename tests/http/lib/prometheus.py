# SPDX-License-Identifier: Apache-2.0
"""Reads the Prometheus text format, version 0.0.4, and nothing sloppier."""
import re

_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?'
                     r'|Inf|NaN))\Z')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|\Z)')
_SUFFIXES = ("_bucket", "_sum", "_count")


class Metrics:
    """Samples by name, each as (labels, value), and the type of each family."""

    def __init__(self, text):
        self.types, self.samples = {}, {}
        seen = set()
        assert text.endswith("\n"), "the last line has no end"
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"two TYPE lines for {name}"
                assert kind in ("counter", "gauge", "histogram"), line
                self.types[name] = kind
            elif not line.startswith("# HELP "):
                self._sample(line, seen)

    def _sample(self, line, seen):
        match = _SAMPLE.match(line)
        assert match, f"no sample: {line!r}"
        name, labels, value = match.group(1), match.group(2) or "", float(match.group(3))
        assert _LABEL.sub("", labels) == "", f"labels: {line!r}"
        pairs = {k: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v)
                 for k, v in _LABEL.findall(labels)}
        key = (name, tuple(sorted(pairs.items())))
        assert key not in seen, f"twice: {line!r}"
        seen.add(key)
        self._family(name)
        self.samples.setdefault(name, []).append((pairs, value))

    def _family(self, name):
        """A sample has to stand behind the TYPE line of its family."""
        if name in self.types:
            return
        for suffix in _SUFFIXES:
            if name.endswith(suffix) and self.types.get(name[:-len(suffix)]) == "histogram":
                return
        raise AssertionError(f"no TYPE line before {name}")

    def sum(self, name, **labels):
        """All samples of that name with these labels, added up."""
        return sum(v for have, v in self.samples.get(name, [])
                   if all(have.get(k) == w for k, w in labels.items()))


def counted(gateway, name):
    """What the metric whose name ends so is at, over all labels."""
    text = Metrics(gateway.admin("/metrics").body.decode())
    return sum(v for n, s in text.samples.items() if n.endswith(name) for _, v in s)
