# SPDX-License-Identifier: Apache-2.0
"""A second reader of HTTP/1.1, written from RFC 9112 alone and stricter than it.

It reads what Lintel sends to servers and to clients. Whatever two readers could understand in two
ways is Malformed here, so that a message which Lintel let through by mistake can't pass unseen.
"""
import re
from dataclasses import dataclass, field

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_TARGET = re.compile(rb"(?:\*|/[!-\x22$-~]*)\Z")  # no "#", no space, ASCII only
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?\Z")
_REASON = re.compile(rb"[\t -~\x80-\xff]*\Z")
_LENGTH = re.compile(rb"(?:0|[1-9][0-9]{0,17})\Z")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")
_HOST = re.compile(rb"(?:[0-9A-Za-z.\-_~%!$&'()*+,;=]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z")

LINE_MAX = 128 * 1024


class Malformed(Exception):
    """The bytes break a rule."""


class Closed(Exception):
    """The other side ended where a message could begin: no byte of one was there."""


class Cut(Exception):
    """The other side ended in the middle of a message; `so_far` is what was read of the body."""

    def __init__(self, what, so_far=b""):
        super().__init__(what)
        self.so_far = so_far


class Fields(list):
    """Header or trailer fields as (name, value) in their order, looked up without case."""

    def all(self, name):
        return [v for n, v in self if n.lower() == name.lower()]

    def get(self, name, default=None):
        """The only value of that name; two of them are an error of the test or of Lintel."""
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(f"{name} is there {len(values)} times: {values}")
        return values[0] if values else default

    def __contains__(self, name):
        return bool(self.all(name))

    def names(self):
        return [n.lower() for n, _ in self]


@dataclass
class Request:
    method: str
    target: str
    version: str
    headers: Fields
    body: bytes = b""
    chunks: int = 0  # data chunks of a chunked body; 0: it wasn't chunked, or was empty
    trailers: Fields = field(default_factory=Fields)


@dataclass
class Response:
    status: int
    reason: str
    version: str
    headers: Fields
    body: bytes = b""
    chunks: int = 0
    trailers: Fields = field(default_factory=Fields)
    interim: list = field(default_factory=list)  # the 1xx responses before it
    until_close: bool = False  # the body ended with the connection


