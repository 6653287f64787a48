"""Nothing is skipped or excused where it counts."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

__all__ = ["Strict"]


class Strict:
    """Turns excuses into failures, in every worker."""

    def __init__(self, *, require_all: bool) -> None:
        self._require_all = require_all

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._judge(report)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        self._judge(report)
        return report

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.outcome != "skipped":
            return
        # nbval marks the cells after a hang as expected failures: they are not.
        if hasattr(report, "wasxfail"):
            why = f"an expected failure counts as a failure: {report.wasxfail}"
            del report.wasxfail
        elif self._require_all:
            why = f"skipped, but RTLAB_REQUIRE_ALL is set: {report.longreprtext}"
        else:
            return
        report.outcome = "failed"
        report.longrepr = why


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Strict(require_all=os.environ.get("RTLAB_REQUIRE_ALL") == "1"))
