"""``sockkit probe --against``: what differs between two kernels, or between a file and this host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit import matrix, rules
from sockkit.compare import CAUSES, compare
from sockkit.matrix import OK, Answer, Matrix, Space
from tests.harness import Result, needs_linux, run

ROOT, NOBODY = "firecracker-6.18-root", "firecracker-6.18-nobody"
SMALL = ("--family", "UNIX,INET", "--type", "0-6", "--proto", "0-20")


def against(*files: str | Path, status: int) -> dict[str, Any]:
    result = run("probe", "--json", *(word for file in files for word in ("--against", str(file))))
    assert result.status == status and result.err == b"", result
    document = json.loads(result.out)
    assert isinstance(document, dict)
    return document


def said(*files: str | Path) -> Result:
    return run("probe", *(word for file in files for word in ("--against", str(file))))


# ---- root and nobody


@pytest.mark.parametrize("kernel", ["firecracker-6.18", "debian-12"])
def test_root_and_nobody_differ_in_the_privileged_cells_and_no_others(kernel: str) -> None:
    """A cell differs if and only if a privilege check is what refuses nobody, by a prediction that knows neither answer."""
    from tests.predictor import world

    root, nobody = (matrix.load(f"{kernel}-{user}") for user in ("root", "nobody"))
    found = compare(root, nobody)
    assert found.cells == 47 * 12 * 263 and found.unanswered == 0
    assert {row.cause for row in found.differences} == {"privilege"}
    assert {row.other for row in found.differences} == {"EPERM"} and {row.rule for row in found.differences} == {
        "privilege"
    }
    differing = {
        (row.family, type, proto)
        for row in found.differences
        for type in row.types
        for first, last in row.protos
        for proto in range(first, last + 1)
    }
    assert len(differing) == found.differing
    told = world(kernel, "nobody")
    privileged = set()
    for family, type, first, last, _ in nobody.runs():
        for proto in range(first, last + 1):
            rule = rules.predict(family, type, proto, told)
            if rule is not None and rule.name == "privilege":
                privileged.add((family, type, proto))
    assert differing == privileged


def test_what_it_says_of_root_and_nobody() -> None:
    result = said(ROOT, NOBODY)
    assert result.status == 1 and result.err == b""
    lines = result.text.splitlines()
    assert lines[0] == f"{ROOT} and {NOBODY}"
    assert [line.split() for line in lines if line.startswith("  INET ")] == [
        ["INET", "RAW", "1-262", "ok", "EPERM", "262"],
        ["INET", "PACKET", "0-262", "ok", "EPERM", "263"],
    ]
    assert "  6573 of 148332 combinations differ" in lines
    document = against(ROOT, NOBODY, status=1)
    assert (document["differing"], document["compared"], document["unanswered"]) == (6573, 148332, 0)
    assert [host["user"] for host in document["hosts"]] == ["root", "nobody"]
    assert document["differences"][0] == {
        "cause": "privilege",
        "family": {"number": 2, "name": "AF_INET"},
        "types": [3],
        "protos": [[1, 262]],
        "outcomes": ["ok", "EPERM"],
        "got": None,
        "cells": 262,
        "rule": "privilege",
    }


def test_nothing_differs_from_itself() -> None:
    result = said(ROOT, ROOT)
    assert result.status == 0 and "  0 of 148332 combinations differ" in result.text.splitlines()
    assert against(ROOT, ROOT, status=0)["differences"] == []


def test_another_kernel() -> None:
    """How does this differ from Debian's: at once, and what one of them has not at all is one line."""
    lines = said("debian-12-root", ROOT).text.splitlines()
    assert [line.split() for line in lines if line.startswith("  CAN ")] == [
        ["CAN", "all", "all", "4", "work", "EAFNOSUPPORT", "2893"]
    ]
    assert [line.split() for line in lines if " AUDIT " in line] == [
        ["NETLINK", "DGRAM", "RAW", "AUDIT", "EPROTONOSUPPORT", "ok", "2"]
    ]


# ---- a file and this host


