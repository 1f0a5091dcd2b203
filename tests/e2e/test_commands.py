"""test_commands.py - exit codes and messages of the commands, as scripts and people see them."""

import json
import re

import pytest

from letters import LETTER, PLAIN
from process import Process, eventually
from conftest import BUILD


@pytest.mark.parametrize("command", [
    ("volley",), ("volley", "run"), ("volley", "send"), ("volley", "check"), ("volley", "demo"),
    ("volley-sink",)])
def test_help_and_version(box, command):
    done = box.run(*command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert re.search(r"(?m)^usage", done.stdout, re.I)
    done = box.run(*command, "--version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)


@pytest.mark.parametrize("argv", [
    ("volley", "nonsense"), ("volley", "run", "--nonsense"), ("volley", "send"),
    ("volley-sink", "--nonsense"), ("volley", "run", "-c")])
def test_bad_usage_exits_2(box, argv):
    done = box.run(*argv)
    assert done.returncode == 2 and done.stderr and done.stdout == ""


BAD = [
    ("hostnam: x\n", r"bad\.yaml:1:1: .*hostname"),
    ("limits:\n  default: {rate: fast}\n", r"bad\.yaml:2:\d+: .*100/s"),
    ("workers: -3\n", r"bad\.yaml:1:10: "),
    ("queue: {redis: 'ftp://x'}\n", r"bad\.yaml:1:\d+: .*redis"),
    ("a: [\n", r"bad\.yaml:\d+:\d+: "),
    ("io: fast\n", r"bad\.yaml:1:5: .*(auto|uring|epoll)"),
    ("\xff\xfe: 1\n", r"bad\.yaml:\d+:\d+: "),
]


@pytest.mark.parametrize("text,message", BAD)
def test_a_bad_configuration_names_the_place_and_exits_2(box, text, message):
    (box.path / "bad.yaml").write_bytes(text.encode("latin-1"))
    for command in ("check", "run"):
        done = box.run("volley", command, "-c", "bad.yaml")
        assert done.returncode == 2, done.stderr
        assert re.search(message, done.stderr), done.stderr


def test_a_file_that_is_not_there(box):
    for command in ("check", "run"):
        done = box.run("volley", command, "-c", "gone.yaml")
        assert done.returncode == 2 and "gone.yaml" in done.stderr


def test_check_prints_what_holds_and_why(box):
    (box.path / "a.yaml").write_text("hostname: mta.test\nlimits: {default: {rate: 7/s}}\n")
    done = box.run("volley", "check", "-c", "a.yaml", "--print")
    assert done.returncode == 0, done.stderr
    assert "mta.test" in done.stdout and "7/s" in done.stdout
    (box.path / "again.yaml").write_text(done.stdout)
    again = box.run("volley", "check", "-c", "again.yaml", "--print")
    assert again.returncode == 0, again.stderr


def test_secrets_are_never_printed(box, backend):
    (box.path / "pw").write_text("correct horse\n")
    (box.path / "pw").chmod(0o600)
    queue = box.redis()
    sink = box.sink()
    route = {"hosts": [sink.address], "auth": {"user": "me", "password_file": "pw"}, "tls": "none"}
    engine = box.engine(queue, io=backend, routes={"there": route}, log="debug")
    shown = box.run("volley", "check", "-c", engine.config_path, "--print")
    engine.terminate()
    assert "correct horse" not in shown.stdout + shown.stderr + engine.text()


def test_redis_away_at_the_start(box):
    """A clear message; it waits, and works when Redis comes."""
    (box.path / "a.yaml").write_text(json.dumps({
        "hostname": "mta.test", "queue": {"redis": f"unix:{box.path}/none.sock",
                                          "state_directory": str(box.path / "state")}}))
    engine = box.keep(Process("engine", [BUILD / "volley", "run", "-c", box.path / "a.yaml"]))
    engine.wait_line(r"(?i)redis.*none\.sock")
    if engine.running():
        assert engine.terminate() in (0, 75)
    else:
        assert engine.wait() == 75


# ---- volley send -----------------------------------------------------------------------------


@pytest.fixture
def mailing(box):
    """A queue, a sink, an engine and a function that runs `volley send` on a list."""
    queue = box.redis()
    sink = box.sink("--store", box.path / "mail")
    engine = box.engine(queue, io="epoll", sink=sink.address)
    (box.path / "letter.eml").write_bytes(LETTER)

    def send(csv, *more):
        (box.path / "list.csv").write_bytes(csv if isinstance(csv, bytes) else csv.encode())
        return box.run("volley", "send", "-c", engine.config_path, "--from", "news@sender.test",
                       "--to", "list.csv", "--message", "letter.eml", *more)

    return queue, sink, send


def test_send_a_list(mailing):
    queue, sink, send = mailing
    rows = "".join(f"u{i}@d{i % 7}.test,Name {i},{i}\n" for i in range(200))
    done = send("email,name,number\n" + rows)
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(queue.finals()) == 200, "200 outcomes")
    assert sorted(sink.recipients()) == sorted(f"u{i}@d{i % 7}.test" for i in range(200))


def test_send_reports_bad_rows_and_sends_the_rest(mailing):
    queue, sink, send = mailing
    done = send('to,name,number\nann@a.test,Ann,1\nnot an address,X,2\n'
                'bob@a.test,"Bob ""the"" B",3\nshort@a.test\n"open quote@a.test\n')
    assert done.returncode == 1
    assert re.search(r"list\.csv:3\b", done.stderr), done.stderr
    assert re.search(r"list\.csv:5\b", done.stderr), done.stderr
    eventually(lambda: len(queue.finals()) >= 2, "the good ones")
    assert {"ann@a.test", "bob@a.test"} <= set(sink.recipients())


def test_send_again_sends_nothing_twice(mailing):
    queue, sink, send = mailing
    csv = "to,name,number\n" + "".join(f"u{i}@a.test,N,{i}\n" for i in range(50))
    assert send(csv).returncode == 0
    assert send(csv).returncode == 0
    eventually(lambda: len(queue.finals()) >= 50, "50 outcomes")
    eventually(lambda: queue.waiting() == 0, "an empty queue")
    assert len(sink.recipients()) == 50


def test_send_dry_run_and_preview(mailing):
    queue, sink, send = mailing
    csv = "to,name,number\nann@a.test,Ann,1\nbob@a.test,Bob,2\n"
    done = send(csv, "--preview", "1")
    assert done.returncode == 0 and "Dear Ann," in done.stdout and "Dear Bob," not in done.stdout
    assert send(csv, "--dry-run").returncode == 0
    assert queue.waiting() == 0 and sink.accepted() == []


def test_send_with_files_that_are_no_good(mailing, box):
    _, _, send = mailing
    assert send("name\nAnn\n").returncode == 2
    assert send(b"to\n" + bytes(range(256)) * 10).returncode in (1, 2)
    (box.path / "letter.eml").write_bytes(b"")
    assert send("to\na@b.test\n").returncode in (1, 2)


def test_send_follows_to_the_end(mailing):
    _, sink, send = mailing
    done = send("to,name,number\na@b.test,A,1\npermfail@b.test,B,2\n", "--follow")
    assert len(sink.recipients()) == 1
    assert "1 delivered" in done.stdout and re.search(r"1 (bounced|failed)", done.stdout)


def test_send_without_redis(box):
    (box.path / "a.yaml").write_text(json.dumps({"queue": {"redis": f"unix:{box.path}/none.sock"}}))
    (box.path / "l.csv").write_text("to\na@b.test\n")
    (box.path / "m.eml").write_bytes(PLAIN)
    done = box.run("volley", "send", "-c", "a.yaml", "--from", "x@y.test", "--to", "l.csv",
                   "--message", "m.eml")
    assert done.returncode == 75 and "none.sock" in done.stderr
