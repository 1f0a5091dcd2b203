"""test_recovery.py - nothing is lost when a process is killed, told to stop, or sent away."""

import collections
import signal

import pytest

from letters import PLAIN
from process import eventually

COUNT = 3000


def fill(queue, count=COUNT, domains=30):
    """Submits jobs for different recipients; their addresses."""
    queue.store("news", PLAIN)
    tos = [f"u{i}@d{i % domains}.test" for i in range(count)]
    pipe = queue.client.pipeline(transaction=False)
    for to in tos:
        pipe.fcall("volley_submit", 1, queue.key("meta"), "to", to, "from", "a@sender.test",
                   "message", "news", "class", "bulk")
    pipe.execute()
    return tos


def under_way(sink, count=COUNT):
    """Waits until a good part, and not all, has arrived."""
    eventually(lambda: len(sink.accepted()) > count // 10, "the sink has some letters")
    assert len(sink.accepted()) < count, "too fast to be interrupted: raise COUNT"


def assert_none_lost(queue, sink, tos, may_double=()):
    """Everybody got the letter, and nobody twice but those whose outcome was not recorded."""
    eventually(lambda: len({e["to"] for e in queue.finals()}) == len(tos), "all outcomes", 60)
    arrived = collections.Counter(sink.recipients())
    assert set(arrived) == set(tos)
    doubles = {to for to, n in arrived.items() if n > 1}
    assert doubles <= set(may_double), "letters whose outcome was known came twice"
    finals = collections.Counter(e["to"] for e in queue.finals() if not e.get("late"))
    assert set(finals.values()) == {1}
    eventually(lambda: queue.waiting() == 0, "an empty queue")


# Slow enough to be caught in the middle.
SLOW = {"default": {"connections": 4, "rate": "200/s burst 10"}}


def test_engine_killed_in_mid_run(box, backend):
    """The journal has what was replied, and what had no reply yet: only that comes twice."""
    queue = box.redis()
    sink = box.sink("--fault", "dot: delay 100ms")  # there is always a letter without a reply
    first = box.engine(queue, io=backend, sink=sink.address, limits=SLOW)
    tos = fill(queue)
    under_way(sink)
    first.kill()
    again = box.engine(queue, io=backend, sink=sink.address, retry=["1s"])
    again.wait_line(r"journal: the engine ended without warning")
    unanswered = {e["to"] for e in queue.events() if e["type"] == "ambiguous"}
    assert_none_lost(queue, sink, tos, may_double=unanswered)


def test_redis_killed_in_mid_run(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, limits=SLOW)
    tos = fill(queue)
    under_way(sink)
    queue.kill()
    queue.start()
    # Redis keeps what it acknowledged, and outcomes are kept until it does.
    assert_none_lost(queue, sink, tos)


def test_term_drains_and_returns_the_rest(box, backend):
    queue = box.redis()
    sink = box.sink()
    first = box.engine(queue, io=backend, sink=sink.address, limits=SLOW)
    tos = fill(queue)
    under_way(sink)
    assert first.terminate() == 0
    arrived = len(sink.recipients())
    finals = len(queue.finals())
    assert finals == arrived, "what was sent has its outcome"
    assert queue.waiting() == COUNT - finals, "and the rest is back in the queue"
    owned = [k for k in queue.client.keys(queue.key("owned:*"))
             if any(not f.startswith(b"#") for f in queue.client.hkeys(k))]
    assert owned == []
    box.engine(queue, io=backend, sink=sink.address)
    assert_none_lost(queue, sink, tos)


def test_sink_restarted(box):
    """Takes half a minute: that long a site that went away is left alone."""
    queue = box.redis()
    # No outgoing connection has this address: none can take the port in between.
    sink = box.sink(listen="127.0.0.2:0")
    box.engine(queue, sink=sink.address, limits=SLOW, retry=["1s"])
    tos = fill(queue, 500, domains=3)
    under_way(sink, 500)
    sink.kill()
    again = box.sink(listen=sink.address)
    eventually(lambda: len({e["to"] for e in queue.finals()}) == len(tos), "all outcomes", 90)
    arrived = collections.Counter(sink.recipients() + again.recipients())
    assert set(arrived) == set(tos)


def test_interrupt_is_as_good_as_term(box, backend):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address)
    engine.signal(signal.SIGINT)
    assert engine.wait() == 0


def test_two_engines_share_a_queue(box, backend):
    queue = box.redis()
    sink = box.sink()
    one = box.engine(queue, "one", io=backend, sink=sink.address, limits=SLOW)
    two = box.engine(queue, "two", io=backend, sink=sink.address, limits=SLOW)
    tos = fill(queue, 1000)
    eventually(lambda: len(queue.finals()) == 1000, "all outcomes", 60)
    assert sorted(sink.recipients()) == sorted(tos)
    assert {e["node"] for e in queue.finals()} and one.running() and two.running()


def test_no_leak(box):
    """A whole run and drain under valgrind, which knows no io_uring: on epoll."""
    from conftest import needs
    needs("valgrind")
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io="epoll", sink=sink.address, wrap=(
        "valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
        "--errors-for-leak-kinds=definite,indirect", "--error-exitcode=99"))
    fill(queue, 300)
    queue.submit(to="permfail@a.test", from_="a@sender.test", data=PLAIN)
    queue.submit(to="tempfail@a.test", from_="a@sender.test", data=PLAIN)
    eventually(lambda: len(queue.finals()) == 301, "all outcomes", 120)
    code = engine.terminate(timeout_s=60)
    assert code == 0, engine.text()


def unanswered(box, policy, **more):
    """A letter that arrived whole, and the connection broke before we were told: its events."""
    queue = box.redis()
    sink = box.sink("--fault", "dot first=1: close")
    box.engine(queue, sink=sink.address, ambiguous=policy, **more)
    queue.submit(to="u@a.test", from_="x@y.test", data=PLAIN)
    eventually(queue.finals, "a final event", 60)
    return [(e["type"], e["attempt"], e["final"]) for e in queue.events() if "to" in e]


def test_no_reply_to_the_last_byte_retry(box):
    """Takes half a minute: that long the site is left alone."""
    events = unanswered(box, "retry", retry=["1s"])
    assert events == [("ambiguous", 1, False), ("delivered", 2, True)]


@pytest.mark.parametrize("policy", ["assume-delivered", "give-up"])
def test_no_reply_to_the_last_byte(box, backend, policy):
    assert unanswered(box, policy, io=backend) == [("ambiguous", 1, True)]
