"""``-o FILE`` on all four: reports whole or not at all, recordings live, private and never over a file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from sockkit.commands.connect import ConnectPlan
from sockkit.commands.probe import ProbePlan
from sockkit.render.files import FORMATS, formats
from sockkit.spec import options
from tests.harness import Server, needs_linux, run


def test_a_report_in_every_file_that_was_asked_for(tmp_path: Path) -> None:
    names = [tmp_path / "report.json", tmp_path / "report.txt"]
    done = run("probe", *(word for name in names for word in ("-o", str(name))))
    assert done.status == 0
    assert names[1].read_text() == done.text
    document = json.loads(names[0].read_text())
    assert document == json.loads(run("probe", "--json").text) | {
        "repr": document["repr"],
        "decoded": document["decoded"],
    }
    assert sorted(tmp_path.iterdir()) == names, "no temporary file stays"


def test_a_report_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    name = tmp_path / "inspect.json"
    name.write_text("before")
    assert run("inspect", "-o", str(name)).status == 0
    assert json.loads(name.read_text())["command"] == "inspect"


@pytest.mark.parametrize("command", ["probe", "inspect", "serve", "connect"])
def test_an_unknown_suffix_lists_those_that_exist(command: str, tmp_path: Path) -> None:
    name = tmp_path / "file.tar"
    done = run(command, "-o", str(name))
    assert done.status == 2
    listed = " ".join(row.suffix for row in formats(command))
    assert (
        f"-o: the suffix decides what is written, and '{name.name}' has none that is known: {command} writes {listed}"
        in done.said
    )
    assert not name.exists()


def test_a_suffix_of_other_commands_says_so(tmp_path: Path) -> None:
    assert (
        "-o: .json is for connect -z, inspect and probe: connect writes"
        in run("connect", "-o", str(tmp_path / "x.json")).said
    )


@pytest.mark.parametrize("plan", [ProbePlan, ConnectPlan])
def test_help_lists_the_suffixes_that_exist(plan: type) -> None:
    command = "probe" if plan is ProbePlan else "connect"
    help = next(row.help for row in options(plan) if row.field == "outputs")
    assert {word.strip(";,") for word in help.split() if word.startswith(".")} == {
        row.suffix for row in formats(command)
    }


def test_each_suffix_has_one_meaning_for_a_command() -> None:
    found = [(command, row.suffix) for row in FORMATS for command in row.commands]
    assert len(found) == len(set(found))


def test_a_file_that_cannot_be_written_is_known_before_anything_happens(tmp_path: Path) -> None:
    for name, text in ((tmp_path / "no" / "x", "ENOENT 2"), (Path("/proc/x"), "ENOENT 2")):
        done = run("probe", "-o", f"{name}.json")
        assert (done.status, done.text) == (1, "")
        assert f"sockkit: write to {name}.json: " in done.said and text in done.said
        done = run("connect", "-o", f"{name}.txt")
        assert done.status == 1
        assert f"sockkit: write to {name}.txt: " in done.said and "ECONNREFUSED" not in done.said


def test_a_file_is_given_once(tmp_path: Path) -> None:
    done = run("probe", "-o", str(tmp_path / "x.txt"), "-o", str(tmp_path / "." / "x.txt"))
    assert done.status == 2 and "given more than once" in done.said


def test_force_needs_a_file() -> None:
    assert "--force: there is no -o FILE" in run("probe", "--force").said


def test_nothing_half_written_after_bad_input(tmp_path: Path) -> None:
    assert run("connect", "-o", str(tmp_path / "x.txt"), "localhost", "99999").status == 2
    assert run("probe", "-o", str(tmp_path / "x.json"), "--family", "NONSENSE").status == 2
    assert list(tmp_path.iterdir()) == []


def test_n9_a_recording_is_private_and_never_over_a_file(tmp_path: Path) -> None:
    name = tmp_path / "talk.txt"
    before = os.umask(0)
    try:
        with Server("--once") as server:
            assert run("connect", "-o", str(name), server.address, stdin=b"Hello, world").out == b"Hello, world"
    finally:
        os.umask(before)
    assert stat.S_IMODE(name.stat().st_mode) == 0o600
    text = name.read_text()
    assert "Hello, world" in text and "FIN sent" in text
    done = run("connect", "-o", str(name))
    assert done.status == 2
    assert "exists, and recordings are never written over anything\nsockkit: --force writes over it\n" in done.said
    assert name.read_text() == text
    name.chmod(0o644)
    with Server("--once") as server:
        assert run("connect", "-o", str(name), "--force", server.address, stdin=b"again").status == 0
    assert "again" in name.read_text() and "Hello" not in name.read_text()
    assert stat.S_IMODE(name.stat().st_mode) == 0o600


@needs_linux
def test_a_full_disk_is_said_at_once_and_the_flow_goes_on(tmp_path: Path) -> None:
    name = tmp_path / "full.txt"
    name.symlink_to("/dev/full")
    with Server("--once") as server:
        done = run("connect", "-q", "-o", str(name), server.address, stdin=b"Hello, world")
    assert (done.status, done.out) == (1, b"Hello, world")
    assert done.said == (
        f"sockkit: write to {name}: No space left on device [ENOSPC 28]\n"
        "sockkit: nothing more is written to it; everything else goes on\n"
    )


@needs_linux
def test_a_report_on_a_full_disk(tmp_path: Path) -> None:
    name = tmp_path / "full.json"
    name.symlink_to("/dev/full")
    done = run("probe", "-o", str(name), "-o", str(tmp_path / "good.txt"))
    assert done.status == 1 and "ENOSPC" in done.said
    assert (tmp_path / "good.txt").read_text() == done.text
