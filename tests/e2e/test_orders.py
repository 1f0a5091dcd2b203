"""test_orders.py - engines obey: pause, hold, cancel, retry and expiry of what is queued.

Waiting is by conditions throughout.  Where a test says that something is not sent, it first
waits until the engine has something else to show for having looked.
"""

import time

from letters import PLAIN
from process import eventually
from servers import free_port
from test_fairness import Deliveries, addresses, fields_of, length, start_with_library, submit


class Desk:
    """Orders as an operator gives them."""

    def __init__(self, queue):
        self.queue = queue

    def call(self, name, *fields):
        return self.queue.client.fcall(f"volley_{name}", 1, self.queue.key("meta"), *fields)

    def place(self, kind, *fields):
        return self.call("order", "kind", kind, *fields).decode()

    def resume(self, *fields):
        return self.call("resume", *fields)

    def all(self):
        text = [[v.decode() if isinstance(v, bytes) else v for v in row]
                for row in self.call("orders")]
        return {row[1]: dict(zip(row[::2], row[1::2])) for row in text}

    def held(self, order):
        return self.queue.client.llen(self.queue.key("held:" + order))


def finals(queue):
    """recipient -> its final event; that there is one each is asserted."""
    found = {}
    for event in map(fields_of, Deliveries(queue).read()):
        name = f"{event['id']}.{event['rcpt']}"
        assert name not in found, f"{name} has two final events"
        found[name] = event
    return found


def ended(queue, kind):
    return [e for e in finals(queue).values() if e["type"] == kind]


# A matcher, the fields of jobs that it finds, and of jobs that it just does not find.
MATCHERS = {
    "campaign": (("campaign", "spring"), {"campaign": "spring"}, {"campaign": "autumn"}),
    "tenant": (("tenant", "acme"), {"tenant": "acme"}, {"tenant": "acme2"}),
    "class": (("class", "high"), {"class_": "high"}, {"class_": "normal"}),
    "tag": (("tag", "b"), {"tags": "a,b,c"}, {"tags": "a,bb"}),
    "domain": (("domain", "one.test"), {}, {}),
    "site": (("site", "big"), {}, {}),
    "two": (("tenant", "t2", "campaign", "c2"), {"tenant": "t2", "campaign": "c2"},
            {"tenant": "t2"}),
}
DOMAINS = {"domain": "one.test", "site": "part.big.test"}
SITES = {"big": {"match": {"domains": ["*.big.test"]}}}
EACH = 10


def submit_all(queue, mark):
    for name, (_, mine, theirs) in MATCHERS.items():
        submit(queue, addresses(EACH, DOMAINS.get(name, "two.test"), f"{name}-{mark}-"), **mine)
        submit(queue, addresses(EACH, "two.test", f"other-{mark}-"), **theirs)


def test_every_matcher(box):
    """Orders that stand before the engine comes, and hold for what comes later."""
    queue = box.redis()
    sink = box.sink()
    start_with_library(box, queue, sink=sink.address, limits=SITES)
    desk = Desk(queue)
    count = len(MATCHERS) * EACH
    pauses = {name: desk.place("pause", *m[0]) for name, m in MATCHERS.items()}
    submit_all(queue, "early")
    box.engine(queue, sink=sink.address, limits=SITES)
    eventually(lambda: len(ended(queue, "delivered")) == count, "the others are delivered")
    submit_all(queue, "late")
    eventually(lambda: len(ended(queue, "delivered")) == 2 * count, "later ones, too")
    assert all(to.startswith("other-") for to in sink.recipients())
    # Whole lists stay where they are; from others it stands aside.
    eventually(lambda: desk.held(pauses["campaign"]) == desk.held(pauses["two"]) == 2 * EACH,
               "what is paused by campaign stands aside")
    assert desk.held(pauses["tenant"]) == 0
    assert length(queue, "in:*:acme") == 2 * EACH

    for name, (matcher, _, _) in MATCHERS.items():
        if name != "tag":
            desk.resume(*matcher)
    desk.resume("id", pauses["tag"])
    eventually(lambda: len(ended(queue, "delivered")) == 4 * count, "all are delivered")
    eventually(lambda: not desk.all(), "nothing is left of the orders")
    order_of = {to.split("@")[0]: n for n, to in enumerate(sink.recipients())}
    aside = [order_of[f"campaign-early-{i}"] for i in range(EACH)]
    assert aside == sorted(aside), "they came back in order"

    cancels = {desk.place("cancel", *m[0]): name for name, m in MATCHERS.items()}
    eventually(lambda: int(queue.client.hget(queue.key("meta"), "orders")) > 0, "they stand")
    time.sleep(1)  # what is promised: from then on nothing of it is sent
    submit_all(queue, "never")
    eventually(lambda: len(finals(queue)) == 6 * count, "all have ended")
    gone = ended(queue, "cancelled")
    assert len(gone) == count
    for event in gone:
        order = event["text"].removeprefix("cancelled by order ")
        assert event["to"].startswith(cancels[order] + "-never-")
        assert event["final"] and event["attempt"] == 1
        assert event["event"] == f"{event['id']}.{event['rcpt']}.1"
    eventually(lambda: all(desk.all()[order]["ended"] == EACH for order in cancels), "counted")
    assert queue.waiting() == 0


