"""What the tests of the rules as a predictor share."""

from __future__ import annotations

import os
from pathlib import Path

from sockkit import rules

REGISTERED = Path(__file__).with_name("registered")
ROOT = frozenset(("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"))
SETTINGS = frozenset(rules.SETTINGS) - {"ping group"}
"""Of a kernel after 6.0 as it is set up by itself: no group may make ping sockets."""
BECOME_NOBODY = """
import os, sys
from sockkit import cli, compare, events, matrix, names, rules, sweep, syscalls
from sockkit.commands import probe, space
from sockkit.render import files, ndjson, plain, story
space.report(sweep.sweep(matrix.Space((1, 2), (1, 4), (0, 6)), syscalls.QUIET), 0.0)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
if len(sys.argv) > 1:
    cli.main(sys.argv[1:])
"""
"""For ``python -c``: nobody may not read what root may, so all is loaded first. With arguments it is ``sockkit``."""


def registered(name: str) -> frozenset[tuple[int, int, int]]:
    """A file of ``tests/registered``."""
    found = set()
    for line in (REGISTERED / f"{name}.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            family, type, proto = (rules.ANY if word == "*" else int(word) for word in line.split())
            found.add((family, type, proto))
    return frozenset(found)


def world(name: str, user: str, *, ping: bool = False) -> rules.World:
    """What the rules are told of a kernel and a caller; never an answer."""
    allowed = SETTINGS | (ROOT if user == "root" else frozenset()) | ({"ping group"} if ping else set())
    return rules.World(registered(name), allowed)


def ping_allowed() -> bool:
    """Is this process in net.ipv4.ping_group_range."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ping_group_range").read_text().split())
    return any(first <= group <= last for group in {os.getegid(), *os.getgroups()})
