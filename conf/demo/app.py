# SPDX-License-Identifier: Apache-2.0
"""The application behind conf/quickstart.yaml: one WSGI callable and no framework.

gunicorn --bind unix:/tmp/app.sock app:app
"""
import json
import os

NAME = os.environ.get("DEMO_NAME", "app")
LARGEST_BODY = 1 << 20


def hello(environ):
    """What the application sees of a request that came through Lintel."""
    return {
        "hello": "from the demo application",
        "worker": f"{NAME}, process {os.getpid()}",
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "scheme": environ["wsgi.url_scheme"],
        "client": environ.get("HTTP_X_FORWARDED_FOR"),
        "request_id": environ.get("HTTP_X_REQUEST_ID"),
    }


def echo(environ):
    """The body that was sent, up to LARGEST_BODY bytes."""
    body = environ["wsgi.input"].read(LARGEST_BODY)
    return {"worker": NAME, "bytes": len(body), "body": body.decode("utf-8", "replace")}


ROUTES = {
    "/": hello,
    "/healthz": lambda _environ: {"ok": True},
    "/v1/hello": hello,
    "/v1/echo": echo,
}


def app(environ, start_response):
    answer = ROUTES.get(environ["PATH_INFO"])
    status = "200 OK" if answer else "404 Not Found"
    value = answer(environ) if answer else {"error": "the demo application has no such path"}
    body = (json.dumps(value, indent=2) + "\n").encode()
    start_response(status, [("Content-Type", "application/json"),
                            ("Content-Length", str(len(body)))])
    return [body]
