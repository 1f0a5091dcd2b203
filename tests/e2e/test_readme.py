"""test_readme.py - the first send of the README, typed as it stands there."""

import os
import re

import pytest

from conftest import BUILD, TOP, needs, needs_root
from process import Process, eventually
from test_mx import Network

SOURCE, SINK = "192.0.2.10", "192.0.2.20"


def blocks():
    """The shell blocks of "A first send"."""
    text = (TOP / "README.md").read_text()
    section = re.search(r"(?s)\n## A first send\n(.*?)\n## ", text).group(1)
    return re.findall(r"(?s)```sh\n(.*?)```", section)


@pytest.fixture
def typed(box):
    """Runs shell text in a network where the README's source address is ours."""
    needs_root("a network namespace")
    needs("ip", "unshare", "nsenter", "redis-server")
    network = box.keep(Network(SOURCE, SINK))
    env = {"PATH": f"{BUILD}:{os.environ['PATH']}", "HOME": str(box.path)}
    env.pop("STATE_DIRECTORY", None)

    def run(name, text):
        return box.keep(Process(name, [*network.enter, "bash", "-e", "-c", text], env=env,
                                cwd=box.path))

    run.enter = network.enter
    return run


def test_first_send(box, typed):
    setting_up, sending = blocks()
    sink = box.sink(wrap=typed.enter, listen=f"{SINK}:2525")
    setting_up = setting_up.replace("make && sudo make install\n", "")
    # The one line that the README offers for a rehearsal; and the engine stays ours to end.
    setting_up = setting_up.replace("END\nvolley check", f"sink: {SINK}:2525\nEND\nvolley check")
    setting_up, run_line, rest = re.split(r"(?m)^(volley run .*?) &.*\n", setting_up)
    assert rest == ""
    checked = typed("check", setting_up)
    assert checked.wait() == 0, checked.text()
    engine = typed("engine", f"exec {run_line}")
    engine.wait_line("registered")
    sent = typed("send", sending)
    assert sent.wait(60) == 0, sent.text()
    assert sorted(sink.recipients()) == ["ann@example.org", "bob@example.net"]
    assert "Dear Ann" in sent.text() and "2 delivered" in sent.text()
    assert engine.terminate() == 0
    # The private Redis ends with a clean stop of the engine.
    socket = box.path / ".local/share/volley/redis.sock"
    eventually(lambda: not socket.exists(), "the embedded Redis is gone")
