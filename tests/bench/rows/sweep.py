"""A whole space of sockets: ``sockkit probe --all`` against a loop in C that asks for each of the 148,332 combinations.

On this kernel, as whoever runs it. With ``SOCKKIT_BENCH=lab`` in the environment also in the kernel lab, freshly booted, where every
call that misses makes the kernel run modprobe: there the loop takes a quarter of an hour.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.bench.programs import Bench, Failure
from tests.bench.registry import LESS, Contender, Contenders, Measured, at_most, benchmark
from tests.bench.rows.startup import to_the_end

LOOP = "C, every cell"
IN_THE_GUEST = """
import subprocess, sys, time
begun = time.monotonic()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(time.monotonic() - begun)
"""


def _sockkit(bench: Bench) -> Sequence[str]:
    return bench.sockkit("probe", "--all", "--json")


def _loop(bench: Bench) -> Sequence[str]:
    return [bench.c("brute")]


def _seconds(measure: partial[Measured], bench: Bench) -> Measured:
    return {"s": measure(bench)["ms"] / 1e3}


@benchmark(
    "sweep",
    "every family, type and protocol, on this kernel",
    metrics={"s": LESS},
    targets=[at_most(0.1, "s", LOOP)],
    rounds=3,
    quick_rounds=1,
    note="As root most of the loop's time goes into closing AF_PACKET sockets (12 ms each); as an ordinary user it has none of them.",
)
def sweep() -> Contenders:
    """Here."""
    return {
        "sockkit": Contender(partial(_seconds, partial(to_the_end, _sockkit, False))),
        LOOP: Contender(partial(_seconds, partial(to_the_end, _loop, False)), needs=("cc",)),
    }


def _in_the_lab(words: Sequence[str], program: str | None, bench: Bench) -> Measured:
    """One cold boot of the lab, and one command in it."""
    from tests import lab

    problem = lab.cannot()
    if problem is not None:
        raise Failure(problem)
    with tempfile.TemporaryDirectory() as out:
        if program is not None:
            shutil.copy(bench.c(program), Path(out, program))
        line = lab.command(["python3", "-c", IN_THE_GUEST, *words], timeout=3000, out=out)
        done = subprocess.run(line, env=lab.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(done.stderr.strip()[-500:])
    return {"s": float(done.stdout)}


if os.environ.get("SOCKKIT_BENCH") == "lab":

    @benchmark(
        "sweep-lab",
        "every family, type and protocol, in the kernel lab, nothing loaded yet",
        metrics={"s": LESS},
        targets=[at_most(0.03, "s", LOOP)],
        rounds=1,
        quick_rounds=1,
        note="Debian's 6.1 in an emulated machine; each call that misses runs BusyBox's modprobe there (14 ms).",
    )
    def sweep_lab() -> Contenders:
        """In the lab."""
        words = ["python3", "-m", "sockkit", "probe", "--all", "--json"]
        return {
            "sockkit": Contender(partial(_in_the_lab, words, None)),
            LOOP: Contender(partial(_in_the_lab, ["/out/brute"], "brute"), needs=("cc",)),
        }
