"""test_queue_cli.py - `volley queue`: what people and programs see of a queue.

No engine runs in these tests, except where one is named: the commands speak to Redis alone.
"""

import json
import re
import threading

import pytest
import redis

from conftest import TOP
from letters import PLAIN
from process import eventually
from queue_library import (BASE, IN, LETTER, META, Server, claimed, fill, news, queue, record_id,
                           server)
from servers import free_port

GOOGLE = "bin:normal:default:default:google"
LOOKING = [("stats",), ("list",), ("list", "--sample", "50"), ("list", "--orders"),
           ("show", "0" * 26), ("library",)]
ORDERING = [("pause", "--campaign", "c"), ("resume", "--campaign", "c"),
            ("cancel", "--tenant", "t"), ("retry", "--all")]


@pytest.fixture
def cli(box, server):
    def run(*argv, code=0, where=server.path):
        done = box.run("volley", "queue", *argv, "--redis", f"unix:{where}")
        assert done.returncode in (code if isinstance(code, tuple) else (code,)), (argv, done)
        return done

    def asked(*argv, **more):
        return json.loads(run(*argv, "--json", **more).stdout)

    run.json = asked
    return run


def every_state(news):
    """A job in each place; {state: id}."""
    life, ids, records = claimed(news, 6)
    news.park(life, [(ids[0], GOOGLE, "b.example")])
    news.defer(life, [(ids[1], 2, 4102444800000, records[1])], number=2,
               lines='{"event":"%s.1","type":"deferred","text":"a \\"b\\", c"}\n' % ids[1])
    news.redis.hset(BASE + "orders", "o1", "hold 1000 0 campaign=c")
    news.redis.hdel(BASE + f"owned:{life}", ids[2])
    news.redis.rpush(BASE + "held:o1", records[2])
    news.give_back(life, [(ids[3], IN)], number=3)
    return {"parked": ids[0], "due": ids[1], "held": ids[2], "waiting": ids[3], "owned": ids[4]}


# ---- stats -----------------------------------------------------------------------------------


def test_stats_of_nothing(cli, server):
    server.client.flushall()
    server.client.function_flush("SYNC")
    shown = cli.json("stats")
    assert shown["jobs"] == dict.fromkeys(["all", "waiting", "parked", "due", "owned", "held"], 0)
    assert shown["nodes"] == [] and shown["lanes"] == [] and "orders" not in shown
    assert "0 jobs" in cli("stats").stdout


def test_stats_are_exact(cli, news):
    fill(news, 230)
    fill(news, 40, "bulk:slow:acme")
    fill(news, 7, "high:default:default")
    life = news.register("n1", "machine, /var/lib/volley")
    ((records, _),) = news.claim(life, (IN, 30))
    ids = [record_id(r) for r in records]
    now = news.now_ms()
    news.defer(life, [(ids[0], 2, now + 3600000, records[0]), (ids[1], 2, now - 1, records[1])])
    news.park(life, [(i, GOOGLE, "b.example") for i in ids[2:12]], number=2)
    news.park(life, [(ids[12], "bin:normal:default:default:a:b", "c.example")], number=3)
    news.redis.xgroup_create(BASE + "events", "reader", id="0")
    news.redis.hset(META, mapping={"max_jobs": 5000, "max_memory": 123456789})
    news.redis.rpush(BASE + "broken", "x", "y")
    shown = cli.json("stats")
    assert shown["jobs"] == {"all": 277, "waiting": 247, "parked": 11, "due": 2, "owned": 17,
                             "held": 0}
    assert shown["submitted"] == 277 and shown["ended"] == 0 and shown["broken"] == 2
    normal = shown["classes"]["normal"]
    assert (normal["waiting"], normal["parked"], normal["due"], normal["due_now"]) == (200, 11, 2,
                                                                                     1)
    assert normal["next_due_ms"] == now - 1
    assert abs(now - normal["oldest_ms"]) < 60000
    assert shown["lanes"][1] == {"class": "bulk", "pool": "slow", "tenant": "acme", "waiting": 40,
                                 "parked": 0, "lists": 1,
                                 "oldest_ms": shown["classes"]["bulk"]["oldest_ms"]}
    assert [(s["site"], s["parked"]) for s in shown["sites"]] == [("google", 10), ("a:b", 1)]
    (node,) = shown["nodes"]
    assert (node["life"], node["where"], node["lease"], node["owned"]) == (
        life, "machine, /var/lib/volley", "alive", 17)
    assert shown["events"]["groups"][0]["name"] == "reader"
    assert shown["events"]["groups"][0]["lag"] == shown["events"]["entries"] == 1
    assert shown["limits"] == {"max_jobs": 5000, "max_memory": 123456789}
    text = cli("stats", "--top", "1").stdout
    for says in ["277 jobs: 247 waiting, 11 parked, 2 due, 17 owned, 0 held", "google",
                 "... and 1 more sites", "... and 2 more lanes", "reader", "2 records that nobody",
                 "or 5 000 jobs"]:
        assert says in text, text


