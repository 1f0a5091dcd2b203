"""test_queue_cost.py - what jobs cost Redis: time of each function, memory of each job.

$COST_JOBS jobs: 20,000 unless said, a million in `make queue-cost`, where the times that are
promised are asserted too; on a busy machine they say little.  The time is Redis' own: what
INFO commandstats counts for FCALL.  Everything measured is printed (pytest -s).
"""

import os

from queue_library import (Queue, record_id, server, queue, news)  # noqa: F401

JOBS = int(os.environ.get("COST_JOBS", "20000"))
FULL = JOBS >= 1_000_000
CALL = 100     # jobs in a call
AHEAD = 20     # calls in a pipeline
RECORD = 300   # bytes
US_PER_CALL = 1000

WAITING_B = 450
DUE_B = 500


class Cost:
    """Redis' time in FCALL, since the last look."""

    def __init__(self, client):
        self.client = client
        self.client.config_resetstat()

    def take(self, what, jobs):
        stats = self.client.info("commandstats")["cmdstat_fcall"]
        self.client.config_resetstat()
        call_us = stats["usec"] / stats["calls"]
        print(f"cost, {JOBS} jobs: {what}: {stats['usec'] / jobs:.2f} us a job, "
              f"{call_us:.0f} us a call of {jobs / stats['calls']:.0f}")
        # A whole call takes less than a millisecond; ten times that is a mistake on any machine.
        assert call_us < (US_PER_CALL if FULL else 10 * US_PER_CALL), what


def memory(queue):
    return queue.redis.info("memory")["used_memory"]


def calls(queue, one, count):
    """one(queue on a pipeline, number of the call), count times; the answers in order."""
    answers = []
    pipe = queue.redis.pipeline(transaction=False)
    piped = Queue(pipe)
    piped.call = lambda name, keys, *args: pipe.fcall(
        name, len(keys), *[piped.key(k) for k in keys], *args)
    for number in range(count):
        one(piped, number)
        if len(pipe) == AHEAD:
            answers += pipe.execute()
    return answers + pipe.execute()


def submit(queue, domains, count=JOBS):
    shared = ["3", "message", "news", "from", "a@sender.test", "class", "bulk", "rows", "2",
              "to", "v:pad"]
    # What the record has beside these is measured with the first one.
    pad = RECORD

    def one(piped, number, jobs=CALL):
        rows = []
        for i in range(number * CALL, number * CALL + jobs):
            rows += [f"user{i:09}@d{i % domains:06}.test", "x" * pad]
        piped.call("volley_submit_batch", ["meta"], *shared, *rows)

    one(queue, 0, 1)
    list_key = queue.key("in:bulk:default:default")
    pad = RECORD - (len(queue.redis.lpop(list_key)) - pad)
    calls(queue, one, count // CALL)
    assert len(queue.redis.lindex(list_key, -1)) == RECORD


def claim_all(queue, life):
    """Claims everything in the intake; the records."""
    records = []
    while len(records) < JOBS:
        ((got, _left),) = queue.claim(life, ("in:bulk:default:default", CALL, 4 << 20))
        assert got
        records += got
        renew_now_and_then(queue, life, len(records))
    return records


def renew_now_and_then(queue, life, jobs):
    """A lease lasts 15 s."""
    if jobs % (CALL * 1000) == 0:
        queue.renew(life)


def groups(things):
    """(number of the call, its things, how many there were before), from 1 on."""
    return [(i // CALL + 1, things[i:i + CALL], i) for i in range(0, len(things), CALL)]


def test_waiting_jobs(news):
    before = memory(news)
    cost = Cost(news.redis)
    submit(news, 1000)
    cost.take("submit", JOBS)
    each = (memory(news) - before) / JOBS
    print(f"cost, {JOBS} jobs: {each:.0f} B a waiting job of {RECORD} B")
    assert each < WAITING_B


def test_claim_and_done(news):
    submit(news, 1000)
    life = news.register()
    cost = Cost(news.redis)
    records = claim_all(news, life)
    cost.take("claim", JOBS)
    line = '{"v":1,"type":"delivered","text":"' + "x" * 400 + '"}\n'
    for number, part, before in groups(records):
        news.done(life, [record_id(r) for r in part], lines=line * len(part), number=number,
                  trim=1000)
        renew_now_and_then(news, life, before)
    cost.take(f"done, with an event of {len(line)} B", JOBS)
    assert news.redis.hlen(news.key(f"owned:{life}")) < 10


def test_park(news):
    submit(news, 1000)
    life = news.register()
    records = claim_all(news, life)
    cost = Cost(news.redis)
    for number, part, before in groups(records):
        news.park(life, [(record_id(r), "bin:bulk:default:default:slow", "slow.test")
                         for r in part], number=number)
        renew_now_and_then(news, life, before)
    cost.take("park", JOBS)
    assert news.redis.llen(news.key("bin:bulk:default:default:slow")) == JOBS


def test_due_jobs(news):
    submit(news, 1000)
    life = news.register()
    records = claim_all(news, life)
    cost = Cost(news.redis)
    at = news.now_ms() + 3600 * 1000
    for number, part, before in groups(records):
        news.defer(life, [(record_id(r), 3, at + before + i, r) for i, r in enumerate(part)],
                   number=number, lines="")
        renew_now_and_then(news, life, before)
    cost.take("defer", JOBS)
    assert news.redis.zcard(news.key("due:bulk")) == JOBS
    each = news.redis.memory_usage(news.key("due:bulk"), samples=1000) / JOBS
    print(f"cost, {JOBS} jobs: {each:.0f} B a due job of {RECORD} B")
    assert each < DUE_B
