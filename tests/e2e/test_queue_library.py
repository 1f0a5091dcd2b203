"""test_queue_library.py - the calls of engines: claim, outcomes, leases, due jobs, figures."""

import time

import pytest
import redis

from queue_library import (BASE, IN, LETTER, META, claimed, fill, news, queue, record, record_id,
                           refused, server, source, text)


# ---- claim -----------------------------------------------------------------------------------


def test_claim_moves_to_owned_in_order(news):
    ids = fill(news, 10)
    life = news.register()
    ((records, left),) = news.claim(life, (IN, 4))
    assert [record_id(r) for r in records] == [i + ".1" for i in ids[:4]] and left == 6
    owned = news.redis.hgetall(BASE + "owned:" + life)
    assert {k.decode(): v for k,
            v in owned.items() if not k.startswith(b"#")} == {record_id(r): r for r in records}
    assert [record(r)["id"] for r in news.list(IN)] == [i + ".1" for i in ids[4:]]
    assert news.bins() == [IN]
    ((records, left),) = news.claim(life, (IN, 100))
    assert len(records) == 6 and left == 0
    assert news.bins() == [] and not news.redis.exists(BASE + IN)


def test_claim_from_many_lists(news):
    life = news.register()
    for i in range(5):
        fill(news, 3, f"bulk:default:t{i}")
    got = news.claim(life, *[(f"in:bulk:default:t{i}", i) for i in range(5)],
                     ("in:bulk:default:none", 5))
    assert [(len(records), left) for records, left in got] == [(0, 3), (1, 2), (2, 1), (3, 0),
                                                               (3, 0), (0, 0)]
    assert sorted(news.bins()) == [f"in:bulk:default:t{i}" for i in range(3)]


def test_a_list_named_twice_gives_once(news):
    life = news.register()
    fill(news, 10)
    got = news.claim(life, (IN, 3), (IN, 4))
    assert [len(records) for records, _ in got] == [3, 0]
    assert len(news.list(IN)) == 7
    got = news.claim(life, (IN, 100), (IN, 100))
    assert [len(records) for records, _ in got] == [7, 0]
    assert news.bins() == []


def test_claim_by_bytes(news):
    life = news.register()
    fill(news, 20)
    size = len(news.list(IN)[0])
    ((records, left),) = news.claim(life, (IN, 100, 3 * size + 20))
    assert len(records) == 3 and left == 17
    ((records, left),) = news.claim(life, (IN, 100, 1))
    assert len(records) == 1 and left == 16


def test_claim_takes_200_at_most(news):
    life = news.register()
    fill(news, 300)
    fill(news, 10, "high:default:default")
    got = news.claim(life, (IN, 250), ("in:high:default:default", 10))
    assert [(len(r), left) for r, left in got] == [(200, 100), (0, 10)]


def test_claim_again_answers_the_same(news):
    life = news.register()
    fill(news, 10)
    fill(news, 1, "high:default:default")
    wants = [(IN, 3), ("in:bulk:default:default", 3), ("in:high:default:default", 3)]
    first = news.claim(life, *wants, number=7)
    assert news.claim(life, *wants, number=7) == first
    assert len(news.list(IN)) == 7
    assert news.claim(life, *wants, number=7, worker=1) != first
    assert news.claim(life, (IN, 1), number=8)[0][1] == 3


def test_claim_needs_a_lease(news):
    fill(news, 3)
    refused(lambda: news.claim("n1:1", (IN, 1)), "VOLLEYFENCED")
    life = news.register()
    news.claim(life, (IN, 1))
    news.redis.hset(BASE + "nodes", life, f"{news.now_ms() - 1} here")
    refused(lambda: news.claim(life, (IN, 1)), "VOLLEYFENCED", "renew first")
    news.renew(life)
    news.claim(life, (IN, 1))
    newer = news.register()
    refused(lambda: news.claim(life, (IN, 1)), "VOLLEYFENCED")
    refused(lambda: news.renew(life), "VOLLEYFENCED")
    assert len(news.claim(newer, (IN, 1))[0][0]) == 1


