"""test_connections.py - many connections at once on one worker, and what each costs.

By default 400 of them; VOLLEY_CONNECTIONS=10000 opens as many as a worker may have, and 200
domains more, for which idle ones make room.
"""

import os
import resource
import signal

import pytest
import yaml

from names import Names
from process import eventually
from test_dns import submit_all

COUNT = int(os.environ.get("VOLLEY_CONNECTIONS", "400"))
MOST = 10000  # of a worker
SPARE = 200  # descriptors for everything else


def enough_descriptors(count):
    """Raises the limit for this process and those it starts; skips where it cannot."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            limit = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limit))
        except (ValueError, PermissionError):
            pytest.skip(f"{wanted} descriptors are needed, {hard} are allowed (ulimit -Hn)")


def memory_kb(process):
    for line in open(f"/proc/{process.pid}/smaps_rollup"):
        if line.startswith("Pss_Anon:") or line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise AssertionError("no Anonymous in smaps_rollup")


def open_sockets(process):
    """Descriptors of the process, less a few."""
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def deliver_all(queue, sink, count):
    """A letter to each of `count` domains."""
    so_far = len(sink.recipients())
    for at in range(0, count, 1000):
        submit_all(queue, [f"d{i}.test" for i in range(at, min(at + 1000, count))])
    eventually(lambda: len(sink.recipients()) >= so_far + count, "all are delivered",
               timeout_s=300, step_s=0.5)
    eventually(lambda: queue.waiting() == 0, "and reported")


def hold(box, backend, count, tls):
    """An engine with `count` idle connections, each to a domain of its own, and what a
    connection costs it: the difference to the same domains known without connections."""
    enough_descriptors(count)
    queue, sink, names = box.redis(), box.sink(tls=tls), box.keep(Names())
    # With an MX of its own for each domain: else they would share connections.
    config = {"io": backend, "sink": {"address": sink.address, "dns": True},
              "dns": {"servers": [names.address]}, "timeouts": {"idle": "100ms"},
              "tls": {"level": "encrypt" if tls else "none"}}
    engine = box.engine(queue, **config)
    deliver_all(queue, sink, count)
    eventually(lambda: open_sockets(engine) < 100, "the connections are closed")
    before = memory_kb(engine)
    config["timeouts"] = {"idle": "1h"}
    engine.config_path.write_text(yaml.safe_dump(box.config(queue, **config)))
    engine.signal(signal.SIGHUP)
    engine.wait_line("is in force")
    deliver_all(queue, sink, count)
    assert open_sockets(engine) >= count
    return queue, sink, engine, (memory_kb(engine) - before) * 1024 // count


@pytest.mark.parametrize("tls,most", [(False, 4096), (True, 12288)], ids=["plain", "tls"])
def test_many_connections_at_once(box, backend, tls, most):
    """Every connection stays open, and costs no more than it may."""
    count = min(COUNT, MOST - 100)
    _, _, engine, each = hold(box, backend, count, tls)
    print(f"\n{count} connections, {'TLS' if tls else 'plain'}, {backend}: {each} bytes each; "
          f"the engine has {memory_kb(engine)} KB")
    assert each <= most


@pytest.mark.skipif(COUNT < MOST, reason="VOLLEY_CONNECTIONS=10000 fills a worker")
def test_a_full_worker_makes_room(box, backend):
    queue, sink, engine, _ = hold(box, backend, MOST, tls=False)
    sockets = open_sockets(engine)
    submit_all(queue, [f"more{i}.test" for i in range(200)])
    eventually(lambda: len(sink.recipients()) == 2 * MOST + 200, "the others are delivered", 120)
    assert open_sockets(engine) <= sockets + 10
