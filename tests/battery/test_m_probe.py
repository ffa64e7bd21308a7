"""Sweeps of a whole space: complete, quick, and without a trace. (The other cases of this group are in test_probe and test_space.)"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.harness import needs_linux, needs_root, run
from tests.peers import in_a_network_of_its_own

SPACE = ("--family", "0-46", "--type", "0-6", "--proto", "0-12")


@needs_linux
@pytest.mark.parametrize("how", [(), ("--exhaustive",), ("--no-load",)], ids=lambda words: " ".join(words) or "default")
def test_m2_a_space_of_47_families_7_types_and_13_protocols(how: tuple[str, ...]) -> None:
    begun = time.monotonic()
    result = run("probe", "--json", *how, *SPACE)
    assert time.monotonic() - begun < 25
    assert result.status == 0
    report = json.loads(result.out)
    assert report["complete"] is True
    cells = {
        (family, type, proto): outcome
        for family, type, first, last, outcome, *_ in report["cells"]
        for proto in range(first, last + 1)
    }
    assert len(cells) + report["sweep"]["left"] == 47 * 7 * 13
    assert cells[2, 1, 6] == "ok" and cells[2, 1, 1] == "EPROTONOSUPPORT" and cells[0, 1, 0] == "EAFNOSUPPORT"


@needs_linux
@needs_root
def test_m12_a_sweep_leaves_no_trace() -> None:
    """No packet, no socket, and every module that was loaded meanwhile is told of."""

    def network() -> dict[str, object]:
        here = Path("/proc/thread-self/net")
        lists = ("tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6", "icmp", "packet", "netlink")
        sockets = {name: (here / name).read_text().count("\n") for name in lists if (here / name).exists()}
        traffic = [line.split()[1:3] + line.split()[9:11] for line in (here / "dev").read_text().splitlines()[2:]]
        return {**sockets, "traffic": traffic}

    def modules() -> set[str]:
        path = Path("/proc/modules")
        return {line.split()[0] for line in path.read_text().splitlines()} if path.exists() else set()

    def play() -> None:
        before, loaded = network(), modules()
        report = json.loads(run("probe", "--json", "--exhaustive", *SPACE).out)
        assert network() == before
        assert modules() - loaded <= set(report["sweep"]["modules"] or ())

    in_a_network_of_its_own(play)
