# SPDX-License-Identifier: Apache-2.0
"""The program under test: a supervisor with its gateway on free ports, and what it says."""
import functools
import json
import os
import re
import resource
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path

from lib.client import Client, fetch
from lib.wait import PATIENCE, wait_until

PROGRAM = os.environ.get("LINTEL") or str(Path(__file__).resolve().parents[3] / "build" / "lintel")
TREE = Path(os.environ.get("srcdir") or Path(__file__).resolve().parents[3]).resolve()

_SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|SUMMARY: \w+Sanitizer"
                        r"|runtime error:")
_MARK = "LINTEL_TEST_RUN"


def environment(extra=None):
    """The environment of the program: sanitizers stop at the first finding."""
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "exitcode=99")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env.setdefault("TSAN_OPTIONS", "exitcode=99:second_deadlock_stack=1")
    env["LINTEL_SCRIPTS"] = str(TREE / "scripts")
    env.update(extra or {})
    return env


@functools.lru_cache(maxsize=None)
def sanitized():
    """Whether the program was built with a sanitizer, which makes it slow and large."""
    with open(PROGRAM, "rb") as f:
        data = f.read()
    return b"__asan_init" in data or b"__tsan_init" in data


def slowness():
    """By how much to stretch a time that is promised for ordinary builds."""
    return 3 if sanitized() else 1


def text_of(config):
    """A configuration as text: a dict becomes JSON, which YAML 1.2 holds."""
    return config if isinstance(config, str) else json.dumps(config, indent=1)


def listener_names(config):
    """In the order of the configuration."""
    if isinstance(config, str):
        return re.findall(r"^ *- \{name: (\w+), address", config, re.M)
    return [listener["name"] for listener in config["listen"]]


def command(*args, env=None, cwd=None, timeout=60):
    """Runs `lintel ARGS` to its end. A sanitizer's finding fails the test."""
    done = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True, errors="replace",
                          env=environment(env), cwd=cwd, timeout=timeout, check=False)
    assert not _SANITIZER.search(done.stderr), done.stderr
    return done


def marked(mark):
    """Pids of the processes that were started with this mark in their environment."""
    needle = f"{_MARK}={mark}".encode()
    pids = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if needle in (folder / "environ").read_bytes().split(b"\0"):
                    pids.append(int(folder.name))
            except OSError:
                pass  # it is gone, or not ours
    return pids


class Output:
    """Lines of one pipe, gathered by a thread."""

    def __init__(self, pipe):
        self.lines = []
        self._pipe = pipe
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._thread.start()

    def _gather(self):
        for line in self._pipe:
            self.lines.append(line.decode("utf-8", "surrogateescape").rstrip("\n"))
        self._pipe.close()

    def join(self):
        self._thread.join(10)

    def objects(self):
        """The lines that are JSON objects."""
        found = []
        for line in list(self.lines):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                found.append(value)
        return found


