"""Why the kernel answers as it does: one row a check, with its source.

Tables, and nothing that makes a socket or looks at the machine:

``CHECKS`` holds the checks that socket(2) makes on Linux, in the kernel's order, each with what it looks at. ``predict`` says which of
them refuses, told what the kernel has registered and what the caller may; ``why`` names the one that answered.
``KNOWN`` holds the combinations of family, type and protocol that Linux has code for; the rows of ``CHECKS`` read it.
``rewrites`` tells why a socket that was made is not quite the one that was asked for.
``CASES`` holds what the errnos of bind(2), connect(2), send(2) and the others mean. ``meaning`` picks one.

Numbers are Linux's, as in its include/linux/socket.h (MIPS alone has SOCK_STREAM and SOCK_DGRAM the other way round).
Sentences have no final full stop: whoever shows them decides how they are joined.
"""

# Without annotations from the __future__: as text they are compiled again for each field of a NamedTuple.
import socket
import sys
from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

UNIX, INET, AX25, APPLETALK, NETROM, ATMPVC, X25, INET6, ROSE = 1, 2, 3, 5, 6, 8, 9, 10, 11
KEY, NETLINK, PACKET, ATMSVC, RDS, PPPOX, LLC, CAN, TIPC, BLUETOOTH = 15, 16, 17, 20, 21, 24, 26, 29, 30, 31
RXRPC, ISDN, PHONET, IEEE802154, CAIF, ALG, NFC, VSOCK, KCM, QIPCRTR = 33, 34, 35, 36, 37, 38, 39, 40, 41, 42
SMC, XDP, MCTP = 43, 44, 45
STREAM, DGRAM, RAW, RDM, SEQPACKET, DCCP, PACKET_TYPE = 1, 2, 3, 4, 5, 6, 10

ANY = -1
"""In ``KNOWN``: every number of that column does."""
FAMILIES_END = 46
"""Linux's AF_MAX: the first number that is no family."""
TYPES_END = 11
"""Linux's SOCK_MAX."""
PROTOCOLS_END = 263
"""Linux's IPPROTO_MAX, for AF_INET and AF_INET6; above 256 since MPTCP is 262."""
TYPE_MASK = 0xF
"""The bits of ``type`` that say which type; the others are flags (SOCK_TYPE_MASK)."""
NONBLOCK: int = getattr(socket, "SOCK_NONBLOCK", 0o4000)
CLOEXEC: int = getattr(socket, "SOCK_CLOEXEC", 0o2000000)

_ALIASES = {"ENOTSUP": "EOPNOTSUPP", "EWOULDBLOCK": "EAGAIN"}


def canonical(errno_name: str) -> str:
    """One name for each errno: 95 is ENOTSUP to Python and EOPNOTSUPP to socket(2), and Windows prefixes WSA."""
    name = errno_name.removeprefix("WSA")
    return _ALIASES.get(name, name)


# ---- socket(2): what exists


class Known(NamedTuple):
    """A combination that Linux has code for, whether or not this kernel has it registered."""

    family: int
    type: int
    proto: int
    module: str | None = None
    """What modprobe calls it, where it usually is a module of its own beside its family's."""


_NETLINK = (
    *((proto, None) for proto in (0, 2, 4, 7, 9, 10, 11, 15, 16)),
    (6, "xfrm_user"),
    (8, "scsi_transport_iscsi"),
    (12, "nfnetlink"),
    (18, "scsi_mod"),
    (20, "ib_core"),
    (21, "crypto_user"),
)

KNOWN: tuple[Known, ...] = (
    Known(UNIX, STREAM, 0),
    Known(UNIX, STREAM, 1),
    Known(UNIX, DGRAM, 0),
    Known(UNIX, DGRAM, 1),
    Known(UNIX, RAW, 0),
    Known(UNIX, RAW, 1),
    Known(UNIX, SEQPACKET, 0),
    Known(UNIX, SEQPACKET, 1),
    # The first row of a family and type is what proto 0 becomes.
    Known(INET, STREAM, 6),
    Known(INET, STREAM, 132, "sctp"),
    Known(INET, STREAM, 256, "smc"),
    Known(INET, STREAM, 262),
    Known(INET, DGRAM, 17),
    Known(INET, DGRAM, 1),
    Known(INET, DGRAM, 115, "l2tp_ip"),
    Known(INET, DGRAM, 136),
    Known(INET, RAW, ANY),
    Known(INET, SEQPACKET, 132, "sctp"),
    Known(INET, DCCP, 33, "dccp_ipv4"),
    Known(INET6, STREAM, 6),
    Known(INET6, STREAM, 132, "sctp"),
    Known(INET6, STREAM, 256, "smc"),
    Known(INET6, STREAM, 262),
    Known(INET6, DGRAM, 17),
    Known(INET6, DGRAM, 58),
    Known(INET6, DGRAM, 115, "l2tp_ip6"),
    Known(INET6, DGRAM, 136),
    Known(INET6, RAW, ANY),
    Known(INET6, SEQPACKET, 132, "sctp"),
    Known(INET6, DCCP, 33, "dccp_ipv6"),
    Known(AX25, DGRAM, 3),  # PF_AX25: what 0 becomes
    Known(AX25, SEQPACKET, 3),
    Known(AX25, DGRAM, ANY),
    Known(AX25, SEQPACKET, ANY),
    Known(AX25, RAW, ANY),
    Known(APPLETALK, DGRAM, ANY),
    Known(APPLETALK, RAW, ANY),
    Known(NETROM, SEQPACKET, 0),
    Known(ATMPVC, ANY, ANY),
    Known(X25, SEQPACKET, 0),
    Known(ROSE, SEQPACKET, 0),
    Known(KEY, RAW, 2),
    *(Known(NETLINK, type, proto, module) for type in (RAW, DGRAM) for proto, module in _NETLINK),
    Known(PACKET, RAW, ANY),
    Known(PACKET, DGRAM, ANY),
    Known(PACKET, PACKET_TYPE, ANY),
    Known(ATMSVC, ANY, ANY),
    Known(RDS, SEQPACKET, 0),
    Known(PPPOX, ANY, 0, "pppoe"),
    Known(PPPOX, ANY, 1, "l2tp_ppp"),
    Known(PPPOX, ANY, 2, "pptp"),
    Known(LLC, STREAM, ANY),
    Known(LLC, DGRAM, ANY),
    Known(CAN, RAW, 1, "can_raw"),
    Known(CAN, DGRAM, 2, "can_bcm"),
    Known(CAN, DGRAM, 6, "can_isotp"),
    Known(CAN, DGRAM, 7, "can_j1939"),
    Known(TIPC, STREAM, 0),
    Known(TIPC, DGRAM, 0),
    Known(TIPC, RDM, 0),
    Known(TIPC, SEQPACKET, 0),
    Known(BLUETOOTH, STREAM, 0),
    Known(BLUETOOTH, DGRAM, 0),
    Known(BLUETOOTH, RAW, 0),
    Known(BLUETOOTH, SEQPACKET, 0),
    Known(BLUETOOTH, RAW, 1),
    Known(BLUETOOTH, SEQPACKET, 2),
    Known(BLUETOOTH, STREAM, 3, "rfcomm"),
    Known(BLUETOOTH, RAW, 3, "rfcomm"),
    Known(BLUETOOTH, RAW, 4, "bnep"),
    Known(BLUETOOTH, RAW, 5, "cmtp"),
    Known(BLUETOOTH, RAW, 6, "hidp"),
    Known(BLUETOOTH, SEQPACKET, 8),
    Known(RXRPC, DGRAM, 2),
    Known(RXRPC, DGRAM, 10),
    Known(ISDN, RAW, 0),
    *(Known(ISDN, DGRAM, proto) for proto in (1, 2, 3, 4, 16, 17, 33, 34, 35, 36, 37, 38)),
    Known(PHONET, DGRAM, 1),
    Known(PHONET, SEQPACKET, 2, "pn_pep"),
    Known(IEEE802154, DGRAM, ANY),
    Known(IEEE802154, RAW, ANY),
    *(Known(CAIF, type, proto) for type in (STREAM, SEQPACKET) for proto in range(6)),
    Known(ALG, SEQPACKET, 0),
    Known(NFC, SEQPACKET, 0),
    Known(NFC, RAW, 0),
    Known(NFC, STREAM, 1),
    Known(NFC, DGRAM, 1),
    Known(NFC, RAW, 1),
    *(Known(VSOCK, type, proto) for type in (STREAM, SEQPACKET, DGRAM) for proto in (0, 40)),
    Known(KCM, DGRAM, 0),
    Known(KCM, SEQPACKET, 0),
    Known(QIPCRTR, DGRAM, ANY),
    Known(SMC, STREAM, 0),
    Known(SMC, STREAM, 1),
    Known(XDP, RAW, 0),
    Known(MCTP, DGRAM, 0),
)

CREATE: dict[int, tuple[str, str | None]] = {
    UNIX: ("unix_create, net/unix/af_unix.c", "unix"),
    INET: ("inet_create, net/ipv4/af_inet.c", None),
    AX25: ("ax25_create, net/ax25/af_ax25.c", "ax25"),
    APPLETALK: ("atalk_create, net/appletalk/ddp.c", "appletalk"),
    NETROM: ("nr_create, net/netrom/af_netrom.c", "netrom"),
    ATMPVC: ("pvc_create, net/atm/pvc.c", "atm"),
    X25: ("x25_create, net/x25/af_x25.c", "x25"),
    INET6: ("inet6_create, net/ipv6/af_inet6.c", "ipv6"),
    ROSE: ("rose_create, net/rose/af_rose.c", "rose"),
    KEY: ("pfkey_create, net/key/af_key.c", "af_key"),
    NETLINK: ("netlink_create, net/netlink/af_netlink.c", None),
    PACKET: ("packet_create, net/packet/af_packet.c", "af_packet"),
    ATMSVC: ("svc_create, net/atm/svc.c", "atm"),
    RDS: ("rds_create, net/rds/af_rds.c", "rds"),
    PPPOX: ("pppox_create, drivers/net/ppp/pppox.c", "pppox"),
    LLC: ("llc_ui_create, net/llc/af_llc.c", "llc2"),
    CAN: ("can_create, net/can/af_can.c", "can"),
    TIPC: ("tipc_sk_create, net/tipc/socket.c", "tipc"),
    BLUETOOTH: ("bt_sock_create, net/bluetooth/af_bluetooth.c", "bluetooth"),
    RXRPC: ("rxrpc_create, net/rxrpc/af_rxrpc.c", "rxrpc"),
    ISDN: ("mISDN_sock_create, drivers/isdn/mISDN/socket.c", "mISDN_core"),
    PHONET: ("pn_socket_create, net/phonet/af_phonet.c", "phonet"),
    IEEE802154: ("ieee802154_create, net/ieee802154/socket.c", "ieee802154_socket"),
    CAIF: ("caif_create, net/caif/caif_socket.c", "caif_socket"),
    ALG: ("alg_create, crypto/af_alg.c", "af_alg"),
    NFC: ("nfc_sock_create, net/nfc/af_nfc.c", "nfc"),
    VSOCK: ("vsock_create, net/vmw_vsock/af_vsock.c", "vsock"),
    KCM: ("kcm_create, net/kcm/kcmsock.c", "kcm"),
    QIPCRTR: ("qrtr_create, net/qrtr/af_qrtr.c", "qrtr"),
    SMC: ("smc_create, net/smc/af_smc.c", "smc"),
    XDP: ("xsk_create, net/xdp/xsk.c", None),
    MCTP: ("mctp_pf_create, net/mctp/af_mctp.c", None),
}
"""By family: the function that makes its sockets, and the module that it comes in (None: only ever built in)."""

