from __future__ import annotations

from tests.harness import Server, on_terminal, run


def test_hello_world() -> None:
    with Server() as server:
        result = run("connect", str(server.port), stdin=b"Hello, world\n")
        assert result == (0, b"Hello, world\n", b"")


def test_terminal() -> None:
    screen = on_terminal("probe")
    assert screen.status == 0
    assert b"IPPROTO_TCP (6)" in screen.shown
