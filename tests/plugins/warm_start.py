"""Servers and kernels that tests start are forks of a prepared process; see `tests/warm_start.py`.

Not where their start or their processor time is looked at, nor the only kernel of a run.
"""

from __future__ import annotations

import pytest

from tests import warm_start

__all__: list[str] = []

warm_start.install(warm_start.OFFERS)


_ONE_NOTEBOOK = pytest.StashKey[bool]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """One kernel alone starts as ever: to prepare a process for it would take longer."""
    notebooks = {item.path for item in session.items if item.path.suffix == ".ipynb"}
    session.config.stash[_ONE_NOTEBOOK] = len(notebooks) == 1


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    warm_start.suspended = any(map(item.get_closest_marker, ("alone", "cold"))) or (
        item.path.suffix == ".ipynb" and item.config.stash[_ONE_NOTEBOOK]
    )
