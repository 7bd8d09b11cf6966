# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by hand: builders that write any frame, right or wrong, and a client that sends exactly
those and holds what comes back against RFC 9113: framing, stream states, flow control, fields."""
import enum
import os
import re
import socket
import ssl
import struct
from dataclasses import dataclass, field

import hpack
import hyperframe.frame

from lib.client import connect
from lib.strict_h1 import Fields
from lib.wait import PATIENCE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW, WINDOW_MAX, FRAME_MAX = 65535, 2**31 - 1, 16384


class Type(enum.IntEnum):
    DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
    PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9


class Code(enum.IntEnum):
    """Error codes (RFC 9113 §7)."""
    NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT = 0, 1, 2, 3, 4
    STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
    CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = 10, 11, 12, 13


class Setting(enum.IntEnum):
    HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
    MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 5, 6, 8, 9


END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

# ---- HPACK (RFC 7541), without the dynamic table and without choice ----


def integer(value, prefix, first=0):
    """An integer with a prefix of so many bits; first: the bits above it."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes([*out, value])


def string(value, huffman=False):
    value = value.encode("latin-1") if isinstance(value, str) else value
    return integer(len(value), 7, 0x80 if huffman else 0) + value


def literal(name, value, first=0x10):
    """A field as a literal with a new name; first: 0x10 never indexed, 0 not, 0x40 is indexed."""
    return bytes([first]) + string(name) + string(value)


def indexed(index):
    return integer(index, 7, 0x80)


def table_size(size):
    return integer(size, 5, 0x20)


def block(fields):
    """A header block; bytes are one already, and may stand among the fields."""
    if isinstance(fields, bytes):
        return fields
    return b"".join(f if isinstance(f, bytes) else literal(*f) for f in fields)


# ---- fields of requests ----


def request(method="GET", path="/", *more, scheme="http", authority="localhost"):
    """The fields of a request; None leaves a pseudo-header out, more follow as they are."""
    pseudo = ((":method", method), (":scheme", scheme), (":authority", authority), (":path", path))
    return [*(f for f in pseudo if f[1] is not None), *more]


def get(*more, **change):
    return request("GET", change.pop("path", "/"), *more, **change)


def post(*more, **change):
    return request("POST", change.pop("path", "/"), *more, **change)


# ---- frames (RFC 9113 §4 and §6) ----


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """Any frame; length: what its head says instead of the truth."""
    length = len(payload) if length is None else length
    return struct.pack(">BHBBL", length >> 16, length & 0xFFFF, kind, flags, stream) + payload


def _padded(payload, pad):
    return payload if pad is None else bytes([pad]) + payload + bytes(pad)


def data(stream, body=b"", end=True, pad=None):
    flags = (END_STREAM if end else 0) | (PADDED if pad is not None else 0)
    return frame(Type.DATA, flags, stream, _padded(body, pad))


def dependency(depends=0, weight=15, exclusive=False):
    return struct.pack(">LB", depends | (exclusive << 31), weight)


def headers(stream, fields=None, end=True, whole=True, pad=None, depends=None):
    """whole: no CONTINUATION follows. depends: what dependency() gives."""
    flags = ((END_STREAM if end else 0) | (END_HEADERS if whole else 0)
             | (PADDED if pad is not None else 0) | (PRIORITY if depends is not None else 0))
    payload = (depends or b"") + block(get() if fields is None else fields)
    return frame(Type.HEADERS, flags, stream, _padded(payload, pad))


def continuation(stream, fields=b"", whole=True):
    return frame(Type.CONTINUATION, END_HEADERS if whole else 0, stream, block(fields))


def head(stream, fields=None, end=True, piece=FRAME_MAX):
    """HEADERS, and CONTINUATION where its block is longer than one frame."""
    raw = block(get() if fields is None else fields)
    out = headers(stream, raw[:piece], end, len(raw) <= piece)
    for at in range(piece, len(raw), piece):
        out += continuation(stream, raw[at:at + piece], at + piece >= len(raw))
    return out


def priority(stream, *args, **options):
    return frame(Type.PRIORITY, 0, stream, dependency(*args, **options))


def rst(stream, code=Code.CANCEL):
    return frame(Type.RST_STREAM, 0, stream, struct.pack(">L", code))