def test_stats_of_many_lists(cli, queue):
    """More lists than fit one step of reading."""
    pipe = queue.redis.pipeline()
    for i in range(1234):
        pipe.rpush(BASE + f"bin:bulk:default:t{i % 7}:site{i}", "x" * (1 + i % 3))
        pipe.zadd(BASE + "bins", {f"bin:bulk:default:t{i % 7}:site{i}": i + 1})
    pipe.zadd(BASE + "bins", {"no list": 3, "bin:bulk:default:t:gone": 5})
    pipe.execute()
    shown = cli.json("stats", "--top", "5000")
    assert shown["jobs"]["parked"] == 1234 and shown["site_count"] == len(shown["sites"]) == 1234
    assert shown["lane_count"] == 7 and shown["unknown_lists"] == 1


# ---- list ------------------------------------------------------------------------------------


def pages(cli, *argv):
    """All pages of a listing: [jobs of a page]."""
    found, cursor = [], []
    while True:
        page = cli.json("list", *argv, *cursor)
        found.append(page["jobs"])
        if "cursor" not in page:
            return found
        cursor = ["--cursor", page["cursor"]]
        assert len(found) < 500


@pytest.mark.parametrize("limit", [1, 7, 100, 101, 1000])
def test_pages_have_each_job_once(cli, news, limit):
    states = every_state(news)
    if limit > 1:
        fill(news, 250)
        fill(news, 3, "bulk:p:t")
        life = news.register("n2")
        news.claim(life, (IN, 140))
        life = news.register("n3")
        news.claim(life, (IN, 5))
    found = pages(cli, "--limit", limit)
    assert all(len(page) == limit for page in found[:-1])
    jobs = [job for page in found for job in page]
    assert len(jobs) == len({job["id"] for job in jobs}) == (259 if limit > 1 else 6)
    for state, ident in states.items():
        assert [job["state"] for job in jobs if job["id"] == ident] in ([state], ["owned"])


def test_what_a_row_says(cli, news):
    states = every_state(news)
    jobs = {job["id"]: job for job in cli.json("list")["jobs"]}
    assert jobs[states["parked"]]["site"] == "google"
    assert jobs[states["due"]]["due_ms"] == 4102444800000
    assert jobs[states["held"]]["order"] == "o1"
    assert jobs[states["owned"]]["node"] == "n1:1"
    assert jobs[states["waiting"]]["key"] == IN
    text = cli("list").stdout
    for state, ident in states.items():
        assert re.search(rf"(?m)^{ident} .* {state} ", text), text


def test_filters(cli, news):
    base = ["message", "news"]
    news.jobs(base, ["to", "a@b.example", "campaign", "c1", "tags", "x,y"],
              ["to", "a@B.example", "class", "bulk", "tenant", "t1"],
              ["to", "a@c.example", "pool", "p1", "campaign", "c1"],
              ["to", "a@c.example", "source", "s1", "not_before", "4102444800"])
    every_state(news)

    def count(*argv):
        return len(cli.json("list", "--limit", "1000", *argv)["jobs"])

    assert count("--class", "bulk") == 1 and count("--tenant", "t1") == 1
    assert count("--tenant", "nobody") == 0 and count("--pool", "p1") == 1
    assert count("--pool", "s1") == 1 and count("--campaign", "c1") == 2
    assert count("--campaign", "c1", "--domain", "c.example") == 1 and count("--tag", "y") == 1
    assert count("--domain", "b.EXAMPLE") == 2 + 6 - 0
    assert count("--state", "due") == 2 and count("--state", "parked") == 1
    assert count("--site", "google") == 1 and count("--site", "other") == 0
    assert count("--state", "owned", "--class", "high") == 0
    assert "no job" in cli("list", "--tenant", "nobody").stdout


