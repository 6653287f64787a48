"""The marks `alone` and `quick`: by folder and file here, by `pytest.mark` in the tests.

- ``alone``: measures time, or drives a browser or a notebook; nothing may run beside it.
- ``quick``: starts no server and no browser; ``pytest -m quick`` takes less than a minute.
"""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["ALONE", "QUICK"]

ALONE = ("notebooks", "tests/bench", "tests/browser")
QUICK = (
    "tests/figures",
    "tests/models",
    "tests/policies",
    "tests/protocol",
    "tests/test_layers.py",
    "tests/test_notebooks_meta.py",
    "tests/test_public.py",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: measures time; nothing may run beside it")
    config.addinivalue_line("markers", "quick: starts no server and no browser")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(config.rootpath):
            continue
        path = item.path.relative_to(config.rootpath)
        if _inside(path, ALONE):
            item.add_marker("alone")
        if _inside(path, QUICK):
            item.add_marker("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave notebooks unread where only quick tests are wanted."""
    quick = config.option.markexpr.strip() == "quick"
    return True if quick and collection_path.suffix == ".ipynb" else None


def _inside(path: Path, folders: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