def test_unreadable_records_are_put_aside(news):
    life = news.register()
    fill(news, 1)
    news.redis.lpush(BASE + IN, b"", b"\x01", b"\x01\x01\xff", b"garbage" * 3)
    ((records, left),) = news.claim(life, (IN, 10))
    assert left == 0 and [record_id(r) for r in records][-1].endswith(".1")
    assert news.redis.llen(BASE + "broken") == 5 - len(records)
    assert not news.redis.exists(BASE + IN)


# ---- outcomes --------------------------------------------------------------------------------


def test_done_removes_and_writes_one_entry(news):
    life, ids, _ = claimed(news)
    assert news.done(life, ids[:3]) == [3, 0]
    assert news.redis.xlen(BASE + "events") == 1
    assert news.events() == "".join(f'{{"id":"{i}"}}\n' for i in ids[:3])
    assert news.redis.hmget(BASE + "owned:" + life, ids)[:3] == [None] * 3
    assert news.redis.hget(META, "out") == b"3"


def test_done_repeated_is_done_once(news):
    life, ids, _ = claimed(news)
    assert news.done(life, ids[:2], number=1) == [2, 0]
    assert news.done(life, ids[:2], number=1) == [-1, 0]
    assert news.redis.xlen(BASE + "events") == 1 and news.redis.hget(META, "out") == b"2"
    assert news.done(life, ids[2:3], number=1, worker=1) == [1, 0]
    assert news.done(life, ids[3:4], number=2) == [1, 0]


def test_done_of_others_is_late(news):
    life, ids, _ = claimed(news)
    lines = '{"id":"0"}\n{"id":"x"}\n{"site":"s"}\n'
    assert news.done(life, [ids[0], ids[1], "x.1"], lines=lines, marks="101") == [2, 1]
    assert news.events() == '{"id":"0"}\n{"id":"x","late":true}\n{"site":"s"}\n'


def test_done_without_events(news):
    life, ids, _ = claimed(news)
    assert news.done(life, ids, lines="", marks="00000") == [5, 0]
    assert not news.redis.exists(BASE + "events")


def test_done_drops_the_body_with_the_last_recipient(queue):
    life = queue.register()
    ident = queue.submit("data", LETTER, "to", "a@x.example", "to", "b@x.example")
    queue.claim(life, (IN, 2))
    body = "body:" + ident
    queue.done(life, [ident + ".2"], number=1, marks="3", bodies=[body])
    assert queue.redis.hget(BASE + body, "left") == b"1"
    queue.done(life, [ident + ".2"], number=2, marks="3", bodies=[body])
    assert queue.redis.hget(BASE + body, "left") == b"1"
    queue.done(life, [ident + ".1"], number=3, marks="2", lines="", bodies=[body])
    assert not queue.redis.exists(BASE + body)
    queue.submit("data", LETTER, "to", "a@x.example")
    ((records, _),) = queue.claim(life, (IN, 2))
    with pytest.raises(redis.ResponseError, match="key not declared"):
        queue.done(life, [record_id(records[0])], number=4, marks="3")
    assert queue.redis.hexists(BASE + "owned:" + life, record_id(records[0]))


def test_events_are_trimmed(news):
    life = news.register()
    fill(news, 400)
    for n in range(1, 401):
        ((records, _),) = news.claim(life, (IN, 1))
        news.done(life, [record_id(records[0])], number=n, trim=100)
    assert 100 <= news.redis.xlen(BASE + "events") <= 200


def test_defer_puts_the_new_record_into_due(news):
    life, ids, records = claimed(news)
    jobs = [(ids[0], 1, 1000, records[0] + b"\x14\x02\x00ab"), (ids[1], 3, 2000, records[1]),
            ("x.1", 2, 3000, b"x")]
    assert news.defer(life, jobs) == [2, 1]
    assert news.redis.zrange(BASE + "due:high", 0, -1,
                             withscores=True) == [(records[0] + b"\x14\x02\x00ab", 1000)]
    assert news.redis.zrange(BASE + "due:bulk", 0, -1, withscores=True) == [(records[1], 2000)]
    assert not news.redis.exists(BASE + "due:normal")
    assert '{"id":"x.1","late":true}' in news.events()
    assert news.redis.hget(META, "out") is None
    assert news.defer(life, jobs) == [-1, 0]


