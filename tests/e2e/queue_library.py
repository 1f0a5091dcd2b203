"""queue_library.py - the Redis Functions alone: a private Redis, and every call in Python.

The libraries are put together from queue/*.lua in the order that queue/library.c gives.
Tests import the fixtures `server`, `queue` and `news` from here.
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
    text = "".join((ROOT / f"queue/{part}.lua").read_text()
                   for part in re.findall(r"PART\((\w+)\)", parts))
    return f"#!lua name={name}\n{text}"


class Server:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="volley-queue-")
        path = self.path = f"{self.directory}/s"
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
        return text(self.call("volley_submit_batch", ["meta"], len(shared) // 2, *shared, "jobs",
                              *flat))

    def store(self, *fields):
        return self.call("volley_store", ["meta"], *fields).decode()

    # engines

    def register(self, node="n1", holder="here", settings=(), names=()):
        epoch = self.call("volley_1_register", ["meta", "nodes"], node, holder, *settings, "",
                          *names)
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

    def defer(self, life, jobs, number=1, worker=0, lines=None, keyed=()):
        """jobs: (id, class 1..3, due ms, record)."""
        lines = "".join(f'{{"id":"{j[0]}"}}\n' for j in jobs) if lines is None else lines
        return self.call("volley_1_defer", [f"owned:{life}", "events", "due:high", "due:normal",
                                            "due:bulk", *keyed],
                         worker, number, 0, lines, "1" * len(jobs), *[v for j in jobs for v in j])

    BELLS = ["bell:high", "bell:normal", "bell:bulk"]

    def park(self, life, jobs, number=1, worker=0):
        """jobs: (id, list, domain)."""
        lists = sorted({j[1] for j in jobs})
        args = [v for j in jobs for v in (j[0], 8 + lists.index(j[1]), j[2])]
        return self.call("volley_1_park", ["bins", f"owned:{life}", "meta", "site", *self.BELLS,
                                           *lists],
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
                         ["nodes", f"owned:{dead}", "bins", "meta", *self.BELLS, *lists], life,
                         dead, *args)

    def due(self, limit=200):
        return text(self.call("volley_1_due", ["due:high", "due:normal", "due:bulk", "site"],
                              limit))

    def promote(self, lists, limit=200):
        return self.call("volley_1_promote", ["due:high", "due:normal", "due:bulk", "site", "bins",
                                              "meta",
                                              *self.BELLS, *lists], limit)

    def sweep(self, life, name, number=1, place=-1, marks="", ids=(), at=0, count=100):
        """Answers (processed, taken, length, records)."""
        answer = self.call("volley_1_sweep", ["nodes", f"owned:{life}", "bins", "site", name],
                           life, number, place, marks, at, count, *ids)
        return answer[0], answer[1].decode(), answer[2], answer[3:]

    def sweep_due(self, life, name, number=1, marks="", records=(), at=0, count=100):
        answer = self.call("volley_1_sweep_due", ["nodes", f"owned:{life}", name], life, number,
                           -1, marks, at, count, *records)
        return answer[0], answer[1].decode(), answer[2], answer[3:]

    def set_aside(self, life, jobs, number=1, worker=0):
        """jobs: (id, order)."""
        lists = sorted({f"held:{j[1]}" for j in jobs})
        args = [v for j in jobs for v in (j[0], 4 + lists.index(f"held:{j[1]}"))]
        return self.call("volley_1_set_aside", [f"owned:{life}", "orders", "meta", *lists],
                         worker, number, *args)

    def release(self, order, jobs=(), version=None):
        """jobs: (id, list); without a list it is a broken record."""
        if version is None:
            version = int(self.redis.hget(META, "orders") or 0)
        lists = sorted({j[1] for j in jobs if j[1]})
        args = [v for j in jobs for v in (j[0], 8 + lists.index(j[1]) if j[1] else 0)]
        return self.call("volley_1_release", [f"held:{order}", "orders", "bins", "meta",
                                              *self.BELLS, *lists], order, version, *args)

    # looking

    def list(self, name):
        return self.redis.lrange(self.key(name), 0, -1)

    def bins(self):
        return text(self.redis.zrange(self.key("bins"), 0, -1))

    def events(self):
        return b"".join(entry[b"events"] for _,
                        entry in self.redis.xrange(self.key("events"))).decode()

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


def fill(queue, count, lane="normal:default:default", domain="b.example"):
    klass, pool, tenant = lane.split(":")
    ids = []
    for start in range(0, count, 200):
        rows = [[f"r{i}@{domain}"] for i in range(start, min(count, start + 200))]
        ids += queue.rows(["message", "news", "class", klass, "pool", pool, "tenant", tenant],
                          ["to"], *rows)
    return ids


def claimed(queue, count=5):
    life = queue.register()
    fill(queue, count)
    ((records, _),) = queue.claim(life, (IN, count))
    return life, [record_id(r) for r in records], records
