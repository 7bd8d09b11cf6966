# SPDX-License-Identifier: Apache-2.0
"""Application servers for tests: one that follows a script byte by byte, and a normal one.

A script is a function of one Peer, run in a thread for each connection:

    def late(peer):
        peer.request()
        peer.pause(0.3)
        peer.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
"""
import hashlib
import json
import random
import socket
import ssl
import struct
import threading
import time

from lib.strict_h1 import Closed, Cut, Malformed, Reader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def pattern(n):
    """n bytes that no mistake in their order leaves as they are; the same each time."""
    return random.Random(n).randbytes(n)


class Peer:
    """One connection that Lintel made to an Origin."""

    def __init__(self, origin, sock, number):
        self.origin, self.sock, self.number = origin, sock, number
        self.received = bytearray()  # exactly what came
        self.requests = []           # what of it a strict reader understood
        self.reader = Reader(self._receive)
        self.closed = threading.Event()

    def _receive(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, OSError):
            return b""
        self.received += data
        return data

    def request(self):
        """The next request, read strictly; Closed when the connection ends instead."""
        request = self.reader.request()
        self.note(request)
        return request

    def request_head(self):
        """As request(), but its body stays unread."""
        if self.reader.at_end():
            raise Closed
        request = self.reader.request_head()
        self.note(request)
        return request

    def note(self, request):
        self.requests.append(request)
        self.origin.requests.append(request)

    def send(self, *pieces, pause=0):
        for piece in pieces:
            self.sock.sendall(piece)
            if pause:
                self.pause(pause)

    def pause(self, seconds):
        """Waits, less when the origin is stopped."""
        self.origin.stopping.wait(seconds)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def until_closed(self):
        """Reads and drops until the other side closes."""
        while self._receive():
            pass

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.closed.set()


def answer(*responses):
    """A script: reads a request strictly and sends a response, for each; then closes."""
    def script(peer):
        for response in responses:
            peer.request()
            peer.send(response)
    return script


def always(response):
    """A script: answers every request of a keep-alive connection with the same bytes."""
    def script(peer):
        while True:
            peer.request()
            peer.send(response)
    return script


class Origin:
    """Listens on a free TCP port, at the place `at`, or on the Unix socket at path. Connections
    follow `scripts` in their order, the last one again and again. tls: an ssl.SSLContext to serve with; handshakes that
    fail are kept in `tls_errors`."""

    def __init__(self, *scripts, path=None, backlog=512, tls=None, at=("127.0.0.1", 0)):
        self.tls, self.tls_errors = tls, []
        self.scripts = list(scripts) or [always(OK)]
        self.requests = []   # of all connections, in the order read
        self.peers = []
        self.faults = []     # broken rules in what Lintel sent, mistakes in scripts
        self.stopping = threading.Event()
        self.path = str(path) if path else None
        if self.path:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(self.path)
        else:
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(at)
        self._listener.listen(backlog)
        self.name = self._listener.getsockname()  # for clients in the tests
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self):
        """As the configuration names it."""
        return f"unix:{self.path}" if self.path else "{}:{}".format(*self.name)

    @property
    def port(self):
        return self.name[1]

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if not self.path:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(self, sock, len(self.peers))
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        script = self.scripts[min(peer.number, len(self.scripts) - 1)]
        try:
            if self.tls:
                try:
                    peer.sock = self.tls.wrap_socket(peer.sock, server_side=True,
                                                     suppress_ragged_eofs=False)
                except (ssl.SSLError, OSError) as fault:
                    self.tls_errors.append(fault)
                    raise Closed from fault
            script(peer)
        except (Closed, Cut, OSError):
            pass  # the other side ended, which tests look at themselves
        except Malformed as fault:
            self.faults.append(f"connection {peer.number}: {fault}")
        except Exception as fault:  # pylint: disable=broad-except
            self.faults.append(f"connection {peer.number}: script: {fault!r}")
        finally:
            peer.close()

    def received(self):
        """The number of bytes that came, over all connections."""
        return sum(len(p.received) for p in self.peers)

    def stop(self):
        """Closes the listening socket and every connection. Fails on what broke a rule."""
        self.stopping.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self._thread.join(5)
        for peer in self.peers:
            peer.close()
        assert not self.faults, f"origin {self.address}: {self.faults}"


class EchoOrigin(Origin):
    """A normal application with keep-alive. It tells in JSON what it got, and counts how many
    requests it has in work at once. Paths: /bytes/N and /chunked/N send N bytes of pattern(N),
    /sleep/MS answers later, /status/N answers with that status, anything else echoes."""

    def __init__(self, name="app", path=None, delay=0.0, tls=None, at=("127.0.0.1", 0)):
        self.app_name, self.delay = name, delay
        self.active = self.peak = self.served = 0
        self._lock = threading.Lock()
        super().__init__(self._converse, path=path, tls=tls, at=at)

    def _converse(self, peer):
        while True:
            request = peer.request()
            with self._lock:
                self.active += 1
                self.served += 1
                self.peak = max(self.peak, self.active)
            try:
                parts = self._answer(peer, request)
            finally:
                # Before the response leaves: once the other side has it, it may send the next.
                with self._lock:
                    self.active -= 1
            peer.send(*parts)

    def _answer(self, peer, request):
        if self.delay:
            peer.pause(self.delay)
        verb, _, argument = request.target.split("?")[0].lstrip("/").partition("/")
        status, body = 200, None
        if verb == "sleep":
            peer.pause(int(argument) / 1000)
        elif verb == "status":
            status = int(argument)
        elif verb in ("bytes", "chunked"):
            body = pattern(int(argument))
        if verb == "chunked":
            pieces = [body[i:i + 5000] for i in range(0, len(body), 5000)]
            return [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                    *(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces), b"0\r\n\r\n"]
        if body is None:
            body = json.dumps(self._facts(peer, request)).encode()
        if status in (204, 304):
            return [b"HTTP/1.1 %d Nothing\r\n\r\n" % status]
        response = (f"HTTP/1.1 {status} Fine\r\nServer: {self.app_name}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
        return [response.encode() + (b"" if request.method == "HEAD" else body)]

    def _facts(self, peer, request):
        return {
            "app": self.app_name,
            "connection": peer.number,
            "method": request.method,
            "target": request.target,
            "headers": request.headers,
            "trailers": request.trailers,
            "chunks": request.chunks,
            "length": len(request.body),
            "sha256": hashlib.sha256(request.body).hexdigest(),
            "body": request.body.decode("latin-1") if len(request.body) < 1000 else None,
        }


class Refusing:
    """A TCP port that is taken but on which nobody listens: connecting is refused."""

    def __init__(self):
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._sock.getsockname()[1]}"

    def stop(self):
        self._sock.close()


class Deaf:
    """A server whose listen queue is full: connecting to a TCP port gets no answer at all, to a
    Unix socket (at path) the answer that it is full."""

    def __init__(self, path=None):
        family = socket.AF_UNIX if path else socket.AF_INET
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        self._sock.bind(str(path) if path else ("127.0.0.1", 0))
        self._sock.listen(0)
        self.address = f"unix:{path}" if path else f"127.0.0.1:{self._sock.getsockname()[1]}"
        self._fill = []
        end = time.monotonic() + 5
        while time.monotonic() < end:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(0.2)
            self._fill.append(sock)
            try:
                sock.connect(self._sock.getsockname())
            except (TimeoutError, BlockingIOError):
                return
        raise AssertionError("the listen queue does not fill up")

    def stop(self):
        for sock in (*self._fill, self._sock):
            sock.close()
