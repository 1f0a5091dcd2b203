"""names.py - a name server that is silent about some names, for end-to-end tests."""

import socket
import struct
import threading

A, MX = 1, 15


def _name(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode("ascii", "replace").lower())
        at += 1 + data[at]
    return ".".join(labels), at + 1


def _wire(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"


class Names:
    """Every domain has the MX mx.<domain> at 127.0.0.1, at once; below `silent` there is no
    answer until speak() is called.  `asked` are the questions in order, repeats left out."""

    def __init__(self, silent="silent.test"):
        self.silent = "." + silent
        self.asked = []
        self._known = set()
        self._speaks = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.address = "127.0.0.1:%d" % self._socket.getsockname()[1]
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _answer(self, query, name, kind, end):
        if kind == MX:
            data = struct.pack("!H", 10) + _wire("mx." + name)
        elif kind == A:
            data = bytes([127, 0, 0, 1])
        else:
            data = None
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1 if data else 0, 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 300, len(data)) + data if data else b""
        return head + query[12:end + 4] + record

    def _run(self):
        while not self._over:
            try:
                query, peer = self._socket.recvfrom(2048)
            except socket.timeout:
                continue
            name, end = _name(query, 12)
            kind = struct.unpack("!H", query[end:end + 2])[0]
            if (name, kind) not in self._known:
                self._known.add((name, kind))
                self.asked.append((name, kind))
            if self._speaks or not name.endswith(self.silent):
                self._socket.sendto(self._answer(query, name, kind, end), peer)

    def speak(self):
        self._speaks = True

    def domains(self, part):
        """How many domains with `part` in their name were asked for."""
        return sum(1 for name, kind in list(self.asked) if kind == MX and part in name)

    def stop(self):
        self._over = True
        self._thread.join()
        self._socket.close()
