"""``python -m tests.bench``: see the package."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.bench import registry
from tests.bench.programs import Workshop, in_own_network
from tests.bench.rounds import measure

SIZE = 4 << 30
QUICK_SIZE = 1 << 30


def main(args: list[str] | None = None) -> int:
    """Exit status 0 if every benchmark ran, whatever it measured; 1 if something failed."""
    benchmarks = registry.load()
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="How fast sockkit is, and who is faster."
    )
    parser.add_argument(
        "--quick", action="store_true", help="a little of each, in two minutes: to look at, not to quote"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="these alone; a prefix stands for all that begin with it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw it: .svg or .png")
    parser.add_argument(
        "--docs",
        action="store_true",
        help="measure nothing: make docs/performance.md and its chart from docs/performance.json",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="as many rounds of each")
    parser.add_argument("--size", type=float, metavar="GIB", help="of bulk transfers (4; 1 with --quick)")
    parser.add_argument("--no-trace", action="store_true", help="without the run under strace")
    parser.add_argument("--here", action="store_true", help="not in a network namespace of their own")
    parser.add_argument("--list", action="store_true", help="the names, and what they are")
    given = parser.parse_args(args)
    if given.list:
        for row in benchmarks.values():
            print(f"{row.name:<18} {row.what}")
        return 0
    chosen = list(benchmarks.values())
    if given.only:
        unknown = [name for name in given.only if not any(row.name.startswith(name) for row in chosen)]
        if unknown:
            parser.error(f"no benchmark is called {', '.join(unknown)}: --list shows them")
        chosen = [row for row in chosen if row.name.startswith(tuple(given.only))]
    if given.docs:
        from tests.bench import page

        page.write()
        return 0
    if not given.here:
        status = in_own_network(sys.argv[1:] if args is None else args)
        if status is not None:
            return status
    size = int(given.size * 2**30) if given.size else QUICK_SIZE if given.quick else SIZE

    from tests.bench import report

    def say(text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    with Workshop(size, quick=given.quick) as shop:
        results = []
        for row in chosen:
            results.append(measure(row, shop, say, rounds=given.rounds, trace=not given.no_trace))
            say("")
        surroundings = report.surroundings(quick=given.quick, size=size, input_kind=shop.input_kind)
    report.show(results, surroundings)
    document = {**surroundings, "benchmarks": [result.as_json() for result in results]}
    if given.chart:
        from tests.bench.chart import draw

        draw(document, given.chart)
    if given.json:
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(result.failures for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
