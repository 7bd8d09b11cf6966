# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium that takes *.localhost for 127.0.0.2 and trusts any certificate."""
import contextlib
import os
import shutil
import socket
import subprocess
from unittest import mock

from selenium import webdriver

from lib.client import fetch
from lib.wait import PATIENCE, wait_until


@contextlib.contextmanager
def _chromedriver(folder):
    """Its URL. Selenium's own way to start it needs the name localhost, which not every system has."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = sock.getsockname()
    with open(f"{folder}/chromedriver.log", "wb") as log:
        process = subprocess.Popen([shutil.which("chromedriver"), f"--port={address[1]}"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def up():
        assert process.poll() is None, "chromedriver ended"
        try:
            return fetch(address, "/status", host=f"127.0.0.1:{address[1]}").status == 200
        except OSError:
            return False
    try:
        wait_until(up, "chromedriver to listen")
        yield f"http://127.0.0.1:{address[1]}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextlib.contextmanager
def chromium(folder):
    """A driver; folder is for what it leaves behind."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--no-proxy-server", "--no-first-run", "--disable-background-networking",
                     "--host-resolver-rules=MAP *.localhost 127.0.0.2",
                     f"--user-data-dir={folder}/profile"):
        options.add_argument(argument)
    options.accept_insecure_certs = True
    with mock.patch.dict(os.environ, {"NO_PROXY": "*"}), _chromedriver(folder) as url:
        driver = webdriver.Remote(url, options=options)
        try:
            driver.set_page_load_timeout(PATIENCE)
            yield driver
        finally:
            driver.quit()
