"""``python -m tests.record``: writes what is recorded from real kernels, as root.

- ``sockkit/matrices/``: the whole space, each cell asked for, as root and as nobody, of this machine's kernel and of the kernel lab's with
  all its modules loaded.
- ``tests/registered/``: what these kernels have registered, from their own tables. It is all that the predictor's tests tell the rules.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import sockkit
from sockkit import rules, sweep
from tests import lab
from tests.predictor import BECOME_NOBODY

MATRICES = Path(sockkit.__file__).with_name("matrices")
REGISTERED = Path(__file__).with_name("registered")
SWEEP = ["probe", "--all", "--exhaustive", "--json"]
HEADER = """\
# What {kernel} has registered: family, type, protocol; * where its code serves all alike, or decides by itself.
# From /proc/net/protocols, /proc/net/netlink and /proc/modules. Written by python -m tests.record.
"""


def rows(registered: frozenset[tuple[int, int, int]], kernel: str) -> str:
    """A file of ``tests/registered``."""
    lines = [" ".join("*" if number == rules.ANY else str(number) for number in row) for row in sorted(registered)]
    return HEADER.format(kernel=kernel) + "\n".join(lines) + "\n"


def here(name: str) -> None:
    """This machine's kernel."""
    for user, start in (("root", ["-m", "sockkit"]), ("nobody", ["-c", BECOME_NOBODY])):
        out = subprocess.run([sys.executable, *start, *SWEEP], stdout=subprocess.PIPE, check=True).stdout
        (MATRICES / f"{name}-{user}.json").write_bytes(out)
    (REGISTERED / f"{name}.txt").write_text(rows(sweep.registered(), f"Linux {platform.release()}"))


def in_the_lab(name: str) -> None:
    """The kernel lab's."""
    with tempfile.TemporaryDirectory() as out:
        os.chmod(out, 0o777)
        script = (
            "from tests import lab, record; from pathlib import Path; lab.load_everything();"
            f"record.MATRICES = record.REGISTERED = Path('/out'); record.here({name!r})"
        )
        subprocess.run(lab.command(["python3", "-c", script], out=out, timeout=900), env=lab.environment(), check=True)
        for path in Path(out).iterdir():
            (REGISTERED if path.suffix == ".txt" else MATRICES).joinpath(path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    MATRICES.mkdir(exist_ok=True)
    REGISTERED.mkdir(exist_ok=True)
    here("firecracker-6.18")
    in_the_lab("debian-12")
