# SPDX-License-Identifier: Apache-2.0
"""The tutorial of filters, typed as it stands: its files are written (```lua NAME), its commands run
(```console), and what it shows of their output is there, in that order."""
import re
import shlex
import subprocess

import pytest

from lib.gateway import TREE, Gateway, command
from lib.wait import wait_until

PAGE = TREE / "docs" / "filters.md"
FENCE = re.compile(r"^```(lua|yaml|console)(?: (\S+))?\n(.*?)^```$", re.M | re.S)


def commands(text):
    """(words, lines that it shows) of each command."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        line, *shown = part.strip("\n").split("\n")
        yield shlex.split(line), shown


def shows(output, lines):
    at = 0
    for line in lines:
        at = output.find(line, at)
        if at < 0:
            return False
    return True


class Newcomer:
    """Types what a page says, in a folder of its own."""

    def __init__(self, folder):
        self.folder, self.gateway = folder, None

    def save(self, name, text):
        """Ports are free ones: where the page says 8080, the gateway is asked."""
        (self.folder / name).write_text(text)

    def type(self, words, shown):
        if words[0] == "curl":
            wait_until(lambda: shows(self.curl(words[1:]), shown), f"{words}: {shown}")
        elif words[:2] == ["lintel", "run"]:
            assert words[-1] == "&"
            self.run()
        else:
            assert words[0] == "lintel"
            done = command(*words[1:], cwd=self.folder)
            assert shows(done.stdout + done.stderr, shown), (words, done.stdout, done.stderr)

    def run(self):
        self.stop()
        text = (self.folder / "lintel.yaml").read_text()
        self.save("lintel.yaml", re.sub(r"127\.0\.0\.1:808[01]\"", '127.0.0.1:0"', text))
        if "/tickets\"" in text:
            # The office's port is known when it listens: then the filter hears of it.
            self.gateway = Gateway((self.folder / "lintel.yaml").read_text(), self.folder)
            port = self.gateway.wait_ready().address("office")[1]
            self.gateway.reload(re.sub(r"http://127.0.0.1:\d+", f"http://127.0.0.1:{port}",
                                       (self.folder / "lintel.yaml").read_text()))
        else:
            self.gateway = Gateway((self.folder / "lintel.yaml").read_text(), self.folder)
            self.gateway.wait_ready()

    def curl(self, words):
        host, port = self.gateway.address("main")
        words = [re.sub(r"^http://([\w.]+):8080/", rf"http://\1:{port}/", w) for w in words]
        return subprocess.run(["curl", "--max-time", "20", "--noproxy", "*", *words],
                              capture_output=True, text=True, check=True, timeout=30).stdout

    def stop(self):
        if self.gateway is not None:
            self.gateway.stop()
            self.gateway = None


@pytest.fixture
def newcomer(tmp_path):
    one = Newcomer(tmp_path)
    yield one
    one.stop()


def test_the_tutorial_works_as_written(newcomer):
    text = PAGE.read_text()
    text = text[text.index("## Tutorial\n"):]
    text = text[:text.index("\n## ", 1)]
    typed = 0
    for kind, name, block in FENCE.findall(text):
        if kind == "console":
            for words, shown in commands(block):
                newcomer.type(words, shown)
                typed += 1
        else:
            assert name, "a file of the tutorial has a name"
            newcomer.save(name, block)
    assert typed > 10
