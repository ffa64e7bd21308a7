"""What a service manager wants to know: readiness (sd_notify(3)). What it lends is in ``spec.passed_fds``."""

from __future__ import annotations

import os

from sockkit import syscalls
from sockkit.events import Env


def ready(env: Env, status: str) -> None:
    """Tell the manager, if there is one, that we serve now."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    try:
        syscalls.notify(env, path, f"READY=1\nSTATUS={status}\n".encode())
    except OSError:
        pass  # it asked to be told and went away: nothing that our users could do
