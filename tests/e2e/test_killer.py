"""test_killer.py - a short run of killer.py; `make killer` makes long ones."""

from killer import Killer


def test_six_kills(box):
    killer = Killer(box, seed=11)
    killer.run(6)
    print(killer.report())
