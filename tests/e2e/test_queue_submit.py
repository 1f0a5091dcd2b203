"""test_queue_submit.py - idempotency, limits and places of submissions, and many in one call."""

import time

import pytest
import redis

from queue_library import (BASE, ID, IN, LETTER, META, news, queue, record, record_id, refused,
                           server, text)


# ---- submit: idempotency, limits, places -----------------------------------------------------


def test_key_answers_the_first_id(news):
    fields = ["to", "a@b.example", "message", "news", "v:x", "1", "key", "order-1", "expires", "4h"]
    first = news.submit(*fields)
    assert news.submit(*fields) == first
    assert news.submit("key", "order-1", "v:x", "1", "to", "a@b.example", "expires", "4h",
                       "message", "news") == first
    refused(lambda: news.submit(*fields, "v:y", "2"), "VOLLEYCONFLICT",
            f"'order-1' was used for job {first}")
    assert len(news.list(IN)) == 1
    assert news.submit(*fields, "tenant", "other") != first
    ttl = news.redis.ttl(BASE + "key:default:order-1")
    assert 86400 - 10 < ttl <= 86400


def test_keys_in_one_batch(news):
    job = ["to", "a@b.example", "key", "k"]
    first, again, other = news.jobs(["message", "news"], job, job, ["to", "b@b.example", "key",
                                                                    "k"])
    assert first == again and other.startswith("VOLLEYCONFLICT")
    assert len(news.list(IN)) == 1


def test_keyed_submission_belongs_to_a_partition(news):
    news.redis.hset(META, "partitions", 4)

    def crc16(data):
        crc = 0
        for byte in data:
            crc ^= byte << 8
            for _ in range(8):
                crc = (crc << 1 ^ 0x1021) & 0xffff if crc & 0x8000 else crc << 1
        return crc

    seen = set()
    for i in range(20):
        want = crc16(b"default\0k%d" % i) % 4
        seen.add(want)
        if want == 0:
            news.submit("to", "a@b.example", "message", "news", "key", f"k{i}")
        else:
            refused(lambda: news.submit("to", "a@b.example", "message", "news", "key", f"k{i}"),
                    f"VOLLEYPART {want}")
    assert seen == {0, 1, 2, 3}


def test_max_jobs(news):
    life = news.register(settings=["max_jobs", 3])
    for _ in range(3):
        news.submit("to", "a@b.example", "message", "news")
    refused(lambda: news.submit("to", "a@b.example", "message", "news"), "VOLLEYFULL",
            "3 jobs wait")
    refused(lambda: news.rows(["message", "news"], ["to"], ["a@b.example"]), "VOLLEYFULL")
    ((records, _),) = news.claim(life, (IN, 1))
    news.done(life, [record_id(records[0])])
    news.submit("to", "a@b.example", "message", "news")


def test_max_memory(news):
    news.redis.config_set("maxmemory", 1024 * 1024 * 1024)
    news.register(settings=["max_memory", 100])
    time.sleep(0.15)  # the limit is looked at ten times a second
    refused(lambda: news.submit("to", "a@b.example", "message", "news"), "VOLLEYFULL",
            "try again later")
    news.redis.hset(META, "max_memory", 0)
    time.sleep(0.15)
    news.submit("to", "a@b.example", "message", "news")
    used = news.redis.info("memory")["used_memory"]
    news.redis.config_set("maxmemory", int(used / 0.95))
    time.sleep(0.15)
    refused(lambda: news.submit("to", "a@b.example", "message", "news"), "VOLLEYFULL")


