# SPDX-License-Identifier: Apache-2.0
"""Application servers that speak HTTP/2, with python3-h2 as the strict reader. A script for Origin:

    @h2_script
    def late(h2):
        stream = h2.request()
        h2.peer.pause(0.3)
        h2.respond(stream, 200, body=b"ok")

What Lintel sends that breaks a rule is a fault of the origin, as with HTTP/1.
"""
import functools
import hashlib
import json

import h2.config
import h2.connection
import h2.events
import h2.settings
from h2.settings import SettingCodes

from lib.origin import Closed, pattern


class Stream:
    """One request as it came."""

    def __init__(self, number, fields):
        self.number, self.fields = number, fields
        self.headers = dict(fields)
        self.body = bytearray()
        self.trailers = None
        self.ended = False
        self.reset = None  # the code of its RST_STREAM
        self.taken = False

    @property
    def method(self):
        return self.headers[":method"]

    @property
    def path(self):
        return self.headers[":path"]

    def __repr__(self):
        return f"<stream {self.number} {self.fields} {len(self.body)} bytes>"


class H2Peer:
    """One connection that Lintel made. settings: what the server announces, None: nothing yet.
    credit: whether it gives windows back as it reads."""

    def __init__(self, peer, settings=None, credit=True):
        self.peer = peer
        peer.h2 = self
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1",
                                           validate_outbound_headers=False,
                                           normalize_outbound_headers=False)
        self.conn = h2.connection.H2Connection(config)
        self.credit = credit
        self.streams = {}
        self.goaway = None
        self.pings = []
        self.acked = 0  # SETTINGS of ours
        if settings is not None:
            self.announce(settings)

    def announce(self, settings):
        values = {SettingCodes.MAX_CONCURRENT_STREAMS: 100, **settings}
        self.conn.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.conn.initiate_connection()
        self.flush()

    def flush(self):
        data = self.conn.data_to_send()
        if data:
            self.peer.send(data)

    def frame(self, *frames):
        """Sends frames as they are, also wrong ones."""
        self.flush()
        self.peer.send(b"".join(f.serialize() for f in frames))

    def read(self):
        """Takes what comes; Closed at the end."""
        data = self.peer.sock.recv(65536)
        if not data:
            raise Closed
        self.peer.received += data
        for event in self.conn.receive_data(data):
            self._note(event)
        self.flush()

    def _note(self, event):
        if isinstance(event, h2.events.RequestReceived):
            stream = Stream(event.stream_id, event.headers)
            self.streams[event.stream_id] = stream
            self.peer.origin.requests.append(stream)
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id].body += event.data
            if self.credit and event.flow_controlled_length:
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.streams[event.stream_id].trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            self.streams[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            if event.stream_id in self.streams:
                self.streams[event.stream_id].reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event
        elif isinstance(event, h2.events.PingReceived):
            self.pings.append(event.ping_data)
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self.acked += 1

    def wait(self, condition):
        """Reads until condition() gives something true."""
        while not (value := condition()):
            self.read()
        return value

    def _next(self, ready):
        def look():
            for stream in self.streams.values():
                if not stream.taken and ready(stream):
                    stream.taken = True
                    return stream
            return None
        return self.wait(look)

    def request(self):
        """The next whole request."""
        return self._next(lambda s: s.ended)

    def head(self):
        """The next request, whose body may not be there yet."""
        return self._next(lambda s: True)

    def headers(self, stream, fields, end=False):
        self.conn.send_headers(stream.number, fields, end_stream=end)
        self.flush()

    def data(self, stream, body, end=False):
        """Sends it as the windows let it."""
        done = 0
        while done < len(body):
            room = min(self.conn.local_flow_control_window(stream.number),
                       self.conn.max_outbound_frame_size, len(body) - done)
            if room == 0:
                self.read()
                if stream.reset is not None:
                    return
                continue
            self.conn.send_data(stream.number, bytes(body[done:done + room]))
            done += room
            self.flush()
        if end:
            self.conn.end_stream(stream.number)
            self.flush()

    def respond(self, stream, status=200, fields=(), body=b"", trailers=None):
        """A whole response; its length is told."""
        head = [(":status", str(status)), *fields]
        if body and not any(name == "content-length" for name, _ in head):
            head.append(("content-length", str(len(body))))
        self.headers(stream, head, end=not body and trailers is None)
        if body:
            self.data(stream, body, end=trailers is None)
        if trailers is not None:
            self.headers(stream, trailers, end=True)

    def reset(self, stream, code):
        self.conn.reset_stream(stream.number, code)
        self.flush()

    def until_closed(self):
        self.wait(lambda: False)


def h2_script(function=None, settings=(), credit=True):
    """Makes a script for Origin out of a function of one H2Peer."""
    if function is None:
        return functools.partial(h2_script, settings=settings, credit=credit)

    def script(peer):
        announced = None if settings is None else dict(settings)
        function(H2Peer(peer, announced, credit))
    return script


def facts(h2_peer, stream):
    return {
        "connection": h2_peer.peer.number,
        "stream": stream.number,
        "method": stream.method,
        "target": stream.path,
        "fields": stream.fields,
        "trailers": stream.trailers,
        "length": len(stream.body),
        "sha256": hashlib.sha256(stream.body).hexdigest(),
    }


def converse(h2_peer):
    """A normal application. /bytes/N sends pattern(N), /sleep/MS answers later, /status/N with that
    status, anything else tells what came."""
    while True:
        stream = h2_peer.request()
        verb, _, argument = stream.path.split("?")[0].lstrip("/").partition("/")
        status = int(argument) if verb == "status" else 200
        body = json.dumps(facts(h2_peer, stream)).encode()
        if verb == "bytes":
            body = pattern(int(argument))
        elif verb == "sleep":
            h2_peer.peer.pause(int(argument) / 1000)
        if stream.method == "HEAD" or status in (204, 304):
            h2_peer.respond(stream, status)
        else:
            h2_peer.respond(stream, status, [("content-type", "application/json")], body)


app = h2_script(converse)
