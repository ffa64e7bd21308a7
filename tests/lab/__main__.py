"""``python -m tests.lab [ARG...]``: the tests marked ``lab``, in the guest. The arguments are pytest's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import lab

TIMEOUT = 3600 if os.environ.get("SOCKKIT_LAB_COLD") else 1200
"""Seconds for all of them."""


def marked() -> list[str]:
    """The files that have such tests: to collect all of them takes the guest a minute."""
    return sorted(
        str(path.relative_to(lab.ROOT))
        for path in Path(lab.ROOT, "tests").glob("test_*.py")
        if "mark.lab" in path.read_text()
    )


def main(arguments: list[str]) -> int:
    """Run them. Where the lab cannot run, that is a failure."""
    problem = lab.cannot()
    if problem is not None:
        print(f"CANNOT: {problem}", file=sys.stderr)
        return 1
    files = [] if any(Path(word.partition("::")[0]).exists() for word in arguments) else marked()
    words = ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout=300", "-m", "lab"]
    return subprocess.run(
        lab.command([*words, *arguments, *files], timeout=TIMEOUT), env=lab.environment(), check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
