"""test_queue_key.py - idempotency keys: one job however often it is submitted, and what became
of it.
"""

import concurrent.futures

import pytest
import redis

from letters import PLAIN
from process import eventually
from queue_library import (BASE, ID, IN, META, news, queue, record_id, refused, server)

KEY = "key:default:k"


def state(queue, name=KEY):
    """(job id, state) as the key has them."""
    job, digest, last = queue.redis.get(BASE + name).decode().split()
    assert ID.match(job) and len(digest) == 20
    return job, last


def keyed(queue, *more, to="a@b.example", key="k"):
    """A job with a key in the hands of a node: (life, job, its record)."""
    job = queue.submit("to", to, "message", "news", "key", key, *more)
    life = queue.register()
    ((records, _),) = queue.claim(life, (IN, 10))
    return life, job, records


def line(job, kind):
    return '{"id":"%s","type":"%s","text":"a \\"type\\":\\"b\\""}\n' % (job, kind)


def test_the_state_follows_the_job(news):
    life, job, records = keyed(news)
    assert state(news) == (job, "queued")
    ttl = news.redis.pttl(BASE + KEY)
    news.defer(life, [(job + ".1", 2, 1000, records[0])], lines=line(job, "deferred"), keyed=[KEY])
    assert state(news) == (job, "deferred")
    news.promote([IN])
    ((records, _),) = news.claim(life, (IN, 10))
    assert news.done(life, [job + ".1"], line(job, "delivered"), number=2,
                     bodies=[KEY]) == [1, 0]
    assert state(news) == (job, "delivered")
    assert 0 < news.redis.pttl(BASE + KEY) <= ttl <= 86400 * 1000
    # It is still the same submission, with the same answer.
    assert news.submit("to", "a@b.example", "message", "news", "key", "k") == job
    refused(lambda: news.submit("to", "b@b.example", "message", "news", "key", "k"),
            "VOLLEYCONFLICT", job)
    assert news.list(IN) == []


def test_waiting_without_an_attempt_changes_no_state(news):
    life, job, records = keyed(news)
    jobs = [(job + ".1", 2, 1000, records[0])]
    news.call("volley_1_defer", [f"owned:{life}", "events", "due:high", "due:normal", "due:bulk",
                                 KEY], 0, 1, 0, "", "0", *jobs[0])
    assert state(news) == (job, "queued")


def test_lines_of_sites_are_no_jobs_outcome(news):
    life, job, _ = keyed(news)
    lines = '{"type":"site","state":"down"}\n' + line(job, "bounced") + '{"type":"site"}\n'
    assert news.done(life, [job + ".1"], lines, bodies=[KEY]) == [1, 0]
    assert state(news) == (job, "bounced")
    life, other, _ = keyed(news, key="l")
    lines = '{"type":"site","state":"down"}\n' + line(other, "bounced")
    assert news.done(life, [other + ".1", "x.1"], lines + line("x", "bounced"),
                     bodies=["key:default:l"]) == [1, 1]
    assert [text for text in news.events().splitlines() if "late" in text] == [
        line("x", "bounced").strip()[:-1] + ',"late":true}']


def test_a_key_that_is_another_jobs_by_now(news):
    life, job, _ = keyed(news)
    news.redis.delete(BASE + KEY)
    later = news.submit("to", "a@b.example", "message", "news", "key", "k")
    news.done(life, [job + ".1"], line(job, "delivered"), bodies=[KEY])
    assert state(news) == (later, "queued") and later != job


def test_a_late_outcome_is_not_the_jobs_state(news):
    life, job, _ = keyed(news)
    news.redis.hdel(BASE + "owned:" + life, job + ".1")
    assert news.done(life, [job + ".1"], line(job, "delivered"), bodies=[KEY]) == [0, 1]
    assert state(news) == (job, "queued")


