"""``python -m tests.families`` runs every row, here and in the kernel lab, and writes the table of docs/families.md.

With ``--check`` it writes nothing, and fails where the page has another table.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

from tests import lab
from tests.families.rows import LINES, ROWS, WHOLE, Row
from tests.families.run import Outcome

PAGE = lab.ROOT / "docs" / "families.md"
BEGIN, END = "<!-- written by python -m tests.families -->\n", "<!-- end -->\n"
LEAST = 25
"""Rows that the table must have."""


def outcomes(text: str) -> dict[str, Outcome]:
    """What ``tests.families.run`` printed."""
    found = [Outcome(**json.loads(line)) for line in text.splitlines() if line.startswith("{")]
    return {outcome.name: outcome for outcome in found}


def on_host() -> dict[str, Outcome]:
    """Run here, in a network namespace of its own.

    Raises:
        OSError: there can be none.
    """
    words = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    words += ["sh", "-c", 'ip link set lo up && exec "$@"', "-", sys.executable, "-m", "tests.families.run"]
    done = subprocess.run(words, cwd=lab.ROOT, capture_output=True, text=True, timeout=600, check=False)
    found = outcomes(done.stdout)
    if not found:
        raise OSError(done.stderr)
    return found


def in_lab() -> dict[str, Outcome]:
    """Run in the lab."""
    result = lab.run("python3", "-m", "tests.families.run", timeout=900)
    found = outcomes(result.text)
    assert len(found) == len(ROWS), result.said
    return found


def table(host: dict[str, Outcome], guest: dict[str, Outcome]) -> str:
    """The rows that were exchanged, as Markdown."""
    lines = [
        "| family, type, protocol | where | data exchanged | commands | a message, as `-v` shows it |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS:
        where = [
            place
            for place, found in (("host", host), ("lab", guest))
            if row.name in found and not found[row.name].problem
        ]
        if where:
            commands = f"`sockkit serve {row.serve}` <br> `sockkit connect {options(row)}{target(row)}`"
            title = f"{row.title} ({row.family}, {row.type}, {row.proto})"
            lines.append(f"| {title} | {', '.join(where)} | {data(row)} | {commands} | {shown(row, guest)} |")
    return "\n".join(lines) + "\n"


def options(row: Row) -> str:
    return "--lines " if row.size == LINES else ""


def target(row: Row) -> str:
    """The caller's arguments, with the port that the server said where it chose one."""
    if "{}" not in row.connect:
        return row.connect
    *_, last = shlex.split(row.serve)
    host = shlex.split(row.serve)[-2] if last == "0" else ""
    return row.connect.replace("{}", f"{host} PORT" if host else last.replace(":0", ":PORT"))


def shown(row: Row, guest: dict[str, Outcome]) -> str:
    """What one sees, which is the same wherever it runs but for hardware addresses: the lab's."""
    seen = guest[row.name].seen.replace("|", "\\|")
    return f"`{seen}`" if seen else ""


def data(row: Row) -> str:
    what = "64 KiB" if row.size == WHOLE else "100 lines" if row.size == LINES else f"100 messages of {row.size} bytes"
    return f"{what}, there and back" if row.echo else f"{what}, there"


def parts(page: str) -> tuple[str, str, str]:
    """Before the table, the table, behind it."""
    before, begin, rest = page.partition(BEGIN)
    found, end, after = rest.partition(END)
    assert begin and end, f"{PAGE} has no place for the table"
    return before + begin, found, end + after


def main(arguments: list[str]) -> int:
    """Run, and write or compare."""
    host, guest = on_host(), in_lab()
    for where, found in (("host", host), ("lab", guest)):
        for outcome in found.values():
            print(f"{where:4} {outcome.name:18} {outcome.seconds:5} {outcome.problem or 'ok'}")
    before, shown, after = parts(PAGE.read_text())
    text = table(host, guest)
    failed = sum(bool(outcome.problem) for found in (host, guest) for outcome in found.values())
    if arguments == ["--check"]:
        return failed or int(text != shown)
    PAGE.write_text(before + text + after)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
