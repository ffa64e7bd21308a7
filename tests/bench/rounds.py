"""Measures: rounds in which every contender takes its turn, medians of the ratios within a round, and the verdict."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.programs import Bench, Failure, Workshop, missing, traces
from tests.bench.registry import LESS, OURS, Benchmark, Measured, Target

Say = Callable[[str], None]


class Verdict(NamedTuple):
    """What came of a target.

    Attributes:
        measured: the least favourable figure, in the target's terms; None: nobody was there to compare with.
        against: whose ratio that is, or "".
        met: None where ``measured`` is.
    """

    target: Target
    measured: float | None
    against: str
    met: bool | None


class Result(NamedTuple):
    """What came of a benchmark.

    Attributes:
        rounds: for each round what every contender measured; who failed is not in it.
        absent: who did not take part -> why.
        failures: what went wrong, in words.
        trace: see ``programs.traces``.
    """

    benchmark: Benchmark
    rounds: Sequence[Mapping[str, Measured]]
    absent: Mapping[str, str]
    failures: Sequence[str]
    trace: Sequence[Mapping[str, Any]]
    seconds: float

    def values(self, contender: str, metric: str) -> list[float]:
        """One figure per round."""
        return [turn[contender][metric] for turn in self.rounds if metric in turn.get(contender, {})]

    def median(self, contender: str, metric: str) -> float | None:
        """Of the rounds."""
        values = self.values(contender, metric)
        return statistics.median(values) if values else None

    def ratios(self, other: str, metric: str) -> list[float]:
        """Ours to theirs, each within its round."""
        pairs = [(turn[OURS], turn[other]) for turn in self.rounds if OURS in turn and other in turn]
        return [ours[metric] / theirs[metric] for ours, theirs in pairs if theirs.get(metric)]

    def verdicts(self) -> list[Verdict]:
        """Of every target."""
        return [self._verdict(target) for target in self.benchmark.targets]

    def _verdict(self, target: Target) -> Verdict:
        found: list[tuple[float, str]]
        if target.versus:
            ratios = {other: self.ratios(other, target.metric) for other in target.versus}
            found = [(statistics.median(values), other) for other, values in ratios.items() if values]
        else:
            values = self.values(OURS, target.metric)
            found = [(statistics.median(values), "")] if values else []
        if not found:
            return Verdict(target, None, "", None)
        measured, against = (max if target.sense is LESS else min)(found)
        return Verdict(
            target, measured, against, measured <= target.bound if target.sense is LESS else measured >= target.bound
        )

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        row = self.benchmark
        names = list(dict.fromkeys(name for turn in self.rounds for name in turn))
        metrics = list(dict.fromkeys(metric for turn in self.rounds for found in turn.values() for metric in found))
        return {
            "name": row.name,
            "what": row.what,
            "note": row.note,
            "seconds": round(self.seconds, 1),
            "metrics": dict(row.metrics),
            "measured": {
                name: {metric: self.values(name, metric) for metric in metrics if self.values(name, metric)}
                for name in names
            },
            "targets": [
                {
                    "text": verdict.target.text,
                    "sense": "at most" if verdict.target.sense is LESS else "at least",
                    "bound": verdict.target.bound,
                    "metric": verdict.target.metric,
                    "versus": list(verdict.target.versus),
                    "measured": verdict.measured,
                    "against": verdict.against,
                    "ratios": {other: self.ratios(other, verdict.target.metric) for other in verdict.target.versus},
                    "met": verdict.met,
                }
                for verdict in self.verdicts()
            ],
            "absent": dict(self.absent),
            "failures": list(self.failures),
            "trace": list(self.trace),
        }


def measure(row: Benchmark, shop: Workshop, say: Say, *, rounds: int | None = None, trace: bool = True) -> Result:
    """All rounds of one benchmark. What fails is told and left out of its round; it never ends the run."""
    begun = time.monotonic()
    contenders = dict(row.make())
    absent = {}
    for name, contender in list(contenders.items()):
        lacking = missing(contender.needs)
        if lacking is not None:
            absent[name] = f"{lacking} is not installed"
            del contenders[name]
    failures: list[str] = []
    turns: list[dict[str, Measured]] = []
    names = list(contenders)
    if rounds is None:
        rounds = row.quick_rounds if shop.quick else row.rounds
    for number in range(rounds):
        turn: dict[str, Measured] = {}
        # Everybody goes first once in a while.
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            say(f"{row.name}: round {number + 1} of {rounds}: {name}")
            try:
                with Bench(shop) as bench:
                    turn[name] = contenders[name].run(bench)
            except (Failure, OSError) as error:
                failures.append(f"{name}, round {number + 1}: {error}")
        turns.append(turn)
    found: list[dict[str, Any]] = []
    if trace and missing(["strace"]) is None:
        say(f"{row.name}: a trace of {OURS}")
        with tempfile.TemporaryDirectory(dir=shop.directory) as directory:
            try:
                with Bench(shop, trace=Path(directory)) as bench:
                    contenders[OURS].run(bench)
                found = traces(Path(directory))
            except (Failure, OSError) as error:
                failures.append(f"{OURS}, trace: {error}")
    return Result(row, turns, absent, failures, found, time.monotonic() - begun)
