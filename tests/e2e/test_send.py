"""test_send.py - `volley send` and the queue: every row once, whatever breaks on the way.

No engine runs in most of these tests: what was submitted is counted in the intake.
"""

import csv
import json
import re
import signal
import time

import pytest

from conftest import BUILD
from letters import LETTER
from process import Process, eventually

ROWS = 60000


@pytest.fixture
def desk(box):
    return Desk(box)


class Desk:
    """A queue, a letter, and the command."""

    def __init__(self, box):
        self.box = box
        self.queue = box.redis()
        (box.path / "letter.eml").write_bytes(LETTER)

    def write(self, text, name="list.csv"):
        (self.box.path / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def write_many(self, rows=ROWS):
        self.write("to,name,number\n" + "".join(f"u{i}@d{i % 50}.test,Name {i},{i}\n"
                                                for i in range(rows)))

    def argv(self, *more):
        return ["volley", "send", "--redis", self.queue.url, "--to", "list.csv",
                "--message", "letter.eml", *more]

    def send(self, *more):
        return self.box.run(*self.argv(*more))

    def start(self, *more):
        argv = self.argv(*more)
        argv[0] = BUILD / "volley"
        return self.box.keep(Process("send", argv, cwd=self.box.path))

    def jobs(self):
        """Records in the intakes and in `due`."""
        found = []
        for key in self.queue.client.keys(self.queue.key("in:*")):
            found += self.queue.client.lrange(key, 0, -1)
        for key in self.queue.client.keys(self.queue.key("due:*")):
            found += self.queue.client.zrange(key, 0, -1)
        return found

    def numbers(self):
        """Which of write_many()'s rows are there, in order of the number."""
        return sorted(int(re.search(rb"u(\d+)@d", job).group(1)) for job in self.jobs())

    def count(self):
        return self.queue.client.llen(self.queue.key("in:normal:default:default"))


def test_killed_again_and_again(desk):
    """kill -9 of the command in the middle, until it comes to the end: each row once."""
    desk.write_many()
    for wanted in range(5000, ROWS, 11000):
        run = desk.start()
        eventually(lambda: desk.count() >= wanted or not run.running(), "some rows are submitted",
                   step_s=0.001)
        run.kill()
    done = desk.send("--json")
    assert done.returncode == 0, done.stderr
    assert "going on at line" in done.stderr
    assert json.loads(done.stdout)["submitted"] == ROWS
    assert desk.numbers() == list(range(ROWS))


def test_interrupted_by_hand(desk):
    desk.write_many()
    run = desk.start()
    eventually(lambda: desk.count() > 5000, "some rows are submitted", step_s=0.001)
    run.signal(signal.SIGINT)
    assert run.wait() == 75
    assert re.search(r"interrupted at line \d+", run.text())
    assert desk.send().returncode == 0
    assert desk.numbers() == list(range(ROWS))


def test_redis_killed_and_started_again(desk):
    """The command waits, and goes on where Redis knows it stood."""
    desk.write_many()
    run = desk.start()
    eventually(lambda: desk.count() > 5000, "some rows are submitted", step_s=0.001)
    desk.queue.kill()
    run.wait_line("waiting for Redis")
    desk.queue.start()
    assert run.wait(60) == 0, run.text()
    assert desk.numbers() == list(range(ROWS))


def test_redis_that_lost_the_last_moments(desk):
    """A Redis that comes back with an older state gets the lost parts again."""
    desk.write_many()
    run = desk.start()
    eventually(lambda: desk.count() > 2000, "some rows are submitted", step_s=0.001)
    aof = desk.queue.directory / "appendonlydir"
    kept = {p.name: p.read_bytes() for p in aof.iterdir()}
    eventually(lambda: desk.count() > 20000, "more rows are submitted", step_s=0.001)
    desk.queue.kill()
    for name, data in kept.items():
        (aof / name).write_bytes(data)
    desk.queue.start()
    assert run.wait(60) == 0, run.text()
    assert "going back to line" in run.text()
    assert desk.numbers() == list(range(ROWS))


def test_full_queue(desk):
    """-VOLLEYFULL: it waits, and goes on when there is room."""
    desk.write_many(3000)
    desk.queue.client.hset(desk.queue.key("meta"), "max_jobs", 1000)
    run = desk.start()
    run.wait_line("waiting for Redis: VOLLEYFULL")
    assert desk.count() <= 1000
    desk.queue.client.hset(desk.queue.key("meta"), "max_jobs", 100000)
    assert run.wait() == 0, run.text()
    assert desk.numbers() == list(range(3000))


def test_changed_in_between(desk):
    """Another list under the same name does not continue the old one."""
    desk.write_many()
    run = desk.start()
    eventually(lambda: desk.count() > 2000, "some rows are submitted", step_s=0.001)
    run.kill()
    desk.write("to,name,number\nnew@d.test,N,1\n")
    done = desk.send()
    assert done.returncode == 2 and "--again" in done.stderr
    assert desk.send("--again").returncode == 0
    assert sum(b"new@d.test" in job for job in desk.jobs()) == 1


def test_sent_before(desk):
    """Complete: the same again sends nothing; another letter, or --again, does."""
    desk.write_many(300)
    assert desk.send().returncode == 0
    done = desk.send()
    assert done.returncode == 0 and "--again" in done.stderr and desk.count() == 300
    (desk.box.path / "letter.eml").write_bytes(LETTER.replace(b"filler", b"filled"))
    assert desk.send().returncode == 0
    assert desk.count() == 600
    assert desk.send("--again").returncode == 0
    assert desk.count() == 900


def test_two_at_a_time(desk):
    desk.write_many()
    run = desk.start()
    eventually(lambda: desk.count() > 200, "some rows are submitted", step_s=0.001)
    second = desk.send()
    assert second.returncode == 75 and "another volley send" in second.stderr
    assert run.wait(60) == 0


def test_bad_rows(desk):
    """Reported with their line, counted beyond twenty, kept in a file; the rest goes out."""
    bad = ["no-at", '"open', 'x"y@d.test,a,1', "a@b.test,too,few,or,many", "a@b.test",
           "a b@c.test,n,1", "ä@d.test,n,1", "@d.test,n,1", "\x00@d.test,n,1"]
    text = "to,name,number\n".encode()
    for i in range(40):
        text += f"u{i}@d.test,N,{i}\n".encode() + bad[i % len(bad)].encode() + b"\n"
    text += b"u40@d.test,\xff\xfe,1\nu41@d.test,last,1"
    desk.write(text)
    done = desk.send("--rejects", "bad.csv", "--json")
    assert done.returncode == 1
    assert desk.numbers() == list(range(40)) + [41]
    result = json.loads(done.stdout)
    assert (result["submitted"], result["bad_rows"]) == (41, 41)
    shown = re.findall(r"^list\.csv:(\d+): ", done.stderr, flags=re.M)
    assert shown == [str(3 + 2 * i) for i in range(20)]
    assert "21 more bad rows" in done.stderr
    with open(desk.box.path / "bad.csv", newline="") as f:
        rows = list(csv.reader(f))
    assert rows[0] == ["line", "error"]
    assert [row[0] for row in rows[1:]] == [str(3 + 2 * i) for i in range(40)] + ["82"]
    assert all(row[1] for row in rows[1:])


def test_lists_of_all_kinds(desk):
    lists = [
        b"\xef\xbb\xbfTo,name,number\r\n a@d.test ,N,1\r\n",           # BOM, CRLF, blanks
        "Email;name;number\na@d.test;\"Mü;ller\";1\n".encode(),         # semicolons
        b"number\temail\tname\n1\ta@d.test\tN",                         # tabs, no line end
        b'name,to,number\n"two\nlines",a@d.test,1\n\n\n',               # line end in a field
        b'to,name,number,extra,"un,used"\na@d.test,N,1,x,y\n',          # columns nobody asked for
    ]
    for i, text in enumerate(lists):
        desk.write(text)
        done = desk.send("--again")
        assert done.returncode == 0, done.stderr
        assert desk.count() == i + 1
    assert all(b"extra" not in job for job in desk.jobs())


def test_domains_beyond_ascii(desk):
    desk.write("to,name,number\nann@bücher.test,N,1\nzoë@d.test,N,2\n")
    (desk.box.path / "letter.eml").write_bytes(LETTER)
    done = desk.send("--preview", "1")
    assert "To: ann@xn--bcher-kva.test\n" in done.stdout
    done = desk.send()
    assert done.returncode == 1 and re.search(r"^list\.csv:3: .*not ASCII", done.stderr, flags=re.M)
    assert [b"ann@xn--bcher-kva.test" in job for job in desk.jobs()] == [True]


def test_lists_that_are_none(desk):
    for text, says in [("", "empty"), ("name\nAnn\n", "no column"),
                       ("to,email\na,b\n", "two columns"), ("to,name,name\n", "two columns"),
                       ('to,"name\n', "quote"),
                       (b"to,\xff\n", "UTF-8")]:
        desk.write(text)
        done = desk.send()
        assert done.returncode == 2 and says in done.stderr, (text, done.stderr)
    assert desk.box.run(*desk.argv()[:5], "nowhere.csv", "--message", "letter.eml").returncode == 2
    assert desk.jobs() == []


def test_letters_that_are_none(desk):
    desk.write("to,name,number\na@d.test,N,1\n")
    for text, says in [(b"", "line 1"), (b"Hello\n", "line 1: not a header field"),
                       (b"From: a@b.test\n\n{{#x}}\n", "line 3: the section of x is never closed"),
                       (b"From: a@b.test\n\n\0", "line 3: a NUL")]:
        (desk.box.path / "letter.eml").write_bytes(text)
        done = desk.send()
        assert done.returncode == 2 and says in done.stderr, done.stderr
    assert desk.jobs() == []


def test_missing_columns(desk):
    desk.write("to,nam,number\na@d.test,N,1\n")
    done = desk.send("--strict")
    assert done.returncode == 2
    assert "{{name}}" in done.stderr and "did you mean {{nam}}" in done.stderr
    done = desk.send()
    assert done.returncode == 0 and "warning" in done.stderr and "{{name}}" in done.stderr
    done = desk.send("--strict", "--again", "--var", "name=Somebody")
    assert done.returncode == 0 and done.stderr == ""
    assert any(b"Somebody" in job for job in desk.jobs())


def test_options_reach_the_jobs(desk):
    desk.write("to,name,number\na@d.test,N,1\n")
    at = int(time.time()) + 5000
    done = desk.send("--class", "bulk", "--campaign", "c1", "--tenant", "t1", "--pool", "p1",
                     "--at", str(at), "--spread", "1h", "--from", "bounce@sender.test",
                     "--id", "letter-1")
    assert done.returncode == 0, done.stderr
    assert desk.queue.client.hget(desk.queue.key("msg:letter-1"), "from") == b"bounce@sender.test"
    (record, due), = desk.queue.client.zrange(desk.queue.key("due:bulk"), 0, -1, withscores=True)
    assert at * 1000 <= due < (at + 3600) * 1000
    assert b"bulk:p1:t1" in record and b"c1" in record and b"letter-1" in record
    for wrong in [["--class", "huge"], ["--at", "tomorrow"], ["--pool", "a", "--route", "b"],
                  ["--var", "novalue"], ["--id", "a b"], ["--from", "nobody"], ["--tenant", "a b"]]:
        done = desk.send("--again", *wrong)
        assert done.returncode in (1, 2), wrong
        assert done.stderr, wrong


def test_bad_rows_are_not_forgotten(desk):
    """Given again, a complete sending says the same of its rows."""
    desk.write("to,name,number\na@d.test,N,1\nbad,N,2\n")
    assert desk.send().returncode == 1
    done = desk.send("--json")
    assert done.returncode == 1 and "--again" in done.stderr
    assert json.loads(done.stdout)["bad_rows"] == 1 and desk.count() == 1


def test_addresses_beyond_ascii_say_what_is_wrong(desk):
    desk.write("to,name,number\n" + "".join(f"{a},N,1\n" for a in [
        "zoë@bücher.test", "ann@☃.test", "ann＠d.test", "ann@ü..test", "ann@d.test"]))
    done = desk.send()
    says = dict(re.findall(r"(?m)^list\.csv:(\d+): (.*)$", done.stderr))
    assert sorted(says) == ["2", "3", "4", "5"]
    assert '"zoë@bücher.test"' in says["2"] and "before the @ is not ASCII" in says["2"]
    assert "no domain name" in says["3"] and "no domain name" in says["5"]
    assert "has no @" in says["4"]


def test_a_bad_address_of_redis_is_said_where_it_is(box):
    (box.path / "m.eml").write_bytes(LETTER)
    (box.path / "l.csv").write_text("to,name,number\na@d.test,N,1\n")
    done = box.run("volley", "send", "--redis", "http://x", "--to", "l.csv", "--message", "m.eml")
    assert done.returncode == 2 and "--redis: " in done.stderr
    assert "queue.redis" not in done.stderr


def test_a_pool_that_nobody_has(box):
    queue = box.redis()
    box.engine(queue, io="epoll", sink=box.sink().address)
    (box.path / "letter.eml").write_bytes(LETTER)
    (box.path / "list.csv").write_text("to,name,number\na@d.test,N,1\n")
    done = box.run("volley", "send", "--redis", queue.url, "--to", "list.csv",
                   "--message", "letter.eml", "--pool", "nowhere")
    assert done.returncode == 2 and "nowhere" in done.stderr
    # Nothing was submitted, so nothing stands in the way of the right command.
    assert not list(box.path.glob("*.volley-checkpoint"))
    done = box.run("volley", "send", "--redis", queue.url, "--to", "list.csv",
                   "--message", "letter.eml")
    assert done.returncode == 0, done.stderr


def test_looking_changes_nothing(desk):
    desk.write("to,name,number\na@d.test,N,1\nbad\n")
    assert desk.send("--preview", "2").returncode == 1
    done = desk.send("--dry-run", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"good_rows": 1, "bad_rows": 1}
    assert desk.queue.client.keys("*") == []
    assert not list(desk.box.path.glob("*.volley-checkpoint"))