@needs_linux
def test_a_file_against_this_host(tmp_path: Path) -> None:
    file = tmp_path / "host-a.json"
    assert run("probe", *SMALL, "-o", str(file)).status == 0
    assert against(file, status=0)["compared"] == 2 * 7 * 21
    assert said(file).status == 0
    document = json.loads(file.read_text())
    for row in document["cells"]:
        if row[:2] == [1, 5] and row[4] == OK:
            row[4] = "EACCES"
    file.write_text(json.dumps(document))
    found = against(file, status=1)
    assert [(row["cause"], row["family"]["number"], row["types"], row["outcomes"]) for row in found["differences"]] == [
        ("guard", 1, [5], ["EACCES", "ok"])
    ]
    assert [host["name"] for host in found["hosts"]] == [str(file), "this host"]


def test_what_was_not_asked_is_no_agreement(tmp_path: Path) -> None:
    file = tmp_path / "stopped.json"
    whole = matrix.document(matrix.load(ROOT))
    cells = whole["cells"]
    assert isinstance(cells, list)
    file.write_text(json.dumps({**whole, "complete": False, "cells": cells[:50]}))
    document = against(file, ROOT, status=1)
    assert document["differing"] == 0 and document["unanswered"] > 100_000 and document["complete"] is False


def test_what_a_socket_is_counts_too(tmp_path: Path) -> None:
    space = Space((2,), (1,), (0,))
    one, other = Matrix(space), Matrix(space)
    one.row(2, 1)[0] = Answer(OK, (2, 1, 6))
    other.row(2, 1)[0] = Answer(OK, (2, 1, 262), inferred=True)
    found = compare(one, other)
    assert found.differing == 1 and found.differences[0].got == ((2, 1, 6), (2, 1, 262))
    other.row(2, 1)[0] = Answer(OK, (2, 1, 6), inferred=True)
    assert compare(one, other).differing == 0


def test_a_matrix_from_stdin() -> None:
    data = Path(matrix.shipped()[NOBODY]).read_bytes()
    piped = run("probe", "--against", ROOT, "--against", "-", stdin=data)
    assert piped.status == 1 and "  6573 of 148332 combinations differ" in piped.text.splitlines()
    nothing = run("probe", "--against", ROOT, "--against", "-", stdin=None)
    assert nothing.status == 2 and "it is empty" in nothing.said


@pytest.mark.parametrize(
    ("cell", "outcomes", "hosts", "cause"),
    [
        ((2, 2, 1), ("ok", "EACCES"), ({}, {}), "setting"),
        ((2, 1, 262), ("ENOPROTOOPT", "ok"), ({}, {}), "setting"),
        ((26, 1, 0), ("EAFNOSUPPORT", "ok"), ({"netns": "other"}, {"netns": "first"}), "container"),
        ((26, 1, 0), ("EAFNOSUPPORT", "ok"), ({"netns": "first"}, {"netns": "first"}), "kernel"),
        ((29, 3, 1), ("EAFNOSUPPORT", "ok"), ({"netns": "other"}, {"netns": "first"}), "kernel"),
        ((1, 1, 0), ("ok", "EPERM"), ({}, {"seccomp": 2}), "guard"),
        ((17, 3, 3), ("ok", "EPERM"), ({"capabilities": ["CAP_NET_RAW"]}, {"capabilities": []}), "privilege"),
        ((17, 3, 3), ("ok", "EPERM"), ({}, {"capabilities": ["CAP_NET_RAW"]}), "guard"),
        ((17, 3, 3), ("ok", "EPERM"), ({}, {"capabilities": ["CAP_NET_RAW"], "userns": "other"}), "privilege"),
        ((2, 1, 132), ("EPROTONOSUPPORT", "ok"), ({}, {}), "kernel"),
    ],
)
def test_where_a_difference_comes_from(
    cell: tuple[int, int, int],
    outcomes: tuple[str, str],
    hosts: tuple[dict[str, object], dict[str, object]],
    cause: str,
) -> None:
    family, type, proto = cell
    sides = []
    for outcome, host in zip(outcomes, hosts, strict=True):
        side = Matrix(Space((family,), (type,), (proto,)), {"platform": "linux", **host})
        side.row(family, type)[0] = Answer(outcome)
        sides.append(side)
    (found,) = compare(*sides).differences
    assert (found.cause, found.one, found.other, found.cells) == (cause, *outcomes, 1)


