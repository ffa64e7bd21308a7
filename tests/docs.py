"""Keeps docs/ true: what can be generated is generated, and what is shown was run.

``python -m tests.docs`` writes docs/reference.md, the tables of docs/faults.md and docs/coming-from.md and sockkit/schema.json, and refreshes the output of every console block;
``python -m tests.docs --check`` fails where either differs from what is there.

A console block is fenced with ``console``; a line that begins with ``$ `` is a command for bash (lines that begin with ``> ``
continue it), the lines up to the next one are its output, stdout and stderr together as a terminal would have them. In it ``[...]``
stands for anything within a line, and a line that is only ``[...]`` for any lines. ``[status 1]`` as the last line of an
output is the exit status where it is not 0. Commands of one block share a shell's directory, not its variables.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sockkit import names, sockopts
from sockkit.sockopts import SockOption
from tests import migration, schema

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```", re.S | re.M)


class Example(NamedTuple):
    """A command of a console block with the output that the page shows."""

    page: str
    line: int
    command: str
    shown: str


def pages() -> list[Path]:
    """Every page that may show commands."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def examples(page: Path) -> Iterator[Example]:
    """The commands of a page."""
    text = page.read_text()
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1)) + 1
        command: list[str] = []
        shown: list[str] = []
        begun = first
        for number, line in enumerate(block[1].splitlines(), first):
            if line.startswith("$ "):
                if command:
                    yield Example(page.name, begun, "\n".join(command), "\n".join(shown))
                command, shown, begun = [line[2:]], [], number
            elif line.startswith("> ") and command and not shown:
                command.append(line[2:])
            else:
                shown.append(line)
        if command:
            yield Example(page.name, begun, "\n".join(command), "\n".join(shown))


