"""cut.py - a line that can be cut: TCP on one side, a unix socket on the other."""

import selectors
import socket
import threading


class Line:
    """Forwards connections to `address` (the path of a unix socket) until cut(): from then on
    nothing comes through, and nobody is told, as when a cable is pulled; join() mends it."""

    def __init__(self, address):
        self.address = str(address)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._over = False
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self):
        self._whole.clear()

    def join(self):
        self._whole.set()

    def stop(self):
        self._over = True
        self._whole.set()
        # Closing alone does not wake the thread that waits in accept().
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self._sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    kill = stop

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        far = socket.socket(socket.AF_UNIX)
        self._sockets += [near, far]
        try:
            self._whole.wait()
            far.connect(self.address)
            self._carry(near, far)
        except OSError:
            pass
        near.close()
        far.close()

    def _carry(self, near, far):
        other = {near: far, far: near}
        with selectors.DefaultSelector() as ready:
            for s in other:
                ready.register(s, selectors.EVENT_READ)
            while not self._over:
                for key, _ in ready.select(1):
                    self._whole.wait()
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    self._whole.wait()
                    other[key.fileobj].sendall(data)
