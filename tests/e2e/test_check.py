"""test_check.py - `volley check`, `volley help` and the dispatcher, as a person meets them."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
VOLLEY = TOP / os.environ.get("VOLLEY_BUILD", "build") / "volley"


@pytest.fixture
def volley(tmp_path):
    """Runs the program in a directory of its own; `files` are put there first."""
    def run(*argv, files=None, **more):
        for name, text in (files or {}).items():
            (tmp_path / name).write_text(text)
        return subprocess.run([VOLLEY, *argv], cwd=tmp_path, capture_output=True, text=True,
                              timeout=30, stdin=subprocess.DEVNULL, **more)
    return run


def words(text):
    return " ".join(text.split())


# ---- the dispatcher ----


def test_no_command_explains_itself_and_fails(volley):
    done = volley()
    assert done.returncode == 2 and done.stdout == ""
    assert "Usage: volley COMMAND" in done.stderr


def test_overview_lists_every_command(volley):
    done = volley("--help")
    listed = re.search(r"(?s)Commands:\n(.*?)\n\n", done.stdout).group(1)
    commands = re.findall(r"(?m)^  (\S+)", listed)
    assert {"check", "help"} <= set(commands)
    for command in commands:
        one = volley(command, "--help")
        assert one.returncode == 0 and one.stdout.startswith(f"volley {command} - ")
        assert volley("help", command).stdout == one.stdout


def test_a_misspelt_command_gets_a_suggestion(volley):
    done = volley("chekc")
    assert done.returncode == 2 and "did you mean check?" in done.stderr
    done = volley("help", "chekc")
    assert done.returncode == 2 and "did you mean check?" in done.stderr


def test_output_that_cannot_be_written_is_a_failure(volley):
    with open("/dev/full", "w") as full:
        for argv in (("--help",), ("help",), ("check",), ("check", "--print")):
            done = subprocess.run([VOLLEY, *argv], stdout=full, stderr=subprocess.PIPE, timeout=30)
            assert done.returncode == 1, argv


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
def test_manual_pages_are_clean(volley, tmp_path):
    for argv in ((), ("check",), ("help",)):
        page = tmp_path / "page.1"
        page.write_text(volley("help", "--man", "--date", "2026-08-21", *argv).stdout)
        lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True,
                              text=True)
        assert lint.returncode == 0, lint.stdout


def test_reference_has_the_keys_of_the_example(volley):
    reference = volley("help", "--config-reference").stdout
    for key in ("hostname", "queue.redis", "limits.default.rate", "limits.NAME.match.mx",
                "routes.NAME.auth.password_file", "events.redis.max_bytes"):
        assert f"| `{key}` |" in reference


# ---- check ----


def test_defaults_are_right(volley):
    done = volley("check")
    assert done.returncode == 0 and done.stdout == "defaults: ok\n"


def test_the_example_is_right(volley):
    done = volley("check", "-c", TOP / "conf/volley.example.yaml")
    assert done.returncode == 0 and done.stderr == ""


def test_the_example_with_every_comment_taken_out(volley, tmp_path):
    """What is commented out in the example is right, too."""
    text = (TOP / "conf/volley.example.yaml").read_text()
    text = re.sub(r"(?m)^( *)# ( *)(?=(\S+:|- )( |$))", r"\1\2", text)
    text = text.replace("/etc/volley/", f"{tmp_path}/").replace("/var/log/volley/", f"{tmp_path}/")
    for name in ("redis-password", "mailbox-password"):
        (tmp_path / name).write_text("secret\n")
        (tmp_path / name).chmod(0o600)
    done = volley("check", "-c", "all.yaml", files={"all.yaml": text})
    assert done.returncode == 0, done.stderr
    assert "mailbox" in volley("check", "-c", "all.yaml", "--print").stdout


def test_problems_have_places_and_cures(volley):
    done = volley("check", "-c", "bad.yaml", files={"bad.yaml": """\
hostname: mta.test
limits:
  defualt: {rate: 5/s}
  google: {match: {domains: [gmail.com]}, rate: 5, conections: 3}
