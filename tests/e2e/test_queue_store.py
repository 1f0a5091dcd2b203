"""test_queue_store.py - volley_store and volley_submit: what is taken, what is refused, and why."""

import re

import pytest
import redis

from queue_library import (BASE, ID, IN, LETTER, META, news, queue, record, refused, server)


# ---- store -----------------------------------------------------------------------------------


def test_store_keeps_the_letter_and_the_sender(queue):
    assert queue.store("id", "news42", "eml", LETTER, "ttl", "2d") == "news42"
    stored = queue.redis.hgetall(BASE + "msg:news42")
    assert stored[b"eml"] == LETTER
    assert stored[b"from"] == b"jane@example.com"
    assert 2 * 86400 - 10 < queue.redis.ttl(BASE + "msg:news42") <= 2 * 86400


def test_store_is_write_once(queue):
    queue.store("id", "a", "eml", LETTER, "ttl", "1h")
    assert queue.store("id", "a", "eml", LETTER, "ttl", "2h") == "a"
    assert queue.redis.ttl(BASE + "msg:a") > 3600
    queue.store("id", "a", "eml", LETTER, "ttl", "1m")
    assert queue.redis.ttl(BASE + "msg:a") > 3600
    refused(lambda: queue.store("id", "a", "eml", LETTER + b"x"), "VOLLEYCONFLICT", "other content")
    refused(lambda: queue.store("id", "a", "eml", LETTER, "from", "x@y.example"), "VOLLEYCONFLICT")


@pytest.mark.parametrize("fields,pattern", [
    (("eml", LETTER), "id: "),
    (("id", "a b", "eml", LETTER), "id: 'a b' is not a name"),
    (("id", "a"), "eml: missing"),
    (("id", "a", "eml", ""), "eml: is empty"),
    (("id", "a", "eml", "hello"), "eml: does not begin with a header field"),
    (("id", "a", "eml", "Subject: x\r\n\r\nbody"), "eml: has no From"),
    (("id", "a", "eml", "From: {{sender}}@x.example\r\n\r\n"), "eml: has no From"),
    (("id", "a", "eml", b"Subject: \0\r\n\r\n", "from", ""), "eml: has a NUL"),
    (("id", "a", "eml", LETTER + b"x" * 70000 + b"\0"), "eml: has a NUL"),
    (("id", "a", "eml", "From: a@b.example\r\nHello,\r\nyou\r\n"),
     "no header field in line 2: 'Hello,'"),
    (("id", "a", "eml", LETTER + b"{{name"), "eml: has {{ without }}"),
    (("id", "a", "eml", LETTER, "ttl", "10"), "ttl: '10' is not a duration"),
    (("id", "a", "eml", LETTER, "ttl", "1s"), "ttl: must be at least 1m"),
    (("id", "a", "eml", LETTER, "from", "nobody"), "from: 'nobody' has no @"),
    (("id", "a", "eml", LETTER, "frm", "a@b.c"), "'frm': a stored message has"),
    (("id", "a", "id", "b", "eml", LETTER), "id: comes once"),
    (("id", "a", "eml"), "eml: comes once, and with a value"),
])
def test_store_refuses(queue, fields, pattern):
    refused(lambda: queue.store(*fields), "VOLLEYBAD", pattern)
    assert queue.redis.keys("*msg*") == []


@pytest.mark.parametrize("header,sender", [
    ("From: a@b.example", "a@b.example"),
    ("FROM:  <a@b.example>", "a@b.example"),
    ("Subject: x\r\nFrom: =?utf-8?q?J=C3=BCrgen?=\r\n <a@B.example>", "a@b.example"),
    ('From: "Doe <x@y>, Jane" <jane@doe.example>', "jane@doe.example"),
    ("From: jane@doe.example (Jane)", "jane@doe.example"),
])
def test_sender_of_the_from_header(queue, header, sender):
    queue.store("id", "a", "eml", header + "\r\n\r\nbody")
    assert queue.redis.hget(BASE + "msg:a", "from").decode() == sender