NO_SOCKETS = {
    0: "it means 'no particular family' in an address, and no socket is made with it",
    4: "Linux no longer has its code",
    7: "it appears in routing messages only, no socket is made with it",
    12: "Linux no longer has its code",
    13: "the number is reserved, no code was ever behind it",
    14: "the number is reserved, no code was ever behind it",
    18: "the number is reserved, no code was ever behind it",
    19: "Linux no longer has its code",
    22: "the number is reserved, no code was ever behind it",
    23: "Linux no longer has its code",
    25: "Linux no longer has its code",
    27: "it appears in InfiniBand addresses only, no socket is made with it",
    28: "it appears in routing messages only, no socket is made with it",
    32: "it exists on IBM mainframes (s390) only",
}
"""Families that have a number and no sockets, and why."""

FIRST_NAMESPACE_ONLY = frozenset((AX25, APPLETALK, NETROM, ATMPVC, X25, ROSE, ATMSVC, LLC, BLUETOOTH, IEEE802154, NFC))
"""Families that answer EAFNOSUPPORT in every network namespace but the machine's first."""

UNREPORTED = frozenset((APPLETALK, ATMPVC, KEY, ATMSVC, LLC, CAN, RXRPC, IEEE802154, QIPCRTR))
"""Families whose SO_PROTOCOL is 0 whatever was asked for (in AF_CAN all but J1939)."""


def types_of(family: int, proto: int | None = None) -> list[int]:
    """The socket types that Linux has code for in a family, or only those for one of its protocols."""
    found = (k.type for k in KNOWN if k.family == family and (proto is None or k.proto in (proto, ANY)))
    return list(dict.fromkeys(found))


def protocols_of(family: int, type: int | None = None) -> list[int]:
    """The protocols that Linux has code for in a family, or only those of one type; ``ANY`` stands for itself."""
    found = (k.proto for k in KNOWN if k.family == family and (type is None or k.type in (type, ANY)))
    return list(dict.fromkeys(found))


def known(family: int, type: int, proto: int) -> Known | None:
    """The row of ``KNOWN`` for a combination, if there is one. ``type`` without flags."""
    for row in KNOWN:
        if row.family == family and row.type in (type, ANY) and row.proto in (proto, ANY):
            return row
    return None


# ---- socket(2): the checks


class Ask(NamedTuple):
    """What was asked for, and the refusal."""

    family: int
    type: int
    """Flags such as SOCK_NONBLOCK included."""
    proto: int
    errno_name: str
    platform: str = sys.platform

    @property
    def base(self) -> int:
        """The type without its flags."""
        return self.type & TYPE_MASK

    @property
    def maker(self) -> int:
        """The family whose code is asked: AF_INET hands SOCK_PACKET over to AF_PACKET (since Linux 2.2)."""
        return PACKET if self.platform == "linux" and (self.family, self.base) == (INET, PACKET_TYPE) else self.family


class Fact(NamedTuple):
    """What a check looks at beside the numbers: it refuses unless this holds.

    ``what`` is ``registered`` (some of family, type, protocol is), ``absent`` (none of that family is), a capability's name, or
    one of ``SETTINGS``.
    """

    what: str
    family: int = ANY
    type: int = ANY
    proto: int = ANY


NEVER = Fact("never")
"""The numbers alone decide: refused, whatever else holds."""
SETTINGS = {
    "ping group": "the caller's group is in net.ipv4.ping_group_range",
    "MPTCP enabled": "net.mptcp.enabled is 1",
    "protocols above 255": "the kernel numbers IP protocols up to 262: Linux 5.6 and later",
    "Bluetooth protocol 8": "the kernel numbers Bluetooth's protocols up to 8 (ISO): Linux 6.0 and later",
}
"""Facts that are neither a registration nor a capability, and what each says."""
SMALL = 32
"""Where protocols register by number alone, the numbers below this one are looked at one by one: so large is Netlink's table."""
UNKNOWN = -2
"""In facts made alike by ``alike``: a protocol that Linux has no code for."""


class Rule(NamedTuple):
    """One check."""

    name: str
    errnos: tuple[str, ...]
    """What it answers; several only in rows that no prediction is made from."""
    source: str
    """Function and file."""
    needs: Callable[[Ask], Fact | None]
    """What must hold for this check to pass these numbers; ``NEVER`` if it never does, None if it always does."""
    explain: Callable[[Ask], str]
    """One sentence for this combination."""
    try_next: Callable[[Ask], str | None]
    module: Callable[[Ask], str | None] = lambda ask: None
    """What the kernel asks modprobe for before it refuses: ``net-pf-29``."""
    family: int = ANY
    """Whose check it is; ``ANY``: of socket(2) itself."""
    edges: tuple[int, ...] = ()
    """Protocols from which on it thinks otherwise, beside 0 and those of the family's rows in ``KNOWN``."""

    def applies(self, ask: Ask) -> bool:
        """Could this be the check that answered, for these numbers."""
        return self.family in (ANY, ask.maker) and self.needs(ask) is not None


def _never(when: Callable[[Ask], bool]) -> Callable[[Ask], Fact | None]:
    """The numbers alone decide."""
    return lambda ask: NEVER if when(ask) else None


def _registered(ask: Ask) -> Fact:
    """This protocol, whatever its type."""
    return Fact("registered", ask.maker, proto=ask.proto)


class Explanation(NamedTuple):
    """Why a socket was not made."""

    rule: str
    source: str
    text: str
    try_next: str | None
    elsewhere: str | None
    """How other systems answer the same question, where it is known that they differ."""
    module: str | None = None
    """The module that the kernel asked modprobe for in vain: ``net-pf-29``, ``net-pf-2-proto-132-type-1``."""


def _family(number: int) -> str:
    from sockkit import names

    text = str(number) if number >= FAMILIES_END else names.FAMILIES.label(number).partition(" (")[0]
    return f"family {number}" if text.isdecimal() else text


def _type(number: int) -> str:
    """The type without its flags: ``SOCK_STREAM``."""
    from sockkit import names

    base = number & TYPE_MASK
    text = names.TYPES.label(base).partition(" (")[0]
    return f"type {base}" if text.isdecimal() else text


def _proto(family: int, number: int) -> str:
    from sockkit import names

    if number == 0 and family in (INET, INET6):
        return "proto 0"
    text = names.protocols(family).label(number).partition(" (")[0]
    return f"proto {number}" if text.isdecimal() else text


def _or(words: Iterable[str]) -> str:
    *most, last = words
    if len(most) > 6:
        most, last = most[:6], f"{len(most) - 5} others"
    return f"{', '.join(most)} or {last}" if most else last


def _types(numbers: Iterable[int]) -> str:
    return _or(_type(number) for number in numbers)


def _protos(family: int, numbers: Iterable[int]) -> str:
    return _or(_proto(family, number) for number in numbers)


def _always(ask: Ask) -> bool:
    return True


def _unknown_flags(ask: Ask) -> int:
    return ask.type & ~(TYPE_MASK | NONBLOCK | CLOEXEC)


def _explain_family(ask: Ask) -> str:
    family = _family(ask.maker)
    if ask.maker in NO_SOCKETS:
        return f"{family}: {NO_SOCKETS[ask.maker]}"
    text = f"{family}: this kernel has no such family registered, and asking for module net-pf-{ask.maker} brought none"
    if ask.maker in FIRST_NAMESPACE_ONLY:
        text += " (or this is a container: the family works in the machine's first network namespace only)"
    return text


def _try_family(ask: Ask) -> str | None:
    if ask.maker in NO_SOCKETS or ask.maker not in CREATE:
        return "`sockkit probe --family NAME` tries another; /proc/net/protocols lists what this kernel has"
    module = CREATE[ask.maker][1]
    if ask.maker in (UNIX, INET, NETLINK):
        return "look for a filter: systemd's RestrictAddressFamilies= answers so too"
    if ask.maker == INET6:
        return "use AF_INET, or start the kernel without ipv6.disable=1"
    if module is None:
        return f"a kernel built with {_family(ask.maker)}: it is not a module"
    return f"modprobe {module} (kernel module net-pf-{ask.maker})"


def _capability(family: int, capability: str, when: Callable[[Ask], bool] = _always, source: str | None = None) -> Rule:
    """A row for a family's privilege check."""

    def explain(ask: Ask) -> str:
        what = _family(ask.maker) if when is _always else f"{_type(ask.type)} in {_family(ask.maker)}"
        also = ", whatever the type" if when is _always else ""
        return f"{what}: only for root or a process with {capability}{also}"

    return Rule(
        "privilege",
        ("EPERM",),
        source or CREATE[family][0],
        lambda ask: Fact(capability.partition(" ")[0]) if when(ask) else None,
        explain,
        lambda ask: f"run as root or with {capability}",
        family=family,
    )


def _explain_type(ask: Ask) -> str:
    family = _family(ask.maker)
    by_proto = types_of(ask.maker, ask.proto)
    if by_proto and by_proto != types_of(ask.maker):
        proto = _proto(ask.maker, ask.proto)
        return f"{_type(ask.type)} with {proto}: within {family}, {proto} goes with {_types(by_proto)} only"
    return f"{_type(ask.type)}: {family} has {_types(types_of(ask.maker))} only"


def _try_type(ask: Ask) -> str | None:
    types = types_of(ask.maker, ask.proto) or types_of(ask.maker)
    return f"another type: {_types(types)}"


