"""The kernel lab: tests under a kernel that has nearly every socket family, Debian's 6.1 in an emulated machine.

``python -m tests.lab [ARG...]`` runs the tests marked ``lab`` in the guest, with pytest's arguments as given (files, ``-k`` …).
``run`` is for tests on the host that want one command in there. The first run fetches the kernel and packages (``vm`` says
what), the image and the guest's Python packages stay in a cache: ``SOCKKIT_LAB_CACHE``, else ``~/.cache/sockkit-lab``.

In the guest are root and nobody, BusyBox, Python 3.11 with all its library, modprobe and all modules of sockets; lo, vcan0,
vsock_loopback and hci_vhci are up. ``/etc/modprobe.d/lab.conf`` there adds the aliases that Debian took away. There is no
network, and what is written is gone afterwards, except in ``/out``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

import sockkit

ROOT = Path(__file__).resolve().parent.parent.parent
VM = Path(__file__).with_name("vm")
PACKAGE = Path(sockkit.__file__).resolve().parent
IN_THE_LAB = "SOCKKIT_LAB"
"""Set in the guest."""
PASSED = ("SOCKKIT_LAB_COLD",)
"""Variables that the guest gets too."""
WANTED = ("click", "rich", "pytest", "hypothesis", "pytest-timeout")
"""What the guest's Python gets, in the versions that pyproject.toml asks for."""
TIMEOUT = 300
"""Seconds for a run, booting included."""


class Result(NamedTuple):
    """What came of a run: its exit status (124: time was up, 125: the lab itself failed), stdout, stderr."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """stdout as text."""
        return self.out.decode()

    @property
    def said(self) -> str:
        """stderr as text."""
        return self.err.decode()


def inside() -> bool:
    """True in the guest."""
    return os.environ.get(IN_THE_LAB) == "1"


def cannot() -> str | None:
    """Why the lab cannot run here, or None."""
    if inside():
        return "this is the lab"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the lab is for Linux on x86-64"
    try:
        release = Path("/etc/os-release").read_text()
    except OSError:
        release = ""
    if "VERSION_CODENAME=bookworm" not in release:
        return "the lab takes its kernel from Debian 12"
    if shutil.which("qemu-system-x86_64") is None and os.geteuid() != 0:
        return "qemu-system-x86 is not installed"
    return None


def cache() -> Path:
    """Where the image and the guest's Python packages are kept."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sockkit-lab"
    return Path(os.environ.get("SOCKKIT_LAB_CACHE") or fallback)


def site() -> Path:
    """The guest's Python packages, fetched once for each set of requirements."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    requirements = sorted(line for line in known if line.partition(">")[0].partition("[")[0] in WANTED)
    assert len(requirements) == len(WANTED), requirements
    found = cache() / f"site-{hashlib.sha256(' '.join(requirements).encode()).hexdigest()[:12]}"
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        building = found.with_name(f"{found.name}.{os.getpid()}")
        command = [
            sys.executable,
            "-m",
            "pip",
            "-q",
            "--disable-pip-version-check",
            "install",
            "--target",
            str(building),
        ]
        command += ["--python-version", "3.11", "--only-binary=:all:", "--root-user-action=ignore", *requirements]
        subprocess.run(command, check=True, timeout=TIMEOUT)
        # Compiled here: the guest would do it anew in every run, thirty times slower.
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(building)], check=False, timeout=TIMEOUT)
        try:
            building.rename(found)
        except OSError:  # another one was faster
            shutil.rmtree(building)
    return found


def command(
    words: Sequence[str], *, user: str = "root", timeout: int = TIMEOUT, out: str | os.PathLike[str] | None = None
) -> list[str]:
    """The command line that runs a command in the guest, in a copy of this checkout, with sockkit and pytest importable."""
    shares = [f"{ROOT}:/share", f"{PACKAGE}:/lib/sockkit", f"{site()}:/site"]
    line = [str(VM), "--user", user, "--timeout", str(timeout)]
    for share in shares:
        line += ["--share", share]
    if out is not None:
        line += ["--out", os.fspath(out)]
    environment = ["PYTHONPATH=/lib:/site", f"{IN_THE_LAB}=1", "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8"]
    environment += [f"{name}={os.environ[name]}" for name in PASSED if name in os.environ]
    return [*line, "--", "env", *environment, *words]


def environment() -> dict[str, str]:
    """Of the host's side."""
    return {**os.environ, "LAB_CACHE": str(cache())}


def run(*words: str, user: str = "root", timeout: int = TIMEOUT, out: str | os.PathLike[str] | None = None) -> Result:
    """Run a command in the guest: ``run("python3", "-m", "sockkit", "probe")``. It starts in a copy of this checkout.

    Args:
        user: root or nobody, who reads only what others may read on the host.
        timeout: seconds for all of it, some five for booting included.
        out: a folder of the host's that is writable there as ``/out``.

    The test is skipped, with CANNOT, where the lab cannot run.
    """
    problem = cannot()
    if problem is not None:
        pytest.skip(f"CANNOT: {problem}")
    line = command(words, user=user, timeout=timeout, out=out)
    done = subprocess.run(
        line, stdin=subprocess.DEVNULL, capture_output=True, env=environment(), timeout=timeout + TIMEOUT, check=False
    )
    result = Result(done.returncode, done.stdout, done.stderr)
    assert result.status != 125, result.said
    return result


def load_everything() -> None:
    """In the guest: load every module that it has, and have the kernel ask for none any more."""
    assert inside()
    for path in Path("/lib/modules").rglob("*.ko*"):
        subprocess.run(["modprobe", path.name.partition(".")[0]], stderr=subprocess.DEVNULL, check=False)
    no_more_modules(True)


def no_more_modules(stop: bool) -> None:
    """In the guest: have the kernel run no modprobe when something is missing, or have it do so again."""
    assert inside()
    Path("/proc/sys/kernel/modprobe").write_text("\n" if stop else "/sbin/modprobe\n")
