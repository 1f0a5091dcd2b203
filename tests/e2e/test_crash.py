"""test_crash.py - crashes, engines that sleep, and cut lines: what may come twice, and what not.

Each test is a row of the README's table "What can be lost, what can come twice"; killer.py does
the same at random.
"""

import collections
import datetime
import signal
import time

import pytest

from cut import Line
from process import eventually
from test_recovery import fill

FAST = {"default": {"connections": 20, "rate": "unlimited"}}
SLOW = {"default": {"connections": 8, "rate": "300/s burst 10"}}
# Letters stay on the wire long enough to be caught there.
LATE_REPLY = ("--fault", "dot: delay 300ms")


def short(box, queue, name="engine", keys=None, **more):
    """An engine whose lease is short."""
    return box.engine(queue, name, queue_keys={"lease": "2s", **(keys or {})}, retry=["1s"], **more)


def accepted_at(sink):
    """recipient -> when the sink had the letter (seconds), for each time it had."""
    times = collections.defaultdict(list)
    for message in sink.accepted():
        when = datetime.datetime.fromisoformat(message["time"].replace("Z", "+00:00")).timestamp()
        for to in message["to"]:
            times[to].append(when)
    return times


def all_final(queue, tos, timeout_s=60):
    """Waits until everybody has an outcome; there is one that counts for each."""
    def counted():
        return collections.Counter(e["to"] for e in queue.finals() if not e.get("late"))

    eventually(lambda: len(counted()) == len(tos), "all outcomes", timeout_s)
    assert set(counted()) == set(tos) and set(counted().values()) == {1}
    eventually(lambda: queue.waiting() == 0, "an empty queue")


def unanswered(queue):
    return {e["to"] for e in queue.events() if e["type"] == "ambiguous"}


@pytest.mark.parametrize("policy", ["retry", "assume-delivered", "give-up"])
def test_engine_killed_with_letters_on_the_wire(box, policy):
    """Only letters without a reply come twice, and only if `ambiguous` says so."""
    queue = box.redis()
    sink = box.sink(*LATE_REPLY)
    first = box.engine(queue, sink=sink.address, ambiguous=policy, limits=FAST)
    tos = fill(queue, 800, domains=4)
    eventually(lambda: len(queue.finals()) > 100, "some outcomes")
    first.kill()
    again = box.engine(queue, sink=sink.address, ambiguous=policy, limits=FAST, retry=["1s"])
    again.wait_line(r"journal: the engine ended without warning")
    open_ends = unanswered(queue)
    assert open_ends
    all_final(queue, tos)
    arrived = collections.Counter(sink.recipients())
    doubled = {to for to, n in arrived.items() if n > 1}
    missing = set(tos) - set(arrived)
    if policy == "retry":
        assert not missing and doubled <= open_ends
    else:
        assert not doubled and missing <= open_ends
    finals = {e["to"]: e for e in again.events() if e["type"] == "ambiguous"}
    assert set(finals) == open_ends, "the file of events has them too"
    assert all(e["final"] == (policy != "retry") and e["stage"] == "dot" and e["mx"]
               for e in finals.values())


def test_engine_killed_without_a_journal(box):
    queue = box.redis()
    sink = box.sink(*LATE_REPLY)
    first = short(box, queue, sink=sink.address, limits=FAST, keys={"journal": False})
    tos = fill(queue, 400, domains=4)
    eventually(lambda: len(queue.finals()) > 50, "some outcomes")
    first.kill()
    assert list((box.path / "engine-state" / "journal").iterdir()) == []
    known = {e["to"] for e in queue.finals()}
    short(box, queue, sink=sink.address, limits=FAST)
    all_final(queue, tos)
    arrived = collections.Counter(sink.recipients())
    assert set(arrived) == set(tos)
    assert not known & {to for to, n in arrived.items() if n > 1}


def test_journal_on_a_full_disk(box):
    """One line about it, and delivery goes on."""
    queue = box.redis()
    sink = box.sink()
    journal = box.path / "engine-state" / "journal"
    journal.mkdir(parents=True)
    (journal / "0.a").symlink_to("/dev/full")
    (journal / "0.b").symlink_to("/dev/full")
    engine = box.engine(queue, sink=sink.address, limits=FAST)
    # What is no file holds nothing, and goes; so the disk fills up behind the start.
    (journal / "0.a").symlink_to("/dev/full")
    (journal / "0.b").symlink_to("/dev/full")
    tos = fill(queue, 300)
    all_final(queue, tos)
    assert sorted(sink.recipients()) == sorted(tos)
    said = [line for line in engine.text().splitlines() if "journal" in line]
    assert len(said) == 1 and "No space left on device" in said[0]


