"""test_refusals.py - what a receiver's no means for a recipient, a connection and a job."""

import datetime

from letters import PLAIN
from process import eventually


def submit(queue, to, **more):
    return queue.submit(to=to, from_="a@sender.test", data=PLAIN, **more)


def events_of(queue, to, count=1):
    """Waits until `count` events about a recipient are there."""
    def found():
        return [e for e in queue.events() if e.get("to") == to]

    eventually(lambda: len(found()) >= count, f"{count} events for {to}")
    return found()


def test_permanent_refusal_bounces(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    submit(queue, "permfail@a.test")
    event = events_of(queue, "permfail@a.test")[0]
    assert event["type"] == "bounced" and event["final"] is True
    assert event["stage"] == "rcpt" and event["code"] == 550 and event["enhanced"] == "5.1.1"
    assert event["failure"] == "bad-mailbox" and event["attempt"] == 1 and event["text"]
    assert queue.waiting() == 0


def test_temporary_refusal_is_tried_again(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, retry=["1s"])
    submit(queue, "greylist@a.test")
    first, second = events_of(queue, "greylist@a.test", 2)
    assert first["type"] == "deferred" and first["final"] is False
    assert first["code"] == 451 and first["attempt"] == 1 and first["next"] > first["time"]
    assert second["type"] == "delivered" and second["final"] is True and second["attempt"] == 2


def seconds_between(first, second):
    def when(text):
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (when(second) - when(first)).total_seconds()


def test_words_say_when_to_come_back(box):
    queue = box.redis()
    sink = box.sink("--fault", "rcpt to=grey@*: reply 450 4.2.0 Greylisted for 10 minutes")
    box.engine(queue, sink=sink.address, retry=["1s"])
    submit(queue, "grey@a.test")
    event = events_of(queue, "grey@a.test")[0]
    assert event["type"] == "deferred" and event["failure"] == "policy"
    assert 600 <= seconds_between(event["time"], event["next"]) <= 615


def test_a_retry_comes_from_the_same_source(box):
    """As greylisting wants to see it; over many jobs both sources are used."""
    queue = box.redis()
    sink = box.sink("--fault", "rcpt first=16: reply 450 4.2.0 Greylisted")
    box.engine(queue, sink=sink.address, retry=["1s"], sources={
        name: {"address": address} for name, address in (("a", "127.0.0.1"), ("b", "127.0.0.2"))})
    for i in range(16):
        submit(queue, f"u{i}@a.test")
    eventually(lambda: len(queue.finals()) == 16, "16 final events")
    sources = {}
    for event in queue.events():
        if event["type"] in ("deferred", "delivered"):
            sources.setdefault(event["to"], set()).add(event["source"])
    assert len(sources) == 16 and all(len(names) == 1 for names in sources.values())
    assert set.union(*sources.values()) == {"a", "b"}


def test_a_block_of_our_address_is_no_bounce(box):
    queue = box.redis()
    sink = box.sink("--fault", "rcpt first=1: reply 554 5.7.1 Service unavailable\\; "
                    "Client host [192.0.2.1] blocked using zen.spamhaus.org")
    box.engine(queue, sink=sink.address, retry=["1s"])
    submit(queue, "u@a.test")
    first, second = events_of(queue, "u@a.test", 2)
    assert first["type"] == "deferred" and first["failure"] == "reputation"
    assert first["code"] == 554 and second["type"] == "delivered" and second["attempt"] == 2


def test_a_table_of_ones_own(box):
    queue = box.redis()
    table = box.path / "replies"
    table.write_text('# our own\n5xx rcpt "come tomorrow" policy defer\n')
    sink = box.sink("--fault", "rcpt first=1: reply 550 Please come tomorrow")
    box.engine(queue, sink=sink.address, retry=["1s"], replies=str(table))
    submit(queue, "u@a.test")
    first, second = events_of(queue, "u@a.test", 2)
    assert (first["type"], first["failure"]) == ("deferred", "policy")
    assert second["type"] == "delivered"


def test_a_job_that_stays_refused_expires(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, retry=["1s"], expires="3s")
    submit(queue, "full@a.test")
    last = eventually(lambda: queue.finals(), "a final event")[0]
    assert last["type"] in ("expired", "bounced")
    events = events_of(queue, "full@a.test")
    assert events[0]["type"] == "deferred" and events[0]["code"] == 452
    assert [e["final"] for e in events].count(True) == 1
    assert queue.waiting() == 0


def test_max_attempts(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, retry=["1s"])
    submit(queue, "tempfail@a.test", max_attempts=2)
    first, second = events_of(queue, "tempfail@a.test", 2)
    assert first["final"] is False
    assert second["final"] is True and second["attempt"] == 2
    assert second["type"] in ("bounced", "expired")


def test_some_recipients_of_a_domain_refused(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, retry=["1s"])
    wanted = {}
    for i in range(40):
        to = f"{('user', 'permfail', 'user', 'greylist')[i % 4]}-{i}@mixed.test"
        wanted[to] = "bounced" if i % 4 == 1 else "delivered"
        submit(queue, to)
    eventually(lambda: len(queue.finals()) == 40, "40 final events")
    assert {e["to"]: e["type"] for e in queue.finals()} == wanted
    assert sorted(sink.recipients()) == sorted(t for t, k in wanted.items() if k == "delivered")


def test_refused_after_the_body(box, backend):
    queue = box.redis()
    sink = box.sink("--fault", "dot to=spam@*: reply 554 5.7.1 Looks like spam")
    box.engine(queue, io=backend, sink=sink.address)
    submit(queue, "spam@a.test")
    submit(queue, "ham@a.test")
    spam = events_of(queue, "spam@a.test")[0]
    assert spam["type"] == "bounced" and spam["stage"] == "dot" and spam["code"] == 554
    assert spam["text"] and "Looks like spam" in spam["text"]
    assert events_of(queue, "ham@a.test")[0]["type"] == "delivered"


def test_a_connection_that_breaks_loses_nothing(box, backend):
    queue = box.redis()
    sink = box.sink("--fault", "mail every=7: reply 421 4.3.2 Going down; close",
                    "--fault", "rcpt nth=5: reset")
    box.engine(queue, io=backend, sink=sink.address, retry=["1s"])
    tos = [f"u{i}@a.test" for i in range(100)]
    for to in tos:
        submit(queue, to)
    eventually(lambda: len(queue.finals()) == 100, "100 final events", 60)
    assert {e["type"] for e in queue.finals()} == {"delivered"}
    assert sorted(sink.recipients()) == sorted(tos)


def test_refused_at_the_door_does_not_count_as_an_attempt(box):
    """Takes half a minute: that long the site is left alone."""
    queue = box.redis()
    sink = box.sink("--fault", "connect first=1: reply 421 4.3.2 Too busy; close")
    box.engine(queue, sink=sink.address, limits={"default": {"connections": 1}})
    submit(queue, "u@a.test")
    event = eventually(queue.finals, "a final event", 60)[0]
    assert event["type"] == "delivered" and event["attempt"] == 1


def test_malformed_records_in_the_queue_harm_nobody(box, backend):
    queue = box.redis()
    sink = box.sink()
    assert box.engine(queue, io=backend, sink=sink.address).terminate() == 0
    submit(queue, "before@a.test")
    name = queue.key("in:normal:default:default")
    for junk in (b"", b"junk", b"\x01", b"\x01\x01\xff", b"\x63" + b"x" * 50, b"\xff" * 300):
        queue.client.rpush(name, junk)
    submit(queue, "after@a.test")
    engine = box.engine(queue, "again", io=backend, sink=sink.address)
    assert events_of(queue, "before@a.test")[0]["type"] == "delivered"
    assert events_of(queue, "after@a.test")[0]["type"] == "delivered"
    eventually(lambda: queue.waiting() == 0, "the junk is out of the way")
    assert engine.running()


def test_a_stored_message_that_is_gone(box, backend):
    """Its job waits for it, and says so; the others go out."""
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address)
    queue.store("gone", PLAIN)
    queue.submit(to="u@a.test", from_="a@sender.test", message="gone",
                 not_before=int(queue.client.time()[0]) + 2)
    queue.client.delete(queue.key("msg:gone"))
    engine.wait_line('message "gone" is missing')
    submit(queue, "other@a.test")
    assert events_of(queue, "other@a.test")[0]["type"] == "delivered"
    assert queue.waiting() == 1