wokers: 2
"""})
    assert done.returncode == 2 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines == sorted(lines, key=lambda line: [int(n) for n in line.split(":")[1:3]])
    assert any(line.startswith("bad.yaml:4:49: limits.google.rate has no unit of time; write")
               for line in lines)
    assert any('did you mean "connections"?' in line for line in lines)
    assert any(line.startswith("bad.yaml:5:1:") and '"workers"' in line for line in lines)


def test_addresses_of_redis_are_read_to_their_end(volley):
    for address, text in {
        "redis-sentinel://127.0.0.1:26379": "comes the name under which they know the master",
        "redis://127.0.0.1:6379/x": "the database behind the last / is a number",
        "rediss://127.0.0.1:6379/0?nam=x": "behind the ? come name=value pairs",
        "redis://127.0.0.1/0?ca=/ca.pem": "write rediss://",
        "rediss://127.0.0.1/0?ca=/no/ca.pem": "CA file /no/ca.pem: No such file",
        "redis://joe@127.0.0.1/0": "name its file in queue.password_file",
    }.items():
        files = {"a.yaml": f'hostname: mta.test\nqueue: {{redis: "{address}"}}\n'}
        for command in ("check", "run"):  # as it would run, and what it would say
            done = volley(command, "-c", "a.yaml", files=files)
            assert done.returncode == 2 and done.stdout == "", (command, done.stderr)
            assert done.stderr.startswith("a.yaml:2:16: queue.redis: "), done.stderr
            assert text in done.stderr


def test_json_can_be_read_by_a_program(volley):
    files = {"a.yaml": "hostname: mta.test\nlimits: {default: {rate: 7/s}}\n", "b.yaml": "x: 1\n"}
    good = volley("check", "-c", "a.yaml", "--json", "--print", files=files)
    result = json.loads(good.stdout)
    assert good.returncode == 0 and result["ok"] is True and result["problems"] == []
    values = {value["key"]: value for value in result["values"]}
    assert values["limits.default.rate"] == {"key": "limits.default.rate", "value": "7/s",
                                             "origin": "limits.default.rate, a.yaml:2"}
    assert values["workers"]["origin"] == "default"
    bad = volley("check", "-c", "b.yaml", "--json")
    result = json.loads(bad.stdout)
    assert bad.returncode == 2 and result["ok"] is False
    assert result["problems"][0]["line"] == 1 and result["problems"][0]["level"] == "error"


def test_print_loads_again_to_the_same(volley):
    files = {"a.yaml": (TOP / "conf/volley.example.yaml").read_text()}
    first = volley("check", "-c", "a.yaml", "--print", files=files).stdout
    again = volley("check", "-c", "b.yaml", "--print", files={"b.yaml": first})
    strip = lambda text: re.sub(r"(?m) *# \S.*$", "", text)
    assert again.returncode == 0 and strip(again.stdout) == strip(first)


def test_secrets_come_from_files_beside_the_configuration(volley, tmp_path):
    files = {"a.yaml": "hostname: mta.test\nroutes:\n  r:\n    hosts: [h.test]\n"
                       "    auth: {user: u, password_file: pw}\n"}
    done = volley("check", "-c", "a.yaml", files=files)
    assert done.returncode == 2
    assert f"a.yaml:5:36: password file {tmp_path}/pw: No such file" in done.stderr
    (tmp_path / "pw").write_text("open sesame\n")
    (tmp_path / "pw").chmod(0o644)
    done = volley("check", "-c", "a.yaml")
    assert done.returncode == 0 and "warning: " in done.stderr and "chmod 640" in done.stderr
    (tmp_path / "pw").chmod(0o600)
    for more in ((), ("--json",)):
        done = volley("check", "-c", "a.yaml", "--print", *more)
        assert done.returncode == 0 and done.stderr == ""
        assert "sesame" not in done.stdout


def test_a_place_for_the_events(volley, tmp_path):
    files = {"a.yaml": "hostname: mta.test\nevents:\n  file: gone/events.jsonl\n"}
    for command in ("check", "run"):
        done = volley(command, "-c", "a.yaml", files=files)
        assert done.returncode == 2
        assert done.stderr.startswith("a.yaml:3:9: events.file cannot be written: "
                                      f"{tmp_path}/gone: No such file")
    (tmp_path / "gone").mkdir()
    assert volley("check", "-c", "a.yaml").returncode == 0
    (tmp_path / "gone/events.jsonl").mkdir()
    done = volley("check", "-c", "a.yaml", "--json")
    assert done.returncode == 2 and "is a directory" in done.stdout


def test_run_says_how_it_ends(volley):
    shown = volley("run", "--help").stdout
    assert re.search(r"(?m)^Exit codes:\n +0 ", shown) and " 75 " not in shown


def test_large_and_odd_files_are_refused_quickly(volley, tmp_path):
    files = {"bomb.yaml": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
             "deep.yaml": "[" * 50000, "large.yaml": "a: " + "x" * (5 << 20)}
    for name in files:
        done = volley("check", "-c", name, files=files)
        assert done.returncode == 2 and done.stderr.startswith(name), name
    assert volley("check", "-c", ".").returncode == 2
    assert volley("check", "-c", "/dev/zero").returncode == 2
