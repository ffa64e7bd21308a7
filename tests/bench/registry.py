"""The rows: what is measured, against whom, and what is aimed at.

To add one, write a function in a module of ``tests/bench/rows/`` (which are found by themselves)::

    @benchmark("dump", "hex dump of 64 MiB", metrics={"MB/s": MORE}, targets=[at_least(1.0, "MB/s", "xxd")])
    def dump() -> Contenders:
        return {"sockkit": Contender(ours), "xxd": Contender(xxd, needs=("xxd",))}

where ``ours(bench)`` does the work once with the programs that ``bench`` starts and returns ``{"MB/s": …}``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.bench.programs import Bench

OURS = "sockkit"
"""The contender that every benchmark has: the installed program with default flags."""
LESS, MORE = "less is better", "more is better"

Measured = Mapping[str, float]
"""What one run measured, by metric. More than the declared metrics may be there: it goes into the JSON."""


class Contender(NamedTuple):
    """Somebody who does the work.

    Attributes:
        run: does it once.
        needs: programs (found by PATH) and modules (``module:NAME``), without which it does not take part.
    """

    run: Callable[[Bench], Measured]
    needs: tuple[str, ...] = ()


Contenders = Mapping[str, Contender]


class Target(NamedTuple):
    """What is aimed at: a bound for our metric, or for its ratio to that of each of ``versus``.

    Against several, the least favourable of the median ratios counts: "the best of them" in a way that one lucky run of
    one of them does not decide.
    """

    sense: str
    bound: float
    metric: str
    versus: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As the table has it: ``≤ 0.5 × best of nc, ncat``."""
        sign = "≤" if self.sense is LESS else "≥"
        if not self.versus:
            return f"{sign} {self.bound:g} {self.metric}"
        best = "best of " * (len(self.versus) > 1)
        return f"{sign} {self.bound:g} × {best}{', '.join(self.versus)}"


def at_most(bound: float, metric: str, *versus: str) -> Target:
    """Our metric, or its ratio to each of ``versus``, is to be ``bound`` or less."""
    return Target(LESS, bound, metric, versus)


def at_least(bound: float, metric: str, *versus: str) -> Target:
    """Our metric, or its ratio to each of ``versus``, is to be ``bound`` or more."""
    return Target(MORE, bound, metric, versus)


class Benchmark(NamedTuple):
    """One row.

    Attributes:
        name: for ``--only``.
        what: the work, for people.
        metrics: what every run measures -> ``LESS`` or ``MORE``; the first is the one that is shown for everybody.
        targets: see ``Target``.
        make: the contenders, ``OURS`` first.
        rounds, quick_rounds: how often each contender does it.
        note: what a reader must know to judge the numbers.
    """

    name: str
    what: str
    metrics: Mapping[str, str]
    targets: tuple[Target, ...]
    make: Callable[[], Contenders]
    rounds: int
    quick_rounds: int
    note: str


BENCHMARKS: dict[str, Benchmark] = {}


def benchmark(
    name: str,
    what: str,
    *,
    metrics: Mapping[str, str],
    targets: Sequence[Target] = (),
    rounds: int = 5,
    quick_rounds: int = 2,
    note: str = "",
) -> Callable[[Callable[[], Contenders]], Callable[[], Contenders]]:
    """The function is a benchmark: see ``Benchmark``."""

    def register(make: Callable[[], Contenders]) -> Callable[[], Contenders]:
        assert name not in BENCHMARKS, f"two benchmarks are called {name}"
        BENCHMARKS[name] = Benchmark(name, what, metrics, tuple(targets), make, rounds, quick_rounds, note)
        return make

    return register


def load() -> dict[str, Benchmark]:
    """All benchmarks, in the order of their modules' names."""
    from tests.bench import rows

    for module in sorted(pkgutil.iter_modules(rows.__path__), key=lambda module: module.name):
        importlib.import_module(f"{rows.__name__}.{module.name}")
    return BENCHMARKS
