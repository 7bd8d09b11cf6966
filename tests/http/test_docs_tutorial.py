# SPDX-License-Identifier: Apache-2.0
"""The tutorial of filters, typed as it stands: its files are written (```lua NAME), its commands run
(```console), and what it shows of their output is there, in that order."""
import re
import shlex
import socket
import subprocess

import pytest

from lib.gateway import PROGRAM, TREE, Gateway, command, environment
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


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Newcomer:
    """Types what a page says, in a folder of its own."""

    def __init__(self, folder):
        self.folder, self.gateway, self.one = folder, None, None

    def save(self, name, text):
        (self.folder / name).write_text(text)

    def type(self, words, shown):
        if words[0] == "curl":
            wait_until(lambda: shows(self.curl(words[1:]), shown), f"{words}: {shown}")
        elif words == ["kill", "%1;", "wait"]:
            assert self.runs(), "there is nothing to end"
            self.stop()
        elif words[:2] == ["lintel", "run"]:
            assert not self.runs(), "the port is taken: the page has to end what runs there"
            if words[2:-1] == ["--dev", "-c", "lintel.yaml"]:
                self.run()
            else:
                self.run_one(words[2:-1])
        else:
            assert words[0] == "lintel"
            done = command(*words[1:], cwd=self.folder)
            assert shows(done.stdout + done.stderr, shown), (words, done.stdout, done.stderr)

    def run_one(self, words):
        """A filter without a configuration."""
        self.port = free_port()
        self.one = subprocess.Popen(
            [PROGRAM, "run", *words, "--listen", f"127.0.0.1:{self.port}", "--core-dumps"],
            cwd=self.folder, env=environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self):
        """The configuration that was saved, on ports that are free here."""
        self.port, office = free_port(), free_port()
        text = (self.folder / "lintel.yaml").read_text()
        text = text.replace(":8080", f":{self.port}").replace(":8081", f":{office}")
        self.gateway = Gateway(text, self.folder, args=("--dev",)).wait_ready()

    def curl(self, words):
        words = [re.sub(r"^http://([\w.]+):8080/", rf"http://\1:{self.port}/", w) for w in words]
        return subprocess.run(["curl", "--max-time", "20", "--noproxy", "*", *words],
                              capture_output=True, text=True, check=False, timeout=30).stdout

    def runs(self):
        return self.gateway is not None or self.one is not None

    def stop(self):
        if self.gateway is not None:
            self.gateway.stop()
            self.gateway = None
        if self.one is not None:
            self.one.terminate()
            assert self.one.wait(20) == 0
            self.one = None


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
