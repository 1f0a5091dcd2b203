"""test_rtt.py - letters for each round trip on one connection, by mode.

By default the modes against each other at 40 ms, with wide margins.  RTT=1 (`make rtt`)
measures them at 0, 10, 50 and 150 ms beside Postfix's own client, and prints a table.
"""

import os
import smtplib
import statistics

import pytest

from letters import PLAIN
from process import eventually

FULL = bool(os.environ.get("RTT"))
WARM = 25  # letters before the count begins: connection, and the trial of `auto`

MODES = {
    "off": {"pipeline": "off"},
    "commands": {"pipeline": "commands"},
    "messages": {"pipeline": "messages"},
    "chunking, depth 1": {"pipeline": "chunking", "pipeline_depth": 1},
    "chunking, depth 2": {"pipeline": "chunking", "pipeline_depth": 2},
    "chunking, depth 4": {"pipeline": "chunking", "pipeline_depth": 4},
    "chunking, depth 8": {"pipeline": "chunking", "pipeline_depth": 8},
    "auto": {"pipeline": "auto"},
    "auto, no CHUNKING": {"pipeline": "auto"},
}


def rate_of(sink):
    """Letters a second, without the first and the last ones."""
    times = sink.times()[WARM:-4]
    return (len(times) - 1) / max(times[-1] - times[0], 1e-3)


def of_engine(box, mode, latency_ms, letters):
    queue = box.redis()
    extra = ["--no-chunking"] if "no CHUNKING" in mode else []
    sink = box.sink("--latency", f"{latency_ms}ms", *extra)
    engine = box.engine(queue, f"engine-{len(box.taken)}", sink=sink.address, limits={"default": {
        "connections": 1, "rate": "unlimited", "messages_per_connection": "unlimited",
        "connection_age": "unlimited", "recipients_per_transaction": 1, **MODES[mode]}})
    queue.store("plain", PLAIN)
    calls = queue.client.pipeline(transaction=False)
    for i in range(letters):
        calls.fcall("volley_submit", 1, queue.key("meta"), "to", f"u{i}@a.test", "from", "x@y.test",
                    "message", "plain")
    calls.execute()
    eventually(lambda: len(sink.accepted()) == letters, f"{letters} letters, {mode}", 120)
    assert {e["type"] for e in queue.finals()} <= {"delivered"}
    engine.stop()
    return rate_of(sink)


def of_postfix(box, latency_ms, letters):
    sink = box.sink("--latency", f"{latency_ms}ms")
    postfix = box.postfix(relayhost="[127.0.0.1]:" + sink.address.rsplit(":", 1)[1])
    with smtplib.SMTP("127.0.0.1", postfix.port) as client:
        for i in range(letters):
            client.sendmail("x@y.test", [f"u{i}@a.test"], PLAIN)
    eventually(lambda: len(sink.accepted()) == letters, f"{letters} letters, Postfix", 240)
    postfix.stop()
    return rate_of(sink)


def test_modes_differ_as_they_should(box):
    """On a machine that is too busy for 40 ms again over a longer line."""
    if FULL:
        pytest.skip("the whole table is measured")
    for latency_ms in (40, 120, 400):
        each = {mode: of_engine(box, mode, latency_ms, 45) * latency_ms / 1000
                for mode in ("commands", "messages", "chunking, depth 4")}
        print(latency_ms, each)
        # What no machine can beat, and what a line must show that is longer than its delays.
        assert each["commands"] <= 0.55 and each["messages"] <= 1.1
        if each["messages"] > 0.6 and each["chunking, depth 4"] > 1.5:
            return
    pytest.fail(f"messages do not run ahead: {each}")


@pytest.mark.skipif(not FULL, reason="RTT=1 is not set")
def test_table(box):
    rounds = int(os.environ.get("RTT_ROUNDS") or 3)
    latencies = [int(ms) for ms in (os.environ.get("RTT_MS") or "0 10 50 150").split()]
    print("\n| one connection | " + " | ".join(f"{ms} ms" for ms in latencies) + " |")
    print("|---|" + "---|" * len(latencies))
    for name in ("Postfix", *MODES):
        cells = []
        for ms in latencies:
            letters = {0: 400 if name == "Postfix" else 4000, 10: 300, 50: 150, 150: 80}[ms]
            if name == "Postfix":
                rate = of_postfix(box, ms, letters)
            else:
                rate = statistics.median(of_engine(box, name, ms, letters) for _ in range(rounds))
            cells.append(f"{rate:.0f}/s" if ms == 0 else f"{rate * ms / 1000:.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
