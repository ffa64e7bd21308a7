"""What holds for all tests: in CI, a test that is run once may not say CANNOT, and in the kernel lab none may."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import lab

# How long an example takes says how busy the machine is.
settings.register_profile("patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure() -> None:
    """What a shell's background jobs (SIGINT, SIGQUIT) and ``nohup`` ignore, each process of the tests would ignore too: they
    are judged as in the foreground.
    """
    usual: dict[str, Any] = {"SIGINT": signal.default_int_handler, "SIGQUIT": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}
    for name, handler in usual.items():
        number = getattr(signal, name, None)  # Windows has SIGINT only
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


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
