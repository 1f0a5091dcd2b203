"""test_queue_retention.py - the stream of events keeps its size, and says what it lost."""

import json

from conftest import Engine
from letters import PLAIN
from process import eventually
from queue_library import BASE, META, queue, server, text

EVENTS = BASE + "events"
LIMIT = 200000


def write(queue, entries, lines=10):
    body = "".join(json.dumps({"id": i, "filler": "x" * 80}) + "\n" for i in range(lines))
    return [queue.redis.xadd(EVENTS, {"events": body}).decode() for _ in range(entries)]


def size(queue):
    return queue.redis.memory_usage(EVENTS)


def retain(queue, limit=LIMIT):
    """Until there is nothing more to drop: (entries gone, events lost)."""
    gone = lost = 0
    while True:
        n, m, more = queue.call("volley_1_retain", ["events", "meta"], limit,
                                "2026-01-31T23:59:59.123Z", "n1")
        gone, lost = gone + n, lost + m
        if not more:
            return gone, lost


def marks(queue):
    lines = [json.loads(line) for _, e in queue.redis.xrange(EVENTS)
             for line in e[b"events"].splitlines()]
    return [line for line in lines if line.get("type") == "dropped"]


def test_nothing_goes_while_there_is_room(queue):
    assert retain(queue) == (0, 0)
    write(queue, 50)
    assert size(queue) < LIMIT
    assert retain(queue) == (0, 0) and queue.redis.xlen(EVENTS) == 50


def test_without_groups_the_oldest_go_and_are_counted(queue):
    ids = write(queue, 600)
    assert size(queue) > LIMIT
    gone, lost = retain(queue)
    retain(queue)
    assert lost == 10 * gone and size(queue) <= LIMIT * 1.1
    assert sum(mark["count"] for mark in marks(queue)) >= lost
    assert int(queue.redis.hget(META, "events_dropped")) >= lost
    mark = marks(queue)[0]
    assert mark["v"] == 1 and mark["first"] == ids[0] and mark["node"] == "n1"
    assert mark["time"] == "2026-01-31T23:59:59.123Z"
    assert text(queue.redis.xrange(EVENTS, count=1)[0][0]) in ids[gone:]


def test_what_all_groups_have_read_is_no_loss(queue):
    write(queue, 600)
    for group in ("a", "b"):
        queue.redis.xgroup_create(EVENTS, group, "0")
        queue.redis.xreadgroup(group, "c", {EVENTS: ">"}, count=1000, noack=True)
    gone, lost = retain(queue)
    assert gone > 100 and lost == 0 and marks(queue) == []
    assert not queue.redis.hexists(META, "events_dropped")


def test_the_slowest_group_decides(queue):
    ids = write(queue, 600)
    queue.redis.xgroup_create(EVENTS, "quick", "$")
    queue.redis.xgroup_create(EVENTS, "slow", ids[9])
    n, lost, more = queue.call("volley_1_retain", ["events", "meta"], LIMIT, "t", "n1")
    assert (n, lost, more) == (100, 900, 1)  # ten entries of ten were read by both


def test_what_was_not_acknowledged_is_not_read(queue):
    ids = write(queue, 600)
    queue.redis.xgroup_create(EVENTS, "g", "0")
    queue.redis.xreadgroup("g", "c", {EVENTS: ">"}, count=600)
    queue.redis.xack(EVENTS, "g", *ids[:30], *ids[40:])
    n, lost, _ = queue.call("volley_1_retain", ["events", "meta"], LIMIT, "t", "n1")
    assert (n, lost) == (100, 700)  # from the 31st on somebody may still come back for them


def test_an_engine_keeps_the_stream_small(box):
    queue = box.redis()
    sink = box.sink()
    config = box.config(queue, sink=sink.address, events={
        "redis": {"max_bytes": "1MB"}, "file": str(box.path / "engine-events.jsonl")})
    engine = box.keep(Engine(box, queue, "engine", config))
    body = (json.dumps({"filler": "x" * 1000}) + "\n") * 20
    for _ in range(300):
        queue.client.xadd(queue.key("events"), {"events": body})
    eventually(lambda: queue.client.memory_usage(queue.key("events")) < 1.2 * (1 << 20),
               "it shrinks")
    eventually(lambda: int(queue.client.hget(queue.key("meta"), "events_dropped") or 0) > 3000,
               "most of 6 MB is dropped")
    eventually(lambda: "the stream of events is full" in engine.text(), "it is said")
    queue.submit(to="a@x.test", from_="a@sender.test", data=PLAIN)
    eventually(queue.finals, "its event is there")