def test_a_good_end_leaves_no_journal(box, backend):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address, limits=FAST)
    all_final(queue, fill(queue, 300))
    assert list((box.path / "engine-state" / "journal").iterdir()) != []
    assert engine.terminate() == 0
    assert list((box.path / "engine-state" / "journal").iterdir()) == []


def test_journal_waits_for_redis(box):
    """An engine that starts while Redis is away, and ends, leaves the journal to the next."""
    queue = box.redis()
    sink = box.sink(*LATE_REPLY)
    # Two connections a domain, so that there is always a letter without its reply.
    first = box.engine(queue, sink=sink.address, limits={"default": {"connections": 2}})
    tos = fill(queue, 400, domains=4)
    eventually(lambda: len(queue.finals()) > 20, "some outcomes")
    first.kill()
    queue.kill()
    between = box.engine(queue, sink=sink.address, limits=FAST, ready=False)
    between.wait_line("Redis is away")
    assert between.terminate(timeout_s=60) == 0
    queue.start()
    last = box.engine(queue, sink=sink.address, limits=FAST, retry=["1s"])
    last.wait_line(r"journal: the engine ended without warning")
    all_final(queue, tos)
    arrived = collections.Counter(sink.recipients())
    assert set(arrived) == set(tos)
    assert {to for to, n in arrived.items() if n > 1} <= unanswered(queue)


def test_an_end_while_redis_refuses_outcomes(box):
    """They stand in the journal; their jobs do not go back as if they had not been sent."""
    queue = box.redis()
    sink = box.sink()
    first = box.engine(queue, sink=sink.address, limits=FAST)
    queue.client.delete(queue.key("events"))
    queue.client.set(queue.key("events"), "no stream")
    tos = fill(queue, 40, domains=4)
    eventually(lambda: len(list(sink.recipients())) == len(tos), "the sink has all of them")
    assert first.terminate(timeout_s=60) == 0
    queue.client.delete(queue.key("events"))
    box.engine(queue, sink=sink.address, limits=FAST)
    all_final(queue, tos)
    assert collections.Counter(sink.recipients()) == collections.Counter(tos)


@pytest.mark.parametrize("engine_too", [False, True], ids=["redis", "both"])
def test_redis_killed_that_syncs_always(box, engine_too):
    queue = box.redis(fsync="always")
    sink = box.sink()
    engine = short(box, queue, sink=sink.address, limits=SLOW)
    tos = fill(queue, 1500)
    eventually(lambda: len(sink.accepted()) > 200, "the sink has some")
    queue.kill()
    if engine_too:
        engine.kill()
    queue.start()
    if engine_too:
        short(box, queue, sink=sink.address, limits=SLOW)
    all_final(queue, tos)
    arrived = collections.Counter(sink.recipients())
    assert set(arrived) == set(tos)
    assert {to for to, n in arrived.items() if n > 1} <= unanswered(queue)


def test_redis_and_engine_killed_syncing_every_second(box):
    """While a sync takes its time Redis answers for up to two seconds before it writes."""
    queue = box.redis(fsync="everysec")
    sink = box.sink()
    engine = short(box, queue, sink=sink.address, limits=SLOW)
    engine.terminate()
    tos = fill(queue, 1500)
    eventually(lambda: queue.client.info("persistence")["aof_pending_bio_fsync"] == 0
               and queue.client.info("persistence")["aof_buffer_length"] == 0, "all is written")
    engine = short(box, queue, sink=sink.address, limits=SLOW)
    eventually(lambda: len(sink.accepted()) > 200, "the sink has some")
    killed = time.time()
    queue.kill()
    engine.kill()
    recent = {to for to, times in accepted_at(sink).items() if max(times) > killed - 3}
    queue.start()
    short(box, queue, sink=sink.address, limits=SLOW)
    all_final(queue, tos)
    arrived = collections.Counter(sink.recipients())
    assert set(arrived) == set(tos)
    assert {to for to, n in arrived.items() if n > 1} <= unanswered(queue) | recent


