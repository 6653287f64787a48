"""Servers and kernels that tests start are forks of a prepared process; see `tests/warm_start.py`.

Not where their start or their processor time is looked at.
"""

from __future__ import annotations

import pytest

from tests import warm_start

__all__: list[str] = []

warm_start.install()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    warm_start.suspended = any(map(item.get_closest_marker, ("alone", "cold")))
