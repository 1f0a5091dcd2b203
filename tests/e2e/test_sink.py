"""test_sink.py - volley-sink itself: what it takes, counts and breaks, on both I/O backends."""

import json
import signal
import smtplib
import socket
import ssl
import struct
import threading
import time
import zlib

import pytest

from conftest import needs
from process import eventually

LETTER = "From: a@from.test\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\n.dot\r\nend\r\n"


def host_port(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class Wire:
    """A bare connection: bytes out, answers in."""

    def __init__(self, address, timeout_s=10):
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address[5:])
        else:
            self.socket = socket.create_connection(host_port(address))
        self.socket.settimeout(timeout_s)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def line(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode("latin-1").rstrip("\r")

    def reply(self):
        """The code of the next answer."""
        while True:
            line = self.line()
            if line[3:4] != "-":
                return int(line[:3])

    def replies(self, count):
        return [self.reply() for _ in range(count)]

    def ehlo(self):
        assert self.reply() == 220
        self.send("EHLO me.test\r\n")
        assert self.reply() == 250
        return self

    def ended(self):
        """True when the server has closed and left nothing unread."""
        try:
            self.line()
            return False
        except EOFError as err:
            return err.args[0] == b""

    def close(self):
        self.socket.close()


@pytest.fixture
def sink(box, backend):
    """A function that starts a sink; its statistics are those of its end."""

    def start(*options, tls=False, **more):
        return box.sink("--io", backend, "--json", *options, tls=tls, **more)

    return start


def statistics(sink, code=0):
    """Ends the sink, if it has not ended by itself."""
    assert sink.terminate() == code, sink.text()
    return json.loads(sink.text().splitlines()[-1])


def no_trouble(stats):
    return not any(stats["errors"].values()) and not any(stats["content"].values())


def flight(recipient="b@to.test", sender="a@from.test"):
    return f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\n"


# ---- what it takes ---------------------------------------------------------------------------


def test_a_letter_is_taken_and_kept(box, sink):
    server = sink("--store", box.path / "mail", "--keep-last", "1", "--count-ids", "rcpt")
    with smtplib.SMTP(*host_port(server.address)) as client:
        client.sendmail("a@from.test", ["b@to.test", "c@to.test"], LETTER)
    stored = eventually(lambda: list((box.path / "mail" / "new").iterdir()), "a stored file")
    event = eventually(server.accepted, "an event")[0]
    stats = statistics(server)
    text = stored[0].read_bytes()
    assert text.startswith(b"Return-Path: <a@from.test>\r\nX-Envelope-To: <b@to.test>\r\n"
                           b"X-Envelope-To: <c@to.test>\r\n")
    assert text.endswith(LETTER.encode())
    assert event["from"] == "a@from.test" and event["to"] == ["b@to.test", "c@to.test"]
    assert int(event["crc32"], 16) == zlib.crc32(LETTER.encode())
    assert stats["messages"] == 1 and stats["recipients"] == 2 and stats["distinct"] == 2
    assert stats["last"] == [{"from": "a@from.test", "to": ["b@to.test", "c@to.test"],
                              "data": LETTER}]
    assert no_trouble(stats)


def test_starttls(sink):
    server = sink("--hostname", "mx.to.test", tls=True)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with smtplib.SMTP(*host_port(server.address)) as client:
        client.starttls(context=context)
        client.ehlo()
        assert "starttls" not in client.esmtp_features
        for i in range(20):
            client.sendmail("a@from.test", [f"b{i}@to.test"], LETTER + "x" * 100000)
        certificate = client.sock.getpeercert(binary_form=True)
    assert b"mx.to.test" in certificate
    stats = statistics(server)
    assert stats["tls"] == 1 and stats["messages"] == 20 and not any(stats["errors"].values())


def test_own_certificate_and_verification(box, sink):
    server = sink("--tls-cert", box.certificate.cert, "--tls-key", box.certificate.key, tls=True)
    context = ssl.create_default_context(cafile=str(box.certificate.cert))
    context.check_hostname = False
    with smtplib.SMTP(*host_port(server.address)) as client:
        client.starttls(context=context)
        client.sendmail("a@from.test", ["b@to.test"], LETTER)


def test_pipelined_bdat(sink):
    server = sink()
    wire = Wire(server.address).ehlo()
    wire.send("".join(flight() + "BDAT 3\r\n.\r\nBDAT 4 LAST\r\nabcd" for _ in range(50)))
    assert wire.replies(200) == [250] * 200
    wire.send("QUIT\r\n")
    assert wire.reply() == 221 and wire.ended()
    stats = statistics(server)
    assert stats["messages"] == stats["chunked"] == 50 and stats["bytes"] == 350
    assert no_trouble(stats)


def test_the_next_envelope_behind_a_message(sink):
    server = sink()
    wire = Wire(server.address).ehlo()
    wire.send(flight() + "DATA\r\n")
    assert wire.replies(3) == [250, 250, 354]
    for _ in range(20):
        wire.send(("x" * 76 + "\r\n") * 130 + ".\r\n" + flight() + "DATA\r\n")
        assert wire.replies(4) == [250, 250, 250, 354]
    wire.send(".\r\nQUIT\r\n")
    assert wire.replies(2) == [250, 221]
    stats = statistics(server)
    assert stats["messages"] == 21 and no_trouble(stats)


def test_ahead_of_answers_is_counted(sink):
    server = sink()
    wire = Wire(server.address).ehlo()
    wire.send(flight() + "DATA\r\nhello\r\n.\r\n")
    assert wire.replies(4) == [250, 250, 354, 250]
    wire.close()
    stats = statistics(server)
    assert stats["messages"] == 1 and stats["errors"]["pipelining"] == 1


def test_extensions_can_be_hidden(sink):
    server = sink("--no-pipelining", "--no-chunking", "--no-8bitmime", "--no-smtputf8",
                  "--no-size", "--no-dsn", "--no-enhanced", "--keyword", "LIMITS RCPTMAX=2")
    with smtplib.SMTP(*host_port(server.address)) as client:
        client.ehlo()
        assert client.esmtp_features == {"limits": "RCPTMAX=2"}
        assert client.docmd("BDAT", "0 LAST")[0] == 502
        assert client.docmd("NOOP") == (250, b"Ok")


def test_smuggling_is_reported(sink):
    server = sink()
    wire = Wire(server.address).ehlo()
    wire.send(flight() + "DATA\r\n")
    wire.replies(3)
    wire.send("a\n.\r\nMAIL FROM:<evil@x>\r\n\r\n.\r\n")
    assert wire.reply() == 250
    event = eventually(server.accepted, "an event")[0]
    stats = statistics(server)
    assert stats["messages"] == 1 and stats["content"]["smuggle"] == 1
    assert set(event["found"]) == {"smuggle", "bare_lf"}


def test_unix_socket_and_ipv6(box, sink):
    server = sink("--listen", f"unix:{box.path}/s", "--listen", "[::1]:0")
    addresses = [server.address, server.wait_line(r"listening (unix:\S+)").group(1),
                 server.wait_line(r"listening (\[::1\]:\d+)").group(1)]
    for address in addresses:
        wire = Wire(address).ehlo()
        wire.send("QUIT\r\n")
        assert wire.reply() == 221
    assert statistics(server)["connections"] == 3
    assert not (box.path / "s").exists()


# ---- what it counts --------------------------------------------------------------------------


def test_duplicates_are_found(sink):
    server = sink("--count-ids", "rcpt")
    with smtplib.SMTP(*host_port(server.address)) as client:
        for to in ("a@x.test", "b@x.test", "a@x.test", "c@x.test", "a@x.test"):
            client.sendmail("s@from.test", [to], LETTER)
    stats = statistics(server)
    assert (stats["distinct"], stats["duplicates"]) == (3, 2)
    assert stats["seen_again"] == ["a@x.test"]


def test_duplicates_by_header(sink):
    server = sink("--count-ids", "message-id")
    with smtplib.SMTP(*host_port(server.address)) as client:
        for i in (1, 2, 2):
            client.sendmail("s@from.test", ["a@x.test"], f"Message-ID:  <{i}@x>\r\n\r\nx\r\n")
    stats = statistics(server)
    assert (stats["distinct"], stats["seen_again"]) == (2, ["<2@x>"])


def test_expect_ends_it(sink):
    server = sink("--expect", "3")
    with smtplib.SMTP(*host_port(server.address)) as client:
        for _ in range(3):
            client.sendmail("s@from.test", ["a@x.test"], LETTER)
    assert server.wait() == 0
    assert statistics(server)["messages"] == 3


def test_expect_unmet_fails(sink):
    server = sink("--expect", "3", "--timeout", "200ms")
    assert server.wait() == 1


def test_statistics_while_it_runs(sink):
    server = sink()
    wire = Wire(server.address).ehlo()
    server.signal(signal.SIGUSR1)
    seen = json.loads(server.wait_line(r"^(\{.*\})").group(1))
    assert seen["connections"] == 1 and seen["closed"] == 0
    wire.send("NOOP\r\n")
    assert wire.reply() == 250


def test_threads(sink):
    server = sink("--threads", "3", "--count-ids", "rcpt")

    def client(k):
        with smtplib.SMTP(*host_port(server.address)) as smtp:
            for i in range(20):
                smtp.sendmail("s@from.test", [f"u{k}-{i}@x.test"], LETTER)

    clients = [threading.Thread(target=client, args=(k,)) for k in range(12)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    stats = statistics(server)
    assert stats["messages"] == stats["distinct"] == 240 and stats["duplicates"] == 0


def test_lost_connections_are_counted(sink):
    server = sink()
    wire = Wire(server.address).ehlo()
    wire.send(flight() + "DATA\r\n")
    wire.replies(3)
    wire.send("half a mess")
    wire.close()
    wire = Wire(server.address).ehlo()
    wire.send(flight())
    wire.replies(2)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()

    def counted():
        server.lines.clear()
        server.signal(signal.SIGUSR1)
        stats = json.loads(server.wait_line(r"^(\{.*\})").group(1))
        return stats["closed"] == 2 and stats

    errors = eventually(counted, "both are closed")["errors"]
    assert (errors["lost_body"], errors["lost"]) == (1, 1)


# ---- limits ----------------------------------------------------------------------------------


def test_max_connections(sink):
    server = sink("--max-connections", "2")
    first, second = Wire(server.address).ehlo(), Wire(server.address).ehlo()
    third = Wire(server.address)
    assert third.reply() == 421 and third.ended()
    first.close()
    second.close()
    stats = statistics(server)
    assert stats["refused"] == 1 and stats["connections"] == 3


@pytest.mark.parametrize("limit, said", [("2", [421]), ("2:close", [])])
def test_messages_per_connection(sink, limit, said):
    server = sink("--messages-per-connection", limit)
    wire = Wire(server.address).ehlo()
    for _ in range(2):
        wire.send(flight() + "BDAT 1 LAST\r\nx")
        assert wire.replies(3) == [250] * 3
    if said:
        wire.send(flight())
    assert [wire.reply() for _ in said] == said
    assert wire.ended()
    assert statistics(server)["messages"] == 2


def test_silence_gets_a_421(sink):
    server = sink("--idle", "100ms")
    wire = Wire(server.address).ehlo()
    assert wire.reply() == 421 and wire.ended()
    assert statistics(server)["errors"]["timeout"] == 1


def test_answers_nobody_reads_are_bounded(sink):
    """A client that only writes: the sink stops to read, and goes on when he reads again."""
    server = sink()
    wire = Wire(server.address).ehlo()
    wire.socket.settimeout(0.5)
    commands, sent = b"RSET\r\n" * 10000, 0
    with pytest.raises(TimeoutError):
        while sent < 1 << 28:
            sent += wire.socket.send(commands[sent % 6:])
    with open(f"/proc/{server.pid}/status") as status:
        assert int(status.read().split("VmRSS:")[1].split()[0]) < 50000
    wire.socket.settimeout(10)
    answer = len("250 2.0.0 Ok\r\n")
    got, wanted = 0, sent // 6 * answer
    while got < wanted:
        got += len(wire.socket.recv(1 << 20))
    assert got == wanted


# ---- faults ----------------------------------------------------------------------------------


def test_latency_delays_flights_not_others(sink):
    server = sink("--latency", "100ms")
    began = time.monotonic()
    wires = [Wire(server.address) for _ in range(20)]
    for wire in wires:
        assert wire.reply() == 220
    for wire in wires:
        wire.send("EHLO x\r\n")
    for wire in wires:
        assert wire.reply() == 250
    for wire in wires:
        wire.send((flight() + "BDAT 1 LAST\r\nx") * 8)
    for wire in wires:
        assert wire.replies(24) == [250] * 24
    took = time.monotonic() - began
    assert 0.3 <= took < 2
    assert statistics(server)["messages"] == 160


RULES = [
    ("rcpt to=full.test: reply 452 4.2.2 Full", "b@full.test", [250, 452], False),
    ("rcpt to=full.test: reply 452 4.2.2 Full", "b@other.test", [250, 250], False),
    ("rcpt: close", "b@x.test", [250], True),
    ("rcpt: reply 421 4.7.0 Enough\\nreally; close", "b@x.test", [250, 421], True),
    ("rcpt: dribble", "b@x.test", [250, 250], False),
    ("rcpt: ahead 421 4.3.2 Soon", "b@x.test", [250, 421, 250], False),
    ("mail: glue", "b@x.test", [250, 250], False),
    ("rcpt: delay 50ms", "b@x.test", [250, 250], False),
]


@pytest.mark.parametrize("rule, to, codes, ends", RULES)
def test_rules_for_answers(sink, rule, to, codes, ends):
    server = sink("--fault", rule)
    wire = Wire(server.address).ehlo()
    wire.send(flight(to))
    assert wire.replies(len(codes)) == codes
    if ends:
        assert wire.ended()
    else:
        wire.send("NOOP\r\n")
        assert wire.reply() == 250


def test_raw_bytes(sink):
    server = sink("--fault", "noop: raw 250-one\\r\\n251 \\x01two\\n")
    wire = Wire(server.address).ehlo()
    wire.send("NOOP\r\n")
    assert [wire.line(), wire.line()] == ["250-one", "251 \x01two"]


def test_reset(sink):
    server = sink("--fault", "mail: reset")
    wire = Wire(server.address).ehlo()
    wire.send("MAIL FROM:<>\r\n")
    with pytest.raises(ConnectionResetError):
        wire.line()


def test_stall(sink):
    server = sink("--fault", "mail nth=1: stall", "--idle", "300ms")
    wire = Wire(server.address, timeout_s=0.2).ehlo()
    wire.send("MAIL FROM:<>\r\nQUIT\r\n")
    with pytest.raises(TimeoutError):
        wire.line()
    wire.socket.settimeout(5)
    assert wire.ended()


def test_dribble_is_byte_by_byte(sink):
    server = sink("--fault", "noop: dribble 5ms")
    wire = Wire(server.address).ehlo()
    began = time.monotonic()
    wire.send("NOOP\r\n")
    pieces = []
    while not b"".join(pieces).endswith(b"\n"):
        pieces.append(wire.socket.recv(100))
    assert b"".join(pieces) == b"250 2.0.0 Ok\r\n"
    assert len(pieces) > 5 and time.monotonic() - began > 0.06


@pytest.mark.parametrize("chunking", [False, True])
def test_within_a_body(sink, chunking):
    server = sink("--fault", "body nth=1 at=5000: close",
                  "--fault", "body nth=2 at=5000: reply 552 5.3.4 Stop; close")
    body = "x" * 76 + "\r\n"
    for said in ([], [552]):
        wire = Wire(server.address).ehlo()
        wire.send(flight() + ("BDAT 7800 LAST\r\n" if chunking else "DATA\r\n"))
        assert wire.replies(2) == [250, 250]
        if not chunking:
            assert wire.reply() == 354
        wire.send(body * 100)
        assert [wire.reply() for _ in said] == said
        assert wire.ended()
    assert statistics(server)["messages"] == 0


def test_slow_read_puts_pressure_on_the_sender(sink):
    server = sink("--receive-buffer", "16KB", "--fault", "data: slow-read 100KB/s")
    wire = Wire(server.address).ehlo()
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    wire.send(flight() + "DATA\r\n")
    wire.replies(3)
    began = time.monotonic()
    wire.send("x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 2000 + ".\r\n")
    assert wire.reply() == 250
    assert time.monotonic() - began > 0.8


def test_chance_is_repeatable(sink):
    seen = []
    for _ in range(2):
        server = sink("--fault", "mail p=50%: reply 451 No", "--seed", "3")
        wire = Wire(server.address).ehlo()
        wire.send("MAIL FROM:<>\r\nRSET\r\n" * 50)
        seen.append(wire.replies(100))
        wire.close()
    assert seen[0] == seen[1] and 10 < seen[0].count(451) < 40


def test_magic_recipients(sink):
    server = sink()
    wire = Wire(server.address).ehlo()
    names = ["full", "tempfail", "permfail", "greylist", "greylist", "550-5.7.1-x", "ann"]
    wire.send("MAIL FROM:<a@x>\r\n" + "".join(f"RCPT TO:<{n}@x.test>\r\n" for n in names))
    assert wire.replies(8) == [250, 452, 451, 550, 451, 250, 550, 250]
    wire.send("RCPT TO:<dot-554-x@x.test>\r\nBDAT 1 LAST\r\nx")
    assert wire.replies(2) == [250, 554]
    plain = Wire(sink("--no-magic").address).ehlo()
    plain.send(flight("full@x.test"))
    assert plain.replies(2) == [250, 250]


@pytest.mark.parametrize("way", ["refuse", "handshake-reset", "handshake-close", "garbage",
                                 "stall"])
def test_broken_tls(sink, way):
    server = sink("--tls-break", way, "--idle", "500ms", tls=True)
    client = smtplib.SMTP(*host_port(server.address), timeout=5)
    client.ehlo()
    assert "starttls" in client.esmtp_features
    if way == "refuse":
        assert client.docmd("STARTTLS")[0] == 454
        client.sendmail("a@from.test", ["b@to.test"], LETTER)
        return
    context = ssl.create_default_context()
    with pytest.raises((ssl.SSLError, ConnectionResetError, EOFError, OSError)) as error:
        client.starttls(context=context)
    if way == "handshake-reset":
        assert isinstance(error.value, ConnectionResetError)
    if way == "garbage":
        assert isinstance(error.value, ssl.SSLError)
    client.close()


def test_garbage_instead_of_a_handshake(sink):
    server = sink(tls=True)
    wire = Wire(server.address).ehlo()
    wire.send("STARTTLS\r\n")
    assert wire.reply() == 220
    wire.send("MAIL FROM:<smuggled@x>\r\n")
    with pytest.raises((EOFError, ConnectionResetError)):
        while True:
            wire.line()
    stats = statistics(server)
    assert stats["errors"]["tls"] == 1 and stats["messages"] == 0


# ---- command line ----------------------------------------------------------------------------


@pytest.mark.parametrize("options, says", [
    (["--fault", "rcpr: close"], "did you mean 'rcpt'?"),
    (["--faults", "no-such-file"], "no-such-file: No such file"),
    (["--listen", "nowhere"], "'nowhere' is no address"),
    (["--tls-cert", "x"], "--tls-cert and --tls-key belong together"),
    (["--messages-per-connection", "x"], "write 20 or 20:close"),
    (["--store", "/proc/nothing"], "cannot make /proc/nothing"),
    (["--tls-cert", "/dev/null", "--tls-key", "/dev/null"], ""),
])
def test_bad_usage(box, options, says):
    done = box.run("volley-sink", *options)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert done.stderr.startswith("volley-sink: ") and says in done.stderr


def test_address_in_use(box, sink):
    # SO_REUSEPORT lets sinks share a port, but not one of somebody else.
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = box.run("volley-sink", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1 and "Address already in use" in done.stderr


# ---- the floor -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["data", "messages", "chunking"])
def test_floor_sends_what_it_says(box, sink, backend, mode):
    server = sink("--count-ids", "rcpt")
    done = box.run("volley-bench", "floor", "--to", server.address, "--messages", "3000",
                   "--size", "2KB", "--connections", "20", "--mode", mode, "--io", backend,
                   "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    stats = statistics(server)
    assert result["messages"] == stats["messages"] == stats["distinct"] == 3000
    assert stats["duplicates"] == 0 and no_trouble(stats)
    assert stats["chunked"] == (3000 if mode == "chunking" else 0)
    assert abs(stats["bytes"] / 3000 - 2048) < 8


def test_floor_reports_a_refusal(box, sink):
    server = sink("--fault", "dot nth=100: reply 451 4.3.0 No")
    done = box.run("volley-bench", "floor", "--to", server.address, "--messages", "1000",
                   "--size", "1KB")
    assert done.returncode == 1 and "the server refused: 451 4.3.0 No" in done.stderr


def test_quick_runs_the_whole_path(box, backend):
    needs("redis-server")
    done = box.run("volley-bench", "quick", "--jobs", "500", "--domains", "20", "--io", backend,
                   "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["messages"] == result["distinct"] == 500 and result["duplicates"] == 0
    assert result["floor_per_s"] > 0
