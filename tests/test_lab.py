"""The kernel lab: that it runs, and what it has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests import lab
from tests.harness import TIMEOUT, run


@pytest.mark.once
@pytest.mark.timeout(1500)
def test_everything_for_the_lab_passes_in_the_lab() -> None:
    """Each test that is marked ``lab``."""
    problem = lab.cannot()
    if problem is not None:
        pytest.skip(f"CANNOT: {problem}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab"], cwd=lab.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.once
@pytest.mark.timeout(1500)
def test_a_command_in_the_lab() -> None:
    """Status, stdout and stderr come back, and it runs as whom one asks for."""
    code = "import os, sys; print(os.uname().release, os.getuid()); print('said', file=sys.stderr); sys.exit(7)"
    found = lab.run("python3", "-c", code, user="nobody", timeout=120)
    assert found.status == 7 and found.said == "said\n"
    release, uid = found.text.split()
    assert release.startswith("6.1.") and release != os.uname().release and uid == "65534"


@pytest.mark.lab
@pytest.mark.parametrize(
    ("family", "type", "proto"),
    [
        (29, 3, 1),
        (30, 5, 0),
        (38, 5, 0),
        (40, 1, 0),
        (21, 5, 0),
        (3, 2, 0),
        (31, 3, 1),
        (2, 5, 132),
        (41, 2, 0),
        (43, 1, 0),
    ],
)
def test_the_lab_has_families_that_others_lack(family: int, type: int, proto: int) -> None:
    socket.socket(family, type, proto).close()


@pytest.mark.lab
def test_sockkit_runs_in_the_lab() -> None:
    result = run("probe", "--family", "CAN", "--type", "RAW", "--proto", "CAN_RAW", timeout=3 * TIMEOUT)
    assert result.status == 0 and "AF_CAN (29)" in result.text, result
