"""Migration: docs/coming-from.md row by row, and what is said to who types another program's command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sockkit import foreign
from sockkit.foreign import Row
from sockkit.spec import options
from tests import migration
from tests.test_cli import PLANS, _end_of_the_forker, parses, refused  # noqa: F401

PLAYED = [row for row in foreign.ROWS if row.played]
ALWAYS = ("nc -N", "nc -l", "nc -U", "ncat -p", "ncat --ssl-verify", "socat TCP", "socat UNIX-LISTEN", "socat cert")
"""Rows that are played with every interpreter; the others with one."""


def marked(row: Row) -> object:
    marks = () if migration.name(row) in ALWAYS else pytest.mark.once
    return pytest.param(row, id=migration.name(row), marks=marks)


@pytest.mark.parametrize("row", [marked(row) for row in PLAYED])
def test_both_exchange_the_same(row: Row, tmp_path: Path) -> None:
    """Their command, then ours, against the same counterpart: what differs is what the row says."""
    typed = foreign.translated(row)
    if typed is None:
        pytest.skip("CANNOT: not there yet")
    different = migration.DIFFERENT.get(migration.name(row), {})
    assert row.says or not different, "the page must say what differs"
    there = migration.play(row, migration.theirs(row), "", tmp_path / "theirs")
    here = migration.play(row, typed.words, typed.after, tmp_path / "ours")
    for field, (theirs, ours) in different.items():
        assert (getattr(there, field), getattr(here, field)) == (theirs, ours), field
    assert here == there._replace(**{field: getattr(here, field) for field in different})


@pytest.mark.parametrize("row", [row for row in foreign.ROWS if row.example], ids=migration.name)
def test_every_suggestion_is_a_command(row: Row) -> None:
    """With values for the words in capitals it makes a plan."""
    typed = foreign.translated(row)
    if typed is not None:
        assert parses([migration.Run(typed.words, "", Path()).filled(word) for word in typed.words[1:]])


def test_what_the_rows_name_is_there() -> None:
    """An option that a row's words recommend exists."""
    known = {name for plan in PLANS.values() for row in options(plan) for name in row.names}
    for row in foreign.ROWS:
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", foreign.said(row))) <= known, row


FLAGS = sorted({name for row in foreign.ROWS if row.tool != "socat" for name in row.names if name[0] == "-"})


@pytest.mark.parametrize("name", FLAGS)
def test_flags_of_other_netcats(name: str) -> None:
    """Each is sockkit's own, or answered in words."""
    for command in ("connect", "serve"):
        if any(name in row.names for row in options(PLANS[command])) or name in ("-h", "--help"):
            continue
        rows = [row for row in foreign.ROWS if row.tool != "socat" and name in row.names]
        value = ["1"] if rows[0].takes else []
        lines = refused(command, name, *value, "127.0.0.1", "80")
        assert lines[0].startswith(f"sockkit: {name}: "), lines
        assert "no such option" not in lines[0]
