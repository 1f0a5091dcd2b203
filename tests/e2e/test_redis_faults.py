"""test_redis_faults.py - a Redis that cannot just now: full, loading, busy, demoted, emptied of
its functions, upgraded.  Nothing is lost, and nothing comes twice."""

import collections
import contextlib
import re
import shutil
import threading

import pytest
import redis

from letters import PLAIN
from process import Process, eventually

COUNT = 450
RATE = {"default": {"connections": 4, "rate": "100/s burst 10"}}  # 1.5 s for all of them


def fill(queue, count=COUNT, prefix="u"):
    queue.store("news", PLAIN)
    tos = [f"{prefix}{i}@d{i % 3}.test" for i in range(count)]
    pipe = queue.client.pipeline(transaction=False)
    for to in tos:
        pipe.fcall("volley_submit", 1, queue.key("meta"), "to", to, "from", "a@sender.test",
                   "message", "news", "class", "bulk")
    pipe.execute()
    return tos


def under_way(sink):
    eventually(lambda: len(sink.accepted()) > COUNT // 10, "the sink has some letters")
    assert len(sink.accepted()) < COUNT, "too fast to be interrupted: raise COUNT"


def assert_each_once(queue, sink, tos):
    eventually(lambda: len(queue.finals()) >= len(tos), "all outcomes", 60)
    assert collections.Counter(sink.recipients()) == collections.Counter(tos)
    assert collections.Counter(e["to"] for e in queue.finals()) == collections.Counter(tos)
    eventually(lambda: queue.waiting() == 0, "an empty queue")


def said(queue, word):
    """How often Redis has answered with this error."""
    value = queue.client.info("errorstats").get(f"errorstat_{word}", 0)
    return int(value.split("=")[1]) if isinstance(value, str) else int(
        value["count"] if value else 0)


# ---- what passes ----


def no_replicas(queue):
    queue.client.config_set("min-replicas-to-write", 1)
    yield lambda: said(queue, "NOREPLICAS")
    queue.client.config_set("min-replicas-to-write", 0)


def demoted(queue):
    """A replica of nobody: it keeps its data and takes no writes."""
    queue.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    yield lambda: said(queue, "READONLY")
    queue.client.execute_command("REPLICAOF", "NO", "ONE")


def cut_off(queue):
    queue.client.config_set("replica-serve-stale-data", "no")
    queue.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    yield lambda: said(queue, "MASTERDOWN")
    queue.client.execute_command("REPLICAOF", "NO", "ONE")


def without_functions(queue):
    queue.client.execute_command("FUNCTION", "FLUSH")
    yield lambda: "volley_1" in libraries(queue)


def test_passing_trouble(box):
    """One trouble after the other while letters leave."""
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, sink=sink.address, limits=RATE)
    tos = []
    for trouble in [no_replicas, demoted, cut_off, without_functions]:
        tos += fill(queue, 150, prefix=trouble.__name__)
        for is_seen in trouble(queue):
            eventually(is_seen, f"the engine meets: {trouble.__name__}")
    assert_each_once(queue, sink, tos)
    assert engine.running()


def test_busy(box):
    """Somebody's endless script: Redis answers BUSY to everybody until it is killed."""
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, sink=sink.address, limits=RATE)
    tos = fill(queue)
    under_way(sink)
    queue.client.config_set("busy-reply-threshold", 20)

    def endless():
        with contextlib.suppress(redis.RedisError):
            redis.Redis(unix_socket_path=str(queue.path)).eval("while true do end", 0)

    def busy():
        try:
            return not queue.client.ping()
        except redis.RedisError as err:
            return "BUSY" in str(err)

    mine = 0
    while said(queue, "BUSY") <= mine:  # until the engine has seen it too
        thread = threading.Thread(target=endless)
        thread.start()
        for _ in range(20):
            eventually(busy, "Redis is busy")
            mine += 1
        queue.client.execute_command("SCRIPT", "KILL")
        thread.join()
    assert_each_once(queue, sink, tos)


def test_loading(box):
    """Killed, and slow to come back: it loads its data for a while."""
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, sink=sink.address, limits=RATE)
    tos = fill(queue)
    pipe = queue.client.pipeline(transaction=False)
    for i in range(2000):
        pipe.set(f"ballast:{i}", "x" * 1000)
    pipe.execute()
    queue.client.bgrewriteaof()
    eventually(lambda: not queue.client.info("persistence")["aof_rewrite_in_progress"] and
               not queue.client.info("persistence")["aof_rewrite_scheduled"],
               "the AOF is rewritten")
    queue.kill()
    queue.process = Process("redis", [
        shutil.which("redis-server") or shutil.which("valkey-server"), "--port", "0",
        "--unixsocket", queue.path, "--dir", queue.directory, "--appendonly", "yes",
        "--appendfsync", "always", "--save", "", "--key-load-delay", "500",
        "--loading-process-events-interval-bytes", "1024"])
    eventually(lambda: is_loading(queue), "Redis loads")
    eventually(lambda: not is_loading(queue), "Redis has loaded")
    assert_each_once(queue, sink, tos)
    assert engine.running() and said(queue, "LOADING") > 0