def test_store_null_sender_and_25_mb(queue):
    queue.store("id", "null", "eml", LETTER, "from", "<>")
    assert queue.redis.hget(BASE + "msg:null", "from") == b""
    big = LETTER + b"x" * (25 * 1024 * 1024 - len(LETTER))
    queue.store("id", "big", "eml", big)
    refused(lambda: queue.store("id", "bigger", "eml", big + b"x"), "VOLLEYBAD eml", "at most 25")


# ---- submit: a job ---------------------------------------------------------------------------


def test_submit_writes_a_record_into_the_intake(news):
    before = news.now_ms()
    ident = news.submit("to", "Bob.B@Example.ORG", "v:name", "Bob", "message", "news", "campaign",
                        "spring",
                        "tags", "a, b", "x:order", "77", "v:city", "Köln", "from", "")
    assert ID.match(ident)
    (raw,) = news.list(IN)
    r = record(raw)
    assert (r["id"], r["lane"], r["to"], r["flags"]) == (
        ident + ".1", "normal:default:default", "Bob.B@example.org", 1)
    assert before <= r["created"] <= news.now_ms()
    assert r[2] == b"news" and r[3] == b"spring" and r[4] == b"a,b" and r[1] == b""
    assert (5, b"\x04nameBob") in r["tags"] and (5, b"\x04city" + "Köln".encode()) in r["tags"]
    assert r[6] == b"\x05order77"
    assert len(raw) < 200


def test_ids_sort_and_are_unique(news):
    ids = []
    for _ in range(30):
        ids += news.rows(["message", "news"], ["to"], *[["a@b.example"]] * 50)
        ids.append(news.submit("to", "a@b.example", "message", "news"))
    assert len(set(ids)) == len(ids) == 30 * 51
    assert sorted(ids) == ids
    assert all(ID.match(i) for i in ids)


def test_partition_is_in_the_id(queue):
    ids = []
    for partition in ("0", "7", "31"):
        meta = "volley:{%s}:meta" % partition
        queue.redis.fcall("volley_store", 1, meta, "id", "n", "eml", LETTER)
        ids.append(queue.redis.fcall("volley_submit", 1, meta, "to", "a@b.c", "message",
                                     "n").decode())
    assert [i[10:12] for i in ids] == ["00", "07", "0z"]


def test_job_with_several_recipients(news):
    ident = news.submit("message", "news", "v:all", "1", "to", "a@x.example", "v:name", "A", "to",
                        "b@x.example",
                        "v:name", "B", "v:all", "2")
    a, b = [record(raw) for raw in news.list(IN)]
    assert (a["id"], b["id"]) == (ident + ".1", ident + ".2")
    assert sorted(v for t, v in a["tags"] if t == 5) == [b"\x03all1", b"\x04nameA"]
    assert sorted(v for t, v in b["tags"] if t == 5) == [b"\x03all2", b"\x04nameB"]


def test_thousand_recipients_and_not_one_more(news):
    fields = ["message", "news"]
    for i in range(1000):
        fields += ["to", f"r{i}@x.example"]
    ident = news.submit(*fields)
    raws = news.list(IN)
    assert len(raws) == 1000 and record(raws[999])["id"] == ident + ".1000"
    refused(lambda: news.submit(*fields, "to", "one@more.example"), "VOLLEYBAD to",
            "more than 1000")
    assert len(news.list(IN)) == 1000


@pytest.mark.parametrize("fields,lane", [
    (("class", "high"), "high:default:default"),
    (("class", "bulk", "tenant", "acme"), "bulk:default:acme"),
    (("pool", "mta-2"), "normal:mta-2:default"),
    (("source", "a"), "normal:source=a:default"),
    (("route", "mailbox"), "normal:route=mailbox:default"),
])
def test_lanes(news, fields, lane):
    news.submit("to", "a@b.example", "message", "news", *fields)
    assert len(news.list("in:" + lane)) == 1
    assert news.bins() == ["in:" + lane]
    assert news.redis.lrange(BASE + "bell:" + lane.split(":")[0], 0, -1) == [b"in:" + lane.encode()]


