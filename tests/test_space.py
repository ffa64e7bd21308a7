"""Whole spaces of sockets: how they are typed, asked for, kept in files and shown."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit import matrix, syscalls
from sockkit import sweep as kernel
from sockkit.errors import SystemRefusal, UsageError, errno_name
from sockkit.events import Env, Event, Interest, Progress
from sockkit.matrix import Answer, Cell, Matrix, Space
from sockkit.rules import canonical
from sockkit.sweep import sweep
from tests.harness import Process, needs_linux, on_terminal, run

SMALL = ("--family", "UNIX,INET", "--type", "0-6", "--proto", "0-20")


def found(*args: str, status: int = 0) -> dict[str, Any]:
    result = run("probe", "--json", *args)
    assert result.status == status, result
    document = json.loads(result.out)
    assert isinstance(document, dict)
    return document


# ---- as typed


@pytest.mark.parametrize(
    ("texts", "axis", "numbers"),
    [
        (["INET,UNIX"], "family", (2, 1)),
        (["INET", "unix"], "family", (2, 1)),
        (["0-3"], "family", (0, 1, 2, 3)),
        (["1,0-2,2"], "family", (1, 0, 2)),
        (["INET, UNIX"], "family", (2, 1)),
        (["all"], "type", tuple(range(12))),
        (["STREAM-RAW"], "type", (1, 2, 3)),
        (["STREAM,STREAM+NONBLOCK"], "type", (1, 1 | 0o4000)),
        (["TCP,17"], "proto", (6, 17)),
        (["IPV6-ICMP,TCP"], "proto", (58, 6)),
        (["TCP-UDP"], "proto", tuple(range(6, 18))),
        (["all"], "proto", tuple(range(263))),
    ],
)
@needs_linux
def test_axes(texts: list[str], axis: str, numbers: tuple[int, ...]) -> None:
    assert matrix.parse_axis(texts, axis) == numbers


@pytest.mark.parametrize("text", ["INET", "-1", "2", "AF_INET", "2147483648"])
def test_a_single_value_is_no_space(text: str) -> None:
    assert matrix.parse_axis([text], "family") is None
    assert matrix.parse_space([text], [], []) is None


@needs_linux
def test_a_protocol_is_looked_up_in_every_family() -> None:
    assert matrix.parse_axis(["CAN_RAW,TCP"], "proto", (2, 29)) == (1, 6)
    space = matrix.parse_space(["INET,CAN"], [], ["CAN_BCM"])
    assert space == ((2, 29), (1,), (2,))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--family", "5-3"), "--family: '5-3' runs backwards: 3-5 is what it would be"),
        (("--type", "RAW-STREAM"), "--type: 'RAW-STREAM' runs backwards: STREAM-RAW is what it would be"),
        (("--family", "INET,,UNIX"), "--family: 'INET,,UNIX' has nothing between its commas"),
        (("--family", ","), "--family: ',' has nothing between its commas"),
        (("--proto", "6-"), "--proto: '6-' has no end: 0-255 is a range"),
        (("--proto", "0-2147483648"), "--proto: 2147483648 never reaches the kernel: 0 to 2147483647 do"),
        (("--proto", "-5-3,1"), "--proto: -5 never reaches the kernel"),
        (("--proto", "0-99999999"), "is 100000000 numbers, and 1000000 is the most"),
        (("--proto", "0-99999", "--family", "all"), "combinations, and 1000000 is the most"),
        (("--family", "INET,INTE"), "--family: no address family is called 'INTE'"),
        (("--family", "INET,UNIX", "--proto", "NOPE"), "--proto: no protocol is called 'NOPE'"),
        (("--all", "--fileno", "0"), "--fileno: one descriptor is one socket"),
        (("--exhaustive",), "--exhaustive: one combination is asked for anyway"),
    ],
)
@needs_linux
def test_what_is_no_space(args: tuple[str, ...], said: str) -> None:
    result = run("probe", *args)
    assert result.status == 2 and result.out == b""
    assert said in result.said and result.said.count("\n") <= 2


# ---- asked for


@needs_linux
def test_each_cell_is_what_python_finds() -> None:
    document = found(*SMALL, "--exhaustive")
    assert document["space"] == {"families": [[1, 2]], "types": [[0, 6]], "protos": [[0, 20]]}
    whole = matrix.from_document(document)
    assert len(list(whole.cells())) == 2 * 7 * 21 == document["sweep"]["asked"]
    for cell in whole.cells():
        try:
            with socket.socket(cell.family, cell.type, cell.proto) as sock:
                got = tuple(
                    sock.getsockopt(socket.SOL_SOCKET, option) for option in (39, socket.SO_TYPE, socket.SO_PROTOCOL)
                )
            assert cell.answer.ok and (cell.answer.got or cell[:3]) == got, cell
        except OSError as error:
            assert cell.answer.outcome == canonical(errno_name(error.errno) or ""), cell


def test_no_descriptor_is_left() -> None:
    def lowest_free() -> int:
        fd = os.dup(0)
        os.close(fd)
        return fd

    before = lowest_free()
    sweep(Space((1, 2), range(12), range(30)), syscalls.QUIET)
    assert lowest_free() == before


@needs_linux
def test_without_a_descriptor_there_is_no_answer() -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(SystemRefusal, match="EMFILE"):
            sweep(Space((1, 2), range(12), range(30)), syscalls.QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@needs_linux
def test_what_it_says() -> None:
    text = run("probe", *SMALL).text
    assert text.startswith("2 families x 7 types x 21 protocols\n")
    assert re.search(r"^  UNIX +p19 +\+2 +\+2 +\+2 +p19 +\+2 +p19$", text, re.M), text
    assert re.search(r"^  UNIX +SEQPACKET  0 UNIX$", text, re.M)
    assert re.search(r"^  INET +STREAM +0 TCP$", text, re.M)
    screen = on_terminal("probe", *SMALL)
    assert screen.status == 0 and b"\x1b[30;42m+2" in screen.shown


@needs_linux
def test_the_heat_map_fits_a_terminal_of_80_columns() -> None:
    """Coloured by outcome, with the counts in the cells; on a terminal progress is shown in one line that goes away."""
    screen = on_terminal("probe", "--exhaustive", "--family", "0-16", "--type", "all", "--proto", "0-262", columns=80)
    assert screen.status == 0
    shown = screen.shown.decode()
    assert re.search(r"\r[^\n]*━[^\n]* \d+ % AF_", shown) and "\r\x1b[K" in shown
    report = shown.rpartition("\x1b[K")[2]
    lines = re.sub(r"\x1b\[[0-9;]*m", "", report).splitlines()
    start = lines.index("protocols that work (+), or the commonest refusal:")
    heat = lines[start + 1 : lines.index("", start)]
    assert max(map(len, heat)) <= 80 and heat[0].split()[:3] == ["0", "STRE", "DGRA"]
    assert any(
        line.split() == ["UNIX", "p261", "+2", "+2", "+2", "p261", "+2", "p261", "p261", "p261", "p261", "p261", "v263"]
        for line in heat
    )
    assert "\x1b[30;42m+2   \x1b[0m" in report


@needs_linux
def test_progress_is_for_terminals_only() -> None:
    result = run("probe", "--exhaustive", *SMALL)
    assert result.status == 0 and result.err == b""
    screen = on_terminal("probe", "-q", "--exhaustive", "--family", "0-16", "--type", "all", "--proto", "0-100")
    assert "━" not in screen.shown.decode()


@needs_linux
def test_in_a_user_namespace_capabilities_count_for_less() -> None:
    """root of a user namespace has all of them, and may not use them in a network namespace that is not its own."""
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-m", "sockkit", "probe"]
    space = ("--family", "PACKET", "--type", "all", "--proto", "0-9")
    done = subprocess.run([*command, *space], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"CANNOT: no user namespaces here: {done.stderr.strip()}")
    assert re.search(r"^  privilege +packet_create, net/packet/af_packet.c +EPERM +110$", done.stdout, re.M), (
        done.stdout
    )
    document = json.loads(subprocess.run([*command, "--json", *space], capture_output=True, check=True).stdout)
    assert document["host"]["userns"] == "other" and "CAP_NET_RAW" in document["host"]["capabilities"]


# ---- the file

outcomes = st.sampled_from(["ok", "EINVAL", "EPERM", "EPROTONOSUPPORT"])
numbers = st.lists(st.integers(0, 300), min_size=1, max_size=8, unique=True)


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    space = Space(*(tuple(draw(numbers)) for _ in range(3)))
    made = Matrix(space, {"kernel": "6.1"})
    for family in space.families:
        for type in space.types:
            row = made.row(family, type)
            for i in range(len(space.protos)):
                outcome = draw(outcomes)
                got = draw(st.sampled_from([None, (2, 1, 6), (None, 1, None)])) if outcome == "ok" else None
                row[i] = Answer(outcome, got, draw(st.booleans()), draw(st.booleans()))
    return made


@given(matrices())
def test_round_trip(made: Matrix) -> None:
    again = matrix.from_document(json.loads(json.dumps(matrix.document(made))))
    assert again.space == made.space and again.host == made.host and again.complete
    assert list(again.cells()) == list(made.cells())
    for cell in made.cells():
        assert again.at(*cell[:3]) == cell.answer


def test_equal_neighbours_are_one_row() -> None:
    made = Matrix(Space((1,), (1,), range(10)))
    made.row(1, 1)[:] = [Answer("ok")] * 2 + [Answer("EINVAL")] * 8
    assert matrix.document(made)["cells"] == [[1, 1, 0, 1, "ok", None, ""], [1, 1, 2, 9, "EINVAL", None, ""]]
    assert next(made.cells()) == Cell(1, 1, 0, Answer("ok"))


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=7)))
def test_any_row_is_read_or_refused(row: object) -> None:
    whole = matrix.document(Matrix(Space((1,), (1,), (0,))))
    try:
        matrix.from_document({**whole, "cells": [row]})
    except matrix.NotAMatrix as error:
        assert str(error)


# ---- stopped


@needs_linux
def test_m14_ctrl_c_shows_what_was_found(tmp_path: Path) -> None:
    """As by a terminal: SIGINT while it asks; the report says that it is not complete, and the process ends by the signal."""
    with Process(
        "probe", "-v", "--json", "--exhaustive", "--family", "1-16", "--type", "all", "--proto", "all"
    ) as process:
        process.wait_for(rb"AF_INET\"")
        process.kill(signal.SIGINT)
        result = process.finish()
    assert result.status == -signal.SIGINT
    document = json.loads(result.out)
    assert document["complete"] is False and document["cells"]
    cells = {(cell.family, cell.type) for cell in matrix.from_document(document).cells()}
    assert (1, 0) in cells and (16, 11) not in cells


@needs_linux
def test_what_an_earlier_pass_found_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second pass, which is made since the first one loaded a module (so it is told): the first one's answers stay."""
    loaded = iter([frozenset(), frozenset(), frozenset({"can"}), frozenset({"can"}), frozenset({"can"})])
    monkeypatch.setattr(kernel, "modules", lambda: next(loaded))
    seen: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, Progress):
            seen.append(event.what)
            if seen.count("AF_INET") == 2:
                raise KeyboardInterrupt

    ticks = iter(range(1000))
    env = Env(0, 1, observe, Interest.STATE, lambda: float(next(ticks)))
    found = sweep(Space((1, 2, 16), range(12), range(40)), env)
    assert not found.complete and found.sweep["passes"] == 1
    assert sum(1 for _ in found.cells()) == 3 * 12 * 40
    assert [key[0] for key in found.rows] == sorted(key[0] for key in found.rows)


def test_an_ignored_interrupt_stays_ignored() -> None:
    code = "import signal, os, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", code, sys.executable, "-m", "sockkit", "probe", "--json", *SMALL]
    assert json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["complete"] is True


def test_usage_error_is_what_bad_axes_raise() -> None:
    with pytest.raises(UsageError):
        matrix.parse_axis(["3-1"], "proto")