def _wrong_type(ask: Ask) -> bool:
    return ask.base not in types_of(ask.maker)


def _type_check(
    family: int,
    errno_name: str = "ESOCKTNOSUPPORT",
    when: Callable[[Ask], bool] = _wrong_type,
    explain: Callable[[Ask], str] = _explain_type,
    try_next: Callable[[Ask], str | None] = _try_type,
) -> Rule:
    """A row for "this family has no such type"."""
    return Rule(
        "type within family",
        (errno_name,),
        CREATE[family][0],
        _never(when),
        explain,
        try_next,
        family=family,
    )


def _range_check(family: int, end: int, errno_name: str = "EINVAL", unless: str | None = None) -> Rule:
    """A row for "no protocol of this family has so high a number" (``unless`` the kernel is of a later version)."""
    return Rule(
        "protocol range",
        (errno_name,),
        CREATE[family][0],
        (lambda ask: NEVER if ask.proto >= end else None)
        if unless is None
        else (lambda ask: Fact(unless) if ask.proto >= end else None),
        lambda ask: f"proto {ask.proto}: {_family(ask.maker)} numbers its protocols from 0 to {end - 1}",
        lambda ask: (None if family in (INET, INET6) else _try_proto(ask)) or f"a protocol from 0 to {end - 1}",
        family=family,
        edges=(end,),
    )


def _explain_proto(ask: Ask) -> str:
    family = _family(ask.maker)
    protos = protocols_of(ask.maker)
    return f"{_proto(ask.maker, ask.proto)}: {family} takes {_protos(ask.maker, protos)} only"


def _try_proto(ask: Ask) -> str | None:
    protos = [proto for proto in protocols_of(ask.maker, ask.base) or protocols_of(ask.maker) if proto != ANY]
    return f"another protocol: {_protos(ask.maker, protos)}" if protos else None


def _wrong_proto(ask: Ask) -> bool:
    protos = protocols_of(ask.maker)
    return ask.proto not in protos and ANY not in protos


def _proto_check(family: int, errno_name: str = "EPROTONOSUPPORT", when: Callable[[Ask], bool] = _wrong_proto) -> Rule:
    """A row for a family that compares the protocol with a fixed few."""
    return Rule(
        "protocol within family",
        (errno_name,),
        CREATE[family][0],
        _never(when),
        _explain_proto,
        _try_proto,
        family=family,
    )


def _registered_check(family: int, alias: str, needs: Callable[[Ask], Fact] = _registered) -> Rule:
    """A row for a family whose protocols register one by one. ``alias``: the module that the kernel asks for."""

    def module(ask: Ask) -> str | None:
        return next((k.module for k in KNOWN if k.family == family and k.proto == ask.proto and k.module), None)

    def explain(ask: Ask) -> str:
        asked = alias.format(proto=ask.proto)
        what, name = _proto(family, ask.proto), _family(family)
        if ask.proto in protocols_of(family):
            return f"{what}: {name} has no such protocol registered here, and asking for module {asked} brought none"
        return f"{what}: Linux has no such protocol in {name}; asking for module {asked} brought none either"

    def try_next(ask: Ask) -> str | None:
        name = module(ask)
        return f"modprobe {name} (kernel module {alias.format(proto=ask.proto)})" if name else _try_proto(ask)

    return Rule(
        "protocol registered",
        ("EPROTONOSUPPORT",),
        CREATE[family][0],
        needs,
        explain,
        try_next,
        lambda ask: alias.format(proto=ask.proto),
        family,
        tuple(range(SMALL + 1)),
    )


def _pair_check(family: int, errno_name: str, source: str | None = None) -> Rule:
    """A row for a family whose protocols each insist on their types."""
    return Rule(
        "type of protocol",
        (errno_name,),
        source or CREATE[family][0],
        _never(lambda ask: known(family, ask.base, ask.proto) is None),
        _explain_type,
        _try_type,
        family=family,
    )


# AF_INET and AF_INET6 look a pair up in one list a type. Proto 0 matches the first of the list, and a list of SOCK_RAW
# matches every protocol but 0; that is how inet_register_protosw entries with IPPROTO_IP are meant.


def _inet_module(ask: Ask) -> str:
    return f"net-pf-{ask.family}-proto-{ask.proto}-type-{ask.base}"


def _inet_module_name(ask: Ask) -> str | None:
    row = known(ask.family, ask.base, ask.proto)
    if row is None and ask.proto == 0:
        row = next((k for k in KNOWN if (k.family, k.type) == (ask.family, ask.base)), None)
    return row.module if row else None


def _inet_type(ask: Ask) -> Fact | None:
    """TCP, UDP and raw sockets come with the family itself (inetsw_array)."""
    return None if ask.base in (STREAM, DGRAM, RAW) else Fact("registered", ask.family, ask.base)


def _explain_inet_type(ask: Ask) -> str:
    family = _family(ask.family)
    owners = [proto for proto in protocols_of(ask.family, ask.base) if proto != ANY]
    if owners:
        owner = _protos(ask.family, owners)
        return f"{_type(ask.type)}: in {family} it is {owner}'s alone, which this kernel has not registered"
    return f"{_type(ask.type)}: no protocol of {family} has sockets of this type"


def _try_inet_type(ask: Ask) -> str | None:
    owners = [k.module for k in KNOWN if (k.family, k.type) == (ask.family, ask.base) and k.module]
    if owners:
        gone = "; Linux dropped DCCP in 6.16" if ask.base == DCCP else ""
        return f"modprobe {owners[0]} (kernel module {_inet_module(ask)}){gone}"
    return "another type: SOCK_STREAM for TCP, SOCK_DGRAM for UDP, SOCK_RAW as root"


def _inet_pair(ask: Ask) -> Fact | None:
    if ask.base == RAW:
        return None if ask.proto else NEVER
    if ask.proto == 0 or (ask.base, ask.proto) in ((STREAM, 6), (DGRAM, 17)):
        return None
    return Fact("registered", ask.family, ask.base, ask.proto)


def _explain_inet_pair(ask: Ask) -> str:
    family, type, proto = _family(ask.family), _type(ask.type), _proto(ask.family, ask.proto)
    pair = f"{type} with {proto}"
    if ask.base == RAW:
        return f"{pair}: a raw socket in {family} has no usual protocol, it must say whose packets it is for"
    if known(ask.family, ask.base, ask.proto):
        asked = f"asking for module {_inet_module(ask)} brought none"
        return f"{pair}: Linux has it, but this kernel has not registered it, and {asked}"
    others = [type for type in types_of(ask.family, ask.proto) if type != RAW] if ask.proto else []
    if others:
        return f"{pair}: within {family}, {proto} is registered only for {_types(others)}"
    other = INET6 if ask.family == INET else INET
    if known(other, ask.base, ask.proto):
        return f"{pair}: this protocol belongs to {_family(other)}, {family} does not have it"
    missing = f"nor did asking for module {_inet_module(ask)} bring one"
    return f"{pair}: {family} has no {type} protocol of that number registered, {missing}"


def _try_inet_pair(ask: Ask) -> str | None:
    if ask.base == RAW:
        icmp = 1 if ask.family == INET else 58
        return f"a protocol: --proto {_proto(ask.family, icmp).removeprefix('IPPROTO_')}, or any number from 1 to 262"
    if known(ask.family, ask.base, ask.proto):
        module = _inet_module_name(ask)
        return (
            f"modprobe {module} (kernel module {_inet_module(ask)})" if module else "a kernel built with this protocol"
        )
    others = [type for type in types_of(ask.family, ask.proto) if type != RAW] if ask.proto else []
    if others:
        return f"another type: {_types(others)}; or proto 0, the usual protocol of {_type(ask.type)}"
    other = INET6 if ask.family == INET else INET
    if known(other, ask.base, ask.proto):
        return f"another family: {_family(other)}"
    return "proto 0 for the usual protocol, or SOCK_RAW as root to speak this one by hand"


def _inet(family: int) -> tuple[Rule, ...]:
    """The rows of inet_create and inet6_create, which differ in names only."""
    create = CREATE[family][0]
    icmp = 1 if family == INET else 58

    def ping(ask: Ask) -> Fact | None:
        return Fact("ping group") if (ask.base, ask.proto) == (DGRAM, icmp) else None

    def mptcp(ask: Ask) -> Fact | None:
        return Fact("MPTCP enabled") if ask.proto == 262 and ask.base != RAW else None

    return (
        _range_check(family, PROTOCOLS_END),
        _range_check(family, 256, unless="protocols above 255"),
        Rule(
            "type within family",
            ("ESOCKTNOSUPPORT",),
            create,
            _inet_type,
            _explain_inet_type,
            _try_inet_type,
            _inet_module,
            family,
        ),
        Rule(
            "protocol within type",
            ("EPROTONOSUPPORT",),
            create,
            _inet_pair,
            _explain_inet_pair,
            _try_inet_pair,
            _inet_module,
            family,
        ),
        _capability(family, "CAP_NET_RAW", lambda ask: ask.base == RAW and ask.proto != 0),
        Rule(
            "ping group",
            ("EACCES",),
            "ping_init_sock, net/ipv4/ping.c",
            ping,
            lambda ask: (
                f"{_type(ask.type)} with {_proto(family, icmp)}: a ping socket, only for the groups in"
                " net.ipv4.ping_group_range, and root is no exception"
            ),
            lambda ask: (
                'sysctl net.ipv4.ping_group_range="0 2147483647" lets every group make them (as root; for IPv6 too)'
            ),
            family=family,
        ),
        Rule(
            "MPTCP switch",
            ("ENOPROTOOPT",),
            "mptcp_init_sock, net/mptcp/protocol.c",
            mptcp,
            lambda ask: (
                f"{_type(ask.type)} with {_proto(family, 262)}: MPTCP is switched off in this network namespace"
            ),
            lambda ask: "sysctl net.mptcp.enabled=1",
            family=family,
        ),
    )


def _ax25_taken(ask: Ask) -> Fact | None:
    """Of the protocols within AX.25: segments, IP and ARP are the kernel's, ROSE and NET/ROM theirs once they are there."""
    if ask.base != SEQPACKET:
        return None
    if ask.proto in (8, 0xCC, 0xCD):
        return NEVER
    return {1: Fact("absent", ROSE), 0xCF: Fact("absent", NETROM)}.get(ask.proto)


def _wrong_phonet(ask: Ask) -> bool:
    """Proto 0 is the one of the type, so there only the type can be wrong."""
    return ask.base not in (DGRAM, SEQPACKET) if ask.proto == 0 else known(PHONET, ask.base, ask.proto) is None


