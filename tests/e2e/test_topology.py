"""test_topology.py - the queue on more than one Redis: nothing is lost when the master changes."""

import collections
import datetime
import re
import signal

import pytest

from letters import PLAIN
from process import eventually
from topologies import Cluster, SentinelSet, TlsRedis

COUNT = 900
DOMAINS = 3
RATE = {"default": {"connections": 4, "rate": "100/s burst 10"}}  # 3 s for all of them


def fill(queue, count=COUNT, replicas=0):
    """Submits jobs for different recipients, on as many servers before it goes on."""
    client = queue.client
    client.fcall("volley_store", 1, queue.key("meta"), "id", "news", "eml", PLAIN)
    tos = [f"u{i}@d{i % DOMAINS}.test" for i in range(count)]
    pipe = client.pipeline(transaction=False)
    for to in tos:
        pipe.fcall("volley_submit", 1, queue.key("meta"), "to", to, "from", "a@sender.test",
                   "message", "news", "class", "bulk")
    pipe.execute()
    if replicas:
        assert client.wait(replicas, 20000) >= replicas
    return tos


def under_way(sink, count=COUNT):
    eventually(lambda: len(sink.accepted()) > count // 10, "the sink has some letters")
    assert len(sink.accepted()) < count, "too fast to be interrupted: raise COUNT"


def assert_all_arrived(queue, sink, tos, doubles_max):
    """Everybody has it and has a final event; how many came twice."""
    eventually(lambda: set(sink.recipients()) == set(tos), "all letters", 90)
    eventually(lambda: queue.waiting() == 0, "an empty queue", 60)
    arrived = collections.Counter(sink.recipients())
    doubles = sum(n - 1 for n in arrived.values())
    assert doubles <= doubles_max, f"{doubles} letters came twice"
    return doubles


def time_of(line):
    return datetime.datetime.fromisoformat(line.split()[0].rstrip("Z"))


def away(engine):
    """For how long the engine was without Redis, by its log."""
    gone = None
    for line in engine.text().splitlines():
        if "Redis is away" in line and gone is None:
            gone = time_of(line)
        elif "is registered" in line and gone is not None:
            return round((time_of(line) - gone).total_seconds(), 2)
    raise AssertionError("it was never away")


def killed(server):
    server.kill()


def frozen(server):
    """As when its machine died: connections to it stay open, and nothing comes."""
    server.process.signal(signal.SIGSTOP)


@pytest.mark.parametrize("stop", [killed, frozen])
def test_sentinel_fails_over(box, stop):
    queue = box.keep(SentinelSet(box.directory("sentinel")))
    sink = box.sink()
    engine = box.engine(queue, sink=sink.address, limits=RATE)
    tos = fill(queue, replicas=1)
    under_way(sink)
    old = queue.master()
    stop(old)
    eventually(lambda: queue.master() is not old, "the Sentinels agree on another master", 60)
    doubles = assert_all_arrived(queue, sink, tos, 50)
    print(f"away for {away(engine)} s, {doubles} letters came twice")


def refusals(server):
    """What it answered while keys were being moved."""
    stats = server.client.info("errorstats")
    return [name for name in ("errorstat_TRYAGAIN", "errorstat_ASK") if name in stats]


def test_cluster_moves_the_slot(box):
    """All keys of the partition move to another master, and back, while letters leave."""
    queue = box.keep(Cluster(box.directory("cluster")))
    sink = box.sink()
    engine = box.engine(queue, sink=sink.address, limits=RATE)
    tos = fill(queue)
    under_way(sink)
    first = queue.master()
    others = [s for s in queue.masters() if s is not first]

    def halfway(owner):
        eventually(lambda: refusals(owner), "the engine meets a slot that is half moved")

    for server in queue.masters():
        eventually(lambda s=server: len(s.client.execute_command("FUNCTION", "LIST")) == 2,
                   "the functions are on every master")
    queue.move_slot(others[0], halfway)
    assert queue.master() is others[0]
    at = len(sink.accepted())
    eventually(lambda: len(sink.accepted()) > at, "letters leave from there")
    queue.move_slot(others[1], halfway)
    assert assert_all_arrived(queue, sink, tos, 0) == 0
    assert engine.running() and not first.client.keys(queue.key("*"))


def test_cluster_loses_a_master(box):
    queue = box.keep(Cluster(box.directory("cluster"), replicas=1))
    sink = box.sink()
    engine = box.engine(queue, sink=sink.address, io="epoll", limits=RATE)
    tos = fill(queue, replicas=1)
    under_way(sink)
    queue.master().kill()
    doubles = assert_all_arrived(queue, sink, tos, 50)
    print(f"away for {away(engine)} s, {doubles} letters came twice")


def send(box, url):
    """`volley send` of one letter to the Redis at this address."""
    (box.path / "list.csv").write_text("to\nann@d.test\n")
    (box.path / "letter.eml").write_bytes(PLAIN)
    return box.run("volley", "send", "--from", "a@sender.test", "--to", "list.csv", "--message",
                   "letter.eml", "--redis", url)


def test_tls(box, backend):
    queue = box.keep(TlsRedis(box.directory("redis"), box.certificate, ask=True))
    sink = box.sink()
    box.engine(queue, sink=sink.address, io=backend)
    tos = fill(queue, 300)
    done = send(box, queue.url)
    assert done.returncode == 0, done.stderr
    assert_all_arrived(queue, sink, [*tos, "ann@d.test"], 0)


def test_tls_is_verified(box):
    queue = box.keep(TlsRedis(box.directory("redis"), box.certificate, ask=True))
    rows = [
        (f"{queue.address}?{queue.own}", "certificate is not trusted: self-signed"),
        (f"{queue.address}?{queue.own}&ca={box.certificate.cert}",
         "host name mismatch: wanted 127.0.0.3, certificate has localhost"),
        # The alert may be overtaken by the end of the connection.
        (f"{queue.address}?{queue.trust}", "certificate required|closed|reset"),
        (f"{queue.address.replace('rediss', 'redis')}", "closed|reset"),
    ]
    for url, message in rows:
        done = send(box, url)
        assert done.returncode == 75 and re.search(message, done.stderr), (url, done.stderr)
    queue.url = rows[1][0]
    engine = box.engine(queue, ready=False)
    engine.wait_line(rows[1][1])
    assert not queue.client.exists(queue.key("nodes"))
