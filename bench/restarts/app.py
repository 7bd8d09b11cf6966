# SPDX-License-Identifier: Apache-2.0
"""The application of bench/restarts/run, for WSGI and ASGI: GET /get/N is answered with "got N", POST
/post/N with "did N". Each execution of a POST is written down, by its number, before the answer: a
file of each process in the folder DONE."""
import os
import struct
import time

SLOW = float(os.environ.get("SLOW", "0"))  # seconds that a request takes
files = {}


def execute(number):
    """Only one write per number, so that a killed process leaves whole records."""
    pid = os.getpid()
    if pid not in files:
        files[pid] = os.open(os.path.join(os.environ["DONE"], str(pid)),
                             os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(files[pid], struct.pack("<q", number))


def answer(method, path):
    number = path.rsplit("/", 1)[-1]
    if method == "POST":
        execute(int(number))
        return b"did " + number.encode()
    return b"got " + number.encode()


def wsgi(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read()
    if SLOW:
        time.sleep(SLOW)
    body = answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return  # the client is gone and nothing was done
        more = message.get("more_body", False)
    body = answer(scope["method"], scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
