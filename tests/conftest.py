"""What holds for all tests: in CI, a test that is run once may not say CANNOT, and in the kernel lab none may."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

from tests import lab


def pytest_configure() -> None:
    """A shell's background jobs ignore SIGINT, and so would every process of the tests: they are judged as in the foreground."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests for the kernel lab run there, by ``python -m tests.lab``."""
    if not lab.inside():
        for item in items:
            if item.get_closest_marker("lab"):
                item.add_marker(pytest.mark.skip(reason="CANNOT: for the kernel lab: python -m tests.lab"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """``.ci/run`` installs every peer: there, a skip for want of one would be a check that cannot fail."""
    report = yield
    strict = os.environ.get("CI") == "true" and item.get_closest_marker("once")
    if report.skipped and (strict or (lab.inside() and item.get_closest_marker("lab"))):
        if isinstance(report.longrepr, tuple) and "CANNOT" in report.longrepr[2]:
            report.outcome = "failed"
            report.longrepr = f"{report.longrepr[2]} (CI must have it)"
    return report