@given(st.data())
def test_every_difference_is_found_once(data: st.DataObject) -> None:
    space = Space((1, 2, 29), (1, 3), (0, 1, 6, 7))
    outcomes = st.sampled_from([OK, "EPERM", "EAFNOSUPPORT", "EPROTONOSUPPORT", "EXDEV"])
    one, other = Matrix(space), Matrix(space)
    expected = 0
    for family in space.families:
        for type in space.types:
            for i in range(4):
                a, b = Answer(data.draw(outcomes)), Answer(data.draw(outcomes))
                one.row(family, type)[i], other.row(family, type)[i] = a, b
                expected += a != b
    found = compare(one, other)
    assert found.differing == expected and found.cells == 24 and found.unanswered == 0
    assert all(row.cause in CAUSES for row in found.differences)


# ---- bad input


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", "it is empty"),
        (b"hello", "it is no JSON"),
        (b"\xff\xfe", "it is no JSON"),
        (b"[1, 2]", "it is JSON, but not what"),
        (b'{"schema": 1, "command": "probe", "ok": true}', "it is JSON, but not what"),
        (b'{"matrix": 2}', "it has version 2, and this sockkit reads up to 1: a newer sockkit reads it"),
        (b'{"matrix": "x"}', "its version is no number"),
        (b'{"matrix": 1}', "its space, its host or its cells are missing"),
        (b'{"matrix": 1, "space": {}, "cells": []}', "its space is no list of ranges"),
        (b'{"matrix": 1, "space": {"families": [[5, 3]]}, "cells": []}', "its space has [5, 3] for a range"),
        (b"[" * 100_000, "no matrix"),
    ],
)
def test_what_is_no_matrix(tmp_path: Path, content: bytes, wrong: str) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(content)
    result = said(file)
    assert result.status == 2 and result.out == b""
    assert result.said.startswith("sockkit: --against: ") and wrong in result.said, result


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_truncated_matrix(tmp_path: Path, keep: float) -> None:
    data = Path(matrix.shipped()[ROOT]).read_bytes()
    file = tmp_path / "file.json"
    file.write_bytes(data[: int(len(data) * keep)])
    result = said(file)
    assert result.status == 2 and "it ends in the middle, after" in result.said, result


def test_a_matrix_with_cells_missing(tmp_path: Path) -> None:
    whole = matrix.document(matrix.load(ROOT))
    cells = whole["cells"]
    assert isinstance(cells, list)
    file = tmp_path / "file.json"
    file.write_text(json.dumps({**whole, "cells": cells[:-1]}))
    assert "it says that it is complete, but 263 cells are missing" in said(file).said
    file.write_text(json.dumps({**whole, "cells": [*cells, [99, 1, 0, 0, "ok", None, ""]]}))
    assert "lies outside its space" in said(file).said


@pytest.mark.parametrize(
    ("args", "status", "part"),
    [
        (["--against", "no-such.json"], 1, "No such file or directory [ENOENT 2]"),
        (["--against", "no-such.json"], 1, "these come with sockkit: debian-12-nobody, debian-12-root,"),
        (["--against", "/"], 1, "Is a directory [EISDIR 21]"),
        (
            ["--against", ROOT, "--against", ROOT, "--against", ROOT],
            2,
            "two matrices are compared, or one with this host",
        ),
        (["--against", ROOT, "--all"], 2, "the file says what is asked"),
        (["--against", ROOT, "--family", "INET"], 2, "the file says what is asked"),
        (["--no-load"], 2, "--no-load: one combination is asked for anyway"),
    ],
)
@needs_linux
def test_what_cannot_be_compared(args: list[str], status: int, part: str) -> None:
    result = run("probe", *args)
    assert result.status == status and result.out == b"" and part in result.said, result


def test_spaces_that_have_nothing_in_common(tmp_path: Path) -> None:
    files = []
    for family in (1, 2):
        made = Matrix(Space((family,), (1,), (0,)))
        made.row(family, 1)[0] = Answer(OK)
        files.append(tmp_path / f"{family}.json")
        files[-1].write_text(json.dumps(matrix.document(made)))
    result = said(*files)
    assert result.status == 2 and "no combination in common" in result.said


def test_every_shipped_matrix_is_whole() -> None:
    assert sorted(matrix.shipped()) == [
        f"{kernel}-{user}" for kernel in ("debian-12", "firecracker-6.18") for user in ("nobody", "root")
    ]
    for name in matrix.shipped():
        found = matrix.load(name)
        assert found.complete and sum(1 for _ in found.cells()) == 47 * 12 * 263
