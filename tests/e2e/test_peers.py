"""test_peers.py - real receivers: Postfix and aiosmtpd; STARTTLS; routes."""

import pytest

from letters import LETTER, PLAIN, expected, meaning
from process import eventually


def finals(queue, count):
    eventually(lambda: len(queue.finals()) >= count, f"{count} final events", 40)
    return queue.finals()


def through(address, **more):
    """A configuration with one route to an address."""
    return {"routes": {"there": {"hosts": [address], **more}}}


@pytest.mark.parametrize("level", ["none", "may", "encrypt"])
def test_postfix(box, backend, level):
    queue = box.redis()
    postfix = box.postfix()
    box.engine(queue, io=backend, **through(f"127.0.0.1:{postfix.port}", tls=level))
    queue.store("news", LETTER)
    jobs = {}
    for i in range(30):
        to = f"u{i}@postfix.test"
        jobs[to] = (queue.submit("v:name", f"N{i}", "v:number", i, to=to, message="news",
                                 from_="news@sender.test", route="there"), i)
    queue.submit(to="nobody@postfix.test", from_="news@sender.test", message="news", route="there")
    events = {e["to"]: e for e in finals(queue, 31)}
    refused = events.pop("nobody@postfix.test")
    assert refused["type"] == "bounced" and refused["code"] == 554
    for event in events.values():
        assert event["type"] == "delivered"
        assert ("tls" in event) == (level != "none")
    if level != "none":
        assert event["tls"]["version"].startswith("TLSv1.") and event["tls"]["verified"] is False
    eventually(lambda: len(postfix.messages()) == 30, "Postfix has put all into its maildir")
    wanted = [expected(ident, to, f"N{i}", i) for to, (ident, i) in jobs.items()]
    assert sorted(map(meaning, postfix.messages())) == sorted(wanted)


def test_encrypt_refuses_a_server_without_tls(box):
    """Takes half a minute: that long the host is left alone."""
    queue = box.redis()
    inbox = box.inbox()
    box.engine(queue, retry=["1s"], expires="3s",
               **through(f"127.0.0.1:{inbox.port}", tls="encrypt"))
    queue.submit(to="a@b.test", from_="x@y.test", data=PLAIN, route="there")
    event = eventually(queue.finals, "a final event", 60)[0]
    assert event["type"] in ("expired", "bounced") and inbox.messages == []


@pytest.mark.parametrize("tls", [False, True])
def test_aiosmtpd_one_command_at_a_time(box, backend, tls):
    queue = box.redis()
    inbox = box.inbox(tls)
    inbox.refuse["bad@b.test"] = "550 5.1.1 nobody of that name"
    box.engine(queue, io=backend, **through(f"127.0.0.1:{inbox.port}", tls="may"))
    for i in range(20):
        queue.submit(to=f"u{i}@b.test", from_="x@y.test", data=PLAIN, route="there")
    queue.submit(to="bad@b.test", from_="x@y.test", data=PLAIN, route="there")
    events = {e["to"]: e for e in finals(queue, 21)}
    assert events.pop("bad@b.test")["type"] == "bounced"
    assert {e["type"] for e in events.values()} == {"delivered"}
    assert {("tls" in e) for e in events.values()} == {tls}
    assert sorted(to for _, tos, _ in inbox.messages for to in tos) == sorted(events)
    assert {m for _, _, m in inbox.messages} == {PLAIN}


@pytest.mark.parametrize("mode", ["auto", "commands", "messages", "chunking"])
def test_exim(box, mode):
    """CHUNKING, envelopes behind bodies, and 452 to what is over ten recipients."""
    queue = box.redis()
    exim = box.exim()
    box.engine(queue, limits={"default": {"connections": 1, "rate": "unlimited", "pipeline": mode,
                                          "pipeline_depth": 8}},
               **through(exim.address, tls="none"))
    queue.store("news", LETTER)
    jobs = {}
    for i in range(100):
        to = f"u{i}@exim.test"
        jobs[to] = (queue.submit("v:name", f"N{i}", "v:number", i, to=to, message="news",
                                 from_="news@sender.test", route="there"), i)
    many = [x for i in range(35) for x in ("to", f"m{i}@exim.test")]
    queue.submit(*many, from_="news@sender.test", data=PLAIN, route="there")
    queue.submit(to="nobody@exim.test", from_="news@sender.test", message="news", route="there")
    events = {e["to"]: e for e in finals(queue, 136)}
    refused = events.pop("nobody@exim.test")
    assert (refused["type"], refused["failure"]) == ("bounced", "bad-mailbox")
    assert {(e["type"], e["attempt"]) for e in events.values()} == {("delivered", 1)}
    # What recipients share a letter is Exim's to copy; each personal one has its own.
    wanted = sorted(expected(ident, to, f"N{i}", i) for to, (ident, i) in jobs.items())

    def personal():
        return [m for m in exim.messages() if b"Number " in m]

    eventually(lambda: len(personal()) == 100, "Exim has put all into its maildir", 60)
    assert sorted(map(meaning, personal())) == wanted


@pytest.mark.parametrize("level", ["may", "encrypt"])
def test_sink_with_tls(box, backend, level):
    queue = box.redis()
    sink = box.sink(tls=True)
    box.engine(queue, io=backend, sink=sink.address, tls={"level": level})
    for i in range(50):
        queue.submit(to=f"u{i}@d{i % 5}.test", from_="x@y.test", data=PLAIN)
    assert {e["type"] for e in finals(queue, 50)} == {"delivered"}
    assert {m["tls"] for m in sink.accepted()} == {True}


def test_may_goes_on_in_the_clear_when_starttls_fails(box, backend):
    queue = box.redis()
    sink = box.sink("--fault", "starttls: reply 454 4.7.0 TLS not available", tls=True)
    box.engine(queue, io=backend, sink=sink.address, tls={"level": "may"}, retry=["1s"])
    queue.submit(to="u@a.test", from_="x@y.test", data=PLAIN)
    assert finals(queue, 1)[0]["type"] == "delivered"
    assert sink.accepted()[0]["tls"] is False


def test_second_host_of_a_route_when_the_first_is_away(box, backend):
    from servers import free_port
    queue = box.redis()
    inbox = box.inbox()
    box.engine(queue, io=backend, retry=["1s"], routes={
        "there": {"hosts": [f"127.0.0.1:{free_port()}", f"127.0.0.1:{inbox.port}"]}})
    queue.submit(to="a@b.test", from_="x@y.test", data=PLAIN, route="there")
    event = finals(queue, 1)[0]
    assert event["type"] == "delivered" and event["attempt"] == 1


def test_an_unknown_route_is_refused_at_submission(box):
    import redis
    queue = box.redis()
    box.engine(queue)
    with pytest.raises(redis.ResponseError, match="(?i)route"):
        queue.submit(to="a@b.test", from_="x@y.test", data=PLAIN, route="nowhere")
    with pytest.raises(redis.ResponseError, match="to"):
        queue.submit(to="not an address", from_="x@y.test", data=PLAIN)