def test_two_engines_stop_and_go_on(box):
    """Mail flows through both when an order comes; neither goes on, and nothing is lost."""
    queue = box.redis()
    sink = box.sink()
    limits = {"default": {"rate": "100/s", "connections": 2}}
    for name in ("one", "two"):
        box.engine(queue, name=name, sink=sink.address, limits=limits)
    queue.store("news", PLAIN)
    desk = Desk(queue)
    submit(queue, [f"u{i}@d{i % 4}.test" for i in range(2000)], campaign="spring")
    eventually(lambda: len(sink.recipients()) > 50, "it flows")
    desk.place("hold", "campaign", "spring")
    at = time.time()
    eventually(lambda: length(queue, "in:*") + length(queue, "bin:*") == 0 and
               queue.waiting() == 0, "all stands aside")
    sent = len(sink.recipients())
    last = sink.times()[-1]
    print(f"the last letter left {last - at:.2f} s after the order")
    assert last - at < 5
    assert length(queue, "held:*") == 2000 - sent > 0
    desk.resume("campaign", "spring")
    eventually(lambda: len(finals(queue)) == 2000, "all are delivered", 60)
    assert len(set(sink.recipients())) == len(sink.recipients()) == 2000


def dead_site(box, queue, **more):
    """An engine whose only way out is a port that nobody listens on."""
    config = {"sink": f"127.0.0.1:{free_port()}", **more}
    start_with_library(box, queue, **config)
    return config


def test_what_waits_for_a_dead_site(box):
    """In its bin nobody claims: cancelled, held and expired all the same."""
    queue = box.redis()
    config = dead_site(box, queue)
    desk = Desk(queue)
    for campaign in ("a", "b", "c"):
        submit(queue, addresses(150, "dead.test", campaign), campaign=campaign)
    submit(queue, addresses(150, "dead.test", "brief"), expires="4s")
    box.engine(queue, **config)
    eventually(lambda: length(queue, "bin:*") > 400, "it waits in the bin")
    cancel = desk.place("cancel", "campaign", "b")
    hold = desk.place("hold", "campaign", "c")
    eventually(lambda: len(finals(queue)) == 300 and desk.held(hold) == 150, "all are met", 60)
    assert len(ended(queue, "cancelled")) == 150
    expired = ended(queue, "expired")
    assert len(expired) == 150
    assert all(e["to"].startswith("brief") and e["final"] and e["attempt"] == 1 for e in expired)
    eventually(lambda: desk.all()[cancel]["ended"] == 150, "counted")
    assert queue.waiting() == 150
    # And from where it stands aside.
    desk.place("cancel", "all", "yes")
    eventually(lambda: len(finals(queue)) == 600, "nothing is left", 60)
    assert queue.waiting() == length(queue, "held:*") == 0


def test_what_is_due_later(box):
    """Deferred and scheduled jobs: cancelled, expired, and tried again at once."""
    queue = box.redis()
    inbox = box.inbox()
    start_with_library(box, queue, sink=f"127.0.0.1:{inbox.port}")
    desk = Desk(queue)
    refused = addresses(5, "x.test", "full")
    inbox.refuse = {to: "452 4.2.2 full" for to in refused}
    submit(queue, refused, campaign="again")
    submit(queue, addresses(120, "x.test", "gone"), campaign="gone", not_before=time.time() + 3600)
    submit(queue, addresses(120, "x.test", "later"), campaign="again",
           not_before=time.time() + 3600)
    box.engine(queue, sink=f"127.0.0.1:{inbox.port}", retry=["1h"])
    eventually(lambda: queue.client.zcard(queue.key("due:normal")) == 245, "it is due later")
    inbox.refuse = {}
    desk.place("cancel", "campaign", "gone")
    eventually(lambda: len(ended(queue, "cancelled")) == 120, "cancelled", 60)
    retry = desk.place("retry", "campaign", "again")
    eventually(lambda: len(ended(queue, "delivered")) == 5, "tried again", 60)
    assert sorted(e["to"] for e in ended(queue, "delivered")) == sorted(refused)
    eventually(lambda: retry not in desk.all(), "that is over once it is done", 60)
    # What is scheduled keeps its time.
    assert queue.client.zcard(queue.key("due:normal")) == 120
    assert min(queue.client.zrange(queue.key("due:normal"), 0, 0, withscores=True))[1] > (
        time.time() + 1800) * 1000


