"""process.py - programs started by end-to-end tests, and waiting for conditions."""

import collections
import ctypes
import os
import re
import signal
import subprocess
import threading
import time

WAIT_S = 20  # for anything that should happen soon; generous, for a busy machine


_expected_to_live = set()  # processes that nobody has asked to end


def eventually(condition, what, timeout_s=WAIT_S, step_s=0.02):
    """Waits until condition() is true and returns its value; fails with `what` otherwise.

    Fails at once when a process died that nobody asked to end: what is waited for will not
    come.
    """
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        for process in _expected_to_live:
            if not process.running():
                raise AssertionError(f"{process.name} died ({process.popen.returncode}) before it "
                                     f"was so: {what}\n{process.text()[-4000:]}")
        if time.monotonic() > end:
            raise AssertionError(f"after {timeout_s} s still not so: {what}")
        time.sleep(step_s)


_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A program whose output is kept line by line and can be waited for.

    Ends by terminate() or stop(); what is still there when its test is over is killed, and it
    dies with the test runner in any case.
    """

    def __init__(self, name, command, env=None, cwd=None, lives=False):
        self.name = name
        self.command = [str(c) for c in command]
        self.lines = collections.deque(maxlen=20000)
        self._changed = threading.Condition()
        self._closed = False
        self.popen = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=cwd,
            preexec_fn=_die_with_parent)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if lives:
            _expected_to_live.add(self)

    @property
    def pid(self):
        return self.popen.pid

    def _read(self):
        for raw in self.popen.stdout:
            with self._changed:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_line(self, pattern, timeout_s=WAIT_S):
        """The match of the first line (so far or to come) in which pattern is found."""
        end = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for line in self.lines:
                    match = re.search(pattern, line)
                    if match:
                        return match
                left = end - time.monotonic()
                if self._closed or left <= 0:
                    why = "ended" if self._closed else f"said nothing like it in {timeout_s} s"
                    raise AssertionError(f"{self.name} {why}: waited for /{pattern}/\n"
                                         + self.text())
                self._changed.wait(left)

    def text(self):
        with self._changed:
            return "\n".join(self.lines)

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            _expected_to_live.discard(self)
        self.popen.send_signal(number)

    def wait(self, timeout_s=WAIT_S):
        """Its exit code, once it has ended and its output is read."""
        _expected_to_live.discard(self)
        try:
            code = self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            message = f"{self.name} did not end in {timeout_s} s\n{self.text()}"
            raise AssertionError(message) from None
        self._reader.join(timeout_s)
        return code

    def terminate(self, timeout_s=WAIT_S):
        if self.running():
            self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self):
        """As `kill -9`: no warning, no clean-up."""
        if self.running():
            self.signal(signal.SIGKILL)
        return self.wait()

    stop = kill
