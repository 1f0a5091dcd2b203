"""test_queue_suppress.py - the suppression list as Redis keeps it."""

import random
import time

import pytest

from queue_library import queue, refused, server, text

LIST = "volley:suppress:{list}:"


class Suppress:
    def __init__(self, queue):
        self.redis = queue.redis

    def call(self, name, *args):
        return text(self.redis.fcall(f"volley_suppress_{name}", 1, LIST + "meta", *args))

    def add(self, *fields):
        return self.call("add", *fields)

    def remove(self, *fields):
        return self.call("remove", *fields)

    def find(self, *fields):
        return [tuple(entry[:4]) for entry in self.call("find", *fields)]

    def tenants(self):
        cursor, names = "0", {}
        while True:
            page = self.call("tenants", cursor)
            names.update(zip(page[1::2], page[2::2]))
            cursor = page[0]
            if cursor == "0":
                return names

    def all(self, tenant, about=100):
        cursor, entries = "0", []
        while True:
            page = self.call("list", tenant, cursor, about)
            entries += page[1:]
            cursor = page[0]
            if cursor == "0":
                return entries


@pytest.fixture
def suppress(queue):
    return Suppress(queue)


def test_added_found_removed(suppress):
    before = int(time.time())
    assert suppress.add("to", "Ann@Example.org") == 1
    ((tenant, to, scope, reason, since, expires),) = suppress.call("find", "to", "ann@example.ORG")
    assert (tenant, to, scope, reason, expires) == ("*", "ann@example.org", "all", "", 0)
    assert before - 2 <= since <= time.time() + 2
    assert suppress.add("to", "ann@example.org") == 0
    assert suppress.remove("to", "ANN@EXAMPLE.org") == 1
    assert suppress.remove("to", "ann@example.org") == 0
    assert suppress.find("to", "ann@example.org") == []


def test_an_empty_list_leaves_no_key(suppress):
    """Engines that find no key ask for nothing more."""
    suppress.add("to", "a@b.example", "to", "c@d.example", "tenant", "t", "expires", "1d")
    assert suppress.redis.hget(LIST + "meta", "seq") == b"1"
    suppress.remove("to", "a@b.example")
    assert suppress.redis.exists(LIST + "meta")
    suppress.remove("tenant", "t", "to", "c@d.example")
    assert suppress.redis.keys("volley:suppress*") == []


def test_every_addition_is_seen(suppress):
    suppress.add("to", "a@b.example")
    suppress.add("to", "a@b.example")
    assert suppress.redis.hget(LIST + "meta", "seq") == b"1"
    suppress.add("to", "a@b.example", "scope", "bulk")
    assert suppress.redis.hget(LIST + "meta", "seq") == b"2"


def test_tenants_and_scopes_are_apart(suppress):
    assert suppress.add("reason", "asked", "tenant", "acme", "to", "a@b.example",
                        "scope", "bulk", "to", "a@b.example", "scope", "campaign:may",
                        "to", "c@d.example") == 3
    suppress.add("tenant", "other", "to", "a@b.example")
    suppress.add("to", "a@b.example", "reason", "bounced")
    assert sorted(suppress.find("tenant", "acme", "to", "a@b.example")) == [
        ("*", "a@b.example", "all", "bounced"), ("acme", "a@b.example", "bulk", "asked"),
        ("acme", "a@b.example", "campaign:may", "asked")]
    assert len(suppress.find("to", "a@b.example")) == 4
    assert suppress.find("tenant", "*", "to", "a@b.example") == [
        ("*", "a@b.example", "all", "bounced")]
    assert suppress.remove("tenant", "acme", "scope", "bulk", "to", "a@b.example",
                           "to", "c@d.example") == 1
    assert suppress.tenants() == {"*": 1, "acme": 2, "other": 1}
    assert suppress.remove("tenant", "acme", "to", "a@b.example", "to", "c@d.example") == 2
    assert suppress.tenants() == {"*": 1, "other": 1}


def test_adding_never_shortens(suppress):
    suppress.add("to", "a@b.example", "expires", "10d", "reason", "one")
    assert suppress.add("to", "a@b.example", "expires", "5d", "reason", "two") == 0
    assert suppress.add("to", "a@b.example", "expires", "20d", "reason", "three") == 1
    assert suppress.find("to", "a@b.example") == [("*", "a@b.example", "all", "three")]
    assert suppress.add("to", "a@b.example", "reason", "four") == 1
    assert suppress.add("to", "a@b.example", "expires", "20d") == 0
    assert suppress.add("to", "a@b.example", "expires", "never") == 0
    assert suppress.call("find", "to", "a@b.example")[0][5] == 0


def test_what_has_ended_is_cleared_away(suppress, queue):
    now = queue.now_ms() // 1000
    suppress.add("expires", now + 2, *[v for i in range(50) for v in ("to", f"{i}@b.example")])
    suppress.add("to", "0@b.example", "scope", "bulk")
    assert suppress.add("to", "x@b.example", "expires", now - 1) == 0
    while queue.now_ms() // 1000 <= now + 2:
        time.sleep(0.05)
    assert suppress.find("to", "7@b.example") == [] == suppress.all("t")
    assert suppress.find("to", "0@b.example") == [("*", "0@b.example", "bulk", "")]
    for i in range(3):
        suppress.add("to", f"new{i}@b.example")
    assert suppress.tenants() == {"*": 4}
    assert suppress.redis.exists(LIST + "expiry") == 0