def test_park_fills_bins_and_maps_domains(news):
    life, ids, records = claimed(news)
    google = "bin:normal:default:default:google"
    assert news.park(life, [(ids[0], google, "gmail.com"), (ids[1], google, "b.example"),
                            (ids[2], "bin:normal:default:default:mx.b.example",
                             "c.example")]) == [3, 0]
    assert news.list(google) == records[:2]
    assert news.redis.hmget(BASE + "site", "gmail.com", "b.example", "c.example") == [
        b"google", b"google", b"mx.b.example"]
    assert set(news.bins()) == {google, "bin:normal:default:default:mx.b.example"}
    # What is submitted from now on goes to the bin, behind.
    news.submit("to", "late@GMAIL.com", "message", "news")
    news.rows(["message", "news"], ["to"], ["x@gmail.com"], ["x@elsewhere.example"])
    assert [record(r)["to"] for r in news.list(google)][2:] == ["late@gmail.com", "x@gmail.com"]
    assert [record(r)["to"] for r in news.list(IN)] == ["x@elsewhere.example"]


def test_an_emptied_bin_unmaps_its_domains(news):
    life, ids, _ = claimed(news, 3)
    google = "bin:normal:default:default:google"
    news.park(life, [(i, google, "b.example") for i in ids])
    news.claim(life, (google, 2))
    assert news.redis.hget(BASE + "site", "b.example") == b"google"
    news.claim(life, (google, 2))
    assert not news.redis.exists(BASE + "site")
    assert google not in news.bins()


def test_site_names_may_hold_colons(news):
    life, ids, _ = claimed(news, 1)
    name = "bin:normal:default:default:[2001:db8::1]:25"
    news.park(life, [(ids[0], name, "b.example")])
    assert news.redis.hget(BASE + "site", "b.example") == b"[2001:db8::1]:25"
    news.submit("to", "x@b.example", "message", "news")
    assert len(news.list(name)) == 2


def test_return_goes_to_the_front_in_order(news):
    life, ids, records = claimed(news, 5)
    fill(news, 2)
    assert news.give_back(life, [(i, IN) for i in ids]) == [5, 0]
    assert news.list(IN)[:5] == records and len(news.list(IN)) == 7
    assert news.give_back(life, [(ids[0], IN)], number=2) == [0, 1]
    assert news.redis.hget(META, "out") is None


def test_200_outcomes_and_not_more(news):
    life = news.register()
    ids = [f"{'0' * 26}.{i}" for i in range(201)]
    assert news.done(life, ids[:200]) == [0, 200]
    refused(lambda: news.done(life, ids, number=2), "VOLLEYBAD", "at most 200")
    refused(lambda: news.defer(life, [(i, 1, 1, "r") for i in ids], number=2), "VOLLEYBAD",
            "at most 200")
    refused(lambda: news.park(life, [(i, "bin:bulk:a:b:c", "d") for i in ids], number=2),
            "VOLLEYBAD")
    refused(lambda: news.give_back(life, [(i, IN) for i in ids], number=2), "VOLLEYBAD")


def test_an_outcome_that_names_no_list_changes_nothing(news):
    life, ids, _ = claimed(news, 2)
    with pytest.raises(redis.ResponseError, match="names no list"):
        news.give_back(life, [(ids[0], IN), (ids[1], "meta")])
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        news.redis.set(BASE + "events", "x")
        news.done(life, ids)
    assert news.redis.hexists(BASE + "owned:" + life, ids[0])
    assert news.redis.hexists(BASE + "owned:" + life, ids[1])


# ---- nodes -----------------------------------------------------------------------------------


def test_register_gives_epochs_and_ends_former_lives(news):
    first = news.register()
    second = news.register()
    assert (first, second) == ("n1:1", "n1:2")
    assert news.renew(second) == ["n1:1"]
    third = news.register("n2")
    assert third == "n2:3"
    assert news.renew(third) == ["n1:1"]


def test_an_id_in_use_elsewhere_is_refused(news):
    life = news.register("n1", "host-a:/var/lib/volley")
    refused(lambda: news.register("n1", "host-b:/var/lib/volley"), "VOLLEYHELD",
            "in use by host-a:/var/lib/volley")
    news.redis.hset(BASE + "nodes", life, f"{news.now_ms() - 1} host-a:/var/lib/volley")
    assert news.register("n1", "host-b:/var/lib/volley") == "n1:2"