def _phonet(ask: Ask) -> Fact:
    return Fact("registered", PHONET, proto=ask.proto or {DGRAM: 1, SEQPACKET: 2}.get(ask.base, 0))


def _combination(ask: Ask) -> str:
    return f"{_family(ask.family)}, {_type(ask.type)}, {_proto(ask.family, ask.proto)}"


def _generic(name: str, errnos: str, source: str, text: str, try_next: str | None) -> Rule:
    """A row that fits every combination."""
    return Rule(
        name,
        tuple(errnos.split()),
        source,
        _never(_always),
        lambda ask: f"{_combination(ask)}: {text}",
        lambda ask: try_next,
    )


_PROBE = "probe shows the nearest combinations that this kernel makes"

LIMITS: tuple[Rule, ...] = (
    _generic(
        "open files of the system",
        "ENFILE",
        "alloc_empty_file, fs/file_table.c",
        "the whole system has as many files open as it may (for AF_UNIX, twice as many sockets)",
        "close files somewhere, or raise sysctl fs.file-max",
    ),
    _generic(
        "open files of the process",
        "EMFILE",
        "alloc_fd, fs/file.c",
        "the socket was made, but this process has no file descriptor left for it",
        "close descriptors, or raise the limit: ulimit -n",
    ),
    _generic("memory", "ENOMEM ENOBUFS", "sk_alloc, net/core/sock.c", "no memory for the socket", "close sockets"),
)
"""What can stop any socket; the descriptor is taken last of all."""

GUARDS: tuple[Rule, ...] = (
    _generic(
        "guard",
        "EPERM EACCES",
        "security_socket_create, security/security.c; seccomp; BPF_CGROUP_INET_SOCK_CREATE",
        "no check of the family refuses this, so a guard before it did: seccomp, a security module or a BPF program",
        "run outside the container or sandbox, or look into its seccomp profile (dmesg or ausearch may tell)",
    ),
)
"""Guards are asked early (seccomp before everything, security modules before the family is looked up), but stand last
here: what they refuse looks like any other refusal, so they are suspected only when no other row fits."""

UNSPECIFIC: tuple[Rule, ...] = (
    _generic(
        "protocol within family", "EPROTONOSUPPORT", "the family's create", "the family has no such protocol", _PROBE
    ),
    _generic("type within family", "ESOCKTNOSUPPORT", "the family's create", "the family has no such type", _PROBE),
    _generic("type of protocol", "EPROTOTYPE", "the family's create", "the protocol wants another type", _PROBE),
    _generic("transport", "ENODEV ENXIO", "the family's create", "the device behind the family is missing", None),
    _generic(
        "value",
        "EINVAL EDOM ERANGE EOPNOTSUPP",
        "the family's create",
        "the family rejects one of these numbers",
        _PROBE,
    ),
    _generic("switched off", "ENOPROTOOPT ENOSYS", "the family's create", "the protocol is switched off here", None),
)
"""For families and kernels that the rows above do not know."""


CHECKS: tuple[Rule, ...] = (
    Rule(
        "type flags",
        ("EINVAL",),
        "__sys_socket, net/socket.c",
        _never(lambda ask: _unknown_flags(ask) != 0),
        lambda ask: (
            f"type {ask.type} is {_type(ask.type)} with the flag bits {_unknown_flags(ask):#x},"
            " and only SOCK_NONBLOCK and SOCK_CLOEXEC are flags"
        ),
        lambda ask: f"the type without them: {_type(ask.type)}",
    ),
    Rule(
        "family range",
        ("EAFNOSUPPORT",),
        "__sock_create, net/socket.c",
        _never(lambda ask: ask.family >= FAMILIES_END),
        lambda ask: f"{_family(ask.family)}: Linux numbers its families from 0 to {FAMILIES_END - 1} (AF_MCTP)",
        _try_family,
    ),
    Rule(
        "type range",
        ("EINVAL",),
        "__sock_create, net/socket.c",
        _never(lambda ask: ask.base >= TYPES_END),
        lambda ask: f"{_type(ask.type)}: Linux numbers its types from 0 to {TYPES_END - 1} (SOCK_PACKET)",
        lambda ask: "another type: SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET",
    ),
    Rule(
        "family registered",
        ("EAFNOSUPPORT",),
        "__sock_create, net/socket.c",
        lambda ask: Fact("registered", ask.maker),
        _explain_family,
        _try_family,
        lambda ask: f"net-pf-{ask.maker}",
    ),
    # From here on the family's own function asks, each in its own order; rows of different families never compete.
    _proto_check(UNIX),
    _type_check(UNIX),
    *_inet(INET),
    *_inet(INET6),
    _range_check(AX25, 256),
    _type_check(AX25),
    Rule(
        "protocol within type",
        ("ESOCKTNOSUPPORT",),
        CREATE[AX25][0],
        _ax25_taken,
        lambda ask: (
            f"{_type(ask.type)} with {_proto(AX25, ask.proto)}: the kernel keeps this AX.25 protocol for itself"
        ),
        lambda ask: "another protocol: 0 becomes AX25_P_TEXT (240)",
        family=AX25,
        edges=(1, 2, 8, 9, 0xCC, 0xCE, 0xCF, 0xD0),
    ),
    _capability(AX25, "CAP_NET_RAW", lambda ask: ask.base == RAW),
    _type_check(APPLETALK),
    _capability(APPLETALK, "CAP_NET_RAW", lambda ask: ask.base == RAW),
    _type_check(NETROM),
    _proto_check(NETROM, "ESOCKTNOSUPPORT"),
    *(
        _type_check(
            family,
            "EINVAL",
            lambda ask: ask.base == STREAM,
            lambda ask: f"{_type(ask.type)}: {_family(ask.maker)} takes every type but this one",
            lambda ask: "another type: SOCK_DGRAM",
        )
        for family in (ATMPVC, ATMSVC)
    ),
    _type_check(X25),
    _proto_check(X25, "ESOCKTNOSUPPORT"),
    _type_check(ROSE),
    _proto_check(ROSE, "ESOCKTNOSUPPORT"),
    _capability(KEY, "CAP_NET_ADMIN"),
    _type_check(KEY),
    _proto_check(KEY),
    _type_check(NETLINK),
    _range_check(NETLINK, 32, "EPROTONOSUPPORT"),
    _registered_check(NETLINK, "net-pf-16-proto-{proto}"),
    _capability(PACKET, "CAP_NET_RAW"),
    _type_check(PACKET),
    _type_check(RDS),
    _proto_check(RDS, "ESOCKTNOSUPPORT"),
    _range_check(PPPOX, 4, "EPROTOTYPE"),
    _registered_check(PPPOX, "net-pf-24-proto-{proto}"),
    _capability(LLC, "CAP_NET_RAW"),
    _type_check(LLC),
    _range_check(CAN, 8),
    _registered_check(CAN, "can-proto-{proto}"),
    _pair_check(CAN, "EPROTOTYPE"),
    _proto_check(TIPC),
    _type_check(TIPC, "EPROTOTYPE"),
    _range_check(BLUETOOTH, 9),
    _range_check(BLUETOOTH, 8, unless="Bluetooth protocol 8"),
    _registered_check(BLUETOOTH, "bt-proto-{proto}"),
    _pair_check(BLUETOOTH, "ESOCKTNOSUPPORT", "the protocol's create, net/bluetooth/"),
    _capability(
        BLUETOOTH,
        "CAP_NET_RAW",
        lambda ask: (ask.base, ask.proto) == (RAW, 0),
        "l2cap_sock_create, net/bluetooth/l2cap_sock.c",
    ),
    _proto_check(RXRPC),
    _type_check(RXRPC),
    _proto_check(ISDN),
    _pair_check(ISDN, "ESOCKTNOSUPPORT"),
    _capability(ISDN, "CAP_NET_RAW", lambda ask: (ask.base, ask.proto) == (RAW, 0)),
    _capability(PHONET, "CAP_SYS_ADMIN"),
    Rule(
        "type of protocol",
        ("EPROTONOSUPPORT",),
        CREATE[PHONET][0],
        _never(_wrong_phonet),
        lambda ask: (
            f"{_type(ask.type)} with {_proto(PHONET, ask.proto)}: AF_PHONET has SOCK_DGRAM with protocol 1 (datagrams)"
            " and SOCK_SEQPACKET with protocol 2 (pipes)"
        ),
        lambda ask: "proto 0 with SOCK_DGRAM or SOCK_SEQPACKET",
        family=PHONET,
    ),
    _registered_check(PHONET, "net-pf-35-proto-{proto}", _phonet),
    _type_check(IEEE802154),
    _capability(IEEE802154, "CAP_NET_RAW", lambda ask: ask.base == RAW),
    _capability(CAIF, "CAP_SYS_ADMIN or CAP_NET_ADMIN"),
    _range_check(CAIF, 6, "EPROTONOSUPPORT"),
    _type_check(CAIF),
    _type_check(ALG),
    _proto_check(ALG),
    _range_check(NFC, 2),
    _registered_check(NFC, "nfc-proto-{proto}"),
    _pair_check(NFC, "ESOCKTNOSUPPORT"),
    _capability(NFC, "CAP_NET_RAW", lambda ask: ask.base == RAW),
    _proto_check(VSOCK),
    _type_check(VSOCK),
    Rule(
        "transport",
        ("ENODEV",),
        "vsock_assign_transport, net/vmw_vsock/af_vsock.c",
        lambda ask: Fact("registered", VSOCK, DGRAM) if ask.base == DGRAM else None,
        lambda ask: (
            f"{_type(ask.type)} in AF_VSOCK: no loaded transport carries this type (only VMware's had datagrams)"
        ),
        lambda ask: "another type: SOCK_STREAM or SOCK_SEQPACKET",
        family=VSOCK,
    ),
    _type_check(KCM),
    _proto_check(KCM),
    _type_check(QIPCRTR, "EPROTOTYPE"),
    _type_check(SMC),
    _proto_check(SMC),
    _capability(XDP, "CAP_NET_RAW"),
    _type_check(XDP),
    _proto_check(XDP),
    _proto_check(MCTP),
    _type_check(MCTP),
)
"""Linux's checks, in its order: those of socket(2) itself, then each family's own, which never compete."""

RULES: tuple[Rule, ...] = (*CHECKS, *LIMITS, *GUARDS, *UNSPECIFIC)
"""What may have refused a socket, the likeliest first: the checks, and what no prediction can be made of."""


# ---- socket(2): predicted


