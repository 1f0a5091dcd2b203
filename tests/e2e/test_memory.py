"""test_memory.py - what waits waits in Redis, not in the engine."""

import re

from letters import PLAIN
from process import eventually


def resident_mb(engine):
    status = open(f"/proc/{engine.popen.pid}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024


def test_slow_destinations_cost_no_memory(box, backend):
    """Two hundred sites that hardly take anything, and records of 10 KB: the engine claims
    what it can use soon, by count and by bytes, and parks the rest."""
    queue = box.redis()
    sink = box.sink("--fault", "dot: delay 5s")
    engine = box.engine(queue, io=backend, sink=sink.address,
                        limits={"default": {"connections": 1, "rate": "1/s"}})
    queue.store("news", PLAIN)
    before = resident_mb(engine)
    jobs = 8000
    for start in range(0, jobs, 80):
        rows = [v for i in range(start, start + 80)
                for v in (f"u{i}@w{i % 200}.test", f"{i:05}" + "x" * 10000)]
        queue.client.fcall("volley_submit_batch", 1, queue.key("meta"), 2, "message", "news",
                           "from", "a@sender.test", "rows", 2, "to", "v:pad", *rows)

    def parked():
        return sum(queue.client.llen(key) for key in queue.client.scan_iter(queue.key("bin:*")))

    eventually(lambda: parked() > jobs * 0.5, "most of it is parked", 60, 0.2)
    grown = resident_mb(engine) - before
    assert grown < 48, f"{grown:.0f} MB for {jobs} jobs of 10 KB, of which {parked()} are parked"
