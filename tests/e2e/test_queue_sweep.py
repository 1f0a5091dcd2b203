"""test_queue_sweep.py - the calls by which an engine walks what nobody claims."""

import pytest
import redis

from queue_library import (BASE, IN, META, claimed, fill, news, queue, record, record_id, refused,
                           server, text)

BIN = "bin:normal:default:default:google"


def ids_of(records):
    return [record_id(r) for r in records]


def swept(queue, life, name, wanted, **more):
    """Takes the records of the first 100 whose place is in `wanted`."""
    _, _, _, records = queue.sweep(life, name, **more)
    marks = "".join("1" if i in wanted else "0" for i in range(len(records)))
    return records, marks


def owned(queue, life):
    fields = queue.redis.hgetall(BASE + "owned:" + life)
    return {k.decode() for k in fields if not k.startswith(b"#")}


# ---- lists -----------------------------------------------------------------------------------


def test_what_is_taken_is_owned_and_the_rest_goes_round(news):
    life = news.register()
    fill(news, 250)
    before = ids_of(news.list(IN))
    records, marks = swept(news, life, IN, {0, 5, 99})
    assert ids_of(records) == before[:100]
    processed, taken, left, more = news.sweep(life, IN, number=2, marks=marks, ids=ids_of(records))
    assert (processed, taken, left) == (100, marks, 247)
    assert owned(news, life) == {before[0], before[5], before[99]}
    after = ids_of(news.list(IN))
    rest = [i for n, i in enumerate(before[:100]) if n not in (0, 5, 99)]
    assert after == before[100:] + rest
    assert ids_of(more) == before[100:200]


def test_a_whole_round_keeps_the_order(news):
    life = news.register()
    fill(news, 230)
    before = ids_of(news.list(IN))
    left, number, records = 230, 2, news.sweep(life, IN)[3]
    while left > 0:
        window = records[:left]
        marks = "".join("1" if before.index(i) % 7 == 3 else "0" for i in ids_of(window))
        processed, _, _, records = news.sweep(life, IN, number=number, marks=marks,
                                              ids=ids_of(window))
        left, number = left - processed, number + 1
    assert ids_of(news.list(IN)) == [i for n, i in enumerate(before) if n % 7 != 3]
    assert owned(news, life) == {i for n, i in enumerate(before) if n % 7 == 3}


def test_a_call_repeated_takes_once(news):
    life = news.register()
    fill(news, 10)
    records, marks = swept(news, life, IN, {1, 2})
    first = news.sweep(life, IN, number=2, marks=marks, ids=ids_of(records))
    assert news.sweep(life, IN, number=2, marks=marks, ids=ids_of(records)) == first
    assert len(news.list(IN)) == 8 and len(owned(news, life)) == 2


def test_it_ends_where_the_list_is_not_as_it_was(news):
    life = news.register()
    fill(news, 10)
    records, marks = swept(news, life, IN, {0, 1, 2, 3})
    ((first, _),) = news.claim(life, (IN, 2))
    # Others have claimed the first: nothing is where it was seen.
    assert news.sweep(life, IN, number=2, marks=marks, ids=ids_of(records))[:2] == (0, "")
    news.give_back(life, [(i, IN) for i in ids_of(first)])
    stranger = ids_of(records)[:3] + ["x.1"] + ids_of(records)[4:]
    assert news.sweep(life, IN, number=3, marks=marks, ids=stranger)[:2] == (3, "111")
    assert owned(news, life) == set(ids_of(records)[:3])


def test_an_emptied_bin_leaves_the_index_and_the_map(news):
    life, ids, _ = claimed(news, 3)
    news.park(life, [(i, BIN, "b.example") for i in ids])
    records, marks = swept(news, life, BIN, {0, 1, 2}, number=2)
    assert news.sweep(life, BIN, number=3, marks=marks, ids=ids_of(records))[2] == 0
    assert not news.redis.exists(BASE + BIN, BASE + "site") and news.bins() == []
    assert owned(news, life) == set(ids)


