"""Reports: a table on the terminal, and JSON with everything."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.programs import congestion_control, missing, sockkit_program
from tests.bench.registry import OURS
from tests.bench.rounds import Result

VERSIONS = {
    "sockkit": [sockkit_program(), "--version"],
    "nc": ["nc", "-h"],
    "ncat": ["ncat", "--version"],
    "socat": ["socat", "-V"],
    "iperf3": ["iperf3", "--version"],
    "cc": ["cc", "--version"],
    "strace": ["strace", "--version"],
}


def figure(value: float | None) -> str:
    """Three digits that count, thousands set apart."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(results: Iterable[Result]) -> Table:
    """Every benchmark with its contenders and its targets."""
    shown = Table(show_lines=True)
    for name in ("benchmark", "sockkit", "the others", "target", "measured", ""):
        shown.add_column(name, overflow="fold")
    for result in results:
        row = result.benchmark
        metric = next(iter(row.metrics))
        others = [
            f"{name} {figure(result.median(name, metric))}"
            for name in dict.fromkeys(name for turn in result.rounds for name in turn)
            if name != OURS
        ]
        others += [f"{name}: {why}" for name, why in result.absent.items()]
        verdicts = result.verdicts()
        shown.add_row(
            f"{row.name}\n[dim]{row.what}",
            "\n".join(f"{figure(result.median(OURS, name))} {name}" for name in row.metrics),
            "\n".join(others),
            "\n".join(verdict.target.text for verdict in verdicts),
            "\n".join(
                figure(verdict.measured) + (f" ({verdict.against})" if len(verdict.target.versus) > 1 else "")
                for verdict in verdicts
            ),
            "\n".join(
                "–" if verdict.met is None else "[green]met" if verdict.met else "[red]missed" for verdict in verdicts
            ),
        )
    return shown


def show(results: Sequence[Result], surroundings: Mapping[str, Any]) -> None:
    """The table, what failed, and where this was."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table(results))
    for result in results:
        for failure in result.failures:
            console.print(f"{result.benchmark.name}: {failure}", style="red", markup=False)
    machine = surroundings["machine"]
    console.print(
        f"{machine['cpus']} × {machine['cpu']}, Linux {machine['kernel']}, TCP {machine['congestion_control']}, Python {surroundings['versions']['python']},"
        f" {surroundings['date']}" + (", quick: to look at, not to quote" * bool(surroundings["quick"])),
        markup=False,
        highlight=False,
    )


def surroundings(*, quick: bool, size: int, input_kind: str) -> dict[str, Any]:
    """Machine, kernel, date, versions: what a number is worth nothing without."""
    found = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", _read("/proc/meminfo"), re.M)
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": quick,
        "size": size,
        "input": input_kind,
        "commit": _commit(),
        "machine": {
            "cpu": found[1] if found else platform.processor() or platform.machine(),
            "cpus": os.cpu_count(),
            "memory": int(memory[1]) * 1024 if memory else None,
            "kernel": platform.release(),
            "congestion_control": congestion_control(),
            "load": list(os.getloadavg()),
        },
        "versions": {
            "python": platform.python_version(),
            "uvloop": _distribution("uvloop"),
            "click": _distribution("click"),
            **{name: _version(argv) for name, argv in VERSIONS.items() if missing(argv[:1]) is None},
        },
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _distribution(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _version(argv: Sequence[str]) -> str | None:
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    found = re.search(r"\d+\.\d[\w.-]*", (done.stdout + done.stderr).decode(errors="replace"))
    return found[0] if found else None


def _commit() -> str | None:
    argv = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(argv, capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout.decode().strip() or None
