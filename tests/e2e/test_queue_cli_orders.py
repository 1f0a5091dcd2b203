"""test_queue_cli_orders.py - orders given on a command line, and an engine that obeys them."""

import json
import re

import pytest

from conftest import BUILD
from letters import PLAIN
from process import Process, eventually


@pytest.fixture
def desk(box):
    return Desk(box)


class Desk:
    """A queue with a letter, a sink, and `volley queue`."""

    def __init__(self, box):
        self.box = box
        self.queue = box.redis()
        self.sink = box.sink()
        assert self.cli("library", "--load").returncode == 0
        self.queue.store("m", PLAIN)

    def engine(self, **more):
        return self.box.engine(self.queue, io="epoll", sink=self.sink.address, **more)

    def cli(self, *argv):
        return self.box.run("volley", "queue", *argv, "--redis", self.queue.url)

    def asked(self, *argv):
        done = self.cli(*argv, "--json")
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def submit(self, to, **more):
        return self.queue.submit(to=to, message="m", **more)

    def key_state(self, key):
        return self.queue.client.get(self.queue.key(f"key:default:{key}")).decode().split()[2]


def test_pause_and_resume(desk):
    order = desk.asked("pause", "--campaign", "march")["id"]
    desk.engine()
    paused = [desk.submit(f"u{i}@a.test", campaign="march") for i in range(20)]
    desk.submit("other@a.test", campaign="april")
    eventually(lambda: desk.queue.finals(), "what is not paused leaves")
    assert [e["to"] for e in desk.queue.finals()] == ["other@a.test"]
    shown = desk.asked("show", paused[7])
    assert shown["jobs"][0]["state"] in ("waiting", "parked", "held", "owned", "due")
    done = desk.cli("resume", "--campaign", "march", "--wait", "60s")
    assert done.returncode == 0 and order in done.stdout, done
    eventually(lambda: len(desk.queue.finals()) == 21, "the rest leaves")
    assert all(o["id"] != order for o in desk.asked("list", "--orders")["orders"])


def test_cancel_before_an_engine_runs(desk):
    """The order waits in Redis; jobs end with an event, and their keys know it."""
    desk.submit("keep@a.test", campaign="april", key="kept")
    for i in range(50):
        desk.submit(f"u{i}@a.test", campaign="march", key=f"k{i}")
    order = desk.asked("cancel", "--campaign", "march")
    assert order["state"] == "in-force" and desk.asked("stats")["jobs"]["waiting"] == 51
    desk.engine()
    eventually(lambda: len(desk.queue.finals()) == 51, "all have an end")
    ends = [e["type"] for e in desk.queue.finals()]
    assert ends.count("cancelled") == 50 and ends.count("delivered") == 1
    eventually(lambda: desk.key_state("kept") == "delivered", "its key knows")
    assert {desk.key_state(f"k{i}") for i in range(50)} == {"cancelled"}
    eventually(lambda: [o["ended"] for o in desk.asked("list", "--orders")["orders"]] == [50],
               "the order counts them")
    text = desk.cli("show", "--key", "k7").stdout
    assert "last known as cancelled" in text and "not in the queue" in text


def test_retry(desk):
    desk.engine(retry=["1h"])
    desk.submit("tempfail@a.test", key="k")
    eventually(lambda: desk.queue.events(), "a deferral")
    assert desk.key_state("k") == "deferred"
    desk.asked("retry", "--domain", "a.test")
    eventually(lambda: len(desk.queue.events()) == 2, "another attempt")
    assert desk.asked("stats")["jobs"]["all"] == 1


def test_waiting_ends(desk):
    """--wait: Ctrl-C ends the wait, not the order."""
    argv = [BUILD / "volley", "queue", "cancel", "--all", "--wait", "5m", "--redis",
            desk.queue.url]
    wait = desk.box.keep(Process("wait", argv))
    eventually(lambda: desk.asked("list", "--orders")["orders"], "the order is placed")
    wait.signal(2)
    assert wait.wait() == 0 and re.search(r"cancel +in-force", wait.text()), wait.text()
    assert len(desk.asked("list", "--orders")["orders"]) == 1
    # Without an engine nothing comes back.
    desk.queue.client.rpush(desk.queue.key("held:mine"), "x")
    desk.asked("pause", "--aside", "--all", "--id", "mine")
    done = desk.cli("resume", "mine", "--wait", "1s")
    assert done.returncode == 1 and "engine has to run" in done.stderr