def test_a_listing_ends_when_it_looked_enough(cli, news):
    fill(news, 1000)
    page = cli.json("list", "--domain", "nowhere.example", "--scan", "350")
    assert page["jobs"] == [] and page["looked_at"] == 350
    rest = cli.json("list", "--domain", "nowhere.example", "--cursor", page["cursor"])
    assert rest["looked_at"] == 650 and "cursor" not in rest


@pytest.mark.parametrize("cursor", ["x", "", "0.l.1.2", "0.z.1.2.3.", "0.l.-1.2.3.",
                                    "0.l.1.2.3.a b", "9999.l.1.1.1.", "0.o.1.0.0." + "n" * 300])
def test_a_cursor_that_is_none(cli, queue, cursor):
    cli("list", "--cursor", cursor, code=2)


@pytest.mark.parametrize("cursor", ["0.l.99999999.5.0.", "0.d.7.0.0.", "0.d.1.4000000000.0.",
                                    "0.o.1.17.400.nobody", "0.h.1.9.0.gone", "7.l.1.1.1.",
                                    "0.l.18446744073709551615.18446744073709551615.0."])
def test_a_cursor_of_long_ago(cli, news, cursor):
    every_state(news)
    cli("list", "--cursor", cursor)


# ---- samples ---------------------------------------------------------------------------------


def test_samples(cli, news):
    fill(news, 900)
    fill(news, 100, domain="c.example")
    every_state(news)
    few = cli.json("list", "--sample", "100")
    assert few["sampled"] and few["population"] >= 1005 and 50 <= few["taken"] <= 120
    assert sum(few["ages"].values()) == few["taken"] == few["attempts"]["0"]
    assert few["domains"]["b.example"] > few["domains"].get("c.example", 0)
    whole = cli.json("list", "--sample", "5000")
    assert whole["taken"] == 1006
    assert whole["domains"] == {"b.example": 906, "c.example": 100}
    assert cli.json("list", "--sample", "5000", "--domain", "c.example")["matched"] == 100
    text = cli("list", "--sample", "100").stdout
    assert re.search(r"sampled: \d+ of 1 \d+ jobs", text) and "estimates" in text
    assert "0 of 0 jobs" in cli("list", "--sample", "10", "--tenant", "none", "--state",
                                "waiting").stdout


# ---- show ------------------------------------------------------------------------------------


def test_show_finds_a_job_wherever_it_is(cli, news):
    for state, ident in every_state(news).items():
        shown = cli.json("show", ident)
        assert [(job["id"], job["state"]) for job in shown["jobs"]] == [(ident, state)]
        assert cli.json("show", ident[:26])["jobs"] == shown["jobs"]
        assert ident in cli("show", ident).stdout


def test_show_in_long_lists(cli, news):
    """Lists that are not read as a whole; one job came back to the front, out of order."""
    ids = fill(news, 5000)
    life = news.register()
    ((records, _),) = news.claim(life, (IN, 50))
    for i, record in enumerate(reversed(records)):
        news.redis.hdel(BASE + f"owned:{life}", record_id(record))
        (news.redis.rpush if i == 7 else news.redis.lpush)(BASE + IN, record)
    for i in [0, 49, 50, 2500, 4998, 4999]:
        (job,) = cli.json("show", ids[i] + ".1", "--scan", "0")["jobs"]
        assert job["id"] == ids[i] + ".1" and job["to"] == f"r{i}@b.example"
    moved = record_id(list(reversed(records))[7])
    assert "--scan" in cli("show", moved, "--scan", "0", code=1).stderr
    assert cli.json("show", moved)["jobs"][0]["id"] == moved
    assert cli.json("show", ids[4321])["jobs"][0]["to"] == "r4321@b.example"


