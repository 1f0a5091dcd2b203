"""killer.py - ends engines and Redis at random, and counts what that lost or doubled.

    make killer KILLS=200 SEED=7           three engines, Redis syncing always
    make killer KILLS=200 FSYNC=everysec
    make killer KILLS=100 CLUSTER=1        a Cluster whose slot moves from master to master

The same seed takes the same steps; the moments at which they hit differ from run to run.  Jobs
are submitted all the time, under idempotency keys, so that a submission without an answer can be
repeated.  At the end:

  - everybody has an outcome, exactly one that is final and not late, and the letter;
  - who has the letter twice has an event that says so beforehand: `ambiguous`, or one that is
    `late`, for each further time.  Where Redis was killed while it syncs every second, letters
    of the three seconds before may come twice as well.
"""

import argparse
import collections
import datetime
import json
import pathlib
import random
import re
import signal
import sys
import tempfile
import time

import redis

from letters import PLAIN
from process import eventually
from topologies import Cluster

LEASE_S = 2
UNSYNCED_S = 3
DOMAINS = 12
SUBMIT = 40  # jobs in a call
AHEAD = 600  # jobs that are submitted and not over

CONFIG = {
    "limits": {"default": {"connections": 4, "rate": "300/s burst 5"}},
    "queue_keys": {"lease": f"{LEASE_S}s"},
    "retry": ["1s"],
}
FAULTS = ("--fault", "rcpt p=5%: reply 451 4.3.0 Try again", "--fault", "dot p=20%: delay 80ms",
          "--fault", "dot p=1%: reply 452 4.2.2 Later")


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Tally:
    """What the events and the sink have said so far; each is read once."""

    def __init__(self, queue, sink):
        self.queue = queue
        self.sink = sink
        self.last = "-"
        self.offset = 0
        self.restart()

    def restart(self):
        self.last = "-"
        self.finals = collections.Counter()  # recipient -> final events that are not late
        self.announced = collections.Counter()  # ... -> events that say: it may come again
        self.late = 0
        self.ambiguous = 0
        if self.offset == 0:
            self.arrived = collections.defaultdict(list)  # ... -> when

    def read(self):
        try:
            for ident, fields in self.queue.client.xrange(self.queue.key("events"), self.last):
                self.last = "(" + ident.decode()
                for line in fields.get(b"events", b"").splitlines():
                    self.event(json.loads(line))
        except redis.RedisError:
            pass  # it is down; later
        with open(self.sink.events_path, "rb") as file:
            file.seek(self.offset)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        self.offset += whole
        for line in text[:whole].splitlines():
            message = json.loads(line)
            for to in message["to"]:
                self.arrived[to].append(seconds(message["time"]))

    def event(self, e):
        if "to" not in e:
            return
        late = bool(e.get("late"))
        self.late += late
        self.ambiguous += e["type"] == "ambiguous"
        self.finals[e["to"]] += bool(e["final"]) and not late
        self.announced[e["to"]] += late or e["type"] == "ambiguous"

    def done(self):
        return sum(n > 0 for n in self.finals.values())


