"""test_wire.py - what jobs say reaches the commands, and what servers say holds."""

import time

import pytest

from letters import PLAIN
from process import eventually
from recorder import Recorder

WIDE = PLAIN.replace(b"One line.", "Öne line.".encode())


def start(box, queue, server, **limits):
    limits = {"rate": "unlimited", "connections": 1, **limits}
    box.engine(queue, limits={"default": limits}, retry=["1s"],
               routes={"there": {"hosts": [server.address], "tls": "none"}})


def recorder(box, *keywords, **more):
    server = box.keep(Recorder(*keywords, **more))
    server.name = "recorder"
    return server


def finals(queue, count=1):
    eventually(lambda: len(queue.finals()) >= count, f"{count} final events", 40)
    return queue.finals()


def submit(queue, *tos, **more):
    fields = [x for to in tos for x in ("to", to)]
    more.setdefault("data", PLAIN)
    return queue.submit(*fields, from_="x@y.test", route="there", **more)


def test_dsn_parameters(box):
    queue = box.redis()
    server = recorder(box, "PIPELINING", "DSN")
    start(box, queue, server)
    submit(queue, "u+v=w@a.test", **{"dsn.notify": "success,delay", "dsn.ret": "hdrs",
                                     "dsn.envid": "job 7+8=15"})
    finals(queue)
    assert server.heard("MAIL") == ["MAIL FROM:<x@y.test> RET=HDRS ENVID=job+207+2B8+3D15"]
    assert server.heard("RCPT") == [
        "RCPT TO:<u+v=w@a.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;u+2Bv+3Dw@a.test"]


def test_dsn_parameters_where_not_offered(box):
    queue = box.redis()
    server = recorder(box, "PIPELINING")
    start(box, queue, server)
    submit(queue, "u@a.test", **{"dsn.notify": "never", "dsn.ret": "full", "dsn.envid": "e"})
    finals(queue)
    assert server.heard("MAIL") == ["MAIL FROM:<x@y.test>"]
    assert server.heard("RCPT") == ["RCPT TO:<u@a.test>"]


def test_a_labels_spare_smtputf8(box):
    queue = box.redis()
    server = recorder(box, "PIPELINING", "8BITMIME")
    start(box, queue, server)
    submit(queue, "ann@bücher.test")
    finals(queue)
    assert server.heard("MAIL") == ["MAIL FROM:<x@y.test>"]
    assert server.heard("RCPT") == ["RCPT TO:<ann@xn--bcher-kva.test>"]


def test_smtputf8_and_8bitmime(box):
    queue = box.redis()
    server = recorder(box, "PIPELINING", "SMTPUTF8", "8BITMIME")
    start(box, queue, server)
    submit(queue, "jürgen@bücher.test")
    finals(queue)
    submit(queue, "u@a.test", data=WIDE)
    finals(queue, 2)
    first, second = server.heard("MAIL")
    assert first == "MAIL FROM:<x@y.test> SMTPUTF8"
    assert second in ("MAIL FROM:<x@y.test> BODY=8BITMIME", "MAIL FROM:<x@y.test>")
    assert server.heard("RCPT")[0] == "RCPT TO:<jürgen@bücher.test>"


def test_size(box):
    queue = box.redis()
    server = recorder(box, "PIPELINING", "SIZE 1000")
    start(box, queue, server)
    submit(queue, "u@a.test")
    submit(queue, "large@a.test", data=PLAIN + b"filler, filler, filler\r\n" * 100)
    events = {e["to"]: e for e in finals(queue, 2)}
    assert events["u@a.test"]["type"] == "delivered"
    large = events["large@a.test"]
    assert (large["type"], large["enhanced"], large["failure"]) == ("bounced", "5.3.4", "content")
    assert [line.split(" SIZE=")[0] for line in server.heard("MAIL")] == ["MAIL FROM:<x@y.test>"]


def test_limits_of_the_server(box):
    queue = box.redis()
    server = recorder(box, "PIPELINING", "LIMITS RCPTMAX=3 MAILMAX=2")
    start(box, queue, server)
    tos = [f"u{i}@a.test" for i in range(20)]
    submit(queue, *tos)
    assert {(e["type"], e["attempt"]) for e in finals(queue, 20)} == {("delivered", 1)}
    assert sorted(to for t in server.transactions() for to in t) == sorted(tos)
    assert max(len(t) for t in server.transactions()) == 3
    for session in server.sessions:
        assert sum(line.startswith("MAIL") for line in session) <= 2