def test_show_a_job_of_many_recipients(cli, news):
    fill(news, 1000)
    to = [word for n in range(900) for word in ("to", f"r{n}@many.example")]
    job = news.submit(*to, "message", "news")
    fill(news, 1000)
    shown = cli.json("show", job)
    assert [j["id"] for j in shown["jobs"]] == [f"{job}.{n}" for n in range(1, 901)]
    assert cli.json("show", f"{job}.77")["jobs"][0]["to"] == "r76@many.example"


def test_show_all_fields(cli, news):
    job = news.submit("to", "a@b.example", "message", "news", "from", "", "v:name", "Änn",
                      "x:order", "\x1b[31m", "campaign", "c1", "tags", "a,b", "retry", "5m,1h",
                      "max_attempts", "9", "expires", "3h", "window",
                      "Mon-Fri 08:00-18:00 Europe/Berlin", "tls", "verify", "dsn.notify", "never",
                      "dsn.ret", "hdrs", "dsn.envid", "e1", "feedback_id", "f:1", "verp", "on",
                      "key", "k 1", "unsubscribe", "https://example.com/u")
    (shown,) = cli.json("show", job)["jobs"]
    for name, value in {"from": "", "campaign": "c1", "tags": "a,b", "retry": "5m,1h",
                        "max_attempts": 9, "window": "Mon-Fri 08:00-18:00 Europe/Berlin",
                        "tls": "verify", "dsn_notify": "never", "verp": "on",
                        "idempotency_key": "k 1", "vars": {"name": "Änn"},
                        "x": {"order": "\x1b[31m"}, "history": []}.items():
        assert shown[name] == value
    text = cli("show", job).stdout
    assert "\x1b" not in text
    for says in ["Änn", "k 1", "<>", "https://example.com/u", "Europe/Berlin", "(in 2h 59m)"]:
        assert says in text, text


def test_show_by_key(cli, news):
    job = news.submit("to", "a@b.example", "message", "news", "key", "k 1", "tenant", "t")
    shown = cli.json("show", "--key", "k 1", "--tenant", "t")
    assert shown["id"] == job and shown["key_state"] == "queued" and shown["queued"]
    news.redis.delete(BASE + "in:normal:default:t")
    assert not cli.json("show", "--key", "k 1", "--tenant", "t")["queued"]
    assert "24 hours" in cli("show", "--key", "k 1", code=1).stderr
    news.redis.set(BASE + "key:default:odd", "\0\xff no id")
    cli("show", "--key", "odd", code=1)
    news.redis.rpush(BASE + "key:default:list", "x")
    cli("show", "--key", "list", code=1)


def test_show_events_of_a_job(cli, news):
    life, ids, records = claimed(news, 3)
    line = ('{"v":1,"event":"%s.%d","time":"2026-08-21T10:00:0%d.000Z","type":"%s","attempt":%d,'
            '"stage":"rcpt","code":451,"mx":"mx.example","text":"try \\"later\\""}\n')
    for n in range(1, 4):
        news.redis.xadd(BASE + "events", {"events": line % (ids[0], n, n, "deferred", n) +
                                          line % (ids[1], n, n, "deferred", n)})
        for _ in range(30):
            news.redis.xadd(BASE + "events", {"events": line % ("x.1", 1, 1, "delivered", 1)})
    news.redis.xadd(BASE + "events", {"other": "field"})
    events = [json.loads(e) for e in cli.json("show", ids[0])["events"]]
    assert [e["attempt"] for e in events] == [1, 2, 3]
    text = cli("show", ids[0]).stdout
    assert len(re.findall(r"(?m)^2026-08-21T10:00:0\d.000Z +deferred +\d +rcpt +451", text)) == 3
    shown = cli.json("show", ids[0], "--events", "40")
    assert shown["events_cut"] and len(shown["events"]) == 1
    # One that is gone from the queue is known by its events.
    news.redis.hdel(BASE + f"owned:{life}", ids[1])
    assert "not in the queue any more" in cli("show", ids[1]).stdout
    assert "no job" in cli("show", "0" * 26, code=1).stderr


@pytest.mark.parametrize("ident", ["", "x", "0" * 25, "0" * 27, "0" * 26 + ".", "0" * 26 + ".0",
                                   "0" * 26 + ".x", "O" * 26, "0" * 26 + ".99999999", "é" * 13])
def test_show_what_is_no_id(cli, queue, ident):
    assert "26 characters" in cli("show", ident, code=2).stderr


