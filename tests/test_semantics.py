"""What family, type and protocol mean for whoever uses the socket."""

from __future__ import annotations

import socket

import pytest

from sockkit import names
from sockkit.semantics import _OTHERWISE, DCCP, DGRAM, RAW, RDM, SEQPACKET, STREAM, Join, semantics
from tests.harness import needs_linux


@pytest.mark.parametrize("family", [None, 1, 2, 10])
def test_the_type_says_most_of_it(family: int | None) -> None:
    stream = semantics(family, STREAM, None)
    assert (stream.connections, stream.boundaries, stream.half_close) == (True, False, True)
    datagrams = semantics(family, DGRAM, None)
    assert (datagrams.connections, datagrams.boundaries, datagrams.half_close) == (False, True, False)
    assert semantics(family, None, None) == stream


def test_unix_seqpacket_has_boundaries_and_an_end() -> None:
    means = semantics(1, SEQPACKET, 0)
    assert means.connections and means.boundaries and means.half_close


@needs_linux
@pytest.mark.parametrize(
    ("family", "type", "proto", "expected"),
    [
        ("INET", STREAM, 132, {"connections": True, "half_close": False}),
        ("INET6", SEQPACKET, 132, {"connections": False, "listens": True, "join": Join.SEND}),
        ("INET", DCCP, 33, {"connections": True, "boundaries": True, "half_close": False}),
        ("INET", STREAM, 262, {"connections": True, "half_close": True}),
        ("INET", RAW, 253, {"connections": False, "join": Join.CONNECT}),
        ("CAN", RAW, 1, {"join": Join.BIND, "message": 16, "exact": True}),
        ("CAN", DGRAM, 2, {"join": Join.CONNECT}),
        ("CAN", DGRAM, 6, {"join": Join.BIND, "message": 4095}),
        ("CAN", DGRAM, 7, {"join": Join.CONNECT, "message": 1785}),
        ("PACKET", RAW, 0, {"join": Join.BIND | Join.SEND}),
        ("ALG", SEQPACKET, 0, {"join": Join.ACCEPT}),
        ("RDS", SEQPACKET, 0, {"connections": False}),
        ("TIPC", RDM, 0, {"connections": False, "boundaries": True}),
        ("TIPC", STREAM, 0, {"connections": True, "half_close": False}),
        ("VSOCK", SEQPACKET, 0, {"connections": True, "half_close": True}),
        ("PPPOX", STREAM, 0, {"connections": False, "boundaries": True, "mutual": True}),
        ("KEY", RAW, 2, {"join": Join(0)}),
    ],
)
def test_what_is_otherwise(family: str, type: int, proto: int, expected: dict[str, object]) -> None:
    means = semantics(names.family_number(family), type, proto)
    assert {name: getattr(means, name) for name in expected} == expected


def test_the_rows_name_families_that_exist_and_types_that_are() -> None:
    for family, type, _, means in _OTHERWISE:
        assert names.FAMILIES.find(family) is not None
        assert type is None or 1 <= type <= 6
        assert 0 < means.message <= 65507
        assert means.boundaries or means.connections


def test_the_types_have_the_numbers_that_python_has() -> None:
    assert (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW) == (STREAM, DGRAM, RAW)