def settings(*pairs, stream=0, flags=0):
    return frame(Type.SETTINGS, flags, stream, b"".join(struct.pack(">HL", *p) for p in pairs))


def push_promise(stream, promised=2, fields=None):
    return frame(Type.PUSH_PROMISE, END_HEADERS, stream,
                 struct.pack(">L", promised) + block(get() if fields is None else fields))


def ping(payload=b"12345678", flags=0, stream=0):
    return frame(Type.PING, flags, stream, payload)


def goaway(code=Code.NO_ERROR, last=0, debug=b"", stream=0):
    return frame(Type.GOAWAY, 0, stream, struct.pack(">LL", last, code) + debug)


def window_update(stream, increment):
    return frame(Type.WINDOW_UPDATE, 0, stream, struct.pack(">L", increment))


# ---- what comes back ----


class Broken(Exception):
    """Lintel broke a rule of HTTP/2."""


_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?\Z")
_FORBIDDEN = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")


@dataclass
class Stream:
    """A stream as it was seen by this client."""
    credit: int                 # what we may still send
    granted: int = 0            # what we let the other side send beyond the initial window
    used: int = 0               # what of that it has sent, with padding
    method: str = "GET"
    status: int = None
    headers: Fields = None
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields = field(default_factory=Fields)
    interim: list = field(default_factory=list)
    ended: bool = False         # by END_STREAM
    reset: Code = None          # by RST_STREAM

    @property
    def over(self):
        return self.ended or self.reset is not None


@dataclass
class Frame:
    type: Type
    flags: int
    stream: int
    payload: bytes


