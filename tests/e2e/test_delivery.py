"""test_delivery.py - letters go in at one end and come out at the other, intact."""

import collections
import zlib

import pytest

from letters import LETTER, PLAIN, envelope_to, expected, meaning
from process import eventually


def finals_of(queue, count, timeout_s=30):
    """Waits for that many final events."""
    eventually(lambda: len(queue.finals()) >= count, f"{count} final events", timeout_s)
    return queue.finals()


def assert_one_final_each(events, wanted):
    """Every wanted (id, rcpt) has exactly one final event."""
    count = collections.Counter((e["id"], e["rcpt"]) for e in events if e["final"])
    assert set(count) == set(wanted)
    assert set(count.values()) == {1}


def test_a_thousand_letters_arrive_intact(box, backend):
    queue = box.redis()
    sink = box.sink("--store", box.path / "mail")
    engine = box.engine(queue, io=backend, sink=sink.address)
    queue.store("news", LETTER)
    jobs = {}
    for i in range(1000):
        to = f"user{i}@domain{i % 40}.test"
        ident = queue.submit("v:name", f"Näme {i}", "v:number", i, to=to, message="news",
                             from_="news@sender.test", class_="bulk")
        jobs[to] = (ident, i)
    events = finals_of(queue, 1000)
    assert {e["type"] for e in events} == {"delivered"}
    assert_one_final_each(events, {(ident, 1) for ident, _ in jobs.values()})

    stored = [f.read_bytes() for f in (box.path / "mail/new").iterdir()]
    letters = {envelope_to(letter): letter for letter in stored}
    assert len(stored) == 1000 and len(letters) == 1000
    for to, (ident, i) in jobs.items():
        assert meaning(letters[to]) == expected(ident, to, f"Näme {i}", i)
    assert {m["from"] for m in sink.accepted()} == {"news@sender.test"}
    assert queue.waiting() == 0
    assert engine.terminate() == 0


def test_a_letter_without_placeholders_is_not_touched(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    queue.store("plain", PLAIN)
    for i in range(100):
        queue.submit(to=f"u{i}@d{i % 9}.test", message="plain", from_="a@sender.test")
    finals_of(queue, 100)
    assert {int(m["crc32"], 16) for m in sink.accepted()} == {zlib.crc32(PLAIN)}


@pytest.mark.parametrize("offers", [(), ("--no-chunking",), ("--no-chunking", "--no-pipelining")])
def test_the_bytes_themselves(box, backend, offers):
    queue = box.redis()
    sink = box.sink("--store", box.path / "mail", *offers)
    box.engine(queue, io=backend, sink=sink.address)
    queue.submit(to="a@one.test", from_="x@sender.test", data=PLAIN)
    dots = PLAIN + b"..\r\n.\r\n\r\ntrailing blanks  \r\n.\r\n"
    queue.submit(to="b@one.test", from_="x@sender.test", data=dots)
    finals_of(queue, 2)
    letters = {envelope_to(f.read_bytes()): f.read_bytes()
               for f in (box.path / "mail/new").iterdir()}
    assert letters["a@one.test"].endswith(b"\r\n" + PLAIN)
    assert letters["b@one.test"].endswith(b"\r\n" + dots)


def test_events_in_stream_and_file_agree(box, backend):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address)
    for i in range(50):
        queue.submit("x:order", f"no-{i}", to=f"u{i}@d.test", from_="a@sender.test", data=PLAIN,
                     tenant="acme", campaign="august", tags="one,two")
    queue.submit(to="permfail@d.test", from_="a@sender.test", data=PLAIN)
    finals_of(queue, 51)
    assert engine.terminate() == 0
    in_stream = sorted(str(sorted(e.items(), key=str)) for e in queue.events())
    in_file = sorted(str(sorted(e.items(), key=str)) for e in engine.events())
    assert in_stream == in_file
    event = next(e for e in queue.events() if e["to"] == "u7@d.test")
    assert event["v"] == 1 and event["type"] == "delivered" and event["code"] == 250
    assert event["event"] == f"{event['id']}.{event['rcpt']}.{event['attempt']}"
    assert event["tenant"] == "acme" and event["campaign"] == "august"
    assert event["tags"] == ["one", "two"] and event["x"] == {"order": "no-7"}
    assert event["from"] == "a@sender.test" and event["job_class"] == "normal"
    assert event["bytes"] == len(PLAIN) and event["t_queue_us"] >= 0


def test_a_job_of_many_recipients_has_an_outcome_for_each(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    tos = [f"user{i}@many.test" for i in range(60)] + ["permfail@many.test"]
    fields = []
    for to in tos:
        fields += ["to", to]
    ident = queue.submit(*fields, from_="a@sender.test", data=PLAIN)
    events = finals_of(queue, 61)
    assert_one_final_each(events, {(ident, n) for n in range(1, 62)})
    types = {e["to"]: e["type"] for e in events}
    assert types.pop("permfail@many.test") == "bounced"
    assert set(types.values()) == {"delivered"}
    assert sorted(sink.recipients()) == sorted(tos[:-1])
    assert not queue.client.exists(queue.key(f"body:{ident}"))


def test_merge_values_of_each_recipient(box, backend):
    queue = box.redis()
    sink = box.sink("--store", box.path / "mail")
    box.engine(queue, io=backend, sink=sink.address)
    queue.store("news", LETTER)
    queue.submit("v:number", 5, "to", "ann@m.test", "v:name", "Ann", "to", "bob@m.test",
                 "v:name", "Bob", message="news", from_="a@sender.test")
    finals_of(queue, 2)
    letters = b"".join(f.read_bytes() for f in (box.path / "mail/new").iterdir())
    assert b"Subject: Number 5 for Ann\r\n" in letters and b"Dear Ann,\r\n" in letters
    assert b"Subject: Number 5 for Bob\r\n" in letters and b"Dear Bob,\r\n" in letters


def test_null_sender(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    queue.submit("from", "", to="a@b.test", data=PLAIN)
    event = finals_of(queue, 1)[0]
    assert event["type"] == "delivered" and event["from"] == ""
    assert sink.accepted()[0]["from"] == ""


def test_classes_all_arrive(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    for i in range(90):
        queue.submit(to=f"u{i}@c{i % 3}.test", from_="a@sender.test", data=PLAIN,
                     class_=("high", "normal", "bulk")[i % 3])
    events = finals_of(queue, 90)
    count = collections.Counter(e["job_class"] for e in events)
    assert count == {"high": 30, "normal": 30, "bulk": 30}


def test_work_that_waits_for_the_start_is_shared(box, backend):
    """The first worker that is ready gives jobs to others, who may not know yet under which
    life of the node they were claimed: none may be forgotten."""
    queue = box.redis()
    sink = box.sink()
    wanted = 0
    for start in range(4):
        engine = box.engine(queue, io=backend, sink=sink.address, workers=4)
        finals_of(queue, wanted)
        assert engine.terminate() == 0
        queue.store("news", PLAIN)
        for i in range(100):
            queue.submit(to=f"u{start}@w{i}.test", from_="a@sender.test", message="news")
        wanted += 100


@pytest.mark.parametrize("workers", [2, 4])
def test_more_workers_share_the_work(box, backend, workers):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address, workers=workers)
    queue.store("news", PLAIN)
    wanted = set()
    for i in range(600):
        to = f"u{i}@w{i % 100}.test"
        wanted.add(to)
        queue.submit(to=to, from_="a@sender.test", message="news")
    finals_of(queue, 600)
    assert sorted(sink.recipients()) == sorted(wanted)
    assert engine.terminate() == 0
