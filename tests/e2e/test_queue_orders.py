"""test_queue_orders.py - orders as any client of Redis places them."""

import pytest

from queue_library import BASE, META, news, queue, refused, server, text


def place(queue, *fields):
    return text(queue.call("volley_order", ["meta"], *fields))


def resume(queue, *fields):
    return text(queue.call("volley_resume", ["meta"], *fields))


def orders(queue):
    rows = text(queue.call("volley_orders", ["meta"]))
    return [dict(zip(row[::2], row[1::2])) for row in rows]


def version(queue):
    return int(queue.redis.hget(META, "orders") or 0)


def test_an_order_is_placed_listed_and_lifted(queue):
    before = queue.now_ms()
    assert place(queue, "kind", "pause", "tenant", "acme", "campaign", "spring") == "o1"
    assert place(queue, "kind", "cancel", "domain", "Example.COM", "for", "2h") == "o2"
    first, second = orders(queue)
    assert first["id"] == "o1" and first["kind"] == "pause" and first["state"] == "in-force"
    assert first["campaign"] == "spring" and first["tenant"] == "acme"
    assert first["expires_ms"] == "0" and first["held"] == 0 and first["ended"] == 0
    assert second["domain"] == "example.com"
    assert 0 <= int(second["expires_ms"]) - before - 7200000 < 60000
    assert queue.redis.hget(BASE + "orders", "o1").endswith(b" 0 campaign=spring tenant=acme")
    assert version(queue) == 2
    assert resume(queue, "campaign", "spring", "tenant", "acme") == ["o1"]
    assert [o["state"] for o in orders(queue)] == ["lifting", "in-force"]
    assert resume(queue, "id", "o2") == ["o2"]
    assert version(queue) == 4
    assert resume(queue, "id", "o2") == ["o2"]
    assert version(queue) == 4


def test_a_cancel_lasts_a_day_and_a_pause_until_resumed(queue):
    before = queue.now_ms()
    for kind in ("pause", "hold", "cancel", "retry"):
        place(queue, "kind", kind, "class", "bulk")
    ends = {o["kind"]: int(o["expires_ms"]) for o in orders(queue)}
    assert ends["pause"] == ends["hold"] == 0
    assert 0 <= ends["cancel"] - before - 86400000 < 60000


def test_the_same_order_again_is_the_same_order(queue):
    assert place(queue, "kind", "cancel", "tag", "a", "for", "1h") == "o1"
    end = int(orders(queue)[0]["expires_ms"])
    assert place(queue, "kind", "cancel", "tag", "a", "for", "3h") == "o1"
    assert int(orders(queue)[0]["expires_ms"]) >= end + 7200000
    assert place(queue, "kind", "hold", "tag", "a") == "o2"
    assert place(queue, "id", "mine", "kind", "hold", "tag", "a") == "mine"
    assert place(queue, "kind", "hold", "id", "mine", "tag", "a") == "mine"
    refused(lambda: place(queue, "id", "mine", "kind", "hold", "tag", "b"), "VOLLEYCONFLICT")
    refused(lambda: place(queue, "id", "mine", "kind", "pause", "tag", "a"), "VOLLEYCONFLICT")
    assert sorted(resume(queue, "tag", "a")) == ["mine", "o2"]


def test_an_order_that_is_over_is_not_repeated(queue):
    place(queue, "kind", "pause", "tag", "a", "for", "1s")
    queue.redis.hset(BASE + "orders", "o1", f"pause 1 {queue.now_ms() - 1} tag=a")
    assert [o["state"] for o in orders(queue)] == ["over"]
    assert place(queue, "kind", "pause", "tag", "a") == "o2"


@pytest.mark.parametrize("fields, pattern", [
    ((), "kind: missing"),
    (("kind", "stop", "tag", "a"), "pause, hold, cancel, retry"),
    (("kind", "pause"), "says of no job"),
    (("kind", "pause", "colour", "red"), "colour: orders have campaign"),
    (("kind", "pause", "tenant"), "tenant: has no value"),
    (("kind", "pause", "tenant", "a", "tenant", "b"), "tenant: is given twice"),
    (("kind", "pause", "tenant", "a b"), "tenant: 'a b' is not a name"),
    (("kind", "pause", "class", "low"), "class: 'low'"),
    (("kind", "pause", "domain", "a..b"), "domain: .*empty label"),
    (("kind", "pause", "site", "a b"), "site: .*not the name of a site"),
    (("kind", "pause", "all", "no"), "all: 'no'"),
    (("kind", "pause", "all", "yes", "tag", "a"), "all: stands alone"),
    (("kind", "pause", "tag", "a", "for", "soon"), "for: 'soon' is not a duration"),
    (("kind", "pause", "tag", "a", "for", "5ms"), "for: must be at least 1s"),
    (("kind", "pause", "tag", "a", "id", "a#ended"), "id: .*not a name"),
])
def test_what_an_order_cannot_say(queue, fields, pattern):
    refused(lambda: place(queue, *fields), "VOLLEYBAD", pattern)
    assert version(queue) == 0 and not queue.redis.exists(BASE + "orders")


def test_what_cannot_be_resumed(queue):
    place(queue, "kind", "cancel", "tag", "a")
    place(queue, "kind", "pause", "tag", "a", "tenant", "t")
    refused(lambda: resume(queue), "VOLLEYBAD", "give the id of an order")
    refused(lambda: resume(queue, "id", "o9"), "VOLLEYBAD", "no order 'o9'")
    refused(lambda: resume(queue, "id", "o1", "tag", "a"), "VOLLEYBAD", "give the id")
    refused(lambda: resume(queue, "tag", "a"), "VOLLEYBAD", "no pause or hold says exactly 'tag=a'")


def test_everything_and_a_site_with_a_colon(queue):
    assert place(queue, "kind", "pause", "all", "yes") == "o1"
    assert place(queue, "kind", "pause", "site", "[2001:db8::1]:25") == "o2"
    assert [o.get("all") or o.get("site") for o in orders(queue)] == ["yes", "[2001:db8::1]:25"]
    assert resume(queue, "all", "yes") == ["o1"]


def test_orders_have_a_limit(queue):
    for n in range(200):
        place(queue, "kind", "hold", "tag", f"t{n}")
    refused(lambda: place(queue, "kind", "hold", "tag", "more"), "VOLLEYFULL")
    assert place(queue, "kind", "hold", "tag", "t7") == "o8"


def test_orders_are_placed_when_redis_is_full(queue):
    queue.redis.config_set("maxmemory", 1)
    try:
        assert place(queue, "kind", "cancel", "all", "yes") == "o1"
        assert len(orders(queue)) == 1
        assert resume(queue, "id", "o1") == ["o1"]
    finally:
        queue.redis.config_set("maxmemory", 0)


def test_a_wrong_key_changes_nothing(queue):
    queue.redis.set(BASE + "orders", "x")
    refused(lambda: place(queue, "kind", "cancel", "all", "yes"), "WRONGTYPE")
    refused(lambda: queue.redis.fcall("volley_order", 1, "other", "kind", "hold"), "VOLLEYBAD",
            "key: give 1 key")
    assert version(queue) == 0
