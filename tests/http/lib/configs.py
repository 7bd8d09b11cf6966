# SPDX-License-Identifier: Apache-2.0
"""Configurations to start from; tests change what they are about.

Listeners get free ports, each on a loopback address of its own, because two listeners can't have the
same address in a configuration.
"""
import os

# Tests for which the number of workers matters set it themselves; the others run with any.
WORKERS = int(os.environ.get("LINTEL_TEST_WORKERS", "1"))


def upstream(*origins, **options):
    """An upstream of these origins (or dicts of one server)."""
    servers = [o if isinstance(o, dict) else {"address": o.address} for o in origins]
    return {"servers": servers, **options}


def basic(*origins, routes=None, site=None, app=None, **top):
    """Plain HTTP on a free port to the upstream `app`, and an admin socket."""
    config = {
        "lintel": 1,
        "workers": WORKERS,
        "listen": [{"name": "plain", "address": "127.0.0.1:0"}],
        "admin": {"listen": "unix:admin.sock"},
        "drain": {"timeout": "5s"},
        "upstreams": {"app": upstream(*origins, **(app or {}))} if origins else {},
        "sites": [{"hosts": ["localhost"], "default": True,
                   "routes": routes or [{"match": "/*", "to": "app"}], **(site or {})}],
    }
    config.update(top)
    if not config["upstreams"]:
        del config["upstreams"]
    return config


def with_tls(config, cert, key):
    """Adds a TLS listener `secure` with a certificate for all sites."""
    config["listen"].append({"name": "secure", "address": "127.0.0.2:0", "tls": True})
    for site in config["sites"]:
        site.setdefault("tls", {"certificates": [{"certificate": str(cert), "key": str(key)}]})
    return config


def h2(*origins, **options):
    """Plain HTTP on which clients may speak HTTP/2 without asking (prior knowledge)."""
    config = basic(*origins, **options)
    config["listen"][0]["http2"] = {"cleartext": True}
    return config