def taken_over(engine, timeout_s=60):
    engine.wait_line(r"jobs of \S+ returned", timeout_s)


def test_jobs_of_a_dead_engine_go_to_others(box):
    """What the dead one says when it comes back is late: others had its jobs."""
    queue = box.redis()
    sink = box.sink(*LATE_REPLY)
    one = short(box, queue, "one", sink=sink.address, limits=FAST)
    tos = fill(queue, 800, domains=4)
    eventually(lambda: len(queue.finals()) > 50, "some outcomes")
    two = short(box, queue, "two", sink=sink.address, limits=FAST)
    one.kill()
    known = {e["to"] for e in queue.finals()}
    taken_over(two)
    all_final(queue, tos)
    arrived = collections.Counter(sink.recipients())
    assert set(arrived) == set(tos)
    assert not known & {to for to, n in arrived.items() if n > 1}
    again = short(box, queue, "one", sink=sink.address, limits=FAST)
    again.wait_line(r"other engines had taken [0-9]+ of its jobs")
    assert any(e.get("late") and e["type"] == "ambiguous" for e in queue.events())
    all_final(queue, tos)


def assert_no_double_after(moment, tos, one, two):
    """Everybody has the letter; who has it from both had it from the first before `moment`."""
    first, second = accepted_at(one), accepted_at(two)
    assert set(first) | set(second) == set(tos)
    assert all(len(times) == 1 for times in second.values())
    for to, times in first.items():
        assert sum(when > moment for when in times) + len(second.get(to, ())) <= 1, to


def test_engine_that_slept_longer_than_its_lease(box, backend):
    """It starts nothing of what it had, and what it says of letters on the wire is late."""
    queue = box.redis()
    sinks = box.sink(*LATE_REPLY), box.sink(*LATE_REPLY)
    one = short(box, queue, "one", io=backend, sink=sinks[0].address, limits=FAST)
    tos = fill(queue, 1500, domains=4)
    eventually(lambda: len(queue.finals()) > 50, "some outcomes")
    two = short(box, queue, "two", io=backend, sink=sinks[1].address, limits=FAST)
    one.signal(signal.SIGSTOP)
    try:
        taken_over(two)
        woken = time.time()
    finally:
        one.signal(signal.SIGCONT)
    one.wait_line(r"the lease of node \S+ ended")
    all_final(queue, tos)
    assert_no_double_after(woken, tos, *sinks)
    eventually(lambda: any(e.get("late") for e in queue.events()), "outcomes that come late")


def test_engine_cut_off_longer_than_its_lease(box):
    """Alive, sending, and Redis out of reach: it stops by itself before others take over."""
    queue = box.redis()
    sinks = box.sink(*LATE_REPLY), box.sink(*LATE_REPLY)
    line = box.keep(Line(queue.path))
    one = short(box, queue, "one", keys={"redis": line.url}, sink=sinks[0].address, limits=SLOW)
    tos = fill(queue, 3000, domains=4)
    eventually(lambda: len(queue.finals()) > 50, "some outcomes")
    two = short(box, queue, "two", sink=sinks[1].address, limits=SLOW)
    line.cut()
    taken_over(two)
    # What it had on the wire when its time was over has arrived by now.
    eventually(lambda: max(t for times in accepted_at(sinks[0]).values() for t in times)
               < time.time() - 3, "silence of the one that is cut off")
    joined = time.time()
    line.join()
    one.wait_line(r"the lease of node \S+ ended")
    all_final(queue, tos, 90)
    assert_no_double_after(joined, tos, *sinks)


def test_five_engines_of_which_two_die(box):
    queue = box.redis()
    sink = box.sink()
    engines = [short(box, queue, f"e{i}", sink=sink.address, limits=SLOW) for i in range(5)]
    tos = fill(queue, 3000)
    eventually(lambda: len(queue.finals()) > 300, "some outcomes")
    for engine in engines[:2]:
        engine.kill()
    known = {e["to"] for e in queue.finals()}
    all_final(queue, tos)
    arrived = collections.Counter(sink.recipients())
    assert set(arrived) == set(tos)
    assert not known & {to for to, n in arrived.items() if n > 1}
    assert len({e["node"] for e in queue.finals()}) >= 3