def test_a_long_list_is_walked_in_pages(suppress):
    wanted = {f"u{i}@b.example" for i in range(3000)}
    for page in range(0, 3000, 500):
        suppress.add("tenant", "t", "scope", "bulk", "reason", "import", "since", "1700000000.5",
                     *[v for i in range(page, page + 500) for v in ("to", f"u{i}@b.example")])
    page = suppress.call("list", "t", "0", 50)
    assert page[0] != "0" and len(page) < 500
    entries = suppress.all("t", 50)
    assert {entry[1] for entry in entries} == wanted
    assert {tuple(entry[2:]) for entry in entries} == {("bulk", "import", 1700000000, 0)}
    assert {"t": 3000} == suppress.tenants()


def test_many_tenants(suppress):
    for i in range(250):
        suppress.add("tenant", f"t{i}", "to", "a@b.example")
    assert suppress.tenants() == {f"t{i}": 1 for i in range(250)}
    assert len(suppress.find("to", "a@b.example")) == 250


@pytest.mark.parametrize("call,fields,pattern", [
    ("add", (), "to: missing"),
    ("add", ("to",), "has no value"),
    ("add", ("to", "nobody"), "has no @"),
    ("add", ("tenant", "a b", "to", "a@b.example"), "tenant: 'a b' is not a name"),
    ("add", ("scope", "some", "to", "a@b.example"), "write all, bulk or campaign:<name>"),
    ("add", ("scope", "campaign:", "to", "a@b.example"), "is no scope"),
    ("add", ("expires", "soon", "to", "a@b.example"), "neither a time nor a duration"),
    ("add", ("since", "soon", "to", "a@b.example"), "since: 'soon' is no time"),
    ("add", ("reason", "a\nb", "to", "a@b.example"), "control character"),
    ("add", ("reason", "x" * 301, "to", "a@b.example"), "reason: must have"),
    ("add", ("address", "a@b.example"), "'address': is not one of to, tenant, scope"),
    ("add", ("to", "a@b.example") * 501, "at most 500 addresses"),
    ("remove", ("reason", "x", "to", "a@b.example"), "'reason': is not one of to, tenant, scope"),
    ("find", ("scope", "all", "to", "a@b.example"), "'scope': is not one of to, tenant"),
    ("list", ("a b", "0"), "tenant: 'a b' is not a name"),
    ("list", ("t", "x"), "cursor: is 0 at the start"),
    ("tenants", (), "cursor: is 0 at the start"),
])
def test_refused(suppress, call, fields, pattern):
    refused(lambda: suppress.call(call, *fields), "VOLLEYBAD", pattern)
    assert suppress.redis.keys("volley:suppress*") == []


def test_another_key_is_refused(queue):
    for keys in (["volley:{0}:meta"], [LIST + "of:t"], [LIST + "meta"] * 2):
        refused(lambda: queue.redis.fcall("volley_suppress_add", len(keys), *keys, "to", "a@b.c"),
                "VOLLEYBAD", "volley:suppress:{list}:meta")


def test_scopes_of_an_address_are_bounded(suppress):
    def add(i):
        return suppress.add("to", "a@b.example", "scope", f"campaign:c{i}")

    for i in range(100):
        assert add(i) == 1
    refused(lambda: add(100), "VOLLEYBAD", "100 scopes already; use all")
    assert add(99) == 0
    assert suppress.add("to", "a@b.example") == 1
    refused(lambda: add(100), "VOLLEYBAD", "use all")
    assert len(suppress.find("to", "a@b.example")) == 101


def test_a_wrong_type_changes_nothing(suppress):
    suppress.redis.set(LIST + "expiry", "x")
    refused(lambda: suppress.add("to", "a@b.example"), "WRONGTYPE")
    assert suppress.redis.keys("volley:suppress*") == [(LIST + "expiry").encode()]


def test_against_a_model(suppress, queue):
    """Random additions and removals, compared with what a dictionary says."""
    rng, model = random.Random(7), {}
    names = [f"u{i}@b.example" for i in range(12)]
    scopes, tenants = ["all", "bulk", "campaign:x"], ["*", "t", "u"]
    base = queue.now_ms() // 1000 + 1000
    for _ in range(600):
        tenant, to, scope = rng.choice(tenants), rng.choice(names), rng.choice(scopes)
        if rng.random() < 0.6:
            expires = rng.choice([0, base + rng.randrange(50)])
            old = model.get((tenant, to, scope))
            longer = old is None or old != 0 and (expires == 0 or expires > old)
            assert suppress.add("tenant", tenant, "scope", scope, "expires", expires, "to",
                                to) == longer
            if longer:
                model[tenant, to, scope] = expires
        else:
            which = [scope] if rng.random() < 0.5 else scopes
            gone = [model.pop((tenant, to, s), None) is not None for s in which]
            fields = ["scope", scope] if len(which) == 1 else []
            assert suppress.remove("tenant", tenant, *fields, "to", to) == sum(gone)
    entries = {(e[0], e[1], e[2]): e[5] for t in tenants for e in suppress.all(t)}
    assert entries == model