def test_work_ends_when_redis_is_full(news):
    life = news.register()
    news.rows(["message", "news"], ["to"], *[[f"r{i}@b.example"] for i in range(10)])
    news.redis.config_set("maxmemory", 1)
    with pytest.raises(redis.RedisError):
        news.submit("to", "a@b.example", "message", "news")
    ((records, left),) = news.claim(life, (IN, 4))
    ids = [record_id(r) for r in records]
    assert len(ids) == 4 and left == 6
    assert news.done(life, ids[:1]) == [1, 0]
    assert news.defer(life, [(ids[1], 2, 5, records[1])], number=2) == [1, 0]
    assert news.park(life, [(ids[2], "bin:normal:default:default:s", "b.example")],
                     number=3) == [1, 0]
    assert news.give_back(life, [(ids[3], IN)], number=4) == [1, 0]
    assert news.renew(life) == []
    assert news.promote([IN]) in (0, 1)


def test_unknown_pool_once_engines_announced(news):
    news.submit("to", "a@b.example", "message", "news", "pool", "anything")
    news.register(names=["pool=a", "source=s", "route=r"])
    news.submit("to", "a@b.example", "message", "news", "pool", "a")
    news.submit("to", "a@b.example", "message", "news", "source", "s")
    news.submit("to", "a@b.example", "message", "news")
    refused(lambda: news.submit("to", "a@b.example", "message", "news", "pool", "s"),
            "VOLLEYBAD pool",
            "'s' is not configured on any engine")


@pytest.mark.parametrize("key", ["volley:meta", "volley:{0}:met", "volley:{x}:meta", "{0}:meta",
                                 "a b:{0}:meta"])
def test_wrong_key(queue, key):
    refused(lambda: queue.redis.fcall("volley_submit", 1, key, "to", "a@b.c"), "VOLLEYBAD key",
            r"volley:\{0\}:meta")
    refused(lambda: queue.redis.fcall("volley_store", 1, key, "id", "a", "eml", LETTER),
            "VOLLEYBAD key")
    refused(lambda: queue.redis.fcall("volley_submit_batch", 1, key, "0"), "VOLLEYBAD key")


def test_another_prefix(queue):
    meta = "my-mail.1:{0}:meta"
    queue.redis.fcall("volley_store", 1, meta, "id", "m", "eml", LETTER)
    queue.redis.fcall("volley_submit", 1, meta, "to", "a@b.example", "message", "m")
    assert queue.redis.llen("my-mail.1:{0}:" + IN) == 1