def test_recipients_share_a_transaction(box):
    """Each with an outcome of its own."""
    def answer(line, _session):
        if line.startswith("RCPT TO:<bad"):
            return "550 5.1.1 Nobody"
        if line.startswith("RCPT TO:<full") and time.monotonic() < until:
            return "452 4.2.2 Mailbox full"
        return None

    until = time.monotonic() + 1
    queue = box.redis()
    server = recorder(box, "PIPELINING", answer=answer)
    start(box, queue, server, recipients_per_transaction=10)
    tos = [f"u{i}@a.test" for i in range(23)] + ["bad@a.test", "full@a.test"]
    submit(queue, *tos, not_before=int(time.time()) + 1)
    until = time.monotonic() + 3
    events = {e["to"]: e for e in finals(queue, 25)}
    assert {to: e["type"] for to, e in events.items()} == {
        to: "bounced" if to == "bad@a.test" else "delivered" for to in tos}
    sizes = [sum(to.startswith("u") for to in t) for t in server.transactions()]
    assert sum(sizes) == 23 and 2 <= max(sizes) <= 10


def test_452_splits_and_is_learned(box):
    def answer(line, session):
        since = len(session) - 1
        while since > 0 and not session[since].startswith("MAIL"):
            since -= 1
        count = sum(x.startswith("RCPT") for x in session[since:])
        return "452 4.5.3 Too many recipients" if line[:4] == "RCPT" and count > 4 else None

    queue = box.redis()
    server = recorder(box, "PIPELINING", answer=answer)
    start(box, queue, server, recipients_per_transaction=20)
    tos = [f"u{i}@a.test" for i in range(60)]
    submit(queue, *tos)
    assert {(e["type"], e["attempt"]) for e in finals(queue, 60)} == {("delivered", 1)}
    taken = [t[:4] for t in server.transactions()]
    assert sorted(to for t in taken for to in t) == sorted(tos)
    # Once known, no transaction asks for more.
    assert len(server.transactions()[-1]) <= 4
    assert len(server.heard("RCPT")) < 60 + 30


@pytest.mark.parametrize("limit", [5])
def test_postfix_takes_so_many(box, limit):
    queue = box.redis()
    postfix = box.postfix(settings=f"smtpd_recipient_limit = {limit}\n"
                                   "smtpd_recipient_overshoot_limit = 1000\n")
    postfix.address = f"127.0.0.1:{postfix.port}"
    start(box, queue, postfix, recipients_per_transaction=20)
    tos = [f"u{i}@postfix.test" for i in range(40)]
    submit(queue, *tos)
    assert {(e["type"], e["attempt"]) for e in finals(queue, 40)} == {("delivered", 1)}
    eventually(lambda: len(postfix.messages()) == 40, "Postfix has put all into its maildir")


def test_a_new_site_is_probed_by_one_connection(box):
    queue = box.redis()
    server = recorder(box, "PIPELINING")
    server.greets.clear()
    start(box, queue, server, connections=10, recipients_per_transaction=1)
    submit(queue, *[f"u{i}@a.test" for i in range(60)])
    eventually(lambda: server.sessions, "a connection")
    time.sleep(0.3)  # what would be opened beside it would be opened at once
    assert len(server.sessions) == 1
    server.greets.set()
    assert {e["type"] for e in finals(queue, 60)} == {"delivered"}


def test_levels_of_tls_do_not_share_connections(box):
    """Nor does what was idle at one level go on at another."""
    queue = box.redis()
    sink = box.sink(tls=True)
    box.engine(queue, routes={level: {"hosts": [sink.address], "tls": level}
                              for level in ("none", "encrypt")})
    for count, level in enumerate(("none", "encrypt", "none", "encrypt"), 1):
        queue.submit(to="u@a.test", from_="x@y.test", data=PLAIN, route=level)
        finals(queue, count)
    assert [("tls" in e) for e in queue.finals()] == [False, True, False, True]
    assert [m["tls"] for m in sink.accepted()] == [False, True, False, True]


def test_a_server_that_hangs_up_on_ehlo(box):
    """It is called again at once and greeted with HELO; that is no failure of the host."""
    class HangsUp(Recorder):
        def usual(self, line):
            if line.startswith("EHLO"):
                raise ConnectionError("hangs up")
            return super().usual(line)

    queue = box.redis()
    server = box.keep(HangsUp())
    server.name = "recorder"
    server._server.handle_error = lambda *_: None
    start(box, queue, server)
    submit(queue, "u@a.test")
    event = finals(queue)[0]
    assert (event["type"], event["attempt"]) == ("delivered", 1)
    assert server.heard("EHLO") and server.heard("HELO")
    assert not [e for e in queue.events() if e["type"] == "site"]
