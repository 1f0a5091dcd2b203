"""The Redis Functions by themselves: every call, its errors, and what it does to the keys.

No engine runs here; the tests play submitters and nodes.  The libraries are put together from
queue/*.lua in the order that queue/library.c gives.
"""

import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import pytest
import redis

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = "volley:{0}:"
META = BASE + "meta"
LETTER = b"From: Jane Doe <jane@Example.com>\r\nSubject: hello\r\n\r\nbody\r\n"
ID = re.compile(r"^[0-9a-hjkmnp-tv-z]{26}$")


def source(name):
    table = (ROOT / "queue/library.c").read_text()
    parts = re.search(r'\{"%s",\s*\{((?:PART\(\w+\),?\s*)+)\}' % name, table).group(1)
    text = "".join((ROOT / f"queue/{part}.lua").read_text() for part in re.findall(r"PART\((\w+)\)", parts))
    return f"#!lua name={name}\n{text}"


class Server:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="volley-queue-")
        path = f"{self.directory}/s"
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        self.process = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", path, "--dir", self.directory, "--save", "",
             "--appendonly", "no"], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.client = redis.Redis(unix_socket_path=path, decode_responses=False)
        for _ in range(500):
            try:
                if self.client.ping():
                    break
            except redis.RedisError:
                assert self.process.poll() is None, "redis-server ended"
                time.sleep(0.01)

    def stop(self):
        self.client.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory)


@pytest.fixture(scope="module")
def server():
    s = Server()
    yield s
    s.stop()


