"""test_bodies.py - letters in Redis: how long they live, and what happens when one is not there."""

import time

from letters import PLAIN
from process import eventually

MISSING_KEY_MS = 3600 * 1000  # the life of the note that a letter is missing
PATIENCE_MS = 15 * 60 * 1000


def due(queue):
    return queue.client.zrange(queue.key("due:normal"), 0, -1)


def come_back_now(queue):
    for record in due(queue):
        queue.client.zadd(queue.key("due:normal"), {record: 0}, xx=True)


def lines_about(engine, text):
    return [line for line in engine.text().splitlines() if text in line]


def test_a_missing_message_holds_its_jobs_and_comes_back(box, backend):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address)
    queue.store("news", PLAIN)
    for i in range(50):
        queue.submit(to=f"u{i}@x.test", from_="a@sender.test", message="news",
                     not_before=f"{time.time() + 2:.3f}")
    queue.client.delete(queue.key("msg:news"))
    eventually(lambda: queue.client.exists(queue.key("missing:news")), "it is noticed")
    eventually(lambda: len(due(queue)) == 50, "all of them wait")
    assert len(lines_about(engine, 'stored message "news" is missing in Redis; store it')) == 1
    assert queue.events() == [] and sink.recipients() == []
    queue.store("news", PLAIN)
    assert not queue.client.exists(queue.key("missing:news"))
    time.sleep(5.2)  # an engine does not ask again sooner
    come_back_now(queue)
    eventually(lambda: len(queue.finals()) == 50, "all of them end")
    assert {(e["type"], e["attempt"]) for e in queue.finals()} == {("delivered", 1)}


def test_after_a_quarter_of_an_hour_they_bounce(box, backend):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address)
    queue.store("news", PLAIN)
    note = queue.key("missing:news")
    queue.client.set(note, 1, px=MISSING_KEY_MS - PATIENCE_MS + 3000)
    soon = f"{time.time() + 1:.3f}"
    queue.submit(to="a@x.test", from_="a@sender.test", message="news", not_before=soon)
    queue.client.delete(queue.key("msg:news"))
    eventually(lambda: "its jobs wait 1 minutes" in engine.text(), "it is noticed")
    assert queue.events() == []
    eventually(lambda: queue.client.pttl(note) < MISSING_KEY_MS - PATIENCE_MS, "their time is over")
    eventually(lambda: due(queue), "it waits")
    come_back_now(queue)
    (event,) = eventually(queue.finals, "an end")
    assert event["type"] == "bounced" and event["failure"] == "config" and event["attempt"] == 1
    assert "is missing; store it with volley_store" in event["text"]
    assert queue.waiting() == 0


def test_the_letter_of_a_job_alone_is_missing(box):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, sink=sink.address)
    ident = queue.submit(to="a@x.test", from_="a@sender.test", data=PLAIN,
                         not_before=f"{time.time() + 1:.3f}")
    letter = queue.client.dump(queue.key(f"body:{ident}"))
    queue.client.delete(queue.key(f"body:{ident}"))
    eventually(lambda: f"the letter of job {ident} is missing" in engine.text(), "it is noticed")
    eventually(lambda: due(queue), "it waits")
    queue.client.restore(queue.key(f"body:{ident}"), 0, letter)
    time.sleep(5.2)
    come_back_now(queue)
    (event,) = eventually(queue.finals, "an end")
    assert event["type"] == "delivered"
    assert not queue.client.exists(queue.key(f"body:{ident}"))


def test_a_message_outlives_its_jobs(box):
    """Its time grows to the last expiry of a job that needs it, and nothing else."""
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, sink=sink.address, expires="1d")
    queue.store("news", PLAIN, ttl="1h")
    key = queue.key("msg:news")

    def submit(to, **more):
        queue.submit(to=to, from_="a@sender.test", message="news", **more)
        return queue.client.ttl(key)

    assert 86400 - 60 < submit("a@x.test") <= 86400
    assert 3 * 86400 - 60 < submit("b@x.test", expires="3d") <= 3 * 86400
    assert submit("c@x.test", expires="2h") > 3 * 86400 - 60
    later = int(time.time()) + 5 * 86400
    assert 6 * 86400 - 60 < submit("d@x.test", not_before=later) <= 6 * 86400
    assert 6 * 86400 - 60 < submit("e@x.test", not_before=later, spread="2h") <= 6 * 86400 + 7200
    rows = ["rows", 1, "to", "f@x.test", "g@x.test"]
    queue.client.fcall("volley_submit_batch", 1, queue.key("meta"), 2, "message", "news",
                       "expires", "9d", *rows)
    assert 9 * 86400 - 60 < queue.client.ttl(key) <= 9 * 86400


def test_single_letters_go_with_their_last_recipient(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, retry=["2s"])
    ident = queue.submit("to", "permfail@x.test", "to", "b@x.test", "to", "greylist@x.test",
                         from_="a@sender.test", data=PLAIN)
    eventually(lambda: len(queue.finals()) == 2, "two of three end")
    assert queue.client.hget(queue.key(f"body:{ident}"), "left") == b"1"
    eventually(lambda: len(queue.finals()) == 3, "the third ends")
    assert not queue.client.exists(queue.key(f"body:{ident}"))
    queue.submit("to", "late@x.test", from_="a@sender.test", data=PLAIN, expires="3s",
                 not_before=f"{time.time() + 1:.3f}", window="00:00-00:01 Antarctica/Nowhere")
    eventually(lambda: len(queue.finals()) == 4, "one that nobody is asked about")
    assert queue.client.keys(queue.key("body:*")) == []


def test_a_letter_that_cannot_be_sent_says_why(box):
    """What the cheap look at submission lets through."""
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, sink=sink.address)
    queue.store("odd", b"From: a@sender.test\r\nSubject: x\r\n\r\n{{#name}}never closed\r\n")
    queue.submit(to="a@x.test", from_="a@sender.test", message="odd")
    (event,) = eventually(queue.finals, "an end")
    assert event["type"] == "bounced" and event["failure"] == "content"
    assert event["text"].startswith("line 4: ")
    assert event["text"].endswith("; correct it and store it under another id")
    assert lines_about(engine, "message odd: line 4: ")


def test_merge_values_of_one_recipient_alone(box):
    """Braces are the letter's own for who has no values, and merged for who has."""
    queue = box.redis()
    box.engine(queue, sink=box.sink().address)
    queue.submit("data", PLAIN + b"Hello {{name}}.\r\n", "to", "plain@one.test",
                 "to", "merged@two.test", "v:name", "A" * 500, from_="a@sender.test")
    eventually(lambda: len(queue.finals()) == 2, "both")
    size = {e["to"]: e["bytes"] for e in queue.finals()}
    assert size["merged@two.test"] > size["plain@one.test"] + 400