class H2:
    """One connection. Whatever is received passes a ledger that raises Broken. acks: answers
    SETTINGS; grants: gives back the windows that DATA used."""

    def __init__(self, address, *pairs, trust=None, server_name="localhost", preface=True,
                 acks=True, grants=True, timeout=PATIENCE, source=None, receive_buffer=None):
        self.sock = connect(address, timeout, source)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if trust is not None:
            try:
                self.sock = trust.wrap_socket(self.sock, server_hostname=server_name)
            except BaseException:
                self.sock.close()
                raise
        self.scheme = "https" if trust else "http"
        self.acks, self.grants = acks, grants
        self.streams, self.frames = {}, []
        self.goaway = None          # (code, last stream, debug text)
        self.ended = False
        self.theirs = {}            # settings of the other side
        self.pongs = []
        self._next = 1
        self._sent = self._buffer = b""  # halves of frames: ours, theirs
        self._ours = dict([(Setting.INITIAL_WINDOW_SIZE, WINDOW), (Setting.MAX_FRAME_SIZE, FRAME_MAX),
                           (Setting.HEADER_TABLE_SIZE, 4096)])
        self._unacked = []
        self.credit, self.granted, self.used = WINDOW, 0, 0  # as of a stream
        self._block = None          # (stream, flags, bytes) of a header block that isn't whole
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        if preface:
            self.send(PREFACE, settings(*pairs))

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self):
        self.sock.close()

    # ---- sending ----

    def send(self, *pieces):
        """False when the other side has closed: what it said is still to be read."""
        sent = b"".join(pieces)
        self._note(sent)
        try:
            self.sock.sendall(sent)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            return False
        return True

    def _note(self, sent):
        """Enters what is sent in the ledger, where it means something there."""
        self._sent = (self._sent + sent).removeprefix(PREFACE)
        while len(self._sent) >= 9 and not PREFACE.startswith(self._sent):
            high, low, kind, flags, stream = struct.unpack(">BHBBL", self._sent[:9])
            length, stream = high << 16 | low, stream & WINDOW_MAX
            if len(self._sent) < 9 + length:
                return
            payload, self._sent = self._sent[9:9 + length], self._sent[9 + length:]
            if kind == Type.SETTINGS and not flags & ACK and length % 6 == 0:
                self._unacked.append(dict(struct.iter_unpack(">HL", payload)))
            elif kind == Type.WINDOW_UPDATE and length == 4:
                (self.known(stream) if stream else self).granted += (
                    struct.unpack(">L", payload)[0] & WINDOW_MAX)
            elif kind == Type.DATA and stream:
                self.known(stream).credit -= length
                self.credit -= length
            elif kind == Type.HEADERS and stream:
                self.known(stream)

    def open(self, fields=None, end=True, stream=None):
        """HEADERS of a new stream; its number."""
        stream = stream or self._next
        self._next = max(self._next, stream + 2)
        fields = get() if fields is None else fields
        self.known(stream).method = dict(f for f in fields if isinstance(f, tuple)).get(":method")
        self.send(head(stream, fields, end))
        return stream

    def known(self, stream):
        """The ledger's record of a stream of ours."""
        if stream not in self.streams:
            credit = self.theirs.get(Setting.INITIAL_WINDOW_SIZE, WINDOW)
            self.streams[stream] = Stream(credit)
            self._next = max(self._next, stream + 2)
        return self.streams[stream]

    def upload(self, stream, body, end=True, piece=FRAME_MAX):
        """Sends the body as the windows allow it."""
        record, at = self.known(stream), 0
        while at < len(body):
            n = min(piece, len(body) - at, record.credit, self.credit)
            if n <= 0:
                if record.over or self.read() is None:
                    return False
                continue
            self.send(data(stream, body[at:at + n], end and at + n == len(body)))
            at += n
        return self.send(data(stream)) if end and not body else True

    def request(self, fields=None, body=None, trailers=None):
        """A request on the next stream, and what came of it."""
        stream = self.open(get(scheme=self.scheme) if fields is None else fields,
                           body is None and trailers is None)
        if body is not None:
            self.upload(stream, body, trailers is None)
        if trailers is not None:
            self.send(headers(stream, trailers))
        return self.response(stream)

    # ---- reading ----

    def response(self, stream=1):
        """Reads until the stream is over, or the connection."""
        record = self.known(stream)
        self.until(lambda: record.over)
        return record

    def until(self, condition):
        """Reads until the condition holds; False when the connection ended before."""
        while not condition():
            if self.read() is None:
                return bool(condition())
        return True

    def alive(self):
        """Whether a PING is answered. All that was sent before has been seen by then."""
        token = os.urandom(8)
        self.send(ping(token))
        return self.until(lambda: token in self.pongs)

    def serves(self):
        """Whether a request on a new stream is served."""
        return self.alive() and self.request().status == 200

    def drain(self):
        """Reads to the end of the connection."""
        self.until(lambda: False)
        return self

    def silent(self, seconds=0.2):
        """True when nothing comes for so long."""
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            return self.read() is None and False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(before)

    def _fill(self, n):
        while len(self._buffer) < n:
            try:
                more = self.sock.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                more = b""
            if not more:
                self.ended = True
                return False
            self._buffer += more
        return True

    def read(self):
        """The next frame; None when the connection has ended."""
        if self.ended or not self._fill(9):
            return None
        high, low, kind, flags, stream = struct.unpack(">BHBBL", self._buffer[:9])
        length = high << 16 | low
        self._must(length <= self._ours[Setting.MAX_FRAME_SIZE], f"a frame of {length} bytes")
        self._must(kind in Type.__members__.values(), f"a frame of type {kind}")
        if not self._fill(9 + length):
            return None
        got = Frame(Type(kind), flags, stream & WINDOW_MAX, self._buffer[9:9 + length])
        self._buffer = self._buffer[9 + length:]
        self._must(self.frames or (got.type == Type.SETTINGS and not flags & ACK),
                   f"the first frame is {got}")
        self._must(not self._block or got.type == Type.CONTINUATION, "a header block interrupted")
        self.frames.append(got)
        parsed = hyperframe.frame.Frame.parse_frame_header(memoryview(struct.pack(
            ">BHBBL", high, low, kind, flags, stream)))[0]
        parsed.parse_body(memoryview(got.payload))
        getattr(self, f"_on_{got.type.name.lower()}")(got, parsed)
        return got

    def _must(self, holds, what):
        if not holds:
            raise Broken(f"{what}; frames before: {self.frames[-8:]}")

    def _live(self, got):
        """The record of a stream on which HEADERS or DATA may come."""
        record = self.streams.get(got.stream)
        self._must(record is not None and got.stream % 2, f"{got.type.name} on stream {got.stream}")
        self._must(not record.over, f"{got.type.name} on stream {got.stream} after its end")
        return record

    def _on_data(self, got, parsed):
        record = self._live(got)
        self._must(record.status, "DATA before HEADERS")
        n = len(got.payload)
        record.used += n
        self.used += n
        # An initial window counts from when we sent it until it is known that another does. An empty
        # frame needs no window, even where that is negative (RFC 9113 §6.9.1).
        initial = max(s.get(Setting.INITIAL_WINDOW_SIZE, 0) for s in [self._ours, *self._unacked])
        self._must(n == 0 or (record.used <= initial + record.granted and
                              self.used <= WINDOW + self.granted), "DATA beyond the window")
        self._must(n == 0 or record.method != "HEAD", "DATA after HEAD")
        record.body += parsed.data
        if got.flags & END_STREAM:
            self._end(record)
        if self.grants and n:
            self.send(window_update(0, n))
            if not record.over:
                self.send(window_update(got.stream, n))

    def _end(self, record):
        record.ended = True
        length = record.headers.get("content-length")
        if length is not None and record.method != "HEAD" and record.status != 304:
            self._must(int(length) == len(record.body), f"{length} were announced, "
                       f"{len(record.body)} came and END_STREAM")

    def _on_headers(self, got, parsed):
        self._live(got)
        self._block = (got.stream, got.flags, parsed.data)
        if got.flags & END_HEADERS:
            self._whole()

    def _on_continuation(self, got, parsed):
        self._must(self._block and self._block[0] == got.stream, "CONTINUATION of nothing")
        self._block = (*self._block[:2], self._block[2] + parsed.data)
        if got.flags & END_HEADERS:
            self._whole()

    def _whole(self):
        (stream, flags, raw), self._block = self._block, None
        fields = Fields((n.decode("latin-1"), v.decode("latin-1"))
                        for n, v in self._decoder.decode(raw, raw=True))
        record = self.streams[stream]
        end = bool(flags & END_STREAM)
        status = None
        if record.status is None:
            self._must(fields and fields[0][0] == ":status" and
                       re.match(r"[1-5]\d\d\Z", fields[0][1]), f"a head of {fields}")
            status = int(fields.pop(0)[1])
        for name, value in fields:
            self._must(_NAME.match(name) and name not in _FORBIDDEN, f"the field {name!r}")
            self._must(_VALUE.match(value), f"the value {value!r} of {name}")
        if status is None:
            self._must(end, "trailers without END_STREAM")
            record.trailers = fields
        elif status < 200:
            self._must(not end and status != 101, f"{status} with END_STREAM: {end}")
            record.interim.append((status, fields))
            return
        else:
            record.status, record.headers = status, fields
        if end:
            self._end(record)

    def _on_rst_stream(self, got, parsed):
        self._must(got.stream in self.streams, f"RST_STREAM of stream {got.stream}")
        record = self.streams[got.stream]
        self._must(record.reset is None, "RST_STREAM twice")
        record.reset = Code(parsed.error_code)

    def _on_settings(self, got, _parsed):
        if got.flags & ACK:
            self._must(self._unacked, "an ACK of no SETTINGS")
            self._ours.update(self._unacked.pop(0))
            self._decoder.max_allowed_table_size = self._ours[Setting.HEADER_TABLE_SIZE]
            return
        for i in range(0, len(got.payload), 6):
            ident, value = struct.unpack(">HL", got.payload[i:i + 6])
            if ident == Setting.INITIAL_WINDOW_SIZE:
                change = value - self.theirs.get(ident, WINDOW)
                for record in self.streams.values():
                    record.credit += change
            self.theirs[ident] = value
        if self.acks:
            self.send(settings(flags=ACK))

    def _on_ping(self, got, _parsed):
        if got.flags & ACK:
            self.pongs.append(got.payload)
        else:
            self.send(ping(got.payload, ACK))

    def _on_goaway(self, _got, parsed):
        self.goaway = (Code(parsed.error_code), parsed.last_stream_id, parsed.additional_data)

    def _on_window_update(self, got, parsed):
        self._must(parsed.window_increment > 0, "WINDOW_UPDATE by nothing")
        if got.stream == 0:
            self.credit += parsed.window_increment
            self._must(self.credit <= WINDOW_MAX, "WINDOW_UPDATE beyond the largest window")
        else:
            self._must(got.stream in self.streams, f"WINDOW_UPDATE of stream {got.stream}")
            self.streams[got.stream].credit += parsed.window_increment

    def _on_priority(self, _got, _parsed):
        raise Broken("PRIORITY from a server")

    def _on_push_promise(self, _got, _parsed):
        raise Broken("PUSH_PROMISE")
