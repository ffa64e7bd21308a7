"""Every rule of the conformance kit, over every transport, by every lane."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conformance import ECHO_RULES, ECHOES, RULES, TRANSPORTS, Rule, Transport

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CANNOT: CPU time is read from /proc")


def rows(transports: tuple[Transport, ...]) -> list[object]:
    """Every transport with every lane: the first of them on every interpreter, the others once."""
    return [
        pytest.param(
            transport,
            lane,
            id=" ".join((transport.name, *lane)),
            marks=[
                *([pytest.mark.once] if number or lane else []),
                *([] if transport.here else [pytest.mark.skip(reason=f"CANNOT: no {transport.name} here")]),
            ],
        )
        for number, transport in enumerate(transports)
        for lane in transport.lanes
    ]


@pytest.mark.parametrize(("transport", "lane"), rows(TRANSPORTS))
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_streams(rule: Rule, transport: Transport, lane: list[str], tmp_path: Path) -> None:
    with transport.open(lane, tmp_path) as conversation:
        rule(conversation)


@pytest.mark.parametrize(("transport", "lane"), rows(ECHOES))
@pytest.mark.parametrize("rule", ECHO_RULES.values(), ids=ECHO_RULES)
def test_echoes(rule: Rule, transport: Transport, lane: list[str], tmp_path: Path) -> None:
    with transport.open(lane, tmp_path) as conversation:
        rule(conversation)
