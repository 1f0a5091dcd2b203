"""test_hosts.py - hosts that cannot be reached, and trouble of the engine's own machine."""

import resource

from letters import PLAIN
from process import eventually
from servers import free_port
from test_dns import delivered, submit_all


def test_hundreds_of_dead_sites_hold_up_no_other_mail(box, backend):
    queue, sink, nobody = box.redis(), box.sink(), free_port()
    routes = {f"dead{i}": {"hosts": [f"127.0.0.1:{nobody}"]} for i in range(320)}
    routes["live"] = {"hosts": [sink.address]}
    box.engine(queue, io=backend, routes=routes)
    for i in range(320):
        submit_all(queue, [f"d{i}.test"] * 4, route=f"dead{i}")

    def down():
        return [e for e in queue.events() if e["type"] == "site" and e["state"] == "down"]

    eventually(lambda: len(down()) == 320, "all of them are down", timeout_s=60)
    submit_all(queue, [f"n{i}.test" for i in range(40)], route="live")
    submit_all(queue, [f"h{i}.test" for i in range(40)], **{"route": "live", "class": "high"})
    eventually(lambda: len(delivered(queue)) == 80, "the others are delivered")
    assert queue.waiting() == 4 * 320
    assert not [e for e in queue.events() if e["type"] == "deferred"]


def test_a_source_that_is_not_ours_rests_alone(box, backend):
    """Its letters go by the other source of the pool; the host is not blamed."""
    queue, sink = box.redis(), box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address,
                        sources={"gone": {"address": "198.51.100.7"},
                                 "here": {"address": "127.0.0.1"}})
    submit_all(queue, [f"d{i}.test" for i in range(50)])
    eventually(lambda: len(delivered(queue)) == 50, "all are delivered", timeout_s=60)
    assert {e["source"] for e in queue.finals()} == {"here"}
    engine.wait_line(r"source gone: no connection can be opened .* sources\.gone\.address")
    assert not [e for e in queue.events() if e["type"] == "site"]


def test_out_of_descriptors(box, backend):
    """The engine says what to raise, blames nobody, and goes on when there are some again."""
    queue, sink = box.redis(), box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address)
    before = resource.prlimit(engine.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    queue.submit(to="user@one.test", from_="x@y.test", data=PLAIN)
    engine.wait_line(r"out of descriptors .* LimitNOFILE")
    assert queue.finals() == []
    resource.prlimit(engine.pid, resource.RLIMIT_NOFILE, before)
    eventually(lambda: delivered(queue) == ["one.test"], "it is delivered")
    assert queue.finals()[0]["attempt"] == 1
    assert not [e for e in queue.events() if e["type"] == "site"]
