"""test_fallback.py - where io_uring is refused: epoll, and a line that says why."""

import errno
import pathlib
import re
import sys

import pytest

from letters import PLAIN
from process import eventually

REFUSE = str(pathlib.Path(__file__).with_name("refuse_uring.py"))


@pytest.mark.parametrize("error,words", [
    (errno.EPERM, "seccomp|sysctl"), (errno.ENOMEM, "memlock"), (errno.ENOSYS, "seccomp|kernel")])
def test_auto_falls_back(box, error, words):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io="auto", sink=sink.address, workers=2,
                        wrap=(sys.executable, REFUSE, str(error)))
    queue.submit(to="a@b.test", from_="x@y.test", data=PLAIN)
    assert eventually(queue.finals, "an outcome")[0]["type"] == "delivered"
    lines = [line for line in engine.text().splitlines() if "io_uring" in line]
    assert len(lines) == 1, "one line, not one for each worker"
    assert re.search(words, lines[0], re.I), lines[0]


def test_uring_asked_for_and_refused(box):
    queue = box.redis()
    engine = box.engine(queue, io="uring", ready=False,
                        wrap=(sys.executable, REFUSE, str(errno.EPERM)))
    assert engine.wait() == 1
    assert "io_uring" in engine.text()
