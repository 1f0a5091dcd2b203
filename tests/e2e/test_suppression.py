"""test_suppression.py - who is on the list gets no mail, and everybody else does."""

import time

import pytest

from letters import PLAIN
from process import eventually

META = "volley:suppress:{list}:meta"


def add(queue, *fields):
    return queue.client.fcall("volley_suppress_add", 1, META, *fields)


def promised():
    """An addition holds within a second; until then an engine may or may not know it."""
    time.sleep(1)


def listed(queue, to):
    return [[v.decode() if isinstance(v, bytes) else v for v in entry]
            for entry in queue.client.fcall("volley_suppress_find", 1, META, "to", to)]


def submit(queue, to, **more):
    return queue.submit(to=to, from_="a@sender.test", data=PLAIN, **more)


def outcome_of(queue, to, timeout_s=30):
    """The final event of a recipient."""
    def found():
        return [e for e in queue.finals() if e["to"] == to]

    return eventually(found, f"the end of {to}", timeout_s)[0]


def test_whom_an_entry_concerns(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    add(queue, "reason", "asked to", "to", "all@x.test", "to", "Bulk@x.test", "scope", "bulk",
        "to", "may@x.test", "scope", "campaign:may", "to", "over@x.test", "expires", "1s",
        "to", "acme@x.test", "tenant", "acme", "to", "u@bücher.test", "to", "a@xn--bcher-kva.test")
    time.sleep(1.1)  # over@x.test
    wanted = {}
    for to, more, suppressed in [
            ("ALL@x.test", {}, True), ("all@X.test", {"tenant": "acme"}, True),
            ("al@x.test", {}, False), ("bulk@x.test", {}, False),
            ("BULK@x.test", {"class_": "bulk"}, True),
            ("may@x.test", {"campaign": "may"}, True), ("May@x.test", {}, False),
            ("mAy@x.test", {"campaign": "june"}, False), ("over@x.test", {}, False),
            ("acme@x.test", {}, False), ("Acme@x.test", {"tenant": "acme"}, True),
            ("u@xn--bcher-kva.test", {}, True), ("u@bücher.test", {}, True),
            ("a@bücher.test", {}, True), ("b@bücher.test", {}, False)]:
        submit(queue, to, **more)
        wanted[to.partition("@")[0] + "@" + to.partition("@")[2].lower()] = suppressed
    for to, suppressed in wanted.items():
        event = outcome_of(queue, to)
        assert event["type"] == ("suppressed" if suppressed else "delivered"), event
        if suppressed:
            assert event["final"] is True and event["attempt"] == 1
            assert event["text"].startswith("on the suppression list (")
            assert event["text"].endswith("): asked to")
    assert len(sink.recipients()) == sum(not s for s in wanted.values())
    assert queue.waiting() == 0
    assert queue.client.keys("volley:{0}:body:*") == []  # their letters went with them


def test_jobs_that_wait_already(box, backend):
    """In a lane, where they were asked for before the list grew."""
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, limits={"default": {"rate": "1/s"}})
    add(queue, "to", "somebody@else.test")
    for i in range(4):
        submit(queue, f"u{i}@x.test")
    eventually(lambda: queue.finals(), "the first letter")
    add(queue, "to", "u2@x.test", "to", "u3@x.test")
    assert outcome_of(queue, "u3@x.test")["type"] == "suppressed"
    assert [outcome_of(queue, f"u{i}@x.test")["type"] for i in range(4)] == [
        "delivered", "delivered", "suppressed", "suppressed"]
    assert sink.recipients() == ["u0@x.test", "u1@x.test"]


def test_before_a_second_attempt(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, retry=["3s"])
    submit(queue, "tempfail@x.test")
    eventually(lambda: queue.events(), "it is deferred")
    add(queue, "to", "tempfail@x.test")
    event = outcome_of(queue, "tempfail@x.test")
    assert event["type"] == "suppressed" and event["attempt"] == 2
    assert len({e["event"] for e in queue.events()}) == len(queue.events()) == 2