def test_own_body(queue):
    ident = queue.submit("data", LETTER, "to", "a@x.example", "to", "b@x.example")
    assert queue.redis.hgetall(BASE + "body:" + ident) == {
        b"eml": LETTER, b"from": b"jane@example.com", b"left": b"2"}
    assert record(queue.list(IN)[0])["flags"] == 1 | 4


@pytest.mark.parametrize("fields,pattern", [
    ((), "message: missing"),
    (("to", "a@b.example"), "message: missing"),
    (("message", "news"), "to: missing"),
    (("to", "a@b.example", "message", "other"), "message: no stored message 'other'"),
    (("to", "a@b.example", "message", "news", "data", LETTER), "data: give message or data"),
    (("to", "a@b.example", "data", "hello"), "data: does not begin"),
    (("to",), "'to': has no value"),
    (("to", "a@b.example", "message", "news", "campain", "x"),
     "'campain' is not a field of a job, did you mean 'campaign'"),
    (("To", "a@b.example"), "'To' is not a field of a job, did you mean 'to'"),
    (("zzzzzzzz", "1"), "merge values are v:<name>"),
    (("class", "urgent"), "class: 'urgent' is not one of high, normal, bulk"),
    (("tenant", "a:b"), "tenant: 'a:b' is not a name"),
    (("pool", "x" * 65), "pool: .* is not a name"),
    (("pool", "a", "source", "b", "to", "a@b.example", "message", "news"),
     "give one of pool, source, route"),
    (("from", "x"), "from: 'x' has no @"),
    (("tags", "a,,b"), "tags: '' is not a name"),
    (("tags", ",".join("abcdefghijklmnopq")), "tags: has 17 parts"),
    (("expires", "soon"), "expires: 'soon' is neither"),
    (("expires", "1000000000", "to", "a@b.example", "message", "news"), "expires: is in the past"),
    (("expires", "4000000000", "not_before", "4000000001", "to", "a@b.example", "message", "news"),
     "expires: is before not_before"),
    (("not_before", "2026-13-01T00:00:00Z"), "not_before: .* is no time"),
    (("not_before", "2026-01-01T00:00:00"), "not_before: .* is no time"),
    (("spread", "10"), "spread: '10' is not a duration"),
    (("spread", "4000d"), "more than 3650 days"),
    (("retry", "5m,x"), "retry: 'x' is not a duration"),
    (("max_attempts", "0"), "max_attempts: '0' is not a number from 1 to 1000"),
    (("window", "always!"), "window: "),
    (("window", "Mon-Fri"), "window: 'Mon-Fri' is no window"),
    (("window", "Mon-Fry 08:00-18:00"), "window: "),
    (("window", "08:00-25:00"), "window: "),
    (("window", "24:00-24:00"), "window: "),
    (("window", "08:00-18:00 Europe/Berlin UTC"), "window: "),
    (("window", "08:00-18:00 ../etc/passwd"), "window: "),
    (("window", "Europe/Berlin"), "window: "),
    (("tls", "maybe"), "tls: 'maybe' is not one of none, may, encrypt, verify"),
    (("dsn.notify", "never,success"), "dsn.notify: 'never' is not one of"),
    (("dsn.ret", "all"), "dsn.ret: "),
    (("verp", "yes"), "verp: 'yes' is not one of on, off"),
    (("unsubscribe", "http://x"), "unsubscribe: .* neither https: nor mailto:"),
    (("feedback_id", "a\nb"), "feedback_id: .* control character"),
    (("key", "k" * 201), "key: must have 1 to 200 bytes"),
    (("v:", "x"), "v:: a name behind v:"),
    (("v:a{b", "x"), "v:a{b: a name behind v:"),
    (("v:a", b"\0"), "v:a: has a NUL"),
    (("v:a", b"\xff\xfe"), "v:a: is not UTF-8"),
    (("v:a", "x" * 16384), "v:a: merge values have more than 16384 bytes"),
    (("x:a", "x" * 4096), "x:a: x: values have more than 4096 bytes"),
])
def test_submit_refuses(news, fields, pattern):
    refused(lambda: news.submit(*fields), "VOLLEYBAD", pattern)
    assert news.redis.hget(META, "seq") is None and news.redis.keys(BASE + "in:*") == []