def test_from_the_middle(news):
    life = news.register()
    fill(news, 300)
    before = ids_of(news.list(IN))
    for place, number in ((50, 2), (180, 4)):
        _, _, _, records = news.sweep(life, IN, at=place)
        marks = "1" + "0" * 48 + "1" + "0" * 50
        assert news.sweep(life, IN, number=number, place=place, marks=marks,
                          ids=ids_of(records))[1] == marks
    gone = {before[50], before[99], before[182], before[231]}
    assert owned(news, life) == gone
    assert ids_of(news.list(IN)) == [i for i in before if i not in gone]
    # What has moved on is not taken for its neighbour.
    assert "1" not in news.sweep(life, IN, number=5, place=0, marks="1", ids=["x.1"])[1]


def test_a_sweep_needs_a_lease_and_has_limits(news):
    fill(news, 1)
    refused(lambda: news.sweep("n1:1", IN), "VOLLEYFENCED")
    life = news.register()
    refused(lambda: news.sweep(life, IN, count=201), "VOLLEYBAD")
    refused(lambda: news.sweep(life, IN, marks="0" * 201), "VOLLEYBAD")
    with pytest.raises(redis.ResponseError, match="not volley:{0}:nodes|first key"):
        news.call("volley_1_sweep", ["meta", "a", "b", "c", IN], life, 1, -1, "", 0, 1)


def test_a_list_of_the_wrong_type_changes_nothing(news):
    life = news.register()
    news.redis.set(BASE + IN, "x")
    refused(lambda: news.sweep(life, IN, number=2, marks="1", ids=["x.1"]), "WRONGTYPE")
    assert owned(news, life) == set()


def test_unreadable_records_go_round(news):
    life = news.register()
    fill(news, 1)
    news.redis.rpush(BASE + IN, b"", b"\x01", b"junk" * 9)
    records = news.list(IN)
    ids = [record_id(r) if len(r) > 3 and len(r) > 3 + r[2] else "" for r in records]
    assert news.sweep(life, IN, number=2, marks="1000", ids=ids)[:3] == (4, "1000", 3)
    assert news.list(IN) == records[1:]


# ---- what is due later -----------------------------------------------------------------------


def due(queue, count, at):
    life, ids, records = claimed(queue, count)
    queue.defer(life, [(i, 2, at + n, r) for n, (i, r) in enumerate(zip(ids, records))])
    return life, ids, records


def test_due_jobs_are_taken_or_become_due_at_once(news):
    later = news.now_ms() + 3600000
    life, ids, records = due(news, 6, later)
    processed, taken, left, seen = news.sweep_due(life, "due:normal")
    assert (processed, taken, left) == (0, "", 6)
    assert seen == records[::-1]
    answer = news.sweep_due(life, "due:normal", number=2, marks="120002", records=seen)
    assert answer[:3] == (6, "110001", 5)
    assert owned(news, life) == {ids[5]}
    scores = dict(news.redis.zrange(BASE + "due:normal", 0, -1, withscores=True))
    assert scores[records[4]] <= news.now_ms() and scores[records[0]] <= news.now_ms()
    assert scores[records[1]] == later + 1
    assert news.promote([IN]) == 2
    # Repeated, and for what has been promoted meanwhile.
    assert news.sweep_due(life, "due:normal", number=2, marks="120002", records=seen)[1] == "110001"
    assert news.sweep_due(life, "due:normal", number=3, marks="12", records=seen[:2])[1] == "00"
    assert owned(news, life) == {ids[5]}


def test_what_is_due_already_is_left_to_promotion(news):
    life, _, records = due(news, 2, 1000)
    assert news.sweep_due(life, "due:normal", number=2, marks="22", records=records)[1] == "00"


def test_only_due_keys_are_walked(news):
    life = news.register()
    with pytest.raises(redis.ResponseError, match="due:<class>"):
        news.sweep_due(life, IN)


# ---- aside, and back -------------------------------------------------------------------------


def place(queue, *fields):
    return text(queue.call("volley_order", ["meta"], *fields))


def held(queue, order):
    return queue.list("held:" + order)