@pytest.mark.parametrize("wrong", ["gone", "list", "text"])
def test_a_key_that_is_no_good_does_not_hold_the_outcome_up(news, wrong):
    life, job, _ = keyed(news)
    news.redis.delete(BASE + KEY)
    if wrong == "list":
        news.redis.rpush(BASE + KEY, "x")
    elif wrong == "text":
        news.redis.set(BASE + KEY, "\0 what")
    assert news.done(life, [job + ".1"], line(job, "delivered"), bodies=[KEY]) == [1, 0]
    assert news.events() == line(job, "delivered")
    assert news.redis.exists(BASE + KEY) == (wrong != "gone")


def test_several_recipients(news):
    job = news.submit("to", "a@b.example", "to", "b@b.example", "message", "news", "key", "k")
    life = news.register()
    news.claim(life, (IN, 10))
    news.done(life, [job + ".1"], line(job, "bounced"), bodies=[KEY])
    assert state(news) == (job, "bounced")
    news.done(life, [job + ".2"], line(job, "delivered"), number=2, bodies=[KEY])
    assert state(news) == (job, "delivered")
    # Other recipients are other content, and so is another order.
    fields = ["message", "news", "key", "k"]
    refused(lambda: news.submit("to", "b@b.example", "to", "a@b.example", *fields),
            "VOLLEYCONFLICT")
    assert news.submit("to", "a@b.example", "to", "b@b.example", *fields) == job


def test_a_key_lives_for_a_day(news):
    fields = ["to", "a@b.example", "message", "news", "key", "k"]
    first = news.submit(*fields)
    assert 86400 - 60 < news.redis.ttl(BASE + KEY) <= 86400
    news.redis.pexpire(BASE + KEY, 1)
    eventually(lambda: not news.redis.exists(BASE + KEY), "the key ran out")
    assert news.submit(*fields) != first
    assert len(news.list(IN)) == 2


def test_many_submitters_at_a_time(news, server):
    """The same job from all sides is one job; who comes with other content is told."""
    def submit(i):
        client = redis.Redis(unix_socket_path=server.path)
        try:
            return client.fcall("volley_submit", 1, META, "to", f"a{i % 2}@b.example", "message",
                                "news", "key", f"k{i // 2 % 50}").decode()
        except redis.ResponseError as error:
            return str(error)
        finally:
            client.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(400)))
    assert len(news.list(IN)) == 50
    for k in range(50):
        here = [answer for i, answer in enumerate(answers) if i // 2 % 50 == k]
        ids = {answer for answer in here if ID.match(answer)}
        assert len(ids) == 1 and len(here) == 8
        assert sum(answer.startswith("VOLLEYCONFLICT") for answer in here) == 4


# ---- with an engine and a Redis of its own ----------------------------------------------------


def test_states_as_an_engine_writes_them(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address)
    queue.store("m", PLAIN)

    def submit(to, key, **more):
        return queue.submit(to=to, message="m", key=key, **more)

    jobs = {"delivered": submit("ann@a.test", "k-delivered"),
            "bounced": submit("permfail@a.test", "k-bounced"),
            "deferred": submit("tempfail@a.test", "k-deferred")}
    own = queue.submit(to="bob@a.test", data=PLAIN, key="own")
    for kind, job in [*jobs.items(), ("delivered", own)]:
        name = queue.key(f"key:default:{'own' if job == own else 'k-' + kind}")
        eventually(lambda: queue.client.get(name).decode().split()[2] == kind,
                   f"the key's state is {kind}")
        assert queue.client.get(name).decode().split()[0] == job
    assert not queue.client.exists(queue.key(f"body:{own}"))


def test_keys_survive_a_restart_of_redis(box):
    queue = box.redis()
    box.engine(queue, io="epoll", sink=box.sink().address)
    queue.store("m", PLAIN)
    fields = {"to": "ann@a.test", "message": "m", "key": "order-1"}
    job = queue.submit(**fields)
    eventually(lambda: queue.finals(), "it is delivered")
    queue.kill()
    queue.start()
    assert queue.submit(**fields) == job
    assert queue.client.get(queue.key("key:default:order-1")).decode().split()[2] == "delivered"
    with pytest.raises(redis.ResponseError, match="VOLLEYCONFLICT"):
        queue.submit(**{**fields, "to": "bob@a.test"})
