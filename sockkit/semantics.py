"""What family, type and protocol mean together for whoever uses the socket: socket(2) calls it communication semantics.

The type says most of it. One row of ``_OTHERWISE`` is a protocol that does not do what its type says, with its source.
"""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

STREAM, DGRAM, RAW, RDM, SEQPACKET, DCCP = 1, 2, 3, 4, 5, 6
"""Socket types: socket(2). Every platform has the first five so; DCCP is Linux's."""


class Join(IntFlag):
    """How the calling side gets hold of the other: which calls are made with the address."""

    CONNECT = 1
    BIND = 2
    """There is no connect(2): a bus, or the kernel itself, which the address alone decides."""
    SEND = 4
    """sendto(2): the address goes with every message."""
    ACCEPT = 8
    """accept(2) on what is bound gives the socket that does the work (ALG)."""


class Semantics(NamedTuple):
    """How such a socket is used.

    Attributes:
        connections: listen(2), accept(2), and an end of input.
        boundaries: a message arrives as it was sent, or not at all.
        half_close: shutdown(2) with SHUT_WR tells the peer, who can still answer.
        listens: listen(2) comes first, although there is no accept(2).
        join: see ``Join``.
        mutual: both sides connect(2), each to the other: nothing is bound or listened on.
        message: bytes of stdin that become one message at most.
        exact: … and never fewer, but for the last: the kernel takes frames of that size only.
    """

    connections: bool
    boundaries: bool
    half_close: bool = False
    listens: bool = False
    join: Join = Join.CONNECT
    mutual: bool = False
    message: int = 65507
    """The most that UDP over IPv4 carries."""
    exact: bool = False


_STREAM = Semantics(True, False, True)
_PACKETS = Semantics(True, True)
_DATAGRAMS = Semantics(False, True)
_TYPES = {STREAM: _STREAM, SEQPACKET: _PACKETS, DCCP: _PACKETS._replace(message=1400)}
_BOTH_WAYS = ("AF_UNIX", "AF_VSOCK")
"""Families whose SEQPACKET can be half-closed, as their streams can: unix(7), vsock(7)."""
_ONE_WAY = _STREAM._replace(half_close=False)

_ANY = None
_OTHERWISE: tuple[tuple[str, int | None, int | None, Semantics], ...] = (
    # (family, type, protocol, semantics); the first row that fits counts
    # sctp(7): a socket of many associations; no half-close in either style (RFC 9260, section 9.2)
    ("AF_INET", SEQPACKET, _ANY, _DATAGRAMS._replace(listens=True, join=Join.SEND)),
    ("AF_INET6", SEQPACKET, _ANY, _DATAGRAMS._replace(listens=True, join=Join.SEND)),
    ("AF_INET", STREAM, 132, _ONE_WAY),
    ("AF_INET6", STREAM, 132, _ONE_WAY),
    # rds(7): SEQPACKET without connections
    ("AF_RDS", SEQPACKET, _ANY, _DATAGRAMS),
    # net/can/raw.c, isotp.c, bcm.c: frames of one size; bind(2) says which bus, and there is nobody to connect to
    ("AF_CAN", RAW, _ANY, _DATAGRAMS._replace(join=Join.BIND, message=16, exact=True)),
    ("AF_CAN", DGRAM, 6, _DATAGRAMS._replace(join=Join.BIND, message=4095)),
    ("AF_CAN", DGRAM, 7, _DATAGRAMS._replace(message=1785)),
    # packet(7): sendto(2) names the interface, the ethertype and the address behind it
    ("AF_PACKET", _ANY, _ANY, _DATAGRAMS._replace(join=Join.BIND | Join.SEND)),
    # net/phonet/datagram.c: no connect(2)
    ("AF_PHONET", DGRAM, _ANY, _DATAGRAMS._replace(join=Join.SEND)),
    # Documentation/crypto/userspace-if.rst
    ("AF_ALG", _ANY, _ANY, _PACKETS._replace(join=Join.ACCEPT)),
    # drivers/net/ppp/pppoe.c, pptp.c: a session has two equal ends, and its frames are messages
    ("AF_PPPOX", _ANY, _ANY, _DATAGRAMS._replace(mutual=True, message=1400)),
    # net/bluetooth: an hci device is bound to; L2CAP's default MTU is 672, RFCOMM closes both ways at once
    ("AF_BLUETOOTH", RAW, _ANY, _DATAGRAMS._replace(join=Join.BIND)),
    ("AF_BLUETOOTH", SEQPACKET, _ANY, _PACKETS._replace(message=672)),
    ("AF_BLUETOOTH", STREAM, _ANY, _ONE_WAY),
    # net/ieee802154/socket.c: a raw socket is bound to a device
    ("AF_IEEE802154", RAW, _ANY, _DATAGRAMS._replace(join=Join.BIND, message=100)),
    ("AF_IEEE802154", DGRAM, _ANY, _DATAGRAMS._replace(message=100)),
    # net/key/af_key.c: its sockets have no addresses at all
    ("AF_KEY", _ANY, _ANY, _DATAGRAMS._replace(join=Join(0))),
    # Documentation/networking/kcm.rst: messages over the TCP connections that are attached
    ("AF_KCM", _ANY, _ANY, _DATAGRAMS._replace(join=Join(0))),
    # shutdown(2) with SHUT_WR is refused or ends both ways: net/tipc/socket.c, net/llc/af_llc.c
    ("AF_TIPC", STREAM, _ANY, _ONE_WAY),
    ("AF_LLC", STREAM, _ANY, _PACKETS._replace(message=1400)),
    # one frame: net/ax25/af_ax25.c (paclen), net/netrom/af_netrom.c (236), net/rose/af_rose.c (128 usual)
    ("AF_AX25", _ANY, _ANY, _PACKETS._replace(message=256)),
    ("AF_NETROM", _ANY, _ANY, _PACKETS._replace(message=236)),
    ("AF_ROSE", _ANY, _ANY, _PACKETS._replace(message=128)),
    # net/llc/af_llc.c connects streams only; net/appletalk/ddp.c needs a route for that, where sendto(2) needs none
    ("AF_LLC", _ANY, _ANY, _DATAGRAMS._replace(join=Join.SEND, message=1400)),
    ("AF_APPLETALK", _ANY, _ANY, _DATAGRAMS._replace(join=Join.SEND, message=586)),
)


def semantics(family: int | None, type: int | None, proto: int | None) -> Semantics:
    """How a socket is used; the type without flags, and None for what was not given (as in ``SocketSpec``)."""
    type = STREAM if type is None else type
    usual = _TYPES.get(type, _DATAGRAMS)
    if family in (None, 1) or (family == 2 and type in (STREAM, DGRAM) and not proto):  # nearly always
        return usual._replace(half_close=True) if type == SEQPACKET else usual
    from sockkit import names

    name = names.FAMILIES.name(family)
    for row_family, row_type, row_proto, row in _OTHERWISE:
        if row_family == name and row_type in (_ANY, type) and row_proto in (_ANY, proto):
            return row
    return usual._replace(half_close=True) if usual.connections and name in _BOTH_WAYS else usual