def test_jobs_stand_aside_and_come_back_in_order(news):
    order = place(news, "kind", "hold", "domain", "b.example")
    life, ids, records = claimed(news, 5)
    assert news.set_aside(life, [(i, order) for i in ids]) == [5, 0]
    assert news.set_aside(life, [(i, order) for i in ids]) == [-1, 0]
    assert held(news, order) == records and owned(news, life) == set()
    fill(news, 1)
    assert news.release(order) == 0
    news.call("volley_resume", ["meta"], "id", order)
    assert news.release(order, [(i, IN) for i in ids[:3]]) == 3
    assert news.release(order, [(i, IN) for i in ids[:3]]) == 0
    assert news.release(order, [(i, IN) for i in ids[3:]]) == 2
    assert news.list(IN)[1:] == records
    version = int(news.redis.hget(META, "orders"))
    assert news.release(order, version=version - 1) == 0  # somebody has placed it again
    assert news.release(order) == 1
    assert news.redis.hkeys(BASE + "orders") == []
    assert int(news.redis.hget(META, "orders")) == version + 1


def test_release_rings_the_bell_and_enters_the_index(news):
    order = place(news, "kind", "hold", "all", "yes")
    life, ids, _ = claimed(news, 2)
    news.set_aside(life, [(i, order) for i in ids])
    news.redis.delete(BASE + "bell:normal")
    assert news.bins() == []
    news.release(order, [(i, IN) for i in ids])
    assert news.bins() == [IN]
    assert news.redis.lrange(BASE + "bell:normal", 0, -1) == [IN.encode()]


def test_what_comes_aside_for_an_order_that_is_gone_can_come_back(news):
    life, ids, records = claimed(news, 2)
    assert news.set_aside(life, [(i, "o7") for i in ids]) == [2, 0]
    (row,) = text(news.call("volley_orders", ["meta"]))
    order = dict(zip(row[::2], row[1::2]))
    assert order["id"] == "o7" and order["state"] == "lifting" and order["held"] == 2


def test_jobs_of_others_do_not_stand_aside(news):
    life, ids, _ = claimed(news, 2)
    assert news.set_aside(life, [(ids[0], "o1"), ("x.1", "o1")]) == [1, 1]
    with pytest.raises(redis.ResponseError, match="names no order"):
        news.call("volley_1_set_aside", [f"owned:{life}", "orders", "meta", IN], 0, 2, ids[1], 4)
    assert owned(news, life) == {ids[1]}


def test_a_broken_record_aside_is_put_away(news):
    news.redis.rpush(BASE + "held:o1", b"junk")
    assert news.release("o1", [("", None)]) == 1
    assert news.redis.lrange(BASE + "broken", 0, -1) == [b"junk"]


# ---- small things ----------------------------------------------------------------------------


def test_one_walks_at_a_time(news):
    def lock(life, ms):
        return news.call("volley_1_sweep_lock", ["sweeper"], life, ms)

    assert lock("n1:1", 60000) == 1 and lock("n1:1", 60000) == 1 and lock("n2:2", 60000) == 0
    news.redis.delete(BASE + "sweeper")
    assert lock("n2:2", 60000) == 1


def test_ended_jobs_are_counted_for_orders_there_are(news):
    order = place(news, "kind", "cancel", "all", "yes")
    news.call("volley_1_tally", ["orders"], order, 5, "o9", 2)
    news.call("volley_1_tally", ["orders"], order, 3)
    (row,) = text(news.call("volley_orders", ["meta"]))
    assert dict(zip(row[::2], row[1::2]))["ended"] == 8
    assert news.redis.hlen(BASE + "orders") == 2
    now, version, flat = news.call("volley_1_orders", ["meta", "orders"])
    assert version == 1 and len(flat) == 4 and abs(now - news.now_ms()) < 60000


def test_a_key_that_is_no_list_does_not_stop_a_claim(news):
    life = news.register()
    fill(news, 3)
    poisoned = "in:bulk:default:poisoned"
    news.redis.set(BASE + poisoned, "x")
    news.redis.zadd(BASE + "bins", {poisoned: 99})
    wants = [(poisoned, 5), (IN, 2), ("in:bulk:default:other", 0)]
    got = news.claim(life, *wants, number=1)
    assert [(len(records), left) for records, left in got] == [(0, -1), (2, 1), (0, 0)]
    assert news.claim(life, *wants, number=1) == got
    assert news.bins() == [IN]
