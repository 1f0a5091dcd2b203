"""test_mx.py - by the rules of the DNS, to port 25, in a network of our own.

A network namespace has nothing but a loopback device with addresses from 192.0.2.0/24: a
name server, two receivers, and none that leads outside.
"""

import pytest

from conftest import needs, needs_root
from letters import PLAIN
from process import Process, eventually

NAME_SERVER = "192.0.2.53"
FIRST, SECOND, DEAD = "192.0.2.10", "192.0.2.20", "192.0.2.99"

RECORDS = f"""\
mx1 A {FIRST}
mx2 A {SECOND}
dead A {DEAD}
here MX 10 mx1
prefer MX 20 mx2
prefer MX 10 mx1
backup MX 10 dead
backup MX 20 mx2
implicit A {SECOND}
alias CNAME here
null MX 0 .
void MX 10 nothing
home MX 10 localhost
localhost A 127.0.0.1
same1 MX 10 mx1
same2 MX 10 mx1
"""


class Network:
    """A network namespace and the command that enters it."""

    def __init__(self, *addresses):
        self.process = Process("network", ["unshare", "-n", "sh", "-c",
                                           "echo ready; exec sleep 3600"])
        self.process.wait_line("ready")
        self.enter = ("nsenter", "-t", str(self.process.pid), "-n")
        commands = ["ip link set lo up"] + [f"ip address add {a}/32 dev lo" for a in addresses]
        for command in commands:
            done = Process("ip", [*self.enter, *command.split()])
            assert done.wait() == 0, done.text()

    def stop(self):
        self.process.stop()


@pytest.fixture
def net(box):
    needs_root("a network namespace")
    needs("ip", "unshare", "nsenter", "knotd")
    network = box.keep(Network(NAME_SERVER, FIRST, SECOND, DEAD))
    box.knot("mail.test", RECORDS, wrap=network.enter, host=NAME_SERVER, port=53)
    return network


@pytest.fixture
def start(box, net, backend):
    """Starts an engine in the network, with a sink on each address."""
    def go(**more):
        queue = box.redis()
        first = box.sink(wrap=net.enter, listen=f"{FIRST}:25")
        second = box.sink(wrap=net.enter, listen=f"{SECOND}:25")
        box.engine(queue, io=backend, wrap=net.enter, dns={"servers": [NAME_SERVER]}, **more)
        return queue, first, second

    return go


def outcome(queue, domain):
    to = f"user@{domain}"
    queue.submit(to=to, from_="x@y.test", data=PLAIN)
    found = eventually(lambda: [e for e in queue.finals() if e["to"] == to], f"outcome of {to}", 40)
    return found[0]


def test_where_mail_goes(start):
    queue, first, second = start()
    for domain, sink, ip in (("here", first, FIRST), ("prefer", first, FIRST),
                             ("backup", second, SECOND), ("implicit", second, SECOND),
                             ("alias", first, FIRST)):
        event = outcome(queue, f"{domain}.mail.test")
        assert event["type"] == "delivered", event
        assert event["ip"].startswith(ip) and f"user@{domain}.mail.test" in sink.recipients()
    assert outcome(queue, "prefer.mail.test")["mx"].rstrip(".") == "mx1.mail.test"


def test_where_mail_cannot_go(start):
    queue, first, second = start()
    null = outcome(queue, "null.mail.test")
    assert null["type"] == "bounced" and null["failure"] == "bad-domain"
    assert null["stage"] == "dns"
    none = outcome(queue, "nonexistent.mail.test")
    assert none["type"] == "bounced" and none["failure"] == "bad-domain"
    assert first.accepted() == [] and second.accepted() == []


def test_mail_for_our_own_loopback_is_refused(start):
    queue, first, second = start(retry=["1s"], expires="3s")
    event = outcome(queue, "home.mail.test")
    assert event["type"] in ("bounced", "expired")
    assert first.accepted() == [] and second.accepted() == []


def test_domains_with_the_same_mx_are_one_site(start):
    queue, _, _ = start()
    one, two = outcome(queue, "same1.mail.test"), outcome(queue, "same2.mail.test")
    assert one["site"] == two["site"]
    assert one["site"] != outcome(queue, "implicit.mail.test")["site"]


def test_a_name_server_that_is_away_defers(box, net, backend):
    queue = box.redis()
    sink = box.sink(wrap=net.enter, listen=f"{FIRST}:25")
    box.engine(queue, io=backend, wrap=net.enter, dns={"servers": [DEAD]}, retry=["1s"])
    queue.submit(to="user@here.mail.test", from_="x@y.test", data=PLAIN, expires="8s")
    event = eventually(queue.finals, "a final event", 60)[0]
    assert event["type"] == "expired" and sink.accepted() == []
