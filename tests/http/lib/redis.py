# SPDX-License-Identifier: Apache-2.0
"""Real servers of Redis, started by a test on loopback and free ports, without files that stay."""
import shutil
import signal
import socket
import subprocess

from lib.wait import PATIENCE, wait_until


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class RedisError(Exception):
    """What Redis answered with."""


class RedisServer:
    """redis-server, or redis-sentinel, with these options; lines is a text for its file."""

    def __init__(self, folder, *options, port=None, lines="", sentinel=False):
        self.port = port or free_port()
        self.folder = folder / f"redis-{self.port}"
        self.folder.mkdir()
        self.process = None
        self.file = self.folder / "redis.conf"
        self.file.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n{lines}")
        self.args = [shutil.which("redis-server") or "/usr/bin/redis-server", str(self.file),
                     *(["--sentinel"] if sentinel else ["--save", "", "--appendonly", "no"]),
                     *options]
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.args, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        wait_until(self.listens, f"redis-server on port {self.port}")

    def listens(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self, how=signal.SIGKILL):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def says(self, text, *words):
        """Whether text is in the reply; not where the connection is cut, as in a failover."""
        try:
            return text in self.call(*words)
        except OSError:
            return False

    def call(self, *words, password=None):
        """One command; raises RedisError."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
            stream = s.makefile("rb")
            if password:
                s.sendall(command("AUTH", password))
                reply(stream)
            s.sendall(command(*words))
            return reply(stream)


def command(*words):
    parts = [str(w).encode() for w in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def reply(stream):
    line = stream.readline()
    if not line:
        raise ConnectionError("Redis closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise RedisError(rest.decode())
    if kind == b"+":
        return rest.decode()
    if kind == b":":
        return int(rest)
    if kind == b"$":
        n = int(rest)
        return None if n < 0 else stream.read(n + 2)[:-2].decode()
    assert kind == b"*", line
    return [reply(stream) for _ in range(int(rest))]
