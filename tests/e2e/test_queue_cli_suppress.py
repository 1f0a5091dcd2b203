"""test_queue_cli_suppress.py - `volley queue suppress`: addresses that get no mail."""

import csv
import io
import json
import re

import pytest

from conftest import BUILD
from process import Process, eventually
from queue_library import queue, server

LIST = "volley:suppress:{list}:"


@pytest.fixture
def cli(box, queue, server):
    def run(*argv, code=0, **more):
        done = box.run("volley", "queue", "suppress", *argv, "--redis", f"unix:{server.path}",
                       **more)
        assert done.returncode == code, (argv, done)
        return done

    def asked(*argv, **more):
        return json.loads(run(*argv, "--json", **more).stdout)

    def write(text, name="list.csv"):
        (box.path / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    run.json, run.write = asked, write
    return run


def entries(cli, *argv):
    return sorted((e["to"], e["tenant"], e["scope"], e["reason"])
                  for e in cli.json("list", *argv)["entries"])


def test_add_find_remove(cli):
    assert cli.json("add", "Ann@Example.org", "bob@example.org", "--reason", "asked to") == {
        "added": 2}
    assert cli.json("add", "ann@example.org", "--scope", "campaign:march", "--tenant", "acme",
                    "--expires", "90d") == {"added": 1}
    assert cli.json("add", "ann@example.org") == {"added": 0}
    assert entries(cli, "ann@example.org") == [
        ("ann@example.org", "*", "all", "asked to"),
        ("ann@example.org", "acme", "campaign:march", "")]
    assert len(entries(cli, "ANN@example.org", "--tenant", "other")) == 1
    text = cli("list", "ann@example.org").stdout
    assert re.search(r"(?m)^ann@example.org +\* +all +20.* UTC +never +asked to$", text), text
    assert cli.json("list", "--tenants")["tenants"] == {"*": 2, "acme": 1}
    assert "acme 1\n" in cli("list", "--tenants").stdout
    assert "1 removed" in cli("remove", "ann@example.org", "--tenant", "acme").stdout
    assert cli.json("remove", "ann@example.org", "bob@example.org") == {"removed": 2}
    assert cli.json("list")["entries"] == []


def test_what_is_refused(cli):
    for argv in [("add",), ("remove",), ("import",), ("nonsense",), ("add", "nobody"),
                 ("add", "a@b.example", "--scope", "much"),
                 ("add", "a@b.example", "--tenant", "a b"),
                 ("add", "a@b.example", "--expires", "soon"), ("list", "--cursor", "x"),
                 ("list", "a@b.example", "--tenants"), ("export", "--json")]:
        assert cli(*argv, code=2).stderr, argv


def test_pages(cli):
    cli.write("to\n" + "".join(f"u{i}@d.example\n" for i in range(2345)))
    cli("import", "list.csv")
    seen, cursor, rounds = set(), [], 0
    while True:
        page = cli.json("list", "--limit", "500", *cursor)
        seen |= {e["to"] for e in page["entries"]}
        assert len(page["entries"]) < 1000 and rounds < 50
        if "cursor" not in page:
            break
        cursor = ["--cursor", page["cursor"]]
        rounds += 1
    assert len(seen) == 2345 and rounds >= 3
    assert "--cursor" in cli("list").stdout


def test_import_and_export(cli, queue):
    cli.write('email,Name,scope,reason,expires,tenant\n'
              'a@x.example,A,,"said ""no"", twice",,\n'
              'B@x.example,B,bulk,,2090-01-01T00:00:00Z,acme\n'
              'c@bücher.example,C,campaign:march,,never,\n')
    assert cli.json("import", "list.csv", "--reason", "by hand") == {"rows": 3, "added": 3,
                                                                     "bad_rows": 0}
    first = cli("export").stdout
    rows = {row["to"]: row for row in csv.DictReader(io.StringIO(first))}
    assert rows["a@x.example"]["reason"] == 'said "no", twice'
    assert rows["b@x.example"] == {"to": "b@x.example", "tenant": "acme", "scope": "bulk",
                                   "reason": "by hand", "since": rows["b@x.example"]["since"],
                                   "expires": "2090-01-01T00:00:00Z"}
    assert rows["c@xn--bcher-kva.example"]["scope"] == "campaign:march"
    assert cli("export", "--tenant", "acme").stdout.count("\n") == 2
    # What was exported comes back the same, times included.
    for key in queue.redis.keys(LIST + "*"):
        queue.redis.delete(key)
    assert cli("export").stdout == "to,tenant,scope,reason,since,expires\n"
    cli.write(first.replace("\n", "\r\n"), "all.csv")
    cli("import", "all.csv")
    assert sorted(cli("export").stdout.splitlines()) == sorted(first.splitlines())
    assert "0 of them new" in cli("import", "all.csv").stdout


def test_bad_rows_have_their_line(cli, box):
    good = "".join(f"g{i}@d.example,all,\n" for i in range(700))
    cli.write("to,scope,expires\n" + good + "nobody,all,\nx@d.example,much,\n"
              "y@d.example,all,soon\nz@d.example\nlast@d.example,bulk,1d\n" + good)
    done = cli("import", "list.csv", "--rejects", "bad.csv", code=1)
    shown = dict(re.findall(r"(?m)^list\.csv:(\d+): (.*)$", done.stderr))
    assert list(shown) == ["702", "705", "703", "704"] or sorted(shown) == ["702", "703", "704",
                                                                            "705"]
    assert "no @" in shown["702"] or "address" in shown["702"]
    assert shown["703"].startswith("scope: 'much'") and shown["704"].startswith("expires: ")
    assert "1 field" in shown["705"]
    assert "1 401 rows taken, 701 of them new" in done.stdout and "4 bad rows" in done.stdout
    with open(box.path / "bad.csv", newline="") as f:
        assert {row["line"] for row in csv.DictReader(f)} == set(shown)


@pytest.mark.parametrize("text", ["", "name\nx\n", b"to\xff\n", 'to,"x\n', "to,email\na,b\n"])
def test_files_that_are_none(cli, text):
    cli.write(text)
    assert "list.csv" in cli("import", "list.csv", code=2).stderr
    cli("import", "nowhere.csv", code=2)


def test_import_of_a_long_list_in_flat_memory(cli, box, server):
    """60,000 rows and their export, with no more than 16 MB for data."""
    rows = 60000
    with open(box.path / "long.csv", "w") as f:
        f.write("to,reason\n")
        f.writelines(f"u{i}@d{i % 99}.example,somebody said so\n" for i in range(rows))
    limit = f"ulimit -d 16000; exec {BUILD}/volley queue suppress %s --redis unix:{server.path}"
    done = box.run("sh", "-c", limit % "import long.csv --json")
    if "anitizer" in done.stderr:
        pytest.skip("a sanitizer needs more memory than the limit of this test")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["added"] == rows
    done = box.run("sh", "-c", limit % "export")
    assert done.returncode == 0 and done.stdout.count("@") >= rows


def test_interrupted_and_started_again(cli, box, server):
    rows = 60000
    with open(box.path / "long.csv", "w") as f:
        f.write("to\n")
        f.writelines(f"u{i}@d.example\n" for i in range(rows))
    argv = [BUILD / "volley", "queue", "suppress", "import", "long.csv", "--redis",
            f"unix:{server.path}"]
    run = box.keep(Process("import", argv, cwd=box.path))
    eventually(lambda: server.client.hlen(LIST + "of:*") > 1000 or not run.running(),
               "some rows are taken", step_s=0.001)
    run.signal(2)
    assert run.wait() in (0, 75)
    cli("import", "long.csv")
    assert server.client.hlen(LIST + "of:*") == rows


def test_without_redis_and_without_the_library(cli, box, server):
    cli.write("to\na@b.example\n")
    for argv in [("add", "a@b.example"), ("remove", "a@b.example"), ("list",), ("export",),
                 ("import", "list.csv"), ("list", "--tenants"), ("list", "a@b.example")]:
        done = box.run("volley", "queue", "suppress", *argv, "--redis", f"unix:{box.path}/none")
        assert done.returncode == 75 and "none" in done.stderr
    server.client.function_flush("SYNC")
    for argv in [("add", "a@b.example"), ("list",), ("import", "list.csv")]:
        assert "library --load" in cli(*argv, code=1).stderr
