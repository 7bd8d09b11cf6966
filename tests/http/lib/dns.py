# SPDX-License-Identifier: Apache-2.0
"""A DNS server that says what the test wants, over UDP and TCP on one loopback port."""
import ipaddress
import socket
import struct
import threading

A, AAAA, SRV = 1, 28, 33
NXDOMAIN, SERVFAIL, REFUSED = 3, 2, 5


def _name(text):
    labels = [label for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def _data(kind, value):
    if kind == SRV:
        priority, weight, port, target = value
        return struct.pack(">HHH", priority, weight, port) + _name(target)
    return ipaddress.ip_address(value).packed


def _question(query):
    """Name, type and the bytes of the question of a query."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += query[at] + 1
    return ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])[0], query[12:at + 5]


class DnsServer:
    """say() sets what a name has; a name of which nothing was said is NXDOMAIN, another type of a
    name that is known has no records. `asked` lists (name, type, "udp" or "tcp")."""

    def __init__(self):
        self._facts = {}
        self._lock = threading.Lock()
        self.asked = []
        self.silent = False      # never answers
        self.garbage = None      # a function of the query that gives the bytes to send
        while True:
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._udp.bind(("127.0.0.1", 0))
            try:
                self._tcp.bind(self._udp.getsockname())
                break
            except OSError:  # somebody has that port
                self._udp.close()
                self._tcp.close()
        self._tcp.listen(64)
        self._stopping = False
        self._threads = [threading.Thread(target=f, daemon=True)
                         for f in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self._udp.getsockname()[1]

    def say(self, name, *values, ttl=0, rcode=0, kind=None):
        """The records of name: IPv4 and IPv6 addresses, or (priority, weight, port, target). They
        take the place of all that was said of it, with kind: of that type."""
        with self._lock:
            facts = {} if kind is None else self._facts.setdefault(name, {})
            for value in values:
                of = SRV if isinstance(value, tuple) else AAAA if ":" in value else A
                facts.setdefault(of, {"values": [], "ttl": ttl, "rcode": 0})["values"].append(value)
            if rcode:
                for of in ([kind] if kind else (A, AAAA, SRV)):
                    facts[of] = {"values": [], "ttl": 0, "rcode": rcode}
            self._facts[name] = facts

    def count(self, name, kind=None):
        return len([a for a in list(self.asked) if a[0] == name and kind in (None, a[1])])

    def _answer(self, query, over, limit):
        name, kind, question = _question(query)
        self.asked.append((name, kind, over))
        if self.silent:
            return None
        if self.garbage is not None:
            return self.garbage(query)
        with self._lock:
            known = name in self._facts
            fact = self._facts.get(name, {}).get(kind, {"values": [], "ttl": 0, "rcode": 0})
            rcode = fact["rcode"] if known else NXDOMAIN
            records = [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, fact["ttl"], len(data)) + data
                       for data in (_data(kind, v) for v in fact["values"])]
        whole = b"".join(records)
        cut = 12 + len(question) + len(whole) > limit
        flags = 0x8180 | (0x0200 if cut else 0) | rcode
        head = query[:2] + struct.pack(">HHHHH", flags, 1, 0 if cut else len(records), 0, 0)
        return head + question + (b"" if cut else whole)

    def _serve_udp(self):
        while True:
            try:
                query, peer = self._udp.recvfrom(4096)
            except OSError:
                return
            if self._stopping:
                return
            answer = self._answer(query, "udp", 512)
            if answer is not None:
                self._udp.sendto(answer, peer)

    def _serve_tcp(self):
        while True:
            try:
                sock, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(sock,), daemon=True).start()

    def _converse(self, sock):
        with sock:
            try:
                while True:
                    size = sock.recv(2, socket.MSG_WAITALL)
                    if len(size) < 2:
                        return
                    query = sock.recv(struct.unpack(">H", size)[0], socket.MSG_WAITALL)
                    answer = self._answer(query, "tcp", 65535)
                    if answer is not None:
                        sock.sendall(struct.pack(">H", len(answer)) + answer)
            except OSError:
                pass  # the other side is gone

    def stop(self):
        self._stopping = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._udp.getsockname())
        self._tcp.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._udp.close()
        self._tcp.close()