def test_removed_again(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    add(queue, "to", "a@x.test", "to", "b@x.test")
    promised()
    submit(queue, "a@x.test")
    assert outcome_of(queue, "a@x.test")["type"] == "suppressed"
    queue.client.fcall("volley_suppress_remove", 1, META, "to", "b@x.test")
    submit(queue, "b@x.test")
    assert outcome_of(queue, "b@x.test")["type"] == "delivered"
    queue.client.fcall("volley_suppress_remove", 1, META, "to", "a@x.test")
    promised()
    submit(queue, "a@x.test", campaign="again")
    eventually(lambda: sink.recipients() == ["b@x.test", "a@x.test"], "a letter again")


def test_learned_from_bad_mailboxes_only(box, backend):
    queue = box.redis()
    inbox = box.inbox()
    inbox.refuse = {"gone@x.test": "550 5.1.1 no such user", "spam@x.test": "550 5.7.1 policy",
                    "full@x.test": "552 5.2.2 over quota", "later@x.test": "450 4.1.1 who?"}
    box.engine(queue, io=backend, sink=f"127.0.0.1:{inbox.port}", retry=["1s"],
               suppress={"bad_mailbox": True, "expires": "30d"})
    for to in inbox.refuse:
        submit(queue, to, tenant="acme", max_attempts=2)
        outcome_of(queue, to)
    (entry,) = eventually(lambda: listed(queue, "gone@x.test"), "an entry")
    promised()
    assert entry[:4] == ["acme", "gone@x.test", "all", "bad-mailbox 550 5.1.1 no such user"]
    assert entry[5] - entry[4] == 30 * 86400
    assert [listed(queue, to) for to in inbox.refuse if to != "gone@x.test"] == [[], [], []]
    inbox.refuse = {}
    submit(queue, "gone@x.test", tenant="acme", campaign="second")
    eventually(lambda: [e["type"] for e in queue.finals() if e["to"] == "gone@x.test"] ==
               ["bounced", "suppressed"], "not again")
    submit(queue, "gone@x.test", tenant="other", campaign="third")
    eventually(lambda: [m[1] for m in inbox.messages] == [["gone@x.test"]],
               "other tenants are not concerned")


def test_nothing_is_learned_unless_configured(box):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, sink=sink.address)
    submit(queue, "permfail@x.test")
    assert outcome_of(queue, "permfail@x.test")["failure"] == "bad-mailbox"
    engine.stop()
    assert queue.client.keys("volley:suppress*") == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_long_list_and_many_jobs(box, backend, workers):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, workers=workers,
               limits={"default": {"rate": "unlimited"}})
    for page in range(0, 4000, 500):
        add(queue, *[v for i in range(page, page + 500) for v in ("to", f"u{2 * i}@d{i % 7}.test")])
    promised()
    queue.store("plain", PLAIN)
    for i in range(2000):
        submit_to = f"u{i}@d{i // 2 % 7}.test"
        queue.submit(to=submit_to, from_="a@sender.test", message="plain")
    eventually(lambda: len(queue.finals()) == 2000, "all of them end", 60)
    odd = {e["to"] for e in queue.finals() if e["type"] == "delivered"}
    assert {int(to[1:].partition("@")[0]) % 2 for to in odd} == {1} and len(odd) == 1000
    assert sorted(sink.recipients()) == sorted(odd)


def test_redis_goes_away_meanwhile(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, limits={"default": {"rate": "200/s"}})
    add(queue, *[v for i in range(0, 400, 2) for v in ("to", f"u{i}@x.test")])
    promised()
    queue.store("plain", PLAIN)
    for i in range(400):
        queue.submit(to=f"u{i}@x.test", from_="a@sender.test", message="plain")
    queue.kill()
    queue.start()
    eventually(lambda: queue.waiting() == 0, "all of them end", 60)
    assert {e["to"]: e["type"] for e in queue.finals()} == {
        f"u{i}@x.test": "delivered" if i % 2 else "suppressed" for i in range(400)}
    assert not {to for to in sink.recipients() if int(to[1:].partition("@")[0]) % 2 == 0}


def test_a_list_that_is_broken_holds_mail(box):
    """Rather than sending to whom it may name."""
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, sink=sink.address)
    add(queue, "to", "a@x.test")
    queue.client.set("volley:suppress:{list}:of:default", "not a hash")
    promised()
    submit(queue, "b@x.test")
    eventually(lambda: "the suppression list cannot be read" in engine.text(), "it is said")
    assert queue.finals() == [] and sink.recipients() == []
    queue.client.delete("volley:suppress:{list}:of:default")
    assert outcome_of(queue, "b@x.test")["type"] == "delivered"