def test_history(cli, box, backend):
    """Attempts as an engine noted them."""
    queue = box.redis()
    engine = box.engine(queue, io=backend, sink=box.sink().address, retry=["1h"])
    queue.store("m", PLAIN)
    job = queue.submit(to="tempfail@a.test", message="m")
    eventually(lambda: queue.events(), "it is deferred")
    engine.terminate()  # the commands need none
    shown = cli.json("show", job, where=queue.path)
    (record,) = shown["jobs"]
    assert record["state"] == "due" and record["attempts"] == 1
    assert record["history"][0]["stage"] == "rcpt" and 400 <= record["history"][0]["code"] < 500
    assert json.loads(shown["events"][0])["type"] == "deferred"
    text = cli("show", job, where=queue.path).stdout
    assert re.search(r"(?m)^20\d\d-.* UTC +rcpt +4\d\d ", text), text
    assert cli.json("stats", where=queue.path)["nodes"] == []


# ---- orders ----------------------------------------------------------------------------------


def test_orders_are_placed_and_lifted(cli, queue):
    placed = cli.json("pause", "--campaign", "march", "--class", "bulk")
    assert placed["kind"] == "pause" and placed["state"] == "in-force"
    assert placed["jobs"] == {"campaign": "march", "class": "bulk"} and placed["expires_ms"] == 0
    again = cli.json("pause", "--class", "bulk", "--campaign", "march")
    assert again["id"] == placed["id"]
    now = queue.now_ms()
    cancel = cli.json("cancel", "--domain", "B.example", "--for", "2h")
    assert cancel["jobs"] == {"domain": "b.example"}
    assert abs(cancel["expires_ms"] - now - 7200000) < 60000
    hold = cli.json("pause", "--aside", "--tag", "x", "--id", "mine")
    assert (hold["id"], hold["kind"]) == ("mine", "hold")
    assert cli.json("retry", "--all")["kind"] == "retry"
    orders = cli.json("list", "--orders")["orders"]
    assert [o["kind"] for o in orders] == ["pause", "cancel", "hold", "retry"]
    assert len(cli.json("stats")["orders"]) == 4
    text = cli("list", "--orders").stdout
    assert re.search(r"(?m)^mine +hold +in-force .* resumed +0 +0 +tag=x$", text), text
    done = cli("resume", "--campaign", "march", "--class", "bulk")
    assert done.stdout == f"lifted: {placed['id']}\n"
    cli("resume", "mine")
    assert {o["id"]: o["state"] for o in cli.json("list", "--orders")["orders"]
            }.get("mine", "lifting") == "lifting"


def test_orders_that_are_none(cli, queue):
    for command in ["pause", "cancel", "retry"]:
        assert "say which jobs" in cli(command, code=2).stderr
    assert "26" not in cli("resume", code=2).stderr
    cli("resume", "o1", "--all", code=2)
    shows = "; volley queue list --orders shows those there are\n"
    assert f"no order 'o99'{shows}" in cli("resume", "o99", code=1).stderr
    assert f"says exactly 'tenant=t'{shows}" in cli("resume", "--tenant", "t", code=1).stderr
    assert "is not a name" in cli("resume", "--tenant", "a b", code=2).stderr
    assert "campaign" in cli("pause", "--campaign", "a b", code=2).stderr
    assert "stands alone" in cli("pause", "--all", "--tenant", "t", code=2).stderr
    cli("pause", "--class", "huge", code=2)
    cli("pause", "--all", "--for", "0", code=2)
    cli("pause", "--tenant", "t", "--id", "same")
    assert "VOLLEYCONFLICT" in cli("pause", "--tenant", "u", "--id", "same", code=1).stderr
    assert len(cli.json("list", "--orders")["orders"]) == 1


def test_the_readme(cli, news):
    """What the README shows of the queue, typed as it stands there."""
    section = re.search(r"(?s)\n## The queue\n(.*?)\n## ", (TOP / "README.md").read_text()).group(1)
    job = news.submit("to", "ann@example.org", "message", "news")
    commands = re.findall(r"(?m)^volley queue (.*?)(?:  +#|$)", section)
    assert len(commands) == 4
    for command in commands:
        cli(*command.replace("ID", job).split())
    for command in ["resume --campaign march", "cancel --campaign march", "retry --campaign march",
                    "list --sample 1000", "list --orders"]:
        cli(*command.split())