@pytest.mark.parametrize("address,stored", [
    ("a@b.example", "a@b.example"),
    ("A.b+c@EXAMPLE.com", "A.b+c@example.com"),
    ("o'brien@x-y.example", "o'brien@x-y.example"),
    ('"john doe"@x.example', '"john doe"@x.example'),
    ("user@localhost", "user@localhost"),
    ("a@[192.0.2.1]", "a@[192.0.2.1]"),
    ("jürgen@bücher.example", "jürgen@bücher.example"),
    ("a" * 64 + "@b.example", "a" * 64 + "@b.example"),
])
def test_addresses_taken(news, address, stored):
    news.submit("to", address, "message", "news")
    assert record(news.list(IN)[0])["to"] == stored


@pytest.mark.parametrize("address,fault", [
    ("", "is empty"), ("a", "has no @"), ("@b.example", "nothing before"), ("a@", "nothing behind"),
    ("a b@c.example", "space or control"), ("a\r\nRCPT TO:<x>@c.example", "space or control"),
    (".a@b.example", "dot at an end"), ("a.@b.example", "dot at an end"),
    ("a..b@c.example", "two in a row"),
    ("a@b..example", "empty label"), ("a@.b", "empty label"), ("a@b.", "empty label"),
    ("a@-b.example", "hyphen"), ("a@b-.example", "hyphen"), ("a@b_c.example", None),
    ("a@b c", "no domain has"), ("<a@b.example>", "must be quoted"),
    ("a,b@c.example", "must be quoted"),
    ("a" * 65 + "@b.example", "more than 64"), ("a@" + "b" * 64 + ".example", "too long"),
    ("a@" + "b." * 130 + "c", "more than 254"), (b"a\xff@b.example", "not UTF-8"),
    ("a@b\x00c", "no domain has"),
])
def test_addresses_refused(news, address, fault):
    if fault is None:
        fault = "no domain has"
    refused(lambda: news.submit("to", address, "message", "news"), "VOLLEYBAD to", fault)
    single = news.rows(["message", "news"], ["to", "v:a"], [address, "x"])
    assert single[0].startswith("VOLLEYBAD to: ") and re.search(fault, single[0])


def test_error_lines_hold_no_control_characters(news):
    for fields in (("to", "a\r\nb"), ("x\r\ny", "1"), ("class", "\x1b[31m")):
        with pytest.raises(redis.ResponseError) as info:
            news.submit(*fields)
        assert not re.search(r"[\x00-\x1f]", str(info.value))


# ---- submit: when ----------------------------------------------------------------------------


def test_not_before_goes_to_due(news):
    at = news.now_ms() // 1000 + 3600
    ident = news.submit("to", "a@b.example", "message", "news", "not_before", at, "class", "bulk")
    ((raw, score),) = news.redis.zrange(BASE + "due:bulk", 0, -1, withscores=True)
    assert score == at * 1000
    r = record(raw)
    assert r["id"] == ident + ".1" and int.from_bytes(r[8], "little") == at * 1000
    assert news.bins() == []


