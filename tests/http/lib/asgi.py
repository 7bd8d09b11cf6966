# SPDX-License-Identifier: Apache-2.0
"""An ASGI application in a process of its own, served by uvicorn on a free port."""
import os
import signal
import socket
import subprocess
import sys

from lib.client import fetch
from lib.wait import wait_until


class Uvicorn:
    """Serves `app` of the module text until stop(). The application must answer GET /up."""

    def __init__(self, folder, name, text):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text)
        # The socket is ours, so that nobody else can take the port meanwhile.
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(512)
        self._name = sock.getsockname()
        self.address = f"127.0.0.1:{self._name[1]}"
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--fd", str(sock.fileno()), "--log-level", "warning",
             f"{name}:app"], cwd=folder, env=env, pass_fds=(sock.fileno(),))
        sock.close()
        wait_until(self._up, f"{name} to start", 60, 0.05)

    def _up(self):
        assert self.process.poll() is None, "uvicorn ended"
        try:
            return fetch(self._name, "/up", timeout=5).status == 200
        except OSError:
            return False

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(2)  # it waits for clients that stay
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