def actual(command: str) -> str:
    """What a command prints here and now, with its exit status if that is not 0."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR", "COLUMNS")
    }
    environment["PYTHON"] = sys.executable
    if (ROOT / "sockkit").exists():
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryDirectory() as programs:
        # The sockkit that is tested, whether or not it is installed as a command.
        wrapper = Path(programs, "sockkit")
        wrapper.write_text('#!/bin/sh\nexec "$PYTHON" -m sockkit "$@"\n')
        wrapper.chmod(0o755)
        path = (programs, str(Path(sys.executable).parent), environment.get("PATH", ""))
        environment["PATH"] = os.pathsep.join(path)
        done = subprocess.run(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment,
            timeout=60,
            check=False,
        )
    text = done.stdout.decode().rstrip("\n")
    return text + (f"\n[status {done.returncode}]" if done.returncode else "")


VOLATILE = (
    (r"\b(127\.0\.0\.1|\[::1\]|0\.0\.0\.0|::1?|localhost)([: ])\d{4,5}\b", r"\1\2[...]"),
    (r"in \d+\.\d+ s", "in [...] s"),
    (r"<\d+ us>", "<[...] us>"),
    (r"(works here, nearest first \(tried just now\):\n(?:  .*\n){2})(?:  .*\n)+", r"\1[...]\n"),
    (r"(?m)^([*=<>x!]) +\d+\.\d{4} ", r"\1 [...] "),
)
"""What differs from run to run, in outputs that this module writes."""


def steady(text: str) -> str:
    """An output with what differs from run to run left open."""
    for pattern, replacement in VOLATILE:
        text = re.sub(pattern, replacement, text)
    return text


def matches(shown: str, found: str) -> bool:
    """True if an output is what the page shows, its ``[...]`` taken for anything."""
    pattern = "\n".join(re.escape(line) for line in shown.splitlines())
    anything = re.escape("[...]")
    pattern = re.sub(rf"(?m)^{re.escape(anything)}$", r"(?s:.*)", pattern)
    pattern = pattern.replace(anything, "[^\n]*")
    return re.fullmatch(pattern, found) is not None


# ---- docs/reference.md


def _checks() -> list[str]:
    """Why a socket is refused: the rows of ``rules.CHECKS``, and what each looks at by its own word."""
    from sockkit import names, rules

    lines = ["", "## Why a socket is refused", ""]
    lines += [
        "Linux' checks in its order ([probe](probe.md)): those of socket(2) itself, then those of the family. The first that refuses decides.",
        "",
        "| family | check | answers | looks at | function and file |",
        "|---|---|---|---|---|",
    ]
    for rule in rules.CHECKS:
        families = range(rules.FAMILIES_END + 1) if rule.family == rules.ANY else (rule.family,)
        types = (*range(rules.TYPES_END + 1), 0x20)
        asks = [
            rules.Ask(family, type, proto, "", "linux")
            for family in families
            for type in types
            for proto in ((0,) if rule.family == rules.ANY else sorted(rules.edges(rule.family)))
        ]
        facts = dict.fromkeys(fact.what for ask in asks if ask.maker in families and (fact := rule.needs(ask)))
        words = {"never": "the numbers alone", "registered": "what is registered", "absent": "what is not registered"}
        looks = ", ".join(words.get(what, what) for what in facts)
        family = "any" if rule.family == rules.ANY else names.FAMILIES.label(rule.family).partition(" (")[0]
        lines.append(f"| {family} | {rule.name} | {' '.join(rule.errnos)} | {looks} | {rule.source} |")
    return lines


def _applies(option: SockOption) -> str:
    """The sockets that an option is for, by the names of this platform."""
    if not option.applies:
        return "none"
    told = []
    for some in option.applies:
        words = []
        if some.families is not None:
            words.append("/".join(sorted(_named("AF_", number) for number in some.families)))
        if some.types is not None:
            words.append("/".join(sorted(_named("SOCK_", number) for number in some.types)))
        if some.protocols is not None:
            space = names.protocols(next(iter(some.families or {2})))
            words.append(
                "/".join(
                    (space.name(number) or str(number)).removeprefix("IPPROTO_") for number in sorted(some.protocols)
                )
            )
        if some.not_protocols:
            words.append("not MPTCP")
        told.append(" ".join(words) or "all")
    return "; ".join(dict.fromkeys(told))


def _named(prefix: str, number: int) -> str:
    space = names.FAMILIES if prefix == "AF_" else names.TYPES
    return (space.name(number) or str(number)).removeprefix(prefix)


def _socket_options() -> list[str]:
    """The table of socket options, a table a level."""
    lines = ["", "## Socket options", ""]
    lines += [
        "For `--set NAME=VALUE`, and in the reports of `sockkit inspect`. Names are those of Linux's headers; a short name will do (`rcvbuf`),"
    ]
    lines += [
        "and so will numbers (`--set 6:1=1`). *Reading* says what getsockopt(2) does besides telling: such an option is read only when it is named."
    ]
    for level in dict.fromkeys(option.level for option in sockopts.OPTIONS):
        rows = [option for option in sockopts.OPTIONS if option.level == level]
        lines += ["", f"### {level} ({rows[0].level_number})", ""]
        lines += [
            "| option | number | what it is | takes | for | set | privilege | reading | what the kernel does | documented |"
        ]
        lines += ["|---|---|---|---|---|---|---|---|---|---|"]
        for option in rows:
            unit = f" ({option.unit})" if option.unit else ""
            reading = option.reading or (
                "not possible" if not option.readable else "moves by itself" if option.volatile else ""
            )
            kernel = "; ".join(filter(None, (option.kernel, option.sysctl and f"default: {option.sysctl}")))
            takes = option.kind.syntax + unit if option.settable else option.kind.name + unit
            cells: tuple[str, ...] = (
                option.name,
                str(option.number),
                option.meaning,
                takes,
                _applies(option),
                option.moment.value,
            )
            cells += (option.privilege, reading, kernel, option.source)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return lines


def reference() -> str:
    """The whole reference, from the rows that the program itself uses."""
    from importlib import import_module

    from sockkit.addresses import rows as address_rows
    from sockkit.cli import COMMANDS
    from sockkit.commands import steps
    from sockkit.errors import Exit
    from sockkit.spec import GROUPS, options

    lines = [
        "# Reference",
        "",
        "Generated from the program by `python -m tests.docs`; checked in CI. Edit the rows in the code, not this page.",
    ]
    for command, (plan_name, what) in COMMANDS.items():
        plan = getattr(import_module(f"sockkit.commands.{command}"), plan_name)
        lines += ["", f"## sockkit {command}", "", f"{what[0].upper()}{what[1:]}.", ""]
        lines += ["| option | group | what it does |", "|---|---|---|"]
        rows = sorted(options(plan), key=lambda row: GROUPS.index(row.group))
        for row in rows:
            metavar = f" {row.kind.metavar}" if row.kind.metavar else ""
            names_ = ", ".join(f"`{name}{metavar}`" for name in row.names).replace("|", "\\|")
            lines.append(f"| {names_} | {row.group} | {row.help.replace('|', chr(92) + '|')} |")
    lines += [
        "",
        "## Steps",
        "",
        "For `sockkit probe --steps` ([steps](steps.md)); a value is optional unless it has to name something.",
        "",
    ]
    lines += ["| step | value | what it does |", "|---|---|---|"]
    for call in steps.CALLS:
        value = f"`{call.argument}`".replace("|", "\\|") if call.argument else ""
        lines.append(f"| `{call.name}` | {value} | {call.what} |")
    lines += _checks()
    lines += ["", "## Addresses", "", "| family | syntax | examples |", "|---|---|---|"]
    for address in address_rows():
        shown = ", ".join(f"`{shlex.join(example)}`" for example in address.examples)
        lines.append(f"| {address.name} | `{address.syntax.replace('|', chr(92) + '|')}` | {shown} |")
    for title, space in (
        ("Families", names.FAMILIES),
        ("Types", names.TYPES),
        ("IANA protocol numbers", names.PROTOCOLS),
    ):
        lines += ["", f"## {title}", "", "| name | on Linux, macOS, FreeBSD, Windows | meaning |", "|---|---|---|"]
        for constant in space.constants():
            lines.append(f"| {constant.name} | {', '.join(constant.platforms)} | {constant.meaning} |")
    lines += _socket_options()
    lines += ["", "## Exit statuses", "", "| status | name |", "|---|---|"]
    lines += [f"| {code.value} | {code.name} |" for code in Exit]
    return "\n".join(lines) + "\n"


def fault_table() -> str:
    """The faults, one row each."""
    from sockkit.faults import ROWS

    lines = ["| fault | for | what it does |", "|---|---|---|"]
    for row in ROWS:
        name = f"{row.name}={row.value}" if row.value and row.missing is None else row.name
        if row.value and row.missing is not None:
            name += f"[={row.value}]"
        lines.append(f"| `{name}` | {row.where or 'both'} | {row.meaning} |")
    return "\n".join(lines)


def with_tables(page: Path, tables: dict[str, str]) -> str:
    """A page with the tables between their two marks written anew."""
    text = page.read_text()
    for mark, table in tables.items():
        begin, end = f"<!-- written by python -m tests.docs: {mark} -->\n", "<!-- end -->"
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}{table}\n{end}{rest.partition(end)[2]}"
    return text


def main() -> int:
    """Write, or with ``--check`` only compare."""
    check = "--check" in sys.argv
    wrong = 0
    faults, coming = ROOT / "docs" / "faults.md", ROOT / "docs" / "coming-from.md"
    written = (
        (ROOT / "docs" / "reference.md", reference()),
        (schema.PATH, schema.schema()),
        (faults, with_tables(faults, {"faults": fault_table()})),
        (coming, with_tables(coming, {tool: migration.table(tool) for tool in ("nc", "ncat", "socat")})),
    )
    for page, text in written:
        if not check:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            print(f"{page.name} is not what the program says: python -m tests.docs")
            wrong += 1
    for page in pages():
        for example in examples(page):
            found = actual(example.command)
            if matches(example.shown, found):
                continue
            wrong += 1
            print(f"{example.page}:{example.line}: $ {example.command}\n--- shown\n{example.shown}\n--- now\n{found}\n")
            if not check:
                source = page.read_text()
                old = "$ " + example.command.replace("\n", "\n> ") + "\n" + example.shown
                old = old.rstrip("\n")
                new = old[: len(old) - len(example.shown)].rstrip("\n") + "\n" + steady(found)
                page.write_text(source.replace(old + "\n", new + "\n", 1))
    return 1 if wrong and check else 0


if __name__ == "__main__":
    sys.exit(main())