class World:
    """What a prediction is told: what a kernel has registered, and what the caller may. Never an answer.

    Args:
        registered: (family, type, protocol) each; ``ANY`` in place of a type or protocol where all are served alike. With both it
            tells of the family alone: which types and protocols it has is then its code's matter, or told by further rows.
        allowed: names of capabilities and of ``SETTINGS``.
    """

    def __init__(self, registered: Iterable[tuple[int, int, int]], allowed: Iterable[str]) -> None:
        self.registered = frozenset(registered)
        self.allowed = frozenset(allowed)
        self._known: dict[Fact, bool] = {NEVER: False}

    def holds(self, fact: Fact) -> bool:
        """Is it so."""
        known = self._known.get(fact)
        if known is None:
            known = self._known[fact] = self._look(fact)
        return known

    def _look(self, fact: Fact) -> bool:
        what, family, type, proto = fact
        if what not in ("registered", "absent"):
            return what in self.allowed
        asked = (type, proto)
        found = any(
            row[0] == family
            and (asked == (ANY, ANY) or row[1:] != (ANY, ANY))
            and (ANY in (type, row[1]) or row[1] == type)
            and (ANY in (proto, row[2]) or row[2] == proto)
            for row in self.registered
        )
        return found == (what == "registered")


IN_PROC: dict[str, tuple[tuple[int, int, int], ...]] = {
    "UNIX": ((UNIX, ANY, ANY),),
    "TCP": ((INET, STREAM, 6),),
    "MPTCP": ((INET, STREAM, 262),),
    "SCTP": ((INET, STREAM, 132), (INET, SEQPACKET, 132)),
    "UDP": ((INET, DGRAM, 17),),
    "PING": ((INET, DGRAM, 1),),
    "L2TP/IP": ((INET, DGRAM, 115),),
    "UDP-Lite": ((INET, DGRAM, 136),),
    "RAW": ((INET, RAW, ANY),),
    "DCCP": ((INET, DCCP, 33),),
    "AX25": ((AX25, ANY, ANY),),
    "DDP": ((APPLETALK, ANY, ANY),),
    "NETROM": ((NETROM, ANY, ANY),),
    "VCC": ((ATMPVC, ANY, ANY), (ATMSVC, ANY, ANY)),
    "X25": ((X25, ANY, ANY),),
    "TCPv6": ((INET6, STREAM, 6),),
    "MPTCPv6": ((INET6, STREAM, 262),),
    "SCTPv6": ((INET6, STREAM, 132), (INET6, SEQPACKET, 132)),
    "UDPv6": ((INET6, DGRAM, 17),),
    "PINGv6": ((INET6, DGRAM, 58),),
    "L2TP/IPv6": ((INET6, DGRAM, 115),),
    "UDPLITEv6": ((INET6, DGRAM, 136),),
    "RAWv6": ((INET6, RAW, ANY),),
    "DCCPv6": ((INET6, DCCP, 33),),
    "ROSE": ((ROSE, ANY, ANY),),
    "KEY": ((KEY, ANY, ANY),),
    "NETLINK": ((NETLINK, ANY, 2),),  # NETLINK_USERSOCK belongs to no part of the kernel
    "PACKET": ((PACKET, ANY, ANY),),
    "RDS": ((RDS, ANY, ANY),),
    "PPPOE": ((PPPOX, ANY, 0),),
    "PPPOL2TP": ((PPPOX, ANY, 1),),
    "PPTP": ((PPPOX, ANY, 2),),
    "LLC": ((LLC, ANY, ANY),),
    "CAN_RAW": ((CAN, RAW, 1),),
    "CAN_BCM": ((CAN, DGRAM, 2),),
    "CAN_ISOTP": ((CAN, DGRAM, 6),),
    "CAN_J1939": ((CAN, DGRAM, 7),),
    "TIPC": ((TIPC, ANY, ANY),),
    "L2CAP": ((BLUETOOTH, ANY, 0),),
    "HCI": ((BLUETOOTH, ANY, 1),),
    "SCO": ((BLUETOOTH, ANY, 2),),
    "RFCOMM": ((BLUETOOTH, ANY, 3),),
    "BNEP": ((BLUETOOTH, ANY, 4),),
    "CMTP": ((BLUETOOTH, ANY, 5),),
    "HIDP": ((BLUETOOTH, ANY, 6),),
    "ISO": ((BLUETOOTH, ANY, 8),),
    "RXRPC": ((RXRPC, ANY, ANY),),
    "PHONET": ((PHONET, DGRAM, 1),),
    "PNPIPE": ((PHONET, SEQPACKET, 2),),
    "IEEE-802.15.4-RAW": ((IEEE802154, ANY, ANY),),
    "CAIF": ((CAIF, ANY, ANY),),
    "ALG": ((ALG, ANY, ANY),),
    "NFC_RAW": ((NFC, ANY, 0),),
    "NFC_LLCP": ((NFC, ANY, 1),),
    "AF_VSOCK": ((VSOCK, ANY, ANY),),
    "KCM": ((KCM, ANY, ANY),),
    "QIPCRTR": ((QIPCRTR, ANY, ANY),),
    "SMC": ((SMC, ANY, ANY),),
    "XDP": ((XDP, ANY, ANY),),
    "MCTP": ((MCTP, ANY, ANY),),
}
"""What a name in /proc/net/protocols says to be registered."""


def told(protocols: Iterable[str], netlink: Iterable[int], modules: Iterable[str]) -> frozenset[tuple[int, int, int]]:
    """What a kernel has registered, from its own tables.

    Args:
        protocols: the names in /proc/net/protocols.
        netlink: the protocols of the kernel's own sockets in /proc/net/netlink.
        modules: those that are loaded, for mISDN, which no table names.
    """
    found = {row for name in protocols for row in IN_PROC.get(name, ())}
    found |= {(NETLINK, ANY, proto) for proto in netlink}
    if "mISDN_core" in modules:
        found.add((ISDN, ANY, ANY))
    return frozenset(found)


_OF_FAMILY: dict[int, tuple[Rule, ...]] = {}
"""By the family that makes the socket: its checks in order. Filled when it is asked for: most runs need none."""


def _of_family(family: int) -> tuple[Rule, ...]:
    found = _OF_FAMILY.get(family)
    if found is None:
        found = _OF_FAMILY[family] = tuple(rule for rule in CHECKS if rule.family in (ANY, family))
    return found


def checks(ask: Ask) -> list[tuple[Rule, Fact]]:
    """The checks that could refuse these numbers, in order, each with what it looks at; after a ``NEVER`` comes none."""
    found = []
    for rule in _of_family(ask.maker):
        fact = rule.needs(ask)
        if fact is not None:
            found.append((rule, fact))
            if fact is NEVER:
                break
    return found


def predict(family: int, type: int, proto: int, world: World) -> Rule | None:
    """The check that refuses a socket on Linux, or None: it is made."""
    for rule, fact in checks(Ask(family, type, proto, "", "linux")):
        if not world.holds(fact):
            return rule
    return None


def alike(fact: Fact) -> Fact:
    """The same for all protocols that Linux has no code for: a kernel has none of them, or it is one that we do not know."""
    if fact.what != "registered" or fact.proto == ANY or (fact.type == ANY and fact.proto < SMALL):
        return fact
    for row in KNOWN:
        if row.family == fact.family and row.proto == fact.proto and fact.type in (row.type, ANY):
            return fact
    return fact._replace(proto=UNKNOWN)


def edges(family: int) -> frozenset[int]:
    """Protocols at which some check of a family, or some row of ``KNOWN``, may begin to think otherwise: between two all are alike."""
    made_by = (family, PACKET) if family == INET else (family,)
    found = {0, 1}
    for row in KNOWN:
        if row.family in made_by and row.proto != ANY:
            found |= {row.proto, row.proto + 1}
    for rule in CHECKS:
        if rule.family in made_by:
            found.update(rule.edges)
    return frozenset(found)


def _not_linux(source: str, privilege: str) -> tuple[Rule, ...]:
    return (
        _generic("family registered", "EAFNOSUPPORT EPFNOSUPPORT", source, "this system has no such family", _PROBE),
        _generic("type within family", "ESOCKTNOSUPPORT", source, "the family has no such type here", _PROBE),
        Rule(
            "protocol within type",
            ("EPROTOTYPE",),
            source,
            _never(_always),
            lambda ask: f"{_combination(ask)}: the family has this protocol, but for another type",
            lambda ask: f"another type, or proto 0 for the usual protocol of {_type(ask.type)}",
        ),
        _generic(
            "protocol registered",
            "EPROTONOSUPPORT",
            source,
            "the family has no such protocol; with proto 0, none of that type",
            "proto 0 for the usual protocol, or another type",
        ),
        Rule(
            "privilege",
            ("EPERM", "EACCES"),
            source,
            _never(lambda ask: ask.base == RAW),
            lambda ask: f"{_combination(ask)}: raw sockets are for {privilege} only",
            lambda ask: f"run as {privilege}",
        ),
        *(rule._replace(source=source) for rule in (*LIMITS, *GUARDS, *UNSPECIFIC)),
    )


ELSEWHERE: dict[str, tuple[Rule, ...]] = {
    "darwin": _not_linux("socreate_internal, bsd/kern/uipc_socket.c (XNU)", "root"),
    "win32": _not_linux("socket function, Winsock", "an administrator"),
}
"""The few checks of other systems, by ``sys.platform``."""
_OTHERS = _not_linux("socket(2)", "root")
LINUX_ONLY = frozenset(CREATE) - {UNIX, APPLETALK, ATMPVC, X25, INET, INET6, KEY, ATMSVC, BLUETOOTH, VSOCK}
"""Families that neither macOS nor Windows ever made sockets of."""

XNU: dict[int, tuple[tuple[int, int], ...]] = {
    UNIX: ((STREAM, 0), (DGRAM, 0)),
    INET: ((STREAM, 6), (DGRAM, 17), (DGRAM, 1), (RAW, ANY)),
    INET6: ((STREAM, 6), (DGRAM, 17), (DGRAM, 58), (RAW, ANY)),
}
"""What macOS registers for these families: type and protocol (bsd/netinet/in_proto.c, bsd/netinet6/in6_proto.c, bsd/kern/uipc_proto.c)."""
_XNU_NUMBERS = {"EPROTOTYPE": 41, "EPROTONOSUPPORT": 43}
WINSOCK = {
    "EPROTONOSUPPORT": "WSAEPROTONOSUPPORT 10043",
    "ESOCKTNOSUPPORT": "WSAESOCKTNOSUPPORT 10044",
}
"""What Windows answers for IP where Linux answers so."""


