# SPDX-License-Identifier: Apache-2.0
"""The clients of bench/run: the load generator of each scenario, how its output is read, and how
it asks a single request, to see what a proxy does with that."""
import contextlib
import os
import re
import socket
import ssl
import subprocess

from proxies import Failed

HOST = "bench.test"
CONNECTIONS = 64
H2_CONNECTIONS, H2_STREAMS = 16, 32
API_KEY = "bench-key-0500"


class Client:
    """What loads a proxy in one scenario, on one thread.

    `packages` is what it needs, as {program: package}. Of the requests that the backend has
    answered, at most `abandoned` were still under way when the client stopped counting.
    """

    packages = {}
    tls = False
    headers = {}
    abandoned = 0

    def argv(self, directory, port, seconds):
        raise NotImplementedError

    def read(self, out):
        """(answers received, cipher or None) from its output, or raises Failed."""
        raise NotImplementedError

    def url(self, port, path):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{port}{path}"

    def fetch(self, port, path, headers):
        """One request on a new connection: (status, head, body, cipher)."""
        request = "".join([f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n",
                           *(f"{k}: {v}\r\n" for k, v in headers.items()), "\r\n"])
        with contextlib.ExitStack() as stack:
            s = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            cipher = None
            if self.tls:
                s, cipher = shake_hands(stack, s)
            s.sendall(request.encode())
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
        return *parse(answer), cipher


def shake_hands(stack, s):
    """A TLS connection over `s`, and its "version cipher"."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    s = stack.enter_context(tls.wrap_socket(s, server_hostname=HOST))
    return s, s.version() + " " + s.cipher()[0]


def parse(answer):
    """(status, head, body); the status is 0 where there is none."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    return int(status[0]) if status and status[0].isdigit() else 0, head, body


class Wrk(Client):
    packages = {"wrk": "wrk"}
    abandoned = 2 * CONNECTIONS

    def __init__(self, tls=False, headers=None):
        self.tls = tls
        self.headers = headers or {}

    def argv(self, directory, port, seconds):
        headers = {"Host": HOST, **self.headers}.items()
        return ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s",
                *(arg for k, v in headers for arg in ("-H", f"{k}: {v}")), self.url(port, "/1k")]

    def read(self, out):
        received = re.search(r"(\d+) requests in", out)
        if received is None or "Socket errors" in out or "Non-2xx" in out:
            raise Failed(f"errors under load\n{out}")
        return int(received[1]), None


class H2load(Client):
    packages = {"h2load": "nghttp2-client", "curl": "curl"}
    tls = True
    abandoned = 2 * H2_CONNECTIONS * H2_STREAMS

    def argv(self, directory, port, seconds):
        return ["h2load", "-t1", f"-c{H2_CONNECTIONS}", f"-m{H2_STREAMS}", f"-D{seconds}s",
                "--npn-list=h2", "-H", f":authority: {HOST}", self.url(port, "/1k")]

    def read(self, out):
        done = re.search(r"(\d+) done, (\d+) succeeded, 0 failed, 0 errored, 0 timeout", out)
        status = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", out)
        said = dict(re.findall(r"^([\w ]+): (\S+)", out, re.M))
        if done is None or status is None or len({done[1], done[2], status[1]}) > 1:
            raise Failed(f"errors under load\n{out}")
        if said.get("Application protocol") != "h2":
            raise Failed(f"this is not HTTP/2\n{out}")
        return int(done[1]), f"{said.get('TLS Protocol')} {said.get('Cipher')}"

    def fetch(self, port, path, headers):
        with contextlib.ExitStack() as stack:
            s = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            cipher = shake_hands(stack, s)[1]
        done = subprocess.run(["curl", "-sik", "--http2", "--max-time", "10", "-H", f"Host: {HOST}",
                               *(arg for k, v in headers.items() for arg in ("-H", f"{k}: {v}")),
                               self.url(port, path)],
                              stdout=subprocess.PIPE, timeout=20, check=False)
        if done.returncode == 0 and not done.stdout.startswith(b"HTTP/2 "):
            raise Failed(f"port {port} does not speak HTTP/2")
        return *parse(done.stdout), cipher


class Handshake(Client):
    """bench/handshake.c, which checks by itself that sessions are resumed or not."""

    packages = {}
    tls = True
    abandoned = 0  # it finishes what it began

    def __init__(self, kind):
        self.kind = kind

    def argv(self, directory, port, seconds):
        return [os.path.join(directory, "handshake"), str(port), str(seconds), str(CONNECTIONS),
                self.kind]

    def read(self, out):
        said = re.fullmatch(r"(\d+) answers, (\d+) resumed, (.*)\n", out)
        if said is None:
            raise Failed(f"errors under load\n{out}")
        full = int(said[1]) - int(said[2])
        if full > CONNECTIONS if self.kind == "resumed" else int(said[2]) > 0:
            raise Failed(f"the sessions are not what they should be\n{out}")
        return int(said[1]), said[3]


CLIENTS = {
    "plain": Wrk(),
    "tls": Wrk(tls=True),
    "h2": H2load(),
    "handshake": Handshake("full"),
    "resumed": Handshake("resumed"),
    "keylimit": Wrk(headers={"X-Api-Key": API_KEY}),
}