def test_takeover_returns_to_the_front_and_removes_the_life(news):
    dead, ids, records = claimed(news, 5)
    fill(news, 1)
    mine = news.register("n2")
    refused(lambda: news.takeover(mine, dead, [(ids[0], IN)]), "VOLLEYALIVE")
    news.register("n1")  # the same node again: its former life is over
    assert news.takeover(mine, dead) == 0
    assert news.takeover(mine, dead, [(i, IN) for i in ids[:3]]) == 3
    assert news.list(IN)[:3] == records[:3]
    # A zombie: its claim is refused, what it still owned counts, what was taken is late.
    refused(lambda: news.claim(dead, (IN, 1)), "VOLLEYFENCED")
    assert news.done(dead, [ids[0], ids[3]]) == [1, 1]
    assert news.events() == f'{{"id":"{ids[0]}","late":true}}\n{{"id":"{ids[3]}"}}\n'
    assert news.takeover(mine, dead, [(ids[3], IN), (ids[4], IN)]) == 1
    assert news.takeover(mine, dead) == 1
    assert not news.redis.hexists(BASE + "nodes", dead)
    assert not news.redis.exists(BASE + "owned:" + dead)
    # Its outcomes are late now, and leave nothing behind.
    assert news.done(dead, [ids[4]], number=2) == [0, 1]
    assert not news.redis.exists(BASE + "owned:" + dead)
    refused(lambda: news.takeover("n9:9", dead), "VOLLEYFENCED")


def test_nobody_is_dead_before_everybody_could_come_back(news):
    short = source("volley_1").replace("local LEASE_MS = 15000", "local LEASE_MS = 400")
    news.redis.function_load(short, replace=True)
    dead, ids, _ = claimed(news, 1)
    mine = news.register("n2")
    # Redis was away for longer than the leases: library and clocks begin anew.
    news.redis.hset(BASE + "nodes", dead, f"{news.now_ms() - 60000} here")
    news.redis.function_load(short, replace=True)
    assert news.renew(mine) == []
    refused(lambda: news.takeover(mine, dead, [(ids[0], IN)]), "VOLLEYALIVE")
    deadline = time.time() + 5
    while news.renew(mine) != [dead]:
        assert time.time() < deadline
        time.sleep(0.02)
    assert news.takeover(mine, dead, [(ids[0], IN)]) == 1


def test_an_orderly_end_takes_over_from_itself(news):
    life, ids, records = claimed(news, 2)
    assert news.takeover(life, life, [(i, IN) for i in ids]) == 2
    assert news.takeover(life, life) == 1
    assert news.list(IN) == records and not news.redis.hexists(BASE + "nodes", life)


def test_check(news):
    life, ids, _ = claimed(news, 3)
    news.done(life, ids[1:2])
    assert news.call("volley_1_check", [f"owned:{life}"], *ids, "x.1") == b"1010"
    assert news.call("volley_1_check", [f"owned:{life}"]) == b""


def test_quarantine(news):
    life, ids, records = claimed(news, 3)
    keys = [f"owned:{life}", "broken"]
    assert news.call("volley_1_quarantine", keys, 0, 1, ids[0], "x.1") == [1, 1]
    assert news.call("volley_1_quarantine", keys, 0, 1, ids[0]) == [-1, 0]
    assert news.call("volley_1_quarantine", keys, 0, 0, ids[1]) == [1, 0]
    assert news.list("broken") == records[:2]


# ---- due -------------------------------------------------------------------------------------


def test_promote_in_time_and_order(news):
    now = news.now_ms()
    life, ids, records = claimed(news, 5)
    news.defer(life, [(ids[0], 2, now - 10, records[0]), (ids[1], 2, now - 20, records[1]),
                      (ids[2], 2, now + 60000, records[2]), (ids[3], 1, now - 1, records[3])])
    at, later, count, *lists = news.due()
    assert at >= now and later == now + 60000 and count == 3 and lists == [IN]
    assert news.promote(lists) == 3
    assert news.list(IN) == [records[3], records[1], records[0]]  # high first, then by time
    assert news.due()[2:] == [0]
    assert news.redis.zcard(BASE + "due:normal") == 1


