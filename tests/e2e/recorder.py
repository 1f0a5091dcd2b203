"""recorder.py - a mail server that says what it is told to and keeps what it hears.

No BDAT, no TLS: commands are read line by line and answered one by one, so what a client sends
in a flight is seen as it was sent.
"""

import socketserver
import threading


class Recorder:
    def __init__(self, *keywords, answer=None):
        """`answer(line, session)` gives another reply than the usual one, or None; a session
        is the list of lines heard on one connection."""
        self.keywords = keywords
        self.answer = answer or (lambda line, session: None)
        self.sessions = []
        self.greets = threading.Event()  # until then nobody is greeted
        self.greets.set()
        recorder = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                recorder.talk(self.rfile, self.wfile)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def usual(self, line):
        verb = line.split(" ")[0].upper()
        if verb == "EHLO":
            lines = ["recorder.test", *self.keywords]
            return "\r\n".join(f"250{'-' if i + 1 < len(lines) else ' '}{text}"
                               for i, text in enumerate(lines))
        return {"DATA": "354 Go", "QUIT": "221 Bye"}.get(verb, "250 2.0.0 Ok")

    def talk(self, lines, out):
        session = []
        self.sessions.append(session)
        self.greets.wait(60)
        out.write(b"220 recorder.test\r\n")
        for raw in lines:
            line = raw.rstrip(b"\r\n").decode("utf-8")
            session.append(line)
            reply = self.answer(line, session) or self.usual(line)
            out.write(reply.encode() + b"\r\n")
            if reply.startswith("354"):
                for raw in lines:
                    if raw == b".\r\n":
                        break
                session.append(".")
                out.write((self.answer(".", session) or "250 2.0.0 Kept").encode() + b"\r\n")
            if reply.startswith("221"):
                return

    def heard(self, verb):
        """All lines that begin with this, over all sessions."""
        return [line for session in list(self.sessions) for line in list(session)
                if line.upper().startswith(verb)]

    def transactions(self):
        """The recipients of each transaction that got its content, in order."""
        found, tos = [], []
        for session in list(self.sessions):
            for line in list(session):
                if line.startswith(("MAIL", "RSET", "EHLO")):
                    tos = []
                elif line.startswith("RCPT"):
                    tos.append(line.split("<")[1].split(">")[0])
                elif line == ".":
                    found.append(tos)
        return found

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    kill = stop

    def text(self):
        return "\n".join("\n".join(session) for session in self.sessions)
