# SPDX-License-Identifier: Apache-2.0
"""A client that sends exactly the bytes it is given and reads answers strictly."""
import socket
import ssl
import struct

from lib.strict_h1 import Closed, Cut, Reader
from lib.wait import PATIENCE


def connect(address, timeout=PATIENCE, source=None):
    """A connected socket; address is (host, port) or the path of a Unix socket. source: the address
    to come from."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        sock.connect(address)
        return sock
    sock = socket.create_connection(address, timeout, (source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def tls_trust(ca, version=None, alpn=None):
    """What a TLS client needs: trusts ca; version None or an ssl.TLSVersion to insist on."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(ca)
    if version is not None:
        trust.minimum_version = trust.maximum_version = version
    if alpn:
        trust.set_alpn_protocols(alpn)
    return trust


def head(method, target, headers=(), host="localhost", version="HTTP/1.1"):
    """A request head as bytes; host None leaves the Host field out."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    items = headers.items() if isinstance(headers, dict) else headers
    lines += [f"{n}: {v}" for n, v in items]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunked(*pieces, trailers=()):
    """A chunked body of those pieces."""
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    return out + b"0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in trailers).encode() + b"\r\n"


class Client:
    """One connection. With `trust` (an ssl.SSLContext) it speaks TLS."""

    def __init__(self, address, trust=None, server_name="localhost", resume=None,
                 timeout=PATIENCE, source=None):
        self.sock = connect(address, timeout, source)
        if trust is not None:
            try:
                self.sock = trust.wrap_socket(self.sock, server_hostname=server_name,
                                              session=resume)
            except BaseException:
                self.sock.close()
                raise
        self.reader = Reader(self._receive)

    def _receive(self):
        return self.sock.recv(65536)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with a reset instead of in order."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data, bytewise=False):
        """All at once, or one write a byte. A peer that closed meanwhile is not an error here:
        what it had to say is still to be read."""
        pieces = [data[i:i + 1] for i in range(len(data))] if bytewise else [data]
        try:
            for piece in pieces:
                self.sock.sendall(piece)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            return False
        return True

    def finish_sending(self):
        self.sock.shutdown(socket.SHUT_WR)

    def response(self, method="GET"):
        return self.reader.response(method)

    def request(self, method="GET", target="/", headers=(), body=None, host="localhost"):
        """Sends one request, the body with its length (bytes) or chunked (a list), and reads the
        response."""
        fields = list(headers.items() if isinstance(headers, dict) else headers)
        data = b""
        if isinstance(body, list):
            fields.append(("Transfer-Encoding", "chunked"))
            data = chunked(*body)
        elif body is not None:
            fields.append(("Content-Length", str(len(body))))
            data = body
        self.send(head(method, target, fields, host) + data)
        return self.response(method)

    def ends(self):
        """Waits for the other side: true when it closes or resets without another byte."""
        try:
            return self.reader.at_end()
        except (ConnectionResetError, ssl.SSLEOFError):
            return True

    def waits(self, seconds=0.2):
        """True when the connection stays open and silent for so long."""
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            return not self.ends() and False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(before)


def fetch(address, target="/", method="GET", headers=(), body=None, host="localhost", **options):
    """One request on a connection of its own."""
    with Client(address, **options) as client:
        return client.request(method, target, headers, body, host)


__all__ = ["Client", "Closed", "Cut", "chunked", "connect", "fetch", "head", "tls_trust"]
