"""test_reload.py - SIGHUP takes over a changed configuration, and only a sound one."""

import signal

import yaml

from process import eventually
from test_pacing import fill


def reload(engine, pattern):
    engine.signal(signal.SIGHUP)
    engine.wait_line(pattern)


def rewrite(engine, change):
    config = yaml.safe_load(engine.config_path.read_text())
    change(config)
    engine.config_path.write_text(yaml.safe_dump(config))


def test_new_limits_hold_at_once(box, backend):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address, workers=2,
                        limits={"default": {"rate": "1/m"}})
    fill(queue, 60, ["one.test", "two.test"])
    # Each of the two gets its first letter; the next one would come a minute later.
    eventually(lambda: len(queue.finals()) == 2, "the first letters")
    rewrite(engine, lambda c: c["limits"]["default"].update(rate="unlimited"))
    reload(engine, r"reload: .* is in force")
    eventually(lambda: len(queue.finals()) == 60, "all delivered", 20)


def test_a_broken_configuration_changes_nothing(box, backend):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address)
    engine.config_path.write_text(engine.config_path.read_text().replace("sink:", "sinc:"))
    reload(engine, r"not taken over: .*sink")
    fill(queue, 20, ["one.test"])
    eventually(lambda: len(queue.finals()) == 20, "all delivered as before")


def test_the_file_of_events_is_opened_again(box, backend):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address,
                        events={"file": str(box.path / "events.jsonl")})
    now, before = box.path / "events.jsonl", box.path / "events.1"
    fill(queue, 20, ["one.test"])
    eventually(lambda: now.read_text().count("\n") == 20, "events in the file")
    now.rename(before)
    engine.config_path.write_text(engine.config_path.read_text().replace("sink:", "sinc:"))
    reload(engine, r"not taken over: .*sink[^\\]*$")  # whatever is wrong with the rest
    fill(queue, 20, ["two.test"])
    eventually(lambda: now.read_text().count("\n") == 20, "events in the new file")
    assert before.read_text().count("\n") == 20
    now.rename(before)
    now.mkdir()
    reload(engine, r"events.file .* cannot be opened again: Is a directory")
    fill(queue, 20, ["one.test"])
    eventually(lambda: before.read_text().count("\n") == 40, "events in the file as before")


def test_the_sink_does_not_change_under_way(box, backend):
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address)
    rewrite(engine, lambda c: c.pop("sink"))
    reload(engine, r"`sink` cannot change")
    fill(queue, 20, ["one.test"])
    eventually(lambda: len(queue.finals()) == 20, "all delivered to the sink as before")


def test_a_source_that_is_gone_finishes_its_work(box, backend):
    queue = box.redis()
    sink = box.sink("--latency", "20ms")
    engine = box.engine(queue, io=backend, sink=sink.address,
                        sources={"a": {"ehlo": "a.test"}, "b": {"ehlo": "b.test"}},
                        pools={"default": {"a": 1, "b": 1}},
                        limits={"default": {"rate": "100/s", "connections": 2}})
    fill(queue, 200, ["one.test", "two.test"])
    eventually(lambda: len(queue.finals()) > 20, "under way")

    def drop(config):
        del config["sources"]["b"]
        config["pools"]["default"] = {"a": 1}

    rewrite(engine, drop)
    reload(engine, r"reload: .* is in force")
    eventually(lambda: len(queue.finals()) == 200, "all delivered", 30)
    assert len({e["event"] for e in queue.finals()}) == 200


def test_a_new_rule_takes_what_waits(box, backend):
    """Letters that wait under the default go over to the rule that names their domain now."""
    queue = box.redis()
    sink = box.sink()
    engine = box.engine(queue, io=backend, sink=sink.address,
                        limits={"default": {"rate": "1/m"}})
    fill(queue, 30, ["one.test"])
    eventually(lambda: len(queue.finals()) == 1, "the first letter")
    rewrite(engine, lambda c: c["limits"].update(
        fast={"match": {"domains": ["one.test"]}, "rate": "unlimited"}))
    reload(engine, r"reload: .* is in force")
    eventually(lambda: len(queue.finals()) == 30, "all delivered")
    assert [e["site"] for e in queue.finals()] == ["one.test"] + ["fast"] * 29
