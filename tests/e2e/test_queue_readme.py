"""test_queue_readme.py - what queue/README.md tells people to type does what it says."""

import os
import re
import shutil
import subprocess

import pytest
import redis

from queue_library import LETTER, ROOT, queue, record, server, source, text

README = (ROOT / "queue/README.md").read_text()


def section(title):
    return re.search(r"^## %s.*?\n(.*?)^## " % re.escape(title), README, re.M | re.S).group(1)


def test_redis_cli(queue, server, tmp_path):
    (tmp_path / "letter.eml").write_bytes(LETTER)
    answers = []
    for line in re.findall(r"^    (redis-cli .*)$", section("From redis-cli"), re.M):
        command = line.replace("redis-cli", f"redis-cli -s {server.path}", 1)
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=30)
        assert done.returncode == 0, done
        answers.append(done.stdout.decode().strip())
    assert shutil.which("redis-cli") and answers[0] == "news42" and len(answers[1]) == 26
    assert record(queue.list("in:normal:default:default")[0])["to"] == "ann@example.org"


def test_python(queue, server, tmp_path, monkeypatch):
    (tmp_path / "letter.eml").write_bytes(LETTER)
    monkeypatch.chdir(tmp_path)
    real = redis.Redis
    monkeypatch.setattr(redis, "Redis", lambda: real(unix_socket_path=server.path))
    names = {}
    exec(re.search(r"```python\n(.*?)```", README, re.S).group(1), names)
    assert len(names["job"]) == 26
    assert [len(answer) for answer in names["answers"]] == [26, 26]
    assert len(queue.list("in:normal:default:default")) == 1
    assert [record(raw)["to"] for raw in queue.list("in:bulk:default:default")] == [
        "ann@example.org", "bob@example.org"]


# How each sample is run: its file, the command, what shows that its library is there, and what
# of it names the Redis on this machine.  Debian keeps libraries for Node and Go where its own
# programs look, which others have to be told.
SAMPLES = {
    "js": ("sample.js", ["node", "sample.js"],
           ["node", "-e", "require('redis')"],
           ("createClient()", "createClient({socket: {path: '%s'}})"),
           {"NODE_PATH": "/usr/share/nodejs:/usr/lib/nodejs"}),
    "php": ("sample.php", ["php", "sample.php"],
            ["php", "-r", "exit(class_exists('Redis') ? 0 : 1);"],
            ('connect("127.0.0.1")', 'connect("%s")'), {}),
    "ruby": ("sample.rb", ["ruby", "sample.rb"], ["ruby", "-e", "require 'redis'"],
             ("Redis.new\n", 'Redis.new(path: "%s")\n'), {}),
    "go": ("sample.go", ["go", "run", "sample.go"],
           ["go", "list", "github.com/gomodule/redigo/redis"],
           ('redis.Dial("tcp", "127.0.0.1:6379")', 'redis.Dial("unix", "%s")'),
           {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "-p=2"}),
}
WHY_NOT = {"js": "node-redis", "php": "php-cli and php-redis", "ruby": "ruby-redis",
           "go": "Go is 465 MB and left out of the default run; `make test-go` brings it"}


@pytest.mark.parametrize("language", SAMPLES)
def test_sample(queue, server, tmp_path, language):
    """Twice, as by a program whose answer got lost: one job, with what was given to it."""
    name, command, there, (connect, instead), more = SAMPLES[language]
    env = {**os.environ, "GOCACHE": str(tmp_path / "cache"), **more}
    if not shutil.which(command[0]) or subprocess.run(
            there, env=env, capture_output=True, cwd=tmp_path, timeout=120).returncode:
        pytest.skip(f"not installed: {WHY_NOT[language]}")
    sample = re.search(rf"```{language}\n(.*?)```", README, re.S).group(1)
    assert connect in sample
    sample = sample.replace(connect, instead % server.path)
    (tmp_path / name).write_text("<?php\n" + sample if language == "php" else sample)
    (tmp_path / "letter.eml").write_bytes(LETTER)
    answers = set()
    for _ in range(2):
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr.decode()
        answers.add(done.stdout.decode().strip())
    (raw,) = queue.list("in:normal:default:default")
    found = record(raw)
    assert {f"{job}.1" for job in answers} == {found["id"]}
    assert found["to"] == "ann@example.org" and found[5] == b"\x04nameAnn"
    assert queue.redis.hget("volley:{0}:msg:news42", "eml") == LETTER


def test_every_field_is_known(queue):
    """Each field in the table is taken, or refused for its value, never as unknown."""
    queue.store("id", "m", "eml", LETTER)
    rows = re.findall(r"^\| (`.*?) \|", section("volley_submit"), re.M)
    fields = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(fields) > 25
    for field in fields:
        name = field.replace("<name>", "a")
        try:
            queue.submit(name, "\0")
        except redis.ResponseError as error:
            assert "is not a field" not in str(error), error


def test_the_library_has_the_functions_named(queue):
    loaded = text(queue.redis.function_list(library="volley"))[0]
    names = {dict(zip(f[::2], f[1::2]))["name"]
             for f in dict(zip(loaded[::2], loaded[1::2]))["functions"]}
    assert names == set(re.findall(r"\b(volley_(?:store|submit\w*|orders?|resume|suppress_\w+))\b",
                                   README))
    assert source("volley").startswith("#!lua name=volley\n")
