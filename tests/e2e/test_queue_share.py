"""test_queue_share.py - how much of a tenant's mail may be `high`."""

from conftest import Engine
from letters import PLAIN
from process import eventually
from queue_library import BASE, META, news, queue, record, refused, server

HIGH, NORMAL = "in:high:default:", "in:normal:default:"


def limit(queue, percent):
    queue.redis.hset(META, "high_share", percent)


def high(queue, count, tenant="t"):
    return queue.rows(["message", "news", "class", "high", "tenant", tenant], ["to"],
                      *[[f"u{i}@x.example"] for i in range(count)])


def lengths(queue, tenant="t"):
    return [queue.redis.llen(BASE + name + tenant) for name in (HIGH, NORMAL)]


def test_no_limit_costs_and_changes_nothing(news):
    high(news, 200)
    assert lengths(news) == [200, 0]
    assert news.redis.keys("*share*") == []


def test_beyond_the_share_jobs_are_normal(news):
    limit(news, 20)
    for _ in range(100):
        news.submit("to", "a@x.example", "message", "news", "class", "high", "tenant", "t")
    assert lengths(news) == [100, 0]  # the first hundred are free
    ident = news.submit("to", "late@x.example", "message", "news", "class", "high", "tenant", "t")
    assert lengths(news) == [100, 1]
    last = record(news.list(NORMAL + "t")[0])
    assert last["id"] == ident + ".1" and last["flags"] == 1 + 8
    assert record(news.list(HIGH + "t")[0])["flags"] == 0


def test_other_mail_makes_room(news):
    limit(news, 20)
    for _ in range(5):
        news.rows(["message", "news", "class", "bulk", "tenant", "t"], ["to"],
                  *[[f"b{i}@x.example"] for i in range(200)])
    for _ in range(4):
        high(news, 50)
    assert lengths(news) == [200, 0]  # of 1200: the share is 240
    high(news, 50)
    assert lengths(news) == [250, 0]
    high(news, 50)
    assert lengths(news) == [250, 50]


def test_tenants_are_counted_apart(news):
    limit(news, 10)
    high(news, 100, "a")
    high(news, 100, "b")
    high(news, 50, "a")
    assert lengths(news, "a") == [100, 50] and lengths(news, "b") == [100, 0]


def test_recipients_and_letters_of_their_own_count(news):
    limit(news, 10)
    to = [v for i in range(101) for v in ("to", f"u{i}@x.example")]
    news.submit(*to, "data", PLAIN, "class", "high", "tenant", "t")
    assert lengths(news) == [0, 101]
    assert record(news.list(NORMAL + "t")[0])["flags"] == 1 + 4 + 8


def test_counts_fade(news):
    limit(news, 10)
    high(news, 100)
    key = BASE + "share:t"
    slot, *counts = map(int, news.redis.get(key).split())
    assert counts == [100, 100, 0, 0] and 0 < news.redis.pttl(key) <= 3600000
    news.redis.set(key, f"{slot - 1} 100 100 500 500")
    high(news, 1)
    assert lengths(news) == [100, 1]
    assert news.redis.get(key).decode() == f"{slot} 1 0 100 100"
    for odd in (f"{slot - 2} 100 100 0 0", f"{slot + 5} 100 100 0 0", "rubbish"):
        news.redis.set(key, odd)
        high(news, 1)
        assert news.redis.get(key).decode() == f"{slot} 1 1 0 0"


def test_a_refused_call_counts_nothing(news):
    limit(news, 10)
    refused(lambda: news.submit("to", "nobody", "message", "news", "class", "high"), "VOLLEYBAD")
    assert news.redis.keys("*share*") == []


def test_the_event_says_so(box, backend):
    queue = box.redis()
    sink = box.sink()
    box.engine(queue, io=backend, sink=sink.address, workers=1)
    queue.client.hset(queue.key("meta"), "high_share", 1)
    for i in range(101):
        queue.submit(to=f"u{i}@x.test", from_="a@sender.test", data=PLAIN, class_="high")
    eventually(lambda: len(queue.finals()) == 101, "all of them end")
    asked = [e for e in queue.finals() if "asked_class" in e]
    assert [(e["to"], e["job_class"], e["asked_class"]) for e in asked] == [
        ("u100@x.test", "normal", "high")]


def test_it_is_configured(box):
    queue = box.redis()
    config = box.config(queue)
    config["queue"]["high_share"] = "25%"
    box.keep(Engine(box, queue, "engine", config))
    assert queue.client.hget(queue.key("meta"), "high_share") == b"25"
