"""Data over every family, here and in the kernel lab: docs/families.md has the table that this run writes."""

from __future__ import annotations

import pytest

from tests import lab
from tests.families import __main__ as families
from tests.families.rows import ROWS
from tests.families.stranger import CLIENTS


def test_every_row_has_an_independent_peer() -> None:
    assert {row.name for row in ROWS} == set(CLIENTS)


@pytest.mark.once
@pytest.mark.timeout(1500)
def test_data_over_every_family() -> None:
    """Every row that this kernel has, and every row in the lab; the page shows that, and nothing else."""
    problem = lab.cannot()
    if problem is not None:
        pytest.skip(f"CANNOT: {problem}")
    host, guest = families.on_host(), families.in_lab()
    assert not [outcome for found in (host, guest) for outcome in found.values() if outcome.problem]
    assert len(guest) >= families.LEAST
    assert families.table(host, guest) == families.parts(families.PAGE.read_text())[1]