@pytest.mark.parametrize("value,unix", [
    ("4102444800", 4102444800), ("4102444800.5", 4102444800.5),
    ("2100-01-01T00:00:00Z", 4102444800),
    ("2100-01-01t01:00:00.25+01:00", 4102444800.25), ("2099-12-31 19:30:00-04:30", 4102444800),
    ("2096-02-29T12:00:00Z", 3981355200),
])
def test_times(news, value, unix):
    news.submit("to", "a@b.example", "message", "news", "not_before", value)
    ((_, score),) = news.redis.zrange(BASE + "due:normal", 0, -1, withscores=True)
    assert score == unix * 1000


def test_past_not_before_is_now(news):
    news.submit("to", "a@b.example", "message", "news", "not_before", "1000000000")
    assert len(news.list(IN)) == 1


def test_spread_differs_and_stays_inside(news):
    at = news.now_ms() + 100000
    for _ in range(50):
        news.submit("to", "a@b.example", "message", "news", "not_before", at / 1000, "spread",
                    "10m")
    scores = [s for _, s in news.redis.zrange(BASE + "due:normal", 0, -1, withscores=True)]
    assert len(scores) == 50 and len(set(scores)) > 40
    assert at - 1 <= min(scores) and max(scores) < at + 600000
    news.submit("to", "a@b.example", "message", "news", "spread", "1h")
    assert news.redis.zcard(BASE + "due:normal") == 51


def test_expiry(news):
    now = news.now_ms()
    news.submit("to", "a@b.example", "message", "news", "expires", "4h")
    news.submit("to", "a@b.example", "message", "news", "expires", "4102444800")
    relative, absolute = [int.from_bytes(record(raw)[7], "little") for raw in news.list(IN)]
    assert now + 4 * 3600000 <= relative <= news.now_ms() + 4 * 3600000
    assert absolute == 4102444800000


def test_expiry_counts_from_not_before(news):
    at = news.now_ms() // 1000 + 86400
    news.submit("to", "a@b.example", "message", "news", "expires", "4h", "not_before", at)
    (raw,) = news.redis.zrange(BASE + "due:normal", 0, -1)
    assert int.from_bytes(record(raw)[7], "little") == (at + 4 * 3600) * 1000


def test_message_lives_as_long_as_its_last_job(queue):
    queue.store("id", "m", "eml", LETTER, "ttl", "1h")
    queue.submit("to", "a@b.example", "message", "m", "expires", "30m")
    assert queue.redis.ttl(BASE + "msg:m") <= 3600
    queue.submit("to", "a@b.example", "message", "m", "expires", "5h")
    assert 5 * 3600 - 10 < queue.redis.ttl(BASE + "msg:m") <= 5 * 3600 + 1
    queue.submit("to", "a@b.example", "message", "m")  # default 2 days
    assert 2 * 86400 - 10 < queue.redis.ttl(BASE + "msg:m") <= 2 * 86400 + 1
    queue.rows(["message", "m", "expires", "9d"], ["to"], ["a@b.example"])
    assert queue.redis.ttl(BASE + "msg:m") > 9 * 86400 - 10


def test_overrides_are_kept(news):
    news.submit("to", "a@b.example", "message", "news", "max_attempts", "5", "retry", "5m, 1h",
                "window",
                "Mon-Fri 08:00-18:00 Europe/Berlin", "tls", "verify", "dsn.notify",
                "success,failure",
                "dsn.ret", "hdrs", "dsn.envid", "e1", "unsubscribe", "https://x.example/u?1",
                "feedback_id", "a:b",
                "verp", "on", "key", "k1")
    r = record(news.list(IN)[0])
    assert r[9] == b"\x05\x00"
    assert r[10] == b"5m,1h"
    assert r[11] == b"Mon-Fri 08:00-18:00 Europe/Berlin"
    assert r[12] == b"k1"
    assert r[13] == b"verify"
    assert r[14] == b"success,failure"
    assert r[15] == b"hdrs"
    assert r[16] == b"e1"
    assert r[17] == b"https://x.example/u?1"
    assert r[18] == b"a:b"
    assert r[19] == b"on"