def test_paused_and_held_jobs_expire(box):
    queue = box.redis()
    sink = box.sink()
    start_with_library(box, queue, sink=sink.address)
    desk = Desk(queue)
    desk.place("pause", "tenant", "acme")
    desk.place("pause", "campaign", "spring", "for", "1h")
    submit(queue, addresses(50, "x.test", "p"), tenant="acme", expires="3s")
    submit(queue, addresses(50, "x.test", "h"), campaign="spring", expires="3s")
    box.engine(queue, sink=sink.address)
    eventually(lambda: len(ended(queue, "expired")) == 100, "they expire", 60)
    assert sink.recipients() == []


def test_a_pause_for_a_while_ends_by_itself(box):
    queue = box.redis()
    sink = box.sink()
    start_with_library(box, queue, sink=sink.address)
    desk = Desk(queue)
    order = desk.place("pause", "campaign", "spring", "for", "3s")
    submit(queue, addresses(50, "x.test"), campaign="spring")
    box.engine(queue, sink=sink.address)
    eventually(lambda: desk.held(order) == 50, "they stand aside")
    eventually(lambda: len(ended(queue, "delivered")) == 50, "and go on", 60)
    eventually(lambda: not desk.all(), "the order is forgotten")


def test_jobs_in_memory_are_not_sent_after_the_order(box):
    """Claimed, compiled and waiting for their turn when the order comes."""
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, sink=sink.address, limits={"default": {"rate": "5/s", "connections": 1}})
    queue.store("news", PLAIN)
    desk = Desk(queue)
    submit(queue, addresses(40, "x.test"), campaign="spring")
    eventually(lambda: len(sink.recipients()) >= 2, "it flows")
    desk.place("cancel", "campaign", "spring")
    eventually(lambda: len(finals(queue)) == 40, "all have ended")
    assert len(sink.recipients()) == len(ended(queue, "delivered")) < 35
    assert len(ended(queue, "cancelled")) == 40 - len(sink.recipients())


def test_killed_in_the_midst_of_a_sweep(box):
    """What an engine has taken and not ended when it dies is ended by the next."""
    queue = box.redis()
    config = dead_site(box, queue)
    desk = Desk(queue)
    count = 3000
    submit(queue, addresses(count // 2, "dead.test", "mine"), campaign="spring")
    submit(queue, addresses(count // 2, "dead.test", "theirs"))
    for start in range(0, count, 500):  # mixed, so that the list has to go round
        submit(queue, addresses(50, "dead.test", f"mix{start}-"), campaign="spring")
        submit(queue, addresses(50, "dead.test", f"theirs{start}-"))
    mine, theirs = count // 2 + 300, count // 2 + 300
    engine = box.engine(queue, **config)
    eventually(lambda: length(queue, "bin:*") == mine + theirs, "all wait in the bin", 60)
    desk.place("cancel", "campaign", "spring")
    eventually(lambda: len(Deliveries(queue).read()) > 300, "it is sweeping", step_s=0.002)
    engine.kill()
    for _ in range(3):
        before = len(Deliveries(queue).read())
        engine = box.engine(queue, **config)
        eventually(lambda: len(Deliveries(queue).read()) > before or
                   len(Deliveries(queue).read()) >= mine, "the next goes on", 60, 0.002)
        engine.kill()
    box.engine(queue, **config)
    eventually(lambda: len({e["id"] for e in map(fields_of, Deliveries(queue).read())}) == mine,
               "every one of them has ended", 60)
    events = [fields_of(line) for line in Deliveries(queue).read()]
    assert all(e["type"] == "cancelled" and e["campaign"] == "spring" for e in events)
    # What an engine was about to say when it died may be said again, and is marked then.
    assert sum("late" not in e for e in events) == mine, "and once"
    eventually(lambda: length(queue, "bin:*") + length(queue, "in:*") == theirs,
               "the others are all there", 60)
