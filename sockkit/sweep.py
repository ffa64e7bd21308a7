"""Asks the kernel for a whole space of sockets: ``sweep`` fills a ``Matrix``.

One descriptor is open at a time, and none is left, whatever happens. ``KeyboardInterrupt`` ends a sweep early and leaves what was
found, ``complete`` being False.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
import time
from typing import NamedTuple

from sockkit import rules, syscalls
from sockkit.errors import SystemRefusal, errno_name
from sockkit.events import Env, Progress
from sockkit.matrix import OK, Answer, Got, Matrix, Space

BEAT = 0.1
"""Seconds between two tidings of progress."""
OURS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
"""Errnos that say something about this process or machine at this moment, and nothing about the combination."""


class Wishes(NamedTuple):
    """How to ask.

    Attributes:
        exhaustive: ask for every cell, infer none.
    """

    exhaustive: bool = False


def modules() -> frozenset[str] | None:
    """The kernel modules that are loaded; None where the kernel has none or does not say."""
    try:
        with open("/proc/modules", encoding="ascii", errors="replace") as file:
            return frozenset(line.partition(" ")[0] for line in file)
    except OSError:
        return None


CAPABILITIES = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW", 21: "CAP_SYS_ADMIN"}
"""Those that socket(2) asks for, by number (include/uapi/linux/capability.h)."""


def _status() -> dict[str, str]:
    """/proc/self/status."""
    try:
        with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
            return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    except OSError:
        return {}


def capabilities() -> list[str]:
    """Those of ``CAPABILITIES`` that this process may use."""
    effective = int(_status().get("CapEff", "0"), 16)
    return [name for bit, name in CAPABILITIES.items() if effective >> bit & 1]


def _user() -> str | None:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError, AttributeError):
        return None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _container() -> str | None:
    """What kind of container this is, as far as it can be told."""
    if os.path.exists("/run/.containerenv"):
        return "podman"
    if os.path.exists("/.dockerenv"):
        return "docker"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    return _read("/run/systemd/container")


def host() -> dict[str, object]:
    """Who answers: what a difference between two matrices may come from."""
    from sockkit import __version__

    status = _status()
    system = platform.uname()
    return {
        "kernel": system.release,
        "version": system.version,
        "system": system.system,
        "machine": system.machine,
        "platform": sys.platform,
        "user": _user(),
        "uid": os.geteuid() if hasattr(os, "geteuid") else None,
        "capabilities": capabilities(),
        "seccomp": int(status["Seccomp"]) if status.get("Seccomp", "").isdecimal() else None,
        "lsm": _read("/sys/kernel/security/lsm"),
        "confined": _read("/proc/self/attr/current") or None,
        "container": _container(),
        "python": platform.python_version(),
        "sockkit": __version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class Asker:
    """Asks for one cell at a time and turns what comes into an ``Answer``; equal answers are one object.

    Attributes:
        asked: how often.
    """

    def __init__(self, env: Env) -> None:
        self._attempt = syscalls.attempter(env)
        self._cache: dict[tuple[str, Got | None], Answer] = {}
        self.asked = 0

    def __call__(self, family: int, type: int, proto: int) -> Answer:
        """Ask.

        Raises:
            SystemRefusal: for want of a descriptor or memory: that would be no answer.
        """
        self.asked += 1
        number, got = self._attempt(family, type, proto)
        if number in OURS:
            asked = f"socket({family}, {type}, {proto})"
            raise SystemRefusal(asked, OSError(number, os.strerror(number)))
        if got is None:
            name = errno_name(number)
            key: tuple[str, Got | None] = (rules.canonical(name) if name else f"E{number}", None)
        else:
            key = (OK, None if got == (family, type, proto) else got)
        answer = self._cache.get(key)
        if answer is None:
            answer = self._cache[key] = Answer(*key)
        return answer


def sweep(space: Space, env: Env, wishes: Wishes | None = None) -> Matrix:
    """Ask for a whole space.

    Raises:
        SystemRefusal: no descriptor or memory is left.
    """
    wishes = wishes or Wishes()
    begun = time.monotonic()
    before = modules()
    matrix = Matrix(space, host())
    ask = Asker(env)
    try:
        _ask_all(matrix, ask, env)
    except KeyboardInterrupt:
        matrix.complete = False
    after = modules()
    matrix.sweep = {
        "exhaustive": wishes.exhaustive,
        "asked": ask.asked,
        "inferred": 0,
        "seconds": round(time.monotonic() - begun, 3),
        "modules": None if before is None or after is None else sorted(after - before),
    }
    return matrix


def _ask_all(matrix: Matrix, ask: Asker, env: Env) -> None:
    space = matrix.space
    total, done, beat = len(space.families) * len(space.types) * len(space.protos), 0, 0.0
    for family in space.families:
        for type in space.types:
            row = matrix.row(family, type)
            for i, proto in enumerate(space.protos):
                row[i] = ask(family, type, proto)
            done += len(space.protos)
            now = env.clock()
            if now - beat >= BEAT or done == total:
                beat = now
                env.observer(Progress(now, done, total, f"family {family}"))