def xnu(family: int, type: int, proto: int) -> str | None:
    """What macOS answers to root for a family of ``XNU``: None, it makes the socket, or the errno's name.

    Source: pffindproto, pffindtype and socreate_internal, bsd/kern/uipc_domain.c and uipc_socket.c: with proto 0 the first of the
    type; else the pair; else EPROTOTYPE if another type has the protocol, and EPROTONOSUPPORT if none has.
    """
    rows = XNU[family]
    if any(row[0] == type and (proto == 0 or row[1] in (proto, ANY)) for row in rows):
        return None
    return "EPROTOTYPE" if proto and any(row[1] == proto for row in rows) else "EPROTONOSUPPORT"


def _elsewhere(ask: Ask) -> str | None:
    """How macOS (XNU) and Windows answer where Linux answered ``ask.errno_name``; None where it is not known."""
    if ask.platform != "linux" or ask.errno_name in ("ENFILE", "EMFILE", "ENOMEM", "ENOBUFS", "ENOPROTOOPT"):
        return None
    if ask.errno_name == "EPERM" and ask.family in (INET, INET6):
        return "macOS answers EPERM 1 as well, Windows WSAEACCES 10013" if ask.base == RAW else None
    if ask.family in XNU and not _unknown_flags(ask) and ask.base != PACKET_TYPE:
        refusal = xnu(ask.family, ask.base, ask.proto)
        if refusal is not None:
            macos = f"macOS answers {refusal} {_XNU_NUMBERS[refusal]} here"
        elif ask.errno_name == "EACCES":
            macos = "macOS lets every user make ping sockets"
        else:
            macos = "macOS makes this socket, for root" if ask.base == RAW else "macOS makes this socket"
        told = ask.family in (INET, INET6) and (ask.errno_name != "EPROTONOSUPPORT" or ask.proto in (6, 17))
        windows = WINSOCK.get(ask.errno_name) if told and ask.base in (STREAM, DGRAM, RAW, RDM, SEQPACKET) else None
        return ", ".join(filter(None, (macos, windows and f"Windows {windows}"))) or None
    if ask.family in LINUX_ONLY:
        return "macOS and Windows have no such sockets"
    return None


def why(
    family: int,
    type: int,
    proto: int,
    errno_name: str | None,
    platform: str = sys.platform,
    allowed: Container[str] = (),
) -> Explanation | None:
    """Which check refused this socket: the first row of the platform's table whose errno and numbers fit.

    Args:
        allowed: what the caller is known to have, capabilities and ``SETTINGS``: checks that look at these did not refuse.

    Returns None without an errno, or for one that socket(2) is not known to give.
    """
    if errno_name is None:
        return None
    platform = "linux" if platform == "android" else platform
    ask = Ask(family, type, proto, canonical(errno_name), platform)
    for rule in RULES if platform == "linux" else ELSEWHERE.get(platform, _OTHERS):
        if ask.errno_name not in rule.errnos or rule.family not in (ANY, ask.maker):
            continue
        fact = rule.needs(ask)
        if fact is not None and fact.what not in allowed:
            return Explanation(
                rule.name, rule.source, rule.explain(ask), rule.try_next(ask), _elsewhere(ask), rule.module(ask)
            )
    return None


# ---- socket(2): what it made of the request

Asked = tuple[int, int, int]
Got = tuple[int | None, int | None, int | None]
"""Family, type and protocol from SO_DOMAIN, SO_TYPE and SO_PROTOCOL; None where the system does not say."""


def _why_family(asked: Asked, got: int) -> str:
    family, type, _ = asked
    if (family, type & TYPE_MASK, got) == (INET, PACKET_TYPE, PACKET):
        return "AF_INET with SOCK_PACKET is the old way to ask for AF_PACKET: __sock_create hands it over"
    return f"asked for {_family(family)}, the kernel made {_family(got)}"


def _why_type(asked: Asked, got: int) -> str:
    family, type, _ = asked
    if (family, type & TYPE_MASK, got) == (UNIX, RAW, DGRAM):
        return "unix_create makes a SOCK_DGRAM of SOCK_RAW: a local socket has no headers that one could want raw"
    if family == PPPOX:
        return "AF_PPPOX takes any type and reports SOCK_STREAM"
    return f"asked for {_type(type)}, the kernel made {_type(got)}"


def _why_proto(asked: Asked, got_family: int, got: int) -> str:
    family, type, proto = asked
    if family in (INET, INET6) and got_family == family:
        create = CREATE[family][0].partition(",")[0]
        if got == 262 and proto in (0, 6):
            return "TCP became MPTCP: a program hooked into the kernel (BPF, as mptcpize does) asks for it"
        if proto == 0:
            chosen = _proto(family, got).removeprefix("IPPROTO_")
            return f"{create} takes the first protocol registered for {_type(type)}: {chosen}"
    if family == UNIX and got == 0:
        return "unix_create accepts 1 (PF_UNIX), but a local socket has no protocol to report: 0"
    if family == VSOCK and got == 0:
        return "vsock_create accepts 40 (PF_VSOCK), but a VM socket has no protocol to report: 0"
    if got_family == PACKET and got == 0:
        return (
            "AF_PACKET does not report it: the protocol is an Ethertype in network byte order, kept by the packet hook"
        )
    if got == 0 and got_family in UNREPORTED:
        return f"{_family(got_family)} does not report {_proto(family, proto)}: its SO_PROTOCOL stays 0"
    if proto == 0:
        return f"{_family(family)} takes {_proto(family, got)} for {_type(type)} unless another is asked for"
    return f"asked for {_proto(family, proto)}, the kernel made {_proto(got_family, got)}"


def rewrites(asked: Asked, got: Got) -> list[tuple[str, str]]:
    """Why a socket differs from what was asked: (``family`` | ``type`` | ``proto``, a sentence) for each difference."""
    family, type, proto = asked
    got_family, got_type, got_proto = got
    found = []
    if got_family is not None and got_family != family:
        found.append(("family", _why_family(asked, got_family)))
    if got_type is not None:
        gone = type & ~got_type
        if gone & NONBLOCK:
            text = (
                "SOCK_NONBLOCK is no part of the type: it became O_NONBLOCK, a status flag of the open file (F_GETFL)"
            )
            found.append(("type", text))
        if gone & CLOEXEC:
            text = "SOCK_CLOEXEC is no part of the type: it became FD_CLOEXEC, a flag of the descriptor (F_GETFD)"
            found.append(("type", text))
        if got_type & TYPE_MASK != type & TYPE_MASK:
            found.append(("type", _why_type(asked, got_type)))
    if got_proto is not None and got_proto != proto:
        found.append(("proto", _why_proto(asked, family if got_family is None else got_family, got_proto)))
    return found


# ---- the other calls: what their errnos mean

DEFAULT_PORT = 65432


class Meaning(NamedTuple):
    """What an errno means here, and what to try."""

    text: str
    hint: str | None

    @property
    def line(self) -> str:
        """Both in one line."""
        return f"{self.text}; {self.hint}" if self.hint else self.text


class Facts(NamedTuple):
    """What is known about the call that failed."""

    operation: str
    family: int | None
    type: int | None
    address: str | None
    port: int | None

    @property
    def target(self) -> str:
        """Address and port as typed after ``sockkit serve``."""
        if self.family == UNIX:
            import shlex

            return "-U " + shlex.quote(self.address) if self.address else "-U PATH"
        option = "-u " if self.type == DGRAM else ""
        return f"{option}{self.address or 'HOST'} {self.port if self.port is not None else 'PORT'}"


When = Callable[[Facts], bool]


class Case(NamedTuple):
    """One meaning. ``text`` and ``hint`` are templates: {address}, {port}, {target}, {type}."""

    operations: str
    """Separated by spaces; ``*`` is any."""
    errnos: str
    """Separated by spaces."""
    when: When
    text: str
    hint: str | None = None


def _any(facts: Facts) -> bool:
    return True


def _unix(facts: Facts) -> bool:
    return facts.family == UNIX


def _abstract(facts: Facts) -> bool:
    return facts.family == UNIX and (facts.address or "").startswith(("@", "\0"))


def _inet_family(facts: Facts) -> bool:
    return facts.family in (INET, socket.AF_INET6)


def _inet_datagram(facts: Facts) -> bool:
    return _inet_family(facts) and _datagram(facts)


def _datagram(facts: Facts) -> bool:
    return facts.type == DGRAM


def _vsock(facts: Facts) -> bool:
    return facts.family == getattr(socket, "AF_VSOCK", VSOCK)


def _on(*families: int) -> When:
    return lambda facts: sys.platform == "linux" and facts.family in families


def _port(*ports: int) -> When:
    return lambda facts: facts.port in ports and not _unix(facts)


def _low_port(facts: Facts) -> bool:
    return facts.port is not None and 0 < facts.port < 1024 and not _unix(facts)


def _link_local(facts: Facts) -> bool:
    """fe80::/10 without ``%interface``."""
    address = (facts.address or "").lower()
    return address.startswith(("fe8", "fe9", "fea", "feb")) and ":" in address and "%" not in address


def _loopback(facts: Facts) -> bool:
    address = facts.address or ""
    return _inet_family(facts) and (address.startswith("127.") or address in ("::1", "localhost"))


def _both(*conditions: When) -> When:
    return lambda facts: all(condition(facts) for condition in conditions)


