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
SIX, MUTE = "fd00::10", "fd00::66"

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
mxalias MX 10 second
second CNAME mx2
ourselves MX 10 mta.test.
ourselves MX 20 mx1
source MX 10 out.test.
source MX 20 mx1
partly MX 10 mx1
partly MX 20 out.test.
partly MX 30 mx2
both AAAA {SIX}
both A {FIRST}
family MX 10 both
slow AAAA {MUTE}
slow A {SECOND}
race MX 10 slow
"""

# A listener whose queue is full: the kernel drops what comes, silently.
MUTE_PROGRAM = """
import socket, sys, time
s = socket.socket(socket.AF_INET6)
s.bind((sys.argv[1], 25))
s.listen(0)
filler = [socket.socket(socket.AF_INET6) for _ in range(4)]
for f in filler:
    f.setblocking(False)
    f.connect_ex((sys.argv[1], 25))
print("mute", flush=True)
time.sleep(3600)
"""


class Network:
    """A network namespace and the command that enters it."""

    def __init__(self, *addresses):
        self.process = Process("network", ["unshare", "-n", "sh", "-c",
                                           "echo ready; exec sleep 3600"])
        self.process.wait_line("ready")
        self.enter = ("nsenter", "-t", str(self.process.pid), "-n")
        commands = ["ip link set lo up"]
        for address in addresses:
            size = "128 dev lo nodad" if ":" in address else "32 dev lo"
            commands.append(f"ip address add {address}/{size}")
        for command in commands:
            done = Process("ip", [*self.enter, *command.split()])
            assert done.wait() == 0, done.text()

    def stop(self):
        self.process.stop()


@pytest.fixture
def net(box):
    needs_root("a network namespace")
    needs("ip", "unshare", "nsenter", "knotd")
    network = box.keep(Network(NAME_SERVER, FIRST, SECOND, DEAD, SIX, MUTE))
    box.knot("mail.test", RECORDS, wrap=network.enter, host=NAME_SERVER, port=53)
    return network


@pytest.fixture
def start(box, net, backend):
    """Starts an engine in the network, with a sink on each address."""
    def go(**more):
        queue = box.redis()
        first = box.sink(wrap=net.enter, listen=f"{FIRST}:25")
        second = box.sink(wrap=net.enter, listen=f"{SECOND}:25")
        more.setdefault("dns", {"servers": [NAME_SERVER]})
        box.engine(queue, io=backend, wrap=net.enter, **more)
        return queue, first, second

    return go


def outcome(queue, domain):
    to = f"user@{domain}"
    queue.submit(to=to, from_="x@y.test", data=PLAIN)
    found = eventually(lambda: [e for e in queue.finals() if e["to"] == to.lower()],
                       f"outcome of {to}", 40)
    return found[0]


def test_where_mail_goes(start):
    queue, first, second = start()
    for domain, sink, ip in (("here", first, FIRST), ("prefer", first, FIRST),
                             ("backup", second, SECOND), ("implicit", second, SECOND),
                             ("alias", first, FIRST), ("mxalias", second, SECOND)):
        event = outcome(queue, f"{domain}.mail.test")
        assert event["type"] == "delivered", event
        assert event["ip"].startswith(ip) and f"user@{domain}.mail.test" in sink.recipients()
    assert outcome(queue, "prefer.mail.test")["mx"].rstrip(".") == "mx1.mail.test"


def test_where_mail_cannot_go(start):
    queue, first, second = start()
    for domain, enhanced in (("null", "5.1.10"), ("nonexistent", "5.4.4"), ("void", "5.4.4"),
                             ("ourselves", "5.4.6")):
        event = outcome(queue, f"{domain}.mail.test")
        assert event["type"] == "bounced" and event["failure"] == "bad-domain", event
        assert event["stage"] == "dns" and event["enhanced"] == enhanced, event
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


def test_names_of_sources_are_ours(start):
    """Whoever is called by the name that a source gives in EHLO would be ourselves."""
    queue, first, second = start(sources={"a": {"ehlo": "out.test"}})
    event = outcome(queue, "source.mail.test")
    assert event["type"] == "bounced" and event["enhanced"] == "5.4.6", event
    assert outcome(queue, "partly.mail.test")["ip"] == FIRST
    assert first.recipients() == ["user@partly.mail.test"] and second.accepted() == []


def test_address_literals(start, box, net):
    queue, first, _ = start()
    six = box.sink(wrap=net.enter, listen=f"[{SIX}]:25")
    assert outcome(queue, f"[{FIRST}]")["type"] == "delivered"
    assert outcome(queue, f"[IPv6:{SIX}]")["ip"] == SIX
    assert first.recipients() == [f"user@[{FIRST}]"] and len(six.recipients()) == 1
    for literal in ("[127.0.0.1]", "[IPv6:::1]", "[0.0.0.0]", "[IPv6:::ffff:127.0.0.1]"):
        event = outcome(queue, literal)
        assert event["type"] == "bounced" and event["enhanced"] == "5.4.4", event


@pytest.mark.parametrize("families,ip", [("ipv4", FIRST), ("ipv6", SIX), ("prefer-ipv4", FIRST),
                                         ("prefer-ipv6", SIX)])
def test_families(start, box, net, families, ip):
    queue, _, _ = start(dns={"servers": [NAME_SERVER], "families": families})
    box.sink(wrap=net.enter, listen=f"[{SIX}]:25")
    for i in range(3):
        queue.submit(to=f"{i}@family.mail.test", from_="x@y.test", data=PLAIN)
    eventually(lambda: len(queue.finals()) == 3, "three outcomes")
    assert {e["ip"] for e in queue.finals()} == {ip}


def test_a_source_calls_by_the_families_it_has(start, box, net):
    queue, _, _ = start(sources={"four": {"address": SECOND},
                                     "six": {"address": SIX},
                                     "two": {"address": SECOND, "address6": SIX}})
    box.sink(wrap=net.enter, listen=f"[{SIX}]:25")
    for source in ("four", "six", "two"):
        for i in range(4):
            queue.submit(to=f"{source}{i}@family.mail.test", from_="x@y.test", data=PLAIN,
                         source=source)
    eventually(lambda: len(queue.finals()) == 12, "twelve outcomes")
    by = {s: {e["ip"] for e in queue.finals() if e["source"] == s} for s in ("four", "six", "two")}
    assert by["four"] == {FIRST} and by["six"] == {SIX} and by["two"] <= {FIRST, SIX}


def test_a_silent_family_is_not_waited_for(start, box, net):
    mute = box.keep(Process("mute", [*net.enter, "/usr/bin/python3", "-c", MUTE_PROGRAM, MUTE]))
    mute.wait_line("mute")
    queue, _, second = start(dns={"servers": [NAME_SERVER], "families": "prefer-ipv6"},
                             timeouts={"connect": "1m"})
    for i in range(3):
        queue.submit(to=f"{i}@race.mail.test", from_="x@y.test", data=PLAIN)
    eventually(lambda: len(queue.finals()) == 3, "three outcomes")
    assert {e["ip"] for e in queue.finals()} == {SECOND}
    assert not [e for e in queue.events() if e["type"] == "site"]
