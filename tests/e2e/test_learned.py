"""test_learned.py - `pipeline: auto` finds out what a site takes, and remembers it."""

from letters import PLAIN
from process import eventually

DAY = 86400


def send(queue, names, site="a.test"):
    for name in names:
        queue.submit(to=f"{name}@{site}", from_="a@sender.test", data=PLAIN)


def finals(queue, count):
    eventually(lambda: len(queue.finals()) >= count, f"{count} final events", 60)
    return queue.finals()


def one_connection(**more):
    return {"limits": {"default": {"connections": 1, "rate": "unlimited",
                                   "messages_per_connection": "unlimited",
                                   **more}}}


def memory(queue):
    return {key.decode().split("learned:")[1]: queue.client.pttl(key) / 1000
            for key in queue.client.scan_iter(queue.key("learned:*"))}


def test_a_refused_trial_costs_nothing_and_is_remembered(box):
    queue = box.redis()
    sink = box.sink("--refuse-ahead", "--no-chunking", "--latency", "5ms")
    engine = box.engine(queue, sink=sink.address, **one_connection())
    tos = [f"u{i}" for i in range(80)]
    send(queue, tos)
    events = finals(queue, 80)
    assert {(e["type"], e["attempt"]) for e in events} == {("delivered", 1)}
    assert sorted(sink.recipients()) == sorted(f"{to}@a.test" for to in tos)
    engine.wait_line("site a.test: .* refuses envelopes behind a message")
    left = eventually(lambda: memory(queue), "the refusal is kept in Redis")
    assert list(left) == ["a.test"] and 6 * DAY < left["a.test"] <= 7 * DAY
    # Another node is told before it tries.
    assert engine.terminate() == 0
    again = box.engine(queue, "again", sink=sink.address, **one_connection())
    send(queue, [f"v{i}" for i in range(80)])
    assert {e["type"] for e in finals(queue, 160)} == {"delivered"}
    assert again.terminate() == 0
    assert "refuses envelopes" not in again.text()


def test_memory_of_another_make_is_no_memory(box):
    queue = box.redis()
    queue.client.set(queue.key("learned:a.test"), "what is this")
    sink = box.sink("--refuse-ahead", "--no-chunking", "--latency", "5ms")
    engine = box.engine(queue, sink=sink.address, **one_connection())
    send(queue, [f"u{i}" for i in range(80)])
    assert {e["type"] for e in finals(queue, 80)} == {"delivered"}
    engine.wait_line("refuses envelopes behind a message")


def test_a_named_mode_is_not_tried_out(box):
    queue = box.redis()
    sink = box.sink("--refuse-ahead", "--no-chunking", "--latency", "2ms")
    engine = box.engine(queue, sink=sink.address, **one_connection(pipeline="commands"))
    send(queue, [f"u{i}" for i in range(80)])
    assert {e["type"] for e in finals(queue, 80)} == {"delivered"}
    assert engine.terminate() == 0
    assert "refuses envelopes" not in engine.text() and memory(queue) == {}
