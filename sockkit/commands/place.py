"""Where a socket is: the network namespace in which it is made (``--netns``), the interface that it keeps to (``--interface``).

A socket stays in the namespace where it was made, so we go there for that alone, and for the numbers of its interfaces. Everything else of
us stays where it is: files, the name server that is asked, and the server behind ``--mode relay``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sockkit import addresses, netns, syscalls
from sockkit.addresses import Target
from sockkit.errors import SystemRefusal, UsageError
from sockkit.events import Env, Level, Note
from sockkit.text import escape, quoted

if TYPE_CHECKING:
    from sockkit.commands.endpoint import EndpointPlan
    from sockkit.spec import SocketSpec

SAME = ("SO_BINDTODEVICE", "SO_BINDTOIFINDEX")


def check(plan: EndpointPlan, family: int | None) -> None:
    """Raises UsageError where an interface or a namespace means nothing, or does not exist."""
    if plan.netns is not None and family == 1 and not _abstract(plan):
        text = "a path is the same in every network namespace: leave it out (a name such as @NAME belongs to one)"
        raise UsageError(text, option="--netns")
    if plan.interface is None:
        return
    if family is not None and family not in syscalls.INTERNET:
        raise UsageError("only sockets of IPv4 and IPv6 keep to an interface", option="--interface")
    if not hasattr(socket, "SO_BINDTODEVICE"):
        raise UsageError("this platform has no SO_BINDTODEVICE", option="--interface")
    for setting in plan.settings:
        name = setting.partition("=")[0].upper()
        if any(name in (each, each.removeprefix("SO_")) for each in SAME):
            raise UsageError("--interface sets SO_BINDTODEVICE itself: leave one out", option="--set")
    interface(plan)


def _abstract(plan: EndpointPlan) -> bool:
    words: Sequence[str] = getattr(plan, "address", ())
    return bool(words) and words[0][:1] == "@"


def interface(plan: EndpointPlan, name: str | None = None, option: str = "--interface") -> int:
    """The number of an interface (``--interface``'s, if none is named) in the namespace that was asked for.

    Raises:
        UsageError: there is none of that name; those that there are, are named.
    """
    name = plan.interface if name is None else name
    assert name is not None
    with netns.inside(plan.netns):
        try:
            return socket.if_nametoindex(name)
        except (OSError, ValueError) as error:
            known = [each for _, each in socket.if_nameindex()]
            where = "here" if plan.netns is None else f"in network namespace {quoted(plan.netns)}"
            raise UsageError(
                f"there is no interface {quoted(name)} {where}", option=option, hint=_near(name, known)
            ) from error


def _near(name: str, known: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, 1, 0.5)
    shown = ", ".join(escape(each) for each in known[:12])
    return f"did you mean {escape(close[0])}?" if close else f"there are {shown}" if known else "there is none at all"


def parse(plan: EndpointPlan, words: Sequence[str], **about: Any) -> Target:
    """``addresses.parse_target`` as it is meant there: the namespace's interfaces, and ``--interface`` for a link-local
    address that names none.

    Raises:
        UsageError: as ``parse_target``; an address that names another interface.
    """
    with netns.inside(plan.netns):
        target = addresses.parse_target(words, **about)
    if plan.interface is None or target.family != syscalls.AF_INET6 or not isinstance(target.address, tuple):
        return target
    host, port, flow, scope = target.address
    if not addresses.is_link_local(host):
        return target
    index = interface(plan)
    if scope not in (0, index):
        raise UsageError(
            f"{target.text} is not on {plan.interface}: leave one of the two out",
            option=about.get("argument", "ADDRESS"),
        )
    return target._replace(address=(host, port, flow, index))


def make(plan: EndpointPlan, env: Env, spec: SocketSpec) -> socket.socket:
    """A new socket in the namespace that was asked for, which is said.

    Raises:
        OSError: the kernel's refusal. UsageError, SystemRefusal: see ``netns.inside``.
    """
    with netns.inside(plan.netns):
        sock = syscalls.make(env, spec)
        text = f"the socket is in network namespace {quoted(plan.netns or '')}, {os.readlink('/proc/self/ns/net')}"
        addresses.INTERFACES.clear()
        addresses.INTERFACES.update(socket.if_nameindex())
    env.observer(Note(env.clock(), 0, Level.INFO, text))
    return sock


def egress(plan: EndpointPlan, env: Env, sock: socket.socket) -> None:
    """Multicast leaves by ``--interface``: the socket's being bound to it does not choose among its groups.

    Raises:
        SystemRefusal: the kernel's refusal.
    """
    try:
        syscalls.multicast_interface(env, sock, interface(plan))
    except OSError as error:
        raise SystemRefusal(f"send multicast by {plan.interface}", error) from error
