"""What a service manager lends and wants to know: socket activation and readiness (sd_listen_fds(3), sd_notify(3))."""

from __future__ import annotations

import os

from sockkit import syscalls
from sockkit.events import Env

FIRST = 3
"""SD_LISTEN_FDS_START."""


def listen_fds() -> list[int]:
    """The descriptors that were passed to this very process; none where ``LISTEN_PID`` names another."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "")
    return list(range(FIRST, FIRST + int(count))) if count.isascii() and count.isdecimal() and len(count) < 5 else []


def ready(env: Env, status: str) -> None:
    """Tell the manager, if there is one, that we serve now."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    try:
        syscalls.notify(env, path, f"READY=1\nSTATUS={status}\n".encode())
    except OSError:
        pass  # it asked to be told and went away: nothing that our users could do
