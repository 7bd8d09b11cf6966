# SPDX-License-Identifier: Apache-2.0
"""Fixtures: lintel (a running gateway), origins, certificates."""
import contextlib

import pytest

from lib.certs import Authority
from lib.gateway import Gateway
from lib.origin import Deaf, EchoOrigin, Origin, Refusing


class Workshop:
    """Makes gateways and origins, and at the end stops them all, gateways first."""

    def __init__(self, folder):
        self.folder = folder
        self._made = []
        self._stack = contextlib.ExitStack()
        self.gateways = []

    def _keep(self, thing):
        self._stack.callback(thing.stop)
        self._made.append(thing)
        return thing

    def finally_(self, *calls):
        """What to call at the end, after the gateways were stopped."""
        for call in calls:
            self._stack.callback(call)

    def lintel(self, config, env=None, wait=True, args=(), limits=None, wrap=()):
        """Starts the program with a configuration (text or dict), by default until it serves.
        limits: resource to (soft, hard). wrap: a command that becomes the program."""
        gateway = Gateway(config, self.folder / f"lintel-{len(self.gateways)}", env, args, limits,
                          wrap)
        self.gateways.append(gateway)
        return gateway.wait_ready() if wait else gateway

    def origin(self, *scripts, unix=False, **options):
        path = self.folder / f"origin-{len(self._made)}.sock" if unix else None
        return self._keep(Origin(*scripts, path=path, **options))

    def echo(self, name="app", unix=False, **options):
        path = self.folder / f"{name}-{len(self._made)}.sock" if unix else None
        return self._keep(EchoOrigin(name, path=path, **options))

    def refusing(self):
        return self._keep(Refusing())

    def deaf(self, unix=False):
        return self._keep(Deaf(self.folder / f"deaf-{len(self._made)}.sock" if unix else None))

    def close(self):
        with self._stack:
            for gateway in self.gateways:
                # Each is stopped, whatever the others say.
                self._stack.callback(gateway.stop)


def _workshop(folder):
    shop = Workshop(folder)
    yield shop
    shop.close()


@pytest.fixture
def shop(tmp_path_factory):
    """A workshop for one test."""
    yield from _workshop(tmp_path_factory.mktemp("t"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A workshop for all tests of a file: for a gateway that many small tests share."""
    yield from _workshop(tmp_path_factory.mktemp("m"))


@pytest.fixture
def lintel(shop):
    return shop.lintel


@pytest.fixture
def origin(shop):
    return shop.origin


@pytest.fixture
def echo(shop):
    return shop.echo


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))
