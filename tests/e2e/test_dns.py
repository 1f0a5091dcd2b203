"""test_dns.py - name servers that are slow, dead, lame or lying do not hold up other mail."""

from letters import PLAIN
from names import MX, Names
from process import eventually


def submit_all(queue, domains, **more):
    queue.store("letter", PLAIN)
    pipe = queue.client.pipeline(transaction=False)
    for domain in domains:
        fields = {"to": f"user@{domain}", "from": "x@y.test", "message": "letter", **more}
        pipe.execute_command("FCALL", "volley_submit", 1, queue.key("meta"),
                             *[part for field in fields.items() for part in field])
    pipe.execute()


def delivered(queue):
    return [e["to"].partition("@")[2] for e in queue.finals() if e["type"] == "delivered"]


def test_silent_servers_hold_up_no_other_mail(box, backend):
    """More domains than an engine keeps jobs in memory as a rule: none of them is answered."""
    queue, sink, names = box.redis(), box.sink(), box.keep(Names())
    box.engine(queue, io=backend, sink={"address": sink.address, "dns": True},
               dns={"servers": [names.address]})
    submit_all(queue, [f"d{i}.silent.test" for i in range(700)])
    eventually(lambda: names.domains(".silent.test") >= 512, "512 domains are stuck")
    live = [f"n{i}.live.test" for i in range(30)]
    submit_all(queue, live)
    urgent = [f"h{i}.live.test" for i in range(30)]
    submit_all(queue, urgent, **{"class": "high"})
    eventually(lambda: set(live + urgent) <= set(delivered(queue)), "the others are delivered")
    assert not any("silent" in domain for domain in delivered(queue))
    assert queue.waiting() == 700
    assert not [e for e in queue.events() if e["type"] == "site"], "the questions are answered"
    names.speak()
    eventually(lambda: len(delivered(queue)) == 760, "all are delivered once there are answers",
               timeout_s=90)


def test_urgent_questions_do_not_stand_in_line(box, backend):
    """With more questions than may be on their way, those of class `high` go all the same."""
    queue, sink, names = box.redis(), box.sink(), box.keep(Names())
    box.engine(queue, io=backend, sink={"address": sink.address, "dns": True},
               dns={"servers": [names.address]})
    submit_all(queue, [f"d{i}.silent.test" for i in range(1300)])
    eventually(lambda: names.domains(".silent.test") >= 800, "the questions on their way are stuck")
    submit_all(queue, ["now.live.test"], **{"class": "high"})
    eventually(lambda: "now.live.test" in delivered(queue), "the urgent one is delivered")
    before = names.asked.index(("now.live.test", MX))
    assert sum(kind == MX for _, kind in names.asked[:before]) < 1300, "it stood in line"