# ---- the library -----------------------------------------------------------------------------


def test_library(cli, server):
    server.client.flushall()
    server.client.function_flush("SYNC")
    assert "missing" in cli("library").stdout
    cli("library", "--check", code=1)
    shown = cli.json("library", "--load")
    assert shown["complete"] and {l["name"] for l in shown["libraries"]} == {"volley", "volley_1"}
    assert {l["state"] for l in shown["libraries"]} == {"as in this program"}
    cli("library", "--check")
    assert cli("library", "--check").stdout == cli("library", "--load").stdout
    # A newer one is left alone, one of a format to come is shown.
    code = "#!lua name=%s\n-- volley library version 99\nredis.register_function('%s_f', " \
           "function() return 1 end)"
    server.client.function_load(code % ("volley_1", "a"), replace=True)
    server.client.function_load(code % ("volley_2", "b"))
    shown = cli.json("library", "--load")
    assert {l["name"]: l["state"] for l in shown["libraries"]} == {
        "volley": "as in this program", "volley_1": "newer than this program",
        "volley_2": "of another format"}
    server.client.function_delete("volley_2")


def test_library_without_redis(box):
    done = box.run("volley", "queue", "library", "--formats")
    assert done.returncode == 0 and re.search(r"record format 1, library version \d+", done.stdout)
    assert json.loads(box.run("volley", "queue", "library", "--formats",
                              "--json").stdout)["format"] == 1
    assert box.run("volley", "queue", "library", "--load", "--check").returncode == 2


def test_without_the_library(cli, news, server):
    """Looking works; orders say what to do."""
    states = every_state(news)
    server.client.function_flush("SYNC")
    assert cli.json("stats")["jobs"]["all"] == 6
    assert len(cli.json("list")["jobs"]) == 6
    assert cli.json("show", states["due"])["jobs"]
    for argv in [*ORDERING, ("list", "--orders")]:
        done = cli(*argv, code=1)
        assert "volley queue library --load" in done.stderr


# ---- trouble ---------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [*LOOKING, *ORDERING])
def test_redis_away(box, argv):
    done = box.run("volley", "queue", *argv, "--redis", f"unix:{box.path}/none.sock")
    assert done.returncode == 75 and "none.sock" in done.stderr and done.stdout == ""
    done = box.run("volley", "queue", *argv, "--redis", "http://x")
    assert done.returncode == 2 and done.stdout == ""
    (box.path / "bad.yaml").write_text("hostnam: x\n")
    done = box.run("volley", "queue", *argv, "-c", "bad.yaml")
    assert done.returncode == 2 and "bad.yaml:1:1" in done.stderr


def test_the_engines_own_redis_away(box):
    (box.path / "a.yaml").write_text(f"queue: {{state_directory: {box.path}/state}}\n")
    done = box.run("volley", "queue", "stats", "-c", "a.yaml")
    assert done.returncode == 75 and "start volley run" in done.stderr


@pytest.mark.parametrize("key", ["bins", "due:bulk", "nodes", "orders", "events", "meta", "broken",
                                 IN, "owned:n1:1", "held:o1"])
def test_keys_of_wrong_types(cli, news, key):
    """Whatever somebody else wrote there: no crash, the rest is shown, and it is said."""
    states = every_state(news)
    news.redis.delete(BASE + key)
    for wrong in ("string", "list", "hash"):
        news.redis.delete(BASE + key)
        if wrong == "string":
            news.redis.set(BASE + key, "x")
        elif wrong == "list":
            news.redis.rpush(BASE + key, "x", "\xff")
        else:
            news.redis.hset(BASE + key, "o1", "x")
        for argv in [("stats",), ("stats", "--json"), ("list",), ("list", "--sample", "50"),
                     ("show", states["due"]), ("show", "0" * 26), ("list", "--orders")]:
            done = cli(*argv, code=(0, 1))
            assert done.stdout or done.stderr