class Reader:
    """Reads messages from source(), which gives some bytes, or b"" at the end."""

    def __init__(self, source):
        self._source = source
        self._buf = bytearray()
        self._ended = False

    @classmethod
    def of(cls, data):
        """A reader of bytes that are all there."""
        pieces = iter([bytes(data)])
        return cls(lambda: next(pieces, b""))

    def rest(self):
        """Bytes that were received and not read."""
        return bytes(self._buf)

    def _more(self):
        if self._ended:
            return False
        data = self._source()
        self._ended = not data
        self._buf += data
        return bool(data)

    def at_end(self):
        """Waits: true at the end of the stream, false when a byte is there."""
        return not self._buf and not self._more()

    def _take(self, n):
        data = bytes(self._buf[:n])
        del self._buf[:n]
        return data

    def _line(self, what):
        """One line without its CRLF."""
        looked = 0
        while True:
            end = self._buf.find(b"\n", looked)
            if end >= 0:
                line = self._take(end + 1)
                if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
                    raise Malformed(f"{what}: line end: {line[-40:]!r}")
                return line[:-2]
            looked = len(self._buf)
            if looked > LINE_MAX:
                raise Malformed(f"{what}: line too long")
            if not self._more():
                raise Cut(f"{what}: ended in the line {bytes(self._buf[:80])!r}")

    def _exactly(self, n, so_far=b""):
        while len(self._buf) < n:
            if not self._more():
                raise Cut(f"body: {n - len(self._buf)} bytes are missing",
                          so_far + bytes(self._buf))
        return self._take(n)

    def _fields(self, what):
        fields = Fields()
        while True:
            line = self._line(what)
            if not line:
                return fields
            name, colon, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if not colon or not _TOKEN.match(name) or not _VALUE.match(value):
                raise Malformed(f"{what}: field: {line!r}")
            fields.append((name.decode("ascii"), value.decode("latin-1")))

    def _chunked(self, message):
        body = bytearray()
        while True:
            size = self._line("chunk size")
            if not _CHUNK_SIZE.match(size):
                raise Malformed(f"chunk size: {size!r}")
            n = int(size, 16)
            if n == 0:
                break
            body += self._exactly(n, bytes(body))
            if self._exactly(2, bytes(body)) != b"\r\n":
                raise Malformed("chunk data: no CRLF behind it")
            message.chunks += 1
        message.trailers = self._fields("trailers")
        for name in message.trailers.names():
            if name in ("content-length", "transfer-encoding", "host", "connection", "trailer"):
                raise Malformed(f"trailers: {name} has no place there")
        return bytes(body)

    @staticmethod
    def _framing(headers):
        """("chunked", None), ("length", n) or (None, None)."""
        codings = headers.all("transfer-encoding")
        lengths = headers.all("content-length")
        if codings and lengths:
            raise Malformed("both Transfer-Encoding and Content-Length")
        if codings and codings != ["chunked"]:
            raise Malformed(f"Transfer-Encoding: {codings}")
        if lengths and (len(lengths) > 1 or not _LENGTH.match(lengths[0].encode("latin-1"))):
            raise Malformed(f"Content-Length: {lengths}")
        if codings:
            return "chunked", None
        return ("length", int(lengths[0])) if lengths else (None, None)

    def request(self):
        """The next request; Closed when the stream ends before it."""
        if self.at_end():
            raise Closed
        request = self.request_head()
        return self.request_body(request)

    def request_head(self):
        line = self._line("request line")
        parts = line.split(b" ")
        if len(parts) != 3:
            raise Malformed(f"request line: {line!r}")
        method, target, version = parts
        if not _TOKEN.match(method) or not _TARGET.match(target) or version != b"HTTP/1.1":
            raise Malformed(f"request line: {line!r}")
        headers = self._fields("request head")
        hosts = headers.all("host")
        if len(hosts) != 1 or not _HOST.match(hosts[0].encode("latin-1")):
            raise Malformed(f"Host: {hosts}")
        self._framing(headers)
        return Request(method.decode(), target.decode(), "HTTP/1.1", headers)

    def request_body(self, request):
        kind, length = self._framing(request.headers)
        if kind == "chunked":
            request.body = self._chunked(request)
        elif kind == "length":
            request.body = self._exactly(length)
        return request

    def response(self, method="GET"):
        """The next final response, with the interim ones before it; Closed as in request()."""
        interim = []
        while True:
            if self.at_end():
                if interim:
                    raise Cut("ended after an interim response")
                raise Closed
            response = self.response_head()
            if response.status >= 200:
                break
            if self._framing(response.headers) != (None, None):
                raise Malformed(f"a body with status {response.status}")
            interim.append(response)
        response.interim = interim
        return self.response_body(response, method)

    def response_head(self):
        line = self._line("status line")
        version, _, rest = line.partition(b" ")
        status, space, reason = rest.partition(b" ")
        if (version != b"HTTP/1.1" or not re.fullmatch(rb"[1-5][0-9]{2}", status) or not space
                or not _REASON.match(reason)):
            raise Malformed(f"status line: {line!r}")
        headers = self._fields("response head")
        self._framing(headers)
        return Response(int(status), reason.decode("latin-1"), "HTTP/1.1", headers)

    def response_body(self, response, method="GET"):
        kind, length = self._framing(response.headers)
        if response.status == 204 and kind is not None:
            raise Malformed("a 204 that announces a body")
        if method == "HEAD" or response.status in (204, 304):
            return response
        if kind == "chunked":
            response.body = self._chunked(response)
        elif kind == "length":
            response.body = self._exactly(length)
        else:
            response.until_close = True
            body = bytearray(self._take(len(self._buf)))
            while self._more():
                body += self._take(len(self._buf))
            response.body = bytes(body)
        return response


def parse_requests(data):
    """All requests in data, which must hold nothing else."""
    reader = Reader.of(data)
    requests = []
    while not reader.at_end():
        requests.append(reader.request())
    return requests