CASES: tuple[Case, ...] = (
    # bind
    Case(
        "bind",
        "EADDRINUSE",
        _abstract,
        "another socket has the abstract name {address}",
        "choose another name, or end its owner: `ss -xlp` shows who it is",
    ),
    Case(
        "bind",
        "EADDRINUSE",
        _unix,
        "{address} exists already: a socket that is served, one that was left behind, or some other file",
        "if nobody serves it any more, --replace removes it: `sockkit serve {target} --replace`",
    ),
    Case(
        "bind",
        "EADDRINUSE",
        _both(_inet_family, _port(0)),
        "no port is free any more in net.ipv4.ip_local_port_range",
        "name a port, or close sockets",
    ),
    Case(
        "bind",
        "EADDRINUSE",
        _inet_datagram,
        "another socket has port {port} on this address",
        "choose another port; `sockkit inspect :{port}` shows who has this one",
    ),
    Case(
        "bind",
        "EADDRINUSE",
        _inet_family,
        "another socket has port {port} on this address, or connections that it had are still in TIME_WAIT",
        "`sockkit inspect :{port}` shows who; TIME_WAIT passes in a minute, and is not in the way of --set SO_REUSEADDR=1 "
        "if those connections had it too",
    ),
    Case(
        "bind",
        "EADDRINUSE",
        _any,
        "another socket has this address",
        "choose another; `ss -ap` shows who",
    ),
    Case(
        "bind",
        "EADDRNOTAVAIL",
        _vsock,
        "{address} is not the context ID (CID) of this machine",
        "`sockkit serve --family VSOCK any PORT` takes any; CID 1 is this machine once vsock_loopback is loaded",
    ),
    Case(
        "bind",
        "EADDRNOTAVAIL",
        _any,
        "{address} is not an address of this host",
        "127.0.0.1 or ::1 for this host only, 0.0.0.0 or :: for all its addresses; `ip address` lists them",
    ),
    Case(
        "bind",
        "EACCES",
        _low_port,
        "port {port} is below 1024, and those are for root",
        "a port from 1024 up; or CAP_NET_BIND_SERVICE, or a lower sysctl net.ipv4.ip_unprivileged_port_start",
    ),
    Case(
        "bind",
        "EACCES EPERM",
        _unix,
        "this user may not make {address}: its folder is not writable, or its file system keeps no sockets",
        "a path in a folder of your own, such as $XDG_RUNTIME_DIR",
    ),
    Case(
        "bind",
        "EACCES",
        _any,
        "this user may not have this address: a reserved port, or a security module says so",
        "a port from 1024 up (sysctl net.ipv4.ip_unprivileged_port_start says where free ones begin)",
    ),
    Case("bind", "EPERM", _any, "a guard refused it: seccomp, a security module or a BPF program", None),
    Case("bind", "ENOENT", _unix, "the folder of {address} does not exist", "make it first, or choose another path"),
    Case("bind", "EROFS", _any, "{address} is on a read-only file system", "another path"),
    Case("bind", "ENOSPC EDQUOT", _any, "there is no room for another file where {address} is", "another path"),
    Case(
        "bind",
        "EINVAL",
        _unix,
        "the socket has a name already, or this is no Unix address",
        "a socket is bound once: make a new one",
    ),
    Case("bind", "EOPNOTSUPP", _any, "sockets of this family and type have no address of their own", None),
    # bind and connect alike
    Case(
        "bind connect send",
        "EINVAL",
        _link_local,
        "{address} is a link-local address, which exists on every link: it needs its interface",
        "add it: {address}%eth0 (`ip link` lists the interfaces)",
    ),
    Case(
        "bind", "EINVAL", _any, "the socket is bound already, or the address does not have the form of its family", None
    ),
    Case("bind connect send", "ENOTDIR", _any, "a part of the path {address} is a file, not a folder", "another path"),
    Case("bind connect send", "ELOOP", _any, "{address} runs through symbolic links in a circle", "another path"),
    Case("bind connect send", "ENAMETOOLONG", _any, "{address} is too long for a path", "a shorter path"),
    Case(
        "bind connect send",
        "EAFNOSUPPORT",
        _any,
        "the address is of another family than the socket",
        "give both the same: -4 for IPv4, -6 for IPv6, -U for a Unix path, or --family",
    ),
    # listen
    Case(
        "listen",
        "EOPNOTSUPP",
        _any,
        "sockets of this kind have no connections to wait for; datagrams arrive without listen",
        "leave --type DGRAM or -u off for a stream; `sockkit serve -u` serves datagrams as they are",
    ),
    Case("listen", "EADDRINUSE", _any, "another socket listens on this address already", "choose another port"),
    Case(
        "listen",
        "EINVAL EDESTADDRREQ",
        _any,
        "the socket cannot listen in this state: it is connected, or it has no address yet",
        "bind it first: give an address to serve",
    ),
    # accept
    Case("accept", "EINVAL", _any, "the socket does not listen", "listen first: `sockkit serve` does"),
    Case("accept", "EOPNOTSUPP", _any, "sockets of this kind have no connections to accept", "`sockkit serve -u`"),
    Case(
        "accept",
        "EMFILE",
        _any,
        "this process has no file descriptor left; the connection stays in the queue",
        "end sessions, or raise the limit: ulimit -n",
    ),
    Case("accept", "ENFILE", _any, "the whole system has no open file left; the connection stays in the queue"),
    Case("accept", "ECONNABORTED ECONNRESET EPROTO", _any, "the caller hung up before the connection was taken"),
    Case("accept", "EAGAIN", _any, "nobody waits in the queue at the moment"),
    Case("accept", "EPERM", _any, "a firewall rule forbids this connection"),
    # connect
    Case(
        "connect",
        "ECONNREFUSED",
        _abstract,
        "nobody has the abstract name {address}",
        "start the other side first: `sockkit serve {target}`",
    ),
    Case(
        "connect send",
        "ECONNREFUSED",
        _unix,
        "{address} exists, but nobody serves it: a stale socket, or no socket at all",
        "start the other side: `sockkit serve {target} --replace`",
    ),
    Case(
        "connect",
        "ECONNREFUSED EADDRNOTAVAIL",
        _port(0),
        "port 0 means 'choose one for me' to a server; nobody can be called there",
        "the port that the server said it listens on",
    ),
    Case(
        "connect send recv",
        "ECONNREFUSED",
        _inet_datagram,
        "an earlier datagram came back: the host answered that nobody has that UDP port",
        "start the other side: `sockkit serve {target}`",
    ),
    Case(
        "connect",
        "ECONNREFUSED",
        _both(_loopback, _port(DEFAULT_PORT)),
        "this host answered, but nobody listens on port {port}",
        "start `sockkit serve` in another terminal",
    ),
    Case(
        "connect",
        "ECONNREFUSED",
        _port(DEFAULT_PORT),
        "the host answered, but nobody listens on port {port}",
        "start `sockkit serve {target}` on that host: without an address it serves only its own",
    ),
    Case(
        "connect",
        "ECONNREFUSED",
        _loopback,
        "this host answered, but nobody listens on that port",
        "start `sockkit serve {target}` in another terminal; `sockkit inspect --all --state LISTEN` shows who listens where",
    ),
    Case(
        "connect",
        "ECONNREFUSED",
        _inet_family,
        "the host answered, but nobody listens on that port (or a firewall answers so)",
        "check the port; on that host, `ss -lntu` shows who listens where",
    ),
    Case(
        "connect send recv", "ECONNREFUSED", _any, "the other side answered, but nobody listens at this address", None
    ),
    Case(
        "connect",
        "EISCONN",
        _any,
        "the socket is connected already, or listens",
        "a socket is connected once: make a new one",
    ),
    Case(
        "connect send",
        "ENOENT",
        _any,
        "there is nothing at {address}",
        "start the other side first: `sockkit serve {target}`",
    ),
    Case(
        "connect send",
        "EPROTOTYPE",
        _unix,
        "the socket at {address} has another type than {type}",
        "the type of the other side: --type STREAM, --type DGRAM or --type SEQPACKET",
    ),
    Case("connect send", "EPROTOTYPE", _any, "the other side has another socket type", "its type, with --type"),
    Case(
        "connect send",
        "EACCES EPERM",
        _unix,
        "this user may not reach {address}: that needs write permission on it and search permission on its folders",
        "ask its owner, or look at them: `ls -ld` on the path and its folders",
    ),
    Case(
        "connect send",
        "EACCES",
        _inet_datagram,
        "{address} is a broadcast address, and those must be allowed first (or a firewall forbids it)",
        "add --set SO_BROADCAST=1",
    ),
    Case(
        "connect send",
        "EACCES EPERM",
        _any,
        "this host itself forbids it: a firewall rule, a security module or a prohibiting route",
        "look at the rules: `nft list ruleset`, `ip route get {address}`",
    ),
    Case(
        "connect send recv",
        "ENETUNREACH",
        _any,
        "this host has no route to that network",
        "`ip route get {address}` asks the kernel; if only IPv6 is missing here, use -4",
    ),
    Case(
        "connect send recv",
        "EHOSTUNREACH EHOSTDOWN",
        _any,
        "there is a route, but the last hop finds no such host (or a router or firewall says so)",
        "check the address; `ip neigh` shows the neighbours that answer",
    ),
    Case(
        "connect",
        "ETIMEDOUT",
        _vsock,
        "no machine with CID {address} answered",
        "the host is CID 2, CID 1 is this machine once vsock_loopback is loaded, guests have the CID they were given",
    ),
    Case(
        "connect",
        "ETIMEDOUT",
        _loopback,
        "nobody accepted: a server on this host whose queue of waiting connections is full, or a firewall rule of its own",
        "see whether the server still accepts: `ss -lnt` shows its queue (Recv-Q of Send-Q)",
    ),
    Case(
        "connect",
        "ETIMEDOUT",
        _any,
        "nobody answered at all: no such host, or a firewall drops the packets in silence",
        "check the address and port; -w SECONDS says how long to wait",
    ),
    Case(
        "connect",
        "EADDRNOTAVAIL ENODEV",
        _vsock,
        "no transport leads to CID {address}",
        "modprobe vsock_loopback for CID 1 (this machine), vhost_vsock on hosts, vmw_vsock_virtio_transport in guests",
    ),
    Case(
        "connect send",
        "EADDRNOTAVAIL",
        _any,
        "no local address and port for this is left: the ephemeral ports are in use, or no address fits",
        "close connections, widen sysctl net.ipv4.ip_local_port_range, or choose with -s and -p",
    ),
    Case(
        "connect",
        "EADDRINUSE",
        _any,
        "a connection from this very source port to the same target exists already",
        "another source port: -p, or none for a free one",
    ),
    Case("connect", "ECONNRESET", _vsock, "the other machine answered, but nobody listens on vsock port {port}", None),
    Case(
        "connect", "ECONNRESET ECONNABORTED", _any, "the other side hung up while the connection was being made", None
    ),
    Case(
        "connect",
        "EINPROGRESS EALREADY",
        _any,
        "the connection is still being made",
        "wait until the socket is writable",
    ),
    Case(
        "connect",
        "EAGAIN",
        _unix,
        "the server's queue of waiting connections is full",
        "try again; a longer queue there is listen's backlog",
    ),
    Case("connect", "EAGAIN", _any, "no local port is free at the moment", "try again, or choose one with -p"),
    Case(
        "connect send",
        "EINVAL",
        _inet_family,
        "this address and port cannot be reached from this socket: a source on the loopback reaches only the loopback,"
        " and port 0 nobody",
        "another source with -s, or none; a port from 1 to 65535",
    ),
    Case("connect", "EOPNOTSUPP", _any, "sockets of this kind do not connect, or the peer does not listen", None),
    Case(
        "connect", "EINVAL", _any, "the address does not have the form of this socket's family, or its state forbids it"
    ),
    # send and recv
    Case(
        "send",
        "EPIPE",
        _any,
        "nothing can be sent any more: the peer has closed, our side was shut down, or it was never connected",
        "connect first, or see above who ended the conversation",
    ),
    Case(
        "send recv",
        "ECONNRESET",
        _any,
        "the peer ended the connection abruptly (RST): it crashed, had unread data, or set SO_LINGER to 0",
        "data under way may be lost; look at the peer's side",
    ),
    Case("send recv", "ECONNABORTED", _any, "this host gave the connection up", None),
    Case(
        "send recv",
        "ETIMEDOUT",
        _any,
        "the peer stopped answering: what was sent was repeated until the kernel gave up, or keepalive probes failed",
        "check the path to the peer",
    ),
    Case("send", "EDESTADDRREQ", _any, "the socket is not connected, so a datagram needs an address", "give a target"),
    Case("send", "ENOTCONN", _any, "the socket is not connected", "connect first: give a target"),
    Case("send", "EISCONN", _any, "the socket is connected, so the address of this message is not wanted", None),
    Case(
        "send",
        "EMSGSIZE",
        _inet_family,
        "the datagram is too long: UDP takes 65507 bytes over IPv4 and 65527 over IPv6, less where IP may not split it",
        "smaller messages: about 1400 bytes pass nearly everywhere",
    ),
    Case(
        "send",
        "EMSGSIZE",
        _unix,
        "the message is longer than the socket's send buffer",
        "smaller messages, or a larger buffer: --set SO_SNDBUF=BYTES (sysctl net.core.wmem_max bounds it)",
    ),
    Case("send", "EMSGSIZE", _any, "the message is longer than this kind of socket takes", "smaller messages"),
    Case(
        "recv",
        "EMSGSIZE",
        _any,
        "the message was longer than the room for it, and its rest is lost",
        "a larger buffer",
    ),
    Case("send", "EAGAIN", _any, "the send buffer is full: the peer does not take what is sent", None),
    Case("recv", "EAGAIN", _any, "nothing has arrived yet, or not within SO_RCVTIMEO", None),
    Case(
        "send",
        "ENOBUFS",
        _on(CAN),
        "the queue of the CAN interface is full",
        "send slower, or lengthen it: `ip link set can0 txqueuelen 1000`",
    ),
    Case(
        "recv",
        "ENOBUFS",
        _on(NETLINK),
        "messages came faster than they were read, and some are lost",
        "--set SO_RCVBUF=BYTES",
    ),
    Case("send", "EINVAL", _any, "the message, its flags or its address do not suit this socket", None),
    Case(
        "send",
        "EOPNOTSUPP",
        _any,
        "this socket does not take such a message: an address on a stream, or a flag such as MSG_OOB",
        None,
    ),
    Case(
        "recv", "ENOTCONN", _any, "the socket is not connected, so nothing can arrive", "connect first: give a target"
    ),
    Case("recv", "EINVAL", _any, "nothing can be received in this state: not connected, or no urgent byte waits", None),
    Case("recv", "EOPNOTSUPP", _any, "this socket does not receive in that way (a flag such as MSG_OOB)", None),
    Case("send", "ENXIO", _any, "the socket is bound to no interface", "bind it to one first"),
    # shutdown, names
    Case(
        "shutdown", "ENOTCONN", _any, "the socket is not connected (any more), so no direction is there to close", None
    ),
    Case("shutdown", "EOPNOTSUPP", _any, "sockets of this kind cannot be half closed", "--no-shutdown"),
    Case("shutdown", "EINVAL", _any, "there is no such direction, or the connection is over already", None),
    Case("getpeername", "ENOTCONN", _any, "the socket has no peer: it is not connected", None),
    Case("getsockname getpeername", "EOPNOTSUPP EBADFD", _any, "sockets of this kind have no such address (yet)", None),
    # options
    Case(
        "setsockopt getsockopt",
        "ENOPROTOOPT",
        _any,
        "this socket has no such option: it belongs to another protocol, cannot be set, or this kernel lacks it",
        "`sockkit inspect` lists those that this socket has",
    ),
    Case("setsockopt getsockopt", "EOPNOTSUPP", _any, "this kind of socket has no such option, or no such level", None),
    Case(
        "setsockopt",
        "EINVAL",
        _any,
        "the option does not take this value, or not in this state (IPV6_V6ONLY only before bind, for one)",
        "another value, or set it at another moment",
    ),
    Case(
        "setsockopt",
        "EPERM EACCES",
        _any,
        "this option or value is for root or a process with CAP_NET_ADMIN (some: CAP_NET_RAW)",
        "run as root, or choose a smaller value",
    ),
    Case("setsockopt", "ENODEV ENXIO", _any, "there is no such interface", "`ip link` lists them"),
    Case(
        "setsockopt",
        "ENOENT",
        _any,
        "this kernel has nothing of that name (a congestion control, an upper protocol)",
        None,
    ),
    Case("setsockopt", "EDOM ERANGE", _any, "the value is too large or too small for this option", "another value"),
    Case("setsockopt", "EISCONN", _any, "this option must be set before the socket is connected", None),
    Case("setsockopt", "ENOTCONN", _any, "this option can be set only once the socket is connected", None),
    Case("setsockopt", "EADDRINUSE", _any, "the socket has this already (a membership, a filter)", None),
    Case("setsockopt", "EADDRNOTAVAIL", _any, "the socket or the host does not have this address", None),
    Case("setsockopt", "EBUSY", _any, "the option cannot change while the socket is in use", None),
    Case("setsockopt getsockopt", "EFAULT", _any, "the value has the wrong size for this option", None),
    Case(
        "setsockopt", "ENOBUFS ENOMEM", _any, "no memory for it, or more of them than net.core.optmem_max allows", None
    ),
    # adopting a descriptor
    Case(
        "open",
        "EBADF",
        _any,
        "no file is open under this descriptor number",
        "have the parent process hand it over: `sockkit inspect --fileno 3 3<>/dev/tcp/HOST/PORT` in bash",
    ),
    Case(
        "open",
        "ENOTSOCK",
        _any,
        "this descriptor is open, but it is no socket: a file, a pipe or a terminal",
        "`ls -l /proc/self/fd` shows what the descriptors are",
    ),
    # anything
    Case("*", "EBADF", _any, "the descriptor is closed already", None),
    Case("*", "ENOTSOCK", _any, "the descriptor is no socket: a file, a pipe or a terminal", None),
    Case("*", "EINTR", _any, "a signal came in between", "try again"),
    Case("*", "EMFILE", _any, "this process has no file descriptor left", "raise the limit: ulimit -n"),
    Case("*", "ENFILE", _any, "the whole system has no open file left", "raise sysctl fs.file-max"),
    Case("*", "ENOMEM ENOBUFS", _any, "the kernel has no memory for it, or a queue on the way is full", "try again"),
    Case("*", "ENETDOWN", _any, "the interface is down", "`ip link set NAME up`, as root"),
    Case("*", "ENODEV ENXIO", _any, "there is no such interface or device", "`ip link` lists the interfaces"),
    Case("*", "EAGAIN", _any, "it cannot be done at the moment without waiting", "try again"),
    Case("*", "EOPNOTSUPP", _any, "sockets of this kind do not do that", None),
    Case(
        "*", "EACCES EPERM", _any, "this user may not, or a guard forbids it (firewall, seccomp, security module)", None
    ),
    Case("*", "EPROTO", _any, "the two sides did not understand each other", None),
    Case("*", "EIO", _any, "the device or file system failed", None),
)
"""The first row whose operation, errno and facts fit is the meaning."""

