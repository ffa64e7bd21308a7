"""What holds for all tests: in CI, a test that is run once may not say CANNOT."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """``.ci/run`` installs every peer: there, a skip for want of one would be a check that cannot fail."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and item.get_closest_marker("once"):
        if isinstance(report.longrepr, tuple) and "CANNOT" in report.longrepr[2]:
            report.outcome = "failed"
            report.longrepr = f"{report.longrepr[2]} (CI must have it)"
    return report