def test_promote_only_to_declared_lists_and_200_at_most(news):
    life = news.register()
    fill(news, 205)
    fill(news, 5, "bulk:default:t")
    number = 0
    for name, klass in ((IN, 2), ("in:bulk:default:t", 3)):
        while True:
            ((records, _),) = news.claim(life, (name, 200))
            if not records:
                break
            number += 1
            news.defer(life, [(record_id(r), klass, 1, r) for r in records], number=number,
                       lines="")
    assert news.due()[2] == 200
    assert news.promote([IN]) == 200
    assert set(news.due()[3:]) == {IN, "in:bulk:default:t"}
    assert news.promote([IN]) == 5
    assert news.promote([IN]) == 0
    assert news.promote(["in:bulk:default:t"]) == 5
    assert news.due()[1:] == [0, 0]


def test_promote_to_the_bin_of_a_slow_site(news):
    life, ids, records = claimed(news, 2)
    google = "bin:normal:default:default:google"
    news.defer(life, [(ids[0], 2, 1, records[0])], number=1)
    news.park(life, [(ids[1], google, "b.example")], number=2)
    assert news.due()[3:] == [google]
    news.promote([google])
    assert news.list(google) == [records[1], records[0]]


def test_unreadable_due_records_do_not_block(news):
    news.redis.zadd(BASE + "due:high", {b"rubbish": 1, b"\x01\x00\x02ab\x05x:y:z\x01a": 2})
    assert news.due()[2] == 2
    assert news.promote([]) == 2
    assert news.redis.llen(BASE + "broken") == 2 and not news.redis.exists(BASE + "due:high")


# ---- index, bells, figures -------------------------------------------------------------------


def test_index_changes_are_found_behind_the_last_seen(news):
    life = news.register()
    fill(news, 1, "bulk:default:a")
    fill(news, 1, "bulk:default:b")
    pairs = news.redis.zrangebyscore(BASE + "bins", "-inf", "+inf", withscores=True)
    assert text([p[0] for p in pairs]) == ["in:bulk:default:a", "in:bulk:default:b"]
    news.claim(life, ("in:bulk:default:a", 1))
    fill(news, 1, "bulk:default:a")
    fill(news, 1, "bulk:default:b")
    fresh = news.redis.zrangebyscore(BASE + "bins", f"({pairs[-1][1]}", "+inf")
    assert text(fresh) == ["in:bulk:default:a"]


def test_bells_ring_once_for_each_filling_and_do_not_pile_up(news):
    life = news.register()
    fill(news, 3)
    fill(news, 3)
    assert news.redis.lrange(BASE + "bell:normal", 0, -1) == [IN.encode()]
    for _ in range(100):
        news.claim(life, (IN, 100))
        fill(news, 1)
    assert news.redis.llen(BASE + "bell:normal") == 32


def test_stats(news):
    life, ids, records = claimed(news, 5)
    news.done(life, ids[:2], number=1)
    news.defer(life, [(ids[2], 2, 1, records[2])], number=2)
    flat = text(news.call("volley_1_stats", ["meta", "nodes", "bins", "due:high", "due:normal",
                                             "due:bulk",
                                             "events", "site"]))
    figures = dict(zip(flat[::2], flat[1::2]))
    assert figures["submitted"] == 5 and figures["ended"] == 2 and figures["due_normal"] == 1
    assert figures["events"] == 2 and figures["lists"] == 0 and f"node:{life}" in figures


def test_memory_of_waiting_jobs(news):
    def used():
        return news.redis.info("memory")["used_memory"]

    before = used()
    for _ in range(100):
        news.rows(["message", "news", "campaign", "spring", "class", "bulk"],
                  ["to", "v:name", "v:link"],
                  *[[f"recipient{i}@domain{i}.example", f"Name {i}",
                     "https://www.example.com/" + "x" * 150]
                    for i in range(200)])
    size = len(news.list("in:bulk:default:default")[0])
    each = (used() - before) / 20000
    assert 280 <= size <= 320 and each <= 450, (size, each)