def test_wrong_types_are_said(cli, news):
    every_state(news)
    news.redis.delete(BASE + "bins")
    news.redis.set(BASE + "bins", "x")
    assert "bins" in cli("stats", code=1).stderr
    assert cli.json("stats", code=1)["jobs"]["due"] == 1
    done = cli("list", code=1)
    assert "bins" in done.stderr and "due" in done.stdout


def test_records_that_cannot_be_read(cli, news):
    life, ids, records = claimed(news, 3)
    odd = "z" * 10 + "00" + "z" * 14
    history = b"\x14\x14\x00" + b"\x01\x00" + b"\0" * 6 + b"\0" * 8 + b"\xff\xff\x01\x02"
    broken = [b"", b"\x01", b"\x02" + records[0][1:], records[0][:40],
              records[0] + b"\x14\x05\x00ab", records[1] + history,
              b"\xff" * 300, b"\x01\x01\x1c" + odd.encode() + b".1\xff"]
    news.redis.rpush(BASE + IN, *broken)
    news.redis.zadd(BASE + "bins", {IN: 1})
    news.redis.zadd(BASE + "due:high", {b"\xffjunk": 1e300, b"": -5, b"x": float("-inf")})
    page = cli.json("list", "--limit", "100")
    assert page["unreadable"] == 7 + 3 and len(page["jobs"]) == 14
    assert "(cannot be read, 300 bytes)" in cli("list", "--limit", "100").stdout
    assert cli.json("list", "--domain", "b.example")["jobs"]
    cli("stats")
    cli("list", "--sample", "100")
    news.redis.hdel(BASE + f"owned:{life}", ids[1])
    assert re.search(r"(?m) UTC +\? +0 +0.1.2 +\?$", cli("show", ids[1]).stdout)
    assert cli.json("show", odd + ".1")["jobs"][0]["unreadable"]
    assert "cannot be read" in cli("show", odd).stdout


def test_a_replica(cli, news, server):
    """Looking works on one; orders and the library say where to go."""
    states = every_state(news)
    replica = Server()
    try:
        free = free_port()
        server.client.config_set("port", free)
        server.client.config_set("repl-diskless-sync-delay", 0)
        replica.client.replicaof("127.0.0.1", free)
        eventually(lambda: replica.client.info("replication").get("master_link_status") == "up"
                   and replica.client.exists(BASE + "due:normal"), "the replica has it all")
        assert cli.json("stats", where=replica.path)["redis"]["role"] == "slave"
        assert len(cli.json("list", where=replica.path)["jobs"]) == 6
        assert cli.json("show", states["held"], where=replica.path)["jobs"]
        for argv in ORDERING:
            done = cli(*argv, where=replica.path, code=75)
            assert "replica" in done.stderr
    finally:
        server.client.config_set("port", 0)
        replica.stop()


def test_no_big_key_is_read_whole(cli, news):
    """What Redis is asked, while many jobs are in few keys."""
    ids = fill(news, 3000)
    life = news.register()
    for _ in range(5):
        news.claim(life, (IN, 200))
    news.redis.zadd(BASE + "due:bulk", {b"x%d" % i: i for i in range(3000)})
    for i in range(300):
        news.redis.xadd(BASE + "events", {"events": "x" * 200})
    asked, ready = [], threading.Event()

    def watch():
        with news.redis.monitor() as monitor:
            ready.set()
            for command in monitor.listen():
                asked.append(command["command"])
                if command["command"].startswith("PING enough"):
                    return

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert ready.wait(20)
    for argv in [("stats",), ("list", "--limit", "2000"), ("list", "--sample", "500"),
                 ("show", ids[1500]), ("show", "0" * 26)]:
        cli(*argv, code=1 if argv[-1] == "0" * 26 else 0)
    news.redis.execute_command("PING", "enough")
    watcher.join(20)
    assert len(asked) > 100
    for command in asked:
        words = command.split(" ")
        if command == f"HGETALL {BASE}orders":
            continue  # of at most 200, by the function that lists them
        assert words[0] not in ("KEYS", "HGETALL", "SMEMBERS", "HVALS", "SORT"), command
        if words[0] in ("LRANGE", "ZRANGE"):
            assert 0 <= int(words[3]) - int(words[2]) <= 1000, command
        if words[0] in ("ZRANGEBYSCORE", "XRANGE", "XREVRANGE"):
            assert "LIMIT" in words or "COUNT" in words, command