_OPERATIONS = {
    "accept4": "accept",
    "connect_ex": "connect",
    **dict.fromkeys(("sendto", "sendmsg", "sendall", "write", "sendfile", "splice"), "send"),
    **dict.fromkeys(("recvfrom", "recvmsg", "recv_into", "recvfrom_into", "receive", "read"), "recv"),
    **dict.fromkeys(("socket", "adopt", "fileno"), "open"),
    **dict.fromkeys(("set",), "setsockopt"),
    **dict.fromkeys(("get",), "getsockopt"),
}
"""Other words for the operations of ``CASES``."""

PATH_ROOM = 107 if sys.platform == "linux" else 103
"""Bytes of the longest Unix path (sun_path, less its final null byte)."""


def _without_port(address: str, port: int | None) -> tuple[str, int | None]:
    """Split ``127.0.0.1:80``, ``[::1]:80`` and ``1:80`` (a CID and a port); anything else stays whole."""
    host, colon, number = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if colon and (bracketed or ":" not in host) and number.isascii() and number.isdecimal():
        return host.strip("[]"), int(number) if port is None else port
    return address.strip("[]"), port


def meaning(
    operation: str,
    errno_name: str | None,
    *,
    family: int | None = None,
    type: int | None = None,
    address: str | None = None,
    port: int | None = None,
) -> Meaning | None:
    """What an errno means for this operation, as far as the facts tell.

    Args:
        operation: the system call, or a text that begins with it: ``connect to 127.0.0.1:1``.
        errno_name: None for an ``OSError`` that Python raised by itself.
        address: host or path as the user knows it; ``@name`` is an abstract Unix name. A port behind it is taken off.

    Returns None if nothing is known.
    """
    word = operation.partition(" ")[0]
    word = _OPERATIONS.get(word, word)
    if family is None and address is not None and address.startswith(("/", "@", "\0", "./")):
        family = UNIX
    elif family is None and port is not None:
        family = INET
    if address is not None and family != UNIX:
        address, port = _without_port(address, port)
    facts = Facts(word, family, None if type is None else type & TYPE_MASK, address, port)
    if errno_name is None:
        size = len((address or "").encode(errors="surrogateescape"))
        if family == UNIX and size > PATH_ROOM:
            return Meaning(
                f"a Unix path has room for {PATH_ROOM} bytes, this one has {size}",
                "change into its folder and give the short name",
            )
        return None
    name = canonical(errno_name)
    for case in CASES:
        fits = case.operations == "*" or word in case.operations.split()
        if fits and name in case.errnos.split() and case.when(facts):
            values = {
                "address": address or ("that path" if family == UNIX else "that address"),
                "port": "PORT" if port is None else port,
                "target": facts.target,
                "type": "ours" if facts.type is None else _type(facts.type),
            }
            return Meaning(case.text.format_map(values), case.hint and case.hint.format_map(values))
    return None
