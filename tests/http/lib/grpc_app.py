# SPDX-License-Identifier: Apache-2.0
"""A gRPC application for tests, run as a program of its own so that it can be killed. Prints the
port. Messages are bytes. Methods of the service t.T:

Echo (unary), Sum (client streams), Count (server streams), Chat (both), Sleep (ms), Meta (what came),
Abort (status and message), Big (n bytes), Die and DieStreaming (the process ends)."""
import hashlib
import json
import os
import sys
import time
from concurrent import futures

import grpc


def echo(request, _context):
    return request


def total(requests, _context):
    count, digest = 0, hashlib.sha256()
    for request in requests:
        count += 1
        digest.update(request)
    return json.dumps({"count": count, "sha256": digest.hexdigest()}).encode()


def count(request, _context):
    for i in range(int(request)):
        yield b"%d" % i


def chat(requests, _context):
    yield from requests


def sleep(request, context):
    end = time.monotonic() + int(request) / 1000
    while time.monotonic() < end and context.is_active():
        time.sleep(0.01)
    return b"late"


def meta(_request, context):
    context.send_initial_metadata((("x-initial", "1"),))
    context.set_trailing_metadata((("x-trailing", "2"), ("x-trace-bin", b"\0\xff")))
    left = context.time_remaining()
    said = {k: v if isinstance(v, str) else v.hex() for k, v in context.invocation_metadata()}
    return json.dumps({"metadata": said, "left": left}).encode()


def abort(request, context):
    code, _, text = request.decode().partition(" ")
    context.abort(grpc.StatusCode[code], text)


def big(request, _context):
    return b"x" * int(request)


def die(_request, _context):
    os._exit(9)


def die_streaming(_request, _context):
    yield b"one"
    yield b"two"
    time.sleep(0.3)
    os._exit(9)


METHODS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Sum": grpc.stream_unary_rpc_method_handler(total),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Meta": grpc.unary_unary_rpc_method_handler(meta),
    "Abort": grpc.unary_unary_rpc_method_handler(abort),
    "Big": grpc.unary_unary_rpc_method_handler(big),
    "Die": grpc.unary_unary_rpc_method_handler(die),
    "DieStreaming": grpc.unary_stream_rpc_method_handler(die_streaming),
}


def main():
    server = grpc.server(futures.ThreadPoolExecutor(16),
                         options=(("grpc.max_receive_message_length", -1),))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", METHODS),))
    port = server.add_insecure_port(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()  # ends with the tests
    server.stop(0)


if __name__ == "__main__":
    main()
