"""test_pacing.py - limits hold where it counts: at the receiver."""

from letters import PLAIN
from process import eventually


def fill(queue, count, domains):
    queue.store("news", PLAIN)
    pipe = queue.client.pipeline(transaction=False)
    for i in range(count):
        pipe.fcall("volley_submit", 1, queue.key("meta"), "to", f"u{i}@{domains[i % len(domains)]}",
                   "from", "a@sender.test", "message", "news")
    pipe.execute()


def test_rate(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address,
               limits={"default": {"connections": 5, "rate": "50/s"}})
    fill(queue, 200, ["one.test"])
    eventually(lambda: len(queue.finals()) == 200, "all delivered", 60)
    times = sink.times()
    took = times[-1] - times[0]
    assert 199 / 50 * 0.97 < took < 199 / 50 * 1.25, f"200 letters at 50/s took {took:.2f} s"
    # In no second more than the rate and its burst of one; the sink stamps milliseconds.
    for i, start in enumerate(times):
        within = sum(1 for t in times[i:] if t < start + 1.0 - 0.02)
        assert within <= 51, f"{within} letters within a second"


def test_a_site_has_its_own_rate(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, limits={
        "slow": {"match": {"domains": ["slow.test"]}, "rate": "10/s"}})
    fill(queue, 60, ["slow.test", "fast.test"])
    eventually(lambda: len(queue.finals()) == 60, "all delivered", 30)
    slow = sorted(e["time"] for e in queue.finals() if e["to"].endswith("@slow.test"))
    by_domain = {e["to"].split("@")[1]: e["site"] for e in queue.finals()}
    assert by_domain["slow.test"] == "slow" and by_domain["fast.test"] == "fast.test"
    fast = sorted(e["time"] for e in queue.finals() if e["to"].endswith("@fast.test"))
    assert fast[-1] < slow[-1], "the slow site holds up nobody else"


def test_connections(box, backend):
    queue = box.redis()
    # Answers come late, so that more connections would be used if they were allowed.
    sink = box.sink("--fault", "dot: delay 20ms", "--max-connections", "3")
    box.engine(queue, io=backend, sink=sink.address,
               limits={"default": {"connections": 3}})
    fill(queue, 150, ["one.test"])
    eventually(lambda: len(queue.finals()) == 150, "all delivered", 60)
    used = {m["connection"] for m in sink.accepted()}
    assert 1 <= len(used) <= 3
    assert {e["type"] for e in queue.events()} == {"delivered"}, "the sink refused a fourth"


def test_messages_per_connection(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address,
               limits={"default": {"connections": 2, "messages_per_connection": 10}})
    fill(queue, 100, ["one.test"])
    eventually(lambda: len(queue.finals()) == 100, "all delivered", 60)
    assert max(m["number"] for m in sink.accepted()) <= 10
    assert len({m["connection"] for m in sink.accepted()}) >= 10


def test_not_before(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    now = queue.client.time()
    start = now[0] + now[1] / 1e6
    queue.submit(to="u@a.test", from_="x@y.test", data=PLAIN, not_before=int(start) + 2)
    eventually(queue.finals, "delivered", 20)
    assert sink.times()[0] >= int(start) + 2 - 0.01
