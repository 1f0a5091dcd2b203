"""conftest.py - fixtures of the end-to-end tests.

A test asks for `box`, a directory of its own from which it takes what it needs:

    def test_it(box, backend):
        queue = box.redis()
        sink = box.sink()
        engine = box.engine(queue, sink=sink.address, io=backend)

Everything taken is ended by pid when the test is over; when it failed, the output of each
program is shown.  A test that asks for `backend` runs on io_uring and on epoll.
$VOLLEY_BUILD says where the programs are, $VOLLEY_BACKENDS names one backend instead of both.
"""

import ctypes
import errno
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
import yaml

from process import Process, eventually
from servers import Certificate, Exim, Inbox, Knot, Postfix, Redis, exim_program
from sink import Sink

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / os.environ.get("VOLLEY_BUILD", "build")

SYS_IO_URING_SETUP = 425


def uring_refused():
    """Why the kernel does not let us use io_uring, or None."""
    libc = ctypes.CDLL(None, use_errno=True)
    params = ctypes.create_string_buffer(120)
    fd = libc.syscall(SYS_IO_URING_SETUP, 2, params)
    if fd < 0:
        return f"io_uring is refused here: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    os.close(fd)
    return None


@pytest.fixture(params=os.environ.get("VOLLEY_BACKENDS", "uring epoll").split())
def backend(request):
    if request.param == "uring":
        reason = uring_refused()
        if reason:
            pytest.skip(reason)
    return request.param


def needs(*programs):
    """Skips a test where one of these programs is missing."""
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            pytest.skip(f"{program} is not installed")


def needs_root(what):
    if os.getuid() != 0:
        pytest.skip(f"{what} needs root")


class Engine(Process):
    """`volley run` with a configuration; registered with its queue when it is returned."""

    def __init__(self, box, queue, name, config, wrap=(), ready=True):
        self.config_path = box.path / f"{name}.yaml"
        self.config_path.write_text(yaml.safe_dump(config, sort_keys=False))
        self.events_path = pathlib.Path(config["events"]["file"])
        super().__init__(name, [*wrap, BUILD / "volley", "run", "-c", self.config_path],
                         cwd=box.path, lives=ready)
        if ready:
            eventually(lambda: self.registered(queue), f"{name} registers with the queue",
                       timeout_s=60 if wrap else 20)

    def stop(self):
        """At the end of every test: it drains, and says that all was well.  Under a sanitizer
        this is where leaks show."""
        if self.running():
            code = self.terminate(timeout_s=60)
            assert code == 0, f"{self.name} ended with {code}\n{self.text()[-8000:]}"

    def registered(self, queue):
        assert self.running(), f"{self.name} ended: {self.popen.returncode}\n{self.text()}"
        return any(not v.startswith(b"0 ") for v in queue.client.hvals(queue.key("nodes")))


    def events(self):
        """What it wrote into its file of events."""
        if not self.events_path.exists():
            return []
        return [json.loads(line) for line in self.events_path.read_text().splitlines()]


class Box:
    def __init__(self, path):
        self.path = path
        self.taken = []
        self._certificate = None

    def keep(self, thing):
        self.taken.append(thing)
        return thing

    def directory(self, name):
        path = self.path / f"{name}-{len(self.taken)}"
        path.mkdir()
        return path

    @property
    def certificate(self):
        if self._certificate is None:
            self._certificate = Certificate(self.path / "certificate")
        return self._certificate

    def redis(self, **more):
        return self.keep(Redis(self.directory("redis"), **more))

    def inbox(self, tls=False):
        return self.keep(Inbox(self.certificate.context() if tls else None))

    def sink(self, *options, tls=False, **more):
        if not tls:
            options += ("--no-starttls",)
        return self.keep(Sink(BUILD / "volley-sink", self.directory("sink"), options, **more))

    def postfix(self, tls="may", **more):
        needs("postfix")
        needs_root("a private Postfix")
        name = f"postfix-{len(self.taken)}"
        return self.keep(Postfix(self.path / name, self.certificate, tls, **more))

    def exim(self):
        needs_root("a private Exim")
        if not exim_program():
            pytest.skip("Exim is not installed, and cannot be beside Postfix; see exim_program()")
        return self.keep(Exim(self.path / f"exim-{len(self.taken)}"))

    def knot(self, domain, records, **more):
        needs("knotd")
        return self.keep(Knot(self.directory("knot"), domain, records, **more))

    def run(self, *argv, **more):
        """A command to its end; the subprocess.CompletedProcess with text output."""
        argv = [str(a) for a in argv]
        if argv[0] in ("volley", "volley-sink", "volley-bench"):
            argv[0] = str(BUILD / argv[0])
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=self.path,
                              stdin=subprocess.DEVNULL, **more)

    def config(self, queue, name="engine", **more):
        """A configuration for `queue`; `more` is merged over it at the top, and its `queue_keys`
        over those below `queue`."""
        config = {
            "hostname": "mta.test",
            "queue": {"redis": queue.url, "state_directory": str(self.path / f"{name}-state")},
            "workers": 1,
            "shutdown_timeout": "1s",
            "events": {"file": str(self.path / f"{name}-events.jsonl")},
        }
        config["queue"].update(more.pop("queue_keys", {}))
        config.update(more)
        return config

    def engine(self, queue, name="engine", wrap=(), ready=True, **more):
        return self.keep(Engine(self, queue, name, self.config(queue, name, **more), wrap, ready))

    def close(self):
        failed = []
        for thing in reversed(self.taken):
            try:
                thing.stop()
            except AssertionError as err:
                failed.append(str(err))
                thing.kill()
        assert not failed, "\n".join(failed)

    def logs(self):
        for thing in self.taken:
            process = thing if isinstance(thing, Process) else getattr(thing, "process", None)
            if process:
                yield process.name, process.text()
            if isinstance(thing, Postfix):
                yield "mail.log", thing.log()


def pytest_collection_modifyitems(config, items):
    """$VOLLEY_SHARD "1/2" keeps every second test, from the second on: tests/run.py runs the
    shards side by side."""
    number, _, count = os.environ.get("VOLLEY_SHARD", "0/1").partition("/")
    others = [item for i, item in enumerate(items) if i % int(count) != int(number)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for i, item in enumerate(items) if i % int(count) == int(number)]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    box_here = item.funcargs.get("box") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and box_here:
        for name, text in box_here.logs():
            report.sections.append((name, text[-6000:]))


@pytest.fixture
def box():
    # Not pytest's own directory: that is closed to the users Postfix runs as.
    path = pathlib.Path(tempfile.mkdtemp(prefix="volley-e2e-"))
    path.chmod(0o755)
    here = Box(path)
    try:
        yield here
    finally:
        try:
            here.close()
        finally:
            shutil.rmtree(path, ignore_errors=True)