class Gateway:
    """A running `lintel run`. Its folder holds the configuration and all that belongs to it."""

    def __init__(self, config, folder, env=None, args=(), limits=None, wrap=()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "lintel.yaml"
        self.write(config)
        self.listeners = listener_names(config)
        self.allowed = set()  # events of level error that the test provokes
        self.mark = uuid.uuid4().hex
        self.env = environment({**(env or {}), _MARK: self.mark})
        # A process that must not dump core shows its environment, by which we find it, to root only.
        if os.geteuid() != 0:
            args = (*args, "--core-dumps")

        def limit():
            for what, values in limits.items():
                resource.setrlimit(what, values)
        self.process = subprocess.Popen([*wrap, PROGRAM, "run", "-c", str(self.config), *args],
                                        cwd=self.folder, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=self.env, preexec_fn=limit if limits else None)
        self.stdout, self.stderr = Output(self.process.stdout), Output(self.process.stderr)
        self._stopped = False

    # ---- what it says ----

    def write(self, config):
        """Puts another configuration in the place of the one there is, in one step."""
        new = self.config.with_suffix(".new")
        new.write_text(text_of(config))
        new.rename(self.config)

    def events(self, name=None, **fields):
        """Lines of the error log, all or those with this event and these fields."""
        return [e for e in self.stderr.objects()
                if (name is None or e.get("event") == name)
                and all(e.get(k) == v for k, v in fields.items())]

    def wait_event(self, name, count=1, **fields):
        """Waits until the event was logged count times; the last one."""
        def there():
            assert self.process.poll() is None, f"lintel ended:\n{self.told()}"
            found = self.events(name, **fields)
            return found[count - 1] if len(found) >= count else None
        return wait_until(there, f"the event {name} {fields}\n{self.told()}")

    def told(self):
        return "\n".join(self.stderr.lines[-60:])

    def access(self, count=1, **fields):
        """Waits for count access lines with these members; all that there are."""
        def there():
            found = [e for e in self.stdout.objects()
                     if all(e.get(k) == v for k, v in fields.items())]
            return found if len(found) >= count else None
        return wait_until(there, f"{count} access lines with {fields}; there are:\n"
                          + "\n".join(self.stdout.lines[-20:]))

    # ---- where it listens ----

    def wait_ready(self):
        self.ready = self.wait_event("ready")
        return self

    def address(self, name):
        """Where the listener of that name accepts: (host, port), or the path of a socket. The
        program says the addresses in the order in which the configuration has the listeners."""
        said = self.ready["addresses"].split(" ")[self.listeners.index(name)]
        if said.startswith("unix:"):
            return said[len("unix:"):]
        host, _, port = said.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def plain(self):
        return self.address("plain")

    @property
    def secure(self):
        return self.address("secure")

    def client(self, **options):
        return Client(self.plain, **options)

    def get(self, target="/", **options):
        """One request over plain HTTP on a connection of its own."""
        return fetch(self.plain, target, **options)

    def admin(self, target):
        return fetch(str(self.folder / "admin.sock"), target)

    # ---- its processes ----

    def gateways(self):
        """Pids of the gateway processes: the supervisor's children."""
        return [p for p in marked(self.mark) if p != self.process.pid]

    def gateway_pid(self):
        return wait_until(lambda: self.gateways(), "a gateway process")[0]

    def memory(self):
        """Resident bytes of the gateway process."""
        for line in Path(f"/proc/{self.gateway_pid()}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config=None, fails=False):
        """Reads the configuration again and waits until that is decided; the event."""
        done, failed = len(self.events("reloaded")), len(self.events("reload_failed"))
        if config is not None:
            self.write(config)
        self.signal(signal.SIGHUP)
        if fails:
            self.allowed.update(("reload_failed", "config_error"))
            return self.wait_event("reload_failed", failed + 1)
        return self.wait_event("reloaded", done + 1)

    def ended(self, code):
        """The test has ended it itself: it has to be gone, with this exit status."""
        self._stopped = True
        self._judge(self.process.wait(PATIENCE), 0, self._rest_stays(), code)

    def _rest_stays(self):
        """Whether processes of it remain; they are ended then."""
        try:
            wait_until(lambda: not marked(self.mark), "its processes to go", 3)
            return False
        except AssertionError:
            return True
        finally:
            self._kill_rest()

    def stop(self, within=PATIENCE):
        """SIGTERM: drains and exits 0."""
        if self._stopped:
            return
        self._stopped = True
        began = time.monotonic()
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            code = None
        took = time.monotonic() - began
        self._judge(code, took, self._rest_stays(), 0)

    def _kill_rest(self):
        for pid in marked(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        self.stdout.join()
        self.stderr.join()

    def _judge(self, code, took, leftover, expected):
        told = "\n".join(self.stderr.lines[-200:])
        assert not any(_SANITIZER.search(line) for line in self.stderr.lines), told
        assert code == expected, f"lintel ended with {code} after {took:.1f} s:\n{told}"
        assert not leftover, f"processes were left over:\n{told}"
        wrong = [e for e in self.events(level="error") if e.get("event") not in self.allowed]
        assert not wrong, f"errors were logged: {wrong}"
