"""test_second_host.py - before a recipient is deferred, another host of its site is asked."""

import pytest

from letters import PLAIN
from process import eventually
from servers import free_port

BUSY = "rcpt: reply 450 4.3.0 Come again"


def start(box, queue, *hosts, **more):
    box.engine(queue, retry=["1s"], routes={"there": {"hosts": list(hosts), "tls": "none"}}, **more)


def submit(queue, to="u@a.test", **more):
    return queue.submit(to=to, from_="x@y.test", data=PLAIN, route="there", **more)


def events(queue, count=1):
    """Events of jobs."""
    def found():
        return [e for e in queue.events() if e["type"] != "site"]
    eventually(lambda: len(found()) >= count, f"{count} events", 40)
    return found()


def test_refused_for_now_by_the_first(box, backend):
    queue = box.redis()
    first, second = box.sink("--fault", BUSY), box.sink()
    start(box, queue, first.address, second.address, io=backend)
    for i in range(20):
        submit(queue, f"u{i}@a.test")
    found = events(queue, 20)
    assert {(e["type"], e["attempt"], e["final"]) for e in found} == {("delivered", 1, True)}
    assert sorted(second.recipients()) == sorted(f"u{i}@a.test" for i in range(20))
    assert first.recipients() == []


def test_refused_for_good_is_not_asked_again(box):
    queue = box.redis()
    first = box.sink("--fault", "rcpt: reply 550 5.1.1 Nobody")
    second = box.sink()
    start(box, queue, first.address, second.address)
    submit(queue)
    event = events(queue)[0]
    assert event["type"] == "bounced" and event["enhanced"] == "5.1.1"
    assert second.recipients() == []


@pytest.mark.parametrize("reply", ["452 4.2.2 Mailbox full", "450 4.2.0 Greylisted"])
def test_what_every_host_would_say(box, reply):
    queue = box.redis()
    first, second = box.sink("--fault", f"rcpt first=1: reply {reply}"), box.sink()
    start(box, queue, first.address, second.address)
    submit(queue)
    deferred, delivered = events(queue, 2)
    assert deferred["type"] == "deferred" and delivered["type"] == "delivered"
    assert len(first.recipients()) == 1 and second.recipients() == []


def test_refused_by_both(box):
    queue = box.redis()
    first = box.sink("--fault", "rcpt first=1: reply 450 4.3.0 First")
    second = box.sink("--fault", "rcpt first=1: reply 451 4.3.1 Second")
    start(box, queue, first.address, second.address)
    submit(queue)
    deferred, delivered = events(queue, 2)
    assert (deferred["type"], deferred["attempt"]) == ("deferred", 1)
    assert (deferred["code"], deferred["text"]) == (451, "Second")
    assert (delivered["type"], delivered["attempt"]) == ("delivered", 2)
    assert len(events(queue)) == 2


def test_the_second_is_away(box):
    queue = box.redis()
    first = box.sink("--fault", "mail first=1: reply 451 4.3.0 First")
    start(box, queue, first.address, f"127.0.0.1:{free_port()}")
    submit(queue)
    deferred, delivered = events(queue, 2)
    assert (deferred["type"], deferred["attempt"]) == ("deferred", 1)
    assert (deferred["code"], deferred["stage"], deferred["text"]) == (451, "mail", "First")
    assert deferred["ip"] == "127.0.0.1" and deferred["mx"] and deferred["site"]
    assert (delivered["type"], delivered["attempt"]) == ("delivered", 2)


@pytest.mark.parametrize("fault", [
    "mail: reply 421 4.3.2 Going down; close", "rcpt: close", "body at=10: close"])
def test_a_connection_that_breaks(box, fault):
    """Before its end was written nothing is doubtful: the next host gets it at once."""
    queue = box.redis()
    first, second = box.sink("--no-chunking", "--fault", fault), box.sink()
    start(box, queue, first.address, second.address)
    submit(queue)
    event = eventually(queue.finals, "a final event", 60)[0]
    assert event["type"] == "delivered"
    assert first.recipients() == [] and second.recipients() == ["u@a.test"]


def test_smtputf8_at_the_second_alone(box):
    queue = box.redis()
    first, second = box.sink("--no-smtputf8"), box.sink()
    start(box, queue, first.address, second.address)
    submit(queue, "jürgen@a.test")
    event = events(queue)[0]
    assert (event["type"], event["attempt"]) == ("delivered", 1)
    assert second.recipients() == ["jürgen@a.test"]


def test_smtputf8_nowhere(box):
    queue = box.redis()
    first, second = box.sink("--no-smtputf8"), box.sink("--no-smtputf8")
    start(box, queue, first.address, second.address)
    submit(queue, "jürgen@a.test")
    event = events(queue)[0]
    assert event["type"] == "bounced" and event["enhanced"] == "5.6.7" and event["final"]
    assert first.recipients() == second.recipients() == []


def test_smtputf8_while_the_second_is_away(box):
    """It may have what the first one lacks: no bounce."""
    queue = box.redis()
    first = box.sink("--no-smtputf8")
    start(box, queue, first.address, f"127.0.0.1:{free_port()}")
    for _ in range(2):  # the second time it is known to be away
        submit(queue, "jürgen@a.test", retry="1h")
    found = events(queue, 2)
    assert {(e["type"], e["enhanced"]) for e in found} == {("deferred", "5.6.7")}


def test_other_mail_stays_with_the_first(box):
    queue = box.redis()
    first = box.sink("--fault", "rcpt to=no@*: reply 450 4.3.0 Not that one")
    second = box.sink()
    start(box, queue, first.address, second.address)
    for i in range(60):
        submit(queue, "no@a.test" if i % 3 == 0 else f"u{i}@a.test")
    assert {e["type"] for e in events(queue, 60)} == {"delivered"}
    assert sorted(first.recipients()) == sorted(f"u{i}@a.test" for i in range(60) if i % 3)
    assert second.recipients() == ["no@a.test"] * 20


def test_a_local_refusal_by_the_second_is_no_bounce(box):
    """The first one would take it, another time."""
    queue = box.redis()
    first = box.sink("--fault", "rcpt first=1: reply 450 4.3.0 First")
    second = box.sink("--no-smtputf8")
    start(box, queue, first.address, second.address)
    submit(queue, "jürgen@a.test")
    deferred, delivered = events(queue, 2)
    assert (deferred["type"], deferred["text"]) == ("deferred", "First")
    assert (delivered["type"], delivered["attempt"]) == ("delivered", 2)


def test_a_drain_while_the_second_is_awaited(box):
    queue = box.redis()
    first = box.sink("--fault", BUSY)
    second = box.sink("--fault", "connect: stall")
    start(box, queue, first.address, second.address)
    engine = box.taken[-1]
    submit(queue)
    assert engine.terminate(timeout_s=60) == 0
    assert queue.waiting() == 1 and queue.finals() == []