class Killer:
    def __init__(self, box, seed, engines=3, fsync="always", cluster=False):
        self.box = box
        self.random = random.Random(seed)
        self.fsync = fsync
        self.cluster = cluster
        self.queue = (box.keep(Cluster(box.directory("cluster"))) if cluster
                      else box.redis(fsync=fsync))
        self.sink = box.sink(*FAULTS)
        self.names = [f"e{i}" for i in range(engines)]
        self.running = {name: self.start(name) for name in self.names}
        self.sink.events_path.touch()
        self.tally = Tally(self.queue, self.sink)
        self.submitted = []
        self.taken = []  # (when, name of the step)
        self.killed_redis = []
        self.steps = [("engine killed, back at once", 8, self.kill_engine),
                      ("engine killed, back after its lease", 2, self.kill_engine_for_long),
                      ("engine stopped for a moment", 2, self.stop_engine),
                      ("engine asleep longer than its lease", 2, self.stop_engine_for_long),
                      ("engine told to end, started again", 1, self.end_engine),
                      ("all engines killed", 1, self.kill_all)]
        if cluster:  # without replicas: what dies there is gone
            self.steps += [("slot moved", 4, self.move_slot),
                           ("slot moved, an engine killed meanwhile", 4, self.move_slot_and_kill)]
        else:
            self.steps += [("Redis killed", 4, self.kill_redis),
                           ("Redis and an engine killed", 2, self.kill_both)]

    def start(self, name):
        io = "epoll" if name.endswith("1") else "auto"
        return self.box.engine(self.queue, name, sink=self.sink.address, io=io, **CONFIG)

    def any_engine(self):
        return self.random.choice(self.names)

    # ---- steps ----

    def kill_engine(self, name=None):
        name = name or self.any_engine()
        self.running[name].kill()
        self.running[name] = self.start(name)

    def kill_engine_for_long(self):
        name = self.any_engine()
        self.running[name].kill()
        self.load(LEASE_S * 1.5)
        self.running[name] = self.start(name)

    def stop_engine(self, for_s=0.3):
        engine = self.running[self.any_engine()]
        engine.signal(signal.SIGSTOP)
        try:
            self.load(for_s)
        finally:
            engine.signal(signal.SIGCONT)

    def stop_engine_for_long(self):
        self.stop_engine(LEASE_S * 1.5)

    def end_engine(self):
        name = self.any_engine()
        assert self.running[name].terminate(timeout_s=60) == 0, self.running[name].text()
        self.running[name] = self.start(name)

    def kill_redis(self):
        self.queue.kill()
        self.killed_redis.append(time.time())
        self.queue.start()

    def kill_both(self):
        name = self.any_engine()
        if self.random.random() < 0.5:
            self.running[name].kill()
            self.kill_redis()
        else:
            self.queue.kill()
            self.killed_redis.append(time.time())
            self.running[name].kill()
            self.queue.start()
        self.running[name] = self.start(name)

    def kill_all(self):
        for name in self.names:
            self.running[name].kill()
        for name in self.names:
            self.running[name] = self.start(name)

    def move_slot(self, halfway=lambda owner: None):
        owner = self.queue.master()
        others = [server for server in self.queue.masters() if server is not owner]
        self.queue.move_slot(self.random.choice(others), halfway)

    def move_slot_and_kill(self):
        name = self.any_engine()
        self.move_slot(lambda owner: self.running[name].kill())
        self.running[name] = self.start(name)

    # ---- load ----

    def submit(self):
        """A batch, repeated under the same keys until it is answered."""
        first = len(self.submitted)
        tos = [f"u{i}@d{i % DOMAINS}.test" for i in range(first, first + SUBMIT)]
        argv = [2, "message", "news", "from", "a@sender.test", "rows", 3, "to", "key", "class"]
        for i, to in enumerate(tos):
            argv += [to, f"k{first + i}", self.random.choice(["high", "normal", "bulk"])]
        for _ in range(200):
            try:
                answers = self.queue.client.fcall("volley_submit_batch", 1, self.queue.key("meta"),
                                                  *argv)
                assert not any(b"VOLLEY" in a for a in answers), answers[:3]
                break
            except (redis.ConnectionError, redis.TimeoutError):
                time.sleep(0.05)
            except redis.ResponseError as err:
                # The last one: a master that no engine has met yet.
                if not re.match("MOVED|ASK|TRYAGAIN|Function not found", str(err)):
                    raise
                time.sleep(0.05)
        self.submitted += tos

    def load(self, for_s):
        """Goes on submitting for so long."""
        end = time.monotonic() + for_s
        while True:
            self.tally.read()
            if len(self.submitted) - self.tally.done() < AHEAD:
                self.submit()
            if time.monotonic() >= end:
                return
            time.sleep(0.02)

    def wait_progress(self, count=20):
        """Until the queue has gone on: no step may leave it stuck."""
        end = time.monotonic() + 90
        before = len(self.tally.arrived)
        while len(self.tally.arrived) < before + count:
            assert time.monotonic() < end, "nothing goes on"
            self.load(0.05)

    # ---- the run ----

    def run(self, kills):
        self.queue.store("news", PLAIN)
        self.load(0.2)
        self.wait_progress()
        for _ in range(kills):
            self.load(self.random.random() * 0.3)
            name, _, step = self.random.choices(self.steps, [s[1] for s in self.steps])[0]
            self.taken.append((time.time(), name))
            step()
            self.wait_progress()
        self.finish()

    def finish(self):
        if self.fsync != "always":  # outcomes that Redis forgot are remembered by nobody: below
            self.kill_all()
        def over():
            self.tally.read()
            return self.tally.done() >= len(set(self.submitted)) and self.queue.waiting() == 0
        try:
            eventually(over, "everybody has an outcome", 120)
        except AssertionError:
            print(self.stuck(), file=sys.stderr)
            raise
        self.tally.restart()
        self.tally.read()
        self.judge()

    def stuck(self):
        left = [to for to in self.submitted if self.tally.finals[to] == 0]
        return f"{len(left)} of {len(self.submitted)} without an outcome: {left[:5]}"

    def judge(self):
        t = self.tally
        lost = set(self.submitted) - set(t.arrived)
        assert not lost, f"{len(lost)} lost, such as {sorted(lost)[:5]}"
        several = {to: n for to, n in t.finals.items() if n != 1}
        assert not several or self.fsync != "always", f"not one final outcome: {several}"
        for to, times in t.arrived.items():
            extra = len(times) - 1 - t.announced[to]
            assert extra <= self.unsynced(times), (
                f"{to} came {len(times)} times and nothing says why: {self.story(to)}")

    def story(self, to):
        events = [e for e in self.queue.events() if e.get("to") == to]
        steps = [s for s in self.taken if any(abs(s[0] - at) < 8 for at in self.tally.arrived[to])]
        return json.dumps([self.tally.arrived[to], events, steps], indent=1)

    def unsynced(self, times):
        if self.fsync == "always":
            return 0
        return sum(any(0 <= killed - at <= UNSYNCED_S for killed in self.killed_redis)
                   for at in times)

    def rows(self):
        """name -> [times taken, letters doubled, of those allowed by an event], doubles being
        counted for the first step behind the first arrival."""
        rows = {name: [0, 0] for name, _, _ in self.steps}
        for _, name in self.taken:
            rows[name][0] += 1
        for times in self.tally.arrived.values():
            for _ in times[1:]:
                after = [name for when, name in self.taken if when >= times[0] - 0.5]
                rows[after[0] if after else self.taken[-1][1]][1] += 1
        return rows

    def report(self):
        t = self.tally
        doubled = sum(len(times) - 1 for times in t.arrived.values())
        lines = [f"| {'step':38} | times | lost | doubled |", f"|{'-' * 40}|---:|---:|---:|"]
        for name, (count, twice) in self.rows().items():
            lines.append(f"| {name:38} | {count:5} | {0:4} | {twice:7} |")
        lines.append(f"| {'together':38} | {len(self.taken):5} | {0:4} | {doubled:7} |")
        lines.append(f"{len(self.submitted)} letters; {t.ambiguous} events ambiguous, {t.late} "
                     f"late: {sum(t.announced.values())} doubles were allowed")
        return "\n".join(lines)


def main():
    from conftest import Box  # pytest's, and only needed here
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    parser.add_argument("--fsync", choices=["always", "everysec"], default="always")
    parser.add_argument("--engines", type=int, default=3)
    parser.add_argument("--cluster", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.kills} kills, {options.engines} engines, "
          f"{'a Cluster' if options.cluster else 'appendfsync ' + options.fsync}", flush=True)
    with tempfile.TemporaryDirectory(prefix="volley-killer-") as path:
        box = Box(pathlib.Path(path))
        try:
            killer = Killer(box, options.seed, options.engines, options.fsync,
                            options.cluster)
            killer.run(options.kills)
            print(killer.report())
        finally:
            box.close()


if __name__ == "__main__":
    main()
