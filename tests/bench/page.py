"""docs/performance.md: what stands between its two marks is made from docs/performance.json, and so is its chart."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.registry import OURS

DOCS = Path(__file__).resolve().parents[2] / "docs"
RESULTS = DOCS / "performance.json"
PAGE = DOCS / "performance.md"
CHART = DOCS / "performance.svg"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
TELLING = 6
"""System calls of a trace that the page shows."""


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def results(document: Mapping[str, Any]) -> str:
    """The generated part of the page."""
    return "".join(f"{line}\n" for line in _lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    machine, versions = document["machine"], document["versions"]
    memory = f", {machine['memory'] / 2**30:.0f} GiB of memory" if machine["memory"] else ""
    yield f"Measured {document['date']} on {machine['cpus']} × {machine['cpu']}{memory}, Linux {machine['kernel']}, TCP with {machine['congestion_control']}."
    others = ", ".join(f"{name} {version}" for name, version in versions.items() if version and name != OURS)
    yield f"sockkit {versions[OURS]} ({document['commit']}); {others}. Bulk transfers: {document['size'] / 2**30:g} GiB, the file {document['input']}."
    if document["quick"]:
        yield "**With `--quick`: to look at, not to quote.**"
    targets = [target for row in document["benchmarks"] for target in row["targets"] if target["met"] is not None]
    yield f"{sum(target['met'] for target in targets)} of {len(targets)} targets are met."
    yield ""
    yield f"![Every benchmark: sockkit's bar and the others']({CHART.name})"
    yield ""
    yield "| benchmark | target | measured | |"
    yield "|---|---|---|---|"
    for row in document["benchmarks"]:
        for target in row["targets"]:
            against = f" ({target['against']})" if len(target["versus"]) > 1 and target["against"] else ""
            verdict = "–" if target["met"] is None else "met" if target["met"] else "**missed**"
            yield f"| {row['what']} | {target['text']} | {number(target['measured'])}{against} | {verdict} |"
    yield ""
    yield "Medians of everybody; the spread of the rounds in parentheses:"
    yield ""
    yield "| benchmark | | rounds | sockkit | others |"
    yield "|---|---|---|---|---|"
    for row in document["benchmarks"]:
        for metric in row["metrics"]:
            measured = {name: found[metric] for name, found in row["measured"].items() if found.get(metric)}
            if not measured:
                continue
            cells = {name: _spread(values) for name, values in measured.items()}
            ours = cells.pop(OURS, "–")
            rounds = max(map(len, measured.values()))
            yield f"| {row['what']} | {metric} | {rounds} | {ours} | {', '.join(f'{name} {cell}' for name, cell in cells.items())} |"
    notes = [(row["what"], row["note"]) for row in document["benchmarks"] if row["note"]]
    if notes:
        yield ""
        yield from (f"- {what}: {note}." for what, note in notes)
    failures = [(row["what"], failure) for row in document["benchmarks"] for failure in row["failures"]]
    if failures:
        yield ""
        yield "What failed:"
        yield ""
        yield from (f"- {what}: {failure}" for what, failure in failures)
    yield ""
    yield "What sockkit does meanwhile, by `strace -c -f` of one more run (of 64 MiB, where it is a transfer): system calls, most frequent first."
    yield ""
    yield "| benchmark | command | system calls |"
    yield "|---|---|---|"
    for row in document["benchmarks"]:
        for trace in row["trace"]:
            shown = [f"{name} {count:,}" for name, count in list(trace["calls"].items())[:TELLING]]
            yield f"| {row['what']} | `{trace['command']}` | {', '.join(shown)} |"


def _spread(values: Sequence[float]) -> str:
    median = number(statistics.median(values))
    return median if len(values) == 1 else f"{median} ({number(min(values))}–{number(max(values))})"


def page() -> str:
    """The whole page as it should be."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{results(json.loads(RESULTS.read_text()))}{END}{tail}"


def write() -> None:
    """Refresh the page and the chart."""
    from tests.bench.chart import draw

    PAGE.write_text(page())
    draw(json.loads(RESULTS.read_text()), CHART)
