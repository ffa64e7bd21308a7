"""sockkit lets you see sockets: make one, and watch what the kernel answers.

The command line is ``sockkit``; from Python::

    >>> from sockkit import SocketSpec, probe
    >>> found = probe(SocketSpec.parse(type="DGRAM", proto="TCP"))
    >>> found.ok, found.error.errno, found.why.rule
    (False, 93, 'protocol within type')

Public here: ``SocketSpec``, ``probe`` → ``Probe``, ``inspect`` → ``Inspection``, the exceptions, ``Exit``.
Everything loads when it is first used, since the command line starts by importing this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sockkit.commands.inspect import Inspection, inspect
    from sockkit.commands.probe import Probe, probe
    from sockkit.errors import Exit, SockkitError, SystemRefusal, UsageError
    from sockkit.spec import SocketSpec

_HOMES = {
    "Exit": "sockkit.errors",
    "Inspection": "sockkit.commands.inspect",
    "Probe": "sockkit.commands.probe",
    "SockkitError": "sockkit.errors",
    "SocketSpec": "sockkit.spec",
    "SystemRefusal": "sockkit.errors",
    "UsageError": "sockkit.errors",
    "inspect": "sockkit.commands.inspect",
    "probe": "sockkit.commands.probe",
}

__all__ = [
    "Exit",
    "Inspection",
    "Probe",
    "SockkitError",
    "SocketSpec",
    "SystemRefusal",
    "UsageError",
    "__version__",
    "inspect",
    "probe",
]


def __getattr__(name: str) -> object:
    """Load what is public when it is first asked for (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'sockkit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