def is_loading(queue):
    try:
        return not queue.client.ping()
    except redis.BusyLoadingError:
        return True
    except redis.RedisError:
        return None


# ---- forgetful ----


def test_forgotten_outcomes(box):
    """Redis comes back without what it had acknowledged last: a job whose letter has left is
    owned by the engine again.  It is sent again; those that are under way are not."""
    queue = box.redis()
    sink = box.sink()
    slow = {"default": {"connections": 4, "rate": "20/s burst 1"}}
    engine = box.engine(queue, sink=sink.address, workers=2, limits=slow)  # brings the functions
    engine.terminate()
    ident = queue.submit(to="twice@d9.test", from_="a@sender.test", data=PLAIN)
    record = queue.client.lrange(queue.key("in:normal:default:default"), 0, -1)[0]
    box.engine(queue, sink=sink.address, workers=2, limits=slow)
    eventually(lambda: sink.recipients() == ["twice@d9.test"], "the letter")
    eventually(lambda: queue.waiting() == 0, "its outcome")
    tos = fill(queue, 360)  # 6 s
    eventually(lambda: len(sink.accepted()) > 20, "the others are under way")
    life = max(life for life, lease in queue.client.hgetall(queue.key("nodes")).items()
               if not lease.startswith(b"0 ")).decode()
    queue.client.hset(queue.key(f"owned:{life}"), f"{ident}.1", record)
    queue.client.hset(queue.key("body:" + ident), mapping={"eml": PLAIN, "from": "", "left": 1})
    queue.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    eventually(lambda: sink.recipients().count("twice@d9.test") == 2, "the letter again")
    eventually(lambda: len(sink.recipients()) >= len(tos) + 2, "the others", 60)
    assert collections.Counter(sink.recipients()) == collections.Counter(
        [*tos, "twice@d9.test", "twice@d9.test"])
    eventually(lambda: queue.waiting() == 0, "an empty queue")


# ---- full ----


def test_full(box):
    """At maxmemory: submissions are refused, and all that is in the queue goes its way."""
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, "one", sink=sink.address, limits=RATE, retry=["1s"])
    tos = fill(queue)
    queue.submit(to="tempfail@d0.test", from_="a@sender.test", message="news", max_attempts=2)
    queue.submit(to="permfail@d1.test", from_="a@sender.test", data=PLAIN)
    under_way(sink)
    queue.client.config_set("maxmemory", 1)
    with pytest.raises(redis.ResponseError, match="VOLLEYFULL|OOM"):
        queue.submit(to="late@d.test", from_="a@sender.test", message="news")
    box.engine(queue, "two", sink=sink.address, limits=RATE)  # registers and claims
    eventually(lambda: len(queue.finals()) == COUNT + 2, "all outcomes", 60)
    assert collections.Counter(sink.recipients()) == collections.Counter(tos)
    assert {e["type"] for e in queue.events()} >= {"delivered", "deferred", "bounced"}
    assert queue.waiting() == 0
    queue.client.config_set("maxmemory", 0)
    queue.submit(to="late@d.test", from_="a@sender.test", message="news")
    eventually(lambda: "late@d.test" in sink.recipients(), "the late letter")


# ---- a rolling upgrade ----


def libraries(queue):
    """Name -> text of the libraries that are loaded."""
    rows = queue.client.execute_command("FUNCTION", "LIST", "WITHCODE")
    found = {}
    for row in rows:
        pairs = row if isinstance(row, dict) else dict(zip(row[::2], row[1::2]))
        found[pairs[b"library_name"].decode()] = pairs[b"library_code"].decode()
    return found


def newer(text):
    text, count = re.subn(r"(-- volley library version )\d+", r"\g<1>4711", text)
    assert count == 1
    return text


def test_rolling_upgrade(box):
    """A newer release has brought its libraries, and a format 2 beside ours: they stay, and
    engines of this release go on with them, those that run and those that start."""
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, "one", sink=sink.address, limits=RATE)
    tos = fill(queue)
    under_way(sink)
    ours = libraries(queue)
    assert set(ours) == {"volley", "volley_1"}
    theirs = {name: newer(text) for name, text in ours.items()}
    theirs["volley_2"] = theirs["volley_1"].replace("volley_1", "volley_2")
    for text in theirs.values():
        queue.client.execute_command("FUNCTION", "LOAD", "REPLACE", text)
    box.engine(queue, "two", sink=sink.address, limits=RATE)
    more = fill(queue, 60, prefix="more")
    assert_each_once(queue, sink, tos + more)
    assert libraries(queue) == theirs
    # What went with them is brought back, as far as this release knows it.
    queue.client.execute_command("FUNCTION", "DELETE", "volley_1")
    eventually(lambda: libraries(queue).get("volley_1") == ours["volley_1"], "the library is back")
    assert libraries(queue)["volley"] == theirs["volley"]
