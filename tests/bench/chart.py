"""The chart of docs/performance.md: a panel a benchmark, a bar a contender, a line where our target is.

matplotlib (extra ``bench``) draws it: the panels, scales and text measures of an SVG are not worth writing by hand.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.registry import MORE, OURS

COLUMNS = 4
COLOURS = {"ours": "#1f6feb", "others": "#9aa4b1", "target": "#d1242f", "text": "#24292f"}
TITLE = 42
"""Characters of a panel's title in a line."""


def bars(row: Mapping[str, Any]) -> tuple[str, str, dict[str, float]]:
    """Which metric is shown, its sense, and the medians of whoever has it."""
    metrics: dict[str, str] = row["metrics"]
    metric = "GB/s" if "GB/s" in metrics else next(iter(metrics))
    measured: dict[str, dict[str, list[float]]] = row["measured"]
    found = {name: statistics.median(values[metric]) for name, values in measured.items() if values.get(metric)}
    return metric, metrics[metric], found


def limit(row: Mapping[str, Any], metric: str, found: Mapping[str, float]) -> float | None:
    """Where the strictest of our targets for that metric is, by the medians; None if there is none."""
    limits: list[float] = []
    for target in row["targets"]:
        if target["metric"] == metric:
            peers = [found[name] for name in target["versus"] if name in found]
            if target["versus"] and not peers:
                continue
            best = (max if target["sense"] == "at least" else min)(peers) if peers else 1.0
            limits.append(best * target["bound"])
        elif {target["metric"], metric} == {"s", "GB/s"}:  # twice as fast is half of the time
            peers = [found[name] for name in target["versus"] if name in found]
            if peers:
                limits.append(max(peers) / target["bound"])
    if not limits:
        return None
    return max(limits) if row["metrics"][metric] == MORE else min(limits)


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Write the SVG or PNG, as the suffix says."""
    import textwrap

    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "sockkit",
            "font.family": "sans-serif",
            "font.size": 8,
            "text.color": COLOURS["text"],
            "axes.labelcolor": COLOURS["text"],
            "xtick.color": COLOURS["text"],
            "ytick.color": COLOURS["text"],
        }
    )
    from matplotlib import pyplot

    rows = [row for row in document["benchmarks"] if bars(row)[2]]
    lines = -(-len(rows) // COLUMNS)
    figure, axes = pyplot.subplots(lines, COLUMNS, figsize=(14, 1.75 * lines), squeeze=False, layout="constrained")
    for panel in axes.flat[len(rows) :]:
        panel.set_axis_off()
    for panel, row in zip(axes.flat, rows, strict=False):
        metric, sense, found = bars(row)
        names = list(found)[::-1]
        values = [found[name] for name in names]
        colours = [COLOURS["ours" if name == OURS else "others"] for name in names]
        panel.barh(names, values, color=colours, height=0.7)
        most = max(values)
        for place, value in enumerate(values):
            panel.text(value + most * 0.02, place, short(value), va="center", fontsize=7)
        aim = limit(row, metric, found)
        if aim is not None:
            panel.axvline(aim, color=COLOURS["target"], linewidth=1, linestyle=(0, (3, 2)))
        panel.set_xlim(0, max(most, aim or 0) * 1.18)
        panel.set_title("\n".join(textwrap.wrap(row["what"], TITLE)), fontsize=8, loc="left", fontweight="bold")
        panel.set_xlabel(f"{metric}, {'more' if sense == MORE else 'less'} is better", fontsize=7)
        panel.tick_params(axis="x", labelbottom=False, length=0)
        panel.tick_params(axis="y", length=0)
        for side in ("top", "right", "bottom", "left"):
            panel.spines[side].set_visible(False)
    machine = document["machine"]
    figure.suptitle(
        f"sockkit {document['versions']['sockkit']} and others, {document['date']}: {machine['cpus']} × {machine['cpu']},"
        f" Linux {machine['kernel']}. Dashed: what sockkit aims at.",
        fontsize=9,
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def short(value: float) -> str:
    """A number at the end of a bar: ``12.3k``."""
    for bound, unit in ((1e6, "M"), (1e3, "k")):
        if value >= bound:
            return f"{value / bound:.3g}{unit}"
    return f"{value:.3g}"
