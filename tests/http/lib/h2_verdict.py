# SPDX-License-Identifier: Apache-2.0
"""What may come of frames that a rule is about: sets of verdicts, joined by |, and their judge."""
from lib.raw_h2 import Code, H2

(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED,
 FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM,
 INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = Code


def connection(code):
    """A connection error (RFC 9113 §5.4.1): GOAWAY with this code, then the end."""
    return frozenset({f"connection {code.name}"})


def stream(code):
    """A stream error (§5.4.2): RST_STREAM with this code; the connection goes on."""
    return frozenset({f"stream {code.name}"})


def error(code):
    """A stream error that the RFC lets one treat as a connection error too."""
    return connection(code) | stream(code)


def answer(*statuses):
    """A response with such a status; the connection goes on."""
    return frozenset(f"answer {status}" for status in statuses)


# Nothing came of it; the connection goes on.
IGNORED = frozenset({"ignored"})
# §8.1.1: a stream error, after a response or not.
MALFORMED = stream(PROTOCOL_ERROR)


def verdict(client, number, waits):
    """What came of the frames that were sent. waits: something has to come of the stream."""
    record = client.known(number)
    if waits:
        client.until(lambda: record.over)
    alive = client.alive()
    if not alive:
        assert client.goaway, "the connection ended without GOAWAY"
        return f"connection {client.goaway[0].name}"
    # A response may be followed by the word that the rest of the request isn't wanted (§8.1).
    if record.reset is not None and not (record.ended and record.reset == NO_ERROR):
        return f"stream {record.reset.name}"
    return f"answer {record.status}" if record.ended else "ignored"


def judge(client, allowed, number=1):
    """Fails unless the verdict on the stream is one of those allowed, and all else still works."""
    waits = "ignored" not in allowed and any(not v.startswith("connection") for v in allowed)
    got = verdict(client, number, waits)
    assert got in allowed, f"{got}; allowed: {sorted(allowed)}; frames: {client.frames[-5:]}"
    if not got.startswith("connection"):
        assert client.serves(), f"after {got} the connection serves no more"


def run(address, sent, allowed, number=1, **options):
    """Sends frames (bytes, or a function of the client that sends them) on a connection of its own
    and judges what comes of them."""
    with H2(address, **options) as client:
        if callable(sent):
            sent(client)
        else:
            client.send(sent)
        judge(client, allowed, number)


__all__ = [name for name in dir() if name.isupper()] + [
    "answer", "connection", "error", "judge", "run", "stream", "verdict"]
