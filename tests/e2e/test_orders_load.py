"""test_orders_load.py - a cancel of very many jobs does not stand in the way of other mail.

$ORDERS_JOBS is how many are cancelled: 5,000 unless said, and a million in `make orders`, where
what is promised of rate and time is asserted too.  What was measured is printed (pytest -s).
"""

import os
import time

import pytest

from process import eventually
from test_fairness import SLOW, length, start_with_library, submit
from test_orders import Desk, fields_of

JOBS = int(os.environ.get("ORDERS_JOBS", "5000"))
FULL = JOBS >= 1_000_000
OTHERS = 40 * JOBS // 25 if FULL else 2000  # enough to last
CALM_S = 8 if FULL else 0.2
LIMITS = {**SLOW, "default": {"connections": 10}}


class Meter:
    """What has ended, from counters that cost nothing to read."""

    def __init__(self, queue, desk):
        self.queue, self.desk = queue, desk

    def look(self):
        out = int(self.queue.client.hget(self.queue.key("meta"), "out") or 0)
        cancelled = sum(order["ended"] for order in self.desk.all().values())
        return time.time(), out - cancelled, cancelled

    def rate(self, since):
        now = self.look()
        return (now[1] - since[1]) / (now[0] - since[0])


def redis_us(queue, *names):
    """What calls have taken of Redis so far, in microseconds."""
    stats = queue.client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("usec", 0) for name in names)


def cancelled_ids(queue):
    """Every cancelled recipient, read in slices."""
    at, ids = "-", []
    while True:
        entries = queue.client.xrange(queue.key("events"), at, count=200)
        for ident, fields in entries:
            at = b"(" + ident
            for line in fields.get(b"events", b"").splitlines():
                if b'"type":"cancelled"' in line:
                    ids.append(line[line.index(b'"event"'):][:48])
        if len(entries) < 200:
            return ids


@pytest.mark.parametrize("where", ["intake", "bin"])
def test_a_cancel_leaves_room_for_others(box, where):
    queue = box.redis()
    if FULL:
        queue.client.config_set("appendfsync", "everysec")
    sink = box.sink()
    start_with_library(box, queue, sink=sink.address, limits=LIMITS)
    desk = Desk(queue)
    meter = Meter(queue, desk)
    submit(queue, [f"u{i}@slow.test" for i in range(JOBS)], class_="bulk", campaign="spring",
           tenant="large")
    if where == "intake":
        desk.place("pause", "tenant", "large", "class", "bulk")
    box.engine(queue, sink=sink.address, limits=LIMITS)
    if where == "bin":
        eventually(lambda: length(queue, "bin:*") > JOBS * 0.9, "it waits in the bin", 300)
    start = meter.look()
    submit(queue, [f"o{i}@d{i % 1000}.test" for i in range(OTHERS)], class_="bulk")
    if FULL:
        start = meter.look()
        time.sleep(CALM_S)
        before = meter.rate(start)
    start = meter.look()
    desk.place("cancel", "campaign", "spring")
    if where == "intake":
        desk.resume("tenant", "large", "class", "bulk")
    eventually(lambda: length(queue, "in:bulk:*:large") + length(queue, "bin:*:large:*") == 0,
               "all of it is cancelled", 600, 0.05)
    took, during = time.time() - start[0], meter.rate(start)
    if FULL:
        left = length(queue, "in:*")
        start = meter.look()
        time.sleep(CALM_S)
        after = meter.rate(start)
        print(f"cancel of {JOBS} jobs in the {where}: {took:.1f} s; others {before:.0f}/s before, "
              f"{during:.0f}/s meanwhile, {after:.0f}/s after; {left} of them were left")
        assert left > 0, "the others ended before the cancel: submit more of them"
        assert took <= 60
        assert during >= 0.8 * min(before, after)
    eventually(lambda: queue.waiting() == 0, "nothing is left", 600, 0.2)
    ids = cancelled_ids(queue)
    assert len(ids) == len(set(ids))
    assert JOBS - 500 < len(ids) <= JOBS
    if not FULL:
        sent = sum(to.endswith("@slow.test") for to in sink.recipients())
        assert len(ids) == JOBS - sent, "the others were sent before"
