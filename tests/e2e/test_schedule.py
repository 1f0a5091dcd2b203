"""test_schedule.py - nothing leaves before its time, and all of it in time."""

import datetime
import struct
import time
import zoneinfo

from letters import PLAIN
from process import eventually


def submit(queue, to, **more):
    return queue.submit(to=to, from_="a@sender.test", data=PLAIN, **more)


def due(queue, klass="normal"):
    """{record: seconds} of what waits for its time."""
    return dict(queue.client.zrange(queue.key(f"due:{klass}"), 0, -1, withscores=True))


def zone_at(directory, name, clock):
    """A time zone in which it is `clock` ("08:30:00") now: the offset is made to fit."""
    hour, minute, second = map(int, clock.split(":"))
    now = int(time.time())
    offset = (hour * 3600 + minute * 60 + second - now) % 86400
    part = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    part += struct.pack(">lBB", offset, 0, 0) + b"LMT\0"
    (directory / name).write_bytes(part + part + b"\n\n")


def engine_with_zones(box, queue, backend, **more):
    zones = box.directory("zones")
    wrap = ("env", f"TZDIR={zones}")
    return box.engine(queue, io=backend, wrap=wrap, **more), zones


def first_due(queue):
    return eventually(lambda: due(queue), "a job that waits for its time")


def test_a_closed_window_waits_for_its_next_opening(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    day = datetime.datetime.now(berlin).date() + datetime.timedelta(days=2)
    opens = datetime.datetime.combine(day, datetime.time(10, 15), berlin)
    submit(queue, "a@x.test", window=f"{day:%a} 10:15-11:00 Europe/Berlin", expires="9d")
    ((record, score),) = first_due(queue).items()
    assert score / 1000 == opens.timestamp()
    assert b"a@x.test" in record and queue.events() == [] and sink.recipients() == []


def test_an_open_window_sends_at_once(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    submit(queue, "a@x.test", window="00:00-24:00")
    submit(queue, "b@x.test", window="Mon-Wed 00:00-24:00 Thu-Sun 00:00-24:00 America/Lima")
    eventually(lambda: sorted(sink.recipients()) == ["a@x.test", "b@x.test"], "both arrive")


def test_it_leaves_when_its_window_opens(box, backend):
    queue = box.redis()
    sink = box.sink()
    _, zones = engine_with_zones(box, queue, backend, sink=sink.address)
    zone_at(zones, "Soon", "07:59:55")
    before = time.time()
    submit(queue, "a@x.test", window="08:00-09:00 Soon")
    (event,) = eventually(queue.finals, "it arrives")
    assert sink.times()[0] - before >= 3.5
    assert event["type"] == "delivered" and event["attempt"] == 1


def test_a_retry_keeps_to_the_window(box, backend):
    queue = box.redis()
    sink = box.sink()
    _, zones = engine_with_zones(box, queue, backend, sink=sink.address, retry=["2h"])
    zone_at(zones, "Now", "08:30:00")
    now = time.time()
    submit(queue, "tempfail@x.test", window="08:00-09:00 Now", expires="9d")
    (event,) = eventually(queue.events, "it is deferred")
    comes = datetime.datetime.fromisoformat(event["next"].replace("Z", "+00:00")).timestamp()
    assert event["type"] == "deferred" and abs(comes - now - 23.5 * 3600) < 60
    assert abs(list(due(queue).values())[0] / 1000 - comes) < 1


def test_an_unknown_zone_bounces_and_says_so(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    submit(queue, "a@x.test", window="08:00-18:00 Europe/Berlen")
    (event,) = eventually(queue.finals, "an end")
    assert event["type"] == "bounced" and event["failure"] == "config"
    assert event["text"] == ('no time zone "Europe/Berlen" is known; write a name such as '
                             'Europe/Berlin')


def test_without_time_zones_jobs_wait(box):
    queue = box.redis()
    sink = box.sink()
    engine, zones = engine_with_zones(box, queue, "auto", sink=sink.address)
    zones.rmdir()
    submit(queue, "a@x.test", window="00:00-24:00 Europe/Berlin")
    eventually(lambda: "install tzdata" in engine.text(), "it is said")
    assert first_due(queue) and queue.events() == []


def test_spread_and_the_right_second(box, backend):
    """Each leaves when it is due, none before."""
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, limits={"default": {"rate": "unlimited"}})
    queue.store("plain", PLAIN)
    start = time.time() + 3
    for i in range(300):
        queue.submit(to=f"u{i}@d{i % 5}.test", from_="a@sender.test", message="plain",
                     not_before=f"{start:.3f}", spread="3s")
    wanted = sorted(score / 1000 for score in due(queue).values())
    assert len(wanted) == 300 and start - 0.01 <= wanted[0] and wanted[-1] <= start + 3
    assert wanted[-1] - wanted[0] > 2
    eventually(lambda: len(sink.recipients()) == 300, "all arrive", 60)
    for arrived, due_s in zip(sink.times(), wanted):
        assert due_s - 0.01 <= arrived < due_s + 15
    eventually(lambda: queue.waiting() == 0, "their outcomes are written")


def test_thousands_due_in_one_second(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, limits={"default": {"rate": "unlimited"}})
    queue.store("plain", PLAIN)
    at = time.time() + 5
    for first in range(0, 4000, 200):
        rows = [v for i in range(first, first + 200) for v in (f"u{i}@d{i % 50}.test",)]
        queue.client.fcall("volley_submit_batch", 1, queue.key("meta"), 3, "message", "plain",
                           "not_before", f"{at:.3f}", "from", "a@sender.test", "rows", 1, "to",
                           *rows)
    assert not sink.recipients() and len(due(queue)) == 4000
    eventually(lambda: len(sink.accepted()) and len(set(sink.recipients())) == 4000, "all", 60)
    assert sink.times()[0] >= at - 0.01
    eventually(lambda: len(queue.finals()) == 4000, "their outcomes are written")
    assert {e["type"] for e in queue.finals()} == {"delivered"}


def test_the_general_expiry_counts_from_not_before(box):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, sink=sink.address, expires="2s")
    submit(queue, "a@x.test", not_before=f"{time.time() + 3:.3f}")
    (event,) = eventually(queue.finals, "an end")
    assert event["type"] == "delivered"


def test_history_and_attempts_over_retries(box, backend):
    """What was said is kept with the job; the last attempt allowed is the last one made."""
    queue = box.redis()
    inbox = box.inbox()
    inbox.refuse = {"a@x.test": "450 4.2.1 come back"}
    box.engine(queue, io=backend, sink=f"127.0.0.1:{inbox.port}")
    submit(queue, "a@x.test", retry="1s,30s", max_attempts=3)
    eventually(lambda: len(queue.events()) == 2, "two attempts")
    ((record, score),) = eventually(lambda: due(queue), "it waits").items()
    last = queue.events()[-1]
    comes = datetime.datetime.fromisoformat(last["next"].replace("Z", "+00:00")).timestamp()
    assert abs(score / 1000 - comes) < 0.01 and last["attempt"] == 2
    queue.client.zadd(queue.key("due:normal"), {record: 0})
    eventually(lambda: queue.finals(), "the third")
    assert [(e["type"], e["attempt"], e["final"]) for e in queue.events()] == [
        ("deferred", 1, False), ("deferred", 2, False), ("expired", 3, True)]
    assert {e["code"] for e in queue.events()} == {450}
