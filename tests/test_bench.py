"""The benchmarks' own tests: the rows are sane, the arithmetic is right, and one of them runs from end to end.

Nothing here is about speed: that is what ``python -m tests.bench`` is for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import page, registry
from tests.bench.registry import LESS, MORE, OURS, Benchmark, at_least, at_most
from tests.bench.rounds import Result
from tests.harness import need, needs_linux

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = registry.load()
ISSUE = [
    "file-tcp",
    "pipe-tcp",
    "file-unix",
    "pipe-unix",
    "echo-1",
    "echo-64",
    "echo-1000",
    "echo-bulk",
    "accepts",
    "udp-1",
    "udp-32",
    "idle",
    "start-version",
    "start-probe",
    "start-connect",
    "start-version-tty",
    "start-probe-tty",
    "start-connect-tty",
    "stall-connect",
    "stall-serve",
]


@pytest.mark.parametrize("row", BENCHMARKS.values(), ids=BENCHMARKS)
def test_a_row_is_whole(row: Benchmark) -> None:
    contenders = list(row.make())
    assert contenders[0] == OURS
    assert row.what and row.metrics and set(row.metrics.values()) <= {LESS, MORE}
    assert row.rounds >= row.quick_rounds >= 1
    for target in row.targets:
        assert target.metric in row.metrics, target.text
        assert set(target.versus) <= set(contenders) - {OURS}, target.text
        if target.versus:
            assert target.sense == row.metrics[target.metric], f"{target.text} aims at the worse"


def test_every_row_of_the_table_is_there() -> None:
    assert set(ISSUE) <= set(BENCHMARKS)


def result(*targets: registry.Target, rounds: list[dict[str, dict[str, float]]]) -> Result:
    row = Benchmark("x", "work", {"s": LESS, "/s": MORE}, targets, dict, 1, 1, "")
    return Result(row, rounds, {}, [], [], 0.0)


def test_the_least_favourable_of_the_median_ratios_counts() -> None:
    rounds = [
        {"sockkit": {"s": 1.0}, "nc": {"s": 4.0}, "socat": {"s": 2.0}},
        {"sockkit": {"s": 2.0}, "nc": {"s": 4.0}, "socat": {"s": 5.0}},
        {"sockkit": {"s": 9.0}, "nc": {"s": 30.0}, "socat": {"s": 10.0}},
    ]
    found = result(at_most(0.5, "s", "nc", "socat"), at_most(0.4, "s", "nc"), rounds=rounds).verdicts()
    assert [(verdict.measured, verdict.against, verdict.met) for verdict in found] == [
        (0.5, "socat", True),
        (0.3, "nc", True),
    ]


def test_more_is_better_where_it_is_said() -> None:
    rounds = [{"sockkit": {"/s": 50.0}, "C": {"/s": 100.0}}, {"sockkit": {"/s": 90.0}, "C": {"/s": 100.0}}]
    met, missed = result(at_least(0.7, "/s", "C"), at_least(0.8, "/s", "C"), rounds=rounds).verdicts()
    assert met.measured == pytest.approx(0.7)
    assert (met.met, missed.met) == (True, False)


def test_a_round_in_which_somebody_failed_is_no_ratio() -> None:
    rounds = [{"sockkit": {"s": 1.0}}, {"nc": {"s": 1.0}}, {"sockkit": {"s": 1.0}, "nc": {"s": 2.0}}]
    found = result(at_most(0.5, "s", "nc"), rounds=rounds)
    assert found.ratios("nc", "s") == [0.5]
    (absent,) = result(at_most(0.5, "s", "socat"), rounds=rounds).verdicts()
    assert absent.met is None and absent.measured is None


def test_a_bound_without_a_peer_is_ours_alone() -> None:
    (verdict,) = result(at_most(45, "s"), rounds=[{"sockkit": {"s": 40.0}}, {"sockkit": {"s": 50.0}}]).verdicts()
    assert verdict.met and verdict.measured == 45.0


@needs_linux
@pytest.mark.once
def test_quick_runs_from_end_to_end(tmp_path: Path) -> None:
    need("cc")
    need("strace")
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--only", "udp-1", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "udp-1" in done.stdout and "C recvfrom" in done.stdout
    document = json.loads(out.read_text())
    assert document["machine"]["kernel"] and document["date"] and document["versions"]["sockkit"]
    (row,) = document["benchmarks"]
    assert row["measured"]["sockkit"]["/s"] and row["measured"]["C recvfrom"]["/s"]
    assert row["targets"][0]["measured"] > 0
    (trace,) = row["trace"]
    assert trace["command"].startswith("sockkit serve -u") and trace["calls"]["recvfrom"] > 100


def test_the_page_shows_what_was_measured() -> None:
    assert page.PAGE.read_text() == page.page(), "python -m tests.bench --docs"
    document = json.loads(page.RESULTS.read_text())
    assert {row["name"] for row in document["benchmarks"]} >= set(ISSUE)
    assert page.CHART.read_text().count("<svg") == 1


def test_a_missed_target_says_so_on_the_page() -> None:
    rounds = [{"sockkit": {"s": 1.0}, "nc": {"s": 1.0}}]
    row = result(at_most(0.5, "s", "nc"), at_most(2, "s", "nc"), rounds=rounds).as_json()
    document = {**json.loads(page.RESULTS.read_text()), "benchmarks": [row]}
    lines = page.results(document).splitlines()
    assert "1 of 2 targets are met." in lines
    assert [line.rsplit("|", 2)[1].strip() for line in lines if line.startswith("| work | ≤")] == ["**missed**", "met"]
