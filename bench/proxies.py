# SPDX-License-Identifier: Apache-2.0
"""The proxies that bench/run compares: how each is found, configured, started and ended, and how
the CPU time of all its threads is read. Their configurations are the templates in peers/."""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import string
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# A Lintel that isn't installed finds its filters in the checkout.
os.environ.setdefault("LINTEL_SCRIPTS", os.path.join(os.path.dirname(HERE), "scripts"))
NGINX_MODULES = "/usr/lib/nginx/modules"
SCENARIOS = {
    "plain": "1 KiB over keep-alive",
    "tls": "the same over TLS 1.3",
    "h2": "1 KiB over HTTP/2 and TLS 1.3",
    "handshake": "a connection with a full TLS 1.3 handshake for each request",
    "resumed": "the same, resumed by ticket",
    "keylimit": "API key by SHA-256, rate limit, one header forwarded",
}
# Most scenarios have a listener of their own; these need one that is there already.
LISTENERS = {"handshake": "tls", "resumed": "tls"}


class Failed(Exception):
    """What was measured can't be trusted; the whole run fails."""


class Missing(Exception):
    """A peer that is not on this machine; the others are measured without it."""


# Processes -----------------------------------------------------------------------------------

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def start(stack, argv, cpu, log=None, **kwargs):
    """Starts argv on one CPU; it is ended when the stack unwinds, or when this script is killed."""

    def in_child():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, {cpu})

    if log is not None:
        kwargs["stderr"] = stack.enter_context(open(log, "wb"))
        kwargs.setdefault("stdout", kwargs["stderr"])
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=in_child,
                               start_new_session=True, **kwargs)
    stack.callback(stop, process)
    return process


def stop(process):
    """Ends a process that start() started, and whatever is left of its process group."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def wait_for_port(process, port, name, log):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise Failed(f"{name} did not start\n{tail(log)}")


def tail(path):
    with contextlib.suppress(OSError), open(path, errors="replace") as f:
        return "".join(f.readlines()[-15:]).rstrip()
    return ""


# CPU time ------------------------------------------------------------------------------------


def process_tree(root):
    """The pids of root and of all processes below it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    pids = [root]
    for pid in pids:
        pids += children.get(pid, [])
    return pids


def cpu_times(root):
    """{(pid, tid): (on-CPU ns, user ticks, system ticks)} for every thread below root."""
    times = {}
    for pid in process_tree(root):
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
                on_cpu_ns = int(f.read().split()[0])
            with open(f"/proc/{pid}/task/{tid}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
            times[pid, int(tid)] = on_cpu_ns, int(fields[11]), int(fields[12])
    return times


def cpu_busy_s(cpu):
    """Seconds in which this CPU did anything but idle, wait or serve interrupts."""
    with open("/proc/stat") as f:
        for line in f:
            if line.startswith(f"cpu{cpu} "):
                user, nice, system = map(int, line.split()[1:4])
                return (user + nice + system) / os.sysconf("SC_CLK_TCK")
    raise Failed(f"/proc/stat has no cpu{cpu}")


# The peers -----------------------------------------------------------------------------------


class Template(string.Template):
    delimiter = "@"


def render(name, values, scenarios):
    """Fills in bench/peers/NAME, leaving out the sections of scenarios that need no listener."""
    lines, hidden = [], None
    with open(os.path.join(HERE, "peers", name)) as f:
        for line in f:
            mark = re.fullmatch(r"\s*# <(/?)(\w+)>\s*", line)
            if mark and mark[2] in SCENARIOS:
                if mark[1]:
                    hidden = None
                elif mark[2] not in scenarios:
                    hidden = mark[2]
            elif hidden is None:
                lines.append(line)
    path = os.path.join(values["dir"], name)
    with open(path, "w") as f:
        f.write(Template("".join(lines)).substitute(values))
    return path


def find(program, package):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Missing(f"not installed; apt-get install {package}")
    return path


def version(argv):
    out = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=20, check=False)
    return out.stdout.strip().partition("\n")[0]


class Peer:
    """One proxy: how to find it and start it. `scenarios` are those that it can be measured in."""

    name = ""
    can = tuple(SCENARIOS)

    def __init__(self, options):
        self.options = options
        self.notes = {}  # scenario -> why it is left out
        self.program = self.find()
        self.scenarios = [s for s in options.only if s in self.can and s not in self.notes]
        self.process = None
        self.ports = {}
        self.log = ""

    def find(self):
        raise NotImplementedError

    def argv(self, values):
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def start(self, stack, values, cpu):
        # "plain" is always served: it is what the added cost of keylimit is counted from.
        served = {LISTENERS.get(s, s) for s in self.scenarios} | {"plain"}
        ports = dict(zip(SCENARIOS, free_ports(len(SCENARIOS))))
        self.ports = {s: ports[LISTENERS.get(s, s)] for s in SCENARIOS}
        self.log = os.path.join(values["dir"], self.name + ".log")
        self.sections = served
        self.process = start(stack, self.argv({**values, **self.ports}), cpu,
                             self.log + ".start")
        for scenario in sorted(served & set(self.can)):
            wait_for_port(self.process, self.ports[scenario], self.name, self.log + ".start")


class Lintel(Peer):
    name = "lintel"

    def find(self):
        if not os.access(self.options.lintel, os.X_OK):
            raise Missing(f"no {self.options.lintel}; ./bootstrap build makes it, --lintel names"
                          " another")
        with open(self.options.lintel, "rb") as f:
            if re.search(rb"__[at]san_init", f.read()):
                raise Missing(f"{self.options.lintel} is built with sanitizers; an optimised build"
                              " is needed")
        return os.path.abspath(self.options.lintel)

    def argv(self, values):
        return [self.program, "run", "-c", render("lintel.yaml", values, self.sections)]

    def version(self):
        return version([self.program, "--version"])


class Nginx(Peer):
    name = "nginx"

    def find(self):
        if not os.path.exists(f"{NGINX_MODULES}/ngx_http_lua_module.so"):
            self.notes["keylimit"] = "no Lua module; apt-get install libnginx-mod-http-lua"
        return find("nginx", "nginx")

    def argv(self, values):
        values = {**values, "user": "user root;" if os.geteuid() == 0 else ""}
        return [self.program, "-e", self.log, "-p", values["dir"],
                "-c", render("nginx.conf", values, self.sections)]

    def version(self):
        return version([self.program, "-v"])


class Haproxy(Peer):
    name = "haproxy"

    def find(self):
        return find("haproxy", "haproxy")

    def argv(self, values):
        return [self.program, "-db", "-f", render("haproxy.cfg", values, self.sections)]

    def version(self):
        return version([self.program, "-v"])


class HaproxyLua(Haproxy):
    """The chain of keylimit in HAProxy's Lua rather than in its own rules."""

    name = "haproxy-lua"
    can = ("plain", "keylimit")

    def find(self):
        program = super().find()
        built = subprocess.run([program, "-vv"], capture_output=True, text=True, timeout=20,
                               check=False).stdout
        if "Built with Lua" not in built:
            raise Missing("this HAProxy is built without Lua")
        return program

    def argv(self, values):
        return [self.program, "-db", "-f", render("haproxy-lua.cfg", values, self.sections)]


class Floor(Peer):
    name = "floor"
    can = ("plain",)

    def find(self):
        return self.options.floor

    def argv(self, values):
        return [self.program, str(values["plain"]), str(values["backend"])]

    def version(self):
        return "forwards bytes, parses nothing"


PEERS = {p.name: p for p in (Lintel, Nginx, Haproxy, HaproxyLua, Floor)}