def test_a_wrong_type_changes_nothing(news):
    news.redis.set(BASE + "bins", "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        news.submit("to", "a@b.example", "data", LETTER, "key", "k")
    assert sorted(news.redis.keys("*")) == [(BASE + "bins").encode(), (BASE + "msg:news").encode()]


# ---- submit_batch ----------------------------------------------------------------------------


def test_rows(news):
    ids = news.rows(["message", "news", "class", "bulk", "tenant", "t"], ["to", "v:name", "v:city"],
                    ["a@x.example", "Ann", "Köln"], ["b@x.example", "", "Rom"])
    a, b = [record(raw) for raw in news.list("in:bulk:default:t")]
    assert [a["id"], b["id"]] == [i + ".1" for i in ids]
    assert a["tags"] == [(2, b"news"), (5, b"\x04nameAnn"), (5, b"\x04city" + "Köln".encode())]
    assert b["tags"] == [(2, b"news"), (5, b"\x04name"), (5, b"\x04cityRom")]


def test_rows_with_other_columns(news):
    ids = news.rows(["message", "news", "class", "bulk", "v:greeting", "Hi", "campaign", "c0"],
                    ["v:greeting", "class", "to", "key", "not_before", "campaign"],
                    ["Hello", "", "a@x.example", "k1", "", "c1"],
                    ["", "high", "b@x.example", "", "4102444800", ""],
                    ["x", "wrong", "c@x.example", "", "", ""])
    assert ID.match(ids[0]) and ID.match(ids[1]) and ids[2].startswith("VOLLEYBAD class: 'wrong'")
    r = record(news.list("in:bulk:default:default")[0])
    assert r["to"] == "a@x.example"
    assert r[5] == b"\x08greetingHello"
    assert r[3] == b"c1"
    assert r[12] == b"k1"
    (raw,) = news.redis.zrange(BASE + "due:high", 0, -1)
    assert record(raw)[3] == b"c0" and record(raw)[5] == b"\x08greeting"


def test_a_bad_row_keeps_the_others(news):
    ids = news.rows(["message", "news"], ["to", "v:n"], ["a@x.example", "1"], ["nobody", "2"],
                    ["c@x.example", b"\xff"], ["d@x.example", "4"])
    assert ID.match(ids[0]) and ID.match(ids[3])
    assert ids[1] == "VOLLEYBAD to: 'nobody' has no @" and ids[2] == "VOLLEYBAD v:n: is not UTF-8"
    assert [record(raw)["to"] for raw in news.list(IN)] == ["a@x.example", "d@x.example"]


def test_jobs_of_a_batch(news):
    ids = news.jobs(["message", "news", "v:all", "1"], ["to", "a@x.example"],
                    ["to", "b@x.example", "v:n", "b", "to", "c@x.example", "class", "high"],
                    ["tenant", "t"], ["to", "x", "to", "y@z.example"])
    assert ID.match(ids[0]) and ID.match(ids[1])
    assert ids[2].startswith("VOLLEYBAD to: missing") and ids[3] == "VOLLEYBAD to: 'x' has no @"
    assert [record(raw)["id"] for raw in news.list("in:high:default:default")] == [ids[1] + ".1",
                                                                                   ids[1] + ".2"]


def test_batch_takes_200(news):
    rows = [[f"r{i}@x.example"] for i in range(200)]
    assert len(news.rows(["message", "news"], ["to"], *rows)) == 200
    refused(lambda: news.rows(["message", "news"], ["to"], *rows, ["one@more.example"]),
            "VOLLEYBAD rows",
            "at most 200 jobs in a call, not 201")
    refused(lambda: news.jobs(["message", "news"], *[["to", "a@b.example"]] * 201),
            "VOLLEYBAD jobs", "at most 200")
    assert len(news.list(IN)) == 200


@pytest.mark.parametrize("args,pattern", [
    ((), "begins with the number"), (("x",), "begins with the number"),
    (("-1",), "begins with the number"),
    (("1", "message"), "begins with the number"), (("0",), "begins with the number"),
    (("0", "lines"), "'lines' where rows or jobs"), (("0", "rows"), "number of columns"),
    (("0", "rows", "0"), "number of columns"), (("0", "rows", "2", "to"), "whole rows"),
    (("0", "rows", "1", "to"), "whole rows"), (("0", "rows", "2", "to", "v:a", "x@y.example"),
                                               "whole rows"),
    (("0", "rows", "1", "email", "x@y.example"), "'email' is not a field"),
    (("1", "to", "a@b.example", "rows", "1", "to", "x@y.example"), "to: cannot be shared"),
    (("1", "key", "k", "rows", "1", "to", "x@y.example"), "key: cannot be shared"),
    (("1", "data", LETTER, "rows", "1", "to", "x@y.example"), "data: cannot be shared"),
    (("1", "clas", "bulk", "rows", "1", "to", "x@y.example"), "did you mean 'class'"),
    (("0", "rows", "1", "to", "x@y.example"), "message: missing"),
    (("0", "jobs", "2", "to"), "number of fields it says"),
    (("0", "jobs", "0"), "number of fields it says"),
    (("0", "jobs", "1.5", "to", "a"), "number of fields it says"),
])
def test_batch_refuses(news, args, pattern):
    refused(lambda: news.call("volley_submit_batch", ["meta"], *args), "VOLLEYBAD", pattern)


def test_parts_are_taken_once_and_in_order(news):
    def part(number, *rows):
        return text(news.call("volley_submit_part", ["meta"], "s1", number, 1, "message", "news",
                              "rows", 1, "to", *rows))

    assert len(part(1, "a@x.example", "b@x.example")) == 2
    refused(lambda: part(1, "a@x.example"), "VOLLEYSEEN 1")
    refused(lambda: part(3, "c@x.example"), "VOLLEYORDER 2")
    assert len(part(2, "c@x.example")) == 1
    assert len(news.list(IN)) == 3