def text(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [text(v) for v in value]
    return value


class Queue:
    """One partition, with the calls in the order of keys that engines use."""

    def __init__(self, client):
        self.redis = client
        self.numbers = {}

    def key(self, rest):
        return rest if rest.startswith(BASE) else BASE + rest

    def call(self, name, keys, *args):
        return self.redis.fcall(name, len(keys), *[self.key(k) for k in keys], *args)

    # submitters

    def submit(self, *fields):
        return self.call("volley_submit", ["meta"], *fields).decode()

    def rows(self, shared, columns, *rows):
        flat = [v for row in rows for v in row]
        return text(self.call("volley_submit_batch", ["meta"], len(shared) // 2, *shared, "rows",
                              len(columns), *columns, *flat))

    def jobs(self, shared, *jobs):
        flat = [v for job in jobs for v in (len(job) // 2, *job)]
        return text(self.call("volley_submit_batch", ["meta"], len(shared) // 2, *shared, "jobs", *flat))

    def store(self, *fields):
        return self.call("volley_store", ["meta"], *fields).decode()

    # engines

    def register(self, node="n1", holder="here", settings=(), names=()):
        epoch = self.call("volley_1_register", ["meta", "nodes"], node, holder, *settings, "", *names)
        return f"{node}:{epoch}"

    def renew(self, life):
        return text(self.call("volley_1_renew", ["nodes"], life))

    def claim(self, life, *wants, worker=0, number=None):
        """wants: (list, jobs, bytes); answers [(records, left)]."""
        if number is None:
            number = self.numbers[life] = self.numbers.get(life, 0) + 1
        keys = ["nodes", f"owned:{life}", "bins", "site", *[w[0] for w in wants]]
        credit = [n for w in wants for n in (w[1], w[2] if len(w) > 2 else 0)]
        flat = self.call("volley_1_claim", keys, life, worker, number, *credit)
        result = []
        while flat:
            count, left = flat[0], flat[1]
            result.append((flat[2:2 + count], left))
            flat = flat[2 + count:]
        return result

    def done(self, life, ids, lines=None, number=1, worker=0, marks=None, bodies=(), trim=0):
        lines = "".join(f'{{"id":"{i}"}}\n' for i in ids) if lines is None else lines
        marks = "1" * len(ids) if marks is None else marks
        return self.call("volley_1_done", [f"owned:{life}", "events", "meta", *bodies],
                         worker, number, trim, lines, marks, *ids)

    def defer(self, life, jobs, number=1, worker=0, lines=None):
        """jobs: (id, class 1..3, due ms, record)."""
        lines = "".join(f'{{"id":"{j[0]}"}}\n' for j in jobs) if lines is None else lines
        return self.call("volley_1_defer", [f"owned:{life}", "events", "due:high", "due:normal", "due:bulk"],
                         worker, number, 0, lines, "1" * len(jobs), *[v for j in jobs for v in j])

    BELLS = ["bell:high", "bell:normal", "bell:bulk"]

    def park(self, life, jobs, number=1, worker=0):
        """jobs: (id, list, domain)."""
        lists = sorted({j[1] for j in jobs})
        args = [v for j in jobs for v in (j[0], 8 + lists.index(j[1]), j[2])]
        return self.call("volley_1_park", ["bins", f"owned:{life}", "meta", "site", *self.BELLS, *lists],
                         worker, number, *args)

    def give_back(self, life, jobs, number=1, worker=0):
        """jobs: (id, list)."""
        lists = sorted({j[1] for j in jobs})
        args = [v for j in jobs for v in (j[0], 7 + lists.index(j[1]))]
        return self.call("volley_1_return", ["bins", f"owned:{life}", "meta", *self.BELLS, *lists],
                         worker, number, *args)

    def takeover(self, life, dead, jobs=()):
        lists = sorted({j[1] for j in jobs})
        args = [v for j in jobs for v in (j[0], 8 + lists.index(j[1]))]
        return self.call("volley_1_takeover",
                         ["nodes", f"owned:{dead}", "bins", "meta", *self.BELLS, *lists], life, dead, *args)

    def due(self, limit=200):
        return text(self.call("volley_1_due", ["due:high", "due:normal", "due:bulk", "site"], limit))

    def promote(self, lists, limit=200):
        return self.call("volley_1_promote", ["due:high", "due:normal", "due:bulk", "site", "bins", "meta",
                                              *self.BELLS, *lists], limit)

    # looking

    def list(self, name):
        return self.redis.lrange(self.key(name), 0, -1)

    def bins(self):
        return text(self.redis.zrange(self.key("bins"), 0, -1))

    def events(self):
        return b"".join(entry[b"events"] for _, entry in self.redis.xrange(self.key("events"))).decode()

    def now_ms(self):
        seconds, micros = self.redis.time()
        return seconds * 1000 + micros // 1000


@pytest.fixture
def queue(server):
    server.client.config_set("maxmemory", 0)
    server.client.flushall()
    for name in ("volley", "volley_1"):
        server.client.function_load(source(name), replace=True)
    return Queue(server.client)


@pytest.fixture
def news(queue):
    queue.store("id", "news", "eml", LETTER)
    return queue


IN = "in:normal:default:default"


def record_id(record):
    return record[3:3 + record[2]].decode()


def record(raw):
    """Fields of a record, by tag number, and its head."""
    at, head = 2, []
    for _ in range(3):
        head.append(raw[at + 1:at + 1 + raw[at]].decode())
        at += 1 + raw[at]
    created = int.from_bytes(raw[at:at + 6], "little")
    at += 6
    tags = []
    while at < len(raw):
        size = int.from_bytes(raw[at + 1:at + 3], "little")
        tags.append((raw[at], raw[at + 3:at + 3 + size]))
        at += 3 + size
    assert at == len(raw)
    return {"id": head[0], "lane": head[1], "to": head[2], "flags": raw[1], "created": created,
            "tags": tags, **{tag: value for tag, value in tags}}


def refused(call, word, pattern=""):
    with pytest.raises(redis.ResponseError) as info:
        call()
    assert str(info.value).startswith(word), info.value
    assert re.search(pattern, str(info.value)), info.value


# ---- store ------------------------------------------------------------------------------------


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


# ---- submit: a job --------------------------------------------------------------------------------


def test_submit_writes_a_record_into_the_intake(news):
    before = news.now_ms()
    ident = news.submit("to", "Bob.B@Example.ORG", "v:name", "Bob", "message", "news", "campaign", "spring",
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
        ids.append(queue.redis.fcall("volley_submit", 1, meta, "to", "a@b.c", "message", "n").decode())
    assert [i[10:12] for i in ids] == ["00", "07", "0z"]


def test_job_with_several_recipients(news):
    ident = news.submit("message", "news", "v:all", "1", "to", "a@x.example", "v:name", "A", "to", "b@x.example",
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
    refused(lambda: news.submit(*fields, "to", "one@more.example"), "VOLLEYBAD to", "more than 1000")
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
    (("to", "a@b.example", "message", "news", "campain", "x"), "'campain' is not a field of a job, did you mean 'campaign'"),
    (("To", "a@b.example"), "'To' is not a field of a job, did you mean 'to'"),
    (("zzzzzzzz", "1"), "merge values are v:<name>"),
    (("class", "urgent"), "class: 'urgent' is not one of high, normal, bulk"),
    (("tenant", "a:b"), "tenant: 'a:b' is not a name"),
    (("pool", "x" * 65), "pool: .* is not a name"),
    (("pool", "a", "source", "b", "to", "a@b.example", "message", "news"), "give one of pool, source, route"),
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
    (".a@b.example", "dot at an end"), ("a.@b.example", "dot at an end"), ("a..b@c.example", "two in a row"),
    ("a@b..example", "empty label"), ("a@.b", "empty label"), ("a@b.", "empty label"),
    ("a@-b.example", "hyphen"), ("a@b-.example", "hyphen"), ("a@b_c.example", None),
    ("a@b c", "no domain has"), ("<a@b.example>", "must be quoted"), ("a,b@c.example", "must be quoted"),
    ("a" * 65 + "@b.example", "more than 64"), ("a@" + "b" * 64 + ".example", "too long"),
    ("a@" + "b." * 130 + "c", "more than 254"), (b"a\xff@b.example", "not UTF-8"), ("a@b\x00c", "no domain has"),
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


# ---- submit: when ------------------------------------------------------------------------------


def test_not_before_goes_to_due(news):
    at = news.now_ms() // 1000 + 3600
    ident = news.submit("to", "a@b.example", "message", "news", "not_before", at, "class", "bulk")
    ((raw, score),) = news.redis.zrange(BASE + "due:bulk", 0, -1, withscores=True)
    assert score == at * 1000
    r = record(raw)
    assert r["id"] == ident + ".1" and int.from_bytes(r[8], "little") == at * 1000
    assert news.bins() == []


@pytest.mark.parametrize("value,unix", [
    ("4102444800", 4102444800), ("4102444800.5", 4102444800.5), ("2100-01-01T00:00:00Z", 4102444800),
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
        news.submit("to", "a@b.example", "message", "news", "not_before", at / 1000, "spread", "10m")
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
    news.submit("to", "a@b.example", "message", "news", "max_attempts", "5", "retry", "5m, 1h", "window",
                "Mon-Fri 08:00-18:00 Europe/Berlin", "tls", "verify", "dsn.notify", "success,failure",
                "dsn.ret", "hdrs", "dsn.envid", "e1", "unsubscribe", "https://x.example/u?1", "feedback_id", "a:b",
                "verp", "on", "key", "k1")
    r = record(news.list(IN)[0])
    assert r[9] == b"\x05\x00" and r[10] == b"5m,1h" and r[11] == b"Mon-Fri 08:00-18:00 Europe/Berlin"
    assert r[12] == b"k1" and r[13] == b"verify" and r[14] == b"success,failure" and r[15] == b"hdrs"
    assert r[16] == b"e1" and r[17] == b"https://x.example/u?1" and r[18] == b"a:b" and r[19] == b"on"


# ---- submit: idempotency, limits, places -----------------------------------------------------------


def test_key_answers_the_first_id(news):
    fields = ["to", "a@b.example", "message", "news", "v:x", "1", "key", "order-1", "expires", "4h"]
    first = news.submit(*fields)
    assert news.submit(*fields) == first
    assert news.submit("key", "order-1", "v:x", "1", "to", "a@b.example", "expires", "4h", "message", "news") == first
    refused(lambda: news.submit(*fields, "v:y", "2"), "VOLLEYCONFLICT", f"'order-1' was used for job {first}")
    assert len(news.list(IN)) == 1
    assert news.submit(*fields, "tenant", "other") != first
    ttl = news.redis.ttl(BASE + "key:default:order-1")
    assert 86400 - 10 < ttl <= 86400


def test_keys_in_one_batch(news):
    job = ["to", "a@b.example", "key", "k"]
    first, again, other = news.jobs(["message", "news"], job, job, ["to", "b@b.example", "key", "k"])
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
            refused(lambda: news.submit("to", "a@b.example", "message", "news", "key", f"k{i}"), f"VOLLEYPART {want}")
    assert seen == {0, 1, 2, 3}


def test_max_jobs(news):
    life = news.register(settings=["max_jobs", 3])
    for _ in range(3):
        news.submit("to", "a@b.example", "message", "news")
    refused(lambda: news.submit("to", "a@b.example", "message", "news"), "VOLLEYFULL", "3 jobs wait")
    refused(lambda: news.rows(["message", "news"], ["to"], ["a@b.example"]), "VOLLEYFULL")
    ((records, _),) = news.claim(life, (IN, 1))
    news.done(life, [record_id(records[0])])
    news.submit("to", "a@b.example", "message", "news")


def test_max_memory(news):
    news.redis.config_set("maxmemory", 1024 * 1024 * 1024)
    news.register(settings=["max_memory", 100])
    time.sleep(0.15)  # the limit is looked at ten times a second
    refused(lambda: news.submit("to", "a@b.example", "message", "news"), "VOLLEYFULL", "try again later")
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
    assert news.park(life, [(ids[2], "bin:normal:default:default:s", "b.example")], number=3) == [1, 0]
    assert news.give_back(life, [(ids[3], IN)], number=4) == [1, 0]
    assert news.renew(life) == []
    assert news.promote([IN]) in (0, 1)


def test_unknown_pool_once_engines_announced(news):
    news.submit("to", "a@b.example", "message", "news", "pool", "anything")
    news.register(names=["pool=a", "source=s", "route=r"])
    news.submit("to", "a@b.example", "message", "news", "pool", "a")
    news.submit("to", "a@b.example", "message", "news", "source", "s")
    news.submit("to", "a@b.example", "message", "news")
    refused(lambda: news.submit("to", "a@b.example", "message", "news", "pool", "s"), "VOLLEYBAD pool",
            "'s' is not configured on any engine")


@pytest.mark.parametrize("key", ["volley:meta", "volley:{0}:met", "volley:{x}:meta", "{0}:meta", "a b:{0}:meta"])
def test_wrong_key(queue, key):
    refused(lambda: queue.redis.fcall("volley_submit", 1, key, "to", "a@b.c"), "VOLLEYBAD key", r"volley:\{0\}:meta")
    refused(lambda: queue.redis.fcall("volley_store", 1, key, "id", "a", "eml", LETTER), "VOLLEYBAD key")
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


# ---- submit_batch -------------------------------------------------------------------------------


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
    assert r["to"] == "a@x.example" and r[5] == b"\x08greetingHello" and r[3] == b"c1" and r[12] == b"k1"
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
    assert [record(raw)["id"] for raw in news.list("in:high:default:default")] == [ids[1] + ".1", ids[1] + ".2"]


def test_batch_takes_200(news):
    rows = [[f"r{i}@x.example"] for i in range(200)]
    assert len(news.rows(["message", "news"], ["to"], *rows)) == 200
    refused(lambda: news.rows(["message", "news"], ["to"], *rows, ["one@more.example"]), "VOLLEYBAD rows",
            "at most 200 jobs in a call, not 201")
    refused(lambda: news.jobs(["message", "news"], *[["to", "a@b.example"]] * 201), "VOLLEYBAD jobs", "at most 200")
    assert len(news.list(IN)) == 200


@pytest.mark.parametrize("args,pattern", [
    ((), "begins with the number"), (("x",), "begins with the number"), (("-1",), "begins with the number"),
    (("1", "message"), "begins with the number"), (("0",), "begins with the number"),
    (("0", "lines"), "'lines' where rows or jobs"), (("0", "rows"), "number of columns"),
    (("0", "rows", "0"), "number of columns"), (("0", "rows", "2", "to"), "whole rows"),
    (("0", "rows", "1", "to"), "whole rows"), (("0", "rows", "2", "to", "v:a", "x@y.example"), "whole rows"),
    (("0", "rows", "1", "email", "x@y.example"), "'email' is not a field"),
    (("1", "to", "a@b.example", "rows", "1", "to", "x@y.example"), "to: cannot be shared"),
    (("1", "key", "k", "rows", "1", "to", "x@y.example"), "key: cannot be shared"),
    (("1", "data", LETTER, "rows", "1", "to", "x@y.example"), "data: cannot be shared"),
    (("1", "clas", "bulk", "rows", "1", "to", "x@y.example"), "did you mean 'class'"),
    (("0", "rows", "1", "to", "x@y.example"), "message: missing"),
    (("0", "jobs", "2", "to"), "number of fields it says"), (("0", "jobs", "0"), "number of fields it says"),
    (("0", "jobs", "1.5", "to", "a"), "number of fields it says"),
])
def test_batch_refuses(news, args, pattern):
    refused(lambda: news.call("volley_submit_batch", ["meta"], *args), "VOLLEYBAD", pattern)


def test_parts_are_taken_once_and_in_order(news):
    def part(number, *rows):
        return text(news.call("volley_submit_part", ["meta"], "s1", number, 1, "message", "news", "rows", 1, "to", *rows))

    assert len(part(1, "a@x.example", "b@x.example")) == 2
    refused(lambda: part(1, "a@x.example"), "VOLLEYSEEN 1")
    refused(lambda: part(3, "c@x.example"), "VOLLEYORDER 2")
    assert len(part(2, "c@x.example")) == 1
    assert len(news.list(IN)) == 3


# ---- claim ------------------------------------------------------------------------------------


def fill(queue, count, lane="normal:default:default", domain="b.example"):
    klass, pool, tenant = lane.split(":")
    ids = []
    for start in range(0, count, 200):
        rows = [[f"r{i}@{domain}"] for i in range(start, min(count, start + 200))]
        ids += queue.rows(["message", "news", "class", klass, "pool", pool, "tenant", tenant], ["to"], *rows)
    return ids


def test_claim_moves_to_owned_in_order(news):
    ids = fill(news, 10)
    life = news.register()
    ((records, left),) = news.claim(life, (IN, 4))
    assert [record_id(r) for r in records] == [i + ".1" for i in ids[:4]] and left == 6
    owned = news.redis.hgetall(BASE + "owned:" + life)
    assert {k.decode(): v for k, v in owned.items() if not k.startswith(b"#")} == {record_id(r): r for r in records}
    assert [record(r)["id"] for r in news.list(IN)] == [i + ".1" for i in ids[4:]]
    assert news.bins() == [IN]
    ((records, left),) = news.claim(life, (IN, 100))
    assert len(records) == 6 and left == 0
    assert news.bins() == [] and not news.redis.exists(BASE + IN)


def test_claim_from_many_lists(news):
    life = news.register()
    for i in range(5):
        fill(news, 3, f"bulk:default:t{i}")
    got = news.claim(life, *[(f"in:bulk:default:t{i}", i) for i in range(5)], ("in:bulk:default:none", 5))
    assert [(len(records), left) for records, left in got] == [(0, 3), (1, 2), (2, 1), (3, 0), (3, 0), (0, 0)]
    assert sorted(news.bins()) == [f"in:bulk:default:t{i}" for i in range(3)]


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


# ---- outcomes ---------------------------------------------------------------------------------


def claimed(queue, count=5):
    life = queue.register()
    fill(queue, count)
    ((records, _),) = queue.claim(life, (IN, count))
    return life, [record_id(r) for r in records], records


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
    jobs = [(ids[0], 1, 1000, records[0] + b"\x14\x02\x00ab"), (ids[1], 3, 2000, records[1]), ("x.1", 2, 3000, b"x")]
    assert news.defer(life, jobs) == [2, 1]
    assert news.redis.zrange(BASE + "due:high", 0, -1, withscores=True) == [(records[0] + b"\x14\x02\x00ab", 1000)]
    assert news.redis.zrange(BASE + "due:bulk", 0, -1, withscores=True) == [(records[1], 2000)]
    assert not news.redis.exists(BASE + "due:normal")
    assert '{"id":"x.1","late":true}' in news.events()
    assert news.redis.hget(META, "out") is None
    assert news.defer(life, jobs) == [-1, 0]


def test_park_fills_bins_and_maps_domains(news):
    life, ids, records = claimed(news)
    google = "bin:normal:default:default:google"
    assert news.park(life, [(ids[0], google, "gmail.com"), (ids[1], google, "b.example"),
                            (ids[2], "bin:normal:default:default:mx.b.example", "c.example")]) == [3, 0]
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
    refused(lambda: news.defer(life, [(i, 1, 1, "r") for i in ids], number=2), "VOLLEYBAD", "at most 200")
    refused(lambda: news.park(life, [(i, "bin:bulk:a:b:c", "d") for i in ids], number=2), "VOLLEYBAD")
    refused(lambda: news.give_back(life, [(i, IN) for i in ids], number=2), "VOLLEYBAD")


def test_an_outcome_that_names_no_list_changes_nothing(news):
    life, ids, _ = claimed(news, 2)
    with pytest.raises(redis.ResponseError, match="names no list"):
        news.give_back(life, [(ids[0], IN), (ids[1], "meta")])
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        news.redis.set(BASE + "events", "x")
        news.done(life, ids)
    assert news.redis.hexists(BASE + "owned:" + life, ids[0]) and news.redis.hexists(BASE + "owned:" + life, ids[1])


# ---- nodes --------------------------------------------------------------------------------------


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
    refused(lambda: news.register("n1", "host-b:/var/lib/volley"), "VOLLEYHELD", "in use by host-a:/var/lib/volley")
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
    assert not news.redis.hexists(BASE + "nodes", dead) and not news.redis.exists(BASE + "owned:" + dead)
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


# ---- due ----------------------------------------------------------------------------------------


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
            news.defer(life, [(record_id(r), klass, 1, r) for r in records], number=number, lines="")
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


# ---- index, bells, figures -------------------------------------------------------------------------


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
    flat = text(news.call("volley_1_stats", ["meta", "nodes", "bins", "due:high", "due:normal", "due:bulk",
                                             "events", "site"]))
    figures = dict(zip(flat[::2], flat[1::2]))
    assert figures["submitted"] == 5 and figures["ended"] == 2 and figures["due_normal"] == 1
    assert figures["events"] == 2 and figures["lists"] == 0 and f"node:{life}" in figures


def test_memory_of_waiting_jobs(news):
    def used():
        return news.redis.info("memory")["used_memory"]

    before = used()
    for _ in range(100):
        news.rows(["message", "news", "campaign", "spring", "class", "bulk"], ["to", "v:name", "v:link"],
                  *[[f"recipient{i}@domain{i}.example", f"Name {i}", "https://www.example.com/" + "x" * 150]
                    for i in range(200)])
    size = len(news.list("in:bulk:default:default")[0])
    each = (used() - before) / 20000
    assert 280 <= size <= 320 and each <= 450, (size, each)
